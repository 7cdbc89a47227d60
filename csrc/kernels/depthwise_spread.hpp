// The input gradient of a square at a stride of two (kernels/depthwise.hpp).
#pragma once
#include "kernels/depthwise.hpp"
#include "kernels/depthwise_parts.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// C columns of dy, from element `at` of its lines on, as elements `out` and on of dx.
template <class T, int C>
FASTCONV_INLINE void spread_columns(const SpreadBand<T>& b, const Vec<T> (&tap)[9], int64_t at, int64_t out) {
  constexpr int VL = kLanes<T>;
  const Part<T> first(at, b.lines.width), last(at + (C - 1) * VL, b.lines.width), behind(at + C * VL, b.lines.width, 1),
      stored_first(out - b.first, b.end - b.first), stored_low(out + 2 * (C - 1) * VL - b.first, b.end - b.first),
      stored_high(out + (2 * C - 1) * VL - b.first, b.end - b.first);
  const Vec<T> bias = splat(b.bias);
  const int64_t dx_row = b.dx_row, dy_ahead = b.dy_ahead, dx_ahead = b.dx_ahead, end = b.end_row,
                first_row = b.first_row;
  const auto read = [&](const T* from, Vec<T>(&own)[C], Vec<T>(&right)[C]) FASTCONV_LAMBDA {
    Vec<T> next = behind.load(from + C * VL);
#pragma GCC unroll 2
    for (int c = C - 1; c >= 0; --c) {
      own[c] = c == 0 ? first.load(from) : last.load(from + c * VL);
      right[c] = moved_on<1>(own[c], next);
      next = own[c];
    }
  };
  const auto write = [&](T* to, int c, Vec<T> even, Vec<T> odd) FASTCONV_LAMBDA {
    const Vec<T> low = zip_low(even, odd), high = zip_high(even, odd);
    to += 2 * c * VL;
    store_lanes(to, low, c == 0 ? stored_first.lanes : stored_low.lanes);
    if (c < C - 1) store(to + VL, high);
    else store_lanes(to + VL, high, stored_high.lanes);
  };
  const T* const* line = b.lines.line;
  T* dx = b.dx + out;
  Vec<T> above[C], right[C], below[C], below_right[C];
  read(*line + at, above, right);
  for (int64_t r = 0; r < end; r += 2, dx += 2 * dx_row) {
    const T* from = *++line + at;
    if (dy_ahead) {
      const T *x = from + dy_ahead, *y = dx + dx_ahead, *next = y + dx_row;
#pragma GCC unroll 4
      for (int c = 0; c < 2 * C; ++c) {
        if (c < C) __builtin_prefetch(x + c * VL);
        __builtin_prefetch(y + c * VL, 1);
        __builtin_prefetch(next + c * VL, 1);
      }
    }
    read(from, below, below_right);
    if (r >= first_row)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) write(dx, c, bias + tap[4] * above[c], bias + tap[3] * right[c] + tap[5] * above[c]);
    if (r + 1 < end)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c)
        write(dx + dx_row, c, bias + tap[1] * below[c] + tap[7] * above[c],
              bias + tap[0] * below_right[c] + tap[2] * below[c] + tap[6] * right[c] + tap[8] * above[c]);
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) above[c] = below[c], right[c] = below_right[c];
  }
}

template <class T>
void spread_band(const SpreadBand<T>& b) {
  constexpr int VL = kLanes<T>, C = sizeof(T) == 8                 ? 1
                                    : FASTCONV_VEC_REGISTERS == 32 ? 2
                                                                   : 1;  // float64: half the code
  Vec<T> tap[9];
#pragma GCC unroll 16
  for (int i = 0; i < 9; ++i) tap[i] = splat(b.w[i]);
  int64_t c = 0;
  for (; c + C <= b.columns; c += C) spread_columns<T, C>(b, tap, c * VL + b.x, 2 * c * VL);
  if (C > 1 && c < b.columns) spread_columns<T, 1>(b, tap, c * VL + b.x, 2 * c * VL);
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
