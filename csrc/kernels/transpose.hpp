// Transposes in squares.
#pragma once
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// A square of rows of 32 bytes, which every rung can do, or as asked for: log2(N) rounds that swap ever smaller blocks.
template <class T, int Bytes = 32>
struct Square {
  static constexpr int N = Bytes / static_cast<int>(sizeof(T));
  typedef T row __attribute__((vector_size(Bytes)));
  typedef T loose __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));

  template <int S, int... I>
  static FASTCONV_INLINE void swap(row& a, row& b, LaneList<I...>) {
    const row low = __builtin_shufflevector(a, b, ((I & S) ? N + I - S : I)...);
    b = __builtin_shufflevector(a, b, ((I & S) ? N + I : I + S)...);
    a = low;
  }
  template <int S>
  static FASTCONV_INLINE void round(row (&r)[N]) {
    if constexpr (S > 0) {
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i)
        if (!(i & S)) swap<S>(r[i], r[i + S], typename MakeLanes<N>::list{});
      round<S / 2>(r);
    }
  }
  static FASTCONV_INLINE void transpose(T* dst, int64_t ldd, const T* src, int64_t lds) {
    row r[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) r[i] = *reinterpret_cast<const loose*>(src + i * lds);
    round<N / 2>(r);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) *reinterpret_cast<loose*>(dst + i * ldd) = r[i];
  }
};

// dst[p * ldd + c] = src[c * channel_stride + p * pixel_stride], zeros for c in [channels, padded)
template <class T>
void pack_transposed(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixel_stride, int64_t pixels,
                     int64_t channels, int64_t padded) {
  constexpr int N = Square<T>::N;
  const int64_t blocked = pixel_stride == 1 && pixels >= N ? channels / N * N : 0;
  const int64_t whole = pixels / N * N;
  for (int64_t p = 0; p < pixels; p += N) {
    const int64_t rows = p < whole ? N : pixels - p;
    T* d = dst + p * ldd;
    const T* s = src + p * pixel_stride;
    if (rows == N)
      for (int64_t c = 0; c < blocked; c += N) Square<T>::transpose(d + c, ldd, s + c * channel_stride, channel_stride);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = rows == N ? blocked : 0; c < channels; ++c)
        d[i * ldd + c] = s[c * channel_stride + i * pixel_stride];
      for (int64_t c = channels; c < padded; ++c) d[i * ldd + c] = 0;
    }
  }
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
