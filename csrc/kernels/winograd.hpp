// Contracts of the Winograd kernels: F(4x4, 3x3), tiles of 6x6 inputs and 4x4 outputs, four apart.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int kWinogradOut = 4, kWinogradIn = 6, kWinogradPlanes = 36;

// v[plane * i + t] = (B^T d B)_i for the tiles t of one channel: tile (r, s) is the 6x6 patch of src at row 4 r, column
// 4 s, and t = r * across + s. Whole vectors are written: up to a vector of what follows the last tile is overwritten,
// and up to a vector of patches behind the last of a row is read. The vector before v[plane * i + row] is
// set to zeros first (not if row is 0).
template <class T>
struct WinogradInput {
  const T* src;
  int64_t pitch;
  int64_t down, across;  // tiles
  T* v;
  int64_t plane, row;
};

// y[row * y_row + column * y_step] = clamp( *bias + (A^T m A)[row % 4, column % 4] of its tile ), the tiles as above
// (no bias if null). `rows` x `columns` outputs are written exactly.
template <class T>
struct WinogradOutput {
  const T* m;
  int64_t plane;
  int64_t across;
  T* y;
  int64_t y_row, y_step;
  int64_t rows, columns;
  const T* bias;
  bool clamp;
  T low, high;
};

// u[plane * i + c] = (G g G^T)_i for `channels` 3x3 kernels g = w[c * channel_stride + tap[t]].
template <class T>
struct WinogradWeights {
  const T* w;
  int64_t channels, channel_stride;
  int64_t tap[9];
  T* u;
  int64_t plane;
};

// The weight gradient's transforms hold a vector of channels, not of tiles: pixel (h, w) of the channels stands at
// src + h * pitch + w * lanes, and value i of tile t = r * across + s goes to v + plane * i + t * tile.
//   source: (B^T d B)_i of the 6x6 patch at row 4 r, column 4 s;
//   gradient: (A g A^T)_i of the 4x4 patch g there, whose pixels outside of rows x columns are zeros.
template <class T>
struct WinogradPatches {
  const T* src;
  int64_t pitch;
  int64_t rows, columns;
  int64_t down, across;
  T* v;
  int64_t plane, tile;
};

// w[(c * 9 + t) * row + n] = (G^T s G)_t for c in [0, channels), n in [0, vectors * lanes), where
// s_i = sum_k s[k * part + i * plane + c * vectors * lanes + n], k in [0, parts).
template <class T>
struct WinogradSums {
  const T* s;
  int64_t parts, part, plane;
  int64_t channels, vectors;
  T* w;
  int64_t row;
};

template <class T>
struct WinogradKernelsOf {
  void (*input)(const WinogradInput<T>&);
  void (*output)(const WinogradOutput<T>&);
  void (*weights)(const WinogradWeights<T>&);
  void (*source_patches)(const WinogradPatches<T>&);
  void (*gradient_patches)(const WinogradPatches<T>&);
  void (*weight_sums)(const WinogradSums<T>&);
};
struct WinogradKernels {
  WinogradKernelsOf<float> f32;
  WinogradKernelsOf<double> f64;
};

template <class T>
const WinogradKernelsOf<T>& winograd_kernels();  // of the rung in use: conv/kernels.cpp

}  // namespace fastconv
