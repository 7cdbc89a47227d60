// Fourier transforms of many columns at once: a vector holds one row of neighbouring columns, so that a transform along
// the rows needs no shuffles; between the two axes the tile is transposed block by block in registers.
#include "kernels/fft/fft.hpp"

#include "isa/table.hpp"
#include "kernels/fft/strips.hpp"
#include "kernels/fft/tiles.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
void forward(const FftShape<T>& shape, T* tile, T* spectrum, int64_t columns) {
  constexpr int VL = kLanes<T>;
  const int64_t rows = shape.rows.n, width = shape.columns.n, live = (columns + VL - 1) / VL;
  for (int64_t s = 0; s < live; ++s) {
    T* strip = tile + s * rows * 2 * VL;
    transform_strip(shape.rows, strip);
    if (shape.twist) twist_strip<T, false>(strip, shape.twist + s * rows * 2 * VL, rows);
  }
  for (int64_t i = 0; i < rows / VL; ++i) {
    T* strip = spectrum + i * width * 2 * VL;
    for (int64_t s = 0; s < live; ++s)
      transpose_block(static_cast<const T*>(tile + (s * rows + i * VL) * 2 * VL), strip + s * VL * 2 * VL);
    transform_rest(shape.columns, strip, live);
  }
}

template <class T>
void inverse(const FftShape<T>& shape, T* spectrum, T* tile, int64_t columns) {
  constexpr int VL = kLanes<T>;
  const int64_t rows = shape.rows.n, width = shape.columns.n, live = (columns + VL - 1) / VL;
  for (int64_t i = 0; i < rows / VL; ++i) {
    T* strip = spectrum + i * width * 2 * VL;
    invert_strip(shape.columns, strip);
    for (int64_t s = 0; s < live; ++s)
      transpose_between(static_cast<const T*>(strip + s * VL * 2 * VL), tile + (s * rows + i * VL) * 2 * VL);
  }
  for (int64_t s = 0; s < live; ++s) {
    T* strip = tile + s * rows * 2 * VL;
    if (shape.twist) twist_strip<T, true>(strip, shape.twist + s * rows * 2 * VL, rows);
    invert_strip(shape.rows, strip);
  }
}

// With z = a + i b for real a and b: 2 A(f) = Z(f) + conj Z(-f), 2 B(f) = -i (Z(f) - conj Z(-f)).
template <class T>
void forward_real(const FftShape<T>& shape, T* tile, T* spectrum, int64_t columns) {
  constexpr int VL = kLanes<T>;
  const int64_t rows = shape.rows.n, width = shape.columns.n, live = (columns + VL - 1) / VL, half = (live + 1) / 2;
  for (int64_t s = 0; s < half; ++s) transform_strip(shape.rows, tile + s * rows * 2 * VL);
  alignas(64) T a[VL * 2 * VL], b[VL * 2 * VL];
  for (int64_t i = 0; i < shape.kept / VL; ++i) {
    T* strip = spectrum + i * width * 2 * VL;
    for (int64_t s = 0; s < half; ++s) {
      const T* from = tile + s * rows * 2 * VL;
      for (int l = 0; l < VL; ++l) {
        const int32_t* at = shape.opposite + 2 * (i * VL + l);
        const T *p = from + at[0] * 2 * VL, *q = from + at[1] * 2 * VL;
        const Vec<T> re = load(p), im = load(p + VL), other_re = load(q), other_im = load(q + VL);
        store(a + l * 2 * VL, re + other_re);
        store(a + l * 2 * VL + VL, im - other_im);
        store(b + l * 2 * VL, im + other_im);
        store(b + l * 2 * VL + VL, other_re - re);
      }
      transpose_between(static_cast<const T*>(a), strip + s * VL * 2 * VL);
      if (half + s < live) transpose_between(static_cast<const T*>(b), strip + (half + s) * VL * 2 * VL);
    }
    transform_rest(shape.columns, strip, live);
  }
}

// Z(f) = A(f) + i B(f), Z(-f) = conj A(f) + i conj B(f)
template <class T>
void inverse_real(const FftShape<T>& shape, T* spectrum, T* tile, int64_t columns) {
  constexpr int VL = kLanes<T>;
  const int64_t rows = shape.rows.n, width = shape.columns.n, live = (columns + VL - 1) / VL, half = (live + 1) / 2;
  alignas(64) T a[VL * 2 * VL], b[VL * 2 * VL];
  for (int64_t i = 0; i < shape.kept / VL; ++i) {
    T* strip = spectrum + i * width * 2 * VL;
    invert_strip(shape.columns, strip);
    for (int64_t s = 0; s < half; ++s) {
      const int64_t other = half + s < live ? half + s : s;  // of none any: it is not looked at
      transpose_between(static_cast<const T*>(strip + s * VL * 2 * VL), a);
      transpose_between(static_cast<const T*>(strip + other * VL * 2 * VL), b);
      T* to = tile + s * rows * 2 * VL;
      for (int l = 0; l < VL; ++l) {
        const int32_t* at = shape.opposite + 2 * (i * VL + l);
        T *p = to + at[0] * 2 * VL, *q = to + at[1] * 2 * VL;
        const T *u = a + l * 2 * VL, *v = b + l * 2 * VL;
        store(p, load(u) - load(v + VL));
        store(p + VL, load(u + VL) + load(v));
        store(q, load(u) + load(v + VL));
        store(q + VL, load(v) - load(u + VL));
      }
    }
  }
  for (int64_t s = 0; s < half; ++s) invert_strip(shape.rows, tile + s * rows * 2 * VL);
}

template <class T>
void multiply(const FftMultiply<T>& a) {
  constexpr int VL = kLanes<T>, kWide = 4;
  for (int64_t v = 0; v < a.vectors * 2 * VL; v += kWide * 2 * VL) {  // a multiple: tiles are 4 x 4 at least
    Complex<T> sum[kWide];
#pragma GCC unroll 4
    for (int i = 0; i < kWide; ++i) {
      const T* p = a.acc + v + i * 2 * VL;
      if (a.accumulate) sum[i] = {load(p), load(p + VL)};
      else sum[i] = {Vec<T>{}, Vec<T>{}};
    }
    for (int64_t q = 0; q < a.terms; ++q) {
      const T *x = a.x[q] + v, *k = a.k[q] + v;
#pragma GCC unroll 4
      for (int i = 0; i < kWide; ++i) {
        const Vec<T> xr = load(x + i * 2 * VL), xi = load(x + i * 2 * VL + VL), kr = load(k + i * 2 * VL),
                     ki = load(k + i * 2 * VL + VL);
        sum[i].re += xr * kr;
        sum[i].re += xi * ki;
        sum[i].im += xi * kr;
        sum[i].im -= xr * ki;
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kWide; ++i) {
      store(a.acc + v + i * 2 * VL, sum[i].re);
      store(a.acc + v + i * 2 * VL + VL, sum[i].im);
    }
  }
}

const FftKernels& fft_kernels() {
  static constexpr FftKernels table = {{kMostRadix, forward<float>, inverse<float>, forward_real<float>,
                                        inverse_real<float>, multiply<float>, load_tile<float>, store_tile<float>},
                                       {kMostRadix, forward<double>, inverse<double>, forward_real<double>,
                                        inverse_real<double>, multiply<double>, load_tile<double>, store_tile<double>}};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
