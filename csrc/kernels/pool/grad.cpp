// Gradients are gathered: every row of dx is made once, from the outputs whose windows reach it, in their order. Those
// of some rows are joined row by row into lines before neighbours are, which then need not wait for what was just
// stored. Column m * stride + r of the padded row meets the taps r, r + stride, ... of the outputs m, m - 1, ...: one
// sum of shifted vectors for each phase r, and the phases are zipped, or picked lane by lane.
#include "kernels/pool/grad.hpp"

#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/pool/ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Columns as far behind a multiple of the stride: how many windows reach each, and where in a line the first one
// stands.
struct Slot {
  int64_t taps, first;
};
FASTCONV_INLINE Slot slot_of(int64_t column, int64_t k, int64_t stride) {
  const int64_t back = (k - 1) / stride, taps = (k - column % stride + stride - 1) / stride;
  return {taps, column / stride + back + 1 - taps};
}
// row[i] for `columns` columns, of which the first kStride have these slots; what lies behind them, but before `end`,
// may be overwritten.
template <class T, int kStride>
__attribute__((noinline, hot)) void spread_phases(const T* line, const Slot* slots, int64_t columns, T* row,
                                                  const T* end) {
  Slot slot[kStride];
  for (int r = 0; r < kStride; ++r) slot[r] = slots[r];
  for (int64_t left = columns; left > 0; left -= kStride * kLanes<T>, line += kLanes<T>) {
    Vec<T> phase[kStride] = {};
#pragma GCC unroll 2
    for (int r = 0; r < kStride; ++r)
      for (int64_t u = 0; u < slot[r].taps; ++u) phase[r] += load(line + slot[r].first + u);
    if constexpr (kStride == 1) {
      store_some(row, phase[0], left, end);
    } else {
      store_some(row, zip_low(phase[0], phase[1]), left, end);
      store_some(row + kLanes<T>, zip_high(phase[0], phase[1]), left - kLanes<T>, end);
    }
    row += kStride * kLanes<T>;
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
__attribute__((noinline, cold)) Phases<T> list_phases(int64_t k, int64_t stride, T* scratch) {
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
__attribute__((noinline)) void spread_picked(const Phases<T>& phases, const T* line, int64_t shift, int64_t columns,
                                             T* row) {
  const Phases<T> p = phases;
  const int64_t back = (p.k - 1) / p.stride;
  for (int64_t i = 0, phase = shift; i < columns; i += kLanes<T>) {
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
__attribute__((noinline, cold)) PoolReach reach_at(const PoolAxis& w, int64_t o) {
  return o < w.out ? pool_reach(w, o) : PoolReach{w.in, w.in};
}
// Returns how many runs of such columns there are; outputs are counted from `base`, and `none` is a zero.
__attribute__((cold)) int64_t list_reached(const PoolAxis& w, int64_t base, int64_t none, int64_t first, int64_t last,
                                           Reached* to) {
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
__attribute__((noinline)) void spread_windows(const T* line, const Reached* reached, int64_t runs, T* row) {
  for (const Reached* stop = reached + runs; reached < stop; row += reached++->columns) {
    const T* from = line + reached->second;
    T sum = line[reached->first] + *from;
    for (int32_t left = reached->more; left > 0; --left) sum += *++from;
    for (int64_t i = 0; i < reached->columns; i += kLanes<T>) store(row + i, splat(sum));
  }
}

// Rows like this one.
template <class T>
__attribute__((noinline)) void repeat(const T* row, int64_t columns, int64_t rows, T* to, int64_t step) {
  const RowPart<T> part(columns);
  for (; rows > 0; --rows, to += step)
    by_blocks<T>(columns, [&](int64_t i) FASTCONV_LAMBDA { part.store_to(to + i, part.load_from(row + i)); });
}

// One copy each, as few rows need them: windows over an element; over what lies behind those under `c`, of which j is
// the first; where that ends; and those of a strip's columns.
__attribute__((noinline, cold)) PoolCover cover_of(const PoolAxis& a, int64_t i) { return pool_cover(a, i); }
__attribute__((noinline, cold)) PoolCover next_cover(const PoolAxis& a, int64_t j, PoolCover c) {
  return pool_next_cover(a, j, c);
}
__attribute__((noinline, cold)) int64_t cover_end(const PoolAxis& a, PoolCover c, int64_t last) {
  const int64_t end = pool_cover_end(a, c);
  return end < last ? end : last;
}

__attribute__((noinline, cold)) PoolCover outputs_over(const PoolAxis& w, int64_t first, int64_t last) {
  return avg_grad_outputs(w, first, last);
}

template <class T>
struct WeighedRow {
  const T* at;
  T weight;
};
// What all rows of a strip have in common.
template <class T>
struct AvgGrad {
  const AvgGradStrip<T>& g;
  const PoolAxis &d, &h, &w;
  int64_t columns, shift;  // of dx; from the last multiple of the stride to the first one
  bool phased, in_buffer;  // rows whose columns are dear are made once, and copied
  int64_t base, from, to;  // outputs: the first one of a line, and those that there are
  int64_t pitch, fit;      // from line to line; lines
  T *lines, *buffer;
  Slot slots[2];
  Phases<T> phases;
  const Reached* reached;
  int64_t runs;
  WeighedRow<T>* over;  // scratch memory: those over a row of dx
  LaneRange<T> tail;    // of the outputs' last vector

  explicit AvgGrad(const AvgGradStrip<T>& call);
  const WeighedRow<T>* list(const T* dy, PoolCover planes, PoolCover rows) const;
  void sum_rows(const WeighedRow<T>* end, T* line) const;
  void spread(const T* line, T* dx, int64_t rows, int64_t depths, const T* end) const;
  void depth(const T* dy, PoolCover planes, T* dx, int64_t depths) const;
};

template <class T>
__attribute__((cold)) AvgGrad<T>::AvgGrad(const AvgGradStrip<T>& call)
    : g(call),
      d(g.axis[0]),
      h(g.axis[1]),
      w(g.axis[2]),
      columns(g.last - g.first),
      phased(is_phased(w)),
      in_buffer(!phased || w.stride > 2),
      slots{},
      phases{},
      tail(0, 0) {
  const PoolCover outputs = outputs_over(w, g.first, g.last);
  base = outputs.first;
  const int64_t stop = outputs.last > base ? outputs.last : base;  // or none, behind the last one
  from = base < 0 ? 0 : base, to = stop < w.out ? stop : w.out;
  shift = phased ? (g.first + w.pad_before) % w.stride : 0;
  pitch = stop - base + kPoolSlack, fit = pitch < kPoolSpan ? kPoolSpan / pitch : 1;
  if (fit > g.last_row - g.first_row) fit = g.last_row - g.first_row;
  lines = static_cast<T*>(g.scratch), buffer = lines + fit * pitch;
  constexpr uintptr_t align = alignof(WeighedRow<T>);
  over = reinterpret_cast<WeighedRow<T>*>((reinterpret_cast<uintptr_t>(buffer + columns + 2 * kPoolSlack) + align - 1) /
                                          align * align);
  T* lists = reinterpret_cast<T*>(over + g.most_rows);
  reached = reinterpret_cast<Reached*>(lists);
  if (!phased) runs = list_reached(w, from, stop - base, g.first, g.last, reinterpret_cast<Reached*>(lists));
  else if (!in_buffer)
    for (int64_t r = 0; r < w.stride; ++r) slots[r] = slot_of(r + shift, w.k, w.stride);
  else phases = list_phases(w.k, w.stride, lists);
  if (to > from) tail = LaneRange<T>(0, (to - from - 1) % kLanes<T> + 1);
  for (int64_t i = 0; i < fit * pitch; i += kLanes<T>) store(lines + i, Vec<T>{});
}

// Rows of outputs, behind the last of which it returns.
template <class T>
__attribute__((noinline, cold)) const WeighedRow<T>* AvgGrad<T>::list(const T* dy, PoolCover planes,
                                                                      PoolCover rows) const {
  WeighedRow<T>* next = over;
  for (int64_t a = planes.first; a < planes.last; ++a) {
    const T* at = dy + a * g.plane_step + rows.first * g.row_step + from;
    const T plane_weight = g.plane_weight[a];
    for (int64_t b = rows.first; b < rows.last; ++b, at += g.row_step) *next++ = {at, plane_weight * g.row_weight[b]};
  }
  return next;
}

// What the outputs of the listed rows give to each of their columns.
template <class T>
__attribute__((noinline, hot)) void AvgGrad<T>::sum_rows(const WeighedRow<T>* end, T* line) const {
  const WeighedRow<T>* const first = over;  // copies, which no store can change
  const LaneRange<T> some = tail;
  const T* weight = g.weight;
  line += from - base;
  const int64_t outputs = to - from;
  for (int64_t o = 0; o < outputs; o += kLanes<T>) {
    Vec<T> sum{};
    if (outputs - o >= kLanes<T>)
      for (const WeighedRow<T>* row = first; row < end; ++row) sum += load(row->at + o) * row->weight;
    else
      for (const WeighedRow<T>* row = first; row < end; ++row) sum += load_lanes(row->at + o, some) * row->weight;
    store(line + o, sum * load(weight + o));
  }
}

// Rows of dx, in some depths alike, that a line is spread to. What lies behind them, but before `end`, may be
// overwritten.
template <class T>
__attribute__((cold)) void AvgGrad<T>::spread(const T* line, T* dx, int64_t rows, int64_t depths, const T* end) const {
  if (!phased) spread_windows(line, reached, runs, buffer);
  else if (in_buffer) spread_picked(phases, line, shift, columns, buffer);
  for (; depths > 0; --depths, dx += g.dx_depth, end += g.dx_depth) {
    if (in_buffer) {
      repeat(buffer, columns, rows, dx, g.dx_row);
      continue;
    }
    T* row = dx;
    for (int64_t i = 0; i < rows; ++i, row += g.dx_row) {
      const T* stop = g.dx_row == columns ? end : row + columns;
      if (w.stride == 1) spread_phases<T, 1>(line, slots, columns, row, stop);
      else spread_phases<T, 2>(line, slots, columns, row, stop);
    }
  }
}

// Some depths alike, of which dx is the first.
template <class T>
__attribute__((cold)) void AvgGrad<T>::depth(const T* dy, PoolCover planes, T* dx, int64_t depths) const {
  constexpr int64_t kMostLines = kPoolSpan / kPoolSlack;
  const int64_t last = g.last_row;
  const T* end = dx + (last - g.first_row) * columns;  // of dense rows
  PoolCover rows = cover_of(h, g.first_row);
  for (int64_t row = g.first_row, stop = row; row < last;) {
    int64_t ends[kMostLines], count = 0;  // of rows alike
    for (; count < fit && stop < last; ++count, rows = next_cover(h, stop, rows)) {
      sum_rows(list(dy, planes, rows), lines + count * pitch);
      ends[count] = stop = cover_end(h, rows, last);
    }
    for (int64_t i = 0; i < count; dx += (ends[i] - row) * g.dx_row, row = ends[i++])
      spread(lines + i * pitch, dx, ends[i] - row, depths, end);
  }
}

}  // namespace

template <class T>
__attribute__((cold)) void PoolGrads<T>::avg(const AvgGradStrip<T>& strip) {
  const AvgGrad<T> grad(strip);
  const T* dy = strip.dy;
  T* dx = strip.dx;
  for (int64_t plane = 0; plane < strip.planes; ++plane, dy += strip.dy_plane, dx += strip.dx_plane) {
    PoolCover planes = cover_of(grad.d, 0);
    for (int64_t i = 0, stop; i < grad.d.in; i = stop, planes = next_cover(grad.d, i, planes)) {
      stop = cover_end(grad.d, planes, grad.d.in);
      grad.depth(dy, planes, dx + i * strip.dx_depth, stop - i);
    }
  }
  clear_upper_lanes();
}

template struct PoolGrads<float>;
template struct PoolGrads<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
