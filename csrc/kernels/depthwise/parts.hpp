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

// Of a vector at element `at` of a line the lanes within it, at most so many, the others zero: only they are read,
// unless a rung cannot; then all may be.
template <class T>
class Part {
 public:
#if defined(__AVX2__)
  FASTCONV_INLINE Part(int64_t at, int64_t width, int64_t most = kLanes<T>)
      : lanes_(LaneRange<T>::within(at, 0, width - at < most ? width : at + most)) {}
  FASTCONV_INLINE Vec<T> load(const T* p) const { return load_lanes(p, lanes_); }

 private:
  LaneRange<T> lanes_;
#else
  FASTCONV_INLINE Part(int64_t at, int64_t width, int64_t most = kLanes<T>)
      : lanes_(first_lanes<T>(width - at < most ? width - at : most) & ~first_lanes<T>(-at)) {}
  FASTCONV_INLINE Vec<T> load(const T* p) const { return lanes_ ? FASTCONV_ISA_NS::load(p) : Vec<T>{}; }

 private:
  Mask<T> lanes_;
#endif
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
