// Gradients are gathered: every row of dx is made once, from the outputs whose windows reach it, in their order. Column
// m * stride + r of the padded row meets the taps r, r + stride, ... of the outputs m, m - 1, ...: one sum of shifted vectors for
// each phase r, and the phases are zipped.
#include "kernels/pool_grad.hpp"

#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// kStride vectors of phases, side by side.
template <int kStride, class T>
FASTCONV_INLINE void store_zipped(T* to, Vec<T> (&phase)[kStride]) {
  if constexpr (kStride == 1) {
    store(to, phase[0]);
  } else if constexpr (kStride == 2) {
    store(to, zip_low(phase[0], phase[1]));
    store(to + kLanes<T>, zip_high(phase[0], phase[1]));
  } else {
    const Vec<T> a[2] = {zip_low(phase[0], phase[2]), zip_high(phase[0], phase[2])};
    const Vec<T> b[2] = {zip_low(phase[1], phase[3]), zip_high(phase[1], phase[3])};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      store(to + 2 * i * kLanes<T>, zip_low(a[i], b[i]));
      store(to + (2 * i + 1) * kLanes<T>, zip_high(a[i], b[i]));
    }
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
#pragma GCC unroll 4
      for (int r = 0; r < kStride; ++r)
        if (u * kStride + r < k) phase[r] += v;
    }
    store_zipped<kStride>(row + m * kStride, phase);
  }
}

// row += line window by window, for outputs [from, to); line[0] is output `from`.
template <class T>
void spread_windows(const AvgGradStrip<T>& g, const T* line, int64_t from, int64_t to, T* row) {
  for (int64_t i = 0; i < g.last - g.first; ++i) row[i] = 0;
  for (int64_t o = from; o < to; ++o) {
    const PoolWindow w = pool_window(g.axis[2], o);
    const int64_t first = w.start > g.first ? w.start : g.first, end = w.start + w.count;
    for (int64_t i = first; i < (end < g.last ? end : g.last); ++i) row[i - g.first] += line[o - from];
  }
}

template <class T>
bool same_cover(const PoolAxis& a, int64_t i, PoolCover c) {
  const PoolCover other = pool_cover(a, i);
  return other.first == c.first && other.last == c.last;
}

}  // namespace

template <class T>
void PoolGrads<T>::avg(const AvgGradStrip<T>& g) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t columns = g.last - g.first;
  const bool zipped = is_zipped(w);
  const PoolCover outputs = avg_grad_outputs(w, g.first, g.last);
  const int64_t base = outputs.first, stop = outputs.last;
  const int64_t from = base < 0 ? 0 : base, to = stop < w.out ? stop : w.out;
  const int64_t shift = zipped ? (g.first + w.pad_before) % w.stride : 0, places = stop - base - (w.k - 1) / w.stride;
  T* line = static_cast<T*>(g.scratch);  // what output base + j gives to each of its columns
  T* buffer = line + (stop - base) + kPoolSlack;
  for (int64_t j = base; j < from; ++j) line[j - base] = 0;
  for (int64_t j = to > from ? to : from; j < stop + kLanes<T>; ++j) line[j - base] = 0;

  T* dx = g.dx;
  const bool packed = g.dx_row == columns;
  const T* end = dx + (g.last_row - g.first_row) * columns;
  for (int64_t row = g.first_row; row < g.last_row;) {
    const int64_t i = row / h.in, j = row % h.in;
    const PoolCover planes = pool_cover(d, i), rows = pool_cover(h, j);
    int64_t alike = 1;  // rows under the same windows
    while (row + alike < g.last_row && j + alike < h.in && same_cover<T>(h, j + alike, rows)) ++alike;
    for (int64_t o = from; o < to; o += kLanes<T>) {
      const LaneRange<T> lanes(0, to - o < kLanes<T> ? to - o : kLanes<T>);
      Vec<T> sum{};
      for (int64_t a = planes.first; a < planes.last; ++a)
        for (int64_t b = rows.first; b < rows.last; ++b)
          sum += load_lanes(g.dy + a * g.plane_step + b * g.row_step + o, lanes) * (g.plane_weight[a] * g.row_weight[b]);
      store(line + (o - base), sum * load(g.weight + o - from));
    }
    if (!zipped) spread_windows(g, line, from, to, buffer);
    else if (w.stride == 1) spread_phases<T, 1>(line, w.k, places, buffer);
    else if (w.stride == 2) spread_phases<T, 2>(line, w.k, places, buffer);
    else spread_phases<T, 4>(line, w.k, places, buffer);
    row += alike;
    for (; alike > 0; --alike, dx += g.dx_row) copy_row<T>(dx, buffer + shift, columns, packed ? end : dx + columns);
  }
}

namespace {

// The positions of some output rows, relative to their windows: row * (width of x) + column, or -1 for what is none of theirs.
template <class T>
struct Winners {
  Position<T>* at;
  T* dy;
  int64_t pitch, first_row, margin;
};

template <class T>
FASTCONV_INLINE Mask<T> load_table(const void* table, int64_t i) {
  return load_positions<T>(static_cast<const Position<T>*>(table) + i);
}

// `bad` gets lanes that are not zero where a position lies outside of its window, `seen` the bits of all.
template <class T>
void prepare_row(const MaxGradPlane<T>& g, int64_t row, Position<T>* at, T* dy, Mask<T>& bad, Longs& seen) {
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  const PoolWindow height = pool_window(h, row);
  const Mask<T> lane = lane_numbers<T>(), steps = lane * splat_position<T>(w.stride);
  const int64_t corner = (row * h.stride - h.pad_before) * w.in - w.pad_before;
  const int64_t above = height.start - (row * h.stride - h.pad_before);  // the window's rows before the input
  for (int64_t o = 0; o < w.out; o += kLanes<T>) {
    const int64_t n = w.out - o;
    Mask<T> position;
    Vec<T> v;
    if (n >= kLanes<T>) {
      position = load_indices<T>(g.index + row * w.out + o, seen);
      v = load(g.dy + row * w.out + o);
    } else {
      int64_t some[kLanes<T>];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes<T>; ++i) some[i] = g.index[row * w.out + (o + i < w.out ? o + i : o)];
      position = load_indices<T>(some, seen);
      v = load_lanes(g.dy + row * w.out + o, LaneRange<T>(0, n));
    }
    const Mask<T> place = position - splat_position<T>(corner + o * w.stride) - steps;
    const Mask<T> first = load_table<T>(g.tap_first, o), taps = load_table<T>(g.taps, o);
    Mask<T> good{};
    for (int64_t r = above; r < above + height.count; ++r) {
      const Mask<T> tap = place - splat_position<T>(r * w.in) - first;
      good |= (tap >= 0) & (tap < taps);
    }
    store_positions<T>(at + o, good ? place : ~Mask<T>{});
    store(dy + o, v);
    bad |= ~good & (lane < splat_position<T>(n));
  }
}

template <class T, int kStride>
void gather_row(const MaxGradPlane<T>& g, const Winners<T>& s, int64_t i, int64_t m0, int64_t count, T* row) {
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  const PoolCover rows = pool_cover(h, i);
  const int64_t back = (w.k - 1) / kStride;
  for (int64_t m = m0; m < m0 + count; m += kLanes<T>) {
    Vec<T> phase[kStride] = {};
    for (int64_t b = rows.first; b < rows.last; ++b) {
      const int64_t tap = (i + h.pad_before - b * h.stride) * w.in, line = (b - s.first_row) * s.pitch + s.margin + m;
      for (int64_t u = back; u >= 0; --u) {
        const Mask<T> at = load_positions<T>(s.at + line - u);
        const Vec<T> v = load(s.dy + line - u), none{};
#pragma GCC unroll 2
        for (int r = 0; r < kStride; ++r)
          if (u * kStride + r < w.k) phase[r] += at == splat_position<T>(tap + u * kStride + r) ? v : none;
      }
    }
    store_zipped<kStride>(row + (m - m0) * kStride, phase);
  }
}

}  // namespace

template <class T>
bool PoolGrads<T>::max(const MaxGradPlane<T>& g) {
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  const int64_t fit = max_grad_rows(h, w), pitch = max_grad_pitch(w);
  Winners<T> s;
  s.dy = static_cast<T*>(g.scratch);
  s.at = reinterpret_cast<Position<T>*>(s.dy + fit * pitch);
  s.pitch = pitch;
  s.margin = (w.k - 1) / w.stride;
  T* buffer = reinterpret_cast<T*>(s.at + fit * pitch);
  const int64_t m0 = w.pad_before / w.stride, shift = w.pad_before % w.stride;
  const int64_t count = (w.in + shift + w.stride - 1) / w.stride;
  const int64_t step = (fit - (h.k + h.stride - 1) / h.stride - 1) * h.stride;  // rows of dx whose outputs fit
    const T* end = g.dx + h.in * w.in;
  for (int64_t first = 0; first < h.in; first += step) {
    const int64_t last = first + step < h.in ? first + step : h.in;
    s.first_row = pool_cover(h, first).first;
    const int64_t stop = pool_cover(h, last - 1).last;
    Mask<T> bad{};
    Longs seen{};
    for (int64_t b = s.first_row; b < stop; ++b) {
      const int64_t line = (b - s.first_row) * pitch + s.margin;
      for (int64_t j = 1; j <= s.margin; ++j) s.at[line - j] = -1;
      prepare_row(g, b, s.at + line, s.dy + line, bad, seen);
      for (int64_t j = w.out; j < m0 + count; j += kLanes<T>) store_positions<T>(s.at + line + j, ~Mask<T>{});
    }
    seen >>= 31;  // all positions of a plane that is taken fit
    for (int l = 0; l < kLanes<T>; ++l)
      if (bad[l] || seen[l % kLanes<double>]) return false;
    for (int64_t i = first; i < last; ++i) {
      if (w.stride == 1) gather_row<T, 1>(g, s, i, m0, count, buffer);
      else gather_row<T, 2>(g, s, i, m0, count, buffer);
      copy_row<T>(g.dx + i * w.in, buffer + shift, w.in, end);
    }
  }
  return true;
}

template struct PoolGrads<float>;
template struct PoolGrads<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
