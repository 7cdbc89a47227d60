// Contracts of the Winograd kernels: F(4x4, 3x3), tiles of 6x6 inputs and 4x4 outputs, four apart.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int kWinogradOut = 4, kWinogradIn = 6, kWinogradPlanes = 36;

// A vector holds one value of `lanes` channels, so that images of any size fill it.

// pixels[p * lanes + c] = src[c * channel_stride + p * step] for p in [0, count), c in [0, channels); zeros up to
// `lanes`.
template <class T>
struct WinogradPixels {
  const T* src;
  int64_t channels, channel_stride, count, step;
  T* pixels;
};

// Value i of tile t = r * across + s goes to v + plane * i + t * tile. Pixel (h, w) of the patches' lines stands at
// src + row[h] * pitch + column[w] * lanes, or is zero where row[h] or column[w] is negative.
//   source: (B^T d B)_i of the 6x6 patch d at line 4 r, 4 s;
//   gradient: (A g A^T)_i of the 4x4 patch g there.
template <class T>
struct WinogradPatches {
  const T* src;
  int64_t pitch;
  const int32_t *row, *column;
  int64_t down, across;
  T* v;
  int64_t plane, tile;
};

// u[plane * i + c * lanes + m] = (G g G^T)_i for the 3x3 kernels g = w[m * row_stride + c * channel_stride + tap[t]];
// zeros for m in [rows, lanes).
template <class T>
struct WinogradWeights {
  const T* w;
  int64_t rows, row_stride, channels, channel_stride;
  int64_t tap[9];
  T* u;
  int64_t plane;
};

// m[r * m_vector + t * lanes + l] = sum_c u[r * u_vector + c * lanes + l] * v[c / lanes * v_vector + t * lanes + c %
// lanes] in the order of c, for r in [0, vectors), t in [0, tiles); added to what m holds if `accumulate`.
template <class T>
struct WinogradProducts {
  const T* u;
  int64_t vectors, u_vector;
  const T* v;
  int64_t channels, v_vector;
  T* m;
  int64_t tiles, m_vector;
  bool accumulate;
};

// s[r * s_vector + c * lanes + l] = sum_t g[r * g_vector + t * lanes + l] * v[c / lanes * v_vector + t * lanes + c %
// lanes] for r in [0, vectors), c in [0, channels), over t in [0, tiles); added to what s holds if `accumulate`.
template <class T>
struct WinogradTileSums {
  const T* g;
  int64_t vectors, g_vector;
  const T* v;
  int64_t channels, v_vector;
  T* s;
  int64_t tiles, s_vector;
  bool accumulate;
};

// y[l * y_channel + row * y_row + column * y_step] = clamp( bias[l] + (A^T m A)[row % 4, column % 4] ) for the channels
// l, value i of tile (row / 4) * across + column / 4 standing at m + plane * i + tile * lanes. `pixels` is scratch
// memory for four rows. bias has `lanes` values, or is null.
template <class T>
struct WinogradOutput {
  const T* m;
  int64_t plane;
  int64_t across;
  T* y;
  int64_t channels, y_channel, y_row, y_step;
  int64_t rows, columns;
  const T* bias;
  bool clamp;
  T low, high;
  T* pixels;
};

// w[(c * 9 + t) * row + l] = (G^T s G)_t for c in [0, channels), l in [0, lanes), where
// s_i = sum_k s[k * part + i * plane + c * lanes + l], k in [0, parts).
template <class T>
struct WinogradSums {
  const T* s;
  int64_t parts, part, plane;
  int64_t channels;
  T* w;
  int64_t row;
};

// One dimension: v[j * plane + t * lanes + c] = scale * (B^T d)_j of the six pixels d at column[4 t], ..., where pixel w
// stands at src + column[w] * lanes, or is zero where that is negative.
template <class T>
struct WinogradLinePatches {
  const T* src;
  const int32_t* column;
  int64_t tiles;
  T scale;
  T* v;
  int64_t plane;
};
// pixels[(4 t + j) * lanes + l] = (A^T m)_j, value i of tile t standing at m + plane * i + t * lanes.
template <class T>
struct WinogradLineOutput {
  const T* m;
  int64_t plane, tiles;
  T* pixels;
};

template <class T>
struct WinogradKernelsOf {
  int tiles, vectors;  // of the largest register tile
  void (*pixels)(const WinogradPixels<T>&);
  void (*weights)(const WinogradWeights<T>&);
  void (*products)(const WinogradProducts<T>&);
  void (*tile_sums)(const WinogradTileSums<T>&);
  void (*output)(const WinogradOutput<T>&);
  void (*source_patches)(const WinogradPatches<T>&);
  void (*gradient_patches)(const WinogradPatches<T>&);
  void (*weight_sums)(const WinogradSums<T>&);
  void (*line_patches)(const WinogradLinePatches<T>&);
  void (*line_output)(const WinogradLineOutput<T>&);
};
struct WinogradKernels {
  WinogradKernelsOf<float> f32;
  WinogradKernelsOf<double> f64;
};

template <class T>
const WinogradKernelsOf<T>& winograd_kernels();  // of the rung in use: conv/kernels.cpp

}  // namespace fastconv
