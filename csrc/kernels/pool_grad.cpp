// Gradients are gathered: every row of dx is made once, from the outputs whose windows reach it, in their order. Column
// m * stride + r of the padded row meets the taps r, r + stride, ... of the outputs m, m - 1, ...: one sum of shifted
// vectors for each phase r, and the phases are zipped.
#include "kernels/pool_grad.hpp"

#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// kStride vectors of phases, side by side.
template <int kStride, class T>
FASTCONV_INLINE void store_zipped(T* to, Vec<T> (&phase)[kStride]) {
  if constexpr (kStride == 1) {
    store(to, phase[0]);
  } else {
    store(to, zip_low(phase[0], phase[1]));
    store(to + kLanes<T>, zip_high(phase[0], phase[1]));
  }
}

// to[i] = from[i]; what lies behind n elements may be overwritten up to `end`.
template <class T>
FASTCONV_INLINE void copy_row(T* to, const T* from, int64_t n, const T* end) {
  for (int64_t i = 0; i < n; i += kLanes<T>) store_some(to + i, load(from + i), n - i, end);
}

// row[(m - m0) * stride + r] for the columns of `count` places m; line[0] is output m0 - (k - 1) / stride.
template <class T, int kStride>
void spread_phases(const T* line, int64_t k, int64_t count, T* row) {
  const int64_t back = (k - 1) / kStride;
  for (int64_t m = 0; m < count; m += kLanes<T>) {
    Vec<T> phase[kStride] = {};
    for (int64_t u = back; u >= 0; --u) {
      const Vec<T> v = load(line + m + back - u);
#pragma GCC unroll 2
      for (int r = 0; r < kStride; ++r)
        if (u * kStride + r < k) phase[r] += v;
    }
    store_zipped<kStride>(row + m * kStride, phase);
  }
}

// Of a column: its first output in a line, and how many reach it.
struct Reached {
  int32_t first, count;
};
void list_reached(const PoolAxis& w, PoolCover outputs, int64_t first, int64_t last, Reached* to) {
  for (int64_t i = first; i < last; ++i) to[i - first] = {};
  for (int64_t o = outputs.first; o < outputs.last; ++o) {
    const PoolWindow window = pool_window(w, o);
    int64_t i = window.start > first ? window.start : first, end = window.start + window.count;
    for (end = end < last ? end : last; i < end; ++i)
      if (to[i - first].count++ == 0) to[i - first].first = static_cast<int32_t>(o - outputs.first);
  }
}
template <class T>
void spread_windows(const T* line, const Reached* reached, int64_t columns, T* row) {
  for (int64_t i = 0; i < columns; ++i) {
    const T* from = line + reached[i].first;
    T sum = 0;
    for (int32_t left = reached[i].count; left > 0; --left) sum += *from++;
    row[i] = sum;
  }
}

// One copy for all, as few rows need it: windows over the rows behind those under `c`, of which j is the first.
__attribute__((noinline)) PoolCover next_cover(const PoolAxis& h, int64_t j, PoolCover c) {
  return j > 0 ? pool_next_cover(h, j, c) : pool_cover(h, 0);
}
__attribute__((noinline)) int64_t cover_end(const PoolAxis& h, PoolCover c) { return pool_cover_end(h, c); }

// GCC, asked for small code, leaves this out; instructions of the oldest rung, and the caller's, would then be up to
// five times as slow, as they keep what the upper lanes hold.
FASTCONV_INLINE void clear_upper_lanes() {
#if defined(__AVX__)
  __builtin_ia32_vzeroupper();
#endif
}

}  // namespace

template <class T>
void PoolGrads<T>::avg(const AvgGradStrip<T>& call) {
  const AvgGradStrip<T> g = call;  // copies, which no store can change
  const PoolAxis d = g.axis[0], h = g.axis[1], w = g.axis[2];
  const int64_t columns = g.last - g.first;
  const bool zipped = is_zipped(w);
  const PoolCover outputs = avg_grad_outputs(w, g.first, g.last);
  const int64_t base = outputs.first, stop = outputs.last;
  const int64_t from = base < 0 ? 0 : base, to = stop < w.out ? stop : w.out;
  const int64_t shift = zipped ? (g.first + w.pad_before) % w.stride : 0, places = stop - base - (w.k - 1) / w.stride;
  T* line = static_cast<T*>(g.scratch);  // what output base + j gives to each of its columns
  T* buffer = line + (stop - base) + kPoolSlack;
  auto* reached = reinterpret_cast<Reached*>(buffer + columns + 2 * kPoolSlack);
  if (!zipped) list_reached(w, {from, to}, g.first, g.last, reached);
  for (int64_t j = base; j < from; ++j) line[j - base] = 0;
  for (int64_t j = to > from ? to : from; j < stop + kLanes<T>; ++j) line[j - base] = 0;

  for (int64_t plane = 0; plane < g.planes; ++plane) {
    const T* dy = g.dy + plane * g.dy_plane;
    T* dx = g.dx + plane * g.dx_plane;
    const T* end = dx + (g.dx_row == columns ? (g.last_row - g.first_row) * columns : columns);
    int64_t i = g.first_row / h.in, j = g.first_row % h.in;
    PoolCover planes = pool_cover(d, i), rows = pool_cover(h, j);
    for (int64_t row = g.first_row; row < g.last_row;) {
      for (int64_t o = from; o < to; o += kLanes<T>) {
        const LaneRange<T> lanes(0, to - o < kLanes<T> ? to - o : kLanes<T>);
        Vec<T> sum{};
        for (int64_t a = planes.first; a < planes.last; ++a)
          for (int64_t b = rows.first; b < rows.last; ++b)
            sum +=
                load_lanes(dy + a * g.plane_step + b * g.row_step + o, lanes) * (g.plane_weight[a] * g.row_weight[b]);
        store(line + (o - base), sum * load(g.weight + o - from));
      }
      if (!zipped) spread_windows(line, reached, columns, buffer);
      else if (w.stride == 1) spread_phases<T, 1>(line, w.k, places, buffer);
      else spread_phases<T, 2>(line, w.k, places, buffer);
      const int64_t stop = cover_end(h, rows), left = g.last_row - row;
      for (int64_t alike = stop - j < left ? stop - j : left; alike > 0; --alike, ++row, ++j, dx += g.dx_row) {
        copy_row<T>(dx, buffer + shift, columns, end);
        if (g.dx_row != columns) end += g.dx_row;
      }
      if (j == h.in) j = 0, planes = pool_cover(d, ++i);
      rows = next_cover(h, j, rows);
    }
  }
  clear_upper_lanes();
}

template struct PoolGrads<float>;
template struct PoolGrads<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
