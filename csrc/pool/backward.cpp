// Gradients of maxima and averages. Averages and maxima of common windows are gathered row by row; others are
// scattered, a plane a thread, so that every element adds its terms in the order of the outputs.
#include <vector>

#include "pool/divisor.hpp"
#include "pool/pixels.hpp"
#include "pool/planes.hpp"
#include "pool/tiles.hpp"
#include "pool/weights.hpp"

namespace fastconv {
namespace {

template <class T>
int64_t plane_size(const View<T>& v) {
  return v.shape[2] * v.shape[3] * v.shape[4];
}

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
  const int64_t outputs = plane_size(dy), size = plane_size(dx), channels = dx.shape[1];
  const bool adjacent = dx.stride[1] == size && (dx.shape[0] == 1 || dx.stride[0] == channels * size);
  const int64_t together =
      adjacent ? ceil_div(kPoolRun, std::max<int64_t>(1, size)) : 1;  // planes that are cleared at a time
  share_planes(dy, dx, [&](int64_t begin, int64_t end) {
    const T* from[kScattered];
    const int64_t* index[kScattered];
    T *to[kScattered], zero = 0;
    for (int64_t i = begin, cleared = begin; i < end;) {
      const int count = add && end - i >= kScattered ? kScattered : 1;
      for (int j = 0; j < count; ++j, ++i) {
        const PlaneCursor at(channels, i);
        from[j] = at.of(dy), index[j] = at.of(indices), to[j] = at.of(dx);
        if (i < cleared) continue;
        const int64_t some = std::min(together, end - i);
        pool_functions<T>().fill_runs(&zero, 0, T(1), to[j], 0, 1, some * size);
        cleared += some;
      }
      const int64_t* wrong = count > 1 ? scatter_planes(from, index, to, outputs, size)
                                       : scatter_elements(from[0], index[0], outputs, to[0], size, add);
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
  if (!kernel) return false;
  const bool joined = is_dense_image(dy) && is_dense_image(dx) && (!index.data || is_dense_image(index));
  for_each_run(p, 2 * bytes_moved<T>(p), joined, [&](const PlaneCursor& at, int64_t planes) {
    const int64_t* given = index.data ? at.of(index) : nullptr;
    if (kernel({index.data ? nullptr : at.of(x), x.stride[3], x.stride[1], given, at.of(dy), at.of(dx), planes, h.out,
                w.out}))
      return;
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
  if (indices.data) x = {};
  join_batch(p, dy, x, indices, dx);
  if (max_pool_pixels_backward(p, any_view(dy), any_view(x), any_view(indices), any_view(dx))) return;
  if (in_dense_planes(p, 2, max_pool_backward<T>, dy, x, indices, dx)) return;
  if (max_pool_halves_backward(p, dy, x, indices, dx)) return;
  if (indices.data) return scatter_given(dy, indices, dx, true);
  // The winners of some planes, found again.
  const int64_t d = p.axis[0].out, h = p.axis[1].out, w = p.axis[2].out, outputs = d * h * w;
  for_each_group<T>(p, outputs * static_cast<int64_t>(sizeof(int64_t) + sizeof(T)), 0, [&](const PlaneGroup& g) {
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
  share_out(p.mb * p.channels, bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {
      const int64_t count = std::min(end - i, p.channels - i % p.channels);
      pool_functions<T>().fill_runs(plane_of(p, dy, i), dy.stride[1], weight, plane_of(p, dx, i), dx.stride[1], count,
                                    plane_size(dx));
      i += count;
    }
  });
}

// The most outputs of an axis that reach n input elements next to each other.
int64_t cover_bound(const PoolAxis& a, int64_t n) {
  return is_regular(a) ? (n + a.k) / a.stride + 2 : (n + 1) * ceil_div(a.out, a.in) + 2;
}

// Rows of dx, cut into blocks.
template <class T>
void avg_strips_backward(const PoolProblem& p, const AvgWeights<T>& weights_of, const View<const T>& dy,
                         const View<T>& dx) {
  const PoolAxis &h = p.axis[1], &w = p.axis[2];
  const Vector<T> plane_weights = weights_of.all(0), row_weights = weights_of.all(1);
  const int64_t columns = std::min(w.in, kPoolSpan);
  BlockGrid grid{p.mb * p.channels, 1, h.in, w.in, 1, columns};
  cut_rows(grid, h.in, bytes_moved<T>(p));
  const int64_t bound = cover_bound(w, columns),
                outputs = (is_regular(w) ? bound : std::min(w.out, bound)) + kPoolSlack;
  const int64_t spare = AvgWeights<T>::kSpare, rows = cover_bound(p.axis[0], 1) * cover_bound(h, 1);
  share_out(grid.size(), bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    T* weights = reinterpret_cast<T*>(Arena::local().reserve(
        (outputs + spare + avg_grad_scratch(outputs, columns, rows)) * static_cast<int64_t>(sizeof(T))));
    AvgGradStrip<T> g{};
    g.axis = p.axis;
    g.plane_weight = plane_weights.data();
    g.row_weight = row_weights.data();
    g.weight = weights;
    g.scratch = weights + outputs + spare;
    g.dy_plane = dy.stride[1];
    g.dx_plane = dx.stride[1];
    g.most_rows = rows;
    for (int64_t i = begin, listed = -1; i < end; i += g.planes) {
      const Block b = block_of(grid, i);
      g.planes = grid.alike(i, end, p.channels);
      g.first_row = b.h;
      g.last_row = b.h_end;
      g.first = b.w;
      g.last = b.w_end;
      if (listed != b.segment) weights_of.list(b.w, b.w_end, weights);
      listed = b.segment;
      g.dy = plane_of(p, dy, b.plane);
      g.plane_step = dy.stride[2];
      g.row_step = dy.stride[3];
      g.dx = plane_of(p, dx, b.plane) + b.h * dx.stride[3] + b.w * dx.stride[4];
      g.dx_depth = dx.stride[2];
      g.dx_row = dx.stride[3];
      pool_functions<T>().avg_grad(g);
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
  join_batch(p, dy, dx);
  const double divisor = common_divisor(p, divisor_of(averaging));
  auto is_stepless = [](const PoolAxis& a) { return is_regular(a) && a.stride == 1; };
  if (!is_whole(p) && divisor > 0 && is_stepless(d) && is_stepless(h) && is_stepless(w))
    return avg_pool<T>(transposed(p), {false, static_cast<int64_t>(divisor)}, dy, dx);
  if (avg_pool_pixels_backward(p, averaging, any_view(dy), any_view(dx))) return;
  auto some = [&](const PoolProblem& g, View<const T> from, View<T> to) { avg_pool_backward(g, averaging, from, to); };
  if (in_dense_planes(p, is_whole(p) ? 0 : 3, some, dy, dx)) return;
  const AvgWeights<T> weights{p, averaging};
  const T row_weight = weights.of(0, 0) * weights.of(1, 0), column_weight = weights.scale * weights.of(2, 0);
  if (is_whole(p)) return avg_whole_backward(p, dy, row_weight * column_weight, dx);
  if (!avg_pool_tiles_backward(p, dy, dx, row_weight, column_weight)) avg_strips_backward(p, weights, dy, dx);
}

// What knows no windows: planes alone.
template <class T>
PoolProblem unpool_problem(const View<T>& x) {
  PoolProblem p;
  p.mb = x.shape[0], p.channels = x.shape[1];
  return p;
}

template <class T>
void max_unpool(View<const T> x, View<const int64_t> indices, View<T> y) {
  auto scatter = [](const PoolProblem&, const auto& from, const auto& at, const auto& to) {
    scatter_given(from, at, to, false);
  };
  const PoolProblem p = unpool_problem(x);
  if (!in_dense_planes(p, 0, scatter, x, indices, y)) scatter(p, x, indices, y);
}

template <class T>
void max_unpool_backward(View<const T> dy, View<const int64_t> indices, View<T> dx) {
  auto gather = [](const PoolProblem&, const auto& from, const auto& at, const auto& to) {
    share_planes(from, to, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const PlaneCursor plane(to.shape[1], i);
        const int64_t* wrong =
            gather_elements(plane.of(from), plane.of(at), plane_size(to), plane.of(to), plane_size(from));
        if (wrong) bad_index(*wrong, plane_size(from));
      }
    });
  };
  const PoolProblem p = unpool_problem(dx);
  if (!in_dense_planes(p, 0, gather, dy, indices, dx)) gather(p, dy, indices, dx);
}

#define FASTCONV_POOL_BACKWARD(T)                                                                                  \
  template void max_pool_backward(const PoolProblem&, View<const T>, View<const T>, View<const int64_t>, View<T>); \
  template void avg_pool_backward(const PoolProblem&, Averaging, View<const T>, View<T>);                          \
  template void max_unpool(View<const T>, View<const int64_t>, View<T>);                                           \
  template void max_unpool_backward(View<const T>, View<const int64_t>, View<T>);
FASTCONV_POOL_BACKWARD(float)
FASTCONV_POOL_BACKWARD(double)

}  // namespace fastconv
