// Winograd's algorithm along one axis: F(7, 2), F(6, 3), F(5, 4) and F(4, 5) on the points 0, 1, -1, 2, -2, 1/2, -1/2
// and infinity, a vector holding one value of many channels. One axis rounds as little on eight points as two on six.
#pragma once
#include "kernels/transpose.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// out = B^T in
template <class T>
FASTCONV_INLINE void strip_input(const Vec<T> (&d)[8], Vec<T> (&v)[8]) {
  const Vec<T> one = d[6] - T(4.25) * d[4] + d[2], one_odd = d[5] - T(4.25) * d[3] + d[1];
  const Vec<T> two = d[6] - T(1.25) * d[4] + T(0.25) * d[2], two_odd = T(2) * d[5] - T(2.5) * d[3] + T(0.5) * d[1];
  const Vec<T> half = d[6] - T(5) * d[4] + T(4) * d[2], half_odd = T(0.5) * d[5] - T(2.5) * d[3] + T(2) * d[1];
  v[0] = d[0] - d[6] + T(5.25) * (d[4] - d[2]);
  v[1] = one + one_odd, v[2] = one - one_odd;
  v[3] = two + two_odd, v[4] = two - two_odd;
  v[5] = half + half_odd, v[6] = half - half_odd;
  v[7] = d[7] - d[1] + T(5.25) * (d[3] - d[5]);
}

// out = A^T in, for n outputs
template <class T, int N>
FASTCONV_INLINE void strip_output(const Vec<T> (&m)[8], Vec<T> (&y)[N], int n) {
  const Vec<T> sum[3] = {m[1] + m[2], m[3] + m[4], m[5] + m[6]};
  const Vec<T> difference[3] = {m[1] - m[2], m[3] - m[4], m[5] - m[6]};
  y[0] = m[0] + sum[0] + sum[1] + sum[2];
#pragma GCC unroll 8
  for (int k = 1; k < N; ++k) {
    const T two = T(1 << k), half = T(1) / two;
    y[k] = k % 2 ? difference[0] + two * difference[1] + half * difference[2] : sum[0] + two * sum[1] + half * sum[2];
    if (k >= kFewestOut - 1 && k == n - 1) y[k] += m[7];
  }
}

// G's element of tap t at the points 1, 2 and 1/2
template <class T>
constexpr T strip_weight(int point, int t) {
  constexpr double scale[3] = {-2.0 / 9, 1.0 / 90, 32.0 / 45};
  return T(scale[point] * (point == 0 ? 1.0 : point == 1 ? double(1 << t) : 1.0 / (1 << t)));
}

// out = G in but for the point at infinity, whose value is the last tap
template <class T, int R>
FASTCONV_INLINE void strip_weight_transform(const Vec<T> (&g)[R], Vec<T> (&u)[8]) {
#pragma GCC unroll 4
  for (int i = 0; i < 3; ++i) {
    Vec<T> even = g[0] * strip_weight<T>(i, 0), odd = g[1] * strip_weight<T>(i, 1);
#pragma GCC unroll 4
    for (int t = 2; t < R; t += 2) even += g[t] * strip_weight<T>(i, t);
#pragma GCC unroll 4
    for (int t = 3; t < R; t += 2) odd += g[t] * strip_weight<T>(i, t);
    u[2 * i + 1] = even + odd;
    u[2 * i + 2] = even - odd;
  }
  u[0] = g[0];
}

// (G^T s)_t but for the point at infinity
template <class T>
FASTCONV_INLINE Vec<T> strip_sum(const Vec<T> (&s)[8], int t) {
  Vec<T> w = t == 0 ? s[0] : Vec<T>{};
#pragma GCC unroll 4
  for (int i = 0; i < 3; ++i)
    w += strip_weight<T>(i, t) * (t % 2 ? s[2 * i + 1] - s[2 * i + 2] : s[2 * i + 1] + s[2 * i + 2]);
  return w;
}

template <class T>
void strip_weights(const WinogradStripWeights<T>& a) {
  constexpr int VL = kLanes<T>, kChunk = 8, kLine = 64 / sizeof(T);
  const bool backwards = a.tap_step < 0, dense = a.tap_step * a.tap_step == 1;
  const T* const w = a.w + (backwards ? (a.taps - 1) * a.tap_step : 0);  // the taps in the order of the memory
  const bool joined = dense && a.channel_stride == a.taps;
  alignas(64) T taps[kChunk * kStripMostTaps * VL];
  for (int64_t c0 = 0; c0 < a.channels; c0 += kChunk) {
    const int64_t chunk = a.channels - c0 < kChunk ? a.channels - c0 : kChunk, run = joined ? chunk : 1;
    for (int64_t c = 0; c < chunk; c += run)
      pack_transposed<T>(taps + c * a.taps * VL, VL, w + (c0 + c) * a.channel_stride, a.row_stride,
                         dense       ? 1
                         : backwards ? -a.tap_step
                                     : a.tap_step,
                         run * a.taps, a.rows, VL);
    for (int64_t c = 0; c < chunk; ++c) {
      // The rows of a channel that comes next, if they are neighbours: no processor foresees lines so far apart.
      if (a.row_stride < a.channel_stride)
        for (int64_t e = 0; e < VL * a.row_stride; e += kLine)
          __builtin_prefetch(w + (c0 + c + kChunk) * a.channel_stride + e);
      T* u = a.u + (c0 + c) * VL;
      for (int64_t t0 = 0; t0 < a.taps; t0 += a.part_taps, u += a.part) {
        const auto tap = [&](int64_t t) FASTCONV_LAMBDA {
          return t >= a.part_taps || t0 + t >= a.taps
                     ? Vec<T>{}
                     : load(taps + (c * a.taps + (backwards ? a.taps - 1 - t0 - t : t0 + t)) * VL);
        };
        const Vec<T> g[5] = {tap(0), tap(1), tap(2), tap(3), tap(4)};
        Vec<T> out[8];
        strip_weight_transform<T>(g, out);
        out[7] = tap(a.part_taps - 1);
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) store(u + i * a.plane, out[i]);
      }
    }
  }
}

// out = A in, for n outputs, zeros behind
template <class T, int N>
FASTCONV_INLINE void strip_output_back(const Vec<T> (&y)[N], Vec<T> (&v)[8], int64_t n) {
#pragma GCC unroll 4
  for (int i = 0; i < 3; ++i) {
    const auto power = [&](int k) FASTCONV_LAMBDA { return i == 0 ? T(1) : i == 1 ? T(1 << k) : T(1) / T(1 << k); };
    Vec<T> even = y[0], odd = power(1) * y[1];
#pragma GCC unroll 4
    for (int k = 2; k < N && k < kStripMostOut; k += 2) even += power(k) * y[k];
#pragma GCC unroll 4
    for (int k = 3; k < N && k < kStripMostOut; k += 2) odd += power(k) * y[k];
    v[2 * i + 1] = even + odd;
    v[2 * i + 2] = even - odd;
  }
  v[0] = y[0];
  v[7] = y[kFewestOut - 1];
#pragma GCC unroll 4
  for (int k = kFewestOut; k < N && k < kStripMostOut; ++k)
    if (k == n - 1) v[7] = y[k];
}

// Strips of inputs or, fewer than eight lines each, of outputs.
template <class T>
void strip_patches(const WinogradPatches<T>& a) {
  alignas(64) const T zeros[kLanes<T>] = {};
  const int32_t* row = a.row;
  T* v = a.v + a.tiles.begin[0][0] * kLanes<T>;
  for (int64_t r = 0; r < a.tiles.down; ++r, row += a.row_lines) {
    const int32_t* column = a.column;
    for (int64_t s = 0; s < a.tiles.across; ++s, column += a.column_lines, v += kLanes<T>) {
      Vec<T> d[8], out[8];
#pragma GCC unroll 1
      for (int i = 0; i < 8; ++i) {
        const int32_t at = i < a.lines ? column[a.vertical ? 0 : i] : -1;
        d[i] = load(at < 0 ? zeros : a.src + row[a.vertical ? i : 0] + at);
      }
      if (a.lines == kStripIn) strip_input<T>(d, out);
      else strip_output_back<T>(d, out, a.lines);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) store(v + i * a.plane, out[i]);
    }
  }
}

// Taps from sums: G^T s, the last of the part_taps taps having the value at infinity.
template <class T>
void strip_sums(const WinogradSums<T>& a) {
  for (int64_t c = 0; c < a.channels; ++c) {
    Vec<T> s[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const T* at = a.s + i * a.plane + c * kLanes<T>;
      s[i] = load(at);
      for (int64_t k = 1; k < a.parts; ++k) s[i] += load(at + k * a.part);
    }
#pragma GCC unroll 8
    for (int t = 0; t < 5; ++t) {
      Vec<T> w = strip_sum<T>(s, t);
      if (t == a.part_taps - 1) w += s[7];
      if (t < a.taps) store(a.w + c * a.channel + t * a.row, w);
    }
  }
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
