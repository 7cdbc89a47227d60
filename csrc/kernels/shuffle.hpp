// Even and odd lanes of two vectors, apart and together again.
#pragma once
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <int... I>
struct LaneList {};
template <int N, int... I>
struct MakeLanes : MakeLanes<N - 1, N - 1, I...> {};
template <int... I>
struct MakeLanes<0, I...> {
  using list = LaneList<I...>;
};
template <class V>
using LanesOf = typename MakeLanes<static_cast<int>(sizeof(V) / sizeof(V{}[0]))>::list;

template <int kOdd, class V, int... I>
FASTCONV_INLINE V every_second(V a, V b, LaneList<I...>) {
  return __builtin_shufflevector(a, b, (2 * I + kOdd)...);
}
template <int kHigh, class V, int... I>
FASTCONV_INLINE V zipped(V a, V b, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, (kHigh * n / 2 + I / 2 + I % 2 * n)...);
}

template <class V>
FASTCONV_INLINE V even_lanes(V a, V b) {
  return every_second<0>(a, b, LanesOf<V>{});
}
template <class V>
FASTCONV_INLINE V odd_lanes(V a, V b) {
  return every_second<1>(a, b, LanesOf<V>{});
}
// a0 b0 a1 b1 ..., the low and the high half.
template <class V>
FASTCONV_INLINE V zip_low(V a, V b) {
  return zipped<0>(a, b, LanesOf<V>{});
}
template <class V>
FASTCONV_INLINE V zip_high(V a, V b) {
  return zipped<1>(a, b, LanesOf<V>{});
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
