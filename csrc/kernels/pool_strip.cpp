// A vector of outputs at a time, everything in registers: for every stride-long block of a window's taps as many vectors of
// columns, joined over the window's rows, are sorted into phases, and the phases joined. The order is that of the row
// kernels: rows, then columns.
#include "kernels/pool_strip.hpp"

#include "kernels/edges.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

template <class T>
FASTCONV_INLINE Mask<T> lane_numbers() {
  Mask<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane;
}

// How a vector of outputs meets the ends of its row.
enum class Reach : uint8_t {
  inside,  // not at all
  beyond,  // what it reads outside the row is memory of the input
  off,     // is not
};

// Columns of an endless padded row, from p in memory; by `beyond`, those outside the row are left to chance.
template <class T, Reach kReach>
FASTCONV_INLINE Vec<T> load_columns(const PoolStrip<T>& g, const T* p, int64_t column) {
  if constexpr (kReach != Reach::off) return load(p);
  Vec<T> v{};
  for (int i = 0; i < kLanes<T>; ++i)
    if (column + i >= 0 && column + i < g.axis[2].in) v[i] = p[i];
  return v;
}

// The rows under an output row.
struct StripRows {
  PoolWindow depth, height;
  int64_t plane_step, row_step;    // from tap to tap in memory
  int64_t plane_index, row_index;  // and in positions
  int64_t offset, index;           // of the first row
};

// The window's rows joined, in the columns from `column`. kRows: their number, 0 if it is not known.
template <class Op, class T, Reach kReach, int kRows>
FASTCONV_INLINE VecCell<Op, T> join_rows(const PoolStrip<T>& g, const StripRows& s, int64_t column) {
  const Mask<T> place = lane_numbers<T>() + splat_position<T>(column);
  auto at = [&](int64_t i, int64_t j) FASTCONV_LAMBDA {
    const T* p = g.x + s.offset + i * s.plane_step + j * s.row_step + column;
    return VecCell<Op, T>::make(Op::prepare(load_columns<T, kReach>(g, p, column)),
                                place + splat_position<T>(s.index + i * s.plane_index + j * s.row_index));
  };
  VecCell<Op, T> cell = at(0, 0);
  if constexpr (kRows > 0) {
#pragma GCC unroll 4
    for (int j = 1; j < kRows; ++j) cell = Op::later(cell, at(0, j));
  } else {
    for (int64_t j = 1; j < s.height.count; ++j) cell = Op::later(cell, at(0, j));
    for (int64_t i = 1; i < s.depth.count; ++i)
      for (int64_t j = 0; j < s.height.count; ++j) cell = Op::later(cell, at(i, j));
  }
  if constexpr (kReach != Reach::inside) {
    const Mask<T> real = (place >= 0) & (place < splat_position<T>(g.axis[2].in));
    cell.v = real ? cell.v : splat(Op::template neutral<T>());
    if constexpr (Op::kMarked) cell.i = real ? cell.i : splat_position<T>(kNowhere<T>);
  }
  return cell;
}

template <class Op, class C>
FASTCONV_INLINE void split(C a, C b, C& even, C& odd) {
  even.v = even_lanes(a.v, b.v);
  odd.v = odd_lanes(a.v, b.v);
  if constexpr (Op::kMarked) {
    even.i = even_lanes(a.i, b.i);
    odd.i = odd_lanes(a.i, b.i);
  }
}

// kStride vectors of consecutive columns to their phases.
template <class Op, int kStride, class C>
FASTCONV_INLINE void sort_phases(C (&c)[kStride]) {
  if constexpr (kStride == 2) {
    split<Op>(c[0], c[1], c[0], c[1]);
  } else if constexpr (kStride == 4) {
    C even[2], odd[2];
    split<Op>(c[0], c[1], even[0], odd[0]);
    split<Op>(c[2], c[3], even[1], odd[1]);
    split<Op>(even[0], even[1], c[0], c[2]);
    split<Op>(odd[0], odd[1], c[1], c[3]);
  }
}

template <class Op, class T, int kStride, Reach kReach, int kRows>
FASTCONV_INLINE VecCell<Op, T> join_window(const PoolStrip<T>& g, const StripRows& s, int64_t column) {
  VecCell<Op, T> result;
  const int64_t k = g.axis[2].k;
  for (int64_t t = 0; t < k; t += kStride) {
    VecCell<Op, T> part[kStride];
#pragma GCC unroll 4
    for (int u = 0; u < kStride; ++u) part[u] = join_rows<Op, T, kReach, kRows>(g, s, column + t + u * kLanes<T>);
    sort_phases<Op>(part);
    result = t == 0 ? part[0] : Op::join(result, part[0]);
#pragma GCC unroll 4
    for (int u = 1; u < kStride; ++u)
      if (t + u < k) result = Op::join(result, part[u]);
  }
  return result;
}

template <class Op, class T>
FASTCONV_INLINE void emit(const PoolStrip<T>& g, T* y, int64_t* index, int64_t o, T area, VecCell<Op, T> cell) {
  const int64_t n = g.axis[2].out;
  if constexpr (!Op::kMarked)
    if (g.divided) {
      const Vec<T> divisor = load(g.width_divisors + o) * area;
      cell.v = g.inverse ? cell.v * divisor : cell.v / divisor;
    }
  store_some(y + o, cell.v, n - o, static_cast<const T*>(g.y_end));
  if constexpr (Op::kMarked) {
    Position<T> position[kLanes<T>];
    __builtin_memcpy(position, &cell.i, sizeof position);
    if (n >= kLanes<T>)
      for (int i = 0; i < kLanes<T>; ++i) index[o + i] = position[i];
    else
      for (int i = 0; i < n; ++i) index[i] = position[i];
  }
}

template <class Op, class T, int kStride, int kRows>
void strip_row(const PoolStrip<T>& g, const StripRows& s, T* y, int64_t* index, T area) {
  const PoolAxis& w = g.axis[2];
  const int64_t reach = (w.k - 1) / kStride * kStride + kStride * kLanes<T>;  // columns that a vector of outputs reads
  const T *first = g.x + s.offset, *last = first + (s.depth.count - 1) * s.plane_step + (s.height.count - 1) * s.row_step;
  if (last < first) {  // negative steps
    const T* swap = first;
    first = last;
    last = swap;
  }
  for (int64_t next = 0; next < w.out; next += kLanes<T>) {
    const int64_t o = next + kLanes<T> > w.out && w.out >= kLanes<T> ? w.out - kLanes<T> : next;
    const int64_t column = o * kStride - w.pad_before;
    VecCell<Op, T> cell;
    if (column >= 0 && column + reach <= w.in) cell = join_window<Op, T, kStride, Reach::inside, kRows>(g, s, column);
    else if (first + column >= g.x_begin && g.x_end - last >= column + reach)
      cell = join_window<Op, T, kStride, Reach::beyond, kRows>(g, s, column);
    else
      cell = join_window<Op, T, kStride, Reach::off, 0>(g, s, column);
    emit<Op>(g, y, index, o, area, cell);
  }
}

template <class Op, class T, int kStride>
void strip_rows(const PoolStrip<T>& g) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  StripRows s;
  s.plane_step = d.dilation * g.plane_step;
  s.row_step = h.dilation * g.row_step;
  s.plane_index = d.dilation * h.in * w.in;
  s.row_index = h.dilation * w.in;
  int64_t od = g.first / h.out, oh = g.first % h.out;
  for (int64_t row = g.first; row < g.last; ++row) {
    s.depth = g.depth[od];
    s.height = g.height[oh];
    s.offset = s.depth.start * g.plane_step + s.height.start * g.row_step;
    s.index = (s.depth.start * h.in + s.height.start) * w.in;
    const T area = g.divided ? g.depth_divisors[od] * g.height_divisors[oh] : T(1);
    T* y = g.y + (row - g.first) * w.out;
    int64_t* index = g.index + (row - g.first) * w.out;
    if (s.depth.count == 1 && s.height.count == 2) strip_row<Op, T, kStride, 2>(g, s, y, index, area);
    else if (s.depth.count == 1 && s.height.count == 3) strip_row<Op, T, kStride, 3>(g, s, y, index, area);
    else strip_row<Op, T, kStride, 0>(g, s, y, index, area);
    if (++oh == h.out) oh = 0, ++od;
  }
}

template <class Op, class T>
void strip(const PoolStrip<T>& g) {
  switch (g.axis[2].stride) {
    case 1: return strip_rows<Op, T, 1>(g);
    case 2: return strip_rows<Op, T, 2>(g);
    default: return strip_rows<Op, T, 4>(g);
  }
}

}  // namespace

template <class T>
void StripPools<T>::max(const PoolStrip<T>& g) {
  strip<Max<Same>>(g);
}
template <class T>
void StripPools<T>::max_index(const PoolStrip<T>& g) {
  strip<MaxIndex>(g);
}
template <class T>
void StripPools<T>::sum(const PoolStrip<T>& g) {
  strip<Sum<Same>>(g);
}
template struct StripPools<float>;
template struct StripPools<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
