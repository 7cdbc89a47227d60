// Squares of three by three taps (kernels/depthwise/squares.hpp): some columns of vectors of a line, and what stands
// under each tap of them.
#pragma once
#include "kernels/depthwise/squares.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// With many registers a vector is loaded once and its lanes are moved, with few it is loaded for each tap.
constexpr bool kMovesLanes = FASTCONV_VEC_REGISTERS == 32;

// Vectors of a line at a time: three sums and an input of each are in registers, and nine taps.
constexpr int kColumns = 4;

// Some columns of the lines, from element `at` on, and what stands on either side of them.
template <class T>
struct Block {
  int64_t at, left, right, lanes;                       // lanes: of the last column
  Mask<T> keep_left, keep_right, keep_last, keep_next;  // keep_next: where the right neighbour is within that column
  LaneRange<T> last;
  FASTCONV_INLINE Block(const SquareLines<T>& l, int64_t first, int64_t columns)
      : Block(l, first, first + columns * kLanes<T>, l.width - first - (columns - 1) * kLanes<T>) {}
  FASTCONV_INLINE Vec<T> load_last(const T* p) const { return load_lanes(p, last); }
  // Column c of C in a row whose element `at` is at p.
  template <int C>
  FASTCONV_INLINE Vec<T> load_column(const T* p, int c) const {
    return c < C - 1 ? load(p + c * kLanes<T>) : load_last(p + c * kLanes<T>);
  }
  template <int C>
  FASTCONV_INLINE void store_column(T* p, int c, Vec<T> v) const {
    if (c < C - 1) store(p + c * kLanes<T>, v);
    else store_lanes(p + c * kLanes<T>, v, last);
  }

 private:
  FASTCONV_INLINE Block(const SquareLines<T>& l, int64_t first, int64_t end, int64_t left_over)
      : at(first),
        left(first > 0 ? first - 1 : l.left),
        right(end < l.width ? end : l.right),
        lanes(left_over < kLanes<T> ? left_over : kLanes<T>),
        keep_left(first_lanes<T>(first > 0 || l.has_left ? kLanes<T> : 0)),
        keep_right(first_lanes<T>(end < l.width || l.has_right ? kLanes<T> : 0)),
        keep_last(first_lanes<T>(lanes)),
        keep_next(first_lanes<T>(lanes + 1) & ~keep_last),
        last(0, lanes) {}
};

// Of outputs two elements apart, element `at` being twice as far on.
template <class T>
struct HalvedBlock : Block<T> {
  LaneRange<T> half[2];  // of the two vectors that the last column reads
  bool has_right;        // what the last tap finds elsewhere than in a line,
  Mask<T> right_lane;    // in this lane
  FASTCONV_INLINE HalvedBlock(const SquareLines<T>& l, int64_t first, int64_t columns)
      : HalvedBlock(Block<T>(l, first, columns), l.has_right,
                    first + columns * kLanes<T> < l.width || l.right == 2 * l.width - 1) {
    if (first > 0) this->left = 2 * first - 1;
  }

 private:
  FASTCONV_INLINE HalvedBlock(const Block<T>& b, bool elsewhere, bool more)
      : HalvedBlock(b, elsewhere && !more, 2 * b.lanes - !more) {}
  FASTCONV_INLINE HalvedBlock(const Block<T>& b, bool elsewhere, int64_t n)
      : Block<T>(b),
        half{{0, n < kLanes<T> ? n : kLanes<T>}, {0, n < kLanes<T> ? 0 : n - kLanes<T>}},
        has_right(elsewhere),
        right_lane(b.keep_last & ~first_lanes<T>(b.lanes - 1)) {}
};

// f(c, k, in) for the columns c and taps k of a line: `in` stands under them.
template <class T, int C, class F>
FASTCONV_INLINE void for_each_input(const T* line, const Block<T>& b, F f) {
  const T* const from = line + b.at;
  const Vec<T> behind = b.keep_right ? splat(line[b.right]) : Vec<T>{};
  const auto column = [&](int c) FASTCONV_LAMBDA {
    return c < C - 1 ? load(from + c * kLanes<T>) : b.keep_next ? behind : b.load_last(from + c * kLanes<T>);
  };
  Vec<T> before = b.keep_left ? splat(line[b.left]) : Vec<T>{}, middle = column(0);
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    const Vec<T> next = c < C - 1 ? column(c + 1) : behind;
    const Vec<T> left = moved_on<kLanes<T> - 1>(before, middle), right = moved_on<1>(middle, next);
    f(c, 0, left);
    f(c, 1, middle);
    f(c, 2, right);
    before = middle;
    middle = next;
  }
}
// Each line is taken apart into its even and odd elements.
template <class T, int C, class F>
FASTCONV_INLINE void for_each_input(const T* line, const HalvedBlock<T>& b, F f) {
  constexpr int VL = kLanes<T>;
  const T* from = line + 2 * b.at;
  Vec<T> before = b.keep_left ? splat(line[b.left]) : Vec<T>{};
#pragma GCC unroll 2
  for (int c = 0; c < C; ++c, from += 2 * VL) {
    const Vec<T> low = c < C - 1 ? load(from) : load_lanes(from, b.half[0]),
                 high = c < C - 1 ? load(from + VL) : load_lanes(from + VL, b.half[1]), even = even_lanes(low, high);
    Vec<T> odd = odd_lanes(low, high);
    if (c == C - 1 && b.has_right) odd = b.right_lane ? splat(line[b.right]) : odd;
    f(c, 0, moved_on<VL - 1>(before, odd));
    f(c, 1, even);
    f(c, 2, odd);
    before = odd;
  }
}
template <int kMost, class T>
FASTCONV_INLINE int64_t blocks_of(const SquareLines<T>& l) {
  constexpr int64_t size = kMost * kLanes<T>;
  return (l.width + size - 1) / size;
}
// f(block, its columns as a constant): all columns of a line in blocks as even as may be.
template <int N>
struct Count {
  static constexpr int value = N;
};
template <class T, int S>
struct BlockFor {
  typedef Block<T> type;
};
template <class T>
struct BlockFor<T, 2> {
  typedef HalvedBlock<T> type;
};
// A call, which rows and dots share.
template <int S, class T>
__attribute__((noinline)) typename BlockFor<T, S>::type make_block(const SquareLines<T>& l, int64_t first, int64_t n) {
  return typename BlockFor<T, S>::type(l, first, n);
}
template <int S, int kMost, class T, class F>
FASTCONV_INLINE void for_each_block(const SquareLines<T>& l, F f) {
  const int64_t columns = (l.width + kLanes<T> - 1) / kLanes<T>, blocks = blocks_of<kMost>(l);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * columns / blocks, n = (i + 1) * columns / blocks - first;
    const typename BlockFor<T, S>::type block = make_block<S>(l, first * kLanes<T>, n);
    if (kMost == 1 || n == 1) f(block, Count<1>{});
    else if (kMost == 2 || n == 2) f(block, Count < kMost < 2 ? 1 : 2 > {});
    else if (n == 3) f(block, Count < kMost < 3 ? 1 : 3 > {});
    else f(block, Count<kMost>{});
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
