// Up to sixteen columns of outputs, two elements apart, of three by three taps (kernels/depthwise/squares.hpp): a row
// of eight takes eight lanes, and two rows a vector of sixteen; a row of more takes one vector of sixteen, or two of
// eight. The first output stands at the first element of a line.
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

// Short rows of outputs, in a vector.
template <class T>
constexpr int kRowsIn = kLanes<T> / kSmallLine;

// R rows of outputs, or every second line, are in a vector, or one row in C vectors. The image has nothing but zeros
// around it.
template <class T, int R, int C>
struct HalvedImage {
  static constexpr int VL = kLanes<T>;
  int64_t row, count, rows, elements;  // count: of lines
  LaneRange<T> ends[4];                // of the last vectors: what stands under the last two taps, and under the first
  explicit FASTCONV_INLINE HalvedImage(const SquareLines<T>& l)
      : row(l.row),
        count(2 * l.rows - 1 + (l.below != nullptr)),
        rows(l.rows),
        elements(2 * l.width - 1 + (l.has_right && l.right == 2 * l.width - 1)),
        ends{end(0), end(VL), end(-2), end(VL - 2)} {}
  FASTCONV_INLINE LaneRange<T> end(int64_t at) const {
    return LaneRange<T>::within((C - 1) * 2 * VL + at, 0, elements);
  }
  template <int kOdd>
  static FASTCONV_INLINE Vec<T> halves(Vec<T> a, Vec<T> b) {
    if constexpr (VL == kSmallLine) return every_second_apart<kOdd>(a, b);
    else return every_second<kOdd>(a, b);
  }
  // What stands under the taps of vector c of line r, and of r + 2 where a vector has two, as by apart().
  FASTCONV_INLINE void read(const T* x, int64_t r, int c, Vec<T> (&in)[3]) const {
    const T* const line = x + r * row + c * 2 * VL;
    if constexpr (R == 2) {
      const Vec<T> own = load_lanes(line, LaneRange<T>(0, r < count ? elements : 0)),
                   next = load_lanes(line + 2 * row, LaneRange<T>(0, r + 2 < count ? elements : 0));
      in[1] = even_lanes(own, next), in[2] = odd_lanes(own, next);
    } else if (r < count) {
      const auto part = [&](int64_t at, int i)
                            FASTCONV_LAMBDA { return c + 1 < C ? load(line + at) : load_lanes(line + at, ends[i]); };
      const Vec<T> first = part(0, 0), second = part(VL, 1);
      in[1] = halves<0>(first, second), in[2] = halves<1>(first, second);
      if (c > 0) in[0] = halves<1>(part(-2, 2), part(VL - 2, 3));
    } else {
      in[0] = in[1] = in[2] = Vec<T>{};
    }
    if (c > 0) return;
    if constexpr (R == 1 && VL > kSmallLine) in[0] = moved_on<VL - 1>(Vec<T>{}, in[2]);
    else in[0] = lines_moved_on<-1>(in[2], LanesOf<Vec<T>>{});
  }
};

template <class T, int R, int C>
void halved_planes(const SquareRows<T>& all) {
  constexpr int VL = kLanes<T>;
  SquareRows<T> b = all;
  const HalvedImage<T, R, C> image(b.lines);
  const int64_t width = b.lines.width;
  const bool dense = b.y_row == width;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> tap[9], in[3], begun[C] = {};
    read_taps(b.w, b.tap, tap);
    const Vec<T> bias = splat(b.bias ? *b.bias : T(0));
    T* y = b.y;
    for (int64_t r = 0; r < image.rows; r += R, y += R * b.y_row) {
      const bool more = r + 1 < image.rows;
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        Vec<T> sum[1] = {bias}, rest{}, next{};  // next: what a line has for the row below
        image.read(b.lines.x, 2 * r, c, in);
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) sum[0] += tap[3 + k] * in[k];
        image.read(b.lines.x, 2 * r + 1, c, in);
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) rest += tap[6 + k] * in[k], next += tap[k] * in[k];
        sum[0] += rest;
        if constexpr (R == 2) sum[0] += moved_on<kSmallLine>(begun[c], next);
        else sum[0] += begun[c];
        begun[c] = next;
        if (b.clamp) clamp_all<T, 1>(b.low, b.high, sum);
        if constexpr (R == 2) {
          store_lanes(y, sum[0], LaneRange<T>(0, width));
          store_lanes(y + b.y_row - kSmallLine, sum[0], LaneRange<T>(kSmallLine, more ? width : 0));
        } else if (const Vec<T> v = apart(sum[0]); c + 1 < C || (dense && more)) {
          store(y + c * VL, v);  // the next row begins with what this one writes beyond its end
        } else {
          StoredLanes<T>(c * VL, 0, width).store_to(y + c * VL, v);
        }
      }
    }
  }
}

template <class T>
void small_halved_rows(const SquareRows<T>& b) {
  if (b.lines.width <= kSmallLine) halved_planes<T, kRowsIn<T>, 1>(b);
  else halved_planes<T, 1, 2 / kRowsIn<T>>(b);
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
  const HalvedImage<T, kRowsIn<T>, 1> image(b.lines);
  const Mask<T> lanes = apart(first_lanes<T>(b.lines.width));
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> acc[9] = {}, in[3];
    HalvedOutputs<T> own(b, 0);
    for (int64_t r = 0; r < image.rows; r += kRowsIn<T>) {
      image.read(b.lines.x, 2 * r, 0, in);
      own.add(acc + 3, in, lanes);
      image.read(b.lines.x, 2 * r + 1, 0, in);
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
