// Transforms of Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv:1509.09308), a vector holding one entry of many tiles.
#include "kernels/winograd.hpp"

#include "isa/table.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/transpose.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class V, int... I>
FASTCONV_INLINE V shifted_in(V a, V next, LaneList<I...>) {
  return __builtin_shufflevector(a, next, (I + 1)...);
}

// out = B^T in
template <class T>
FASTCONV_INLINE void input_transform(const Vec<T> (&d)[6], Vec<T> (&v)[6]) {
  const Vec<T> even = d[4] - T(4) * d[2], odd = d[3] - T(4) * d[1];
  const Vec<T> even2 = d[4] - d[2], odd2 = T(2) * (d[3] - d[1]);
  v[0] = T(4) * d[0] - T(5) * d[2] + d[4];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even2 + odd2;
  v[4] = even2 - odd2;
  v[5] = T(4) * d[1] - T(5) * d[3] + d[5];
}

// out = A^T in
template <class T>
FASTCONV_INLINE void output_transform(const Vec<T> (&m)[6], Vec<T> (&y)[4]) {
  const Vec<T> sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum + sum2;
  y[1] = difference + T(2) * difference2;
  y[2] = sum + T(4) * sum2;
  y[3] = difference + T(8) * difference2 + m[5];
}

// out = G in
template <class T>
FASTCONV_INLINE void weight_transform(const Vec<T> (&g)[3], Vec<T> (&u)[6]) {
  const Vec<T> ends = (g[0] + g[2]) * T(-1.0 / 6), middle = g[1] * T(1.0 / 6);
  const Vec<T> ends2 = g[0] * T(1.0 / 24) + g[2] * T(1.0 / 6), middle2 = g[1] * T(1.0 / 12);
  u[0] = g[0] * T(0.25);
  u[1] = ends - middle;
  u[2] = ends + middle;
  u[3] = ends2 + middle2;
  u[4] = ends2 - middle2;
  u[5] = g[2];
}

template <class T>
void input(const WinogradInput<T>& a) {
  constexpr int VL = kLanes<T>;
  using Lanes = LanesOf<Vec<T>>;
  if (a.row)  // lanes behind the last tile are multiplied too, and not all are overwritten
    for (int i = 0; i < 36; ++i) store(a.v + i * a.plane + a.row - VL, Vec<T>{});
  for (int64_t r = 0; r < a.down; ++r)
    for (int64_t s = 0; s < a.across; s += VL) {
      const T* src = a.src + 4 * (r * a.pitch + s);
      Vec<T> rows[6][6];  // [row of the patch][entry of the transformed row]
#pragma GCC unroll 8
      for (int i = 0; i < 6; ++i) {
        const T* p = src + i * a.pitch;
        const Vec<T> a0 = load(p), a1 = load(p + VL), a2 = load(p + 2 * VL), a3 = load(p + 3 * VL);
        const Vec<T> e0 = even_lanes(a0, a1), e1 = even_lanes(a2, a3), o0 = odd_lanes(a0, a1), o1 = odd_lanes(a2, a3);
        Vec<T> d[6];
        d[0] = even_lanes(e0, e1);
        d[1] = even_lanes(o0, o1);
        d[2] = odd_lanes(e0, e1);
        d[3] = odd_lanes(o0, o1);
        d[4] = shifted_in(d[0], splat<T>(p[4 * VL]), Lanes{});
        d[5] = shifted_in(d[1], splat<T>(p[4 * VL + 1]), Lanes{});
        input_transform<T>(d, rows[i]);
      }
      T* v = a.v + r * a.across + s;
#pragma GCC unroll 8
      for (int j = 0; j < 6; ++j) {
        const Vec<T> column[6] = {rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]};
        Vec<T> out[6];
        input_transform<T>(column, out);
#pragma GCC unroll 8
        for (int i = 0; i < 6; ++i) store(v + (i * 6 + j) * a.plane, out[i]);
      }
    }
}

template <class T>
void output(const WinogradOutput<T>& a) {
  constexpr int VL = kLanes<T>;
  const Vec<T> low = splat<T>(a.low), high = splat<T>(a.high), bias = a.bias ? splat<T>(*a.bias) : Vec<T>{};
  for (int64_t r = 0; 4 * r < a.rows; ++r)
    for (int64_t s = 0; s < a.across; s += VL) {
      const T* m = a.m + r * a.across + s;
      Vec<T> columns[6][4];  // [column of the patch][row of the output]
#pragma GCC unroll 8
      for (int j = 0; j < 6; ++j) {
        Vec<T> in[6];
#pragma GCC unroll 8
        for (int i = 0; i < 6; ++i) in[i] = load(m + (i * 6 + j) * a.plane);
        output_transform<T>(in, columns[j]);
      }
      const int64_t left = a.columns - 4 * s, rows_left = a.rows - 4 * r;
      const bool whole = left >= 4 * VL && a.y_step == 1;
#pragma GCC unroll 8
      for (int i = 0; i < 4; ++i) {
        if (i >= rows_left) break;
        const Vec<T> row[6] = {columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]};
        Vec<T> y[4];
        output_transform<T>(row, y);
        const Vec<T> z0 = zip_low(y[0], y[2]), z1 = zip_high(y[0], y[2]), w0 = zip_low(y[1], y[3]), w1 = zip_high(y[1], y[3]);
        Vec<T> out[4] = {zip_low(z0, w0), zip_high(z0, w0), zip_low(z1, w1), zip_high(z1, w1)};
#pragma GCC unroll 8
        for (int q = 0; q < 4; ++q) {
          out[q] += bias;
          if (a.clamp) {
            out[q] = out[q] < low ? low : out[q];
            out[q] = out[q] > high ? high : out[q];
          }
        }
        T* to = a.y + (4 * r + i) * a.y_row + 4 * s * a.y_step;
        if (whole) {
#pragma GCC unroll 8
          for (int q = 0; q < 4; ++q) store(to + q * VL, out[q]);
          continue;
        }
        T edge[4 * VL];
        const int64_t n = left < 4 * VL ? left : 4 * VL;
#pragma GCC unroll 8
        for (int q = 0; q < 4; ++q) store(edge + q * VL, out[q]);
        if (a.y_step == 1) {
          for (int64_t k = 0; k + VL <= n; k += VL) store(to + k, load(static_cast<const T*>(edge) + k));
          copy_first(to + n / VL * VL, static_cast<const T*>(edge) + n / VL * VL, n % VL);
        } else {
          for (int64_t k = 0; k < n; ++k) to[k * a.y_step] = edge[k];
        }
      }
    }
}

template <class T>
void weights(const WinogradWeights<T>& a) {
  constexpr int VL = kLanes<T>, kChunk = 64;
  // Nine taps side by side, in either direction, are transposed in squares.
  const int64_t step = a.tap[1] - a.tap[0];
  bool dense = step == 1 || step == -1;
  for (int t = 1; t < 9; ++t) dense &= a.tap[t] - a.tap[t - 1] == step;
  T taps[9 * kChunk];
  for (int64_t c0 = 0; c0 < a.channels; c0 += kChunk) {
    const int64_t chunk = a.channels - c0 < kChunk ? a.channels - c0 : kChunk;
    const T* w = a.w + c0 * a.channel_stride;
    const int64_t padded = (chunk + VL - 1) / VL * VL;
    if (dense) {
      pack_transposed<T>(taps, kChunk, w + a.tap[step > 0 ? 0 : 8], a.channel_stride, 1, 9, chunk, padded);
    } else {
      for (int t = 0; t < 9; ++t)
        for (int64_t c = 0; c < padded; ++c) taps[t * kChunk + c] = c < chunk ? w[c * a.channel_stride + a.tap[t]] : T(0);
    }
    const int64_t first = dense && step < 0 ? 8 * kChunk : 0, next = dense && step < 0 ? -kChunk : kChunk;
    for (int64_t c = 0; c < chunk; c += VL) {
      const T* tap = taps + first + c;
      Vec<T> half[3][6];  // [column][row]
#pragma GCC unroll 8
      for (int j = 0; j < 3; ++j) {
        const Vec<T> g[3] = {load(tap + j * next), load(tap + (3 + j) * next), load(tap + (6 + j) * next)};
        weight_transform<T>(g, half[j]);
      }
#pragma GCC unroll 8
      for (int i = 0; i < 6; ++i) {
        const Vec<T> g[3] = {half[0][i], half[1][i], half[2][i]};
        Vec<T> u[6];
        weight_transform<T>(g, u);
#pragma GCC unroll 8
        for (int j = 0; j < 6; ++j) {
          T* to = a.u + (i * 6 + j) * a.plane + c0 + c;
          if (chunk - c >= VL) store(to, u[j]);
          else store_first(to, u[j], chunk - c);
        }
      }
    }
  }
}

// out = A in
template <class T>
FASTCONV_INLINE void transform(const Vec<T> (&y)[4], Vec<T> (&v)[6]) {
  const Vec<T> even = y[0] + y[2], odd = y[1] + y[3], even2 = y[0] + T(4) * y[2], odd2 = y[1] + T(4) * y[3];
  v[0] = y[0];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even2 + T(2) * odd2;
  v[4] = even2 - T(2) * odd2;
  v[5] = y[3];
}
template <class T>
FASTCONV_INLINE void transform(const Vec<T> (&d)[6], Vec<T> (&v)[6]) {
  input_transform<T>(d, v);
}

// out = G^T in
template <class T>
FASTCONV_INLINE void gradient_transform(const Vec<T> (&s)[6], Vec<T> (&w)[3]) {
  const Vec<T> sum = s[1] + s[2], sum2 = s[3] + s[4];
  w[0] = T(0.25) * s[0] - T(1.0 / 6) * sum + T(1.0 / 24) * sum2;
  w[1] = T(1.0 / 6) * (s[2] - s[1]) + T(1.0 / 12) * (s[3] - s[4]);
  w[2] = T(1.0 / 6) * (sum2 - sum) + s[5];
}

template <class T, int N, bool kWhole>
FASTCONV_INLINE void patch(const WinogradPatches<T>& a, const T* src, int64_t rows, int64_t columns, T* v) {
  Vec<T> half[6][N];  // [row of the result][column of the patch]
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    Vec<T> in[N], out[6];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) in[i] = kWhole || (i < rows && j < columns) ? load(src + i * a.pitch + j * kLanes<T>) : Vec<T>{};
    transform<T>(in, out);
#pragma GCC unroll 8
    for (int i = 0; i < 6; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < 6; ++i) {
    Vec<T> out[6];
    transform<T>(half[i], out);
#pragma GCC unroll 8
    for (int j = 0; j < 6; ++j) store(v + (i * 6 + j) * a.plane, out[j]);
  }
}

template <class T, int N>
void patches(const WinogradPatches<T>& a) {
  T* v = a.v;
  for (int64_t r = 0; r < a.down; ++r)
    for (int64_t s = 0; s < a.across; ++s, v += a.tile) {
      const T* src = a.src + 4 * (r * a.pitch + s * kLanes<T>);
      const int64_t rows = a.rows - 4 * r, columns = a.columns - 4 * s;
      if (rows >= N && columns >= N) patch<T, N, true>(a, src, rows, columns, v);
      else patch<T, N, false>(a, src, rows, columns, v);
    }
}

template <class T>
void weight_sums(const WinogradSums<T>& a) {
  constexpr int VL = kLanes<T>;
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t v = 0; v < a.vectors; ++v) {
      const T* s = a.s + (c * a.vectors + v) * VL;
      Vec<T> half[3][6];
#pragma GCC unroll 8
      for (int j = 0; j < 6; ++j) {
        Vec<T> in[6], out[3];
#pragma GCC unroll 8
        for (int i = 0; i < 6; ++i) {
          const T* at = s + (i * 6 + j) * a.plane;
          in[i] = load(at);
          for (int64_t k = 1; k < a.parts; ++k) in[i] += load(at + k * a.part);
        }
        gradient_transform<T>(in, out);
#pragma GCC unroll 8
        for (int i = 0; i < 3; ++i) half[i][j] = out[i];
      }
#pragma GCC unroll 8
      for (int i = 0; i < 3; ++i) {
        Vec<T> out[3];
        gradient_transform<T>(half[i], out);
#pragma GCC unroll 8
        for (int j = 0; j < 3; ++j) store(a.w + (c * 9 + i * 3 + j) * a.row + v * VL, out[j]);
      }
    }
}

template <class T>
constexpr WinogradKernelsOf<T> make_kernels() {
  return {input<T>, output<T>, weights<T>, patches<T, 6>, patches<T, 4>, weight_sums<T>};
}

const WinogradKernels& winograd_kernels() {
  static constexpr WinogradKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
