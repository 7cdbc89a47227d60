// A window is a box, so an output row is made in two steps: the rows of the window are joined column by column, whole
// vectors at a time, into a line of scratch memory (margins of the neutral element stand for the padding), then
// neighbouring columns are joined. Some rows take the first step before the second, which then need not wait for what
// was just stored. The last vector of a row ends with it and repeats what the one before has done. One template serves
// every operation, with positions or without.
#include "kernels/pool.hpp"

#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/pool_grad.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/pool_pixels.hpp"
#include "kernels/pool_runs.hpp"
#include "kernels/pool_tiles.hpp"
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
  int64_t alike, line_step, line_index;   // output rows whose windows are as high, and from one to the next
};

// One copy each, as few windows are looked up.
__attribute__((noinline)) PoolWindow window_at(const PoolAxis& a, int64_t o) { return pool_window(a, o); }
__attribute__((noinline)) int64_t divisor_at(const PoolAxis& a, int64_t o, bool count_include_pad) {
  return pool_divisor(a, o, count_include_pad);
}

// A window's place in a line.
struct ListedWindow {
  int32_t first, count;
};

// How the outputs of a strip are found in its lines.
template <class T>
struct Walk {
  int64_t q, span;         // columns [q, q + span) of the endless padded row
  int64_t first, columns;  // those of the input among them
  int64_t stride;          // of the outputs in what is joined
  int64_t pitch;           // from line to line
  RowPart<T> part;         // of them
  bool table;              // window by window
  Line<T> lines;           // what the first step fills
  const int64_t* tap;      // where tap t of output 0 stands
  const ListedWindow* windows;
  const Mask<T>* picks;  // lanes to take of what is there and of the next vector
};

// A vector of columns from `col`, joined over the window's rows: kRows of one plane, or, if 0, any.
template <class Op, class T, int kRows>
FASTCONV_INLINE VecCell<Op, T> join_rows(const Rows<T>& s, int64_t col, const RowPart<T>& part) {
  const Mask<T> lane = lane_numbers<T>();
  auto at = [&](int64_t plane, int64_t row) FASTCONV_LAMBDA {
    return VecCell<Op, T>::make(part.load_from(s.data + plane * s.plane_step + row * s.row_step + col),
                                lane + splat_position<T>(s.index + plane * s.plane_index + row * s.row_index + col));
  };
  VecCell<Op, T> cell = at(0, 0);
  if constexpr (kRows > 0) {
#pragma GCC unroll 4
    for (int i = 1; i < kRows; ++i) cell = Op::later(cell, at(0, i));
    return cell;
  }
  for (int64_t d = 0, i = 1; d < s.planes; ++d, i = 0)
    for (; i < s.rows; ++i) cell = Op::later(cell, at(d, i));
  return cell;
}

// The columns of the input joined over the rows of the windows of some lines. The margins are left alone.
template <class Op, class T, int kRows>
__attribute__((noinline, hot)) void join_columns(const Rows<T>& rows, const Walk<T>& walk, Line<T> line) {
  Rows<T> s = rows;
  const RowPart<T> part = walk.part;
  const int64_t columns = walk.columns, pitch = walk.pitch;
  s.data += walk.q + walk.first, s.index += walk.q + walk.first;
  line = line.at(walk.first);
  for (; s.alike > 0; --s.alike, s.data += s.line_step, s.index += s.line_index, line = line.at(pitch))
    by_blocks<T>(columns, [&](int64_t j) FASTCONV_LAMBDA {
      VecCell<Op, T> cell = join_rows<Op, T, kRows>(s, j, part);
      if (!part.whole) {
        const VecCell<Op, T> none = neutral_cell<Op, T>();
        const Mask<T> there = first_lanes<T>(part.n);
        cell.v = there ? cell.v : none.v;
        if constexpr (Op::kMarked) cell.i = there ? cell.i : none.i;
      }
      store_cell<Op, T>(line.at(j), cell);
    });
}
template <class Op, class T>
__attribute__((noinline, hot)) void fill_margins(const Walk<T>& walk, Line<T> line) {
  const VecCell<Op, T> none = neutral_cell<Op, T>();
  for (int64_t j = walk.first + walk.columns; j < walk.span; j += kLanes<T>) store_cell<Op, T>(line.at(j), none);
  for (int64_t j = 0; j < walk.first; j += kLanes<T>) store_cell<Op, T>(line.at(j), none);
}

// Where outputs go, and what they are divided by.
template <class T>
struct Target {
  T* y;
  int64_t* index;
  int64_t outputs;
  RowPart<T> part;
  RowParts<double, 8 / sizeof(T)> positions;  // whose bits are moved only
  int64_t y_row;
  bool divided, counted;
  Vec<T> factor;  // the scale or the divisor of all
  const T* divisors;
  T area;

  explicit Target(const PoolStrip<T>& g)
      : outputs(g.last - g.first),
        part(outputs),
        positions(outputs),
        y_row(g.y_row),
        divided(g.divisors),
        counted(g.counted),
        factor(splat(g.divisors ? g.divisors[0] : g.scale)),
        divisors(g.divisors),
        area(1) {}
  FASTCONV_INLINE void next_rows(int64_t rows) {
    y += rows * y_row;
    if (index) index += rows * y_row;
  }
  FASTCONV_INLINE Vec<T> finished(int64_t o, Vec<T> v) const {
    if (!divided) return v * factor;
    return v / (counted ? load(divisors + o) * area : factor);
  }
};

// Outputs from o, as many as a vector holds or the row has.
template <class Op, class T>
FASTCONV_INLINE void emit(const Target<T>& g, int64_t o, VecCell<Op, T> cell) {
  if constexpr (!Op::kRepeatable) cell.v = g.finished(o, cell.v);
  g.part.store_to(g.y + o, cell.v);
  if constexpr (Op::kMarked) g.positions.store_to(reinterpret_cast<double*>(g.index + o), widened(cell.i).bits);
}

// Long windows of a maximum, whose taps may be joined twice: line[j] joins with line[j + 1], the pairs with the pairs
// two columns on, and so forth. Returns the columns that one element then stands for.
template <class Op, class T>
int64_t join_doubling(Line<T> line, int64_t span, int64_t k) {
  int64_t width = 1;
  for (; 2 * width < k; width *= 2)
    for (int64_t j = 0; j + width < span; j += kLanes<T>)
      store_cell<Op, T>(line.at(j), Op::join(load_cell<Op, T>(line.at(j)), load_cell<Op, T>(line.at(j + width))));
  return width;
}

// Every kStride-th element, of one or two, or, if 0, as many as the walk says.
template <class Op, class T, int kStride>
FASTCONV_INLINE VecCell<Op, T> load_every(const Walk<T>& walk, Line<T> line) {
  VecCell<Op, T> a = load_cell<Op, T>(line);
  if constexpr (kStride == 2) {
    const VecCell<Op, T> b = load_cell<Op, T>(line.at(kLanes<T>));
    a.v = even_lanes(a.v, b.v);
    if constexpr (Op::kMarked) a.i = even_lanes(a.i, b.i);
  } else if constexpr (kStride == 0) {
    a.v = load_picked(line.v, walk.stride, walk.picks);
    if constexpr (Op::kMarked) a.i = (Mask<T>)load_picked(reinterpret_cast<const T*>(line.i), walk.stride, walk.picks);
  }
  return a;
}

constexpr int64_t kShort = 6;  // windows

// Neighbours joined in some lines: tap t of every window lies as far behind tap 0. kTaps of them, or, if 0, k.
template <class Op, class T, int kStride, int kTaps>
__attribute__((noinline, hot)) void join_taps(const Walk<T>& walk, const Target<T>& target, Line<T> from, int64_t k,
                                              int64_t lines) {
  Target<T> g = target;
  const int64_t *tap = walk.tap, pitch = walk.pitch;
  for (; lines > 0; --lines, from = from.at(pitch), g.next_rows(1))
    by_blocks<T>(g.outputs, [&](int64_t o) FASTCONV_LAMBDA {
      const Line<T> at = from.at((kStride ? kStride : walk.stride) * o);
      VecCell<Op, T> cell = load_every<Op, T, kStride>(walk, at);
      if constexpr (kTaps > 0) {
#pragma GCC unroll 4
        for (int t = 1; t < kTaps; ++t) cell = Op::join(cell, load_every<Op, T, kStride>(walk, at.at(t)));
      } else {
        for (int64_t t = 1; t < k; ++t) cell = Op::join(cell, load_every<Op, T, kStride>(walk, at.at(tap[t])));
      }
      emit<Op>(g, o, cell);
    });
}
// Long windows of a maximum; the line is as it was, but for its columns.
template <class Op, class T>
void join_long(const Walk<T>& walk, const Target<T>& g, Line<T> from, int64_t k, int64_t) {
  if constexpr (Op::kRepeatable) {
    const int64_t width = join_doubling<Op, T>(from, g.outputs + k - 1, k);
    by_blocks<T>(g.outputs, [&](int64_t o) FASTCONV_LAMBDA {
      emit<Op>(g, o, Op::join(load_cell<Op, T>(from.at(o)), load_cell<Op, T>(from.at(o + k - width))));
    });
    fill_margins<Op>(walk, from);
  }
}

// Any windows: `line` holds the joined columns from input column q.
template <class Op, class T>
void join_windows(const Walk<T>& walk, const PoolStrip<T>& g, const Target<T>& to, Line<T> line) {
  const int64_t dilation = g.axis[2].dilation;
  auto at = [](Line<T> l, int64_t j) { return ScalarCell<Op, T>::make(l.v[j], Op::kMarked ? l.i[j] : Position<T>{}); };
  for (int64_t i = 0; i < to.outputs; ++i) {
    const ListedWindow window = walk.windows[i];
    const Line<T> from = line.at(window.first);
    ScalarCell<Op, T> cell = at(from, 0);
    int64_t t = 1;
    if (dilation == 1 && window.count >= 2 * kLanes<T>) {  // long ones: vectors, then their lanes
      VecCell<Op, T> wide = load_cell<Op, T>(from);
      for (t = kLanes<T>; t + kLanes<T> <= window.count; t += kLanes<T>)
        wide = Op::join(wide, load_cell<Op, T>(from.at(t)));
      T values[kLanes<T>];
      Position<T> positions[kLanes<T>];
      const Line<T> lanes{values, positions};
      store_cell<Op, T>(lanes, wide);
      cell = at(lanes, 0);
      for (int64_t l = 1; l < kLanes<T>; ++l) cell = Op::join(cell, at(lanes, l));
    }
    for (; t < window.count; ++t) cell = Op::join(cell, at(from, t * dilation));
    if constexpr (Op::kMarked) to.index[i] = cell.i;
    if constexpr (Op::kRepeatable) to.y[i] = cell.v;
    else to.y[i] = !to.divided ? cell.v * g.scale : cell.v / (to.counted ? to.divisors[i] * to.area : to.divisors[0]);
  }
}

// The lanes of every stride-th element: those in vector u, and before that those that stay.
template <class T>
void list_picks(int64_t stride, Position<T>* pick) {
  for (int64_t u = 1; u < stride; ++u)
    for (int64_t l = 0; l < kLanes<T>; ++l) {
      const int64_t j = l * stride - u * kLanes<T>;
      const bool taken = j < kLanes<T> && (j >= 0 || u == 1);
      *pick++ = static_cast<Position<T>>(taken ? kLanes<T> + j : l);
    }
}

template <class T>
__attribute__((cold)) Walk<T> walk_of(const PoolStrip<T>& g) {
  const PoolAxis& w = g.axis[2];
  Walk<T> walk{};
  walk.table = w.windows != PoolWindows::regular || w.stride > kPoolPicked;
  walk.stride = walk.table ? 1 : w.stride;
  if (walk.table) {
    walk.q = pool_reach(w, g.first).first;
    walk.span = pool_reach(w, g.last - 1).last - walk.q;
  } else {
    walk.q = g.first * w.stride - w.pad_before;
    walk.span = (g.last - g.first - 1) * w.stride + pool_extent(w);
  }
  walk.first = walk.q < 0 ? -walk.q : 0;
  walk.columns = (w.in - walk.q < walk.span ? w.in - walk.q : walk.span) - walk.first;
  walk.part = RowPart<T>(walk.columns);
  walk.pitch = walk.span + kPoolSlack;
  T* values = static_cast<T*>(g.scratch);
  auto* positions = reinterpret_cast<Position<T>*>(values + kPoolLines);
  walk.lines = {values, positions};
  Position<T>* picks = positions + kPoolLines;
  walk.picks = reinterpret_cast<const Mask<T>*>(picks);
  auto* tap = reinterpret_cast<int64_t*>(picks + kPoolPicked * kLanes<T>);
  walk.tap = tap;
  auto* windows = reinterpret_cast<ListedWindow*>(tap);
  walk.windows = windows;
  if (walk.table) {
    for (int64_t o = g.first; o < g.last; ++o) {
      const PoolWindow window = window_at(w, o);
      *windows++ = {static_cast<int32_t>(window.start - walk.q), static_cast<int32_t>(window.count)};
    }
    return walk;
  }
  for (int64_t t = 0; t < w.k; ++t) tap[t] = t * w.dilation;
  list_picks<T>(w.stride, picks);
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
  int64_t last_whole;  // row whose window lies in the input
  Rows<T> rows;

  __attribute__((cold)) explicit RowFinder(const PoolStrip<T>& g)
      : h(g.axis[1]),
        depth(window_at(g.axis[0], g.depth)),
        x(g.x + depth.start * g.plane_step),
        row_step(g.row_step),
        width(g.axis[2].in),
        depth_divisor(1),
        counted(g.counted),
        count_include_pad(g.count_include_pad) {
    const int64_t dilation = g.axis[0].dilation;
    if (counted) depth_divisor = static_cast<T>(divisor_at(g.axis[0], g.depth, count_include_pad));
    rows.planes = depth.count;
    rows.plane_step = dilation * g.plane_step;
    rows.row_step = h.dilation * row_step;
    rows.plane_index = dilation * h.in * width;
    rows.row_index = h.dilation * width;
    last_whole = h.windows == PoolWindows::regular ? (h.in - pool_extent(h) + h.pad_before) / h.stride : -1;
    rows.line_step = h.stride * row_step;
    rows.line_index = h.stride * width;
  }
  // The rows of an output row, and of those like it before `stop`.
  FASTCONV_INLINE void find(int64_t row, int64_t stop) {
    const PoolWindow height = window_at(h, row);
    const int64_t whole = height.count == h.k ? last_whole + 1 - row : 1;
    rows.rows = height.count;
    rows.data = x + height.start * row_step;
    rows.index = (depth.start * h.in + height.start) * width;
    rows.alike = whole < 1 ? 1 : whole < stop - row ? whole : stop - row;
  }
  FASTCONV_INLINE T area(int64_t row) const {
    return counted ? depth_divisor * static_cast<T>(divisor_at(h, row, count_include_pad)) : 1;
  }
};

// The steps of an operation. Those that join neighbours take some lines at a time, or one.
template <class T>
struct Steps {
  using Columns = void (*)(const Rows<T>&, const Walk<T>&, Line<T>);
  using Neighbours = void (*)(const Walk<T>&, const Target<T>&, Line<T>, int64_t k, int64_t lines);
  bool marked;
  void (*fill_margins)(const Walk<T>&, Line<T>);
  Columns columns, columns_of_three;
  Neighbours taps, three_taps, taps_by_two, three_by_two;
  Neighbours long_taps;  // or null
  Neighbours picked_taps;
  void (*windows)(const Walk<T>&, const PoolStrip<T>&, const Target<T>&, Line<T>);
};
template <class Op, class T>
constexpr Steps<T> steps() {
  constexpr int kThree = Op::kMarked ? 0 : 3;  // positions have no kernels of their own
  return {Op::kMarked,
          fill_margins<Op, T>,
          join_columns<Op, T, 0>,
          join_columns<Op, T, kThree>,
          join_taps<Op, T, 1, 0>,
          join_taps<Op, T, 1, kThree>,
          join_taps<Op, T, 2, 0>,
          join_taps<Op, T, 2, kThree>,
          Op::kRepeatable ? join_long<Op, T> : nullptr,
          join_taps<Op, T, 0, 0>,
          join_windows<Op, T>};
}

// What joins the neighbours in a strip's lines.
template <class T>
typename Steps<T>::Neighbours choose_neighbours(const Steps<T>& s, const PoolAxis& w, bool& alone) {
  const bool three = w.k == 3 && w.dilation == 1;
  alone = false;
  if (w.stride == 2) return three ? s.three_by_two : s.taps_by_two;
  if (w.stride > 1) return s.picked_taps;
  if ((w.dilation > 1 || w.k <= kShort || !s.long_taps)) return three ? s.three_taps : s.taps;
  alone = true;  // they leave their line changed
  return s.long_taps;
}

template <class T>
__attribute__((cold)) void run_strip(const PoolStrip<T>& call, const Steps<T>& steps) {
  const PoolStrip<T> g = call;
  const PoolAxis w = g.axis[2];
  const Walk<T> walk = walk_of(g);
  // Rows that are joined before their neighbours are: what has just been stored is not waited for.
  const int64_t lines = walk.pitch < kPoolSpan ? kPoolSpan / walk.pitch : 1, rows = g.last_row - g.first_row;
  const int64_t fit = lines < rows ? lines : rows;
  for (int64_t i = 0; i < fit; ++i) steps.fill_margins(walk, walk.lines.at(i * walk.pitch));
  bool alone;
  const auto neighbours = choose_neighbours(steps, w, alone);
  RowFinder<T> finder(g);
  Target<T> to(g);
  for (int64_t plane = 0; plane < g.planes; ++plane, finder.x += g.x_plane) {
    to.y = g.y + plane * g.y_plane;
    to.index = steps.marked ? g.index + plane * g.y_plane : nullptr;
    for (int64_t row = g.first_row; row < g.last_row; row += fit) {
      const int64_t stop = row + fit < g.last_row ? row + fit : g.last_row;
      for (int64_t r = row; r < stop; r += finder.rows.alike) {
        finder.find(r, stop);
        const bool three = finder.rows.planes == 1 && finder.rows.rows == 3;
        (three ? steps.columns_of_three : steps.columns)(finder.rows, walk, walk.lines.at((r - row) * walk.pitch));
      }
      const int64_t together = alone || walk.table || g.counted ? 1 : stop - row;
      for (int64_t r = row; r < stop; r += together, to.next_rows(together)) {
        const Line<T> from = walk.lines.at((r - row) * walk.pitch);
        to.area = finder.area(r);
        if (walk.table) steps.windows(walk, g, to, from);
        else neighbours(walk, to, from, w.k, together);
      }
    }
  }
}
template <class Op, class T>
void pool_strip(const PoolStrip<T>& g) {
  static constexpr Steps<T> kSteps = steps<Op, T>();
  run_strip(g, kSteps);
}

template <class T>
constexpr PoolFunctions<T> functions() {
  return {kLanes<T>,
          pool_strip<Max, T>,
          pool_strip<MaxIndex, T>,
          pool_strip<Sum, T>,
          PoolRuns<T>::max,
          PoolRuns<T>::sum,
          PoolRuns<T>::fill,
          PoolGrads<T>::avg,
          &PoolTileTable<T>::functions,
          sizeof(T) == 4 ? &PoolPixelTable<float>::functions : nullptr};
}

const PoolKernels kPoolKernels = {functions<float>(), functions<double>()};

}  // namespace

const PoolKernels& pool_kernels() { return kPoolKernels; }

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
