// Squares of three by three taps (kernels/depthwise/squares.hpp) where registers are few, at a stride of one: vectors
// are loaded for each tap. The first and the last vector of rows, which padding reaches, go down the plane together;
// those between them along some rows at a time.
#pragma once
#include "kernels/depthwise/squares_few_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

constexpr int kRowsAlong = 4;  // sums, which with nine taps leave a few registers to what is loaded

// Two vectors of a line, or the only one, which may be less than whole. Where they are its ends, padding reaches them.
template <class T, int C>
struct TwoVectors {
  int64_t at, next, lanes;  // next: elements to the second one
  bool has_left, has_right;
  LaneRange<T> before, behind;  // what stands in the line under the outer taps
  FASTCONV_INLINE TwoVectors(const SquareRows<T>& b, int64_t first, int64_t second)
      : at(first),
        next(second - first),
        lanes(C > 1       ? kLanes<T>
              : first > 0 ? b.lines.width - 2 * kLanes<T>
                          : b.lines.width),
        has_left(first == 0 && b.lines.has_left),
        has_right(first == 0 && b.lines.has_right),
        before(first > 0 ? 0 : 1, first > 0 ? kLanes<T> : kLanes<T> - 1),
        behind(0, first > 0 ? kLanes<T> : lanes - 1) {}
  FASTCONV_INLINE Vec<T> load_one(const T* p, int c) const {
    return C > 1 ? load(c ? p + next : p) : load_lanes(p, LaneRange<T>(0, lanes));
  }
  FASTCONV_INLINE void store_one(T* p, int c, Vec<T> v) const {
    if (C > 1 || lanes == kLanes<T>) store(c ? p + next : p, v);
    else store_first(p, v, lanes);
  }
  template <int N, int... I>
  static FASTCONV_INLINE Vec<T> with_lane(Vec<T> v, T other, LaneList<I...>) {
    return __builtin_shufflevector(v, splat(other), (I == N ? kLanes<T> + I : I)...);
  }
  // f(c, k, in) for the vectors c and taps k: `in` stands under them.
  template <class F>
  FASTCONV_INLINE void for_each_input(const SquareLines<T>& l, const T* line, F f) const {
    const T* from = line + at - 1;
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k, ++from)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        Vec<T> in;
        if (k == 0 && c == 0) {
          in = load_lanes(from, before);
          if (has_left) in = with_lane<0>(in, line[l.left], LanesOf<Vec<T>>{});
        } else if (k == 2 && c == C - 1) {
          in = load_lanes(c ? from + next : from, behind);
          if (has_right && C > 1) in = with_lane<kLanes<T> - 1>(in, line[l.right], LanesOf<Vec<T>>{});
          else if (has_right) in = first_lanes<T>(lanes - 1) ? in : splat(line[l.right]);
        } else {
          in = load_one(from, c);
        }
        f(c, k, in);
      }
  }
};

// A line begins a row of outputs by the first row of taps, goes on with the one above it by the second, and ends the
// one above both.
template <class T, int C>
FASTCONV_INLINE void down_plane(const SquareRows<T>& b, const TwoVectors<T, C>& two, bool adds, bool clamp) {
  const SquareLines<T>& lines = b.lines;
  Vec<T> tap[9], ending[C], going_on[C], beginning[C];
  read_taps(b.w, b.tap, tap);
  const T bias = b.bias ? *b.bias : T(0);
  T* y = b.y + two.at;  // of the row that ends next
  const auto begin = [&](Vec<T>(&sums)[C], int64_t r) FASTCONV_LAMBDA {
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) sums[c] = splat(bias);
    if (!adds || r >= lines.rows) return;
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) sums[c] = two.load_one(b.y + two.at + r * b.y_row, c);
  };
  const auto end = [&]() FASTCONV_LAMBDA {
    if (clamp) clamp_all<T, C>(b.low, b.high, ending);
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) two.store_one(y, c, ending[c]);
    y += b.y_row;
  };
  begin(going_on, 0);
#pragma GCC unroll 2
  for (int c = 0; c < C; ++c) ending[c] = going_on[c];
  for_each_line(lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    begin(beginning, r + 1);
    two.for_each_input(lines, from, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
      ending[c] += tap[6 + k] * in;
      going_on[c] += tap[3 + k] * in;
      beginning[c] += tap[k] * in;
      __asm__("" : "+v"(ending[c]));  // now, and not where it is stored: inputs would be kept until then
    });
    if (r > 0) end();
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) ending[c] = going_on[c], going_on[c] = beginning[c];
  });
  if (!lines.below) end();
}

template <class T, int C>
__attribute__((noinline)) void sum_down(const SquareRows<T>& all, int64_t first, int64_t second) {
  const TwoVectors<T, C> two(all, first, second);
  down_plane(all, two, all.first_channel > 0, all.clamp);
}

// Whether a loop along rows had better go from their end: a load that stands at the same place of a page as a store
// before it waits for that one.
template <class T>
FASTCONV_INLINE bool trails(const T* x, const T* y) {
  constexpr uintptr_t kPage = 4096;
  return (reinterpret_cast<uintptr_t>(y) - reinterpret_cast<uintptr_t>(x) - 1) % kPage < kPage / 2;
}

// R rows at a time from row r on. The first two vectors between the ends, in the order of going, may overlap.
template <class T, int R>
__attribute__((noinline)) int64_t sum_along(const SquareRows<T>& s, int64_t r) {
  constexpr int VL = kLanes<T>;
  const SquareLines<T> lines = s.lines;
  const int64_t y_row = s.y_row;
  const bool adds = s.first_channel > 0, clamp = s.clamp;
  const bool back = trails(lines.x, s.y);
  const int64_t low = VL, high = lines.width - 2 * VL, left_over = (high - low - 1) % VL + 1, from = back ? high : low,
                to = back ? low : high, step = back ? -VL : VL, second = from + (back ? -left_over : left_over);
  // In the same line: the processor follows short ones.
  const int64_t x_ahead = s.x_ahead < lines.row ? back ? -s.x_ahead : s.x_ahead : 0,
                y_ahead = back ? -s.y_ahead : s.y_ahead;
  Vec<T> tap[9];
  read_taps(s.w, s.tap, tap);
  const T bias = s.bias ? *s.bias : T(0);
  const bool plain = !adds && !x_ahead;
  const T* line[R + 2];
  line[R + 1] = lines.x + r * lines.row;
  T* y = s.y + r * y_row;
  for (; r + R <= lines.rows; r += R, y += R * y_row) {
    T stored[R * VL];
    line[0] = r == 0 ? lines.above : line[R + 1] - lines.row;
    line[1] = line[R + 1];
#pragma GCC unroll 6
    for (int i = 1; i <= R; ++i) line[i + 1] = line[i] + lines.row;
    if (r + R == lines.rows) line[R + 1] = lines.below;
    if (adds)
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) store(stored + i * VL, load(y + i * y_row + second));
    int64_t at = from, next = second;
    while (true) {
      T* const out = y + at;
      Vec<T> sums[R];
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) sums[i] = splat(bias);
      if (!plain) {
        if (x_ahead && (at & VL))
#pragma GCC unroll 4
          for (int i = 0; i < R; ++i) {
            fetch<1>(line[i + 1] + at + x_ahead);
            fetch<1, 1>(out + i * y_row + y_ahead);
          }
        if (adds)
#pragma GCC unroll 4
          for (int i = 0; i < R; ++i) sums[i] = load(at == second ? stored + i * VL : out + i * y_row);
      }
#pragma GCC unroll 6
      for (int l = 0; l < R + 2; ++l) {
        if ((l == 0 || l == R + 1) && !line[l]) continue;
        const T* const under = line[l] + at;
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) {
          const Vec<T> in = load(under + (k - 1));
#pragma GCC unroll 4
          for (int i = 0; i < R; ++i)
            if (l - i >= 0 && l - i < 3) sums[i] += tap[3 * (l - i) + k] * in;
        }
      }
      if (clamp) clamp_all<T, R>(s.low, s.high, sums);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) store(out + i * y_row, sums[i]);
      if (at == to) break;
      at = next, next += step;
    }
  }
  return r;
}

// One channel of one plane.
template <class T>
__attribute__((noinline)) void sum_plane(const SquareRows<T>& b) {
  constexpr int VL = kLanes<T>;
  const int64_t width = b.lines.width;
  if (width <= VL) return sum_down<T, 1>(b, 0, 0);
  if (width > 4 * VL) {
    const int64_t r = sum_along<T, kRowsAlong>(b, 0);
    if (r < b.lines.rows) sum_along<T, 1>(b, r);
  } else if (width > 3 * VL) {
    sum_down<T, 2>(b, VL, width - 2 * VL);
  } else if (width > 2 * VL) {
    sum_down<T, 1>(b, VL, VL);
  }
  sum_down<T, 2>(b, 0, width - VL);
}
// What padding adds to two columns of outputs, after all else.
template <class T>
__attribute__((noinline)) void fold_columns(const SquareRows<T>& b) {
  const int64_t end = b.lines.width - 1;
  T *first = b.y + b.fold.first, *last = b.y + b.fold.last, sums[2][3] = {}, w[9];
  for (int t = 0; t < 9; ++t) w[t] = b.w[b.tap[t]];
  const auto end_row = [&]() FASTCONV_LAMBDA {
    if (b.fold.first >= 0) *first += sums[0][0];
    if (b.fold.last >= 0) *last += sums[1][0];
    first += b.y_row, last += b.y_row;
  };
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    const T x[2] = {from[0], from[end]};
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
      const int k = side ? 0 : 2;
      sums[side][0] += w[6 + k] * x[side];
      sums[side][1] += w[3 + k] * x[side];
      sums[side][2] = w[k] * x[side];
    }
    if (r > 0) end_row();
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) sums[side][0] = sums[side][1], sums[side][1] = sums[side][2];
  });
  if (!b.lines.below) end_row();
}
// Adds the first line by the last row of taps, or the last line by the first one, to a row, if to any.
template <class T>
void fold_line(const SquareRows<T>& b, int64_t row, int64_t line, int row_of_taps) {
  if (row < 0) return;
  const int64_t* const from = b.tap + 3 * row_of_taps;
  const int64_t tap[9] = {from[0], from[1], from[2], from[0], from[1], from[2], from[0], from[1], from[2]};
  SquareRows<T> one = b;
  one.lines.x += line * b.lines.row;
  one.lines.above = one.lines.below = nullptr;
  one.lines.rows = 1;
  one.tap = tap;
  one.y += row * b.y_row;
  one.first_channel = 1;
  sum_plane(one);
  fold_columns(one);
}

template <class T>
void rows_of_few(const SquareRows<T>& all) {
  for_each_channel(all, [&](const SquareRows<T>& one) FASTCONV_LAMBDA {
    sum_plane(one);
    if (!all.fold.folds) return;
    fold_columns(one);
    fold_line(one, all.fold.top, 0, 2);
    fold_line(one, all.fold.bottom, all.lines.rows - 1, 0);
  });
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
