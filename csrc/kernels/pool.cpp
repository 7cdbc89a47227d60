// A window is a box, so an output row is made in two steps: the rows of the window are joined column by column, whole vectors at
// a time, into a line of scratch memory (margins of the neutral element stand for the padding), then neighbouring columns are
// joined. Some rows take the first step before the second, which then need not wait for what was just stored. One template
// serves every operation, with positions or without.
#include "kernels/pool.hpp"

#include "kernels/halve.hpp"
#include "kernels/masked.hpp"
#include "kernels/pool_grad.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The input rows under an output row.
template <class T>
struct Rows {
  const T* data;  // column 0 of the first
  int64_t planes, plane_step, rows, row_step;
  int64_t index, plane_index, row_index;  // flat position of `data`, and what the taps add
};

// kVectors vectors of columns from `col`, joined over the window's rows; of the last one `n` columns are there.
template <class Op, class T, int kVectors>
FASTCONV_INLINE void join_rows(const Rows<T>& s, int64_t col, int64_t n, VecCell<Op, T> (&cell)[kVectors]) {
  const Mask<T> lane = lane_numbers<T>();
  const LaneRange<T> range(0, n);
  auto at = [&](const T* p, int64_t index, int u) FASTCONV_LAMBDA {
    return VecCell<Op, T>::make(u < kVectors - 1 ? load(p + u * kLanes<T>) : load_lanes(p + u * kLanes<T>, range),
                                lane + splat_position<T>(index + u * kLanes<T>));
  };
  const T *plane = s.data + col, *p = plane;
  int64_t plane_index = s.index + col, index = plane_index;
#pragma GCC unroll 4
  for (int u = 0; u < kVectors; ++u) cell[u] = at(p, index, u);
  for (int64_t left = s.planes * s.rows, row = 1; --left > 0; ++row) {
    p += s.row_step, index += s.row_index;
    if (row == s.rows) {
      p = plane += s.plane_step;
      index = plane_index += s.plane_index;
      row = 0;
    }
#pragma GCC unroll 4
    for (int u = 0; u < kVectors; ++u) cell[u] = Op::later(cell[u], at(p, index, u));
  }
}

// Whole vectors from `first` until `last` is reached.
template <class Op, class T>
FASTCONV_INLINE void fill_neutral(Line<T> line, int64_t first, int64_t last) {
  for (int64_t j = first; j < last; j += kLanes<T>)
    store_cell<Op, T>(line.at(j), VecCell<Op, T>::make(splat(Op::template neutral<T>()), splat_position<T>(kNowhere<T>)));
}

// a and b, side by side: their even and their odd places. The results may be a and b.
template <class Op, class C>
FASTCONV_INLINE void split(C a, C b, C& even, C& odd) {
  even.v = even_lanes(a.v, b.v);
  odd.v = odd_lanes(a.v, b.v);
  if constexpr (Op::kMarked) {
    even.i = even_lanes(a.i, b.i);
    odd.i = odd_lanes(a.i, b.i);
  }
}
template <class Op, class T>
FASTCONV_INLINE void store_phases(Line<T> even, Line<T> odd, VecCell<Op, T> a, VecCell<Op, T> b) {
  split<Op>(a, b, a, b);
  store_cell<Op, T>(even, a);
  store_cell<Op, T>(odd, b);
}

template <int N>
struct Number {
  static constexpr int value = N;
};
// What is taken at a time: enough chains of joins to keep the processor busy, where that earns its code.
template <class Op, class T>
constexpr int kMostVectors = FASTCONV_VEC_BYTES == 16 ? 1 : Op::kMarked || sizeof(T) == 8 ? 2 : 4;
// f(Number<vectors>, elements of the last one): what kMostVectors or less hold of n elements.
template <class Op, class T, class F>
FASTCONV_INLINE void by_vectors(int64_t n, F f) {
  if constexpr (kMostVectors<Op, T> == 4) {
    if (n > 3 * kLanes<T>) return f(Number<4>(), n < 4 * kLanes<T> ? n - 3 * kLanes<T> : kLanes<T>);
    if (n > 2 * kLanes<T>) return f(Number<3>(), n - 2 * kLanes<T>);
  }
  if constexpr (kMostVectors<Op, T> >= 2)
    if (n > kLanes<T>) return f(Number<2>(), n < 2 * kLanes<T> ? n - kLanes<T> : kLanes<T>);
  f(Number<1>(), n < kLanes<T> ? n : kLanes<T>);
}

// How the outputs of a strip are found in its lines.
template <class T>
struct Walk {
  int64_t q, span;        // columns [q, q + span) of the endless padded row
  int64_t stride;         // phases
  int64_t pitch, region;  // from row to row, and from phase to phase
  bool table;             // window by window
  Line<T> lines, phases;  // what the first step fills, and what the second reads
  const int64_t* tap;     // where tap t of output 0 stands
};

// Columns [q, q + span) joined over the window's rows: column q + j stands at even[j], or, if there are two phases, at even[j / 2]
// or odd[j / 2].
template <class Op, class T>
FASTCONV_INLINE void join_columns(const Rows<T>& s, int64_t width, const Walk<T>& walk, bool two, Line<T> even, Line<T> odd) {
  const int64_t q = walk.q, span = walk.span;
  const int64_t first = q < 0 ? -q : 0, last = width - q < span ? width - q : span;
  Line<T> to_even = even.at(first), to_odd = odd;  // of the columns first, first + 2, ...
  if (two) {
    to_even = first % 2 ? odd.at(first / 2) : even.at(first / 2);
    to_odd = first % 2 ? even.at(first / 2 + 1) : odd.at(first / 2);
    fill_neutral<Op>(even, 0, (first + 1) / 2);
    fill_neutral<Op>(odd, 0, first / 2);
  } else {
    fill_neutral<Op>(even, 0, first);
  }
  auto put = [&](int64_t j, VecCell<Op, T> a, VecCell<Op, T> b) FASTCONV_LAMBDA {
    if (two) return store_phases<Op, T>(to_even.at(j / 2), to_odd.at(j / 2), a, b);
    store_cell<Op, T>(to_even.at(j), a);
    store_cell<Op, T>(to_even.at(j + kLanes<T>), b);
  };
  for (int64_t j = first; j < last; j += kMostVectors<Op, T> * kLanes<T>)
    by_vectors<Op, T>(last - j, [&](auto vectors, int64_t n) FASTCONV_LAMBDA {
      constexpr int kVectors = decltype(vectors)::value;
      VecCell<Op, T> cell[kVectors];
      join_rows<Op, T, kVectors>(s, q + j, n, cell);
#pragma GCC unroll 2
      for (int u = 0; u < kVectors; u += 2)
        put(j - first + u * kLanes<T>, cell[u], cell[u + 1 < kVectors ? u + 1 : u]);
    });
  if (!two) return fill_neutral<Op>(even, last, span);
  fill_neutral<Op>(even, (last + 1) / 2, (span + 1) / 2);
  fill_neutral<Op>(odd, last / 2, span / 2);
}

// Column j of `line` to phase j % stride, place j / stride.
template <class Op, class T>
void sort_by_phase(Line<T> line, int64_t span, int64_t stride, Line<T> phases, int64_t region) {
  for (int64_t r = 0; r < stride; ++r) {
    const Line<T> to = phases.at(r * region);
    for (int64_t j = r, i = 0; j < span; j += stride, ++i) {
      to.v[i] = line.v[j];
      if (Op::kMarked) to.i[i] = line.i[j];
    }
  }
}
// The same for 4 phases, of which the even and the odd ones are apart already.
template <class Op, class T>
void split_again(Line<T> line, int64_t n, Line<T> even, Line<T> odd) {
  for (int64_t j = 0; j < n; j += 2 * kLanes<T>)
    store_phases<Op, T>(even.at(j / 2), odd.at(j / 2), load_cell<Op, T>(line.at(j)), load_cell<Op, T>(line.at(j + kLanes<T>)));
}

// Where outputs go, and what they are divided by.
template <class T>
struct Target {
  T* y;
  int64_t* index;
  const T* end;  // what lies behind a row may be overwritten up to there
  int64_t outputs, y_row;
  bool divided, counted;
  Vec<T> factor;  // the scale or the divisor of all
  const T* divisors;
  T area;

  explicit Target(const PoolStrip<T>& g)
      : y(g.y), index(g.index), outputs(g.last - g.first), y_row(g.y_row), divided(g.divisors), counted(g.counted),
        factor(splat(g.divisors ? g.divisors[0] : g.scale)), divisors(g.divisors), area(1) {
    end = y + (y_row == outputs ? (g.last_row - g.first_row) * y_row : outputs);
  }
  FASTCONV_INLINE void next_rows(int64_t rows) {
    y += rows * y_row;
    if (index) index += rows * y_row;
    if (y_row != outputs) end += rows * y_row;
  }
  FASTCONV_INLINE Vec<T> finished(int64_t o, Vec<T> v) const {
    if (!divided) return v * factor;
    return v / (counted ? load(divisors + o) * area : factor);
  }
};

template <class Op, class T>
FASTCONV_INLINE void emit(const Target<T>& g, int64_t o, int64_t n, VecCell<Op, T> cell) {
  if constexpr (!Op::kRepeatable) cell.v = g.finished(o, cell.v);
  T* y = g.y + o;
  const bool whole = n >= kLanes<T> || g.end - y >= kLanes<T>;
  if (whole) store(y, cell.v);
  else store_part(y, cell.v, n);
  if constexpr (Op::kMarked) {
    if (whole) return store_indices<T>(g.index + o, cell.i);
    for (int i = 0; i < n; ++i) g.index[o + i] = cell.i[i];
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

// Some vectors of outputs, from those of the taps' columns.
template <class Op, class T, int kVectors>
FASTCONV_INLINE void join_taps(const Walk<T>& walk, const Target<T>& g, Line<T> from, int64_t k, int64_t o, int64_t n) {
  VecCell<Op, T> cell[kVectors];
#pragma GCC unroll 4
  for (int u = 0; u < kVectors; ++u) cell[u] = load_cell<Op, T>(from.at(o + u * kLanes<T>));
  for (int64_t t = 1; t < k; ++t) {
    const Line<T> at = from.at(o + walk.tap[t]);
#pragma GCC unroll 4
    for (int u = 0; u < kVectors; ++u) cell[u] = Op::join(cell[u], load_cell<Op, T>(at.at(u * kLanes<T>)));
  }
#pragma GCC unroll 4
  for (int u = 0; u < kVectors; ++u) emit<Op>(g, o + u * kLanes<T>, u < kVectors - 1 ? kLanes<T> : n, cell[u]);
}

// Neighbours joined: tap t of every window lies t * dilation columns behind tap 0, so in one phase for all of them.
template <class Op, class T>
FASTCONV_INLINE void join_neighbours(const Walk<T>& walk, const PoolAxis& w, const Target<T>& g, Line<T> from, int64_t outputs) {
  constexpr int64_t kShort = 6;
  int64_t o = 0;
  if (Op::kRepeatable && walk.stride == 1 && w.dilation == 1 && w.k > kShort) {
    const int64_t width = join_doubling<Op, T>(from, outputs + w.k - 1, w.k);
    for (; o < outputs; o += kLanes<T>)
      emit<Op>(g, o, outputs - o, Op::join(load_cell<Op, T>(from.at(o)), load_cell<Op, T>(from.at(o + w.k - width))));
    return;
  }
  const int64_t k = w.k;
  for (; o < outputs; o += kMostVectors<Op, T> * kLanes<T>)
    by_vectors<Op, T>(outputs - o, [&](auto vectors, int64_t n) FASTCONV_LAMBDA {
      join_taps<Op, T, decltype(vectors)::value>(walk, g, from, k, o, n);
    });
}

// Any windows: `line` holds the joined columns from input column q.
template <class Op, class T>
void join_windows(const Walk<T>& walk, const PoolStrip<T>& g, const Target<T>& to, Line<T> line) {
  const PoolAxis& w = g.axis[2];
  auto at = [&](int64_t j) { return ScalarCell<Op, T>::make(line.v[j], Op::kMarked ? line.i[j] : Position<T>{}); };
  for (int64_t o = g.first; o < g.last; ++o) {
    const PoolWindow window = pool_window(w, o);
    const int64_t j = window.start - walk.q, i = o - g.first;
    ScalarCell<Op, T> cell = at(j);
    for (int64_t t = 1; t < window.count; ++t) cell = Op::join(cell, at(j + t * w.dilation));
    if constexpr (Op::kMarked) to.index[i] = cell.i;
    if constexpr (Op::kRepeatable) to.y[i] = cell.v;
    else to.y[i] = !to.divided ? cell.v * g.scale : cell.v / (to.counted ? to.divisors[i] * to.area : to.divisors[0]);
  }
}

template <class T>
Walk<T> walk_of(const PoolStrip<T>& g) {
  const PoolAxis& w = g.axis[2];
  Walk<T> walk;
  walk.table = w.windows != PoolWindows::regular || w.stride > kPoolPhases;
  walk.stride = walk.table ? 1 : w.stride;
  if (walk.table) {
    walk.q = pool_reach(w, g.first).first;
    walk.span = pool_reach(w, g.last - 1).last - walk.q;
  } else {
    walk.q = g.first * w.stride - w.pad_before;
    walk.span = (g.last - g.first - 1) * w.stride + pool_extent(w);
  }
  walk.pitch = walk.region = walk.span / walk.stride + kPoolSlack;
  T* values = static_cast<T*>(g.scratch);
  auto* positions = reinterpret_cast<Position<T>*>(values + kPoolLines);
  walk.lines = walk.phases = {values, positions};
  if (walk.stride > 2) walk.phases = walk.lines.at(kPoolSpan + 3 * kPoolSlack);
  auto* tap = reinterpret_cast<int64_t*>(positions + kPoolLines);
  walk.tap = tap;
  if (walk.table) return walk;
  for (int64_t t = 0, place = 0, phase = 0; t < w.k; ++t) {
    tap[t] = phase * walk.region + place;
    place += w.dilation / walk.stride;
    phase += w.dilation % walk.stride;
    if (phase >= walk.stride) phase -= walk.stride, ++place;
  }
  return walk;
}

// The rows under output rows of one depth.
template <class T>
struct RowFinder {
  PoolAxis h;  // a copy, which no store can change
  PoolWindow depth;
  const T* x;
  int64_t row_step, width;
  T depth_divisor;
  bool counted, count_include_pad;
  Rows<T> rows;

  explicit RowFinder(const PoolStrip<T>& g)
      : h(g.axis[1]), depth(pool_window(g.axis[0], g.depth)), x(g.x + depth.start * g.plane_step), row_step(g.row_step),
        width(g.axis[2].in), depth_divisor(1), counted(g.counted), count_include_pad(g.count_include_pad) {
    const int64_t dilation = g.axis[0].dilation;
    if (counted) depth_divisor = static_cast<T>(pool_divisor(g.axis[0], g.depth, count_include_pad));
    rows.planes = depth.count;
    rows.plane_step = dilation * g.plane_step;
    rows.row_step = h.dilation * row_step;
    rows.plane_index = dilation * h.in * width;
    rows.row_index = h.dilation * width;
  }
  FASTCONV_INLINE const Rows<T>& find(int64_t row) {
    const PoolWindow height = pool_window(h, row);
    rows.rows = height.count;
    rows.data = x + height.start * row_step;
    rows.index = (depth.start * h.in + height.start) * width;
    return rows;
  }
  FASTCONV_INLINE T area(int64_t row) const {
    return counted ? depth_divisor * static_cast<T>(pool_divisor(h, row, count_include_pad)) : 1;
  }
};

// Neighbours joined in registers: a vector of windows of kStride columns, side by side.
template <class Op, class T, int kStride>
FASTCONV_INLINE VecCell<Op, T> join_tile(Line<T> line) {
  VecCell<Op, T> c[kStride];
#pragma GCC unroll 4
  for (int u = 0; u < kStride; ++u) c[u] = load_cell<Op, T>(line.at(u * kLanes<T>));
  if constexpr (kStride == 4) {
    VecCell<Op, T> even[2], odd[2];
    split<Op>(c[0], c[1], even[0], odd[0]);
    split<Op>(c[2], c[3], even[1], odd[1]);
    split<Op>(even[0], even[1], c[0], c[2]);
    split<Op>(odd[0], odd[1], c[1], c[3]);
  } else {
    split<Op>(c[0], c[1], c[0], c[1]);
  }
#pragma GCC unroll 4
  for (int u = 1; u < kStride; ++u) c[0] = Op::join(c[0], c[u]);
  return c[0];
}

template <class Op, class T>
void pool_strip(const PoolStrip<T>& g) {
  const PoolAxis w = g.axis[2];
  // Windows side by side: line stands behind line, and neighbours are joined in one go.
  const bool tiles = w.windows == PoolWindows::regular && w.k == w.stride && (w.k == 2 || w.k == 4) && w.dilation == 1 &&
                     w.pad_before == 0 && w.out * w.k <= w.in;
  Walk<T> walk = walk_of(g);
  if (tiles) walk.stride = 1, walk.span = (g.last - g.first) * w.k;
  const bool two = walk.stride == 2 || walk.stride == 4;
  // Rows that are joined before their neighbours are: all phases of all of them fit the scratch memory.
  const int64_t line = tiles ? walk.span : walk.stride == 2 ? 2 * walk.pitch : walk.span + 2 * kPoolSlack;
  const int64_t odd = walk.stride == 2 ? walk.pitch : line / 2;
  const int64_t fit = walk.stride > 2 || line > kPoolSpan / 2 ? 1 : kPoolSpan / line;
  RowFinder<T> finder(g);
  Target<T> to(g);
  const bool flat = tiles && !to.counted && to.y_row == to.outputs;
  for (int64_t row = g.first_row; row < g.last_row; row += fit) {
    const int64_t stop = row + fit < g.last_row ? row + fit : g.last_row, together = flat ? stop - row : 1;
    Line<T> from = walk.lines;
    for (int64_t r = row; r < stop; ++r, from = from.at(line)) join_columns<Op, T>(finder.find(r), w.in, walk, two, from, from.at(odd));
    from = walk.lines;
    for (int64_t r = row; r < stop; r += together, from = from.at(line), to.next_rows(together)) {
      to.area = finder.area(r);
      if (tiles) {
        const int64_t n = together * to.outputs;
        for (int64_t o = 0; o < n; o += kLanes<T>) {
          const Line<T> at = from.at(o * w.k);
          emit<Op>(to, o, n - o, w.k == 2 ? join_tile<Op, T, 2>(at) : join_tile<Op, T, 4>(at));
        }
        continue;
      }
      if (walk.stride > 2) {
        if (two) {
          split_again<Op, T>(from, (walk.span + 1) / 2, walk.phases, walk.phases.at(2 * walk.region));
          split_again<Op, T>(from.at(odd), walk.span / 2, walk.phases.at(walk.region), walk.phases.at(3 * walk.region));
        } else {
          sort_by_phase<Op>(from, walk.span, walk.stride, walk.phases, walk.region);
        }
      }
      const Line<T> sorted = walk.stride > 2 ? walk.phases : from;
      if (walk.table) join_windows<Op>(walk, g, to, sorted);
      else join_neighbours<Op>(walk, w, to, sorted, to.outputs);
    }
  }
}

// One lane for each of 2 * kHalf vectors: the first kHalf, each joined with its partner, and so on.
template <class Op, class T, int kHalf>
FASTCONV_INLINE Vec<T> join_lanes(Vec<T> (&v)[kLanes<T>]) {
#pragma GCC unroll 8
  for (int i = 0; i < kHalf; ++i)
    v[i] = Op::join(Plain<Vec<T>, Mask<T>>{zip_low(v[i], v[i + kHalf])}, Plain<Vec<T>, Mask<T>>{zip_high(v[i], v[i + kHalf])}).v;
  if constexpr (kHalf > 1) return join_lanes<Op, T, kHalf / 2>(v);
  else return v[0];
}

// Runs of n elements joined, each in four chains, and the lanes of all by one tree of transposes.
template <class Op, class T>
void join_runs(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out) {
  using C = Plain<Vec<T>, Mask<T>>;
  constexpr int64_t kStep = 4 * kLanes<T>;
  const C none{splat(Op::template neutral<T>())};
  const int64_t whole = n / kStep * kStep;
  Vec<T> joined[kLanes<T>];
  for (int64_t l = 0; l < kLanes<T>; ++l) {
    const T* p = runs + (l < count ? l : 0) * step;
    C part[4] = {none, none, none, none};
    for (const T* stop = p + whole; p < stop; p += kStep)
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) part[u] = Op::join(part[u], C{load(p + u * kLanes<T>)});
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      const int64_t left = n - whole - u * kLanes<T>;
      if (left <= 0) break;
      if (left >= kLanes<T>) {
        part[u] = Op::join(part[u], C{load(p + u * kLanes<T>)});
      } else {
        const Vec<T> v = load_lanes(p + u * kLanes<T>, LaneRange<T>(0, left));
        part[u] = Op::join(part[u], C{Op::kRepeatable ? (first_lanes<T>(left) ? v : none.v) : v});
      }
    }
    joined[l] = Op::join(Op::join(part[0], part[1]), Op::join(part[2], part[3])).v;
  }
  const Vec<T> result = join_lanes<Op, T, kLanes<T> / 2>(joined) / splat(divisor);
  if (count == kLanes<T>) store(out, result);
  else store_part(out, result, count);
}

// A vector's number of stores or less at the end, and one that overlaps.
template <class T>
void fill_run(T* to, int64_t n, T value) {
  const Vec<T> v = splat(value);
  if (n < kLanes<T>) return store_part(to, v, n);
  for (int64_t i = 0; i < n - kLanes<T>; i += kLanes<T>) store(to + i, v);
  store(to + n - kLanes<T>, v);
}

template <class T>
constexpr PoolFunctions<T> functions() {
  return {kLanes<T>,   pool_strip<Max, T>,  pool_strip<MaxIndex, T>, pool_strip<Sum, T>, join_runs<Max, T>, join_runs<Sum, T>,
          fill_run<T>, PoolGrads<T>::scatter, PoolGrads<T>::avg,     halve<T>,           halve_grad<T>};
}

const PoolKernels kPoolKernels = {functions<float>(), functions<double>()};

}  // namespace

const PoolKernels& pool_kernels() { return kPoolKernels; }

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
