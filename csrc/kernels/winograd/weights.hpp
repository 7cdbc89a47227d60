// Weights of squares, transformed, and the sums of weight gradients transformed back (kernels/winograd/winograd.hpp).
#pragma once
#include "kernels/transpose.hpp"
#include "kernels/winograd/points.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// taps[t * lanes + m] of so many taps side by side, a multiple of 8 or one more, for a whole vector of rows
template <class T, int kCount>
FASTCONV_INLINE void dense_taps(T* taps, const T* w, int64_t row_stride) {
  constexpr int VL = kLanes<T>, last = kCount / 8 * 8;
  using S = Square<T, (FASTCONV_VEC_BYTES < 32 ? FASTCONV_VEC_BYTES : 32)>;
#pragma GCC unroll 1
  for (int m = 0; m < VL; m += S::N)
#pragma GCC unroll 1
    for (int t = 0; t < last; t += S::N) S::transpose(taps + t * VL + m, VL, w + m * row_stride + t, row_stride);
  if constexpr (last < kCount)
#pragma GCC unroll 16
    for (int m = 0; m < VL; ++m) taps[last * VL + m] = w[m * row_stride + last];
}

constexpr int kTapChannels = 8;  // transformed at once

// The step of taps that lie side by side, 1 or -1, for a whole vector of rows; 0 of others.
template <class T, int R>
FASTCONV_INLINE int64_t dense_step(const WinogradWeights<T>& a, int taps) {
  const int64_t step = a.tap[1] - a.tap[0];
  bool dense = R > 2 && (step == 1 || step == -1) && (R > 3 || a.rows == kLanes<T>);
  for (int t = 1; t < taps; ++t) dense &= a.tap[t] - a.tap[t - 1] == step;
  return dense ? step : 0;
}

// taps[(c * R * R + t) * lanes + m] of channels [c0, c0 + channels): in the order of the memory where they lie side by
// side, as those of neighbouring channels may.
template <class T, int R>
__attribute__((noinline)) void gather_taps(const WinogradWeights<T>& a, int64_t c0, int64_t channels, int64_t step,
                                           int count, T* taps) {
  constexpr int VL = kLanes<T>, kTaps = R * R;
  const T* w = a.w + c0 * a.channel_stride;
  if constexpr (R == 3 && sizeof(T) == 4)
    if (step == 1 && a.channel_stride == kTaps && channels == kTapChannels)
      return dense_taps<T, kTapChannels * kTaps>(taps, w + a.tap[0], a.row_stride);
  constexpr bool dense = R > 3 || (R == 3 && sizeof(T) == 8);
  const int64_t run = dense && step && a.channel_stride == count ? channels : 1;
  for (; channels > 0; channels -= run, w += a.channel_stride, taps += count * VL) {
    if (step) {
      const T* first = w + a.tap[step < 0 ? count - 1 : 0];
      if constexpr (dense) pack_transposed<T>(taps, VL, first, a.row_stride, 1, run * count, a.rows, VL);
      else if constexpr (R > 2) dense_taps<T, kTaps>(taps, first, a.row_stride);
    } else {
      for (int t = 0; t < count; ++t)
        for (int64_t m = 0; m < VL; ++m) taps[t * VL + m] = m < a.rows ? w[m * a.row_stride + a.tap[t]] : T(0);
    }
  }
}

// While channel c is transformed, fetches its share of the taps that are gathered next, of as many channels or of the
// next vector of rows: no processor foresees lines so far apart.
template <class T>
__attribute__((noinline)) void fetch_taps(const WinogradWeights<T>& a, int64_t c, int64_t taps) {
  constexpr int64_t VL = kLanes<T>, kLine = 64 / sizeof(T);
  __asm__ volatile("");  // calls without an effect are left out
  const int64_t own = c & (kTapChannels - 1), next = c - own + kTapChannels;
  const T* w = a.w + (a.tap[0] < a.tap[1] ? a.tap[0] : a.tap[taps - 1]);
  w += next < a.channels ? next * a.channel_stride : VL * a.row_stride;
  const auto fetch = [&](const T* from, int64_t count) FASTCONV_LAMBDA {
    for (int64_t e = 0; e < count; e += kLine) __builtin_prefetch(from + e, 0, 2);
  };
  if (a.row_stride < a.channel_stride) return fetch(w + own * a.channel_stride, VL * taps);
  for (int64_t m = own * VL / kTapChannels; m < (own + 1) * VL / kTapChannels; ++m)
    fetch(w + m * a.row_stride, kTapChannels * taps);
}

template <class T, int R, int P>
void weights(const WinogradWeights<T>& a) {
  constexpr int VL = kLanes<T>, kChunk = kTapChannels;
  const int r = R > 3 ? a.taps : R, count = r * r;
  const int64_t step = dense_step<T, R>(a, count), plane = a.plane;
  const int64_t first = step < 0 ? (count - 1) * VL : 0, next = step < 0 ? -VL : VL;
  alignas(64) T taps[kChunk * R * R * VL];
  for (int64_t c0 = 0; c0 < a.channels; c0 += kChunk) {
    const int64_t chunk = a.channels - c0 < kChunk ? a.channels - c0 : kChunk;
    gather_taps<T, R>(a, c0, chunk, step, count, taps);
    for (int64_t c = 0; c < chunk; ++c) {
      const T* tap = taps + c * count * VL + first;
      if (R == 3 && step) fetch_taps(a, c0 + c, count);
      Vec<T> half[R][P];  // [column][row]
      each<R, R <= 3>([&](int j) FASTCONV_LAMBDA {
        Vec<T> g[R];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) g[i] = (i < 4 || i < r) && j < r ? load(tap + (i * r + j) * next) : Vec<T>{};
        weight_transform<T>(g, half[j], r);
      });
      T* to = a.u + (c0 + c) * VL;
      each<P, R == 3 && kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
        Vec<T> g[R], u[P];
#pragma GCC unroll 8
        for (int j = 0; j < R; ++j) g[j] = half[j][i];
        weight_transform<T>(g, u, r);
        to = store_planes<T>(to, plane, u, 2 * VL);
      });
    }
  }
}

// taps[(c * count + t) * lanes + m] of channels [c0, c0 + channels): all taps in the order of the memory where they lie
// side by side, else those of each part.
template <class T>
FASTCONV_INLINE void gather_parts(const WinogradPartWeights<T>& a, int64_t c0, int64_t channels, int64_t count,
                                  T* taps) {
  constexpr int VL = kLanes<T>;
  const int64_t run = a.dense == a.channel_stride ? channels : 1;
  for (int64_t c = 0; c < channels; c += run) {
    const T* w = a.w + (c0 + c) * a.channel_stride;
    T* to = taps + c * count * VL;
    if (a.dense) pack_transposed<T>(to, VL, w + a.first, a.row_stride, 1, run * count, a.rows, VL);
    for (int64_t t = 0; t < count && !a.dense; ++t) {
      const int64_t tap = a.tap[t / 9][t % 9];
      for (int64_t m = 0; m < VL; ++m) to[t * VL + m] = m < a.rows && tap != kNoTap ? w[m * a.row_stride + tap] : T(0);
    }
  }
}

// G for two or three taps, the last being what infinity has.
template <class T>
FASTCONV_INLINE void part_transform(const Vec<T> (&g)[3], bool three, Vec<T> (&u)[6]) {
  point_values<T>(g, u);
  if (!three) u[5] = g[1];
}

template <class T>
void part_weights(const WinogradPartWeights<T>& a) {
  constexpr int VL = kLanes<T>, kChunk = 8;
  alignas(64) T taps[kChunk * kWinogradTaps * VL];
  alignas(64) const T none[VL] = {};
  const int64_t count = a.dense ? a.dense : kWinogradTaps;
  for (int64_t c0 = 0; c0 < a.channels; c0 += kChunk) {
    const int64_t chunk = a.channels - c0 < kChunk ? a.channels - c0 : kChunk;
    gather_parts(a, c0, chunk, count, taps);
    for (int p = 0; p < kWinogradParts; ++p)
      for (int64_t c = 0; c < chunk; ++c) {
        Vec<T> half[3][6];  // [column][row]
        for (int j = 0; j < 3; ++j) {
          Vec<T> g[3];
#pragma GCC unroll 4
          for (int i = 0; i < 3; ++i) {
            const int64_t tap = a.tap[p][3 * i + j], at = a.dense ? tap - a.first : 9 * p + 3 * i + j;
            g[i] = load(tap == kNoTap ? none : taps + (c * count + at) * VL);
          }
          part_transform<T>(g, a.three, half[j]);
        }
        T* to = a.u + p * a.part + (c0 + c) * VL;
        const int rows = a.uneven && p / 2 ? 5 : 6, columns = a.uneven && p % 2 ? 5 : 6;
        for (int i = 0; i < rows; ++i) {
          const Vec<T> g[3] = {half[0][i], half[1][i], half[2][i]};
          Vec<T> u[6];
          part_transform<T>(g, a.three, u);
          to = store_planes<T>(to, a.plane, u, 2 * VL, columns);
        }
      }
  }
}

template <class T, int R, int P>
void weight_sums(const WinogradSums<T>& a) {
  constexpr int VL = kLanes<T>;
  alignas(64) T all[P * P * VL];  // of all parts
  T* w = a.w;
  for (int64_t c = 0; c < a.channels; ++c, w += a.channel) {
    const T* s = a.s + c * VL;
    int64_t plane = a.plane;
    if (a.parts > 1) {
      for (int i = 0; i < P * P; ++i) {
        Vec<T> sum = load(s + i * plane);
        for (int64_t k = 1; k < a.parts; ++k) sum += load(s + i * plane + k * a.part);
        store(all + i * VL, sum);
      }
      s = all, plane = VL;
    }
    Vec<T> half[R][P];
    each<P, R == 3 && kUnrolled<T, P>>([&](int j) FASTCONV_LAMBDA {
      Vec<T> in[P], out[R];
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) in[i] = load(s + (i * P + j) * plane);
      sum_transform<T>(in, out, a.part_taps);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) half[i][j] = out[i];
    });
    T* to = w;
    each<R, R == 3 && kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
      if (i >= a.tall) return;
      Vec<T> out[R];
      sum_transform<T>(half[i], out, a.part_taps);
#pragma GCC unroll 8
      for (int j = 0; j < R; ++j)
        if (j < a.wide) store(to + j * a.row, out[j]);
      to += a.down;
    });
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
