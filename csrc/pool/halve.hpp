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

// task(n, c) for every plane.
template <class Task>
void for_each_plane(const PoolProblem& p, double bytes, Task task) {
  const int64_t planes = p.mb * p.channels;
  const int threads = planes ? threads_for(bytes) : 1;
  const int64_t each = ceil_div(planes, 8 * threads);  // planes of a task: many are smaller than the handing out
  parallel_tasks(ceil_div(planes, std::max<int64_t>(each, 1)), threads, [&](int64_t task_number) {
    const int64_t first = task_number * each, last = std::min(first + each, planes);
    for (int64_t i = first; i < last; ++i) task(i / p.channels, i % p.channels);
  });
}

// Returns false if the kernel does not take the problem.
template <class T>
bool max_pool_halving(const PoolProblem& p, const View<const T>& x, const View<T>& y) {
  if (!is_halving(p) || x.stride[4] != 1 || !is_dense_plane(y)) return false;
  const T* end = end_of(x);
  for_each_plane(p, bytes_moved<T>(p), [&](int64_t n, int64_t c) {
    pool_functions<T>().halve({x.data + n * x.stride[0] + c * x.stride[1], x.stride[3], end,
                               y.data + n * y.stride[0] + c * y.stride[1], p.axis[1].out, p.axis[2].out});
  });
  return true;
}

template <class T>
bool max_pool_halving_backward(const PoolProblem& p, const View<const T>& dy, const View<const T>& x, const View<T>& dx) {
  const bool covered = p.axis[1].in == 2 * p.axis[1].out && p.axis[2].in == 2 * p.axis[2].out;
  if (!is_halving(p) || !covered || x.stride[4] != 1 || !is_dense_plane(dy) || !is_dense_plane(dx)) return false;
  const T *x_end = end_of(x), *dy_end = end_of(dy);
  for_each_plane(p, 2 * bytes_moved<T>(p), [&](int64_t n, int64_t c) {
    pool_functions<T>().halve_grad({x.data + n * x.stride[0] + c * x.stride[1], x.stride[3], x_end,
                                    dy.data + n * dy.stride[0] + c * dy.stride[1], dy_end,
                                    dx.data + n * dx.stride[0] + c * dx.stride[1], p.axis[1].out, p.axis[2].out});
  });
  return true;
}

}  // namespace fastconv
