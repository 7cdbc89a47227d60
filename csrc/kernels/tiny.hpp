// Whole problems in plain loops (TinyConv, kernels/conv.hpp).
#pragma once
#include "kernels/conv.hpp"
#include "kernels/masked.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// acc[v] += w * src[columns[v * k] * step], zeros where a column is negative, for v in [0, n).
template <class T>
FASTCONV_INLINE void add_tap(T* acc, int64_t n, T w, const T* src, const int32_t* columns, int64_t k, int64_t step,
                             bool unit_stride) {
  const int64_t first = columns[0];
  if (unit_stride && step == 1 && first >= 0 &&
      columns[(n - 1) * k] == first + n - 1) {  // so far only inside the image
    for (int64_t v = 0; v < n; ++v) acc[v] += w * src[first + v];
  } else {
    for (int64_t v = 0; v < n; ++v) acc[v] += w * (columns[v * k] >= 0 ? src[columns[v * k] * step] : T(0));
  }
}

// The sums of a line of outputs, one by one.
template <class T>
struct TinySums {
  const TinyConv<T>& p;
  T acc[kTinyIndices];
  explicit FASTCONV_INLINE TinySums(const TinyConv<T>& all) : p(all) {}
  FASTCONV_INLINE void begin(T bias) {
    for (int64_t v = 0; v < p.out[2]; ++v) acc[v] = bias;
  }
  // Of tap l, and the line that stands under it or null for zeros.
  FASTCONV_INLINE void add(int64_t l, T tap, const T* line) {
    if (line) add_tap(acc, p.out[2], tap, line, p.index[2] + l, p.k[2], p.xs[4], p.unit_stride);
    else
      for (int64_t v = 0; v < p.out[2]; ++v) acc[v] += tap * T(0);
  }
  FASTCONV_INLINE void end(T* y) const {
    for (int64_t v = 0; v < p.out[2]; ++v) {
      const T sum = acc[v];
      y[v * p.ys[4]] = !p.clamp ? sum : sum < p.low ? p.low : sum > p.high ? p.high : sum;
    }
  }
};

// In a vector, where a line is no longer and each tap reads neighbours.
template <class T>
struct TinyVector {
  const TinyConv<T>& p;
  Vec<T> acc;
  struct {
    int32_t from, begin, count;  // outputs [begin, begin + count) are inside, output v above element from + v
  } taps[kTinyIndices];
  explicit FASTCONV_INLINE TinyVector(const TinyConv<T>& all) : p(all) {}

  // Whether it is so.
  FASTCONV_INLINE bool suits() {
    if (!p.unit_stride || p.xs[4] != 1 || p.ys[4] != 1 || p.out[2] > kLanes<T>) return false;
    const int32_t n = static_cast<int32_t>(p.out[2]);
    for (int64_t l = 0; l < p.k[2]; ++l) {
      const auto column = [&](int32_t v) FASTCONV_LAMBDA { return p.index[2][v * p.k[2] + l]; };
      int32_t begin = 0, end = n;
      while (begin < n && column(begin) < 0) ++begin;
      while (end > begin && column(end - 1) < 0) --end;
      taps[l] = {begin < end ? column(begin) - begin : 0, begin, end - begin};
      for (int32_t v = begin; v < end; ++v)
        if (column(v) != taps[l].from + v) return false;
    }
    return true;
  }
  FASTCONV_INLINE void begin(T bias) { acc = splat(bias); }
  FASTCONV_INLINE void add(int64_t l, T tap, const T* line) {
    const auto& t = taps[l];
    acc += splat(tap) * (line ? load_lanes(line + t.from, LaneRange<T>(t.begin, t.count)) : Vec<T>{});
  }
  FASTCONV_INLINE void end(T* y) const {
    Vec<T> sum[1] = {acc};
    if (p.clamp) clamp_all<T, 1>(p.low, p.high, sum);
    store_lanes(y, sum[0], LaneRange<T>(0, p.out[2]));
  }
};

template <class T, class Sums>
FASTCONV_INLINE void tiny_lines(const TinyConv<T>& p, Sums& sums) {
  for (int64_t n = 0; n < p.images; ++n)
    for (int64_t o = 0; o < p.groups * p.rows; ++o)
      for (int64_t d = 0; d < p.out[0]; ++d)
        for (int64_t h = 0; h < p.out[1]; ++h) {
          sums.begin(p.bias ? p.bias[o * p.bias_stride] : T(0));
          for (int64_t c = 0; c < p.channels; ++c) {
            const T* x = p.x + n * p.xs[0] + (o / p.rows * p.channels + c) * p.xs[1];
            const T* w = p.w + o * p.ws[0] + c * p.ws[1];
            for (int64_t i = 0; i < p.k[0]; ++i)
              for (int64_t j = 0; j < p.k[1]; ++j) {
                const int64_t xd = p.index[0][d * p.k[0] + i], xh = p.index[1][h * p.k[1] + j];
                const T* line = xd >= 0 && xh >= 0 ? x + xd * p.xs[2] + xh * p.xs[3] : nullptr;
                for (int64_t l = 0; l < p.k[2]; ++l) sums.add(l, w[i * p.ws[2] + j * p.ws[3] + l * p.ws[4]], line);
              }
          }
          sums.end(p.y + n * p.ys[0] + o * p.ys[1] + d * p.ys[2] + h * p.ys[3]);
        }
}

template <class T>
void tiny(const TinyConv<T>& p) {
#if defined(__AVX2__)  // which reads parts of vectors
  if constexpr (sizeof(T) == 4) {
    TinyVector<T> vector(p);
    if (vector.suits()) return tiny_lines(p, vector);
  }
#endif
  TinySums<T> sums(p);
  tiny_lines(p, sums);
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
