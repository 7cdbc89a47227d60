#include "kernels/pool/pixels.hpp"

#include "kernels/masked.hpp"
#include "kernels/pool/ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// What there is of a vector of planes.
template <class T>
struct PixelPart {
  RowPart<T> values;
  RowParts<double, 8 / sizeof(T)> positions;  // whose bits are moved only
  explicit FASTCONV_INLINE PixelPart(int64_t planes) : values(planes), positions(planes) {}
};

// A call, as no store can change it.
template <class T>
struct Pixels : PoolPixels {
  const T* x;
  T* y;
  T factor;
  explicit FASTCONV_INLINE Pixels(const PoolPixels& call)
      : PoolPixels(call),
        x(static_cast<const T*>(call.x)),
        y(static_cast<T*>(call.y)),
        factor(static_cast<T>(call.factor)) {}
};

template <class T>
FASTCONV_INLINE T weight_of(const PoolTap& tap) {
  if constexpr (sizeof(T) == 4) return tap.narrow;
  else return tap.weight;
}

// What a vector of planes joins at one pixel: `begin` at the first tap, `add` for all, that one too, `pass` behind each
// row of them, or each column if kByColumns, and `put`. `position` is the position
// of what is joined or put, or says where positions stand.
template <class T, class Op>
struct Largest {
  static constexpr bool kByColumns = false;
  VecCell<Op, T> cell;
  FASTCONV_INLINE void begin(const Pixels<T>& g, int64_t at, int64_t position, const PixelPart<T>& part) {
    cell = at_tap(g, at, position, part);
  }
  FASTCONV_INLINE void add(const Pixels<T>& g, int64_t at, int64_t position, T, const PixelPart<T>& part) {
    cell = Op::later(cell, at_tap(g, at, position, part));
  }
  FASTCONV_INLINE void pass(T) {}
  FASTCONV_INLINE void put(const Pixels<T>& g, int64_t to, int64_t index, T, const PixelPart<T>& part) const {
    if (!Op::kMarked || g.y) part.values.store_to(g.y + to, cell.v);
    if constexpr (Op::kMarked) {
      part.positions.store_to(reinterpret_cast<double*>(g.index + index), widened(cell.i).bits);
    }
  }

 private:
  static FASTCONV_INLINE VecCell<Op, T> at_tap(const Pixels<T>& g, int64_t at, int64_t position,
                                               const PixelPart<T>& part) {
    return VecCell<Op, T>::make(part.values.load_from(g.x + at), splat_position<T>(position));
  }
};

// Columns are summed before they meet, as other kernels do, and weighed.
template <class T>
struct Weighed {
  static constexpr bool kByColumns = true;
  Vec<T> sum, column;
  FASTCONV_INLINE void begin(const Pixels<T>&, int64_t, int64_t, const PixelPart<T>&) { sum = column = Vec<T>{}; }
  FASTCONV_INLINE void add(const Pixels<T>& g, int64_t at, int64_t, T weight, const PixelPart<T>& part) {
    column += part.values.load_from(g.x + at) * weight;
  }
  FASTCONV_INLINE void pass(T weight) {
    sum += column * weight + Vec<T>{};  // the product is rounded
    column = Vec<T>{};
  }
  FASTCONV_INLINE void put(const Pixels<T>& g, int64_t to, int64_t, T divisor, const PixelPart<T>& part) const {
    part.values.store_to(g.y + to, g.divided ? sum / divisor : sum * g.factor);
  }
};

template <class Cell, class T, int kVectors>
FASTCONV_INLINE void join_pixel(const Pixels<T>& g, const PoolPlace& row, const PoolPlace& column, int64_t c,
                                const PixelPart<T>& part) {
  const PoolPlace &outside = Cell::kByColumns ? column : row, &inside = Cell::kByColumns ? row : column;
  const PoolTap* outer = (Cell::kByColumns ? g.columns : g.rows).taps + outside.first;
  const PoolTap* first = (Cell::kByColumns ? g.rows : g.columns).taps + inside.first;
  const PoolTap *outer_end = outer + outside.count, *last = first + inside.count;
  Cell cell[kVectors];
  auto each = [&](auto f) FASTCONV_LAMBDA {
#pragma GCC unroll 4
    for (int u = 0; u < kVectors; ++u) f(cell[u], c + u * kLanes<T>);
  };
  each([&](Cell& v, int64_t i)
           FASTCONV_LAMBDA { v.begin(g, outer->at + first->at + i, outer->position + first->position, part); });
  for (; outer < outer_end; ++outer) {
    for (const PoolTap* inner = first; inner < last; ++inner) {
      const int64_t at = outer->at + inner->at, position = outer->position + inner->position;
      const T weight = weight_of<T>(*inner);
      each([&](Cell& v, int64_t i) FASTCONV_LAMBDA { v.add(g, at + i, position, weight, part); });
    }
    each([&](Cell& v, int64_t) FASTCONV_LAMBDA { v.pass(weight_of<T>(*outer)); });
  }
  const int64_t to = row.to + column.to, index = row.index + column.index;
  each([&](Cell& v, int64_t i)
           FASTCONV_LAMBDA { v.put(g, to + i, index + i, static_cast<T>(row.divisor * column.divisor), part); });
}

template <class Cell, class T>
void join_pixels(const PoolPixels& call) {
  constexpr int kTogether = 2;
  const Pixels<T> g(call);
  const PixelPart<T> some(g.planes), whole(kLanes<T>);
  for (int64_t r = g.first_row; r < g.last_row; ++r) {
    const PoolPlace row = g.rows.place[r];
    for (int64_t w = 0; w < g.width; ++w) {
      const PoolPlace column = g.columns.place[w];
      int64_t c = 0;
      for (; c + kTogether * kLanes<T> <= g.planes; c += kTogether * kLanes<T>)
        join_pixel<Cell, T, kTogether>(g, row, column, c, whole);
      for (; c < g.planes; c += kLanes<T>) join_pixel<Cell, T, 1>(g, row, column, block_from<T>(c, g.planes), some);
    }
  }
  clear_upper_lanes();
}

// All pixels summed in the order in which those of dense planes are (pool.cpp), where the i-th one is in lane i of four
// vectors.
template <class T>
void sum_pixels(const void* from, int64_t step, int64_t n, int64_t planes, double divisor, void* to) {
  const RowPart<T> part(planes);
  const T* x = static_cast<const T*>(from);
  by_blocks<T>(planes, [&](int64_t c) FASTCONV_LAMBDA {
    constexpr int64_t kSums = 4 * kLanes<T>;
    Vec<T> lane[kSums]{};
    const T* p = x + c;
    for (int64_t i = 0; i < n; i += kSums)
      for (int64_t l = 0, some = n - i < kSums ? n - i : kSums; l < some; ++l, p += step) lane[l] += part.load_from(p);
    for (int l = 0; l < kLanes<T>; ++l)
      lane[l] = (lane[l] + lane[l + kLanes<T>]) + (lane[l + 2 * kLanes<T>] + lane[l + 3 * kLanes<T>]);
    for (int half = kLanes<T> / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
    part.store_to(static_cast<T*>(to) + c, lane[0] / static_cast<T>(divisor));
  });
  clear_upper_lanes();
}

}  // namespace

template <class T>
const PoolPixelFunctions PoolPixelTable<T>::functions = {kLanes<T>, join_pixels<Largest<T, Max>, T>,
                                                         join_pixels<Largest<T, MaxIndex>, T>,
                                                         join_pixels<Weighed<T>, T>, sum_pixels<T>};
template struct PoolPixelTable<float>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
