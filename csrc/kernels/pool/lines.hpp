// The two steps of a pool, in lines: rows of windows joined column by column, and neighbouring columns joined. The last
// vector of a row ends with it and repeats what the one before has done. One template serves every operation, with
// positions or without.
#pragma once
#include "kernels/masked.hpp"
#include "kernels/pool/ops.hpp"
#include "kernels/pool/pool.hpp"
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

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
