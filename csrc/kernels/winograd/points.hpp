// The transforms of one line of a tile by Winograd's F(4x4, 3x3) and F(5x5, 2x2) on the points 0, 1, -1, 2, -2 and
// infinity, and by F(6x6, 3x3) and F(4x4, 5x5) on the points of strips; what all kernels of squares share. This and the
// following are parts of winograd.cpp.
#pragma once
#include "kernels/winograd/strips.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The number of tile s of row r.
FASTCONV_INLINE int64_t number_of(const WinogradTiles& t, int64_t r, int64_t s) {
  const int64_t phase = t.phase[r & t.phases][s & t.phases];
  r >>= t.phases, s >>= t.phases;
  const bool low = r >= t.whole_down, right = s >= t.whole_across;
  return phase + t.begin[low][right] + (low ? 0 : r) * (right ? 1 : t.whole_across) + (right ? 0 : s);
}

// Whether halves of a transform are unrolled, which takes twice the code: where most values of a tile fit the
// registers.
template <class T, int P>
constexpr bool kUnrolled = P == 6 && sizeof(T) == 4 && FASTCONV_VEC_REGISTERS == 32;

// Whether large squares share the kernel of their outputs, whatever their taps: it is slower, but one for all.
template <class T>
constexpr bool kSharesOutputs = sizeof(T) == 8;

// f(0) ... f(n - 1), N if unrolled
template <int N, bool kUnroll, class F>
FASTCONV_INLINE void each(F f, [[maybe_unused]] int n = N) {
  if constexpr (kUnroll) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) f(i);
  } else {
#pragma GCC unroll 1
    for (int i = 0; i < n; ++i) f(i);
  }
}

// The first `count` of P values to one plane after another, what is `ahead` of them being fetched. Returns the plane
// behind the last: addresses are added up, which takes less than to multiply them.
template <class T, int P>
FASTCONV_INLINE T* store_planes(T* to, int64_t plane, const Vec<T> (&v)[P], int ahead, int count = P) {
#pragma GCC unroll 8
  for (int j = 0; j < P; ++j, to += plane)
    if (j < count) store(to, v[j]), __builtin_prefetch(to + ahead, 1);
  return to;
}

// out = B^T in, each value divided by what G's would be: of small images, weights are more than inputs.
template <class T>
FASTCONV_INLINE void input_transform(const Vec<T> (&d)[6], Vec<T> (&v)[6]) {
  const Vec<T> even = T(2.0 / 3) * d[2] - T(1.0 / 6) * d[4], odd = T(2.0 / 3) * d[1] - T(1.0 / 6) * d[3];
  const Vec<T> even2 = T(1.0 / 24) * (d[4] - d[2]), odd2 = T(1.0 / 12) * (d[3] - d[1]);
  v[0] = d[0] - T(1.25) * d[2] + T(0.25) * d[4];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even2 + odd2;
  v[4] = even2 - odd2;
  v[5] = T(4) * d[1] - T(5) * d[3] + d[5];
}

// out = B in
template <class T>
FASTCONV_INLINE void input_transform_back(const Vec<T> (&m)[6], Vec<T> (&d)[6]) {
  const Vec<T> sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  d[0] = m[0];
  d[1] = T(2.0 / 3) * difference - T(1.0 / 12) * difference2 + T(4) * m[5];
  d[2] = T(2.0 / 3) * sum - T(1.0 / 24) * sum2 - T(1.25) * m[0];
  d[3] = T(1.0 / 12) * difference2 - T(1.0 / 6) * difference - T(5) * m[5];
  d[4] = T(1.0 / 24) * sum2 - T(1.0 / 6) * sum + T(0.25) * m[0];
  d[5] = m[5];
}
template <class T>
FASTCONV_INLINE void input_transform_back(const Vec<T> (&m)[8], Vec<T> (&d)[8]) {
  const Vec<T> sum[3] = {m[1] + m[2], m[3] + m[4], m[5] + m[6]};
  const Vec<T> difference[3] = {m[1] - m[2], m[3] - m[4], m[5] - m[6]};
  d[0] = m[0];
  d[1] = difference[0] + T(0.5) * difference[1] + T(2) * difference[2] - m[7];
  d[2] = sum[0] + T(0.25) * sum[1] + T(4) * sum[2] - T(5.25) * m[0];
  d[3] = T(-4.25) * difference[0] - T(2.5) * (difference[1] + difference[2]) + T(5.25) * m[7];
  d[4] = T(-4.25) * sum[0] - T(1.25) * sum[1] - T(5) * sum[2] + T(5.25) * m[0];
  d[5] = difference[0] + T(2) * difference[1] + T(0.5) * difference[2] - T(5.25) * m[7];
  d[6] = sum[0] + sum[1] + sum[2] - m[0];
  d[7] = m[7];
}

// out = A^T in, and G^T in but for its divisors.
template <class T, int N>
FASTCONV_INLINE void output_transform(const Vec<T> (&m)[6], Vec<T> (&y)[N], int = N) {
  const Vec<T> sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum + sum2;
#pragma GCC unroll 8
  for (int k = 1; k < N; ++k) y[k] = k % 2 ? difference + T(1 << k) * difference2 : sum + T(1 << k) * sum2;
  y[N - 1] += m[5];
}
template <class T, int N>
FASTCONV_INLINE void output_transform(const Vec<T> (&m)[8], Vec<T> (&y)[N], int n) {
  strip_output<T>(m, y, n);
}

// The values of polynomials at the points: G in, but for its divisors, and A in.
template <class T, int R>
FASTCONV_INLINE void point_values(const Vec<T> (&g)[R], Vec<T> (&u)[6]) {
  Vec<T> even = g[0], odd = g[1], even2 = g[0], odd2 = T(2) * g[1];
#pragma GCC unroll 8
  for (int k = 2; k < R; k += 2) even += g[k], even2 += T(1 << k) * g[k];
#pragma GCC unroll 8
  for (int k = 3; k < R; k += 2) odd += g[k], odd2 += T(1 << k) * g[k];
  u[0] = g[0];
  u[1] = even + odd;
  u[2] = even - odd;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = g[R - 1];
}

// G in, but for the divisors of small tiles, of r taps, zeros behind
template <class T, int R>
FASTCONV_INLINE void weight_transform(const Vec<T> (&g)[R], Vec<T> (&u)[6], int) {
  point_values<T>(g, u);
}
template <class T, int R>
FASTCONV_INLINE void weight_transform(const Vec<T> (&g)[R], Vec<T> (&u)[8], int r) {
  strip_weight_transform<T>(g, u);
  u[7] = r == R ? g[R - 1] : g[R - 2];
}

// G^T in, but for the divisors of small tiles, for r taps
template <class T, int R>
FASTCONV_INLINE void sum_transform(const Vec<T> (&s)[6], Vec<T> (&w)[R], int64_t) {
  output_transform<T>(s, w);
}
template <class T, int R>
FASTCONV_INLINE void sum_transform(const Vec<T> (&s)[8], Vec<T> (&w)[R], [[maybe_unused]] int64_t r) {
#pragma GCC unroll 4
  for (int t = 0; t < R; ++t) w[t] = strip_sum<T>(s, t);
  (R < 5 || r == R ? w[R - 1] : w[R - 2]) += s[7];
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
