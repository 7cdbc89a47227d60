// Convolution of few channels a group, compiled once per rung.
#include "kernels/depthwise/depthwise.hpp"

#include "kernels/depthwise/band_dots.hpp"
#include "kernels/depthwise/bands.hpp"
#include "kernels/depthwise/line.hpp"
#include "kernels/depthwise/scale.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Lane i: the sum of vector i's lanes, added as add_lanes does. Every second vector first,
// from `step` vectors apart on.
template <class T, int N = kLanes<T>, int step = 1>
FASTCONV_INLINE Vec<T> sums_of_vectors(const T* v) {
  if constexpr (N == 1) {
    return load(v);
  } else {
    const Vec<T> even = sums_of_vectors<T, N / 2, 2 * step>(v),
                 odd = sums_of_vectors<T, N / 2, 2 * step>(v + step * kLanes<T>);
    return zip_low(even, odd) + zip_high(even, odd);
  }
}
template <class T>
void lane_sums(T* dst, const T* sums, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) store(dst + i, sums_of_vectors<T>(sums + i * kLanes<T>));
  for (; i < count; ++i) dst[i] = add_lanes<T>(load(sums + i * kLanes<T>));
}

template <class T>
void unpack(T* d, int64_t step, const T* even, const T* odd, int64_t n) {
  constexpr int64_t VL = kLanes<T>;
  if (!odd) {
    for (int64_t i = 0; i < n; ++i) d[i * step] = even[i];
  } else if (step != 1) {
    for (int64_t i = 0; i < n; ++i) d[i * step] = i % 2 ? odd[i / 2] : even[i / 2];
  } else {
    for (int64_t i = 0; i < n; i += 2 * VL, even += VL, odd += VL) {
      const Vec<T> e = load(even), o = load(odd), low = zip_low(e, o), high = zip_high(e, o);
      const int64_t left = n - i;
      if (left >= 2 * VL) {
        store(d + i, low);
        store(d + i + VL, high);
      } else {
        store_lanes(d + i, low, LaneRange<T>(0, left < VL ? left : VL));
        if (left > VL) store_lanes(d + i + VL, high, LaneRange<T>(0, left - VL));
      }
    }
  }
}

template <class T>
constexpr DepthwiseKernelsOf<T> make_kernels() {
  constexpr int most = kMostRows<T>;
  return {kLanes<T>,
          most,
          kRunTaps,
          kReadsParts,
          {band<T, 1>, band<T, 4>, band<T, most>},
          {band_dots<T, 1>, band_dots<T, 4>, band_dots<T, most>},
          kLineVectors * kLanes<T>,
          kFused ? line<T> : nullptr,
          kFused && sizeof(T) == 4 ? scale<T> : nullptr,
          kFused && sizeof(T) == 4 ? plane_dots<T> : nullptr,
          lane_sums<T>,
          unpack<T>};
}

}  // namespace

const DepthwiseKernels& depthwise_kernels() {
  static constexpr DepthwiseKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
