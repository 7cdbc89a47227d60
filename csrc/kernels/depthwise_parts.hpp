// Vectors of a line, whole ones and those that reach beyond its ends.
#pragma once
#include "kernels/masked.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The compiler would load some lines twice, as operands of their products: across cache lines each load counts twice.
#if defined(__AVX2__)
#define FASTCONV_LOADED(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define FASTCONV_LOADED(v) __asm__("" : "+w"(v))
#else
#define FASTCONV_LOADED(v)
#endif

// Whether squares at a stride of two, and images where they stand, are read in parts of vectors.
#if defined(__AVX2__)
constexpr bool kReadsParts = true;
#else
constexpr bool kReadsParts = false;
#endif

// Some lanes of vectors, the others zero: only they are read, unless a rung cannot; then all may be.
template <class T>
struct Part {
  LaneRange<T> lanes;
  Mask<T> keep;
  // Those of a vector at element `at` of a line that are within it.
  FASTCONV_INLINE Part(int64_t at, int64_t width, int64_t most = kLanes<T>) : Part(range(at, width, most)) {}
  FASTCONV_INLINE Vec<T> load(const T* p) const {
    if constexpr (kReadsParts) return load_lanes(p, lanes);
    else return keep ? isa_load(p) : Vec<T>{};
  }

 private:
  struct Range {
    int64_t first, n;
  };
  static FASTCONV_INLINE Vec<T> isa_load(const T* p) { return FASTCONV_ISA_NS::load(p); }
  static FASTCONV_INLINE Range range(int64_t at, int64_t width, int64_t most) {
    const int64_t first = at < 0 ? (at < -most ? most : -at) : 0, left = width - at, end = left < most ? left : most;
    return {first, end > first ? end - first : 0};
  }
  FASTCONV_INLINE explicit Part(Range r)
      : lanes(r.first, r.n), keep(first_lanes<T>(r.first + r.n) & ~first_lanes<T>(r.first)) {}
};
// All lanes.
template <class T>
struct Whole {
  FASTCONV_INLINE Whole(int64_t, int64_t, int64_t = 0) {}
  FASTCONV_INLINE Vec<T> load(const T* p) const { return FASTCONV_ISA_NS::load(p); }
};

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
