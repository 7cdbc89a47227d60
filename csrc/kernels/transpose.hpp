// Transposes in squares.
#pragma once
#include "kernels/conv.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// A square of rows of 32 bytes or, for small code, of a vector, or as asked for: log2(N) rounds that swap ever smaller
// blocks.
template <class T, int Bytes = kSmallCode ? FASTCONV_VEC_BYTES : 32>
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
  // Of each four blocks of B lanes the even or the odd ones of a, then of b: one instruction without an index, if
  // blocks are 16 bytes of 64, or all four of them 16.
  template <int B, int kOdd, int... I>
  static FASTCONV_INLINE row alternate(row a, row b, LaneList<I...>) {
    return __builtin_shufflevector(
        a, b, (I % (4 * B) / (2 * B) * N + I / (4 * B) * 4 * B + (I / B % 2 * 2 + kOdd) * B + I % B)...);
  }
  template <int B>
  static constexpr bool kAlternates = B > 0 && (4 * B * sizeof(T) == 16 || (B * sizeof(T) == 16 && Bytes == 64));
  template <int S>
  static FASTCONV_INLINE void round(row (&r)[N]) {
    if constexpr (kAlternates<S / 2>) {  // two rounds
      typedef typename MakeLanes<N>::list Lanes;
      constexpr int B = S / 2;
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) {
        if (i & 3 * B) continue;
        row even[2], odd[2];
#pragma GCC unroll 2
        for (int k = 0; k < 2; ++k) {
          const row a = r[i + 2 * k * B], b = r[i + (2 * k + 1) * B];
          even[k] = alternate<B, 0>(a, b, Lanes{}), odd[k] = alternate<B, 1>(a, b, Lanes{});
        }
        r[i] = alternate<B, 0>(even[0], even[1], Lanes{});
        r[i + B] = alternate<B, 0>(odd[0], odd[1], Lanes{});
        r[i + 2 * B] = alternate<B, 1>(even[0], even[1], Lanes{});
        r[i + 3 * B] = alternate<B, 1>(odd[0], odd[1], Lanes{});
      }
      round<B / 2>(r);
    } else if constexpr (S > 0) {
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i)
        if (!(i & S)) swap<S>(r[i], r[i + S], typename MakeLanes<N>::list{});
      round<S / 2>(r);
    }
  }
  // The first `rows` rows of the result.
  static FASTCONV_INLINE void finish(row (&r)[N], T* dst, int64_t ldd, int64_t rows) {
    round<N / 2>(r);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i)
      if (i < rows) *reinterpret_cast<loose*>(dst + i * ldd) = r[i];
  }
  static FASTCONV_INLINE void transpose(T* dst, int64_t ldd, const T* src, int64_t lds) {
    row r[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) r[i] = *reinterpret_cast<const loose*>(src + i * lds);
    finish(r, dst, ldd, N);
  }
  // The same of some lines, the others being zeros.
  static FASTCONV_INLINE void transpose(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t lines) {
    row r[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) r[i] = i < lines ? *reinterpret_cast<const loose*>(src + i * lds) : row{};
    finish(r, dst, ldd, N);
  }
  // The same of some rows, of which the last column is at `last`.
  static FASTCONV_INLINE void transpose(T* dst, int64_t ldd, const T* src, int64_t lds, const T* last, int64_t rows) {
    row r[N];
#pragma GCC unroll 16
    for (int i = 0; i < N - 1; ++i) r[i] = *reinterpret_cast<const loose*>(src + i * lds);
    r[N - 1] = *reinterpret_cast<const loose*>(last);
    finish(r, dst, ldd, rows);
  }
};

// dst[p * ldd + c] = src[c * channel_stride + p] by squares; the last ones overlap those before. The side whose lines
// lie farther apart is gone through line by line.
template <class S, class T>
FASTCONV_INLINE void transpose_squares(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixels,
                                       int64_t channels) {
  constexpr int64_t N = S::N;
  const bool along_src = channel_stride >= (ldd < 0 ? -ldd : ldd);
  const int64_t outer = along_src ? channels : pixels, inner = along_src ? pixels : channels;
  // Behind the first square, squares of whole lines of the cache: a line that two of them share is loaded twice, or
  // comes twice where lines of many channels meet in the cache.
  const int64_t to_line = -reinterpret_cast<uintptr_t>(src) / sizeof(T) % N;
  const bool aligns = N * sizeof(T) == 64 && to_line && along_src && channel_stride % N == 0 && inner >= 4 * N;
  const int64_t second = aligns ? to_line : N;
  for (int64_t i = 0; i < outer; i += N)
    for (int64_t j = 0; j < inner; j += j ? N : second) {
      const int64_t o = i < outer - N ? i : outer - N, n = j < inner - N ? j : inner - N;
      const int64_t c = along_src ? o : n, p = along_src ? n : o;
      S::transpose(dst + p * ldd + c, ldd, src + c * channel_stride + p, channel_stride);
    }
}

// Lines that are zipped by vectors; squares take more.
template <class T>
constexpr int kZips = kSmallCode || sizeof(T) == 8 ? 3 : 4;

// A vector of each of two, three or four lines zipped.
template <int C, class T>
FASTCONV_INLINE void zip_vector(T* dst, const T* src, int64_t pitch) {
  Vec<T> v[C];
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) v[c] = load(src + c * pitch);
  if constexpr (C == 4) {
    const Vec<T> even[2] = {zip_low(v[0], v[2]), zip_high(v[0], v[2])};
    const Vec<T> odd[2] = {zip_low(v[1], v[3]), zip_high(v[1], v[3])};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      store(dst + 2 * i * kLanes<T>, zip_low(even[i], odd[i]));
      store(dst + (2 * i + 1) * kLanes<T>, zip_high(even[i], odd[i]));
    }
  } else if constexpr (C == 3) {
    store(dst, zip_three<0>(v[0], v[1], v[2]));
    store(dst + kLanes<T>, zip_three<1>(v[0], v[1], v[2]));
    store(dst + 2 * kLanes<T>, zip_three<2>(v[0], v[1], v[2]));
  } else {
    store(dst, zip_low(v[0], v[1]));
    store(dst + kLanes<T>, zip_high(v[0], v[1]));
  }
}

template <class T>
void pack_transposed(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixel_stride, int64_t pixels,
                     int64_t channels, int64_t padded);

template <class T>
__attribute__((noinline)) void zip_lines(const ZipLines<T>& z) {
  constexpr int64_t VL = kLanes<T>;
  const int64_t ways = z.ways, whole = z.n / ways;
  T *dst = z.dst, *const end = dst + (z.lines - 1) * z.dst_line + z.n + z.room;
  for (int64_t l = 0; l < z.lines; ++l, dst += z.dst_line) {
    const T* src = z.src + z.row[l];
    int64_t p = 0;
    if (ways > kZips<T>) {
      pack_transposed(dst, ways, src, z.pitch, 1, whole, ways, ways);
      p = whole;
    } else if (whole >= VL || (z.dst_line == z.n && end - dst >= ways * VL)) {
      // What passes the end of a short line the next ones write; others end with a vector.
      for (const int64_t last = whole > VL ? whole - VL : 0; p < whole; p += VL) {
        const int64_t at = p < last ? p : last;
        if (ways == 2) zip_vector<2>(dst + 2 * at, src + at, z.pitch);
        else if (ways == 3) zip_vector<3>(dst + 3 * at, src + at, z.pitch);
        else if constexpr (kZips<T> == 4) zip_vector<4>(dst + 4 * at, src + at, z.pitch);
      }
      p = whole;
    }
    for (int64_t x = p * ways; x < z.n; ++src)
      for (int64_t c = 0; c < ways && x < z.n; ++c, ++x) dst[x] = src[p + c * z.pitch];
  }
}

// dst[p * ldd + c] = src[c * C + p]: lines of two or three that follow one another, of a vector of channels at least.
template <int C, class T>
FASTCONV_INLINE void unzip_lines(T* dst, int64_t ldd, const T* src, int64_t channels) {
  constexpr int64_t VL = kLanes<T>;
  for (int64_t c = 0; c < channels; c += VL) {  // the last vector ends with the line
    const int64_t at = c < channels - VL ? c : channels - VL;
    const Vec<T> a = load(src + C * at), b = load(src + C * at + VL);
    T* const to = dst + at;
    if constexpr (C == 3) {
      const Vec<T> last = load(src + C * at + 2 * VL);
      store(to, third_lanes<0>(a, b, last));
      store(to + ldd, third_lanes<1>(a, b, last));
      store(to + 2 * ldd, third_lanes<2>(a, b, last));
    } else {
      store(to, even_lanes(a, b));
      store(to + ldd, odd_lanes(a, b));
    }
  }
}

// The same of lines shorter than a square, by squares that read into the next line. The last line has none.
template <class S, class T>
FASTCONV_INLINE void transpose_short_lines(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixels,
                                           int64_t channels) {
  T last[S::N] = {};
  for (int64_t p = 0; p < pixels; ++p) last[p] = src[(channels - 1) * channel_stride + p];
  for (int64_t c = 0; c < channels; c += S::N) {
    const bool ends = c >= channels - S::N;
    const int64_t at = ends ? channels - S::N : c;
    const T* from = src + at * channel_stride;
    S::transpose(dst + at, ldd, from, channel_stride, ends ? last : from + (S::N - 1) * channel_stride, pixels);
  }
}

// dst[p * ldd + c] = src[c * channel_stride + p * pixel_stride], zeros for c in [channels, padded)
template <class T>
void pack_transposed(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixel_stride, int64_t pixels,
                     int64_t channels, int64_t padded) {
  using Small = Square<T>;
  using Large = Square<T, (FASTCONV_VEC_BYTES > 32 ? FASTCONV_VEC_BYTES : 32)>;
  if (pixel_stride == -1) {  // from the other end: the taps of a flipped kernel
    src -= pixels - 1;
    dst += (pixels - 1) * ldd;
    ldd = -ldd;
    pixel_stride = 1;
  }
  for (int64_t p = 0; channels < padded && p < pixels; ++p) {  // vectors: what channels have of them comes later
    T* const to = dst + p * ldd;
    int64_t c = padded;
    for (; c > channels && c >= kLanes<T>; c -= kLanes<T>) store(to + c - kLanes<T>, Vec<T>{});
    for (; c > channels; --c) to[c - 1] = 0;
  }
  const bool crowded =
      ldd * static_cast<int64_t>(sizeof(T)) % 1024 == 0;  // so many lines would share few sets of the L1 cache
  const bool few =
      !kSmallCode && sizeof(T) == 4 && pixel_stride == 1 && channel_stride == pixels && channels >= kLanes<T>;
  if (few && pixels == 2) {
    unzip_lines<2>(dst, ldd, src, channels);
  } else if (few && pixels == 3) {
    unzip_lines<3>(dst, ldd, src, channels);
  } else if (Large::N > Small::N && pixel_stride == 1 && pixels >= Large::N && channels >= Large::N && !crowded) {
    transpose_squares<Large>(dst, ldd, src, channel_stride, pixels, channels);
  } else if (pixel_stride == 1 && pixels >= Small::N && channels >= Small::N) {
    transpose_squares<Small>(dst, ldd, src, channel_stride, pixels, channels);
  } else if (pixel_stride == 1 && pixels > 2 && pixels < Small::N && channels >= Small::N &&
             channel_stride + pixels >= Small::N) {
    transpose_short_lines<Small>(dst, ldd, src, channel_stride, pixels, channels);
  } else if (sizeof(T) == 4 && pixel_stride == 1 && pixels >= Small::N && channels < Small::N && padded >= Small::N) {
    for (int64_t p = 0; p < pixels; p += Small::N) {
      const int64_t at = p < pixels - Small::N ? p : pixels - Small::N;
      Small::transpose(dst + at * ldd, ldd, src + at, channel_stride, channels);
    }
  } else if (channel_stride == 1) {
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < channels; ++c) dst[p * ldd + c] = src[p * pixel_stride + c];
  } else if (pixel_stride == 1 && ldd == channels && channels > 1 && channels <= kZips<T>) {
    const int64_t row = 0;
    zip_lines<T>({dst, 0, src, &row, 1, channel_stride, channels, channels * pixels, 0});
  } else {
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < channels; ++c) dst[p * ldd + c] = src[c * channel_stride + p * pixel_stride];
  }
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
