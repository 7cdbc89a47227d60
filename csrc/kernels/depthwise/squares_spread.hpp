// The input gradient of squares of three by three taps at a stride of two (kernels/depthwise/squares.hpp): four phases
// at a time, whose columns are put together.
#pragma once
#include "kernels/depthwise/squares_few_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// C columns of vectors of dy, the first with pair `from`, and what they have of a line and of a row of dx.
template <class T, int C>
struct SpreadColumns {
  int64_t at, out;
  LaneRange<T> first, last, behind;
  StoredLanes<T> stored_first, stored_low, stored_high;
  FASTCONV_INLINE SpreadColumns(const SquareSpread<T>& b, int64_t from)
      : at(from + b.x),
        out(2 * from),
        first(LaneRange<T>::within(at, 0, b.width)),
        last(LaneRange<T>::within(at + (C - 1) * kLanes<T>, 0, b.width)),
        behind(LaneRange<T>::within(at + C * kLanes<T>, 0, b.width)),
        stored_first(out, b.first, b.end),
        stored_low(out + 2 * (C - 1) * kLanes<T>, b.first, b.end),
        stored_high(out + (2 * C - 1) * kLanes<T>, b.first, b.end) {}
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
  // Up to `whole`, what a vector has beyond the end of its row is written again.
  FASTCONV_INLINE void write(T* row, int c, Vec<T> even, Vec<T> odd, const T* whole) const {
    const auto put = [&](T* p, Vec<T> v, const StoredLanes<T>& lanes) FASTCONV_LAMBDA {
      if (!kMovesLanes && p <= whole) store(p, v);
      else lanes.store_to(p, v);
    };
    T* const to = row + 2 * c * kLanes<T>;
    const Vec<T> high = zip_high(even, odd);
    put(to, zip_low(even, odd), c == 0 ? stored_first : stored_low);
    if (c < C - 1) store(to + kLanes<T>, high);
    else put(to + kLanes<T>, high, stored_high);
  }
};

template <class T, int C>
FASTCONV_INLINE void spread_plane(const SquareSpread<T>& b, const SpreadColumns<T, C>& columns) {
  Vec<T> tap[9], above[C], right[C], below[C], below_right[C];
  read_taps(b.w, b.tap, tap);
  const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
  const T* line = b.dy + columns.at;
  T* dx = b.dx + columns.out;
  const bool dense = C == 1 && b.columns == 1 && b.first == 0 && b.dx_row == b.end;
  const T* const whole = dense ? b.dx + b.end_row * b.dx_row - kLanes<T> : nullptr;
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
        columns.write(dx, c, bias + tap[4] * above[c], bias + tap[3] * right[c] + tap[5] * above[c], whole);
    if (2 * r + 1 < b.end_row)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c)
        columns.write(dx + b.dx_row, c, bias + tap[1] * below[c] + tap[7] * above[c],
                      bias + tap[0] * below_right[c] + tap[2] * below[c] + tap[6] * right[c] + tap[8] * above[c],
                      whole);
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) above[c] = below[c], right[c] = below_right[c];
  }
}

template <class T, int C>
__attribute__((noinline)) void spread_columns(const SquareSpread<T>& all, int64_t from) {
  SquareSpread<T> b = all;
  const SpreadColumns<T, C> columns(b, from);
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) spread_plane<T, C>(b, columns);
}

// Where registers are few: row by row, the columns [whole, end) that need no parts of vectors before the others, of
// which the last one ends with the rows.
constexpr int kMostEdges = 4;  // dy is at most one element short of the first pair, and two of the last ones
template <class T>
struct SpreadEdge {
  int64_t from;
  LaneRange<T> own{0, 0}, right{0, 0};
  StoredLanes<T> low{0, 0, 0}, high{0, 0, 0};
  bool ends;  // all but what stands to the right is there
};
template <class T>
__attribute__((noinline)) SpreadEdge<T> spread_edge(const SquareSpread<T>& b, int64_t c) {
  constexpr int VL = kLanes<T>;
  const int64_t last = (b.end + 1) / 2 - VL, from = c > 0 && c * VL > last ? last : c * VL, at = from + b.x;
  return {from,
          LaneRange<T>::within(at, 0, b.width),
          LaneRange<T>::within(at + 1, 0, b.width),
          {2 * from, b.first, b.end},
          {2 * from + VL, b.first, b.end},
          at >= 0 && at + VL <= b.width && 2 * from >= b.first && 2 * (from + VL) <= b.end};
}
template <class T>
FASTCONV_INLINE bool is_whole(const SquareSpread<T>& b, int64_t c) {
  const int64_t from = c * kLanes<T>, at = from + b.x;
  return at >= 0 && at + kLanes<T> < b.width && 2 * from >= b.first && 2 * (from + kLanes<T>) <= b.end;
}
template <class T>
FASTCONV_INLINE void spread_rows(const SquareSpread<T>& b, int64_t whole, int64_t end, const SpreadEdge<T>* edges,
                                 int64_t edge_count) {
  Vec<T> tap[9];
  read_taps(b.w, b.tap, tap);
  const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
  for (int64_t r = 0; 2 * r < b.end_row; ++r) {
    const T *line = b.dy + b.x + r * b.dy_row, *next = line + b.dy_row;
    T *const dx = b.dx + 2 * r * b.dx_row, *const odd = dx + b.dx_row;
    const bool has_line = r >= b.first_line && r < b.end_line, has_next = r + 1 >= b.first_line && r + 1 < b.end_line;
    // Read and written by these.
    const auto column = [&](int64_t at, auto own, auto right, auto low, auto high) FASTCONV_LAMBDA {
      Vec<T> above{}, above_right{}, below{}, below_right{};
      if (has_line) above = apart(own(line + at)), above_right = apart(right(line + at + 1));
      if (has_next) below = apart(own(next + at)), below_right = apart(right(next + at + 1));
      const auto zip = [&](T* to, Vec<T> even, Vec<T> odds) FASTCONV_LAMBDA {
        low(to + 2 * at, zipped_apart<0>(even, odds));
        high(to + 2 * at + kLanes<T>, zipped_apart<1>(even, odds));
      };
      if (2 * r >= b.first_row) zip(dx, bias + tap[4] * above, bias + tap[3] * above_right + tap[5] * above);
      if (2 * r + 1 < b.end_row)
        zip(odd, bias + tap[1] * below + tap[7] * above,
            bias + tap[0] * below_right + tap[2] * below + tap[6] * above_right + tap[8] * above);
    };
    const auto load_all = [](const T* p) FASTCONV_LAMBDA { return load(p); };
    const auto store_all = [](T* p, Vec<T> v) FASTCONV_LAMBDA { store(p, v); };
    for (int64_t at = whole * kLanes<T>; at < end * kLanes<T>; at += kLanes<T>)
      column(at, load_all, load_all, store_all, store_all);
    for (int64_t i = 0; i < edge_count; ++i) {
      const SpreadEdge<T>& e = edges[i];
      const auto load_right = [&](const T* p) FASTCONV_LAMBDA { return load_lanes(p, e.right); };
      if (sizeof(T) == 4 && e.ends) column(e.from, load_all, load_right, store_all, store_all);
      else
        column(
            e.from, [&](const T* p) FASTCONV_LAMBDA { return load_lanes(p, e.own); }, load_right,
            [&](T* p, Vec<T> v) FASTCONV_LAMBDA { e.low.store_to(p, v); },
            [&](T* p, Vec<T> v) FASTCONV_LAMBDA { e.high.store_to(p, v); });
    }
  }
}
template <class T>
void spread_by_rows(const SquareSpread<T>& all) {
  if (sizeof(T) == 4 && all.columns == 1) return spread_columns<T, 1>(all, 0);
  SquareSpread<T> b = all;
  int64_t whole = 0, end, count = 0;
  while (whole < b.columns && !is_whole(b, whole)) ++whole;
  for (end = whole; end < b.columns && is_whole(b, end);) ++end;
  SpreadEdge<T> edges[kMostEdges];
  for (int64_t c = 0; c < b.columns; ++c)
    if (c < whole || c >= end) edges[count++] = spread_edge(b, c);
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) spread_rows(b, whole, end, edges, count);
}

// Planes in turn, unless they are columns in turn.
template <class T>
void spread(const SquareSpread<T>& all) {
  constexpr int C = sizeof(T) == 8 ? 1 : 2;  // float64: half the code
  SquareSpread<T> b = all;
  if (b.columns > C) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b)) {
    int64_t c = 0;
    for (; c + C <= b.columns; c += C) spread_columns<T, C>(b, c * kLanes<T>);
    if (C > 1 && c < b.columns) spread_columns<T, 1>(b, c * kLanes<T>);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
