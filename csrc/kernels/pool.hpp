// Pooling kernels: rows of outputs, rows of an input gradient, and sums over long runs. Rows are dense in memory; what is not
// is copied first (pool/stage.hpp). Nothing is read or written outside of what a call names.
#pragma once
#include <stdint.h>

#include "pool/windows.hpp"

namespace fastconv {

// Output rows [first_row, last_row) at one depth of a plane; outputs [first, last) of each.
template <class T>
struct PoolStrip {
  const PoolAxis* axis;          // d, h, w
  const T* x;                    // of the plane
  int64_t plane_step, row_step;  // between its planes and its rows
  int64_t depth, first_row, last_row, first, last;
  T* y;                          // of the first output
  int64_t* index;                // likewise; only kernels that find positions write it
  int64_t y_row;                 // from row to row of both
  // Sums are multiplied by `scale`, or divided: by divisors[0], or, if `counted`, by divisors[o - first] times what the other axes
  // count. Divisors are readable in whole vectors.
  T scale;
  const T* divisors;
  bool counted, count_include_pad;
  void* scratch;                    // kPoolScratch elements
};

// Input rows [first_row, last_row) of the gradient of an average, columns [first, last) of each.
template <class T>
struct AvgGradStrip {
  const PoolAxis* axis;
  const T* dy;  // of the plane
  int64_t plane_step, row_step;
  int64_t first_row, last_row, first, last;
  const T *plane_weight, *row_weight;  // what an output of the axis counts
  const T* weight;  // likewise of the outputs from the first one of avg_grad_outputs, readable in whole vectors
  T* dx;            // of the first column
  int64_t dx_row;
  void* scratch;    // avg_grad_scratch elements
};

// A plane pooled by 2x2 windows at stride 2 into rows x columns outputs that lie one behind the other.
template <class T>
struct PoolHalves {
  const T* x;
  int64_t x_row;   // step from row to row
  const T* x_end;  // nothing is read from here on
  T* y;
  int64_t rows, columns;
};
// Its gradient; dx is (2 rows) x (2 columns), dense.
template <class T>
struct PoolHalvesGrad {
  const T* x;
  int64_t x_row;
  const T* x_end;
  const T* dy;
  const T* dy_end;
  T* dx;
  int64_t rows, columns;
};

constexpr int64_t kPoolSpan = 2048;    // columns of a row that are joined at a time
constexpr int64_t kPoolSlack = 64;     // elements that whole vectors may touch beyond a line's end
constexpr int64_t kPoolPhases = 16;    // largest stride that is walked by phases
constexpr int64_t kPoolRun = 4096;     // elements that are summed before the sum leaves for a double

// Lines of joined columns and their phases, values and as many positions; and a list of taps.
constexpr int64_t kPoolLines = 2 * kPoolSpan + (4 + 2 * kPoolPhases) * kPoolSlack;
constexpr int64_t kPoolScratch = 2 * kPoolLines + 2 * kPoolSpan;

// Strides that vectors zip.
FASTCONV_WINDOW bool is_zipped(const PoolAxis& w) {
  return w.windows == PoolWindows::regular && (w.stride == 1 || w.stride == 2 || w.stride == 4);
}
// Outputs that columns [first, last) of a gradient are gathered from; those that there are not count as zeros.
FASTCONV_WINDOW PoolCover avg_grad_outputs(const PoolAxis& w, int64_t first, int64_t last) {
  if (!is_zipped(w)) return {pool_cover(w, first).first, pool_cover(w, last - 1).last};
  const int64_t m = (first + w.pad_before) / w.stride;
  return {m - (w.k - 1) / w.stride, (last - 1 + w.pad_before) / w.stride + 1};
}
FASTCONV_WINDOW int64_t avg_grad_scratch(int64_t outputs, int64_t columns) { return outputs + columns + 4 * kPoolSlack; }

constexpr int kScattered = 4;

// out[i] = the sum (or the maximum) of n elements from runs + i * step, over the divisor, for up to a vector's number of runs.
template <class T>
using PoolRunsFunction = void (*)(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out);
template <class T>
using PoolStripFunction = void (*)(const PoolStrip<T>&);

template <class T>
struct PoolFunctions {
  int64_t lanes;
  PoolStripFunction<T> max, max_index, sum;
  PoolRunsFunction<T> max_runs, sum_runs;
  void (*fill)(T* to, int64_t n, T value);
  // dx[i][index[i][o]] += dy[i][o] for kScattered planes, until an index is not in [0, size): returns where it is, or null.
  const int64_t* (*scatter)(const T* const* dy, const int64_t* const* index, T* const* dx, int64_t outputs, int64_t size);
  void (*avg_grad)(const AvgGradStrip<T>&);
  void (*halve)(const PoolHalves<T>&);
  void (*halve_grad)(const PoolHalvesGrad<T>&);
};

struct PoolKernels {
  PoolFunctions<float> f32;
  PoolFunctions<double> f64;
};

}  // namespace fastconv
