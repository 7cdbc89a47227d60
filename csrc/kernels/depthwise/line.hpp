// Many taps along a line (kernels/depthwise/depthwise.hpp).
#pragma once
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/depthwise/parts.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

// One shift of a line, whose vector v is at(v): it is under M taps a vector's width apart, of as many neighbouring
// sums.
template <class T, int C, int M, class At>
FASTCONV_INLINE void add_shift(const T* w, Vec<T> (&acc)[C], At at) {
  Vec<T> tap[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) tap[m] = splat(w[m * kLanes<T>]);
#pragma GCC unroll 16
  for (int v = 0; v < C + M - 1; ++v) {
    Vec<T> in = at(v);
    FASTCONV_LOADED(in);
#pragma GCC unroll 4
    for (int m = M - 1; m >= 0; --m)
      if (v - m >= 0 && v - m < C) acc[v - m] += tap[m] * in;
  }
}
// `end` shifts. Vectors across two cache lines are slow to load, and moving lanes takes the place of products: where
// registers are many, two of three shifts are lanes moved on.
template <class T, int C, int M>
FASTCONV_INLINE void add_shifts(const T* x, const T* w, int64_t s, int64_t end, Vec<T> (&acc)[C]) {
  constexpr int VL = kLanes<T>;
  if constexpr (FASTCONV_VEC_REGISTERS == 32 && VL >= 4) {
    for (; s + 3 <= end; s += 3) {
      Vec<T> in[C + M];
#pragma GCC unroll 16
      for (int v = 0; v < C + M; ++v) in[v] = load(x + s + v * VL);
      add_shift<T, C, M>(w + s, acc, [&](int v) FASTCONV_LAMBDA { return in[v]; });
      add_shift<T, C, M>(w + s + 1, acc, [&](int v) FASTCONV_LAMBDA { return moved_on<1>(in[v], in[v + 1]); });
      add_shift<T, C, M>(w + s + 2, acc, [&](int v) FASTCONV_LAMBDA { return moved_on<2>(in[v], in[v + 1]); });
    }
  }
  for (; s < end; ++s) add_shift<T, C, M>(w + s, acc, [&](int v) FASTCONV_LAMBDA { return load(x + s + v * VL); });
}
template <class T, int C, int M>
FASTCONV_INLINE void add_any_shifts(int64_t m, const T* x, const T* w, int64_t first, int64_t end, Vec<T> (&acc)[C]) {
  if constexpr (M > 0) {
    if (m == M) add_shifts<T, C, M>(x, w, first, end, acc);
    else add_any_shifts<T, C, M - 1>(m, x, w, first, end, acc);
  }
}

constexpr int kLineVectors = 8;
template <class T>
void line(const Line<T>& l) {
  constexpr int C = kLineVectors, VL = kLanes<T>, M = FASTCONV_VEC_REGISTERS == 32 ? 2 : 4;
  for (int64_t j = 0; j < l.n; j += C * VL) {
    if (j > l.n - C * VL) j = l.n - C * VL;  // the last sums once more
    Vec<T> acc[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) acc[c] = splat(l.bias);
    for (int64_t k = 0; k < l.taps; k += M * VL) {
      const int64_t taps = l.taps - k < M * VL ? l.taps - k : M * VL, m = (taps + VL - 1) / VL,
                    full = taps - (m - 1) * VL;
      for (int i = 0; i < 2; ++i)
        add_any_shifts<T, C, M>(m - i, l.x + j + k, l.w + k, i ? full : 0, i ? VL : full, acc);
    }
    if (l.clamp) clamp_all<T, C>(l.low, l.high, acc);
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) store(l.y + j + c * VL, acc[c]);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
