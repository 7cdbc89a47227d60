// Vectors of complex numbers, and their shortest transforms: of two, three, four, five and eight.
#pragma once
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

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
