// Max pooling by 2x2 windows at stride 2, what most networks pool by: a whole plane at a time, both ways, two vectors of
// each of two input rows in registers. The gradient finds the winners again from the input.
#pragma once
#include "kernels/edges.hpp"
#include "kernels/pool.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The even and the odd ones of 2n elements from p.
template <class T>
struct Couples {
  Vec<T> even, odd;
  FASTCONV_INLINE Couples(const T* p, int64_t n, const T* end) {
    const Vec<T> low = load_some(p, 2 * n, end), high = load_some(p + kLanes<T>, 2 * n - kLanes<T>, end);
    even = even_lanes(low, high);
    odd = odd_lanes(low, high);
  }
};

template <class V>
FASTCONV_INLINE V larger(V a, V b) {
  const V most = b > a ? b : a;
  return b == b ? most : b;  // a NaN is larger than any number
}

// Columns go from the last to the first: what a store leaves behind the row's end is overwritten by later rows.
template <class T>
FASTCONV_INLINE int64_t last_step(int64_t columns) {
  return (columns - 1) / kLanes<T> * kLanes<T>;
}

template <class T>
void halve(const PoolHalves<T>& g) {
  const T* y_end = g.y + g.rows * g.columns;
  for (int64_t h = 0; h < g.rows; ++h) {
    const T* x = g.x + 2 * h * g.x_row;
    T* y = g.y + h * g.columns;
    for (int64_t w = last_step<T>(g.columns); w >= 0; w -= kLanes<T>) {
      const int64_t n = g.columns - w;
      const Couples<T> above(x + 2 * w, n, g.x_end), below(x + g.x_row + 2 * w, n, g.x_end);
      store_some(y + w, larger(larger(above.even, above.odd), larger(below.even, below.odd)), n, y_end);
    }
  }
}

template <class T>
FASTCONV_INLINE Mask<T> beats(Vec<T> later, Vec<T> best) {
  return (later > best) | ((later != later) & (best == best));
}

template <class T>
void halve_grad(const PoolHalvesGrad<T>& g) {
  const int64_t row = 2 * g.columns;
  const T* dx_end = g.dx + 2 * g.rows * row;
  const Vec<T> zero{};
  for (int64_t h = 0; h < g.rows; ++h) {
    const T* x = g.x + 2 * h * g.x_row;
    const T* dy = g.dy + h * g.columns;
    T* dx = g.dx + 2 * h * row;
    for (int64_t w = last_step<T>(g.columns); w >= 0; w -= kLanes<T>) {
      const int64_t n = g.columns - w;
      const Couples<T> above(x + 2 * w, n, g.x_end), below(x + g.x_row + 2 * w, n, g.x_end);
      const Vec<T> d = load_some(dy + w, n, g.dy_end);
      const Mask<T> second = beats<T>(above.odd, above.even);
      Vec<T> best = second ? above.odd : above.even;
      const Mask<T> third = beats<T>(below.even, best);
      best = third ? below.even : best;
      const Mask<T> fourth = beats<T>(below.odd, best);
      const Vec<T> d4 = fourth ? d : zero, d3 = (third & ~fourth) ? d : zero;
      const Vec<T> d2 = (second & ~(third | fourth)) ? d : zero, d1 = (second | third | fourth) ? zero : d;
      auto put = [&](T* p, Vec<T> even, Vec<T> odd) FASTCONV_LAMBDA {
        store_some(p, zip_low(even, odd), 2 * n, dx_end);
        store_some(p + kLanes<T>, zip_high(even, odd), 2 * n - kLanes<T>, dx_end);
      };
      put(dx + 2 * w, d1, d2);
      put(dx + row + 2 * w, d3, d4);
    }
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
