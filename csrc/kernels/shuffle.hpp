// Lanes of two vectors moved on, those of every second or third element apart and together again, all of one vector
// added.
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

// Of each part of P lanes every second one of a, then of b.
template <int P, int kOdd, class V, int... I>
FASTCONV_INLINE V every_second(V a, V b, LaneList<I...>) {
  constexpr int n = sizeof...(I), half = P / 2;
  return __builtin_shufflevector(a, b, (I / P * P + I % half * 2 + kOdd + I % P / half * n)...);
}
// Where parts hold S groups of lanes each: the first group of all parts, then the second, and so forth.
template <int P, int S, class V, int... I>
FASTCONV_INLINE V by_groups(V v, LaneList<I...>) {
  constexpr int n = sizeof...(I), group = P > S ? P / S : 1, parts = n / P;
  return __builtin_shufflevector(v, v, (I / group % parts * P + I / group / parts * group + I % group)...);
}
// The other way round.
template <int P, int S, class V, int... I>
FASTCONV_INLINE V into_groups(V v, LaneList<I...>) {
  constexpr int n = sizeof...(I), group = P > S ? P / S : 1, parts = n / P;
  return __builtin_shufflevector(v, v, (I % P / group * parts * group + I / P * group + I % group)...);
}
// Of each part of P lanes one half, of a and b in turn.
template <int P, int kHigh, class V, int... I>
FASTCONV_INLINE V zipped(V a, V b, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, (I / P * P + kHigh * P / 2 + I % P / 2 + I % 2 * n)...);
}

template <class V>
constexpr int kLanesIn = sizeof(V) / sizeof(V{}[0]);
// Parts whose lanes move by one instruction each, which S elements of a window must stand in.
template <class V, int S>
constexpr int kPart = S * sizeof(V{}[0]) <= 16 ? 16 / sizeof(V{}[0]) : kLanesIn<V>;
// Every second lane of two vectors: in parts and then in order that takes two instructions and no index, which GCC does
// not see; 64 bytes move at once.
#if defined(__AVX2__) && !defined(__AVX512F__)
template <class V>
constexpr int kHalved = kPart<V, 2>;
#else
template <class V>
constexpr int kHalved = kLanesIn<V>;
#endif

// Every second lane of a, then of b.
template <int kOdd, class V>
FASTCONV_INLINE V every_second(V a, V b) {
  using Lanes = LanesOf<V>;
  constexpr int P = kHalved<V>;
  return by_groups<P, 2>(every_second<P, kOdd>(a, b, Lanes{}), Lanes{});
}
template <class V>
FASTCONV_INLINE V even_lanes(V a, V b) {
  return every_second<0>(a, b);
}
template <class V>
FASTCONV_INLINE V odd_lanes(V a, V b) {
  return every_second<1>(a, b);
}
// a0 b0 a1 b1 ..., the low and the high half.
template <class V>
FASTCONV_INLINE V zip_low(V a, V b) {
  return zipped<kLanesIn<V>, 0>(a, b, LanesOf<V>{});
}
template <class V>
FASTCONV_INLINE V zip_high(V a, V b) {
  return zipped<kLanesIn<V>, 1>(a, b, LanesOf<V>{});
}

// The same part by part of 16 bytes, which takes one instruction, of lanes whose middle quarters have changed places,
// or for such. They do by `apart`, and once more to be as before.
template <class V>
FASTCONV_INLINE V apart(V v) {
  typedef double Quarters __attribute__((vector_size(32)));
  if constexpr (sizeof(V) != sizeof(Quarters)) return v;
  else
    return reinterpret_cast<V>(
        __builtin_shufflevector(reinterpret_cast<Quarters>(v), reinterpret_cast<Quarters>(v), 0, 2, 1, 3));
}
template <int kOdd, class V>
FASTCONV_INLINE V every_second_apart(V a, V b) {
  return every_second<kPart<V, 2>, kOdd>(a, b, LanesOf<V>{});
}
template <int kHigh, class V>
FASTCONV_INLINE V zipped_apart(V a, V b) {
  return zipped<kPart<V, 2>, kHigh>(a, b, LanesOf<V>{});
}

template <int kFirst, class V, int... I>
FASTCONV_INLINE V every_third(V a, V b, V c, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  const V two = __builtin_shufflevector(a, b, (3 * I + kFirst < 2 * n ? 3 * I + kFirst : 0)...);
  return __builtin_shufflevector(two, c, (3 * I + kFirst < 2 * n ? I : 3 * I + kFirst - n)...);
}
template <int kThird, class V, int... I>
FASTCONV_INLINE V zipped(V a, V b, V c, LaneList<I...>) {
  constexpr int n = sizeof...(I), first = kThird * n;
  const V two = __builtin_shufflevector(a, b, ((first + I) / 3 + (first + I) % 3 % 2 * n)...);
  return __builtin_shufflevector(two, c, ((first + I) % 3 == 2 ? n + (first + I) / 3 : I)...);
}
// Every third lane of three vectors, from lane kFirst on.
template <int kFirst, class V>
FASTCONV_INLINE V third_lanes(V a, V b, V c) {
  return every_third<kFirst>(a, b, c, LanesOf<V>{});
}
// a0 b0 c0 a1 b1 c1 ..., the part kThird of it.
template <int kThird, class V>
FASTCONV_INLINE V zip_three(V a, V b, V c) {
  return zipped<kThird>(a, b, c, LanesOf<V>{});
}

// Lanes S and on of a, then those of b.
#if defined(__AVX512F__) && \
    !defined(__clang__)  // GCC would take the permutation, which needs an index and overwrites it
template <int S>
FASTCONV_INLINE Vec<float> moved_on(Vec<float> a, Vec<float> b) {
  typedef int Lanes __attribute__((vector_size(64)));
  return reinterpret_cast<Vec<float>>(__builtin_ia32_alignd512_mask(
      reinterpret_cast<Lanes>(b), reinterpret_cast<Lanes>(a), S, Lanes{}, static_cast<unsigned short>(-1)));
}
template <int S>
FASTCONV_INLINE Vec<double> moved_on(Vec<double> a, Vec<double> b) {
  typedef long long Lanes __attribute__((vector_size(64)));
  return reinterpret_cast<Vec<double>>(__builtin_ia32_alignq512_mask(
      reinterpret_cast<Lanes>(b), reinterpret_cast<Lanes>(a), S, Lanes{}, static_cast<unsigned char>(-1)));
}
#else
template <int S, class V, int... I>
FASTCONV_INLINE V shifted(V a, V b, LaneList<I...>) {
  return __builtin_shufflevector(a, b, (I + S)...);
}
template <int S, class V>
FASTCONV_INLINE V moved_on(V a, V b) {
  return shifted<S>(a, b, LanesOf<V>{});
}
#endif

// The sum of all lanes.
template <int S, class V, int... I>
FASTCONV_INLINE V exchanged(V a, LaneList<I...>) {
  return __builtin_shufflevector(a, a, (I ^ S)...);
}
template <class T, int S = kLanes<T> / 2>
FASTCONV_INLINE T add_lanes(Vec<T> v) {
  if constexpr (S == 0) return v[0];
  else return add_lanes<T, S / 2>(v + exchanged<S>(v, LanesOf<Vec<T>>{}));
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
