// Squares of five by five and seven by seven taps (kernels/depthwise_squares.hpp), which are read from memory.
#pragma once
#include "kernels/depthwise_squares_lines.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Larger squares, whose taps are read from memory: K rows of outputs wait while a line goes by, sums[i] that of row
// r + K / 2 - i. They begin with the bias, or with what the channels before have summed.
template <class T, int K, int C>
struct Waiting {
  const SquareRows<T>& b;
  const LaneRange<T> last;
  const Vec<T> bias;
  T* y;           // of the row that ends next, and
  const T* more;  // of the row that begins next,
  int64_t left;   // of which so many have sums, at most none where no channel was before
  Vec<T> sums[K][C];
  FASTCONV_INLINE Waiting(const SquareRows<T>& all, int64_t at, LaneRange<T> lanes, bool adds)
      : b(all), last(lanes), bias(splat(all.bias ? *all.bias : T(0))), y(all.y + at), more(y), left(0) {
#pragma GCC unroll 7
    for (int i = 0; i < K; ++i)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[i][c] = bias;
    if (!adds) return;
    left = b.lines.rows;
#pragma GCC unroll 7
    for (int i = K / 2; i >= 0; --i)
      if (i <= K / 2 - b.before) begin(i);
  }
  FASTCONV_INLINE void begin(int i) {
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) sums[i][c] = bias;
    if (left <= 0) return;
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c, more += kLanes<T>) sums[i][c] = c < C - 1 ? load(more) : load_lanes(more, last);
    more += b.y_row - C * kLanes<T>;
    --left;
  }
  FASTCONV_INLINE void end_row(bool clamp) {
    Vec<T>(&row)[C] = sums[K - 1];
    if (clamp) clamp_all<T, C>(b.low, b.high, row);
#pragma GCC unroll 2
    for (int c = 0; c < C - 1; ++c) store(y + c * kLanes<T>, row[c]);
    store_lanes(y + (C - 1) * kLanes<T>, row[C - 1], last);
    y += b.y_row;
  }
  FASTCONV_INLINE void next_line() {
#pragma GCC unroll 7
    for (int i = K - 1; i > 0; --i)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[i][c] = sums[i - 1][c];
    begin(0);
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
__attribute__((noinline)) void larger_block(const SquareRows<T>& b, const T* w, int64_t at, bool adds, bool clamp) {
  constexpr int VL = kLanes<T>;
  constexpr int64_t half = K / 2;
  const SquareLines<T>& lines = b.lines;
  const LaneRange<T> before = LaneRange<T>::within(at - VL, b.first, b.end),
                     first = LaneRange<T>::within(at, b.first, b.end),
                     last = LaneRange<T>::within(at + (C - 1) * VL, b.first, b.end),
                     behind = LaneRange<T>::within(at + C * VL, b.first, b.end);
  Waiting<T, K, C> rows(b, at, LaneRange<T>::within(at + (C - 1) * VL, 0, lines.width), adds);
  const T* from = lines.x + at - b.before * lines.row;
  for (int64_t r = -b.before; r < lines.rows + b.after; ++r, from += lines.row) {
    if (b.x_ahead)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        __builtin_prefetch(from + c * VL + b.x_ahead);
        __builtin_prefetch(rows.y + c * VL + b.y_ahead, 1);
      }
    Vec<T> in[C + 2];
    in[0] = load_lanes(from - VL, before);
    in[1] = load_lanes(from, first);
    if (C > 1) in[C] = load_lanes(from + (C - 1) * VL, last);
    in[C + 1] = load_lanes(from + C * VL, behind);
    rows.add(in, w);
    if (r >= half) rows.end_row(clamp);
    rows.next_line();
  }
  for (int64_t r = lines.rows + b.after; r < lines.rows + half; ++r) {
    if (r >= half) rows.end_row(clamp);
    rows.next_line();
  }
}

template <class T, int K>
void larger_rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  b.x_plane -= b.channels * b.x_channel;
  b.w_plane -= b.channels * b.w_channel;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b))
    for (int64_t c = b.first_channel; c < b.channels; ++c, move_on(b.lines, b.x_channel), b.w += b.w_channel) {
      T w[K * K];
      for (int t = 0; t < K * K; ++t) w[t] = b.w[b.tap[t]];
      const bool adds = c > 0, clamp = b.clamp && c + 1 == b.channels;
      for (int64_t at = 0; at < b.lines.width; at += 2 * kLanes<T>)
        if (b.lines.width - at > kLanes<T>) larger_block<T, K, 2>(b, w, at, adds, clamp);
        else larger_block<T, K, 1>(b, w, at, adds, clamp);
    }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
