// A window is a box, so an output row is made in two steps (pool_lines.hpp): the rows of the window are joined column
// by column, whole vectors at a time, into a line of scratch memory (margins of the neutral element stand for the
// padding), then neighbouring columns are joined. Some rows take the first step before the second, which then need not
// wait for what was just stored.
#include "kernels/pool/pool.hpp"

#include "kernels/pool/grad.hpp"
#include "kernels/pool/lines.hpp"
#include "kernels/pool/pixels.hpp"
#include "kernels/pool/runs.hpp"
#include "kernels/pool/tiles.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// One copy each, as few windows are looked up.
__attribute__((noinline)) PoolWindow window_at(const PoolAxis& a, int64_t o) { return pool_window(a, o); }
__attribute__((noinline)) int64_t divisor_at(const PoolAxis& a, int64_t o, bool count_include_pad) {
  return pool_divisor(a, o, count_include_pad);
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
