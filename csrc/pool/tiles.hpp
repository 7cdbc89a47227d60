// Windows side by side, 2 or 4 columns wide, have kernels of their own, which take whole planes.
#pragma once
#include "pool/rows.hpp"

namespace fastconv {

template <class T>
bool is_dense_plane(const View<T>& v) {
  return v.stride[4] == 1 && v.stride[3] == v.shape[4];
}

// Windows side by side within the input, on one axis and on two.
inline bool is_tiled(const PoolAxis& a) { return is_inside(a) && a.k == a.stride && a.dilation == 1 && a.out > 0; }
inline bool is_tiled(const PoolProblem& p) {
  const PoolAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  return d.in == 1 && is_whole(d) && is_tiled(h) && is_tiled(w) && (w.k == 2 || w.k == 4);
}
inline bool is_tiled_whole(const PoolProblem& p) {
  return is_tiled(p) && p.axis[1].in == p.axis[1].k * p.axis[1].out && p.axis[2].in == p.axis[2].k * p.axis[2].out;
}

// Whether the planes of an image lie one behind the other, rows of `row_step` elements.
template <class T>
bool is_dense_image(const View<T>& v, int64_t row_step) {
  return v.stride[3] == row_step && v.stride[1] == v.shape[3] * row_step;
}
template <class T>
bool is_dense_image(const View<T>& v) {
  return is_dense_image(v, v.shape[4]);
}

// task(cursor, count) for all planes, or, if they are joined, for runs of planes of one image.
template <class Task>
void for_each_run(const PoolProblem& p, double bytes, bool joined, Task task) {
  share_out(p.mb * p.channels, bytes, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last;) {
      const PlaneCursor at(p.channels, i);
      const int64_t count = joined ? std::min(last - i, p.channels - at.c) : 1;
      task(at, count);
      i += count;
    }
  });
}

// Maxima, or sums times `factor` or over it. Returns false if the kernel does not take the problem; so does the next.
template <class T>
bool pool_tiles(const PoolProblem& p, const View<const T>& x, const View<T>& y, bool max, bool divided, T factor) {
  if (!is_tiled(p) || x.stride[4] != 1 || !is_dense_plane(y)) return false;
  const PoolAxis &h = p.axis[1], &w = p.axis[2];
  const PoolTileFunctions<T>& f = *pool_functions<T>().tiles;
  const auto kernel = (max ? f.max : f.sum)[w.k == 4];
  if (!kernel) return false;
  const bool joined = h.in == h.k * h.out && is_dense_image(x, x.stride[3]) && is_dense_image(y);
  for_each_run(p, bytes_moved<T>(p), joined, [&](const PlaneCursor& at, int64_t planes) {
    kernel({at.of(x), x.stride[3], h.k * x.stride[3], at.of(y), planes * h.out, w.out, h.k, factor, divided});
  });
  return true;
}

template <class T>
bool avg_pool_tiles_backward(const PoolProblem& p, const View<const T>& dy, const View<T>& dx, T row_weight, T weight) {
  if (!is_tiled_whole(p) || !is_dense_plane(dy) || !is_dense_plane(dx)) return false;
  const PoolAxis &h = p.axis[1], &w = p.axis[2];
  const auto kernel = pool_functions<T>().tiles->spread[w.k == 4];
  if (!kernel) return false;
  const bool joined = is_dense_image(dy) && is_dense_image(dx);
  for_each_run(p, bytes_moved<T>(p), joined, [&](const PlaneCursor& at, int64_t planes) {
    kernel({at.of(dy), at.of(dx), planes * h.out, w.out, h.k, row_weight, weight});
  });
  return true;
}

}  // namespace fastconv
