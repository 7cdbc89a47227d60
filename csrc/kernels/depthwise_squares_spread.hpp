// The input gradient of squares of three by three taps at a stride of two (kernels/depthwise_squares.hpp): four phases
// at a time, whose columns are put together.
#pragma once
#include "kernels/depthwise_squares_lines.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// C columns of vectors of dy, the first being column `c`, and what they have of a line and of a row of dx.
template <class T, int C>
struct SpreadColumns {
  int64_t at, out;
  LaneRange<T> first, last, behind, stored_first, stored_low, stored_high;
  FASTCONV_INLINE SpreadColumns(const SquareSpread<T>& b, int64_t c)
      : at(c * kLanes<T> + b.x),
        out(2 * c * kLanes<T>),
        first(LaneRange<T>::within(at, 0, b.width)),
        last(LaneRange<T>::within(at + (C - 1) * kLanes<T>, 0, b.width)),
        behind(LaneRange<T>::within(at + C * kLanes<T>, 0, b.width)),
        stored_first(LaneRange<T>::within(out, b.first, b.end)),
        stored_low(LaneRange<T>::within(out + 2 * (C - 1) * kLanes<T>, b.first, b.end)),
        stored_high(LaneRange<T>::within(out + (2 * C - 1) * kLanes<T>, b.first, b.end)) {}
  // A line and what stands to the right of it.
  FASTCONV_INLINE void read(const SquareSpread<T>& b, const T* line, int64_t r, Vec<T> (&own)[C],
                            Vec<T> (&right)[C]) const {
    if (r < b.first_line || r >= b.end_line) {
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) own[c] = right[c] = Vec<T>{};
      return;
    }
    Vec<T> next = load_lanes(line + C * kLanes<T>, behind);
#pragma GCC unroll 2
    for (int c = C - 1; c >= 0; --c) {
      own[c] = load_lanes(line + c * kLanes<T>, c == 0 ? first : last);
      right[c] = moved_on<1>(own[c], next);
      next = own[c];
    }
  }
  FASTCONV_INLINE void write(T* row, int c, Vec<T> even, Vec<T> odd) const {
    T* const to = row + 2 * c * kLanes<T>;
    const Vec<T> high = zip_high(even, odd);
    store_lanes(to, zip_low(even, odd), c == 0 ? stored_first : stored_low);
    if (c < C - 1) store(to + kLanes<T>, high);
    else store_lanes(to + kLanes<T>, high, stored_high);
  }
};

template <class T, int C>
FASTCONV_INLINE void spread_plane(const SquareSpread<T>& b, const SpreadColumns<T, C>& columns) {
  Vec<T> tap[9], above[C], right[C], below[C], below_right[C];
  read_taps(b.w, b.tap, tap);
  const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
  const T* line = b.dy + columns.at;
  T* dx = b.dx + columns.out;
  columns.read(b, line, 0, above, right);
  for (int64_t r = 0; 2 * r < b.end_row; ++r, dx += 2 * b.dx_row) {
    line += b.dy_row;
    if (b.dy_ahead) {
      fetch<C>(line + b.dy_ahead);
      fetch_pair<2 * C, 1>(dx + b.dx_ahead, b.dx_row);
    }
    columns.read(b, line, r + 1, below, below_right);
    if (2 * r >= b.first_row)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c)
        columns.write(dx, c, bias + tap[4] * above[c], bias + tap[3] * right[c] + tap[5] * above[c]);
    if (2 * r + 1 < b.end_row)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c)
        columns.write(dx + b.dx_row, c, bias + tap[1] * below[c] + tap[7] * above[c],
                      bias + tap[0] * below_right[c] + tap[2] * below[c] + tap[6] * right[c] + tap[8] * above[c]);
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) above[c] = below[c], right[c] = below_right[c];
  }
}

template <class T, int C>
__attribute__((noinline)) void spread_columns(const SquareSpread<T>& all, int64_t c) {
  SquareSpread<T> b = all;
  const SpreadColumns<T, C> columns(b, c);
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) spread_plane<T, C>(b, columns);
}

// Planes in turn, unless they are columns in turn.
template <class T>
void spread(const SquareSpread<T>& all) {
  constexpr int C = sizeof(T) == 8 || FASTCONV_VEC_REGISTERS < 32 ? 1 : 2;  // float64: half the code
  SquareSpread<T> b = all;
  if (b.columns > C) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b)) {
    int64_t c = 0;
    for (; c + C <= b.columns; c += C) spread_columns<T, C>(b, c);
    if (C > 1 && c < b.columns) spread_columns<T, 1>(b, c);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
