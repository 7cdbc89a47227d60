#include "kernels/pool/tiles.hpp"

#include "kernels/masked.hpp"
#include "kernels/pool/ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// A vector of windows from kStride vectors of columns; sums in the columns' order, as other kernels make them.
template <class Op, class V, int kStride>
FASTCONV_INLINE V join_tile(const V (&c)[kStride]) {
  auto join = [](V a, V b) FASTCONV_LAMBDA { return Op::join(Plain<V, V>{a}, Plain<V, V>{b}).v; };
  constexpr int P = kPart<V, kStride>;
  using Lanes = LanesOf<V>;
  auto even = [](V a, V b) FASTCONV_LAMBDA { return every_second<P, 0>(a, b, Lanes{}); };
  auto odd = [](V a, V b) FASTCONV_LAMBDA { return every_second<P, 1>(a, b, Lanes{}); };
  V v;
  if constexpr (kStride == 2) {
    v = join(even(c[0], c[1]), odd(c[0], c[1]));
  } else {
    const V evens[2] = {even(c[0], c[1]), even(c[2], c[3])}, odds[2] = {odd(c[0], c[1]), odd(c[2], c[3])};
    v = join(join(join(even(evens[0], evens[1]), even(odds[0], odds[1])), odd(evens[0], evens[1])),
             odd(odds[0], odds[1]));
  }
  return by_groups<P, kStride>(v, Lanes{});
}

// rows(part of a row of windows, parts of one of their elements). Where a loop of vectors costs the least, it has a
// copy that asks for no lanes.
template <int kStride, class T, class Rows>
FASTCONV_INLINE void by_parts(int64_t columns, Rows rows) {
  if (sizeof(T) == 4 && FASTCONV_VEC_BYTES == 32 && columns >= kLanes<T>)
    rows(RowPart<T>(), RowParts<T, kStride>(kStride * kLanes<T>));
  else rows(RowPart<T>(columns), RowParts<T, kStride>(kStride * columns));
}

template <class Op, class T, int kStride>
void join_tiles(const PoolTiles<T>& call) {
  using C = VecCell<Op, T>;
  const PoolTiles<T> g = call;  // a copy, which no store can change
  const Vec<T> factor = splat(g.factor);
  by_parts<kStride, T>(g.columns, [&](const RowPart<T>& out, const RowParts<T, kStride>& in) FASTCONV_LAMBDA {
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
  const Vec<T> row_weight = splat(g.row_weight), weight = splat(g.weight);
  const T* end = g.dx + g.rows * g.height * row;
  by_parts<kStride, T>(g.columns, [&](const RowPart<T>& in, const RowParts<T, kStride>& out) FASTCONV_LAMBDA {
    const T* dy = g.dy;
    T* dx = g.dx;
    for (int64_t h = 0; h < g.rows; ++h, dy += g.columns, dx += g.height * row)
      by_blocks<T>(g.columns, [&](int64_t w) FASTCONV_LAMBDA {
        Vec<T> part[kStride];
        spread_lanes(in.load_from(dy + w) * row_weight * weight, part);
        T* to = dx + kStride * w;
        for (int64_t i = 0; i < g.height; ++i, to += row) out.store_to(to, part, end);
      });
  });
}

// The gradient of maxima of 2x2 elements: an element wins one window at most, so that nothing is added.

template <class T>
FASTCONV_INLINE Mask<T> beats(Vec<T> later, Vec<T> best) {
  return (later > best) | ((later != later) & (best == best));
}
// What is in one lane of both: in parts, to which `in_parts` brings what is in order.
template <int kOdd, class V>
FASTCONV_INLINE V halved(V a, V b) {
  return every_second<kHalved<V>, kOdd>(a, b, LanesOf<V>{});
}
template <class V>
FASTCONV_INLINE V in_parts(V v) {
  return into_groups<kHalved<V>, 2>(v, LanesOf<V>{});
}
// Where in its window the winner stands: 0 or 1, or those plus `below`.
template <class T>
FASTCONV_INLINE Mask<T> find_winners(const Vec<T> (&upper)[2], const Vec<T> (&lower)[2], Mask<T> below) {
  const Vec<T> first = halved<0>(upper[0], upper[1]), second = halved<1>(upper[0], upper[1]);
  const Vec<T> third = halved<0>(lower[0], lower[1]), fourth = halved<1>(lower[0], lower[1]);
  const Mask<T> right = beats<T>(second, first), lower_right = beats<T>(fourth, third);
  const Mask<T> is_lower = beats<T>(lower_right ? fourth : third, right ? second : first);
  return ((is_lower ? lower_right : right) & 1) + (is_lower & below);
}

template <class T, bool kGiven>
bool halve_grad(const PoolHalvesGrad<T>& call) {
  const PoolHalvesGrad<T> g = call;
  const int64_t n = g.columns, row = 2 * n;
  const RowParts<double, 8 / sizeof(T)> positions(n);  // whose bits are moved only
  const Mask<T> below = splat_position<T>(row), there = in_parts(first_lanes<T>(n));
  Mask<T> strange{}, far{};  // positions beside their windows, and halves of what does not fit 32 bits
  by_parts<2, T>(n, [&](const RowPart<T>& outputs, const RowParts<T, 2>& pair) FASTCONV_LAMBDA {
    const T *plane = g.x, *dy = g.dy;
    const auto* index = reinterpret_cast<const double*>(g.index);
    T* dx = g.dx;
    for (int64_t p = 0; p < g.planes; ++p, plane += g.x_plane) {
      const T* x = plane;
      Mask<T> first = 2 * in_parts(lane_numbers<T>());
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
              at = halved<0>(at, (Mask<T>)given[1]);
            } else {
              at = in_parts(at);
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
          const Vec<T> d = in_parts(outputs.load_from(dy + w));
          fetch_ahead(dy + w);
          auto put = [&](T* to, Mask<T> place) FASTCONV_LAMBDA {
            constexpr int P = kHalved<Vec<T>>;
            fetch_ahead<1>(to), fetch_ahead<1>(to + kLanes<T>);
            const Vec<T> zero{}, a = at == place ? d : zero, b = at == place + 1 ? d : zero;
            pair.store_to(to, {zipped<P, 0>(a, b, LanesOf<Vec<T>>{}), zipped<P, 1>(a, b, LanesOf<Vec<T>>{})});
          };
          put(dx + 2 * w, Mask<T>{});
          put(dx + row + 2 * w, below);
        }
    }
  });
  if constexpr (sizeof(T) == 4) strange |= odd_lanes(far, far);
  for (int i = 0; i < kLanes<T>; ++i)
    if (strange[i]) return false;
  return true;
}

// The oldest rung has those of two columns in float32 alone.
template <class T>
constexpr PoolTileFunctions<T> make_functions() {
  if constexpr (kSmallCode && sizeof(T) == 8) return {};
  else if constexpr (kSmallCode)
    return {{join_tiles<Max, T, 2>}, {join_tiles<Sum, T, 2>}, {spread_tiles<T, 2>}, {halve_grad<T, false>}};
  else
    return {{join_tiles<Max, T, 2>, join_tiles<Max, T, 4>},
            {join_tiles<Sum, T, 2>, join_tiles<Sum, T, 4>},
            {spread_tiles<T, 2>, spread_tiles<T, 4>},
            {halve_grad<T, false>, halve_grad<T, true>}};
}

}  // namespace

template <class T>
const PoolTileFunctions<T> PoolTileTable<T>::functions = make_functions<T>();
template struct PoolTileTable<float>;
template struct PoolTileTable<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
