// Squares of three by three taps (kernels/depthwise/squares.hpp): the sums of their weight gradient.
#pragma once
#include "kernels/depthwise/squares_columns.hpp"
#include "kernels/depthwise/squares_lines.hpp"
#include "kernels/depthwise/squares_taps.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// A row of dy, zero beside its lanes.
template <class T, int C, class Columns>
FASTCONV_INLINE void read_row(const SquareDots<T>& b, const Columns& block, int64_t r, Vec<T> (&d)[C]) {
  const T* row = b.dy + block.at + r * b.dy_row;
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) d[c] = block.template load_column<C>(row, c);
}

// dy is zero beside the lanes of the last column, but x might be infinite there: it is left out by masked products, or
// taken away before.
#if defined(__AVX512F__)
template <class T, int C>
FASTCONV_INLINE Vec<T> within(const Block<T>&, int, Vec<T> x) {
  return x;
}
template <class T, int C>
FASTCONV_INLINE void add_dot(const Block<T>& block, int c, Vec<T>& sum, Vec<T> dy, Vec<T> x) {
  sum = c < C - 1 ? sum + dy * x : add_in_lanes(sum, dy, x, block.last.bits);
}
#else
template <class T, int C>
FASTCONV_INLINE Vec<T> within(const Block<T>& block, int c, Vec<T> x) {
  return c < C - 1 ? x : block.keep_last ? x : Vec<T>{};
}
template <class T, int C>
FASTCONV_INLINE void add_dot(const Block<T>&, int, Vec<T>& sum, Vec<T> dy, Vec<T> x) {
  sum += dy * x;
}
#endif

// A line meets the rows of dy above, beside and below it.
template <class T, int C>
FASTCONV_INLINE void add_dots(const SquareDots<T>& b, const Block<T>& block, Vec<T> (&acc)[9]) {
  Vec<T> above[C], beside[C], below[C], under[3];
  read_row<T, C>(b, block, 0, beside);
  read_row<T, C>(b, block, 0, above);  // these two are not met before they are read
  read_row<T, C>(b, block, 0, below);
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    if (b.x_ahead) {
      fetch<C>(from + block.at + b.x_ahead);
      fetch<C>(b.dy + block.at + r * b.dy_row + b.dy_ahead);
    }
    if (r + 1 < b.lines.rows) read_row<T, C>(b, block, r + 1, below);
    for_each_input<T, C>(from, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
      under[k] = within<T, C>(block, c, in);
      if (k < 2) return;
      const auto meet = [&](Vec<T> dy, int tap) FASTCONV_LAMBDA {
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) add_dot<T, C>(block, c, acc[tap + i], dy, under[i]);
      };
      if (r + 1 < b.lines.rows) meet(below[c], 0);
      if (r >= 0 && r < b.lines.rows) meet(beside[c], 3);
      if (r > 0) meet(above[c], 6);
    });
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) above[c] = beside[c], beside[c] = below[c];
  });
}
template <class T, int C>
FASTCONV_INLINE void add_dots(const SquareDots<T>& b, const HalvedBlock<T>& block, Vec<T> (&acc)[9]) {
  Vec<T> own[C], next[C];
  read_row<T, C>(b, block, 0, own);
  read_row<T, C>(b, block, 0, next);
  for_each_pair(b.lines, [&](int64_t r, const T* even, const T* odd) FASTCONV_LAMBDA {
    if (b.x_ahead && even) {
      fetch_pair<2 * C>(even + 2 * block.at + b.x_ahead, b.lines.row);
      fetch<C>(b.dy + block.at + r * b.dy_row + b.dy_ahead);
    }
    const bool more = r + 1 < b.lines.rows;
    if (more) read_row<T, C>(b, block, r + 1, next);
    // What stands behind the last output is read, and moves on to the lane behind it.
    const auto under = [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA { return k > 0 ? in : within<T, C>(block, c, in); };
    if (even)
      for_each_input<T, C>(even, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
        add_dot<T, C>(block, c, acc[3 + k], own[c], under(c, k, in));
      });
    if (odd)
      for_each_input<T, C>(odd, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
        const Vec<T> x = under(c, k, in);
        if (even) add_dot<T, C>(block, c, acc[6 + k], own[c], x);
        if (more) add_dot<T, C>(block, c, acc[k], next[c], x);
      });
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) own[c] = next[c];
  });
}

template <class T, int C, class Columns>
__attribute__((noinline)) void dots_of_block(const SquareDots<T>& all, const Columns& where) {
  const Columns block = where;
  SquareDots<T> b = all;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> acc[9];
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) acc[t] = Vec<T>{};
    add_dots<T, C>(b, block, acc);
    write_sums<C <= 2 && kLanes<T> == 16>(acc, b.dw, b.tap, b.adds);
  }
}

template <class T, int S>
void dots(const SquareDots<T>& all) {
  SquareDots<T> b = all;
  constexpr int most = S == 1 ? kColumns : sizeof(T) == 8 ? 1 : 2;
  if (blocks_of<most>(b.lines) > 1) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b)) {
    b.adds = all.adds;
    for_each_block<S, most>(b.lines, [&](const auto& block, auto n) FASTCONV_LAMBDA {
      dots_of_block<T, decltype(n)::value>(b, block);
      b.adds = true;
    });
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
