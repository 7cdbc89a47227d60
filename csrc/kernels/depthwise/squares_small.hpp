// Images of up to eight by eight (kernels/depthwise/squares.hpp) in registers, two lines a vector: a line is half of
// it, with zeros behind its elements.
#pragma once
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/depthwise/squares_taps.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

constexpr int kPairs = 4, kSmallLine = 8;

// Lines of eight lanes, two of them or one as by apart(), moved on by S elements, zeros coming in.
template <int S, class V, int... I>
FASTCONV_INLINE V lines_moved_on(V v, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  constexpr auto place = [](int i) { return n > kSmallLine || i % 6 < 2 ? i : i ^ 6; };
  constexpr auto source = [=](int i) {
    const int at = place(i) % kSmallLine + S;
    return at >= 0 && at < kSmallLine ? place(place(i) + S) : n;
  };
  return __builtin_shufflevector(v, V{}, source(I)...);
}
// Column k of the taps: lines 2 i and 2 i + 1 of a pair, and lines 2 i - 1 and 2 i.
template <class T>
struct PairColumn {
  Vec<T> own[kPairs], between[kPairs + 1];
};
template <class T, int S>
FASTCONV_INLINE PairColumn<T> pair_column(const Vec<T> (&in)[kPairs]) {
  constexpr int H = kLanes<T> / 2;
  PairColumn<T> c;
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) c.own[i] = lines_moved_on<S>(in[i], LanesOf<Vec<T>>{});
  c.between[0] = moved_on<H>(Vec<T>{}, c.own[0]);
  c.between[kPairs] = moved_on<H>(c.own[kPairs - 1], Vec<T>{});
#pragma GCC unroll 4
  for (int i = 1; i < kPairs; ++i) c.between[i] = moved_on<H>(c.own[i - 1], c.own[i]);
  return c;
}
// The lanes of pair i of `rows` lines of `width` elements.
template <class T>
struct PairLanes {
  LaneRange<T> low, high;
  FASTCONV_INLINE PairLanes(int i, int64_t rows, int64_t width)
      : low(0, 2 * i < rows ? width : 0), high(kLanes<T> / 2, 2 * i + 1 < rows ? width : 0) {}
};
// An image whose lines are `row` apart.
template <class T>
FASTCONV_INLINE void load_image(const SquareLines<T>& l, const T* x, int64_t row, Vec<T> (&v)[kPairs]) {
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i, x += 2 * row) {
    const PairLanes<T> lanes(i, l.rows, l.width);
    v[i] = load_lanes(x + row - kLanes<T> / 2, lanes.high, load_lanes(x, lanes.low));
  }
}
template <class T>
FASTCONV_INLINE void store_image(const SquareLines<T>& l, T* y, int64_t row, const Vec<T> (&v)[kPairs]) {
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i, y += 2 * row) {
    const PairLanes<T> lanes(i, l.rows, l.width);
    store_lanes(y, v[i], lanes.low);
    store_lanes(y + row - kLanes<T> / 2, v[i], lanes.high);
  }
}
// Column k and on of K by K taps: an output row is a sum over rows an even and rows an odd number of lines away.
template <class T, int K, int k = 0>
FASTCONV_INLINE void add_pairs(const Vec<T> (&in)[kPairs], const T* w, Vec<T> (&even)[kPairs], Vec<T> (&odd)[kPairs]) {
  if constexpr (k < K) {
    const PairColumn<T> c = pair_column<T, k - K / 2>(in);
#pragma GCC unroll 7
    for (int r = 0; r < K; ++r) {
      const Vec<T> tap = splat(w[r * K + k]);
      const int d = r - K / 2;
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i)
        if (d % 2) {
          const int at = i + (d + 1) / 2;
          if (at >= 0 && at <= kPairs) odd[i] += tap * c.between[at];
        } else {
          const int at = i + d / 2;
          if (at >= 0 && at < kPairs) even[i] += tap * c.own[at];
        }
    }
    add_pairs<T, K, k + 1>(in, w, even, odd);
  }
}

template <class V, int... I>
FASTCONV_INLINE V reversed(V v, LaneList<I...>) {
  return __builtin_shufflevector(v, v, (static_cast<int>(sizeof...(I)) - 1 - I)...);
}
// An image turned half around, in its frame of so many pairs of lines.
template <class T>
FASTCONV_INLINE void turn(Vec<T> (&v)[kPairs]) {
#pragma GCC unroll 2
  for (int i = 0; i < kPairs / 2; ++i) {
    const Vec<T> last = v[kPairs - 1 - i];
    v[kPairs - 1 - i] = reversed(v[i], LanesOf<Vec<T>>{});
    v[i] = reversed(last, LanesOf<Vec<T>>{});
  }
}

// A kernel's taps in the order of an image that is turned like it: where they stand, if that is their order, or `own`.
template <int K, class T>
FASTCONV_INLINE const T* taps_in_turn(const SquareRows<T>& b, T (&own)[K * K]) {
  const int64_t *tap = b.tap, step = b.turns ? -1 : 1;
  if (tap[1] == tap[0] + step && tap[K] == tap[0] + K * step) return b.w + tap[b.turns ? K * K - 1 : 0];
  for (int t = 0; t < K * K; ++t) own[t] = b.w[tap[b.turns ? K * K - 1 - t : t]];
  return own;
}

template <class T, int K>
void small_rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    T own[K * K];
    const T* const w = taps_in_turn<K>(b, own);
    Vec<T> in[kPairs], even[kPairs], odd[kPairs];
    load_image(b.lines, b.lines.x, b.lines.row, in);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) even[i] = splat(b.bias ? *b.bias : T(0)), odd[i] = Vec<T>{};
    if (b.turns) turn<T>(in);
    add_pairs<T, K>(in, w, even, odd);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) even[i] += odd[i];
    if (b.turns) turn<T>(even);
    if (b.clamp) clamp_all<T, kPairs>(b.low, b.high, even);
    store_image(b.lines, b.y, b.y_row, even);
  }
}

#if defined(__AVX512F__)
template <int k = 0>
FASTCONV_INLINE void add_pair_dots(const Vec<float> (&in)[kPairs], const Vec<float> (&dy)[kPairs],
                                   const unsigned (&bits)[kPairs], Vec<float> (&acc)[9]) {
  if constexpr (k < 3) {
    const PairColumn<float> c = pair_column<float, k - 1>(in);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      acc[k] = add_in_lanes(acc[k], dy[i], c.between[i], bits[i]);
      acc[3 + k] = add_in_lanes(acc[3 + k], dy[i], c.own[i], bits[i]);
      acc[6 + k] = add_in_lanes(acc[6 + k], dy[i], c.between[i + 1], bits[i]);
    }
    add_pair_dots<k + 1>(in, dy, bits, acc);
  }
}
void small_dots(const SquareDots<float>& all) {
  SquareDots<float> b = all;
  unsigned bits[kPairs];
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) {
    const PairLanes<float> lanes(i, b.lines.rows, b.lines.width);
    bits[i] = lanes.low.bits | lanes.high.bits;
  }
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<float> in[kPairs], dy[kPairs], acc[9];
    load_image(b.lines, b.lines.x, b.lines.row, in);
    load_image(b.lines, b.dy, b.dy_row, dy);
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) acc[t] = Vec<float>{};
    add_pair_dots(in, dy, bits, acc);
    write_sums<true>(acc, b.dw, b.tap, b.adds);
  }
}
#endif

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
