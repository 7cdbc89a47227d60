// Rows joined element by element: one step of a filter. Rows that are one row, shifted, make the step along the width.
#pragma once
#include <stdint.h>

namespace fastconv {

template <class T>
struct FilterRows {
  const T* const* rows;  // outputs - 1 + taps of them, `count` elements each
  const T* weights;      // one a tap, for `weigh`
  int64_t taps;
  int64_t outputs;  // 1, or kFilterRows where taps are as many or more
  T* y;             // y[j * y_step + i] = the join of rows[j + t][i] over the taps t; for one output it may be a row
  int64_t y_step;
  int64_t count;
  T divisor;  // of sums
};
constexpr int64_t kFilterRows = 4;  // outputs that share what they read

template <class T>
using FilterFunction = void (*)(const FilterRows<T>&);

template <class T>
struct FilterFunctions {
  FilterFunction<T> weigh, sum, max, min;  // of a row with a NaN, max and min are NaN
};

struct FilterKernels {
  FilterFunctions<float> f32;
  FilterFunctions<double> f64;
};

}  // namespace fastconv
