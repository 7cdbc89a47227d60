// Squares of three by three taps (kernels/depthwise_squares.hpp) where registers are few: inputs are loaded for each
// tap, a column of vectors of outputs or a row of them at a time. The last column ends with the rows: some of its
// outputs are those of the one before it, too.
#pragma once
#include "kernels/depthwise_squares_columns.hpp"
#include "kernels/depthwise_squares_lines.hpp"
#include "kernels/depthwise_squares_taps.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Lanes of a vector that are stored. To store some by a mask takes AVX2's processors ten times as long as all.
template <class T>
struct StoredLanes {
#if defined(__AVX512F__)
  LaneRange<T> lanes;
  FASTCONV_INLINE StoredLanes(int64_t at, int64_t begin, int64_t end) : lanes(LaneRange<T>::within(at, begin, end)) {}
  FASTCONV_INLINE void store_to(T* p, Vec<T> v) const { store_lanes(p, v, lanes); }
#else
  int64_t first, n;
  FASTCONV_INLINE StoredLanes(int64_t at, int64_t begin, int64_t end)
      : first(at < begin ? begin - at : 0), n((end - at < kLanes<T> ? end - at : kLanes<T>)-first) {}
  // A call, for the sake of the loops it is in.
  __attribute__((noinline)) void store_to(T* p, Vec<T> v) const {
    if (n == kLanes<T>) return store(p, v);
    T some[kLanes<T>];
    store(some, v);
    if (n > 0) copy_first(p + first, static_cast<const T*>(some + first), n);
  }
#endif
};

// How a column's inputs are read: wherever they are, where none is elsewhere, and if there is memory for all loads.
enum class Reads { any, most, all };

template <class T>
struct PlainColumn {
  int64_t left, right;                     // elements of a line
  bool wide, whole, plain;                 // plain: between other lines there is memory wherever loads may look
  bool has_left, has_right;                // what stands elsewhere
  LaneRange<T> x[4], own;                  // of what is loaded, of outputs,
  Mask<T> sums[3], left_lane, right_lane;  // and of those what each tap finds
};
template <class T>
FASTCONV_INLINE int64_t column_from(const SquareLines<T>& l, int64_t c) {
  const int64_t at = c * kLanes<T>, most = l.width < kLanes<T> ? 0 : l.width - kLanes<T>;
  return at < most ? at : most;
}
template <class T>
__attribute__((noinline)) PlainColumn<T> make_column(const SquareLines<T>& l, int64_t c, int64_t stride) {
  constexpr int VL = kLanes<T>;
  const bool halved = stride == 2;
  const int64_t at = column_from(l, c), n = l.width - at < VL ? l.width - at : VL, from = c * VL - at;
  const bool starts = at == 0, ends = at + n == l.width;
  const int64_t begin = l.has_left && l.left == -1 ? -1 : 0, more = stride * (l.width - 1) + 1,
                end = more + (l.has_right && l.right == more), row = l.row < 0 ? -l.row : l.row;
  PlainColumn<T> f{l.left,
                   l.right,
                   n == VL,
                   false,
                   false,
                   starts && l.has_left && begin == 0,
                   ends && l.has_right && end == more,
                   {{0, 0}, {0, 0}, {0, 0}, {0, 0}},
                   {from, n - from},
                   {},
                   {},
                   {}};
  const bool alone = !f.has_left && !f.has_right;
  f.whole = alone && f.wide && (!starts || begin < 0) && (!ends || end > more);
  f.plain = alone && l.rows > 1 && row >= stride && row + more > stride * (VL - 1) + 1;
  for (int i = 0; i < 4; ++i)
    f.x[i] = LaneRange<T>::within(stride * at + (halved ? i / 2 * 2 - 2 + i % 2 * VL : i - 1), begin, end);
  f.left_lane = first_lanes<T>(1), f.right_lane = first_lanes<T>(n) & ~first_lanes<T>(n - 1);
  f.sums[0] = f.sums[1] = f.sums[2] = f.own.lanes;
  if (starts && !l.has_left) f.sums[0] &= ~f.left_lane;
  if (ends && !l.has_right) f.sums[2] &= ~f.right_lane;
  for (Mask<T>& mask : f.sums) mask = halved ? apart(mask) : mask;
  return f;
}

// A value in a lane that is zero.
template <class T>
FASTCONV_INLINE Vec<T> with_lane(Vec<T> in, const Mask<T>& lane, T value) {
  return reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(in) | (reinterpret_cast<Mask<T>>(splat(value)) & lane));
}
// What is under each tap of a line, in which the column's outputs begin at element `at`.
template <int S, Reads how, class T>
FASTCONV_INLINE void read_line(const T* line, int64_t at, const PlainColumn<T>& f, Vec<T> (&in)[3]) {
  constexpr int VL = kLanes<T>;
  const T* const p = line + S * at;
  const auto read = [&](const T* from, int i)
                        FASTCONV_LAMBDA { return how == Reads::all ? load(from) : load_lanes(from, f.x[i]); };
  if constexpr (S == 1) {
    in[0] = read(p - 1, 0), in[1] = read(p, 1), in[2] = read(p + 1, 2);
    if (how == Reads::any && f.has_left) in[0] = with_lane(in[0], f.left_lane, line[f.left]);
    if (how == Reads::any && f.has_right) in[2] = with_lane(in[2], f.right_lane, line[f.right]);
  } else {
    const Vec<T> before = read(p - 2, 0), between = read(p - 2 + VL, 1), low = read(p, 2);
    Vec<T> high = read(p + VL, 3);
    __asm__("" : "+v"(high));  // loaded once
    in[0] = every_second_apart<1>(before, between);
    in[1] = every_second_apart<0>(low, high);
    in[2] = every_second_apart<1>(low, high);
  }
}

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

// Images of lines no longer than a vector: a line begins a row of outputs, goes on with the one above it and ends the
// one above both. Rows without gaps are stored by whole vectors, each of which the next one ends.
template <class T>
void small_lines(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  const int64_t width = b.lines.width, rows = b.lines.rows;
  const LaneRange<T> own[3] = {{1, width - 1}, {0, width}, {0, width - 1}};
  const bool dense = b.y_row == width;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> tap[9];
    read_taps(b.w, b.tap, tap);
    const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
    Vec<T> sum[1], going_on = bias, beginning = bias;
    const T* line = b.lines.x;
    T* y = b.y;
    for (int64_t r = 0;; ++r, line += b.lines.row) {
      sum[0] = going_on, going_on = beginning, beginning = bias;
      if (r < rows)
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) {
          const Vec<T> in = load_lanes(line + k - 1, own[k]);
          sum[0] += tap[6 + k] * in;
          going_on += tap[3 + k] * in;
          beginning += tap[k] * in;
        }
      if (r == 0) continue;
      if (b.clamp) clamp_all<T, 1>(b.low, b.high, sum);
      if (dense && r < rows) store(y, sum[0]);
      else StoredLanes<T>(0, 0, width).store_to(y, sum[0]);
      if (r == rows) break;
      y += b.y_row;
    }
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
