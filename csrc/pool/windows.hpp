// Where the windows of an axis lie. Force-inlined: kernels of every rung include it, and no rung may share its code.
#pragma once
#include <stdint.h>

#include "fastconv/pool.hpp"

#define FASTCONV_WINDOW __attribute__((always_inline)) inline

namespace fastconv {

// Input elements start, start + dilation, ...: `count` of them.
struct PoolWindow {
  int64_t start, count;
};

FASTCONV_WINDOW PoolWindow pool_window(const PoolAxis& a, int64_t o) {
  if (a.windows == PoolWindows::listed) return {a.starts[o], a.k};
  if (a.windows == PoolWindows::adaptive) {
    const int64_t start = o * a.in / a.out;
    return {start, ((o + 1) * a.in + a.out - 1) / a.out - start};
  }
  const int64_t q = o * a.stride - a.pad_before;
  if (q >= 0 && q + a.dilation * (a.k - 1) < a.in) return {q, a.k};
  const int64_t first = q < 0 ? (-q + a.dilation - 1) / a.dilation : 0;
  const int64_t room = (a.in - q + a.dilation - 1) / a.dilation;
  return {q + first * a.dilation, (room < a.k ? room : a.k) - first};
}

FASTCONV_WINDOW int64_t pool_extent(const PoolAxis& a) { return a.dilation * (a.k - 1) + 1; }

// Input elements [first, last) that hold the taps of window o. Both ends ascend with o, which the last tap of a dilated
// window need not do.
struct PoolReach {
  int64_t first, last;
};
FASTCONV_WINDOW PoolReach pool_reach(const PoolAxis& a, int64_t o) {
  if (a.windows != PoolWindows::regular) {
    const PoolWindow w = pool_window(a, o);
    return {w.start, w.start + w.count};
  }
  const int64_t q = o * a.stride - a.pad_before, stop = q + pool_extent(a);
  return {q < 0 ? 0 : q, stop < a.in ? stop : a.in};
}

// The axis's factor of an average's divisor.
FASTCONV_WINDOW int64_t pool_divisor(const PoolAxis& a, int64_t o, bool count_include_pad) {
  if (!count_include_pad || a.windows != PoolWindows::regular) return pool_window(a, o).count;
  const int64_t q = o * a.stride - a.pad_before, room = a.in + a.pad_after - q;
  return room < a.k ? room : a.k;
}

// Windows [first, last) that hold input element i, on an axis without dilation.
struct PoolCover {
  int64_t first, last;
};
FASTCONV_WINDOW PoolCover pool_cover(const PoolAxis& a, int64_t i) {
  if (a.windows == PoolWindows::adaptive) return {i * a.out / a.in, ((i + 1) * a.out + a.in - 1) / a.in};
  const int64_t q = i + a.pad_before, last = q / a.stride + 1;
  return {q < a.k ? 0 : (q - a.k) / a.stride + 1, last < a.out ? last : a.out};
}
// The first element behind those that are held by these very windows.
FASTCONV_WINDOW int64_t pool_cover_end(const PoolAxis& a, PoolCover c) {
  if (a.windows == PoolWindows::adaptive) {
    const PoolWindow first = pool_window(a, c.first);
    const int64_t end = first.start + first.count, next = c.last < a.out ? pool_window(a, c.last).start : a.in;
    return end < next ? end : next;
  }
  const int64_t end = c.first < c.last ? c.first * a.stride + a.k - a.pad_before : a.in;
  const int64_t next = c.last < a.out ? c.last * a.stride - a.pad_before : a.in;
  const int64_t first = end < next ? end : next;
  return first < a.in ? first : a.in;
}
// Windows that hold element i, the first that those of c do not all hold: no division on a regular axis.
FASTCONV_WINDOW PoolCover pool_next_cover(const PoolAxis& a, int64_t i, PoolCover c) {
  if (a.windows == PoolWindows::adaptive) return pool_cover(a, i);
  const int64_t q = i + a.pad_before;
  while (c.first < c.last && c.first * a.stride + a.k <= q) ++c.first;
  while (c.last < a.out && c.last * a.stride <= q) ++c.last;
  return c;
}

}  // namespace fastconv
