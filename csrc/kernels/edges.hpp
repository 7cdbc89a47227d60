// Vectors that reach over the end of what they are meant for.
#pragma once
#include "kernels/masked.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The first n lanes to p (n < a vector's), and nothing else.
template <class T>
FASTCONV_INLINE void store_part(T* p, Vec<T> v, int64_t n) {
#if defined(__AVX512F__)
  store_lanes(p, v, LaneRange<T>(0, n));
#else
  store_first(p, v, n);
#endif
}
// n elements to p; what lies behind them, but before `end`, may be overwritten.
template <class T>
FASTCONV_INLINE void store_some(T* p, Vec<T> v, int64_t n, const T* end) {
  if (n >= kLanes<T> || (n > 0 && end - p >= kLanes<T>)) store(p, v);
  else if (n > 0) store_part(p, v, n);
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
