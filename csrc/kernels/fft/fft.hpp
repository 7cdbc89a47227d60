// Contracts of the Fourier kernels: complex transforms of `rows` x `columns` tiles, both multiples of a vector, in
// which a vector holds `lanes` neighbouring columns.
//
// A tile stands strip by strip: element (r, c) has its real part at ((c / lanes) * rows + r) * 2 * lanes + c % lanes,
// and its imaginary part `lanes` further. A spectrum stands the same way with rows and columns exchanged. Its
// frequencies are in the order that decimation leaves them in; only products of spectra of one shape and inverse
// transforms are ever taken.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int kFftStages = 10;
constexpr int64_t kFftZero = INT64_MIN;  // an offset that stands for a zero

// A transform of length n = radix[0] * radix[1] * ... (each 2, 3, 4, 5 or 8). For stage s, which cuts lengths L into L
// / radix, twiddle[s] holds w^(j r), w = exp(-2 pi i / L), as re, im pairs: j = 0 .. L / radix - 1, and within r = 1 ..
// radix - 1.
template <class T>
struct FftLength {
  int64_t n;
  int stages;
  int radix[kFftStages];
  const T* twiddle[kFftStages];
};

template <class T>
struct FftShape {
  FftLength<T> rows, columns;
  const T*
      twist;  // null, or factors between the two passes, laid out like the tile: one line of rows * columns elements
  // Of a real tile: of each row of the spectrum's `kept` (whole vectors) where its frequency and the opposite one stand
  // among the tile's rows; entries behind rows / 2 + 1 repeat others.
  const int32_t* opposite;
  int64_t kept;
};

// A real tile stands as a complex one of half as many strips, rounded up: those of its first half are the real parts,
// the others imaginary ones. Its spectrum has half of the frequencies, twice their values: of opposite ones either is
// the other's conjugate.

// Real or imaginary part (`part` 0 or 1) of a tile: element (r, c) = src[row[r] + column(r * column_step + c)], a zero
// where either is kFftZero. column(i) is first + (i - begin) * step for i in [begin, end), else kFftZero if
// `zeros`, or column[i].
// `columns` of the tile (whole strips) are written.
template <class T>
struct FftLoad {
  T* tile;
  int part;
  int64_t rows, columns;
  const T* src;  // null: all zeros
  const int64_t *row, *column;
  int64_t column_step;
  int64_t begin, end, first, step;
  bool zeros;
};

// y[r * y_row + c * y_step] = clamp( (accumulate ? y : *bias) + scale * part of tile (r, c) ) for r < rows and
// c < columns - r * column_step, c < tile_columns (no bias if null).
template <class T>
struct FftStore {
  const T* tile;
  int part;
  int64_t tile_rows, tile_columns;
  T* y;
  int64_t y_row, y_step;
  int64_t rows, columns, column_step;
  T scale;
  const T* bias;
  bool accumulate;
  bool clamp;
  T low, high;
};

// acc = (accumulate ? acc : 0) + sum_q x[q] * conj(k[q]) over spectra of `vectors` complex vectors.
template <class T>
struct FftMultiply {
  T* acc;
  const T *const *x, *const *k;
  int64_t terms;
  int64_t vectors;
  bool accumulate;
};

template <class T>
struct FftKernelsOf {
  int most_radix;
  // tile -> spectrum, of which strips behind the first `columns` columns are known to be zero; overwrites the tile.
  void (*forward)(const FftShape<T>&, T* tile, T* spectrum, int64_t columns);
  // spectrum -> the first `columns` columns of the tile, times rows * columns; overwrites the spectrum.
  void (*inverse)(const FftShape<T>&, T* spectrum, T* tile, int64_t columns);
  // The same of a real tile; `columns` are its own.
  void (*forward_real)(const FftShape<T>&, T* tile, T* spectrum, int64_t columns);
  void (*inverse_real)(const FftShape<T>&, T* spectrum, T* tile, int64_t columns);
  void (*multiply)(const FftMultiply<T>&);
  void (*load)(const FftLoad<T>&);
  void (*store)(const FftStore<T>&);
};
struct FftKernels {
  FftKernelsOf<float> f32;
  FftKernelsOf<double> f64;
};

template <class T>
const FftKernelsOf<T>& fft_kernels();  // of the rung in use: isa/typed_kernels.cpp

}  // namespace fastconv
