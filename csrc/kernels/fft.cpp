// Fourier transforms of many columns at once: a vector holds one row of neighbouring columns, so that a transform along
// the rows needs no shuffles; between the two axes the tile is transposed block by block in registers. Forward passes
// decimate in frequency, inverse passes in time: neither ever reorders. An inverse transform is the forward one with
// the real and imaginary parts exchanged.
#include "kernels/fft.hpp"

#include "isa/table.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct Complex {
  Vec<T> re, im;
};
template <class T>
FASTCONV_INLINE Complex<T> operator+(Complex<T> a, Complex<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
FASTCONV_INLINE Complex<T> operator-(Complex<T> a, Complex<T> b) {
  return {a.re - b.re, a.im - b.im};
}
// a times the twiddle factor at w
template <class T>
FASTCONV_INLINE Complex<T> times(Complex<T> a, const T* w) {
  const Vec<T> re = splat<T>(w[0]), im = splat<T>(w[1]);
  return {a.re * re - a.im * im, a.re * im + a.im * re};
}
template <class T>
FASTCONV_INLINE Complex<T> times_minus_i(Complex<T> a) {
  return {a.im, -a.re};
}

template <class T>
FASTCONV_INLINE void dft(Complex<T> (&x)[2]) {
  const Complex<T> a = x[0], b = x[1];
  x[0] = a + b;
  x[1] = a - b;
}
template <class T>
FASTCONV_INLINE Complex<T> operator*(T a, Complex<T> b) {
  const Vec<T> v = splat(a);
  return {v * b.re, v * b.im};
}
template <class T>
FASTCONV_INLINE void dft(Complex<T> (&x)[3]) {
  const Complex<T> s = x[1] + x[2], d = times_minus_i<T>(T(0.86602540378443864676) * (x[1] - x[2]));
  const Complex<T> m = x[0] - T(0.5) * s;
  x[0] = x[0] + s;
  x[1] = m + d;
  x[2] = m - d;
}
template <class T>
FASTCONV_INLINE void dft(Complex<T> (&x)[5]) {  // cosines and sines of a fifth of the circle, and of two
  constexpr T c1 = T(0.30901699437494742410), c2 = T(-0.80901699437494742410), s1 = T(0.95105651629515357212),
              s2 = T(0.58778525229247312917);
  const Complex<T> a = x[1] + x[4], b = x[2] + x[3], c = times_minus_i<T>(x[1] - x[4]),
                   d = times_minus_i<T>(x[2] - x[3]);
  const Complex<T> near = x[0] + c1 * a + c2 * b, far = x[0] + c2 * a + c1 * b, u = s1 * c + s2 * d,
                   v = s2 * c - s1 * d;
  x[0] = x[0] + a + b;
  x[1] = near + u;
  x[2] = far + v;
  x[3] = far - v;
  x[4] = near - u;
}
template <class T>
FASTCONV_INLINE void dft(Complex<T> (&x)[4]) {
  const Complex<T> s = x[0] + x[2], d = x[0] - x[2], t = x[1] + x[3], e = times_minus_i<T>(x[1] - x[3]);
  x[0] = s + t;
  x[1] = d + e;
  x[2] = s - t;
  x[3] = d - e;
}
template <class T>
FASTCONV_INLINE void dft(Complex<T> (&x)[8]) {
  Complex<T> a[4] = {x[0], x[2], x[4], x[6]}, b[4] = {x[1], x[3], x[5], x[7]};
  dft<T>(a);
  dft<T>(b);
  const Vec<T> h = splat<T>(T(0.70710678118654752440));
  b[1] = {h * (b[1].re + b[1].im), h * (b[1].im - b[1].re)};
  b[2] = times_minus_i<T>(b[2]);
  b[3] = {h * (b[3].im - b[3].re), -(h * (b[3].re + b[3].im))};
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) x[i] = a[i] + b[i], x[i + 4] = a[i] - b[i];
}

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

// Strips that are read or written side by side, row by row: their parts of a row follow one another in memory.
constexpr int64_t kStrips = 8;

template <class V, int... I>
FASTCONV_INLINE V reversed(V v, LaneList<I...>) {
  return __builtin_shufflevector(v, v, (static_cast<int>(sizeof...(I)) - 1 - I)...);
}
template <class V>
FASTCONV_INLINE V reversed(V v) {
  return reversed(v, LanesOf<V>{});
}

// Entries [i, i + VL) of a row.
template <class T>
FASTCONV_INLINE Vec<T> load_entries(const FftLoad<T>& a, const T* src, int64_t i) {
  constexpr int64_t VL = kLanes<T>;
  const int64_t from = a.begin < i ? 0 : a.begin - i, to = a.end - i < VL ? a.end - i : VL;  // of these, a run
  if (a.step == 1 && (a.zeros || to - from == VL)) {
    const T* const run = src + a.first + (i - a.begin);
    return from >= to ? Vec<T>{} : to - from == VL ? load(run) : load_lanes(run, LaneRange<T>(from, to - from));
  }
  if (a.step == -1 && a.zeros) {
    const T* const last = src + a.first - (i - a.begin) - (VL - 1);
    return from >= to ? Vec<T>{}
                      : reversed(to - from == VL ? load(last) : load_lanes(last, LaneRange<T>(VL - to, to - from)));
  }
  T lanes[VL];
  for (int64_t l = i; l < i + VL; ++l) {
    const int64_t offset = l >= a.begin && l < a.end ? a.first + (l - a.begin) * a.step
                           : a.zeros                 ? kFftZero
                                                     : a.column[l];
    lanes[l - i] = offset == kFftZero ? T(0) : src[offset];
  }
  return load(static_cast<const T*>(lanes));
}

template <class T>
void load_tile(const FftLoad<T>& a) {
  constexpr int64_t VL = kLanes<T>;
  for (int64_t begin = 0, end; begin < a.columns; begin = end) {
    end = begin + kStrips * VL < a.columns ? begin + kStrips * VL : a.columns;
    for (int64_t r = 0; r < a.rows; ++r) {
      const bool empty = !a.src || a.row[r] == kFftZero;
      const T* src = empty ? a.src : a.src + a.row[r];
      T* to = a.tile + begin * a.rows * 2 + r * 2 * VL + a.part * VL;
      for (int64_t c = begin; c < end; c += VL, to += a.rows * 2 * VL)
        store(to, empty ? Vec<T>{} : load_entries(a, src, r * a.column_step + c));
    }
  }
}

template <class T>
void store_tile(const FftStore<T>& a) {
  constexpr int64_t VL = kLanes<T>;
  const Vec<T> low = splat<T>(a.low), high = splat<T>(a.high), scale = splat<T>(a.scale),
               bias = a.bias ? splat<T>(*a.bias) : Vec<T>{};
  const auto outputs = [&](const T* from, T* y, int64_t n) {
    const bool whole = n == VL && a.y_step == 1;
    T edge[VL] = {};
    Vec<T> v = bias;
    if (a.accumulate) {
      if (!whole)
        for (int64_t l = 0; l < n; ++l) edge[l] = y[l * a.y_step];
      v = load(whole ? static_cast<const T*>(y) : edge);
    }
    v += scale * load(from);
    if (a.clamp) {
      v = v < low ? low : v;
      v = v > high ? high : v;
    }
    store(whole ? y : edge, v);
    if (!whole)
      for (int64_t l = 0; l < n; ++l) y[l * a.y_step] = edge[l];
  };
  for (int64_t begin = 0; begin < a.tile_columns; begin += kStrips * VL)
    for (int64_t r = 0; r < a.rows; ++r) {
      const int64_t live = a.columns - r * a.column_step, columns = live < a.tile_columns ? live : a.tile_columns;
      for (int64_t c = begin; c < columns && c < begin + kStrips * VL; c += VL)
        outputs(a.tile + (c * a.tile_rows + r * VL) * 2 + a.part * VL, a.y + r * a.y_row + c * a.y_step,
                columns - c < VL ? columns - c : VL);
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
