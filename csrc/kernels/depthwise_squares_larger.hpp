// Squares of five by five and seven by seven taps (kernels/depthwise_squares.hpp), which are read from memory.
#pragma once
#include "kernels/depthwise_squares_lines.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Larger squares, whose taps are read from memory: K rows of outputs wait while a line goes by, sums[i] that of row
// r + K / 2 - i.
template <class T, int K, int C>
struct Waiting {
  Vec<T> sums[K][C];
  Vec<T> bias;
  FASTCONV_INLINE explicit Waiting(T b) : bias(splat(b)) {
#pragma GCC unroll 7
    for (int i = 0; i < K; ++i) clear(i);
  }
  FASTCONV_INLINE void clear(int i) {
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) sums[i][c] = bias;
  }
  FASTCONV_INLINE void next_line() {
#pragma GCC unroll 7
    for (int i = K - 1; i > 0; --i)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[i][c] = sums[i - 1][c];
    clear(0);
  }
  FASTCONV_INLINE void store_row(const SquareRows<T>& b, T* y, LaneRange<T> last) {
    Vec<T>(&row)[C] = sums[K - 1];
    if (b.clamp) clamp_all<T, C>(b.low, b.high, row);
#pragma GCC unroll 2
    for (int c = 0; c < C - 1; ++c) store(y + c * kLanes<T>, row[c]);
    store_lanes(y + (C - 1) * kLanes<T>, row[C - 1], last);
  }
  // Tap k and those behind it; in[0] stands before the columns, in[C + 1] behind them.
  template <int k = 0>
  FASTCONV_INLINE void add(const Vec<T> (&in)[C + 2], const T* w) {
    if constexpr (k < K) {
      constexpr int S = k - K / 2, VL = kLanes<T>;
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        Vec<T> under = in[c + 1];
        if constexpr (S < 0) under = moved_on<VL + S>(in[c], under);
        else if constexpr (S > 0) under = moved_on<S>(under, in[c + 2]);
#pragma GCC unroll 7
        for (int i = 0; i < K; ++i) sums[i][c] += splat(w[i * K + k]) * under;
      }
      add<k + 1>(in, w);
    }
  }
};

template <class T, int K, int C>
__attribute__((noinline)) void larger_block(const SquareRows<T>& b, T bias, const T* w, int64_t at) {
  constexpr int VL = kLanes<T>;
  constexpr int64_t half = K / 2;
  const SquareLines<T>& lines = b.lines;
  const LaneRange<T> before = LaneRange<T>::within(at - VL, b.first, b.end),
                     first = LaneRange<T>::within(at, b.first, b.end),
                     last = LaneRange<T>::within(at + (C - 1) * VL, b.first, b.end),
                     behind = LaneRange<T>::within(at + C * VL, b.first, b.end),
                     stored = LaneRange<T>::within(at + (C - 1) * VL, 0, lines.width);
  Waiting<T, K, C> rows(bias);
  const T* from = lines.x + at - b.before * lines.row;
  T* y = b.y + at;
  for (int64_t r = -b.before; r < lines.rows + b.after; ++r, from += lines.row) {
    if (b.x_ahead)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        __builtin_prefetch(from + c * VL + b.x_ahead);
        __builtin_prefetch(y + c * VL + b.y_ahead, 1);
      }
    Vec<T> in[C + 2];
    in[0] = load_lanes(from - VL, before);
    in[1] = load_lanes(from, first);
    if (C > 1) in[C] = load_lanes(from + (C - 1) * VL, last);
    in[C + 1] = load_lanes(from + C * VL, behind);
    rows.add(in, w);
    if (r >= half) rows.store_row(b, y, stored), y += b.y_row;
    rows.next_line();
  }
  for (int64_t i = b.after; i < half; ++i) {
    if (lines.rows - half + i >= 0) rows.store_row(b, y, stored), y += b.y_row;
    rows.next_line();
  }
}

template <class T, int K>
void larger_rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    T w[K * K];
    for (int t = 0; t < K * K; ++t) w[t] = b.w[b.tap[t]];
    const T bias = b.bias ? *b.bias : T(0);
    for (int64_t at = 0; at < b.lines.width; at += 2 * kLanes<T>)
      if (b.lines.width - at > kLanes<T>) larger_block<T, K, 2>(b, bias, w, at);
      else larger_block<T, K, 1>(b, bias, w, at);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
