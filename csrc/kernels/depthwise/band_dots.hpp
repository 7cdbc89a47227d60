// The weight gradient of bands (kernels/depthwise/depthwise.hpp): rows of dy in registers, while lines go by.
#pragma once
#include "kernels/depthwise/bands.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The sums of a run's taps, each over R products.
template <class T, int R, int K, class Lanes>
FASTCONV_INLINE void add_dots(const T* const* lines, int64_t x, const Lanes& lanes, const Vec<T> (&dy)[R], T* sums) {
  Vec<T> acc[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) acc[i] = load(sums + i * kLanes<T>);
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    Vec<T> line = lanes.load(lines[v] + x);
    FASTCONV_LOADED(line);
    __asm__ volatile("" : "+r"(lines));  // line after line: all of them early would spill
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i)
      if (v - i >= 0 && v - i < R) acc[i] += dy[v - i] * line;
  }
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) store(sums + i * kLanes<T>, acc[i]);
}

template <class T, int R, class Lanes, int K = kRunTaps>
FASTCONV_INLINE void add_any_dots(int taps, const T* const* lines, int64_t x, const Lanes& lanes, const Vec<T> (&dy)[R],
                                  T* sums) {
  if constexpr (K == 1) add_dots<T, R, 1>(lines, x, lanes, dy, sums);
  else if (taps == K) add_dots<T, R, K>(lines, x, lanes, dy, sums);
  else add_any_dots<T, R, Lanes, K - 1>(taps, lines, x, lanes, dy, sums);
}

// `most` lanes of a column: dy is zero elsewhere, but x might be infinite.
template <class T, int R, class Lanes>
FASTCONV_INLINE void dots_of_column(const BandDots<T>& b, int64_t c, int64_t most) {
  const T* dy = b.dy + c * kLanes<T>;
  const LaneRange<T> some(0, most);
  Vec<T> d[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) d[r] = most < kLanes<T> ? load_lanes(dy + r * b.dy_row, some) : load(dy + r * b.dy_row);
  T* sums = b.sums + (c % 2) * b.taps * kLanes<T>;
  for (const TapRun *run = b.runs, *end = run + b.run_count; run != end; ++run) {
    const int64_t at = c * kLanes<T> + run->x;
    add_any_dots<T, R>(run->taps, b.lines.line + run->line, at, Lanes(at, b.lines.width, most), d, sums);
    sums += run->taps * kLanes<T>;
  }
}

template <class T, int R>
void band_dots(const BandDots<T>& b) {
  for (int64_t c = 0; c < b.columns; ++c) {
    const int64_t most = c + 1 < b.columns ? kLanes<T> : b.last;
    if (most == kLanes<T> && c >= b.lines.whole && c < b.lines.part) dots_of_column<T, R, Whole<T>>(b, c, most);
    else dots_of_column<T, R, Part<T>>(b, c, most);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
