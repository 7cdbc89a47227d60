// Pooling kernels: one call makes a segment of one output row, or of one row of an input gradient.
#pragma once
#include <stdint.h>

#include "pool/windows.hpp"

namespace fastconv {

// How a row kernel goes over the width.
enum class PoolWalk : uint8_t {
  unit,    // rows of the window reduced column by column, then neighbours: stride 1
  phased,  // the same, once columns are sorted by their remainder modulo the stride
  table,   // columns reduced the same way, then window by window
  direct,  // window by window from the input: windows too wide for scratch memory, and whole planes
};

// The input rows under one output row.
template <class T>
struct PoolRows {
  const T* data;  // column 0 of the first row
  int64_t planes, plane_step, rows, row_step;  // taps on depth and height, steps in elements
  int64_t col_step;
  const T* end;  // nothing is read from here on
  int64_t index, plane_index, row_index;  // flat position of `data` in its plane, and what the taps add
};

// Outputs [first, last) of the row.
template <class T>
struct PoolSegment {
  const PoolAxis* axis;
  PoolWalk walk;
  int64_t first, last;
  T* y;  // of output `first`
  int64_t y_step;
  int64_t* index;  // likewise; only the kernels that find positions write it
  int64_t index_step;
  const T* divisor;  // per output of the segment, readable in whole vectors; null: nothing is divided
  T area;            // the other axes' part of the divisor
  void* scratch;     // kPoolScratch elements, where the walk is not direct
};

// One row of the input gradient of an average, columns [first, last).
template <class T>
struct PoolGradRow {
  const PoolAxis* axis;
  PoolWalk walk;
  const T* dy;  // column 0 of the first output row that covers this input row
  int64_t planes, plane_step, rows, row_step, col_step;
  const T* end;           // nothing is read from here on
  const T* plane_weight;  // what each of the output rows counts
  const T* row_weight;
  const T* col_weight;  // likewise the outputs, from the first one of outputs.first that there is
  PoolCover outputs;    // that touch the columns; those that there are not count as zeros
  int64_t first, last;
  T* dx;  // of column `first`
  int64_t dx_step;
  void* scratch;  // a line of the outputs and kPoolSlack elements
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

// Output rows [first, last) of a dense plane, by regular windows that are dense on the width and step 1, 2 or 4 there.
template <class T>
struct PoolStrip {
  const T* x;             // of the plane
  const T *x_begin, *x_end;  // nothing is read outside
  int64_t plane_step, row_step;
  const PoolAxis* axis;  // d, h, w
  const PoolWindow *depth, *height;  // of each output
  int64_t first, last;   // od * (outputs of h) + oh
  T *y, *y_end;          // of row `first`; what lies behind a row is overwritten up to the end
  int64_t* index;        // of row `first`
  bool divided, inverse;  // by the product of the axes' divisors, or inverses that are exact
  const T *depth_divisors, *height_divisors, *width_divisors;  // the last readable in whole vectors
};
constexpr int64_t kStripTaps = 4;  // strides that a window takes on the width at most

// Windows of an axis, listed.
template <class T>
struct LaneAxis {
  int64_t in, out, dilation;
  const PoolWindow* windows;  // of each output
  const PoolCover* covers;    // of each input element; gradients of averages only
  const T* divisors;          // of each output; for such a gradient, what the output counts
};
constexpr int kMaxLanes = 16;
constexpr int64_t kLaneElements = 2048;  // of a plane at most
constexpr int64_t kLaneWidth = 32;        // of planes that are pooled so whatever the windows

// Up to a vector's lanes of small planes at once, one a lane, each dense in memory. Forward: x to y (and index);
// gradient of averages: dy to y.
template <class T>
struct LanePlanes {
  LaneAxis<T> axis[3];
  int64_t planes;
  const T* x[kMaxLanes];   // all lanes, readable even where there is no plane
  const T* dy[kMaxLanes];  // likewise
  const T *x_end, *dy_end;  // nothing is read from here on
  T* y[kMaxLanes];
  bool y_packed;  // the planes of y lie one behind the other
  int64_t* index[kMaxLanes];
  bool divided;
  T scale;  // of all gradients of averages
  void* scratch;  // lane_pool_scratch vectors
};

FASTCONV_WINDOW int64_t lane_pool_scratch(int64_t in, int64_t width, int64_t out) {
  return 2 * in + 2 * width + 2 * out + 3 * kMaxLanes;
}

constexpr int64_t kPoolSpan = 2048;   // columns that are reduced into scratch memory at a time
constexpr int64_t kPoolSlack = 128;   // elements that whole vectors may touch beyond a line's end
constexpr int64_t kPoolPhases = 16;   // largest stride that is walked by phases

// A line of joined columns and their phases; values and as many positions.
constexpr int64_t kPoolScratch = 2 * (2 * kPoolSpan + (kPoolPhases + 1) * kPoolSlack);

template <class T>
using PoolRowFunction = void (*)(const PoolRows<T>&, const PoolSegment<T>&);

template <class T>
using PoolStripFunction = void (*)(const PoolStrip<T>&);
template <class T>
using LanePoolFunction = void (*)(const LanePlanes<T>&);

template <class T>
struct PoolFunctions {
  PoolRowFunction<T> max, max_index, sum;
  PoolRowFunction<T> max_magnitude, sum_magnitude, sum_squares;
  void (*avg_grad)(const PoolGradRow<T>&);
  void (*halve)(const PoolHalves<T>&);
  void (*halve_grad)(const PoolHalvesGrad<T>&);
  PoolStripFunction<T> strip_max, strip_max_index, strip_sum;
  int64_t lanes;
  LanePoolFunction<T> lane_max, lane_max_index, lane_sum, lane_avg_grad;
};

struct PoolKernels {
  PoolFunctions<float> f32;
  PoolFunctions<double> f64;
};

}  // namespace fastconv
