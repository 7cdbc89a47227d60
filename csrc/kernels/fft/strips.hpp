// Transforms along the rows of a strip, a vector of neighbouring columns, and what stands between those of the two
// axes. Forward passes decimate in frequency, inverse passes in time: neither ever reorders. An inverse transform is
// the forward one with the real and imaginary parts exchanged.
#pragma once
#include "kernels/fft/complex.hpp"
#include "kernels/fft/fft.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// One stage of the transforms of one strip: butterflies of rows `length / R` apart. Inverse stages multiply by the
// twiddle factors before the butterfly and see real and imaginary parts exchanged.
template <class T, int R, bool kInverse>
void stage(T* strip, int64_t n, int64_t length, const T* twiddle) {
  constexpr int VL = kLanes<T>, kRe = kInverse ? VL : 0, kIm = VL - kRe;
  const int64_t apart = length / R * 2 * VL;
  for (T* block = strip; block < strip + n * 2 * VL; block += length * 2 * VL) {
    const T* w = twiddle;
    for (int64_t j = 0; j < length / R; ++j, w += 2 * (R - 1)) {
      T* p = block + j * 2 * VL;
      Complex<T> x[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        x[r] = {load(static_cast<const T*>(p + r * apart + kRe)), load(static_cast<const T*>(p + r * apart + kIm))};
        if (kInverse && r > 0 && length > R) x[r] = times<T>(x[r], w + 2 * (r - 1));
      }
      dft<T>(x);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        if (!kInverse && r > 0 && length > R) x[r] = times<T>(x[r], w + 2 * (r - 1));
        store(p + r * apart + kRe, x[r].re);
        store(p + r * apart + kIm, x[r].im);
      }
    }
  }
}

// Lengths have stages of 4 and 8 where that is the most, and of 2 and 4 where 4 is.
constexpr int kMostRadix = FASTCONV_VEC_REGISTERS >= 32 ? 8 : 4, kLeastRadix = kMostRadix == 8 ? 4 : 2;

template <class T, bool kInverse>
FASTCONV_INLINE void any_stage(int radix, T* strip, int64_t n, int64_t length, const T* twiddle) {
  if (radix == 8) stage<T, kMostRadix, kInverse>(strip, n, length, twiddle);
  else if (radix == 4) stage<T, 4, kInverse>(strip, n, length, twiddle);
  else if (radix == 5) stage<T, 5, kInverse>(strip, n, length, twiddle);
  else if (radix == 3) stage<T, 3, kInverse>(strip, n, length, twiddle);
  else stage<T, kLeastRadix, kInverse>(strip, n, length, twiddle);
}

template <class T>
void transform_strip(const FftLength<T>& f, T* strip) {
  int64_t length = f.n;
  for (int s = 0; s < f.stages; length /= f.radix[s++])
    any_stage<T, false>(f.radix[s], strip, f.n, length, f.twiddle[s]);
}
template <class T>
void invert_strip(const FftLength<T>& f, T* strip) {
  int64_t length = 1;
  for (int s = f.stages - 1; s >= 0; --s) {
    length *= f.radix[s];
    any_stage<T, true>(f.radix[s], strip, f.n, length, f.twiddle[s]);
  }
}

// strip *= w, or its conjugate
template <class T, bool kConjugate>
void twist_strip(T* strip, const T* w, int64_t rows) {
  constexpr int VL = kLanes<T>;
  for (int64_t r = 0; r < rows; ++r, strip += 2 * VL, w += 2 * VL) {
    const Vec<T> re = load(static_cast<const T*>(strip)), im = load(static_cast<const T*>(strip + VL)), c = load(w);
    const Vec<T> s = kConjugate ? -load(w + VL) : load(w + VL);
    store(strip, re * c - im * s);
    store(strip + VL, re * s + im * c);
  }
}

// A block of one vector a row, transposed: real parts, then imaginary parts.
template <class T>
FASTCONV_INLINE void transpose_block(const T* from, T* to) {
  constexpr int VL = kLanes<T>;
#pragma GCC unroll 2
  for (int part = 0; part < 2; ++part) {
    Vec<T> a[VL], b[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; ++i) a[i] = load(from + i * 2 * VL + part * VL);
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 16
      for (int i = 0; i < VL / 2; ++i)
        b[2 * i] = zip_low(a[i], a[i + VL / 2]), b[2 * i + 1] = zip_high(a[i], a[i + VL / 2]);
#pragma GCC unroll 16
      for (int i = 0; i < VL; ++i) a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; ++i) store(to + i * 2 * VL + part * VL, a[i]);
  }
}

// The same where what stands beside it takes longer than a call.
template <class T>
__attribute__((noinline)) void transpose_between(const T* from, T* to) {
  transpose_block(from, to);
}

// Along the other axis, strips behind the first `live` being zeros.
template <class T>
FASTCONV_INLINE void transform_rest(const FftLength<T>& f, T* strip, int64_t live) {
  constexpr int VL = kLanes<T>;
  for (T* p = strip + live * VL * 2 * VL; p < strip + f.n * 2 * VL; p += VL) store(p, Vec<T>{});
  transform_strip(f, strip);
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
