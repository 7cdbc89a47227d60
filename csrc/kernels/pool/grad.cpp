// Gradients are gathered: every row of dx is made once, from the outputs whose windows reach it, in their order. Column
// m * stride + r of the padded row meets the taps r, r + stride, ... of the outputs m, m - 1, ...: one sum of shifted
// vectors for each phase r, and the phases are zipped, or picked lane by lane.
#include "kernels/pool/grad.hpp"

#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/pool/ops.hpp"
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

// The same for any stride: a vector of the row begins with one of the phases, and for each of these is listed where the
// outputs of its lanes stand, and which lanes the last tap reaches.
template <class T>
struct Phases {
  int64_t k, stride;
  Position<T>*output, *reached;

  FASTCONV_INLINE Mask<T> outputs(int64_t phase) const { return load_positions<T>(output + phase * kLanes<T>); }
  FASTCONV_INLINE Mask<T> last(int64_t phase) const { return load_positions<T>(reached + phase * kLanes<T>); }
};
template <class T>
__attribute__((noinline)) Phases<T> list_phases(int64_t k, int64_t stride, T* scratch) {
  auto* list = reinterpret_cast<Position<T>*>(scratch);
  const Phases<T> phases{k, stride, list, list + stride * kLanes<T>};
  for (int64_t i = 0; i < stride * kLanes<T>; ++i) {
    const int64_t column = i / kLanes<T> + i % kLanes<T>;
    phases.output[i] = static_cast<Position<T>>(column / stride);
    phases.reached[i] = -static_cast<Position<T>>(column % stride + (k - 1) / stride * stride < k);
  }
  return phases;
}
template <class T>
__attribute__((noinline)) void spread_picked(const Phases<T>& phases, const T* line, int64_t columns, T* row) {
  const Phases<T> p = phases;
  const int64_t back = (p.k - 1) / p.stride;
  for (int64_t i = 0, phase = 0; i < columns; i += kLanes<T>) {
    const Mask<T> lanes = p.outputs(phase);
    Vec<T> sum = p.last(phase) ? lanes_of(line, lanes) : Vec<T>{};
    for (int64_t t = 1; t <= back; ++t) sum += lanes_of(line + t, lanes);
    store(row + i, sum);
    line += kLanes<T> / p.stride, phase += kLanes<T> % p.stride;
    if (phase >= p.stride) phase -= p.stride, ++line;
  }
}

// Columns next to each other that the same outputs reach: how many they are, where in a line the first two outputs
// stand (a zero where there is none: no branch that could be mispredicted), and how many follow.
struct Reached {
  int32_t columns, first, second, more;
};
__attribute__((noinline)) PoolReach reach_at(const PoolAxis& w, int64_t o) {
  return o < w.out ? pool_reach(w, o) : PoolReach{w.in, w.in};
}
// Returns how many runs of such columns there are; outputs are counted from `base`, and `none` is a zero.
int64_t list_reached(const PoolAxis& w, int64_t base, int64_t none, int64_t first, int64_t last, Reached* to) {
  const Reached* begin = to;
  PoolCover c = pool_cover(w, first);
  PoolReach oldest = reach_at(w, c.first), next = reach_at(w, c.last);
  for (int64_t i = first; i < last;) {
    const int64_t count = c.last - c.first;
    if (next.first <= i) {
      next = reach_at(w, ++c.last);
    } else if (count > 0 && oldest.last <= i) {
      oldest = reach_at(w, ++c.first);
    } else {
      const int64_t end = count > 0 && oldest.last < next.first ? oldest.last : next.first,
                    stop = end < last ? end : last;
      *to++ = {static_cast<int32_t>(stop - i), static_cast<int32_t>(count > 0 ? c.first - base : none),
               static_cast<int32_t>(count > 1 ? c.first + 1 - base : none), static_cast<int32_t>(count - 2)};
      i = stop;
    }
  }
  return to - begin;
}
template <class T>
void spread_windows(const T* line, const Reached* reached, int64_t runs, T* row) {
  for (const Reached* stop = reached + runs; reached < stop; row += reached++->columns) {
    const T* from = line + reached->second;
    T sum = line[reached->first] + *from;
    for (int32_t left = reached->more; left > 0; --left) sum += *++from;
    for (int64_t i = 0; i < reached->columns; i += kLanes<T>) store(row + i, splat(sum));
  }
}

// One copy each, as few rows need them: windows over what lies behind those under `c`, of which j is the first; and
// where that ends.
__attribute__((noinline)) PoolCover next_cover(const PoolAxis& a, int64_t j, PoolCover c) {
  return pool_next_cover(a, j, c);
}
__attribute__((noinline)) int64_t cover_end(const PoolAxis& a, PoolCover c, int64_t last) {
  const int64_t end = pool_cover_end(a, c);
  return end < last ? end : last;
}

}  // namespace

template <class T>
void PoolGrads<T>::avg(const AvgGradStrip<T>& call) {
  const AvgGradStrip<T> g = call;  // copies, which no store can change
  const PoolAxis d = g.axis[0], h = g.axis[1], w = g.axis[2];
  const int64_t columns = g.last - g.first;
  const bool phased = is_phased(w);
  const PoolCover outputs = avg_grad_outputs(w, g.first, g.last);
  const int64_t base = outputs.first, stop = outputs.last > base ? outputs.last : base;  // or none, behind the last one
  const int64_t from = base < 0 ? 0 : base, to = stop < w.out ? stop : w.out;
  const int64_t shift = phased ? (g.first + w.pad_before) % w.stride : 0, places = stop - base - (w.k - 1) / w.stride;
  T* line = static_cast<T*>(g.scratch);  // what output base + j gives to each of its columns
  T* buffer = line + (stop - base) + kPoolSlack;
  T* lists = buffer + columns + 2 * kPoolSlack;
  const Phases<T> phases = list_phases(w.k, phased && w.stride > 2 ? w.stride : 0, lists);
  auto* reached = reinterpret_cast<Reached*>(lists);
  const int64_t runs = phased ? 0 : list_reached(w, from, stop - base, g.first, g.last, reached);
  for (int64_t j = base; j < from; ++j) line[j - base] = 0;
  for (int64_t j = to > from ? to : from; j < stop + kLanes<T>; ++j) line[j - base] = 0;

  const PoolCover first_planes = pool_cover(d, 0), first_rows = pool_cover(h, g.first_row);
  const int64_t overrun = g.dx_row == columns ? (g.last_row - g.first_row) * columns : 0;
  for (int64_t plane = 0; plane < g.planes; ++plane) {
    const T* dy = g.dy + plane * g.dy_plane;
    T* depth = g.dx + plane * g.dx_plane;
    PoolCover planes = first_planes;
    for (int64_t i = 0, i_stop; i < d.in; planes = next_cover(d, i, planes)) {
      PoolCover rows = first_rows;
      T* dx = depth;
      i_stop = cover_end(d, planes, d.in);
      for (int64_t j = g.first_row; j < g.last_row; rows = next_cover(h, j, rows)) {
        for (int64_t o = from; o < to; o += kLanes<T>) {
          const LaneRange<T> lanes(0, to - o < kLanes<T> ? to - o : kLanes<T>);
          Vec<T> sum{};
          for (int64_t a = planes.first; a < planes.last; ++a)
            for (int64_t b = rows.first; b < rows.last; ++b)
              sum +=
                  load_lanes(dy + a * g.plane_step + b * g.row_step + o, lanes) * (g.plane_weight[a] * g.row_weight[b]);
          store(line + (o - base), sum * load(g.weight + o - from));
        }
        if (!phased) spread_windows(line, reached, runs, buffer);
        else if (w.stride == 1) spread_phases<T, 1>(line, w.k, places, buffer);
        else if (w.stride == 2) spread_phases<T, 2>(line, w.k, places, buffer);
        else spread_picked(phases, line, places * w.stride, buffer);
        for (const int64_t j_stop = cover_end(h, rows, g.last_row); j < j_stop; ++j, dx += g.dx_row) {
          T* alike = dx;
          const T* end = overrun ? depth + overrun : dx + columns;
          for (int64_t n = i; n < i_stop; ++n, alike += g.dx_depth, end += g.dx_depth)
            copy_row<T>(alike, buffer + shift, columns, end);
        }
      }
      depth += (i_stop - i) * g.dx_depth;
      i = i_stop;
    }
  }
  clear_upper_lanes();
}

template struct PoolGrads<float>;
template struct PoolGrads<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
