// Small planes are pooled many at a time, a plane a vector lane: their rows are too short to fill vectors. Any windows will
// do, for they are listed here once a call.
#pragma once
#include <vector>

#include "pool/rows.hpp"

namespace fastconv {

// The windows of all axes, and what their outputs are divided by.
template <class T>
class LaneTables {
 public:
  explicit LaneTables(const PoolProblem& p) {
    for (int i = 0; i < 3; ++i)
      for (int64_t o = 0; o < p.axis[i].out; ++o) windows_[i].push_back(pool_window(p.axis[i], o));
  }
  // f(axis, o) for every output.
  template <class F>
  void divide(const PoolProblem& p, F f) {
    for (int i = 0; i < 3; ++i)
      for (int64_t o = 0; o < p.axis[i].out; ++o) divisors_[i].push_back(static_cast<T>(f(i, o)));
  }
  void cover(const PoolProblem& p) {
    for (int i = 0; i < 3; ++i)
      for (int64_t j = 0; j < p.axis[i].in; ++j) covers_[i].push_back(pool_cover(p.axis[i], j));
  }
  LaneAxis<T> axis(const PoolProblem& p, int i) const {
    const PoolAxis& a = p.axis[i];
    return {a.in, a.out, a.dilation, windows_[i].data(), covers_[i].data(), divisors_[i].data()};
  }

 private:
  std::vector<PoolWindow> windows_[3];
  std::vector<PoolCover> covers_[3];
  std::vector<T> divisors_[3];
};

template <class T>
int64_t plane_offset(const View<T>& v, int64_t channels, int64_t plane) {
  return plane / channels * v.stride[0] + plane % channels * v.stride[1];
}

// kernel(planes of x and dy, to y and index) for all planes, as many at a time as there are lanes. Views without data are
// left out.
template <class T>
void run_lanes(const PoolProblem& p, const LaneTables<T>& tables, LanePoolFunction<T> kernel, View<const T> x, View<const T> dy,
               View<T> y, View<int64_t> index, bool divided, T scale) {
  const int64_t lanes = pool_functions<T>().lanes, planes = p.mb * p.channels, groups = ceil_div(planes, lanes);
  if (planes == 0) return;
  LanePlanes<T> call{};
  int64_t in = 1, out = 1;
  for (int i = 0; i < 3; ++i) {
    call.axis[i] = tables.axis(p, i);
    in *= p.axis[i].in;
    out *= p.axis[i].out;
  }
  call.x_end = end_of(x);
  call.dy_end = end_of(dy);
  call.divided = divided;
  call.scale = scale;
  call.y_packed = y.stride[1] == y.shape[2] * y.shape[3] * y.shape[4] && (p.mb == 1 || y.stride[0] == p.channels * y.stride[1]);
  const int64_t width = std::max(p.axis[2].in, p.axis[2].out);
  const int64_t bytes = lane_pool_scratch(in, width, out) * lanes * static_cast<int64_t>(sizeof(T));
  const int threads = threads_for(2 * bytes_moved<T>(p));
  const int64_t each = threads == 1 ? groups : ceil_div(groups, 8 * threads);
  parallel_tasks(ceil_div(groups, each), threads, [&](int64_t task) {
    LanePlanes<T> g = call;
    g.scratch = Arena::local().reserve(bytes);
    for (int64_t group = task * each; group < std::min(groups, (task + 1) * each); ++group) {
      const int64_t first = group * lanes;
      g.planes = std::min(lanes, planes - first);
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t plane = first + (l < g.planes ? l : 0);
        g.x[l] = x.data + plane_offset(x, p.channels, plane);
        g.dy[l] = dy.data + plane_offset(dy, p.channels, plane);
        g.y[l] = y.data + plane_offset(y, p.channels, plane);
        g.index[l] = index.data + plane_offset(index, p.channels, plane);
      }
      kernel(g);
    }
  });
}

}  // namespace fastconv
