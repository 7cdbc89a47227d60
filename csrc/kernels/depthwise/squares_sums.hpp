// Squares of three by three taps (kernels/depthwise/squares.hpp): rows of outputs, whose sums wait in registers while
// the lines go by.
#pragma once
#include "kernels/depthwise/squares_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Lane n alone, if it is one.
template <class T>
FASTCONV_INLINE Mask<T> one_lane(int64_t n) {
  return n < 0 || n >= kLanes<T> ? Mask<T>{} : first_lanes<T>(n + 1) & ~first_lanes<T>(n);
}

// What padding adds to a line's neighbours.
template <class T>
struct Folded {
  Mask<T> first, last;
  int64_t end;
  bool ends_before;  // the last one is the last lane of the column before the last
  FASTCONV_INLINE Folded(const SquareRows<T>& b, const Block<T>& block, int columns)
      : first(one_lane<T>(b.fold.first - block.at)),
        last(one_lane<T>(b.fold.last - block.at - (columns - 1) * kLanes<T>)),
        end(b.lines.width - 1),
        ends_before(b.fold.last - block.at == (columns - 1) * kLanes<T> - 1) {}
  template <int C>
  FASTCONV_INLINE void add(int c, int k, const T* line, Vec<T>& in) const {
    if (c == 0 && k == 2) in += first ? splat(*line) : Vec<T>{};
    if (c == C - 1 && k == 0) in += last ? splat(line[end]) : Vec<T>{};
    if (c == C - 2 && k == 0 && ends_before) in += one_lane<T>(kLanes<T> - 1) ? splat(line[end]) : Vec<T>{};
  }
};
// Adds the first line or the last one by a row of taps to an output row that is stored, if to any.
template <class T, int C>
__attribute__((noinline)) void fold_lines(const SquareRows<T>& b, const Block<T>& block, int side) {
  const Folded<T> folded(b, block, C);
  const int64_t row = side ? b.fold.bottom : b.fold.top, *tap = b.tap + (side ? 0 : 6);
  const T* const from = b.lines.x + (side ? (b.lines.rows - 1) * b.lines.row : 0);
  T* y = b.y + block.at + row * b.y_row;
  if (row < 0) return;
  Vec<T> sums[C];
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) sums[c] = block.template load_column<C>(y, c);
  for_each_input<T, C>(from, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
    folded.template add<C>(c, k, from, in);
    sums[c] += splat(b.w[tap[k]]) * in;
  });
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) block.template store_column<C>(y, c, sums[c]);
}

// Sums of rows of outputs: from the bias or y, and to y.
template <class T, int C, class Columns>
struct RowSums {
  const SquareRows<T>& b;
  const Columns& block;
  T* y;  // of the row that ends next
  T bias;
  bool adds, clamp;
  FASTCONV_INLINE RowSums(const SquareRows<T>& all, const Columns& where, bool more, bool last)
      : b(all), block(where), y(all.y + where.at), bias(all.bias ? *all.bias : T(0)), adds(more), clamp(last) {}
  FASTCONV_INLINE void begin(Vec<T> (&sums)[C], int64_t r) const {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = splat(bias);
    if (!adds || r >= b.lines.rows) return;
    const T* row = b.y + block.at + r * b.y_row;
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = block.template load_column<C>(row, c);
  }
  FASTCONV_INLINE void end(Vec<T> (&sums)[C]) {
    if (clamp) clamp_all<T, C>(b.low, b.high, sums);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) block.template store_column<C>(y, c, sums[c]);
    y += b.y_row;
  }
};

// A line begins a row of outputs by the first row of taps, goes on with the one above it by the second, and ends the
// one above both.
template <class T, int C, bool Folds>
FASTCONV_INLINE void rows_of_plane(const SquareRows<T>& b, const Block<T>& block, bool adds, bool clamp) {
  Vec<T> tap[9], ending[C], going_on[C], beginning[C];
  read_taps(b.w, b.tap, tap);
  constexpr bool folds = Folds;
  const Folded<T> folded(b, block, C);
  RowSums<T, C, Block<T>> rows(b, block, adds, clamp);
  rows.begin(going_on, 0);
  rows.begin(ending, 0);
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    if (b.x_ahead) {
      fetch<C>(from + block.at + b.x_ahead);
      fetch<C, 1>(rows.y + b.y_ahead);
    }
    rows.begin(beginning, r + 1);
    for_each_input<T, C>(from, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
      if (folds) folded.template add<C>(c, k, from, in);
      ending[c] += tap[6 + k] * in;
      going_on[c] += tap[3 + k] * in;
      beginning[c] += tap[k] * in;
      if (k == 2) __asm__("" : "+v"(ending[c]));  // now, and not where it is stored: inputs would be kept until then
    });
    if (r > 0) rows.end(ending);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) ending[c] = going_on[c], going_on[c] = beginning[c];
  });
  if (!b.lines.below) rows.end(ending);
}
// At a stride of two it goes on with one, or ends one and begins the next.
template <class T, int C, bool>
FASTCONV_INLINE void rows_of_plane(const SquareRows<T>& b, const HalvedBlock<T>& block, bool adds, bool clamp) {
  Vec<T> tap[9], sums[C], next[C];
  read_taps(b.w, b.tap, tap);
  RowSums<T, C, HalvedBlock<T>> rows(b, block, adds, clamp);
  rows.begin(sums, 0);
  for_each_pair(b.lines, [&](int64_t r, const T* even, const T* odd) FASTCONV_LAMBDA {
    if (b.x_ahead && even) {
      fetch_pair<2 * C>(even + 2 * block.at + b.x_ahead, b.lines.row);
      fetch<C, 1>(rows.y + b.y_ahead);
    }
    if (even)
      for_each_input<T, C>(even, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA { sums[c] += tap[3 + k] * in; });
    rows.begin(next, r + 1);
    if (odd)
      for_each_input<T, C>(odd, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
        sums[c] += tap[6 + k] * in;
        next[c] += tap[k] * in;
      });
    if (r >= 0) rows.end(sums);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = next[c];
  });
}

template <class T, int C, bool Folds, class Columns>
__attribute__((noinline)) void rows_of_block(const SquareRows<T>& all, const Columns& where) {
  const Columns block = where;  // not in memory, which stores might change
  SquareRows<T> b = all;
  b.x_plane -= b.channels * b.x_channel;
  b.w_plane -= b.channels * b.w_channel;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b))
    for (int64_t c = b.first_channel; c < b.channels; ++c) {
      rows_of_plane<T, C, Folds>(b, block, c > 0, b.clamp && c + 1 == b.channels);
      if constexpr (Folds)
        if (b.fold.folds) fold_lines<T, C>(b, where, 0), fold_lines<T, C>(b, where, 1);
      move_on(b.lines, b.x_channel);
      b.w += b.w_channel;
    }
}

// Planes in turn, unless they are blocks in turn.
template <class T, int S>
void rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  constexpr int most = S == 1 ? kColumns : sizeof(T) == 8 ? 1 : 2;  // at a stride of two a column is two vectors
  if (blocks_of<most>(b.lines) > 1) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b))
    for_each_block<S, most>(b.lines, [&](const auto& block, auto n) FASTCONV_LAMBDA {
      constexpr int C = decltype(n)::value;
      constexpr bool folds = S == 1, both = folds && sizeof(T) == 8;  // one for both: half the code
      if (folds && (both || b.fold.folds)) rows_of_block<T, C, folds>(b, block);
      else rows_of_block<T, C, both>(b, block);
    });
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
