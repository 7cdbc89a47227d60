// Inputs of squares: pixels transposed, and the patches of tiles transformed (kernels/winograd/winograd.hpp).
#pragma once
#include "kernels/transpose.hpp"
#include "kernels/winograd/points.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

template <class T>
void pixels(const WinogradPixels<T>& a) {
  constexpr int VL = kLanes<T>;
  if (a.channels < VL / 4 || a.count < VL || a.step != 1) {
    for (int64_t c = 0; c < VL; ++c)  // channel by channel: a step that the processor foresees
      for (int64_t p = 0; p < a.count; ++p)
        a.pixels[p * VL + c] = c < a.channels ? a.src[c * a.channel_stride + p * a.step] : T(0);
    return;
  }
  alignas(64) T copy[VL * VL];  // with lines of zeros
  if (a.channels < VL)
    for (int c = 0; c < VL; ++c) store(copy + c * VL, Vec<T>{});
  for (int64_t p = 0; p < a.count; p += VL) {
    const int64_t at = p < a.count - VL ? p : a.count - VL;  // the last square overlaps the one before
    const T* src = a.src + at;
    int64_t stride = a.channel_stride;
    if (a.channels < VL) {
      for (int64_t c = 0; c < a.channels; ++c) store(copy + c * VL, load(src + c * stride));
      src = copy, stride = VL;
    }
    Square<T, FASTCONV_VEC_BYTES>::transpose(a.pixels + at * VL, VL, src, stride);
  }
}

// The values of a line of a patch of inputs or, fewer than P, of outputs: n of L, zeros behind
template <class T, int L, int P>
FASTCONV_INLINE void patch_transform(const Vec<T> (&d)[L], Vec<T> (&v)[P], [[maybe_unused]] int n) {
  if constexpr (L == 8) strip_input<T>(d, v);
  else if constexpr (L == P) input_transform<T>(d, v);
  else if constexpr (P == 6) point_values<T>(d, v);
  else strip_output_back<T>(d, v, n);
}

// Columns of a patch: of large squares of outputs, fewer than L.
template <int L, int P, class T>
FASTCONV_INLINE int columns_of(const WinogradPatches<T>& a) {
  return P == kWinogradLargeIn && L < P ? static_cast<int>(a.lines) : L;
}

// The patch whose lines stand at src + row[h] + column[w].
template <class T, int L, int P>
FASTCONV_INLINE void patch(const WinogradPatches<T>& a, const T* src, const int32_t* row, const int32_t* column, T* v) {
  const int n = columns_of<L, P>(a);
  Vec<T> half[P][L];  // [row of the result][column of the patch]
  const int64_t plane = a.plane;
  int64_t line[L];
#pragma GCC unroll 8
  for (int i = 0; i < L; ++i) line[i] = row[i];
  each<L, kUnrolled<T, P>>(
      [&](int j) FASTCONV_LAMBDA {
        Vec<T> in[L], out[P];
#pragma GCC unroll 8
        for (int i = 0; i < L; ++i) in[i] = load(src + column[j] + line[i]);
        patch_transform<T>(in, out, n);
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) half[i][j] = out[i];
      },
      n);
#pragma GCC unroll 1
  for (int j = n; j < L; ++j)
#pragma GCC unroll 1
    for (int i = 0; i < P; ++i) half[i][j] = Vec<T>{};
  each<P, kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
    Vec<T> out[P];
    patch_transform<T>(half[i], out, n);
    v = store_planes<T>(v, plane, out, 64 / sizeof(T));
  });
}

// Patches with columns of zeros are copied together first.
template <class T, int L, int P>
void patches(const WinogradPatches<T>& a) {
  constexpr int VL = kLanes<T>;
  const int n = columns_of<L, P>(a);
  alignas(64) T copy[L * L * VL];
  int32_t own_row[L], own_column[L];
  for (int i = 0; i < L; ++i) own_row[i] = i * L * VL, own_column[i] = i * VL;
  for (int64_t r = 0; r < a.tiles.down; ++r)
    for (int64_t s = 0; s < a.tiles.across; ++s) {
      const T* src = a.src;
      const int32_t *row = a.row + a.row_lines * r, *column = a.column + a.column_lines * s;
      if ((column[0] | column[L / 2] | column[n - 1]) < 0) {
        for (int j = 0; j < n; ++j) {
          Vec<T> line[L] = {};
          if (column[j] >= 0) {
#pragma GCC unroll 8
            for (int i = 0; i < L; ++i) line[i] = load(src + row[i] + column[j]);
          }
#pragma GCC unroll 8
          for (int i = 0; i < L; ++i) store(copy + (i * L + j) * VL, line[i]);
        }
        src = copy, row = own_row, column = own_column;
      }
      patch<T, L, P>(a, src, row, column, a.v + number_of(a.tiles, r, s) * VL);
    }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
