// Squares of three by three taps (kernels/depthwise/squares.hpp) where registers are few: the sums of their weight
// gradient at either stride, column by column.
#pragma once
#include "kernels/depthwise/squares_few_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/depthwise/squares_taps.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Sums of a column are added to those of the plane, but for what lanes have got that are none of its own.
template <class T>
FASTCONV_INLINE void add_sums(const PlainColumn<T>& f, const Vec<T> (&acc)[9], Vec<T>* sums) {
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) sums[t] += reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(acc[t]) & f.sums[t % 3]);
}
template <int t, class V>
FASTCONV_INLINE void add_products(V (&acc)[9], V dy, const V (&in)[3]) {
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k) acc[t + k] += dy * in[k];
}

// Columns [c, end) all of whose inputs are in their lines: line by line, as the processor fetches them ahead. Or any
// one column at `at`.
template <bool kWhole, class T>
FASTCONV_INLINE void add_columns(const SquareDots<T>& b, const PlainColumn<T>& f, int64_t from, int64_t end,
                                 Vec<T> (&acc)[9], Count<1>) {
  const SquareLines<T>& l = b.lines;
  constexpr Reads how = kWhole ? Reads::all : Reads::any;
  const auto dy_at = [&](const T* p) FASTCONV_LAMBDA { return kWhole ? load(p) : load_lanes(p, f.own); };
  for_each_line(l, [&](int64_t r, const T* line) FASTCONV_LAMBDA {
    const T *dy = b.dy + r * b.dy_row, *above = dy - b.dy_row, *below = dy + b.dy_row;
    for (int64_t at = from; at < end; at += kLanes<T>) {
      Vec<T> in[3];
      read_line<1, how>(line, at, f, in);
      if (r + 1 < l.rows) add_products<0>(acc, dy_at(below + at), in);
      if (__builtin_expect(r >= 0 && r < l.rows, 1)) add_products<3>(acc, dy_at(dy + at), in);
      if (r > 0) add_products<6>(acc, dy_at(above + at), in);
    }
  });
}
template <bool kWhole, class T>
FASTCONV_INLINE void add_columns(const SquareDots<T>& b, const PlainColumn<T>& f, int64_t from, int64_t end,
                                 Vec<T> (&acc)[9], Count<2>) {
  const SquareLines<T>& l = b.lines;
  const auto dy_at = [&](const T* p) FASTCONV_LAMBDA { return apart(kWhole ? load(p) : load_lanes(p, f.own)); };
  Vec<T> own{};  // of a column alone, from row to row
  for_each_pair(l, [&](int64_t r, const T* even, const T* odd) FASTCONV_LAMBDA {
    const T *dy = b.dy + r * b.dy_row, *below = dy + b.dy_row;
    const bool inner = r >= 0 && r + 1 < l.rows, all = kWhole || (f.plain && inner);
    for (int64_t at = from; at < end; at += kLanes<T>) {
      Vec<T> in[3];
      if (even) {
        if (kWhole || r == 0) own = dy_at(dy + at);
        if (kWhole || (all && r > 0)) read_line<2, Reads::all>(even, at, f, in);
        else read_line<2, Reads::most>(even, at, f, in);
        add_products<3>(acc, own, in);
      }
      if (!odd) continue;
      if (all) read_line<2, Reads::all>(odd, at, f, in);
      else read_line<2, Reads::most>(odd, at, f, in);
      if (even) add_products<6>(acc, own, in);
      if (r + 1 < l.rows) add_products<0>(acc, own = dy_at(below + at), in);
    }
  });
}
template <int S, class T>
__attribute__((noinline)) void add_whole_columns(const SquareDots<T>& b, const PlainColumn<T>& f, int64_t c,
                                                 int64_t end, Vec<T>* sums) {
  Vec<T> acc[9] = {};
  add_columns<true>(b, f, c * kLanes<T>, end * kLanes<T>, acc, Count<S>{});
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) sums[t] += acc[t];
}
template <int S, class T>
__attribute__((noinline)) void add_any_column(const SquareDots<T>& b, const PlainColumn<T>& f, int64_t at,
                                              Vec<T>* sums) {
  Vec<T> acc[9] = {};
  add_columns<false>(b, f, at, at + 1, acc, Count<S>{});
  add_sums(f, acc, sums);
}

// The outermost line on either side, and what is above and below, are all that is not surrounded by memory.
template <class T>
FASTCONV_INLINE void add_plain_column(const SquareDots<T>& b, const PlainColumn<T>& f, int64_t at, Vec<T>* sums) {
  const SquareLines<T>& l = b.lines;
  const T *dy = b.dy + at, *line = l.x;
  Vec<T> acc[9] = {}, in[3], above, beside = load_lanes(dy, f.own), below = load_lanes(dy += b.dy_row, f.own);
  if (l.above) {
    read_line<1, Reads::most>(l.above, at, f, in);
    add_products<0>(acc, beside, in);
  }
  read_line<1, Reads::most>(line, at, f, in);
  add_products<0>(acc, below, in);
  add_products<3>(acc, beside, in);
  for (int64_t r = 1; r + 1 < l.rows; ++r) {
    line += l.row;
    above = beside, beside = below;
    below = load_lanes(dy += b.dy_row, f.own);
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) {
      const Vec<T> x = load(line + at + k - 1);
      acc[k] += below * x;
      acc[3 + k] += beside * x;
      acc[6 + k] += above * x;
    }
  }
  read_line<1, Reads::most>(line + l.row, at, f, in);
  add_products<3>(acc, below, in);
  add_products<6>(acc, beside, in);
  if (l.below) {
    read_line<1, Reads::most>(l.below, at, f, in);
    add_products<6>(acc, below, in);
  }
  add_sums(f, acc, sums);
}
template <class T, int S>
void plain_dots(const SquareDots<T>& all) {
  SquareDots<T> b = all;
  const int64_t columns = (b.lines.width + kLanes<T> - 1) / kLanes<T>;
  const PlainColumn<T> column[3] = {make_column(b.lines, 0, S), make_column(b.lines, 1, S),
                                    make_column(b.lines, columns - 1, S)};
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> sums[9] = {};
    if (columns > 2) add_whole_columns<S>(b, column[1], 1, columns - 1, sums);
    for (int64_t c = 0; c < columns; c += columns - (columns > 1)) {
      const PlainColumn<T>& f = column[c == 0 ? 0 : 2];
      const int64_t at = column_from(b.lines, c);
      if (S == 1 && f.plain) add_plain_column(b, f, at, sums);
      else add_any_column<S>(b, f, at, sums);
    }
    write_any<T>(sums, b.dw, b.tap, b.adds);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
