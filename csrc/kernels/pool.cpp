// Row kernels of pooling. A window is a box, so an output row is made in two steps: the rows of the window are joined
// column by column, whole vectors at a time, into a line of scratch memory (margins of the neutral element stand for
// the padding), then neighbouring columns are joined. One template serves every operation, with positions or without.
#include "kernels/pool.hpp"

#include "kernels/edges.hpp"
#include "kernels/halve.hpp"
#include "kernels/pool_lanes.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/pool_strip.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The elements at p, `step` apart; at least one, and those beyond n or `end` are left to chance.
template <class T, bool kDense>
FASTCONV_INLINE Vec<T> fetch(const T* p, int64_t step, int64_t n, const T* end) {
  if constexpr (kDense) {
    if (n >= kLanes<T> || end - p >= kLanes<T>) return load(p);
    return load_first(p, n);
  } else {
    Vec<T> v{};
    for (int i = 0; i < kLanes<T> && i < n; ++i) v[i] = p[i * step];
    return v;
  }
}

// The window's rows joined, in the columns from `col`, of which n remain.
template <class Op, class T, bool kDense>
FASTCONV_INLINE VecCell<Op, T> join_rows(const PoolRows<T>& s, int64_t col, int64_t n, Mask<T> lane) {
  const T* p = s.data + col * s.col_step;
  auto at = [&](int64_t d, int64_t r) {
    return VecCell<Op, T>::make(
        Op::prepare(fetch<T, kDense>(p + d * s.plane_step + r * s.row_step, s.col_step, n, s.end)),
        lane + splat_position<T>(s.index + col + d * s.plane_index + r * s.row_index));
  };
  VecCell<Op, T> cell = at(0, 0);
  for (int64_t r = 1; r < s.rows; ++r) cell = Op::later(cell, at(0, r));
  for (int64_t d = 1; d < s.planes; ++d)
    for (int64_t r = 0; r < s.rows; ++r) cell = Op::later(cell, at(d, r));
  return cell;
}

// Four vectors of columns of a dense row, side by side: their joins do not wait for each other.
template <class Op, class T>
FASTCONV_INLINE void join_tall(const PoolRows<T>& s, int64_t col, Mask<T> lane, Line<T> to) {
  auto at = [&](int64_t d, int64_t r, int u) FASTCONV_LAMBDA {
    const int64_t skip = u * kLanes<T>;
    return VecCell<Op, T>::make(
        Op::prepare(load(s.data + col + skip + d * s.plane_step + r * s.row_step)),
        lane + splat_position<T>(s.index + col + skip + d * s.plane_index + r * s.row_index));
  };
  VecCell<Op, T> cell[4] = {at(0, 0, 0), at(0, 0, 1), at(0, 0, 2), at(0, 0, 3)};
  for (int64_t d = 0; d < s.planes; ++d)
    for (int64_t r = d == 0; r < s.rows; ++r)
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) cell[u] = Op::later(cell[u], at(d, r, u));
#pragma GCC unroll 4
  for (int u = 0; u < 4; ++u) store_cell<Op, T>(to.at(u * kLanes<T>), cell[u]);
}

template <class Op, class T>
void fill_neutral(Line<T> line, int64_t first, int64_t last) {
  for (int64_t j = first; j < last; ++j) {
    line.v[j] = Op::template neutral<T>();
    if (Op::kMarked) line.i[j] = kNowhere<T>;
  }
}

// Columns [q, q + span) of the endless padded row, joined over the window's rows: column q + j stands at even[j], or, if
// kTwo (the phases of stride 2, sorted on the way), at even[j / 2] or odd[j / 2].
template <class Op, class T, bool kTwo, bool kDense>
void join_columns(const PoolRows<T>& s, int64_t width, int64_t q, int64_t span, Line<T> even, Line<T> odd) {
  constexpr int64_t kStep = kTwo ? 2 * kLanes<T> : kLanes<T>;
  Mask<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  const int64_t first = q < 0 ? -q : 0, last = width - q < span ? width - q : span;
  if (kTwo) {
    fill_neutral<Op>(even, 0, (first + 1) / 2);
    fill_neutral<Op>(odd, 0, first / 2);
    Line<T> to_even = first % 2 ? odd.at(first / 2) : even.at(first / 2);  // of the columns first, first + 2, ...
    Line<T> to_odd = first % 2 ? even.at(first / 2 + 1) : odd.at(first / 2);
    for (int64_t j = first; j < last; j += kStep) {
      const int64_t n = last - j;
      auto a = join_rows<Op, T, kDense>(s, q + j, n, lane), b = a;
      if (n > kLanes<T>) b = join_rows<Op, T, kDense>(s, q + j + kLanes<T>, n - kLanes<T>, lane);
      const int64_t half = (j - first) / 2;
      store(to_even.v + half, even_lanes(a.v, b.v));
      store(to_odd.v + half, odd_lanes(a.v, b.v));
      if constexpr (Op::kMarked) {
        auto i = even_lanes(a.i, b.i), k = odd_lanes(a.i, b.i);
        __builtin_memcpy(to_even.i + half, &i, sizeof i);
        __builtin_memcpy(to_odd.i + half, &k, sizeof k);
      }
    }
    fill_neutral<Op>(even, (last + 1) / 2, (span + 1) / 2);
    fill_neutral<Op>(odd, last / 2, span / 2);
  } else {
    fill_neutral<Op>(even, 0, first);
    int64_t j = first;
    if constexpr (kDense)
      for (; j + 4 * kLanes<T> <= last; j += 4 * kLanes<T>) join_tall<Op, T>(s, q + j, lane, even.at(j));
    for (; j < last; j += kStep)
      store_cell<Op, T>(even.at(j), join_rows<Op, T, kDense>(s, q + j, last - j, lane));
    fill_neutral<Op>(even, last, span);
  }
}

// Writes a vector of results, outputs o and on, of which n remain.
template <class Op, class T>
FASTCONV_INLINE void emit(const PoolSegment<T>& g, int64_t o, int64_t n, VecCell<Op, T> cell) {
  if constexpr (!Op::kMarked)
    if (g.divisor) cell.v = cell.v / (load(g.divisor + o) * g.area);
  T* y = g.y + o * g.y_step;
  if (n > kLanes<T>) n = kLanes<T>;
  if (g.y_step == 1 && n == kLanes<T>) store(y, cell.v);
  else if (g.y_step == 1) store_part(y, cell.v, n);
  else
    for (int i = 0; i < n; ++i) y[i * g.y_step] = cell.v[i];
  if constexpr (Op::kMarked) {
    int64_t* index = g.index + o * g.index_step;
    Position<T> position[kLanes<T>];
    __builtin_memcpy(position, &cell.i, sizeof position);
    if (g.index_step == 1 && n == kLanes<T>)
      for (int i = 0; i < kLanes<T>; ++i) index[i] = position[i];
    else
      for (int i = 0; i < n; ++i) index[i * g.index_step] = position[i];
  }
}

template <class T>
FASTCONV_INLINE void emit_one(const PoolSegment<T>& g, int64_t o, T v) {
  g.y[o * g.y_step] = g.divisor ? v / (g.divisor[o] * g.area) : v;
}

// Column j of `line` to phase j % stride, place j / stride.
template <class Op, class T>
void sort_by_phase(Line<T> line, int64_t span, int64_t stride, Line<T> phases, int64_t pitch) {
  for (int64_t r = 0; r < stride; ++r) {
    const Line<T> to = phases.at(r * pitch);
    for (int64_t j = r, i = 0; j < span; j += stride, ++i) {
      to.v[i] = line.v[j];
      if (Op::kMarked) to.i[i] = line.i[j];
    }
  }
}

// Long windows of a maximum, whose taps may be joined twice: line[j] joins with line[j + 1], the pairs with the pairs two
// columns on, and so forth. Returns the columns that one element then stands for.
template <class Op, class T>
int64_t join_doubling(Line<T> line, int64_t span, int64_t k) {
  int64_t width = 1;
  for (; 2 * width < k; width *= 2)
    for (int64_t j = 0; j + width < span; j += kLanes<T>)
      store_cell<Op, T>(line.at(j), Op::join(load_cell<Op, T>(line.at(j)), load_cell<Op, T>(line.at(j + width))));
  return width;
}

// kTogether vectors of outputs: enough chains of joins to keep the processor busy.
template <class Op, class T, int kTogether>
FASTCONV_INLINE void join_taps(const PoolSegment<T>& g, Line<T> phases, int64_t pitch, int64_t stride, int64_t o) {
  const int64_t step = g.axis->dilation / stride, turn = g.axis->dilation % stride;
  VecCell<Op, T> cell[kTogether];
#pragma GCC unroll 4
  for (int u = 0; u < kTogether; ++u) cell[u] = load_cell<Op, T>(phases.at(o + u * kLanes<T>));
  int64_t place = o, phase = 0;
  for (int64_t t = 1; t < g.axis->k; ++t) {
    place += step;
    phase += turn;
    if (phase >= stride) phase -= stride, ++place;
#pragma GCC unroll 4
    for (int u = 0; u < kTogether; ++u)
      cell[u] = Op::join(cell[u], load_cell<Op, T>(phases.at(phase * pitch + place + u * kLanes<T>)));
  }
#pragma GCC unroll 4
  for (int u = 0; u < kTogether; ++u) emit<Op>(g, o + u * kLanes<T>, g.last - g.first - o - u * kLanes<T>, cell[u]);
}

// Neighbours joined: tap t of every window lies t * dilation columns behind tap 0, so in one phase for all of them.
template <class Op, class T>
void join_neighbours(const PoolSegment<T>& g, Line<T> phases, int64_t pitch, int64_t stride) {
  constexpr int64_t kShort = 6;
  const int64_t outputs = g.last - g.first, k = g.axis->k;
  int64_t o = 0;
  if (Op::kRepeatable && stride == 1 && g.axis->dilation == 1 && k > kShort) {
    const int64_t width = join_doubling<Op, T>(phases, outputs + k - 1, k);
    for (; o < outputs; o += kLanes<T>)
      emit<Op>(g, o, outputs - o, Op::join(load_cell<Op, T>(phases.at(o)), load_cell<Op, T>(phases.at(o + k - width))));
    return;
  }
  for (; o + 4 * kLanes<T> <= outputs; o += 4 * kLanes<T>) join_taps<Op, T, 4>(g, phases, pitch, stride, o);
  for (; o < outputs; o += kLanes<T>) join_taps<Op, T, 1>(g, phases, pitch, stride, o);
}

// Any windows: `line` holds the joined columns from input column `base`.
template <class Op, class T>
void join_windows(const PoolSegment<T>& g, Line<T> line, int64_t base) {
  auto at = [&](int64_t j) { return ScalarCell<Op, T>::make(line.v[j], Op::kMarked ? line.i[j] : Position<T>{}); };
  for (int64_t o = g.first; o < g.last; ++o) {
    const PoolWindow w = pool_window(*g.axis, o);
    const int64_t j = w.start - base;
    ScalarCell<Op, T> cell = at(j);
    for (int64_t t = 1; t < w.count; ++t) cell = Op::join(cell, at(j + t * g.axis->dilation));
    emit_one(g, o - g.first, cell.v);
    if constexpr (Op::kMarked) g.index[(o - g.first) * g.index_step] = cell.i;
  }
}

// n elements of one row joined. Sums run in several lanes and leave them for a double after every block, so that the
// error does not grow with the length.
template <class Op, class T>
FASTCONV_INLINE double join_run(const T* p, int64_t n, int64_t step, double so_far) {
  using C = Plain<T, Position<T>>;
  using D = Plain<double, int64_t>;
  constexpr int kWays = 4;
  constexpr int64_t kBlock = 64 * kWays * kLanes<T>;
  D total{so_far};
  int64_t i = 0;
  if (step == 1)
    while (n - i >= kWays * kLanes<T>) {
      Plain<Vec<T>, Mask<T>> part[kWays];
#pragma GCC unroll 4
      for (int u = 0; u < kWays; ++u) part[u] = {Op::prepare(load(p + i + u * kLanes<T>))};
      const int64_t stop = n - i < kBlock ? n : i + kBlock;
      for (i += kWays * kLanes<T>; i + kWays * kLanes<T> <= stop; i += kWays * kLanes<T>)
#pragma GCC unroll 4
        for (int u = 0; u < kWays; ++u)
          part[u] = Op::join(part[u], Plain<Vec<T>, Mask<T>>{Op::prepare(load(p + i + u * kLanes<T>))});
      part[0] = Op::join(Op::join(part[0], part[1]), Op::join(part[2], part[3]));
      C sum{part[0].v[0]};
#pragma GCC unroll 16
      for (int l = 1; l < kLanes<T>; ++l) sum = Op::join(sum, C{part[0].v[l]});
      total = Op::join(total, D{static_cast<double>(sum.v)});
    }
  for (; i < n; ++i) total = Op::join(total, D{static_cast<double>(Op::prepare(p[i * step]))});
  return total.v;
}

// Where value v (or the first NaN) stands first in the window.
template <class T>
int64_t find_first(const PoolRows<T>& s, PoolWindow w, int64_t dilation, T v) {
  constexpr int64_t kStep = 8 * kLanes<T>;
  auto is_it = [v](T x) { return (x == v) | ((x != x) & (v != v)); };
  for (int64_t d = 0; d < s.planes; ++d)
    for (int64_t r = 0; r < s.rows; ++r) {
      const T* p = s.data + d * s.plane_step + r * s.row_step + w.start * s.col_step;
      const int64_t step = dilation * s.col_step;
      int64_t t = 0;
      for (bool hit = false; step == 1 && t + kStep <= w.count; t += kStep) {
        for (int64_t i = t; i < t + kStep; ++i) hit |= is_it(p[i]);
        if (hit) break;
      }
      for (; t < w.count; ++t) {
        if (is_it(p[t * step])) return s.index + d * s.plane_index + r * s.row_index + w.start + t * dilation;
      }
    }
  return 0;
}

template <class Op, class T>
void join_direct(const PoolRows<T>& s, const PoolSegment<T>& g) {
  const int64_t dilation = g.axis->dilation;
  for (int64_t o = g.first; o < g.last; ++o) {
    const PoolWindow w = pool_window(*g.axis, o);
    double v = Op::template neutral<double>();
    for (int64_t d = 0; d < s.planes; ++d)
      for (int64_t r = 0; r < s.rows; ++r)
        v = join_run<typename Op::Values>(s.data + d * s.plane_step + r * s.row_step + w.start * s.col_step, w.count,
                                          dilation * s.col_step, v);
    if constexpr (Op::kMarked)
      g.index[(o - g.first) * g.index_step] = find_first(s, w, dilation, static_cast<T>(v));
    const double divisor = g.divisor ? static_cast<double>(g.divisor[o - g.first]) * static_cast<double>(g.area) : 1;
    g.y[(o - g.first) * g.y_step] = static_cast<T>(v / divisor);
  }
}

template <class Op, class T>
void pool_row(const PoolRows<T>& s, const PoolSegment<T>& g) {
  if (g.walk == PoolWalk::direct) return join_direct<Op>(s, g);
  const PoolAxis& a = *g.axis;
  int64_t q, span;
  if (g.walk == PoolWalk::table) {
    q = pool_reach(a, g.first).first;
    span = pool_reach(a, g.last - 1).last - q;
  } else {
    q = g.first * a.stride - a.pad_before;
    span = (g.last - g.first - 1) * a.stride + pool_extent(a);
  }
  const int64_t pitch = span / a.stride + kPoolSlack;
  T* values = static_cast<T*>(g.scratch);
  auto* positions = reinterpret_cast<Position<T>*>(values + kPoolScratch / 2);
  const Line<T> line{values, positions}, phases = line.at(span + kPoolSlack);
  const bool dense = s.col_step == 1, phased = g.walk == PoolWalk::phased;
  if (phased && a.stride == 2) {
    dense ? join_columns<Op, T, true, true>(s, a.in, q, span, phases, phases.at(pitch))
          : join_columns<Op, T, true, false>(s, a.in, q, span, phases, phases.at(pitch));
  } else {
    dense ? join_columns<Op, T, false, true>(s, a.in, q, span, line, line)
          : join_columns<Op, T, false, false>(s, a.in, q, span, line, line);
    if (phased) sort_by_phase<Op>(line, span, a.stride, phases, pitch);
  }
  if (phased) join_neighbours<Op>(g, phases, pitch, a.stride);
  else if (g.walk == PoolWalk::unit) join_neighbours<Op>(g, line, 0, 1);
  else join_windows<Op>(g, line, q);
}

// The gradient of an average: output rows weighted and added up, then spread over the columns they cover.
template <class T, bool kDense>
FASTCONV_INLINE Vec<T> weighted_rows(const PoolGradRow<T>& g, int64_t col, int64_t n) {
  const T* p = g.dy + col * g.col_step;
  Vec<T> sum{};
  for (int64_t d = 0; d < g.planes; ++d)
    for (int64_t r = 0; r < g.rows; ++r)
      sum += fetch<T, kDense>(p + d * g.plane_step + r * g.row_step, g.col_step, n, g.end) *
             (g.plane_weight[d] * g.row_weight[r]);
  return sum;
}

template <class T>
void fill_columns(const PoolGradRow<T>& g, T v) {
  const int64_t n = g.last - g.first;
  if (g.dx_step != 1) {
    for (int64_t i = 0; i < n; ++i) g.dx[i * g.dx_step] = v;
    return;
  }
  int64_t i = 0;
  for (const Vec<T> vv = splat(v); i + kLanes<T> <= n; i += kLanes<T>) store(g.dx + i, vv);
  for (; i < n; ++i) g.dx[i] = v;
}

// The first n elements of `line` to column i of dx.
template <class T>
FASTCONV_INLINE void put_columns(const PoolGradRow<T>& g, int64_t i, Vec<T> v, int64_t n) {
  T* to = g.dx + i * g.dx_step;
  if (g.dx_step == 1 && n >= kLanes<T>) store(to, v);
  else if (g.dx_step == 1) store_part(to, v, n);
  else
    for (int l = 0; l < kLanes<T> && l < n; ++l) to[l * g.dx_step] = v[l];
}

// dx += line, from outputs [from, to), tap by tap or window by window; line[0] belongs to output `base`.
template <class T>
void spread_taps(const PoolGradRow<T>& g, const T* line, int64_t base, int64_t from, int64_t to) {
  const int64_t stride = g.axis->stride;
  for (int64_t t = g.axis->k - 1; t >= 0; --t) {  // every column in the order of its outputs
    const int64_t shift = t - g.axis->pad_before;  // output o meets column o * stride + shift
    int64_t first = from, last = to;
    while (first < last && first * stride + shift < g.first) ++first;
    while (first < last && (last - 1) * stride + shift >= g.last) --last;
    T* dx = g.dx + (first * stride + shift - g.first) * g.dx_step;
    const int64_t step = stride * g.dx_step;
    for (int64_t o = first; o < last; ++o, dx += step) *dx += line[o - base];
  }
}
template <class T>
void spread_windows(const PoolGradRow<T>& g, const T* line, int64_t base, int64_t from, int64_t to) {
  for (int64_t o = from; o < to; ++o) {
    const PoolWindow w = pool_window(*g.axis, o);
    const int64_t first = w.start > g.first ? w.start : g.first, end = w.start + w.count;
    const int64_t n = (end < g.last ? end : g.last) - first;
    T* dx = g.dx + (first - g.first) * g.dx_step;
    const T v = line[o - base];
    if (g.dx_step == 1)
      for (int64_t i = 0; i < n; ++i) dx[i] += v;
    else
      for (int64_t i = 0; i < n; ++i) dx[i * g.dx_step] += v;
  }
}

template <class T>
void avg_grad_row(const PoolGradRow<T>& g) {
  const PoolAxis& a = *g.axis;
  const bool dense = g.col_step == 1;
  auto rows = [&](int64_t col, int64_t n) {
    return dense ? weighted_rows<T, true>(g, col, n) : weighted_rows<T, false>(g, col, n);
  };
  if (a.out == 1 && pool_window(a, 0).count == a.in) return fill_columns(g, rows(0, 1)[0] * g.col_weight[0]);

  // line[j]: what output base + j gives to each of its columns.
  const int64_t base = g.outputs.first, stop = g.outputs.last, columns = g.last - g.first, q = g.first + a.pad_before;
  T* line = static_cast<T*>(g.scratch);
  const int64_t from = base < 0 ? 0 : base, to = stop < a.out ? stop : a.out;
  for (int64_t j = base; j < from; ++j) line[j - base] = 0;
  for (int64_t o = from; o < to; o += kLanes<T>) {
    const int64_t n = to - o;
    store(line + (o - base), rows(o, n) * load(g.col_weight + o - from));
  }
  for (int64_t j = to > from ? to : from; j < stop + kLanes<T>; ++j) line[j - base] = 0;

  if (g.walk == PoolWalk::unit) {
    for (int64_t i = 0; i < columns; i += kLanes<T>) {
      Vec<T> sum = load(line + i);
      for (int64_t t = 1; t < a.k; ++t) sum += load(line + i + t);
      put_columns(g, i, sum, columns - i);
    }
  } else if (a.stride == 2 && g.walk == PoolWalk::phased) {
    const int64_t evens = (a.k + 1) / 2, odds = a.k / 2, shift = q % 2, origin = q / 2 - base;
    for (int64_t i = 0; i < columns + shift; i += 2 * kLanes<T>) {  // column g.first - shift + i is even
      const T* p = line + origin + i / 2;
      Vec<T> even{}, odd{};
      for (int64_t t = evens - 1; t >= 0; --t) even += load(p - t);
      for (int64_t t = odds - 1; t >= 0; --t) odd += load(p - t);
      const Vec<T> low = zip_low(even, odd), high = zip_high(even, odd);
      T pair[2 * kLanes<T>];
      const int64_t n = columns + shift - i;
      if (shift && i == 0) {
        store(pair, low);
        store(pair + kLanes<T>, high);
        for (int64_t l = 1; l < 2 * kLanes<T> && l < n; ++l) g.dx[(l - 1) * g.dx_step] = pair[l];
        continue;
      }
      put_columns(g, i - shift, low, n);
      if (n > kLanes<T>) put_columns(g, i - shift + kLanes<T>, high, n - kLanes<T>);
    }
  } else {
    fill_columns(g, T(0));
    if (a.windows == PoolWindows::regular) spread_taps(g, line, base, from, to);
    else spread_windows(g, line, base, from, to);
  }
}

template <class T>
constexpr PoolFunctions<T> functions() {
  return {pool_row<Max<Same>, T>,
          pool_row<MaxIndex, T>,
          pool_row<Sum<Same>, T>,
          pool_row<Max<Magnitude>, T>,
          pool_row<Sum<Magnitude>, T>,
          pool_row<Sum<Square>, T>,
          avg_grad_row<T>,
          halve<T>,
          halve_grad<T>,
          StripPools<T>::max,
          StripPools<T>::max_index,
          StripPools<T>::sum,
          kLanes<T>,
          LanePools<T>::max,
          LanePools<T>::max_index,
          LanePools<T>::sum,
          LanePools<T>::avg_grad};
}

const PoolKernels kPoolKernels = {functions<float>(), functions<double>()};

}  // namespace

const PoolKernels& pool_kernels() { return kPoolKernels; }

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
