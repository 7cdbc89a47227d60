// A vector type, not intrinsics: GCC/Clang vector extensions, as wide as the compile flags of the rung allow.
// Kernel files include nothing of the standard library but integer headers, and keep everything in their rung's
// namespace: an inline function shared between rungs could be linked in from the wrong one.
#pragma once
#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#define FASTCONV_VEC_BYTES 64
#define FASTCONV_VEC_REGISTERS 32
#elif defined(__AVX2__)
#define FASTCONV_VEC_BYTES 32
#define FASTCONV_VEC_REGISTERS 16
#elif defined(__aarch64__)
#define FASTCONV_VEC_BYTES 16
#define FASTCONV_VEC_REGISTERS 32
#else
#define FASTCONV_VEC_BYTES 16
#define FASTCONV_VEC_REGISTERS 16
#endif

#define FASTCONV_INLINE inline __attribute__((always_inline))
#define FASTCONV_LAMBDA __attribute__((always_inline))

namespace fastconv {
namespace FASTCONV_ISA_NS {

// Few small registers, as only the oldest processors have: fewer tiles and bands, a fifth slower at most; of Winograd's
// and of pools' tiles the most common ones alone.
constexpr bool kSmallCode = FASTCONV_VEC_BYTES == 16 && FASTCONV_VEC_REGISTERS == 16;

template <class T>
struct VecTypes;
template <>
struct VecTypes<float> {
  typedef float vec __attribute__((vector_size(FASTCONV_VEC_BYTES)));
  typedef float loose __attribute__((vector_size(FASTCONV_VEC_BYTES), aligned(4), may_alias));
  typedef int32_t mask __attribute__((vector_size(FASTCONV_VEC_BYTES)));
};
template <>
struct VecTypes<double> {
  typedef double vec __attribute__((vector_size(FASTCONV_VEC_BYTES)));
  typedef double loose __attribute__((vector_size(FASTCONV_VEC_BYTES), aligned(8), may_alias));
  typedef int64_t mask __attribute__((vector_size(FASTCONV_VEC_BYTES)));
};

template <class T>
using Vec = typename VecTypes<T>::vec;
template <class T>
using Mask = typename VecTypes<T>::mask;  // lanes of all ones or all zeros, as comparisons give

template <class T>
constexpr int kLanes = FASTCONV_VEC_BYTES / static_cast<int>(sizeof(T));

// v, or a where that is a NaN.
template <class V>
FASTCONV_INLINE V or_nan(V v, V a) {
  return a == a ? v : a;
}
#if defined(__AVX512F__)  // one instruction: of eight kinds of a, the first two are NaNs
FASTCONV_INLINE Vec<float> or_nan(Vec<float> v, Vec<float> a) {
  return __builtin_ia32_fixupimmps512_mask(v, a, Mask<float>{} + 0x11, 0, static_cast<unsigned short>(-1), 4);
}
FASTCONV_INLINE Vec<double> or_nan(Vec<double> v, Vec<double> a) {
  typedef long long Kinds __attribute__((vector_size(FASTCONV_VEC_BYTES)));
  return __builtin_ia32_fixupimmpd512_mask(v, a, Kinds{} + 0x11, 0, static_cast<unsigned char>(-1), 4);
}
#endif

// The larger or the smaller of both, or a where either is a NaN.
template <class V>
FASTCONV_INLINE V larger(V b, V a) {
  return b > a ? b : a;
}
template <class V>
FASTCONV_INLINE V smaller(V b, V a) {
  return b < a ? b : a;
}
#if defined(__AVX2__) && !defined(__AVX512F__)  // which GCC, where or_nan() follows, does not take for one instruction
FASTCONV_INLINE Vec<float> larger(Vec<float> b, Vec<float> a) { return __builtin_ia32_maxps256(b, a); }
FASTCONV_INLINE Vec<double> larger(Vec<double> b, Vec<double> a) { return __builtin_ia32_maxpd256(b, a); }
FASTCONV_INLINE Vec<float> smaller(Vec<float> b, Vec<float> a) { return __builtin_ia32_minps256(b, a); }
FASTCONV_INLINE Vec<double> smaller(Vec<double> b, Vec<double> a) { return __builtin_ia32_minpd256(b, a); }
#endif

template <class T>
FASTCONV_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecTypes<T>::loose*>(p);
}
template <class T>
FASTCONV_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecTypes<T>::loose*>(p) = v;
}
template <class T>
FASTCONV_INLINE Vec<T> splat(T s) {
  return s - Vec<T>{};  // not s + {}: that would turn -0 into 0
}
// Cut to [low, high]; what is no number stays so.
template <class T, int N>
FASTCONV_INLINE void clamp_all(T low, T high, Vec<T> (&v)[N]) {
  const Vec<T> least = splat(low), most = splat(high);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) {
    v[i] = v[i] < least ? least : v[i];
    v[i] = v[i] > most ? most : v[i];
  }
}
// Lanes below n are set.
template <class T>
FASTCONV_INLINE Mask<T> first_lanes(int64_t n) {
  Mask<T> lane;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane < (lane - lane + static_cast<decltype(lane[0] + 0)>(n < kLanes<T> ? n : kLanes<T>));
}
// n elements (n < a vector's) from p to q: one move for each bit of n, no call and no loop.
template <class T, int Step = kLanes<T> / 2>
FASTCONV_INLINE void copy_first(T* q, const T* p, int64_t n) {
  if constexpr (Step > 0) {
    if (n & Step) __builtin_memcpy(q, p, Step * sizeof(T)), q += Step, p += Step;
    copy_first<T, Step / 2>(q, p, n);
  }
}
template <class T>
FASTCONV_INLINE void store_first(T* p, Vec<T> v, int64_t n) {
  T lanes[kLanes<T>];
  store(lanes, v);
  copy_first(p, static_cast<const T*>(lanes), n);
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
