// Squares of three by three taps (kernels/depthwise/squares.hpp) where registers are few, at a stride of two.
#pragma once
#include "kernels/depthwise/squares_few_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Two rows of outputs at a time, at a stride of two: five lines. Those of a channel are added to them.
template <class T>
FASTCONV_INLINE void halved_rows_of_plane(const SquareRows<T>& b, const PlainColumn<T> (&column)[3], int64_t columns,
                                          bool adds, bool clamp) {
  Vec<T> tap[9];
  read_taps(b.w, b.tap, tap);
  const SquareLines<T>& l = b.lines;
  const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
  T* y = b.y;
  for (int64_t r = 0; r < l.rows; r += 2, y += 2 * b.y_row) {
    const bool two = r + 1 < l.rows;
    const T* const line[5] = {r == 0 ? l.above : l.x + (2 * r - 1) * l.row, l.x + 2 * r * l.row,
                              two ? l.x + (2 * r + 1) * l.row : l.below, l.x + (2 * r + 2) * l.row,
                              r + 2 < l.rows ? l.x + (2 * r + 3) * l.row : l.below};
    T* const next = y + b.y_row;
    const auto sums = [&](auto all, const PlainColumn<T>& f, int64_t at, auto read, auto write) FASTCONV_LAMBDA {
      constexpr Reads how = decltype(all)::value ? Reads::all : Reads::most;
      Vec<T> in[3], sum[2] = {bias, bias};
      if (adds) sum[0] = apart(read(y + at)), sum[1] = two ? apart(read(next + at)) : sum[1];
      const auto add = [&](int i, int t) FASTCONV_LAMBDA {
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) sum[i] += tap[t + k] * in[k];
      };
      const auto take = [&](int i) FASTCONV_LAMBDA { read_line<2, how>(line[i], at, f, in); };
      if (line[0]) take(0), add(0, 0);
      take(1), add(0, 3);
      if (line[2]) {
        take(2), add(0, 6);
        if (two) add(1, 0);
      }
      if (two) {
        take(3), add(1, 3);
        if (line[4]) take(4), add(1, 6);
      }
      if (clamp) clamp_all<T, 2>(b.low, b.high, sum);
      write(y + at, apart(sum[0]));
      if (two) write(next + at, apart(sum[1]));
    };
    constexpr bool apart_from_ends = sizeof(T) == 4;  // float64: half the code
    for (int64_t at = kLanes<T>; apart_from_ends && at < (columns - 1) * kLanes<T>; at += kLanes<T>)
      sums(
          Count<1>{}, column[1], at, [](const T* p) FASTCONV_LAMBDA { return load(p); },
          [](T* p, Vec<T> v) FASTCONV_LAMBDA { store(p, v); });
    for (int64_t c = 0; c < columns; c += apart_from_ends ? columns - (columns > 1) : 1) {
      const PlainColumn<T>& f = column[c == 0 ? 0 : c + 1 < columns ? 1 : 2];
      const int64_t at = column_from(l, c);
      // What is added to is read and written once; else the next rows, if there are no gaps, may be begun by a vector.
      const bool whole = f.wide && !adds, dense = !adds && columns == 1 && b.y_row == l.width;
      const T* const last = dense ? b.y + l.rows * l.width - kLanes<T> : nullptr;
      const StoredLanes<T> own(at, c * kLanes<T>, l.width);
      sums(
          Count<0>{}, f, at, [&](const T* p) FASTCONV_LAMBDA { return load_lanes(p, f.own); },
          [&](T* p, Vec<T> v) FASTCONV_LAMBDA {
            if (whole || p <= last) store(p, v);
            else own.store_to(p, v);
          });
    }
  }
}
template <class T>
void halved_rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  b.x_plane -= b.channels * b.x_channel;
  b.w_plane -= b.channels * b.w_channel;
  const int64_t columns = (b.lines.width + kLanes<T> - 1) / kLanes<T>;
  const PlainColumn<T> column[3] = {make_column(b.lines, 0, 2), make_column(b.lines, 1, 2),
                                    make_column(b.lines, columns - 1, 2)};
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b))
    for (int64_t c = b.first_channel; c < b.channels; ++c) {
      halved_rows_of_plane(b, column, columns, c > 0, b.clamp && c + 1 == b.channels);
      move_on(b.lines, b.x_channel);
      b.w += b.w_channel;
    }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
