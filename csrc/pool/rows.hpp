// From a pooling problem to row kernels: normal form, choice of the walk, and the loops over planes and rows.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "fastconv/pool.hpp"
#include "isa/table.hpp"
#include "kernels/pool.hpp"

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

// One window, over all of the axis and nothing else.
inline bool is_whole(const PoolAxis& a) {
  return a.out == 1 && a.windows == PoolWindows::regular && a.k == a.in && a.pad_before == 0 && a.pad_after == 0 &&
         (a.dilation == 1 || a.k == 1);
}

template <class T>
bool is_dense(const View<T>& v) {
  return (v.stride[4] == 1 || v.shape[4] == 1) && (v.stride[3] == v.shape[4] || v.shape[3] == 1) &&
         (v.stride[2] == v.shape[3] * v.shape[4] || v.shape[2] == 1);
}

// Whether planes are small enough to be pooled many at a time, a plane a vector lane; looks at one image alone.
inline bool suits_lanes(const PoolProblem& p) {
  const PoolAxis& w = p.axis[2];
  const double in = static_cast<double>(p.axis[0].in) * p.axis[1].in * w.in;
  const double out = static_cast<double>(p.axis[0].out) * p.axis[1].out * w.out;
  if (p.starts_step > 0 || in > kLaneElements || out > kLaneElements || out < 1) return false;
  bool narrow = w.in <= kLaneWidth;
  for (const PoolAxis& a : p.axis) narrow = narrow || a.windows == PoolWindows::adaptive;
  return narrow;
}

// Axes that windows cover whole and that lie one behind the other in memory become one long row.
template <class T>
void merge_whole_axes(PoolProblem& p, View<T>& x) {
  if (suits_lanes(p)) return;  // whose order of summation every memory layout keeps
  PoolAxis& w = p.axis[2];
  for (int i = 1; i >= 0 && is_whole(w); --i) {
    PoolAxis& a = p.axis[i];
    if (!is_whole(a) || (a.in > 1 && x.stride[2 + i] != w.in * x.stride[4])) return;
    if (w.in == 1) x.stride[4] = x.stride[2 + i];
    x.shape[4] = w.in = w.k = w.in * a.in;
    x.shape[2 + i] = a.in = a.k = 1;
  }
}

// How the rows of a call are made: segments of `outputs` outputs, or of so many columns of a gradient.
struct RowPlan {
  PoolWalk walk = PoolWalk::direct;
  int64_t outputs = 1, segments = 1;
  int64_t scratch_bytes = 0;
};

inline PoolWalk walk_of(const PoolAxis& w) {
  if (w.windows != PoolWindows::regular) return PoolWalk::table;
  return w.stride == 1 ? PoolWalk::unit : w.stride <= kPoolPhases ? PoolWalk::phased : PoolWalk::table;
}

inline RowPlan plan_rows(const PoolProblem& p, bool positions, int64_t item) {
  const PoolAxis& w = p.axis[2];
  RowPlan plan;
  const bool regular = w.windows == PoolWindows::regular;
  const bool lonely = !suits_lanes(p) && w.out == 1 && is_whole(p.axis[0]) && is_whole(p.axis[1]) && p.axis[0].in * p.axis[1].in == 1;
  const bool far = positions && item == 4 && static_cast<double>(p.axis[0].in) * p.axis[1].in * w.in >= INT32_MAX;
  if (!lonely && !far && (regular ? w.dilation <= kPoolSpan / w.k && pool_extent(w) <= kPoolSpan : w.in <= kPoolSpan))
    plan.walk = walk_of(w);
  plan.outputs = plan.walk == PoolWalk::direct ? 1024 : regular ? (kPoolSpan - pool_extent(w)) / w.stride + 1 : w.out;
  plan.outputs = std::max<int64_t>(1, std::min(plan.outputs, w.out));
  plan.segments = ceil_div(w.out, plan.outputs);
  if (plan.walk != PoolWalk::direct) plan.scratch_bytes = kPoolScratch * item;
  return plan;
}

// One past the highest address of a view.
template <class T>
const T* end_of(const View<const T>& x) {
  const T* p = x.data + 1;
  for (int i = 0; i < 5; ++i) p += std::max<int64_t>(0, (x.shape[i] - 1) * x.stride[i]);
  return p;
}

inline PoolAxis of_plane(PoolAxis a, int64_t offset) {
  if (a.starts) a.starts += offset;
  return a;
}

template <class T>
PoolRows<T> rows_under(const PoolAxis& depth, const PoolAxis& height, const View<const T>& x, const T* plane,
                       const T* end, int64_t od, int64_t oh) {
  const PoolWindow d = pool_window(depth, od), h = pool_window(height, oh);
  PoolRows<T> r;
  r.data = plane + d.start * x.stride[2] + h.start * x.stride[3];
  r.planes = d.count;
  r.plane_step = depth.dilation * x.stride[2];
  r.rows = h.count;
  r.row_step = height.dilation * x.stride[3];
  r.col_step = x.stride[4];
  r.end = end;
  r.index = (d.start * x.shape[3] + h.start) * x.shape[4];
  r.plane_index = depth.dilation * x.shape[3] * x.shape[4];
  r.row_index = height.dilation * x.shape[4];
  return r;
}

// A row segment: plane (n, c), row (d, h), outputs or columns [first, last). `fresh`: the segment or the plane is
// another one than that of the thread's last call.
struct RowPlace {
  int64_t n, c, d, h, first, last;
  bool fresh;
};

// visit(place, scratch) for every row segment of an (mb, channels, rows_d, rows_h, plan) grid, on up to `threads_for`
// threads; scratch has `bytes` bytes.
template <class Visit>
void for_each_row(const int64_t (&shape)[5], const RowPlan& plan, int64_t bytes, double work, Visit visit) {
  const int64_t limits[5] = {shape[0], shape[1], plan.segments, shape[2], shape[3]};
  int64_t total = 1;
  for (int64_t limit : limits) total *= limit;
  if (total == 0) return;
  const int threads = threads_for(work);
  const int64_t chunk = threads == 1 ? total : std::max<int64_t>(1, total / (threads * 8));
  parallel_tasks(ceil_div(total, chunk), threads, [&](int64_t task) {
    char* scratch = Arena::local().reserve(bytes);
    const int64_t stop = std::min(total, (task + 1) * chunk);
    int64_t at[5], rest = task * chunk;
    for (int i = 4; i >= 0; --i) at[i] = rest % limits[i], rest /= limits[i];
    bool fresh = true;
    for (int64_t u = task * chunk; u < stop; ++u) {
      const int64_t first = at[2] * plan.outputs;
      visit(RowPlace{at[0], at[1], at[3], at[4], first, std::min(first + plan.outputs, shape[4]), fresh}, scratch);
      fresh = false;
      for (int i = 4; i >= 0 && ++at[i] == limits[i]; --i) at[i] = 0, fresh = fresh || i == 3;
    }
  });
}

template <class T>
double bytes_moved(const PoolProblem& p) {
  double in = 1, out = 1;
  for (const PoolAxis& a : p.axis) in *= static_cast<double>(a.in), out *= static_cast<double>(a.out);
  return static_cast<double>(p.mb) * p.channels * (in + out) * sizeof(T);
}

}  // namespace fastconv
