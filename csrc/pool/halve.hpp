// Max pooling by 2x2 windows at stride 2 has kernels of its own, which take whole planes.
#pragma once
#include "pool/rows.hpp"

namespace fastconv {

template <class T>
bool is_dense_plane(const View<T>& v) {
  return v.stride[4] == 1 && v.stride[3] == v.shape[4];
}

inline bool is_halved(const PoolAxis& a) {
  return a.windows == PoolWindows::regular && a.k == 2 && a.stride == 2 && a.dilation == 1 && a.pad_before == 0 &&
         2 * a.out <= a.in && a.out > 0;
}

// Windows of 2x2 side by side that lie inside the input, on two axes.
inline bool is_halving(const PoolProblem& p) {
  return p.axis[0].in == 1 && p.axis[0].out == 1 && is_halved(p.axis[1]) && is_halved(p.axis[2]);
}

// One past the highest address of a view.
template <class T>
const T* end_of(const View<const T>& x) {
  const T* p = x.data + 1;
  for (int i = 0; i < 5; ++i) p += std::max<int64_t>(0, (x.shape[i] - 1) * x.stride[i]);
  return p;
}

// Returns false if the kernel does not take the problem.
template <class T>
bool max_pool_halving(const PoolProblem& p, const View<const T>& x, const View<T>& y) {
  if (!is_halving(p) || x.stride[4] != 1 || !is_dense_plane(y)) return false;
  const T* end = end_of(x);
  share_out(p.mb * p.channels, bytes_moved<T>(p), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      pool_functions<T>().halve({plane_of(p, x, i), x.stride[3], end, plane_of(p, y, i), p.axis[1].out, p.axis[2].out});
  });
  return true;
}

template <class T>
bool max_pool_halving_backward(const PoolProblem& p, const View<const T>& dy, const View<const T>& x, const View<T>& dx) {
  const bool covered = p.axis[1].in == 2 * p.axis[1].out && p.axis[2].in == 2 * p.axis[2].out;
  if (!is_halving(p) || !covered || x.stride[4] != 1 || !is_dense_plane(dy) || !is_dense_plane(dx)) return false;
  const T *x_end = end_of(x), *dy_end = end_of(dy);
  share_out(p.mb * p.channels, 2 * bytes_moved<T>(p), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      pool_functions<T>().halve_grad({plane_of(p, x, i), x.stride[3], x_end, plane_of(p, dy, i), dy_end, plane_of(p, dx, i),
                                      p.axis[1].out, p.axis[2].out});
  });
  return true;
}

}  // namespace fastconv
