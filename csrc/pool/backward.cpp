// Gradients of maxima and averages. Averages and maxima of common windows are gathered row by row; others are
// scattered, a plane a thread, so that every element adds its terms in the order of the outputs.
#include <string>
#include <vector>

#include "pool/divisor.hpp"
#include "pool/elements.hpp"
#include "pool/rows.hpp"
#include "pool/tiles.hpp"

namespace fastconv {
namespace {

[[noreturn]] void bad_index(int64_t index, int64_t size) {
  throw std::invalid_argument("indices holds " + std::to_string(index) + ", which is not in [0, " +
                              std::to_string(size) + "), the plane's elements");
}

template <class T>
Box<T> plane_at(const View<T>& v, int64_t n, int64_t c) {
  return plane_box(v, v.data + n * v.stride[0] + c * v.stride[1]);
}

template <class T>
bool is_dense_box(const View<T>& v) {
  return plane_box(v, v.data).dense();
}
template <class T>
int64_t plane_size(const View<T>& v) {
  return v.shape[2] * v.shape[3] * v.shape[4];
}

// Planes of dy, of positions and of dx as dense memory: where they stand, or copies.
template <class T>
struct DensePlanes {
  Box<T> result;
  const int64_t* index;
  const T* dy;
  T* dx;
  DensePlanes(const View<const T>& dy_of, const View<const int64_t>& index_of, const View<T>& dx_of, int64_t plane)
      : result(at(dx_of, plane, dx_of.shape[1])) {
    const int64_t c = dx_of.shape[1], size = static_cast<int64_t>(sizeof(T));
    char* memory = Arena::local().reserve(plane_size(index_of) * 8 + (plane_size(dy_of) + plane_size(dx_of)) * size);
    index = dense_plane(at(index_of, plane, c), reinterpret_cast<int64_t*>(memory));
    T* copy = reinterpret_cast<T*>(memory + plane_size(index_of) * 8);
    dy = dense_plane(at(dy_of, plane, c), copy);
    dx = result.dense() ? result.data : copy + plane_size(dy_of);
  }
  void finish() const {
    if (dx != result.data) copy_out(dx, result);
  }

 private:
  template <class U>
  static Box<U> at(const View<U>& v, int64_t plane, int64_t channels) {
    return plane_at(v, plane / channels, plane % channels);
  }
};

// task(first, last) for shares of all planes.
template <class T, class Task>
void share_planes(const View<const T>& dy, const View<T>& dx, Task task) {
  const double work = static_cast<double>(sizeof(T)) * static_cast<double>(dx.size() + 3 * dy.size());
  share_out(dx.size() ? dy.shape[0] * dy.shape[1] : 0, work, task);  // rows of no elements are not to be counted
}

// Nothing is known about where the indices of a plane point: it is one thread's. Several planes at a time where there
// are, because neighbouring windows often share a winner, and each addition would wait for the one before.
template <class T>
void scatter_given(const View<const T>& dy, const View<const int64_t>& indices, const View<T>& dx, bool add) {
  const int64_t outputs = plane_size(dy), size = plane_size(dx);
  const bool together = add && is_dense_box(dy) && is_dense_box(indices) && is_dense_box(dx);
  share_planes(dy, dx, [&](int64_t begin, int64_t end) {
    const T* from[kScattered];
    const int64_t* index[kScattered];
    T *to[kScattered], zero = 0;
    for (int64_t i = begin; i < end;) {
      const int count = together && end - i >= kScattered ? kScattered : 1;
      for (int j = 0; j < count; ++j, ++i) {
        auto at = [&](const auto& v) { return v.data + i / v.shape[1] * v.stride[0] + i % v.shape[1] * v.stride[1]; };
        if (count > 1) {
          from[j] = at(dy), index[j] = at(indices), to[j] = at(dx);
          pool_functions<T>().fill_runs(&zero, 0, T(1), to[j], size, 1, size);
          continue;
        }
        const DensePlanes<T> planes(dy, indices, dx, i);
        pool_functions<T>().fill_runs(&zero, 0, T(1), planes.dx, size, 1, size);
        const int64_t taken = scatter_elements(planes.dy, planes.index, outputs, planes.dx, size, add);
        if (taken < outputs) bad_index(planes.index[taken], size);
        planes.finish();
      }
      const int64_t* wrong = count > 1 ? scatter_planes(from, index, to, outputs, size) : nullptr;
      if (wrong) bad_index(*wrong, size);
    }
  });
}

// Windows of 2x2. Returns false if the kernel does not take the problem.
template <class T>
bool max_pool_halves_backward(const PoolProblem& p, const View<const T>& dy, const View<const T>& x,
                              const View<const int64_t>& index, const View<T>& dx) {
  const PoolAxis &h = p.axis[1], &w = p.axis[2];
  if (!is_tiled_whole(p) || h.k != 2 || w.k != 2 || !is_dense_plane(dy) || !is_dense_plane(dx)) return false;
  if (index.data ? !is_dense_plane(index) || h.in * w.in > INT32_MAX : x.stride[4] != 1) return false;
  const auto kernel = pool_functions<T>().tiles->halve_grad[index.data != nullptr];
  const bool joined = is_dense_image(dy) && is_dense_image(dx) && (!index.data || is_dense_image(index));
  for_each_run(p, 2 * bytes_moved<T>(p), joined, [&](const PlaneCursor& at, int64_t planes) {
    const int64_t* given = index.data ? at.of(index) : nullptr;
    if (kernel({at.of(x), x.stride[3], x.stride[1], given, at.of(dy), at.of(dx), planes, h.out, w.out})) return;
    PlaneGroup g{p, at.n, at.c, nullptr};
    g.p.channels = planes;
    scatter_given(g.of(dy), g.of(index), g.of(dx), true);
  });
  return true;
}

}  // namespace

template <class T>
void max_pool_backward(const PoolProblem& problem, View<const T> dy, View<const T> x, View<const int64_t> indices,
                       View<T> dx) {
  PoolProblem p = normal_form(problem);
  if (is_even(p, dy) && is_even(p, x) && is_even(p, indices) && is_even(p, dx)) join_batch(p);
  if (max_pool_halves_backward(p, dy, x, indices, dx)) return;
  if (indices.data) return scatter_given(dy, indices, dx, true);
  // The winners of some planes, found again.
  const int64_t d = p.axis[0].out, h = p.axis[1].out, w = p.axis[2].out, outputs = d * h * w;
  for_each_group<T>(p, outputs * static_cast<int64_t>(sizeof(int64_t) + sizeof(T)), [&](const PlaneGroup& g) {
    auto* found = reinterpret_cast<int64_t*>(g.memory);
    T* values = reinterpret_cast<T*>(found + g.p.channels * outputs);
    const View<int64_t> index = dense_view(found, g.p.channels, d, h, w);
    max_pool<T>(g.p, g.of(x), dense_view(values, g.p.channels, d, h, w), index);
    scatter_given<T>(g.of(dy), index, g.of(dx), true);
  });
}

// The problem whose windows hold the outputs that an input element is in, where steps are of one element.
PoolProblem transposed(PoolProblem p) {
  for (PoolAxis& a : p.axis) {
    std::swap(a.in, a.out);
    a.pad_before = a.k - 1 - a.pad_before;
    a.pad_after = a.k - 1 - a.pad_after;
  }
  return p;
}

namespace {

// Where there are no outputs nothing comes back.
template <class T>
void clear(const PoolProblem& p, const View<T>& dx) {
  share_out(p.mb * p.channels, bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Box<T> box = plane_box(dx, plane_of(p, dx, i));
      box.for_rows(0, box.size(), [&](T* row, int64_t n) {
        for (int64_t j = 0; j < n; ++j) row[j * box.step[2]] = 0;
      });
    }
  });
}

// One window a plane: all its elements are alike.
template <class T>
void avg_whole_backward(const PoolProblem& p, const View<const T>& dy, T weight, const View<T>& dx) {
  const bool dense = plane_box(dx, dx.data).dense();
  share_out(p.mb * p.channels, bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {
      const int64_t count = dense ? std::min(end - i, p.channels - i % p.channels) : 1;
      const T* value = plane_of(p, dy, i);
      const Box<T> to = plane_box(dx, plane_of(p, dx, i));
      if (dense) pool_functions<T>().fill_runs(value, dy.stride[1], weight, to.data, dx.stride[1], count, to.size());
      else
        to.for_rows(0, to.size(), [&](T* row, int64_t n) {
          for (int64_t j = 0; j < n; ++j) row[j * to.step[2]] = *value * weight;
        });
      i += count;
    }
  });
}

// The most outputs of an axis that reach n input elements next to each other.
int64_t cover_bound(const PoolAxis& a, int64_t n) {
  return is_regular(a) ? (n + a.k) / a.stride + 2 : (n + 1) * ceil_div(a.out, a.in) + 2;
}

// Outputs that reach input elements [first, last) of an axis, both of which there are some.
PoolCover cover_of(const PoolAxis& a, int64_t first, int64_t last) {
  const int64_t from = std::min(pool_cover(a, first).first, a.out - 1), to = pool_cover(a, last - 1).last;
  return {from, std::max(from + 1, to)};
}

// What outputs count, where windows may count differently: a factor an output of each axis.
template <class T>
struct AvgWeights {
  const PoolProblem& p;
  Averaging averaging;
  T scale = averaging.divisor ? T(1) / static_cast<T>(averaging.divisor) : T(1);  // of the width's
  T of(int axis, int64_t o) const {
    return averaging.divisor ? T(1) : T(1) / static_cast<T>(pool_divisor(p.axis[axis], o, averaging.count_include_pad));
  }
  Vector<T> all(int axis) const {
    Vector<T> weights(static_cast<size_t>(p.axis[axis].out));
    for (int64_t o = 0; o < p.axis[axis].out; ++o) weights[static_cast<size_t>(o)] = of(axis, o);
    return weights;
  }
  // Of the outputs of the width that reach columns [first, last), and kSpare that are not there.
  static constexpr int64_t kSpare = 16;
  void list(int64_t first, int64_t last, T* to) const {
    const PoolAxis& w = p.axis[2];
    const PoolCover o = avg_grad_outputs(w, first, last);
    for (int64_t j = std::max<int64_t>(o.first, 0); j < std::min(o.last, w.out); ++j) *to++ = scale * of(2, j);
    std::fill_n(to, kSpare, T(0));
  }
};

// Rows of dx, cut into blocks; dy and dx by way of dense copies where their rows are not.
template <class T>
void avg_strips_backward(const PoolProblem& p, const AvgWeights<T>& weights_of, const View<const T>& dy,
                         const View<T>& dx) {
  constexpr int64_t kStaged = 1 << 14;
  const PoolAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  const Vector<T> plane_weights = weights_of.all(0), row_weights = weights_of.all(1);
  const bool staged = dy.stride[4] != 1 && w.out > 1, packed = dx.stride[4] == 1 || w.in == 1;
  const int64_t columns = std::min(w.in, kPoolSpan);
  BlockGrid grid{p.mb * p.channels, d.in, h.in, w.in, 1, columns};
  cut_rows(grid, packed && !staged ? h.in : std::max<int64_t>(1, kStaged / columns), bytes_moved<T>(p));
  const int64_t bound = cover_bound(w, columns),
                outputs = (is_regular(w) ? bound : std::min(w.out, bound)) + kPoolSlack;
  const int64_t spare = AvgWeights<T>::kSpare, out = packed ? 0 : grid.rows * columns;
  const int64_t box =
      staged ? std::min(cover_bound(h, grid.rows), h.out) * std::min(cover_bound(d, 1), d.out) * w.out : 0;
  share_out(grid.size(), bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    T* weights = reinterpret_cast<T*>(Arena::local().reserve(
        (outputs + spare + box + out + avg_grad_scratch(outputs, columns)) * static_cast<int64_t>(sizeof(T))));
    T *staged_dy = weights + outputs + spare, *staged_dx = staged_dy + box;
    AvgGradStrip<T> g{};
    g.axis = p.axis;
    g.plane_weight = plane_weights.data();
    g.row_weight = row_weights.data();
    g.weight = weights;
    g.scratch = staged_dx + out;
    g.dy_plane = dy.stride[1];
    g.dx_plane = dx.stride[1];
    for (int64_t i = begin, listed = -1; i < end; i += g.planes) {
      const Block b = block_of(grid, i);
      const bool whole = packed && !staged && grid.size() == grid.planes * grid.segments();
      g.planes = whole ? std::min(end - i, p.channels - b.plane % p.channels) : 1;
      g.planes = std::min(g.planes, grid.planes - b.plane);
      g.first_row = b.d * h.in + b.h;
      g.last_row = g.first_row + b.h_end - b.h;
      g.first = b.w;
      g.last = b.w_end;
      if (listed != b.segment) weights_of.list(b.w, b.w_end, weights);
      listed = b.segment;
      g.dy = plane_of(p, dy, b.plane);
      g.plane_step = dy.stride[2];
      g.row_step = dy.stride[3];
      if (staged) {
        const PoolCover cd = cover_of(d, b.d, b.d + 1), ch = cover_of(h, b.h, b.h_end);
        Box<const T> from = plane_box(dy, g.dy + cd.first * dy.stride[2] + ch.first * dy.stride[3]);
        from.shape[0] = cd.last - cd.first, from.shape[1] = ch.last - ch.first;
        copy_in(from, 0, from.size(), staged_dy);
        g.row_step = w.out;
        g.plane_step = w.out * from.shape[1];
        g.dy = staged_dy - (cd.first * g.plane_step + ch.first * g.row_step);
      }
      auto to = plane_box(dx, plane_of(p, dx, b.plane) + b.d * dx.stride[2] + b.h * dx.stride[3] + b.w * dx.stride[4]);
      g.dx = packed ? to.data : staged_dx;
      g.dx_row = packed ? dx.stride[3] : b.w_end - b.w;
      pool_functions<T>().avg_grad(g);
      to.shape[0] = 1, to.shape[1] = b.h_end - b.h, to.shape[2] = b.w_end - b.w;
      if (!packed) copy_out(staged_dx, to);
    }
  });
}

}  // namespace

template <class T>
void avg_pool_backward(const PoolProblem& problem, Averaging averaging, View<const T> dy, View<T> dx) {
  PoolProblem p = normal_form(problem);
  const PoolAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  if (dx.size() == 0) return;
  if (dy.size() == 0) return clear(p, dx);
  if (is_even(p, dy) && is_even(p, dx)) join_batch(p);
  const AvgWeights<T> weights{p, averaging};
  const T row_weight = weights.of(0, 0) * weights.of(1, 0), column_weight = weights.scale * weights.of(2, 0);
  if (is_whole(d) && is_whole(h) && is_whole(w)) return avg_whole_backward(p, dy, row_weight * column_weight, dx);
  const double divisor = common_divisor(p, divisor_of(averaging));
  auto is_stepless = [](const PoolAxis& a) { return is_regular(a) && a.stride == 1; };
  if (divisor > 0 && is_stepless(d) && is_stepless(h) && is_stepless(w))
    return avg_pool<T>(transposed(p), {false, static_cast<int64_t>(divisor)}, dy, dx);
  if (!avg_pool_tiles_backward(p, dy, dx, row_weight, column_weight)) avg_strips_backward(p, weights, dy, dx);
}

template <class T>
void max_unpool(View<const T> x, View<const int64_t> indices, View<T> y) {
  scatter_given(x, indices, y, false);
}

template <class T>
void max_unpool_backward(View<const T> dy, View<const int64_t> indices, View<T> dx) {
  const int64_t outputs = plane_size(dx), size = plane_size(dy);
  share_planes(dy, dx, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const DensePlanes<T> planes(dy, indices, dx, i);
      const int64_t taken = gather_elements(planes.dy, planes.index, outputs, planes.dx, size);
      if (taken < outputs) bad_index(planes.index[taken], size);
      planes.finish();
    }
  });
}

#define FASTCONV_POOL_BACKWARD(T)                                                                                  \
  template void max_pool_backward(const PoolProblem&, View<const T>, View<const T>, View<const int64_t>, View<T>); \
  template void avg_pool_backward(const PoolProblem&, Averaging, View<const T>, View<T>);                          \
  template void max_unpool(View<const T>, View<const int64_t>, View<T>);                                           \
  template void max_unpool_backward(View<const T>, View<const int64_t>, View<T>);
FASTCONV_POOL_BACKWARD(float)
FASTCONV_POOL_BACKWARD(double)

}  // namespace fastconv
