// The sums of nine taps: products of some lanes, all lanes added up and written to where the taps stand.
#pragma once
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// a folded into the lanes whose number lacks bit S, b into the others.
template <int S, class V, int... I>
FASTCONV_INLINE V folded(V a, V b, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, ((I & S) ? n + I - S : I)...) +
         __builtin_shufflevector(a, b, ((I & S) ? n + I : I + S)...);
}
// The sums of the lanes of N vectors, lanes 2 S / N apart.
template <int N, class T, int S = kLanes<T> / 2>
FASTCONV_INLINE Vec<T> folded_all(const Vec<T>* v) {
  constexpr int half = N > 1 ? N / 2 : 1;
  if constexpr (S == 0) return *v;
  else {
    Vec<T> w[half];
#pragma GCC unroll 4
    for (int i = 0; i < half; ++i) w[i] = folded<S>(v[i], v[i + N / 2], LanesOf<Vec<T>>{});
    return folded_all<half, T, S / 2>(w);
  }
}

// Nine taps that stand in turn take two stores.
template <class T>
FASTCONV_INLINE bool in_turn(const int64_t* tap, bool adds) {
  return kLanes<T> >= 8 && !adds && tap[1] == tap[0] + 1 && tap[3] == tap[0] + 3;
}
template <class T>
FASTCONV_INLINE void write_in_turn(const Vec<T> (&sums)[9], T* dw) {
  if constexpr (kLanes<T> >= 8) {
    const Vec<T> all = folded_all<8, T>(sums);
    store_lanes(dw, kLanes<T> == 8 ? all : even_lanes(all, all), LaneRange<T>(0, 8));
    dw[8] = add_lanes<T>(sums[8]);
  }
}
// Any.
template <class T>
__attribute__((noinline)) void write_any(const Vec<T> (&sums)[9], T* dw, const int64_t* tap, bool adds) {
  if (in_turn<T>(tap, adds)) return write_in_turn<T>(sums, dw + tap[0]);
  constexpr int VL = kLanes<T>, N = VL < 8 ? VL : 8, apart = VL / N;
  T sum[8 / N * VL];
  const T ninth = add_lanes<T>(sums[8]);
#pragma GCC unroll 2
  for (int i = 0; i < 8 / N; ++i) store(sum + i * VL, folded_all<N, T>(sums + i * N));
  for (int t = 0; t < 9; ++t) dw[tap[t]] = (adds ? dw[tap[t]] : T(0)) + (t < 8 ? sum[t * apart] : ninth);
}
// By a call, for the sake of the loops it is in, unless they stand in turn and that is `kInline`.
template <bool kInline, class T>
FASTCONV_INLINE void write_sums(const Vec<T> (&acc)[9], T* dw, const int64_t* tap, bool adds) {
  if (kInline && in_turn<T>(tap, adds)) return write_in_turn<T>(acc, dw + tap[0]);
  Vec<T> sums[9];  // the others are in registers, whatever reads these
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) sums[t] = acc[t];
  write_any<T>(sums, dw, tap, adds);
}

#if defined(__AVX512F__)
// Products of some lanes.
FASTCONV_INLINE Vec<float> add_in_lanes(Vec<float> sum, Vec<float> a, Vec<float> b, unsigned bits) {
  return __builtin_ia32_vfmaddps512_mask3(a, b, sum, static_cast<unsigned short>(bits), 4);
}
FASTCONV_INLINE Vec<double> add_in_lanes(Vec<double> sum, Vec<double> a, Vec<double> b, unsigned bits) {
  return __builtin_ia32_vfmaddpd512_mask3(a, b, sum, static_cast<unsigned char>(bits), 4);
}
#endif

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
