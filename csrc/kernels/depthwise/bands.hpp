// Bands (kernels/depthwise/depthwise.hpp): rows of outputs in registers, while lines go by.
#pragma once
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/depthwise/parts.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Eight sums, the weights of a run and a vector of x share the registers; without fused multiply-add a product needs
// one. Few registers have no room to spare beside eight sums and seven weights: such a run goes in two parts.
#if FASTCONV_VEC_REGISTERS == 32
constexpr int kRunTaps = 7, kTapsAtOnce = 7;
#elif defined(__FMA__)
constexpr int kRunTaps = 7, kTapsAtOnce = 5;
#else
constexpr int kRunTaps = 4, kTapsAtOnce = 4;
#endif
constexpr bool kFewButFused = kTapsAtOnce < kRunTaps;

// C columns of R sums take one line of x at a time, which meets all its taps.
template <class T, int R, int C, int K, class Lanes>
FASTCONV_INLINE void add_run(const T* const* lines, int64_t x, const Lanes (&lanes)[C], const T* w,
                             Vec<T> (&acc)[C][R]) {
  Vec<T> tap[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) tap[i] = splat(w[i]);
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    const T* from = lines[v] + x;
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) {
      Vec<T> line = lanes[c].load(from + c * kLanes<T>);
      FASTCONV_LOADED(line);
#pragma GCC unroll 8
      for (int i = K - 1; i >= 0; --i)
        if (v - i >= 0 && v - i < R) acc[c][v - i] += tap[i] * line;
    }
    __asm__ volatile("" : "+r"(lines));  // line after line: all of them early would spill
  }
}

template <class T, int R, int C, class Lanes, int K = kTapsAtOnce>
FASTCONV_INLINE void add_any_run(int taps, const T* const* lines, int64_t x, const Lanes (&lanes)[C], const T* w,
                                 Vec<T> (&acc)[C][R]) {
  if constexpr (K == 1) add_run<T, R, C, 1>(lines, x, lanes, w, acc);
  else if (taps == K) add_run<T, R, C, K>(lines, x, lanes, w, acc);
  else add_any_run<T, R, C, Lanes, K - 1>(taps, lines, x, lanes, w, acc);
}

// Lines of the next channel: they lie far apart, so that nothing else fetches them. A call, for the sake of the loops
// it is in.
template <class T, int C>
__attribute__((noinline)) void fetch_lines(const T* const* lines, int64_t n, int64_t at) {
  for (int64_t i = 0; i < n; ++i)
#pragma GCC unroll 3
    for (int c = 0; c <= C; ++c) __builtin_prefetch(lines[i] + at + c * kLanes<T>);
}

template <class T, int R, int C, class Lanes>
FASTCONV_INLINE void add_runs(const Band<T>& b, int64_t column, Vec<T> (&acc)[C][R]) {
  const T* w = b.w;
  for (const TapRun *run = b.runs, *end = run + b.run_count; run != end; ++run) {
    const int64_t at = column + run->x;
    if (run + 1 != end && run[1].line - run->line > kRunTaps)
      fetch_lines<T, C>(b.lines.line + run[1].line, R + run[1].taps - 1, column + run[1].x);
    const T* const* lines = b.lines.line + run->line;
    int left = run->taps;
    do {
      const int n = kFewButFused && left > kTapsAtOnce ? (left + 1) / 2 : left;
      if constexpr (C == 1) add_any_run<T, R, C>(n, lines, at, {Lanes(at, b.lines.width)}, w, acc);
      else add_any_run<T, R, C>(n, lines, at, {Lanes(at, b.lines.width), Lanes(at + kLanes<T>, b.lines.width)}, w, acc);
      left -= n, lines += n, w += n;
    } while (left > 0);
  }
}

// float64 makes do with bands of four rows: half as much code.
template <class T>
constexpr int kMostRows = sizeof(T) == 8 || kSmallCode ? kBandRows / 2 : kBandRows;

// Of a band at a time, where there are enough.
template <class T, int R>
constexpr int kBandColumns = FASTCONV_VEC_REGISTERS == 32 || (kFewButFused && sizeof(T) == 8 && R == 4) ? 2 : 1;

// Columns c and on of a band, C of them.
template <class T, int R, int C, class Lanes>
FASTCONV_INLINE void band_columns(const Band<T>& b, int64_t c) {
  T* y = b.y + c * kLanes<T>;
  if (b.x_ahead)
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int i = 0; i < C; ++i) {
        __builtin_prefetch(b.lines.line[b.runs->line + r] + (c + i) * kLanes<T> + b.x_ahead);
        __builtin_prefetch(y + r * b.y_row + i * kLanes<T> + b.y_ahead, 1);
      }
  Vec<T> acc[C][R];
#pragma GCC unroll 2
  for (int i = 0; i < C; ++i)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[i][r] = splat(b.bias);
  add_runs<T, R, C, Lanes>(b, c * kLanes<T>, acc);
#pragma GCC unroll 2
  for (int i = 0; i < C; ++i, y += kLanes<T>) {
    if (b.clamp) clamp_all<T, R>(b.low, b.high, acc[i]);
    if (c + i + 1 < b.columns || b.last == kLanes<T>) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store(y + r * b.y_row, acc[i][r]);
    } else {
      const LaneRange<T> lanes(0, b.last);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store_lanes(y + r * b.y_row, acc[i][r], lanes);
    }
  }
}

// Columns [first, end) of rows whose runs are single taps, so that they share no line: row after row, some columns at a
// time, of which the last may come again.
constexpr int kRowColumns = 256 / FASTCONV_VEC_BYTES;
template <class T>
__attribute__((noinline)) void single_rows(const Band<T>& b, int64_t first, int64_t end, int64_t rows) {
  constexpr int C = kRowColumns;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t next = first; next < end; next += C) {
      const int64_t at = (next + C <= end ? next : end - C) * kLanes<T>;
      Vec<T> acc[C];
#pragma GCC unroll 8
      for (int i = 0; i < C; ++i) acc[i] = splat(b.bias);
      const T* w = b.w;
      for (const TapRun *run = b.runs, *last = run + b.run_count; run != last; ++run, ++w) {
        const T* const from = b.lines.line[run->line + r] + at + run->x;
        const Vec<T> tap = splat(*w);
#pragma GCC unroll 8
        for (int i = 0; i < C; ++i) acc[i] += tap * load(from + i * kLanes<T>);
      }
      if (b.clamp) clamp_all<T, C>(b.low, b.high, acc);
      T* const y = b.y + r * b.y_row + at;
#pragma GCC unroll 8
      for (int i = 0; i < C; ++i) store(y + i * kLanes<T>, acc[i]);
    }
}

template <class T, int R>
void band(const Band<T>& b) {
  constexpr int C = kBandColumns<T, R>;
  int64_t first = 0, end = 0;
  if constexpr (kFewButFused && R == kMostRows<T>)
    if (b.single) {
      const int64_t whole = b.columns - (b.last < kLanes<T>);
      first = b.lines.whole, end = b.lines.part < whole ? b.lines.part : whole;
      if (end - first < kRowColumns) end = 0;
      else single_rows(b, first, end, R);
    }
  for (int64_t c = 0, n; c < b.columns; c += n) {
    if (c == first && c < end) {
      n = end - first;
      continue;
    }
    n = c + C <= b.columns ? C : 1;
    const bool whole = !kReadsParts || (c >= b.lines.whole && c + n <= b.lines.part);
    if (!whole || R == 1) n = 1;  // no code for pairs at the border, nor for single rows
    if constexpr (R > 1)
      if (n == C && whole) {
        band_columns<T, R, C, Whole<T>>(b, c);
        continue;
      }
    band_columns<T, R, 1, Part<T>>(b, c);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
