// Squares (kernels/depthwise/squares.hpp): lines and taps of a plane, and what the next plane has.
#pragma once
#include "kernels/depthwise/squares.hpp"
#include "kernels/masked.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The lines of the next plane or image.
template <class T>
FASTCONV_INLINE void move_on(SquareLines<T>& l, int64_t by) {
  l.x += by;
  if (l.above) l.above += by;
  if (l.below) l.below += by;
}

// f(r, address) for lines -1 to `rows`, those of zeros left out.
template <class T, class F>
FASTCONV_INLINE void for_each_line(const SquareLines<T>& l, F f) {
  const int64_t end = l.rows + (l.below != nullptr);
  const T* from = l.above ? l.above : l.x;
  for (int64_t r = l.above ? -1 : 0; r < end; ++r) {
    f(r, from);
    from = r < 0 ? l.x : r + 1 < l.rows ? from + l.row : l.below;
  }
}
// f(r, line 2 r, line 2 r + 1) at a stride of two, the lines of zeros being null.
template <class T, class F>
FASTCONV_INLINE void for_each_pair(const SquareLines<T>& l, F f) {
  const T* even = l.above ? nullptr : l.x;
  for (int64_t r = l.above ? -1 : 0; r < l.rows; ++r) {
    f(r, even, r < 0 ? l.above : r + 1 < l.rows ? even + l.row : l.below);
    even = r < 0 ? l.x : even + 2 * l.row;
  }
}

template <class T>
FASTCONV_INLINE void next_plane(SquareRows<T>& b) {
  move_on(b.lines, b.x_plane);
  b.w += b.w_plane;
  b.y += b.y_plane;
  b.bias += b.bias ? 1 : 0;
}

// f(one) for each channel of each plane.
template <class T, class F>
FASTCONV_INLINE void for_each_channel(const SquareRows<T>& all, F f) {
  SquareRows<T> one = all;
  one.x_plane -= all.channels * all.x_channel;
  one.w_plane -= all.channels * all.w_channel;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(one))
    for (int64_t c = all.first_channel; c < all.channels;
         ++c, move_on(one.lines, all.x_channel), one.w += all.w_channel) {
      one.first_channel = c > 0;
      one.clamp = all.clamp && c + 1 == all.channels;
      f(one);
    }
}

template <class T>
FASTCONV_INLINE void next_plane(SquareDots<T>& b) {
  move_on(b.lines, b.x_plane);
  b.dy += b.dy_plane;
  b.dw += b.dw_plane;
}

template <class T>
FASTCONV_INLINE void next_plane(SquareSpread<T>& b) {
  b.dy += b.dy_plane;
  b.w += b.w_plane;
  b.dx += b.dx_plane;
  b.bias += b.bias ? 1 : 0;
}
template <class T>
FASTCONV_INLINE void read_taps(const T* w, const int64_t* at, Vec<T> (&tap)[9]) {
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) tap[t] = splat(w[at[t]]);
}

// n vectors from p on, to be read or written later: once a cache line.
template <int n, int kToWrite = 0, class T>
FASTCONV_INLINE void fetch(const T* p) {
#pragma GCC unroll 4
  for (int i = 0; i < n; i += 64 / FASTCONV_VEC_BYTES) __builtin_prefetch(p + i * kLanes<T>, kToWrite);
}
// The same of two lines.
template <int n, int kToWrite = 0, class T>
FASTCONV_INLINE void fetch_pair(const T* p, int64_t row) {
#pragma GCC unroll 2
  for (int r = 0; r < 2; ++r) {
    const T* line = p + r * row;
    __asm__("" : "+r"(line));  // one address, where the compiler would keep one for each vector
    fetch<n, kToWrite>(line);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
