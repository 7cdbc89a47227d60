#include "kernels/pool_tiles.hpp"

#include "kernels/masked.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// A vector of windows from kStride vectors of columns; sums in the columns' order, as other kernels make them.
template <class Op, class V, int kStride>
FASTCONV_INLINE V join_tile(const V (&c)[kStride]) {
  auto join = [](V a, V b) FASTCONV_LAMBDA { return Op::join(Plain<V, V>{a}, Plain<V, V>{b}).v; };
  const V even = even_lanes(c[0], c[1]), odd = odd_lanes(c[0], c[1]);
  if constexpr (kStride == 2) {
    return join(even, odd);
  } else {
    const V even2 = even_lanes(c[2], c[3]), odd2 = odd_lanes(c[2], c[3]);
    return join(join(join(even_lanes(even, even2), even_lanes(odd, odd2)), odd_lanes(even, even2)),
                odd_lanes(odd, odd2));
  }
}

template <class Op, class T, int kStride>
void join_tiles(const PoolTiles<T>& call) {
  using C = VecCell<Op, T>;
  const PoolTiles<T> g = call;  // a copy, which no store can change
  const RowParts<T, kStride> in(kStride * g.columns);
  const RowPart<T> out(g.columns);
  const Vec<T> factor = splat(g.factor);
  const T* row = g.x;
  T* y = g.y;
  for (int64_t h = 0; h < g.rows; ++h, row += g.x_step, y += g.columns)
    by_blocks<T>(g.columns, [&](int64_t w) FASTCONV_LAMBDA {
      const T* x = row + kStride * w;
      Vec<T> c[kStride], next[kStride];
      in.stream_from(x, c);
      for (int64_t i = 1; i < g.height; ++i) {
        in.stream_from(x += g.x_row, next);
#pragma GCC unroll 4
        for (int u = 0; u < kStride; ++u) c[u] = Op::join(C{c[u]}, C{next[u]}).v;
      }
      Vec<T> v = join_tile<Op>(c);
      if constexpr (!Op::kRepeatable) v = g.divided ? v / factor : v * factor;
      out.store_to(y + w, v);
    });
}

// Lane i / kStride of the u-th of as many parts.
template <int kStride, int kPart, class V, int... I>
FASTCONV_INLINE V spread_lanes(V v, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(v, v, (kPart * n / kStride + I / kStride)...);
}
template <int kStride, class V>
FASTCONV_INLINE void spread_lanes(V v, V (&to)[kStride]) {
  using Lanes = LanesOf<V>;
  to[0] = spread_lanes<kStride, 0>(v, Lanes{});
  to[1] = spread_lanes<kStride, 1>(v, Lanes{});
  if constexpr (kStride == 4) to[2] = spread_lanes<4, 2>(v, Lanes{}), to[3] = spread_lanes<4, 3>(v, Lanes{});
}

template <class T, int kStride>
void spread_tiles(const PoolTilesGrad<T>& call) {
  const PoolTilesGrad<T> g = call;
  const int64_t row = kStride * g.columns;
  const RowPart<T> in(g.columns);
  const RowParts<T, kStride> out(row);
  const Vec<T> row_weight = splat(g.row_weight), weight = splat(g.weight);
  const T* dy = g.dy;
  T* dx = g.dx;
  for (int64_t h = 0; h < g.rows; ++h, dy += g.columns, dx += g.height * row)
    by_blocks<T>(g.columns, [&](int64_t w) FASTCONV_LAMBDA {
      Vec<T> part[kStride];
      spread_lanes(in.load_from(dy + w) * row_weight * weight, part);
      T* to = dx + kStride * w;
      for (int64_t i = 0; i < g.height; ++i, to += row) out.store_to(to, part);
    });
}

// The gradient of maxima of 2x2 elements: an element wins one window at most, so that nothing is added.

template <class T>
FASTCONV_INLINE Mask<T> beats(Vec<T> later, Vec<T> best) {
  return (later > best) | ((later != later) & (best == best));
}
// Where in its window the winner stands: 0 or 1, or those plus `below`.
template <class T>
FASTCONV_INLINE Mask<T> find_winners(const Vec<T> (&upper)[2], const Vec<T> (&lower)[2], Mask<T> below) {
  const Vec<T> first = even_lanes(upper[0], upper[1]), second = odd_lanes(upper[0], upper[1]);
  const Vec<T> third = even_lanes(lower[0], lower[1]), fourth = odd_lanes(lower[0], lower[1]);
  const Mask<T> right = beats<T>(second, first), lower_right = beats<T>(fourth, third);
  const Mask<T> is_lower = beats<T>(lower_right ? fourth : third, right ? second : first);
  return ((is_lower ? lower_right : right) & 1) + (is_lower & below);
}

template <class T, bool kGiven>
bool halve_grad(const PoolHalvesGrad<T>& call) {
  const PoolHalvesGrad<T> g = call;
  const int64_t n = g.columns, row = 2 * n;
  const RowPart<T> outputs(n);
  const RowParts<T, 2> pair(row);
  const RowParts<double, 8 / sizeof(T)> positions(n);  // whose bits are moved only
  const Mask<T> below = splat_position<T>(row), there = first_lanes<T>(n);
  Mask<T> strange{}, far{};  // positions beside their windows, and halves of what does not fit 32 bits
  const T *plane = g.x, *dy = g.dy;
  const auto* index = reinterpret_cast<const double*>(g.index);
  T* dx = g.dx;
  for (int64_t p = 0; p < g.planes; ++p, plane += g.x_plane) {
    const T* x = plane;
    Mask<T> first = 2 * lane_numbers<T>();
    for (int64_t h = 0; h < g.rows; ++h, x += 2 * g.x_row, index += n, dy += n, dx += 2 * row, first += 2 * below)
      for (int64_t next = 0; next < n; next += kLanes<T>) {  // no lambda: what is watched for stays in registers
        const int64_t w = block_from<T>(next, n);
        Mask<T> at;
        if constexpr (kGiven) {
          Vec<double> given[8 / sizeof(T)];
          positions.stream_from(index + w, given);
          at = (Mask<T>)given[0];
          if constexpr (sizeof(T) == 4) {
            far |= at | (Mask<T>)given[1];
            at = even_lanes(at, (Mask<T>)given[1]);
          }
          at -= first + splat_position<T>(2 * w);
          const Mask<T> column = at & -2;  // `below` is even
          strange |= (column == below ? Mask<T>{} : column) & there;
        } else {
          Vec<T> upper[2], lower[2];
          pair.stream_from(x + 2 * w, upper);
          pair.stream_from(x + g.x_row + 2 * w, lower);
          at = find_winners<T>(upper, lower, below);
        }
        const Vec<T> d = outputs.load_from(dy + w);
        fetch_ahead(dy + w);
        auto put = [&](T* to, Mask<T> place) FASTCONV_LAMBDA {
          fetch_ahead<1>(to), fetch_ahead<1>(to + kLanes<T>);
          const Vec<T> zero{}, a = at == place ? d : zero, b = at == place + 1 ? d : zero;
          pair.store_to(to, {zip_low(a, b), zip_high(a, b)});
        };
        put(dx + 2 * w, Mask<T>{});
        put(dx + row + 2 * w, below);
      }
  }
  if constexpr (sizeof(T) == 4) strange |= odd_lanes(far, far);
  for (int i = 0; i < kLanes<T>; ++i)
    if (strange[i]) return false;
  return true;
}

}  // namespace

template <class T>
const PoolTileFunctions<T> PoolTileTable<T>::functions = {{join_tiles<Max, T, 2>, join_tiles<Max, T, 4>},
                                                          {join_tiles<Sum, T, 2>, join_tiles<Sum, T, 4>},
                                                          {spread_tiles<T, 2>, spread_tiles<T, 4>},
                                                          {halve_grad<T, false>, halve_grad<T, true>}};
template struct PoolTileTable<float>;
template struct PoolTileTable<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
