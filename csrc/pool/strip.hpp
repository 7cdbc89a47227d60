// Dense planes with short windows go to kernels that need no scratch memory.
#pragma once
#include <vector>

#include "pool/rows.hpp"

namespace fastconv {

inline bool suits_strips(const PoolProblem& p) {
  const PoolAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  const bool steps = w.stride == 1 || w.stride == 2 || w.stride == 4;
  const double plane = static_cast<double>(d.in) * static_cast<double>(h.in) * static_cast<double>(w.in);
  return w.windows == PoolWindows::regular && steps && w.dilation == 1 && w.k <= kStripTaps * w.stride && h.windows == PoolWindows::regular &&
         d.windows == PoolWindows::regular && d.k * h.k <= 4 * kStripTaps && plane < INT32_MAX / 2;
}

inline bool is_power_of_two(double v) {
  int exponent;
  return std::frexp(v, &exponent) == 0.5;
}

// The windows' rows, and what outputs are divided by: listed once a call.
template <class T>
class StripTables {
 public:
  explicit StripTables(const PoolProblem& p) {
    for (int i = 0; i < 2; ++i)
      for (int64_t o = 0; o < p.axis[i].out; ++o) windows_[i].push_back(pool_window(p.axis[i], o));
  }
  // f(axis, o) for every output. Windows inside the input are all alike: one is asked for.
  template <class F>
  void divide(const PoolProblem& p, F f) {
    for (int i = 0; i < 3; ++i) {
      const PoolAxis& a = p.axis[i];
      const int64_t room = a.in + a.pad_before - pool_extent(a);  // the last window that ends inside begins here at most
      const int64_t lo = std::min(a.out, ceil_div(a.pad_before, a.stride));
      const int64_t hi = room < 0 ? lo : std::max(lo, std::min(a.out, room / a.stride + 1));
      auto ask = [&](int64_t o) {
        const T v = static_cast<T>(f(i, o));
        inverse_ = inverse_ && is_power_of_two(v);
        return v;
      };
      divisors_[i].assign(static_cast<size_t>(a.out), lo < hi ? ask(lo) : T(1));
      for (int64_t o = 0; o < lo; ++o) divisors_[i][static_cast<size_t>(o)] = ask(o);
      for (int64_t o = hi; o < a.out; ++o) divisors_[i][static_cast<size_t>(o)] = ask(o);
    }
    if (inverse_)
      for (auto& list : divisors_)
        for (T& v : list) v = 1 / v;
    divisors_[2].resize(divisors_[2].size() + kMaxLanes, T(1));
    divided_ = true;
  }
  void put(PoolStrip<T>& g) const {
    g.depth = windows_[0].data();
    g.height = windows_[1].data();
    g.divided = divided_;
    g.inverse = inverse_;
    g.depth_divisors = divisors_[0].data();
    g.height_divisors = divisors_[1].data();
    g.width_divisors = divisors_[2].data();
  }

 private:
  std::vector<PoolWindow> windows_[2];
  std::vector<T> divisors_[3];
  bool divided_ = false, inverse_ = true;
};

// kernel(rows of a plane of x, to y and index) for all planes, some rows at a time where planes are few.
template <class T>
void run_strips(const PoolProblem& p, const StripTables<T>& tables, PoolStripFunction<T> kernel, const View<const T>& x,
                const View<T>& y, const View<int64_t>& index) {
  const int64_t planes = p.mb * p.channels, rows = p.axis[0].out * p.axis[1].out, width = p.axis[2].out;
  if (planes * rows * width == 0) return;
  PoolStrip<T> call{};
  tables.put(call);
  call.axis = p.axis;
  call.x_begin = x.data;
  call.x_end = end_of(x);
  for (int i = 0; i < 5; ++i) call.x_begin += std::min<int64_t>(0, (x.shape[i] - 1) * x.stride[i]);
  call.plane_step = x.stride[2];
  call.row_step = x.stride[3];
  const int threads = threads_for(bytes_moved<T>(p));
  const int64_t total = planes * rows, each = threads == 1 ? total : std::max<int64_t>(1, total / (8 * threads));
  parallel_tasks(ceil_div(total, each), threads, [&](int64_t task) {
    PoolStrip<T> g = call;
    const int64_t stop = std::min(total, (task + 1) * each);
    for (int64_t at = task * each; at < stop;) {
      const int64_t plane = at / rows, n = plane / p.channels, c = plane % p.channels;
      g.first = at % rows;
      g.last = std::min(rows, g.first + stop - at);
      g.x = x.data + n * x.stride[0] + c * x.stride[1];
      g.y = y.data + n * y.stride[0] + c * y.stride[1] + g.first * width;
      g.y_end = g.y + (g.last - g.first) * width;
      if (index.data) g.index = index.data + n * index.stride[0] + c * index.stride[1] + g.first * width;
      kernel(g);
      at += g.last - g.first;
    }
  });
}

}  // namespace fastconv
