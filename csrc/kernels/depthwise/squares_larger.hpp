// Squares of five by five and seven by seven taps (kernels/depthwise/squares.hpp), which are read from memory. Few
// registers have room for the sums of two columns of five rows.
#pragma once
#include "kernels/depthwise/squares_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Larger squares, whose taps are read from memory: K rows of outputs wait while line r goes by, sums[i] that of row
// r + K / 2 - i. They begin with the bias, or with what the channels before have summed.
template <class T, int K, int C>
struct Waiting {
  const SquareRows<T>& b;
  const int64_t count, y_row;
  const RowPart<T> last;
  const Vec<T> bias;
  T* y;           // of the row that ends next, and
  const T* more;  // of the row that begins next,
  int64_t left;   // of which so many have sums, at most none where no channel was before
  Vec<T> sums[K][C];
  FASTCONV_INLINE Waiting(const SquareRows<T>& all, int64_t at, bool adds)
      : b(all),
        count(all.lines.rows),
        y_row(all.y_row),
        last(all.lines.width - at - (C - 1) * kLanes<T>),
        bias(splat(all.bias ? *all.bias : T(0))),
        y(all.y + at),
        more(y),
        left(adds ? count : 0) {
#pragma GCC unroll 7
    for (int i = 0; i < K; ++i)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[i][c] = bias;
  }
  FASTCONV_INLINE void begin_row() {
#pragma GCC unroll 7
    for (int i = K - 1; i > 0; --i)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[i][c] = sums[i - 1][c];
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) sums[0][c] = bias;
    if (left <= 0) return;
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c, more += kLanes<T>) sums[0][c] = c < C - 1 ? load(more) : last.load_from(more);
    more += y_row - C * kLanes<T>;
    --left;
  }
  FASTCONV_INLINE void end_row(bool clamp) {
    Vec<T>(&row)[C] = sums[K - 1];
    if (clamp) clamp_all<T, C>(b.low, b.high, row);
#pragma GCC unroll 2
    for (int c = 0; c < C - 1; ++c) store(y + c * kLanes<T>, row[c]);
    last.store_to(y + (C - 1) * kLanes<T>, row[C - 1]);
    y += y_row;
  }
  // A line under tap k and those behind it.
  template <int k = 0, class Line>
  FASTCONV_INLINE void add(const Line& line, const T* w) {
    if constexpr (k < K) {
      // Vectors in memory are waited for one after the other, but few registers have room for a tap alone.
      constexpr int together = kMovesLanes ? 1 : C;
#pragma GCC unroll 2
      for (int first = 0; first < C; first += together) {
        Vec<T> under[together];
#pragma GCC unroll 2
        for (int c = 0; c < together; ++c) under[c] = line.template under<k>(first + c);
#pragma GCC unroll 7
        for (int i = 0; i < K; ++i)
#pragma GCC unroll 2
          for (int c = 0; c < together; ++c) sums[i][first + c] += splat(w[i * K + k]) * under[c];
      }
      add<k + 1>(line, w);
    } else if constexpr (!kMovesLanes) {
      // Now, and not where it is stored: few registers would keep taps and inputs until then.
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) __asm__("" : "+v"(sums[K - 1][c]));
    }
  }
};

// What stands under the taps of a line: vectors that are loaded once, whose lanes are moved,
template <class T, int K, int C>
struct MovedLine {
  static constexpr int VL = kLanes<T>;
  const LaneRange<T> before, first, last, behind;
  Vec<T> in[C + 2];
  FASTCONV_INLINE MovedLine(const SquareRows<T>& b, int64_t at)
      : before(LaneRange<T>::within(at - VL, b.first, b.end)),
        first(LaneRange<T>::within(at, b.first, b.end)),
        last(LaneRange<T>::within(at + (C - 1) * VL, b.first, b.end)),
        behind(LaneRange<T>::within(at + C * VL, b.first, b.end)) {}
  FASTCONV_INLINE void read(const T* from) {
    in[0] = load_lanes(from - VL, before);
    in[1] = load_lanes(from, first);
    if (C > 1) in[C] = load_lanes(from + (C - 1) * VL, last);
    in[C + 1] = load_lanes(from + C * VL, behind);
  }
  template <int k>
  FASTCONV_INLINE Vec<T> under(int c) const {
    constexpr int S = k - K / 2;
    if constexpr (S < 0) return moved_on<VL + S>(in[c], in[c + 1]);
    else if constexpr (S > 0) return moved_on<S>(in[c + 1], in[c + 2]);
    else return in[c + 1];
  }
};
// or one for each tap, masked where it may reach beyond the line's ends: the first of two columns does not, behind its
// middle tap (larger_rows).
template <class T, int K, int C>
struct LoadedLine {
  static constexpr int VL = kLanes<T>, kVectors = C + (K + VL - 2) / VL;
  T within[kVectors * VL];  // masks of the elements from the first column's first tap on
  const T* line;
  FASTCONV_INLINE LoadedLine(const SquareRows<T>& b, int64_t at) {
    for (int v = 0; v < kVectors; ++v)
      store(within + v * VL, reinterpret_cast<Vec<T>>(LaneRange<T>::within(at - K / 2 + v * VL, b.first, b.end).lanes));
  }
  FASTCONV_INLINE void read(const T* from) { line = from - K / 2; }
  template <int k>
  FASTCONV_INLINE Vec<T> under(int c) const {
    const int at = c * VL + k;
    if (c < C - 1 && k >= K / 2) return load(line + at);
    return load_lanes(line + at, LaneRange<T>(load(within + at)));
  }
};

#if FASTCONV_VEC_REGISTERS == 32
template <class T, int K, int C>
using LargerLine = MovedLine<T, K, C>;
#else
template <class T, int K, int C>
using LargerLine = LoadedLine<T, K, C>;
#endif

template <class T, int K, int C>
__attribute__((noinline)) void larger_block(const SquareRows<T>& b, const T* w, int64_t at, bool adds, bool clamp) {
  constexpr int64_t half = K / 2;
  LargerLine<T, K, C> line(b, at);
  Waiting<T, K, C> rows(b, at, adds);
  const int64_t first = -b.before, end = b.lines.rows + b.after, row = b.lines.row;
  int64_t r = adds ? -half : first;  // else the same bias is in all sums
  for (; r < first; ++r) rows.begin_row();
  for (const T* from = b.lines.x + at + r * row; r < end; ++r, from += row) {
    if (b.x_ahead)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        __builtin_prefetch(from + c * kLanes<T> + b.x_ahead);
        __builtin_prefetch(rows.y + c * kLanes<T> + b.y_ahead, 1);
      }
    rows.begin_row();
    line.read(from);
    rows.add(line, w);
    if (r >= half) rows.end_row(clamp);
  }
  for (; r < rows.count + half; ++r) {
    rows.begin_row();
    if (r >= half) rows.end_row(clamp);
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
      constexpr int64_t VL = kLanes<T>, few = kMovesLanes ? 0 : K / 2 - 1;
      for (int64_t at = 0, left; (left = b.lines.width - at) > 0; at += left > VL + few ? 2 * VL : VL)
        if (left > VL + few) larger_block<T, K, 2>(b, w, at, adds, clamp);
        else larger_block<T, K, 1>(b, w, at, adds, clamp);
    }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
