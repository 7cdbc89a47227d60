// Up to eight columns of outputs, two elements apart, of three by three taps (kernels/depthwise/squares.hpp): a row of
// them takes eight lanes, and two rows a vector of sixteen. The first output stands at the first element of a line.
#pragma once
#include "kernels/depthwise/squares_few_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/depthwise/squares_small.hpp"
#include "kernels/depthwise/squares_taps.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Rows of outputs, or every second line, in a vector.
template <class T>
constexpr int kRowsIn = kLanes<T> / kSmallLine;

// An image with nothing but zeros around it.
template <class T>
struct HalvedImage {
  int64_t row, count, rows, elements;  // count: of lines
  explicit FASTCONV_INLINE HalvedImage(const SquareLines<T>& l)
      : row(l.row),
        count(2 * l.rows - 1 + (l.below != nullptr)),
        rows(l.rows),
        elements(2 * l.width - 1 + (l.has_right && l.right == 2 * l.width - 1)) {}
  // What stands under the taps in line r, and in r + 2 where a vector has two, as by apart().
  FASTCONV_INLINE void read(const T* x, int64_t r, Vec<T> (&in)[3]) const {
    const T* const line = x + r * row;
    Vec<T> first{}, second{};
    if constexpr (kRowsIn<T> == 2) {
      first = load_lanes(line, LaneRange<T>(0, r < count ? elements : 0));
      second = load_lanes(line + 2 * row, LaneRange<T>(0, r + 2 < count ? elements : 0));
      in[1] = even_lanes(first, second), in[2] = odd_lanes(first, second);
    } else {
      if (r < count) {
        first = load_lanes(line, LaneRange<T>::within(0, 0, elements));
        second = load_lanes(line + kLanes<T>, LaneRange<T>::within(kLanes<T>, 0, elements));
      }
      in[1] = every_second_apart<0>(first, second), in[2] = every_second_apart<1>(first, second);
    }
    in[0] = lines_moved_on<-1>(in[2], LanesOf<Vec<T>>{});
  }
};

template <class T>
void small_halved_rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  const HalvedImage<T> image(b.lines);
  const int64_t width = b.lines.width;
  const bool dense = b.y_row == width;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> tap[9], in[3], begun{};
    read_taps(b.w, b.tap, tap);
    const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
    T* y = b.y;
    for (int64_t r = 0; r < image.rows; r += kRowsIn<T>, y += kRowsIn<T> * b.y_row) {
      Vec<T> sum[1] = {bias}, rest{}, next{};  // next: what a line has for the row below
      image.read(b.lines.x, 2 * r, in);
#pragma GCC unroll 3
      for (int k = 0; k < 3; ++k) sum[0] += tap[3 + k] * in[k];
      image.read(b.lines.x, 2 * r + 1, in);
#pragma GCC unroll 3
      for (int k = 0; k < 3; ++k) rest += tap[6 + k] * in[k], next += tap[k] * in[k];
      sum[0] += rest;
      if constexpr (kRowsIn<T> == 2) sum[0] += moved_on<kSmallLine>(begun, next);
      else sum[0] += begun;
      begun = next;
      if (b.clamp) clamp_all<T, 1>(b.low, b.high, sum);
      const bool more = r + 1 < image.rows;
      if constexpr (kRowsIn<T> == 2) {
        store_lanes(y, sum[0], LaneRange<T>(0, width));
        store_lanes(y + b.y_row - kSmallLine, sum[0], LaneRange<T>(kSmallLine, more ? width : 0));
      } else if (const Vec<T> v = apart(sum[0]); dense && more) {
        store(y, v);  // the next row begins with what this one writes beyond its end
      } else {
        StoredLanes<T>(0, 0, width).store_to(y, v);
      }
    }
  }
}

// Rows of dy from row r on, zeros beside them: products with x leave out what is beside, which might be infinite.
template <class T>
struct HalvedOutputs {
  Vec<T> dy;
#if defined(__AVX512F__)
  unsigned bits;
  FASTCONV_INLINE HalvedOutputs(const SquareDots<T>& b, int64_t r) {
    const LaneRange<T> own(0, r < b.lines.rows ? b.lines.width : 0),
        next(kSmallLine, r + 1 < b.lines.rows ? b.lines.width : 0);
    const T* const from = b.dy + r * b.dy_row;
    dy = load_lanes(from + b.dy_row - kSmallLine, next, load_lanes(from, own));
    bits = own.bits | next.bits;
  }
  FASTCONV_INLINE HalvedOutputs(const HalvedOutputs& own, const HalvedOutputs& behind)
      : dy(moved_on<kSmallLine>(own.dy, behind.dy)), bits(own.bits >> kSmallLine | behind.bits << kSmallLine) {}
  FASTCONV_INLINE void add(Vec<T>* acc, const Vec<T> (&in)[3], Mask<T>) const {
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) acc[k] = add_in_lanes(acc[k], dy, in[k], bits);
  }
#else
  bool any;
  FASTCONV_INLINE HalvedOutputs(const SquareDots<T>& b, int64_t r) : dy{}, any(r < b.lines.rows) {
    if (any) dy = apart(load_lanes(b.dy + r * b.dy_row, LaneRange<T>(0, b.lines.width)));
  }
  FASTCONV_INLINE HalvedOutputs(const HalvedOutputs&, const HalvedOutputs& behind) : HalvedOutputs(behind) {}
  // The first tap's input may be one more than there are outputs.
  FASTCONV_INLINE void add(Vec<T>* acc, const Vec<T> (&in)[3], Mask<T> lanes) const {
    if (!any) return;
    acc[0] += dy * reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(in[0]) & lanes);
    acc[1] += dy * in[1];
    acc[2] += dy * in[2];
  }
#endif
};

template <class T>
void small_halved_dots(const SquareDots<T>& all) {
  SquareDots<T> b = all;
  const HalvedImage<T> image(b.lines);
  const Mask<T> lanes = apart(first_lanes<T>(b.lines.width));
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> acc[9] = {}, in[3];
    HalvedOutputs<T> own(b, 0);
    for (int64_t r = 0; r < image.rows; r += kRowsIn<T>) {
      image.read(b.lines.x, 2 * r, in);
      own.add(acc + 3, in, lanes);
      image.read(b.lines.x, 2 * r + 1, in);
      own.add(acc + 6, in, lanes);
      const HalvedOutputs<T> behind(b, r + kRowsIn<T>);
      HalvedOutputs<T>(own, behind).add(acc, in, lanes);
      own = behind;
    }
    write_sums<kRowsIn<T> == 2>(acc, b.dw, b.tap, b.adds);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
