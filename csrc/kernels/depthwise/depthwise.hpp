// Contracts of the kernels for few channels a group: rows of the image are the rows of the tile, so that a vector of
// the input, once loaded, meets all taps above one another.
#pragma once
#include <cstdint>

#include "kernels/conv.hpp"

namespace fastconv {

constexpr int kBandRows = 8;
constexpr int kBands = 3;  // there are kernels for 8, 4 and 1 rows, as far as `rows` says

// f(first row, count of rows, kernel) for bands that make up n rows. Rows may come `again`, and do where one would be a
// band of its own.
template <class F>
void for_each_band(int64_t n, int64_t most, bool again, F f) {
  for (int64_t r = 0, rows = most, kernel = most > 4 ? 2 : most > 1 ? 1 : 0; r < n; r += rows) {
    while (rows > n - r) {
      if (again && rows == 4 && n > 4) r = n - rows;
      else rows = rows > 4 ? 4 : 1, --kernel;
    }
    f(r, rows, kernel);
  }
}

// `taps` taps below one another: tap i of output row r reads lines[line + r + i] from its element x on.
struct TapRun {
  int32_t line, x, taps;
};

// Lines of an image, packed or where they stand, in the latter case read from element 0 to `width` alone: what lies
// outside is zero. Columns of vectors in [whole, part) are known not to reach outside.
template <class T>
struct ImageLines {
  const T* const* line;
  int64_t width, whole, part;
};

// R rows of outputs, column after column of vectors:
//   y[c * lanes + r * y_row + l] = clamp( bias + sum_{run, i} w[run, i] * lines[run.line + r + i][c * lanes + run.x +
//   l] )
// for c in [0, columns) and lanes l, of which the last column has `last` alone. The sum goes in the order of the runs.
// Packed lines are read by whole vectors.
template <class T>
struct Band {
  ImageLines<T> lines;
  const TapRun* runs;
  int64_t run_count;
  const T* w;  // one a tap, in the order of the runs
  T* y;
  int64_t y_row;
  int64_t columns, last;
  int64_t x_ahead, y_ahead;  // elements to what is worth fetching, or zero
  T bias;
  bool clamp;
  T low, high;
  int64_t rows;  // R, of kernels for any
  bool single;   // every run is one tap
};

// What R rows of dy, column after column, add to the weight gradient, lanes apart:
//   sums[((c % 2) * taps + t) * lanes + l] += dy[c * lanes + r * dy_row + l] * lines[run.line + r + i][c * lanes +
//   run.x + l]
// for all r; t counts the taps i of all runs. Lanes outside [0, last) of the last column are left out.
template <class T>
struct BandDots {
  ImageLines<T> lines;
  const TapRun* runs;
  int64_t run_count, taps;
  const T* dy;
  int64_t dy_row;
  int64_t columns, last;
  T* sums;
  int64_t rows;  // R, of kernels for any
};

//   y[j] = clamp( bias + sum_k w[k] * x[j + k] ),   j in [0, n), k in [0, taps)
// n is line_outputs at least; x is read by whole vectors. The sum goes in the order of k within a vector's width, then
// by whole widths.
template <class T>
struct Line {
  const T *x, *w;
  int64_t taps;
  T* y;
  int64_t n;
  T bias;
  bool clamp;
  T low, high;
};

//   y[g, r][i] = clamp( bias[g * rows + r] + sum_c w[g, r, c] * x[g, c][i] ),   i in [0, n)
// in the order of c. A null bias is zero.
template <class T>
struct ScaledPlanes {
  const T* x;
  int64_t x_group, x_channel;
  T* y;
  int64_t y_group, y_row;
  const T* w;
  int64_t w_group, w_row, w_channel;
  const T* bias;
  int64_t bias_step;
  int64_t groups, rows, channels, n;
  bool clamp;
  T low, high;
};

//   sums[((g * rows + r) * channels + c) * lanes + l] += sum of dy[g, r][i] * x[g, c][i],   i in [0, n), lanes apart
template <class T>
struct PlaneDots {
  const T* x;
  int64_t x_group, x_channel;
  const T* dy;
  int64_t dy_group, dy_row;
  int64_t groups, rows, channels, n;
  T* sums;
};

template <class T>
struct DepthwiseKernelsOf {
  int lanes;
  int rows;          // of the largest band
  int run_taps;      // a run has no more
  bool reads_parts;  // of vectors, and so images where they stand
  void (*band[kBands])(const Band<T>&);
  void (*band_dots[kBands])(const BandDots<T>&);
  int64_t line_outputs;
  void (*line)(const Line<T>&);             // null without fused multiply-add
  void (*scale)(const ScaledPlanes<T>&);    // null without fused multiply-add, and in float64
  void (*plane_dots)(const PlaneDots<T>&);  // the same
  // dst[i] = sum of the lanes of the vector sums[i * lanes], i in [0, count)
  void (*lane_sums)(T* dst, const T* sums, int64_t count);
  // dst[i * step] = i % 2 ? odd[i / 2] : even[i / 2], i in [0, n); odd may be null: then dst[i * step] = even[i].
  // even and odd are read by whole vectors.
  void (*unpack)(T* dst, int64_t step, const T* even, const T* odd, int64_t n);
};

struct DepthwiseKernels {
  DepthwiseKernelsOf<float> f32;
  DepthwiseKernelsOf<double> f64;
};

template <class T>
const DepthwiseKernelsOf<T>& depthwise_kernels();  // of the rung in use: isa/typed_kernels.cpp

}  // namespace fastconv
