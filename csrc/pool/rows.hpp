// What all pools share: the normal form of a problem, the choice of a way, and the loops over planes.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "fastconv/pool.hpp"
#include "isa/table.hpp"
#include "kernels/pool/pool.hpp"
#include "pool/elements.hpp"
#include "pool/stage.hpp"

namespace fastconv {

template <class T>
const PoolFunctions<T>& pool_functions() {
  if constexpr (sizeof(T) == 4) return kernels().pool->f32;
  else return kernels().pool->f64;
}

// Windows that tile an axis evenly are regular ones.
inline PoolProblem normal_form(PoolProblem p) {
  for (PoolAxis& a : p.axis)
    if (a.windows == PoolWindows::adaptive && a.out > 0 && a.in % a.out == 0) {
      a.windows = PoolWindows::regular;
      a.k = a.stride = a.in / a.out;
    }
  return p;
}

inline bool is_regular(const PoolAxis& a) { return a.windows == PoolWindows::regular; }

// Whether all windows lie inside the input.
inline bool is_inside(const PoolAxis& a) {
  return is_regular(a) && a.pad_before == 0 && (a.out - 1) * a.stride + pool_extent(a) <= a.in;
}

// One window, over all of the axis and nothing else.
inline bool is_whole(const PoolAxis& a) { return is_inside(a) && a.out == 1 && a.k == a.in; }
inline bool is_whole(const PoolProblem& p) { return is_whole(p.axis[0]) && is_whole(p.axis[1]) && is_whole(p.axis[2]); }

// The most input elements that the windows of n outputs next to each other reach over.
inline int64_t reach_bound(const PoolAxis& a, int64_t n) {
  if (a.windows == PoolWindows::listed) return a.in;
  const double step = is_regular(a) ? static_cast<double>(a.stride) : static_cast<double>(a.in / a.out + 1);
  const double reach =
      static_cast<double>(n - 1) * step + static_cast<double>(is_regular(a) ? pool_extent(a) : a.in / a.out + 2);
  return reach < static_cast<double>(a.in) ? static_cast<int64_t>(reach) : a.in;
}

inline PoolAxis of_plane(PoolAxis a, int64_t offset) {
  if (a.starts) a.starts += offset;
  return a;
}

template <class T>
double bytes_moved(const PoolProblem& p) {
  double in = 1, out = 1;
  for (const PoolAxis& a : p.axis) in *= static_cast<double>(a.in), out *= static_cast<double>(a.out);
  return static_cast<double>(p.mb) * p.channels * (in + out) * sizeof(T);
}

template <class T>
T* plane_of(const PoolProblem& p, const View<T>& v, int64_t plane) {
  return v.data + plane / p.channels * v.stride[0] + plane % p.channels * v.stride[1];
}

// Where a plane is in a view, without a division for each view.
struct PlaneCursor {
  int64_t n, c;
  PlaneCursor(int64_t channels, int64_t plane) : n(plane / channels), c(plane % channels) {}
  template <class T>
  T* of(const View<T>& v) const {
    return v.data + n * v.stride[0] + c * v.stride[1];
  }
};

// A batch whose planes lie evenly apart in all views is one image.
template <class T>
bool is_even(const PoolProblem& p, const View<T>& v) {
  return !v.data || v.stride[0] == p.channels * v.stride[1];
}
template <class... V>
void join_batch(PoolProblem& p, const V&... views) {
  if ((is_even(p, views) && ...)) p.channels *= p.mb, p.mb = 1;
}

[[noreturn]] void bad_index(int64_t index, int64_t size);

// task(first, last) for shares of `total` units of work.
using ShareTask = void (*)(void* context, int64_t first, int64_t last);
void share_out(int64_t total, double bytes, ShareTask task, void* context);  // without a type
template <class Task>
void share_out(int64_t total, double bytes, Task task) {
  share_out(
      total, bytes, [](void* context, int64_t first, int64_t last) { (*static_cast<Task*>(context))(first, last); },
      &task);
}

template <class T>
View<T> dense_view(T* data, int64_t channels, int64_t d, int64_t h, int64_t w) {
  View<T> v;
  v.data = data;
  const int64_t shape[5] = {1, channels, d, h, w};
  int64_t step = 1;
  for (int i = 4; i >= 0; --i) {
    v.shape[i] = shape[i];
    v.stride[i] = step;
    step *= shape[i];
  }
  return v;
}

// Some channels of an image.
struct PlaneGroup {
  PoolProblem p;
  int64_t n, c;
  char* memory;  // of the group's own
  template <class T>
  View<T> of(View<T> v) const {
    v.data += n * v.stride[0] + c * v.stride[1];
    v.shape[0] = 1;
    v.shape[1] = p.channels;
    return v;
  }
};
// task(group) for all planes, with `each` bytes of memory for each and `once` for a group: as many at a time as the
// cache holds.
using GroupTask = void (*)(void* context, const PlaneGroup& group);
void for_each_group(const PoolProblem& p, double bytes, int64_t each, int64_t once, GroupTask task, void* context);
template <class T, class Task>
void for_each_group(const PoolProblem& p, int64_t each, int64_t once, Task task) {
  for_each_group(
      p, 2 * bytes_moved<T>(p), each, once,
      [](void* context, const PlaneGroup& group) { (*static_cast<Task*>(context))(group); }, &task);
}

// Rows of planes, cut into blocks: some rows of one depth, some columns of each.
struct BlockGrid {
  int64_t planes, depths, heights, widths;  // of the rows' array
  int64_t rows, columns;                    // of a block
  int64_t cuts() const { return ceil_div(heights, rows); }
  int64_t segments() const { return ceil_div(widths, columns); }
  int64_t size() const { return planes * depths * cuts() * segments(); }
  // Blocks from the i-th on that are whole planes, or columns of them, and alike but for the plane; one otherwise.
  int64_t alike(int64_t i, int64_t end, int64_t channels) const {
    if (size() != planes * segments()) return 1;
    const int64_t plane = i % planes;
    return std::min({end - i, channels - plane % channels, planes - plane});
  }
};
struct Block {
  int64_t segment, plane, d, h, h_end, w, w_end;
};
// Segments are outermost: what is listed for one serves many blocks.
inline Block block_of(const BlockGrid& g, int64_t i) {
  const int64_t cut = i % g.cuts(), depth = i / g.cuts() % g.depths, rest = i / g.cuts() / g.depths,
                segment = rest / g.planes;
  const int64_t h = cut * g.rows, w = segment * g.columns;
  return {segment, rest % g.planes, depth, h, std::min(g.heights, h + g.rows), w, std::min(g.widths, w + g.columns)};
}
// As few rows as keep `threads` busy, and at most `most`.
inline void cut_rows(BlockGrid& g, int64_t most, double bytes) {
  const int threads = threads_for(bytes);
  g.rows = std::max<int64_t>(1, std::min(g.heights, most));
  if (threads == 1) return;
  const int64_t units = std::max<int64_t>(1, g.planes * g.depths * g.segments()), wanted = ceil_div(8 * threads, units);
  g.rows = std::max<int64_t>(1, std::min(g.rows, g.heights / wanted));
}

}  // namespace fastconv
