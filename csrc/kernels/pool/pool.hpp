// Pooling kernels: rows of outputs, rows of an input gradient, and sums over long runs. Rows are dense in memory; what
// is not is copied first (pool/planes.hpp). Nothing is read or written outside of what a call names.
#pragma once
#include <stdint.h>

#include "pool/windows.hpp"

namespace fastconv {

// Output rows [first_row, last_row) at one depth, outputs [first, last) of each, of some planes.
template <class T>
struct PoolStrip {
  const PoolAxis* axis;              // d, h, w
  int64_t planes, x_plane, y_plane;  // how many, and the steps from each to the next
  const T* x;                        // of the first plane
  int64_t plane_step, row_step;      // between its planes and its rows
  int64_t depth, first_row, last_row, first, last;
  T* y;            // of the first output
  int64_t* index;  // likewise; only kernels that find positions write it
  int64_t y_row;   // from row to row of both
  // Sums are multiplied by `scale`, or divided: by divisors[0], or, if `counted`, by divisors[o - first] times what the
  // other axes count. Divisors are readable in whole vectors.
  T scale;
  const T* divisors;
  bool counted, count_include_pad;
  void* scratch;  // kPoolScratch elements
};

// Input rows [first_row, last_row) of every depth of the gradient of an average, columns [first, last) of each, in some
// planes.
template <class T>
struct AvgGradStrip {
  const PoolAxis* axis;
  int64_t planes, dy_plane, dx_plane;  // how many, and the steps from each to the next
  const T* dy;                         // of the first plane
  int64_t plane_step, row_step;
  int64_t first_row, last_row, first, last;
  const T *plane_weight, *row_weight;  // what an output of the axis counts
  const T* weight;  // likewise of the outputs from the first one of avg_grad_outputs, readable in whole vectors
  T* dx;            // of the first column
  int64_t dx_depth, dx_row;
  int64_t most_rows;  // of outputs over a row of dx, at most
  void* scratch;      // avg_grad_scratch elements
};

// A plane pooled by windows side by side, stride x height elements each, into rows x columns outputs one behind the
// other.
template <class T>
struct PoolTiles {
  const T* x;
  int64_t x_row, x_step;  // from row to row of a window, and from a window's first row to the next one's
  T* y;
  int64_t rows, columns, height;
  T factor;  // what sums are multiplied with or divided by
  bool divided;
};
// The gradient of such averages: dx is dense, all of it in windows.
template <class T>
struct PoolTilesGrad {
  const T* dy;
  T* dx;
  int64_t rows, columns, height;
  T row_weight, weight;  // dy is multiplied with, one after the other, as other kernels do
};
// The gradient of maxima of 2x2 elements, whose winners are found again from x or given by their positions, in planes
// one behind the other.
template <class T>
struct PoolHalvesGrad {
  const T* x;
  int64_t x_row, x_plane;
  const int64_t* index;
  const T* dy;
  T* dx;
  int64_t planes, rows, columns;
};

// What is joined at a place of an axis, or of two: taps [first, first + count) of a list.
struct PoolPlace {
  int64_t to, index;  // where the result goes, and its position
  int64_t first, count;
  double divisor;
};
struct PoolTap {
  int64_t at, position;  // where it stands in memory, and in its plane
  double weight;
  float narrow;  // the same
};
struct PoolTaps {
  const PoolPlace* place;
  const PoolTap* taps;
};
// Planes side by side: at all places of some rows (of all depths) the taps of rows and of columns are joined.
struct PoolPixels {
  PoolTaps rows, columns;
  int64_t first_row, last_row, width, planes;
  const void* x;  // elements of the kernel's type
  void* y;        // or null, where positions alone are wanted
  int64_t* index;
  double factor;  // of sums, which are divided otherwise
  bool divided;
};

constexpr int64_t kPoolSpan = 2048;  // columns of a row that are joined at a time
constexpr int64_t kPoolSlack = 64;   // elements that whole vectors may touch beyond a line's end
constexpr int64_t kPoolPicked = 16;  // largest stride whose elements are picked from vectors
constexpr int64_t kPoolRun = 4096;   // elements that are summed before the sum leaves for a double

// Lines of joined columns, which are read beyond their ends, values and as many positions; what is picked; and a list
// of taps or of windows.
constexpr int64_t kPoolLines = kPoolSpan + (3 + kPoolPicked) * kPoolSlack;
constexpr int64_t kPoolScratch = 2 * kPoolLines + kPoolPicked * 16 + 2 * kPoolSpan;

// Whose gradient's columns are made in vectors, phase by phase.
FASTCONV_WINDOW bool is_phased(const PoolAxis& w) {
  return w.windows == PoolWindows::regular && w.stride <= kPoolPicked;
}
// Outputs that columns [first, last) of a gradient are gathered from; those that there are not count as zeros.
FASTCONV_WINDOW PoolCover avg_grad_outputs(const PoolAxis& w, int64_t first, int64_t last) {
  if (!is_phased(w)) return {pool_cover(w, first).first, pool_cover(w, last - 1).last};
  const int64_t m = (first + w.pad_before) / w.stride;
  return {m - (w.k - 1) / w.stride, (last - 1 + w.pad_before) / w.stride + 1};
}
FASTCONV_WINDOW int64_t avg_grad_scratch(int64_t outputs, int64_t columns, int64_t most_rows) {
  // Lines, and what reaches each of the columns and a row.
  return kPoolSpan + outputs + 5 * columns + 4 * most_rows + 4 * kPoolSlack + 2 * kPoolPicked * 16;
}

// out[i] = the sum (or the maximum) of n elements from runs + i * step, over the divisor, for `count` runs.
template <class T>
using PoolRunsFunction = void (*)(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out);
template <class T>
using PoolStripFunction = void (*)(const PoolStrip<T>&);

template <class T>
struct PoolTileFunctions {
  // Windows of 2 and of 4 columns; null on rungs that do without.
  void (*max[2])(const PoolTiles<T>&);
  void (*sum[2])(const PoolTiles<T>&);
  void (*spread[2])(const PoolTilesGrad<T>&);
  // With winners found again, and given: false if one is not in its window, and dx is unfinished.
  bool (*halve_grad[2])(const PoolHalvesGrad<T>&);
};

struct PoolPixelFunctions {
  int64_t lanes;
  void (*max)(const PoolPixels&);
  void (*max_index)(const PoolPixels&);
  void (*sum)(const PoolPixels&);
  // y = the sum of all n pixels, `step` elements apart, over the divisor.
  void (*sum_all)(const void* x, int64_t step, int64_t n, int64_t planes, double divisor, void* y);
};

template <class T>
struct PoolFunctions {
  int64_t lanes;
  PoolStripFunction<T> max, max_index, sum;
  PoolRunsFunction<T> max_runs, sum_runs;
  // count runs of n elements, each filled with a value times `factor`.
  void (*fill_runs)(const T* values, int64_t values_step, T factor, T* to, int64_t step, int64_t count, int64_t n);
  void (*avg_grad)(const AvgGradStrip<T>&);
  const PoolTileFunctions<T>* tiles;
  const PoolPixelFunctions* pixels;  // null for double, which would double their bytes
};

struct PoolKernels {
  PoolFunctions<float> f32;
  PoolFunctions<double> f64;
};

}  // namespace fastconv
