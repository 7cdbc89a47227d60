// Some lanes of a vector to and from memory, by the instructions made for it where the rung has them: the others are
// neither read nor written.
#pragma once
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// Lanes [first, first + n).
template <class T>
struct LaneRange {
#if defined(__AVX512F__)
  unsigned bits;
  FASTCONV_INLINE LaneRange(int64_t first, int64_t n) : bits(((1u << n) - 1u) << first) {}  // n up to a vector's
#elif defined(__AVX2__)
  Mask<T> lanes;
  FASTCONV_INLINE LaneRange(int64_t first, int64_t n) : lanes(first_lanes<T>(first + n) & ~first_lanes<T>(first)) {}
#else
  int64_t begin, count;
  FASTCONV_INLINE LaneRange(int64_t first, int64_t n) : begin(first), count(n) {}
#endif
};

#if defined(__AVX512F__)
FASTCONV_INLINE Vec<float> load_lanes(const float* p, LaneRange<float> r) {
  return __builtin_ia32_loadups512_mask(p, Vec<float>{}, static_cast<unsigned short>(r.bits));
}
FASTCONV_INLINE Vec<double> load_lanes(const double* p, LaneRange<double> r) {
  return __builtin_ia32_loadupd512_mask(p, Vec<double>{}, static_cast<unsigned char>(r.bits));
}
FASTCONV_INLINE void store_lanes(float* p, Vec<float> v, LaneRange<float> r) {
  __builtin_ia32_storeups512_mask(p, v, static_cast<unsigned short>(r.bits));
}
FASTCONV_INLINE void store_lanes(double* p, Vec<double> v, LaneRange<double> r) {
  __builtin_ia32_storeupd512_mask(p, v, static_cast<unsigned char>(r.bits));
}
#elif defined(__AVX2__)
typedef long long LongLanes __attribute__((vector_size(FASTCONV_VEC_BYTES)));
FASTCONV_INLINE Vec<float> load_lanes(const float* p, const LaneRange<float>& r) {
  return __builtin_ia32_maskloadps256(reinterpret_cast<const Vec<float>*>(p), r.lanes);
}
FASTCONV_INLINE Vec<double> load_lanes(const double* p, const LaneRange<double>& r) {
  return __builtin_ia32_maskloadpd256(reinterpret_cast<const Vec<double>*>(p), reinterpret_cast<LongLanes>(r.lanes));
}
FASTCONV_INLINE void store_lanes(float* p, Vec<float> v, const LaneRange<float>& r) {
  __builtin_ia32_maskstoreps256(reinterpret_cast<Vec<float>*>(p), r.lanes, v);
}
FASTCONV_INLINE void store_lanes(double* p, Vec<double> v, const LaneRange<double>& r) {
  __builtin_ia32_maskstorepd256(reinterpret_cast<Vec<double>*>(p), reinterpret_cast<LongLanes>(r.lanes), v);
}
#else
template <class T>
FASTCONV_INLINE Vec<T> load_lanes(const T* p, LaneRange<T> r) {
  T lanes[kLanes<T>] = {};
  for (int64_t i = r.begin; i < r.begin + r.count; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <class T>
FASTCONV_INLINE void store_lanes(T* p, Vec<T> v, LaneRange<T> r) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t i = r.begin; i < r.begin + r.count; ++i) p[i] = lanes[i];
}
#endif

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
