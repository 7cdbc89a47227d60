// Padding an array, cutting it into windows, and the adjoints of both.
//
// Nothing here has arithmetic but the sums of the adjoints, which are added in one order whatever the number of
// threads. NaN and infinity are copied as they are. Functions check the problem, not the views'
// shapes, and throw std::invalid_argument for a bad one. All are thread-safe and keep no pointer to the caller's
// memory.
#pragma once
#include <cstdint>

#include "fastconv/conv.hpp"
#include "fastconv/export.h"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Elements to add before and after an axis; a negative number crops that many away.
struct PadAxis {
  int64_t in = 1;
  int64_t before = 0, after = 0;
  Mode mode = Mode::zeros;

  int64_t out() const { return in + before + after; }
};

// One per axis of a View. The first two axes (n, c) take Mode::zeros only.
struct PadProblem {
  PadAxis axis[5];
};

// Throws std::invalid_argument where an axis is cropped below nothing, overflows, or has no value to pad with.
FASTCONV_API void validate(const PadProblem& problem);

// y[o] = x[map(o - before)] on every axis; where one of them maps to a zero, y[o] = value. A cropped axis still
// reflects and replicates what was cropped away, but Mode::circular wraps what is left, as PyTorch does.
template <class T>
FASTCONV_API void pad(const PadProblem& problem, View<const T> x, T value, View<T> y);

// dx = the adjoint of pad in x, applied to dy.
template <class T>
FASTCONV_API void pad_backward(const PadProblem& problem, View<const T> dy, View<T> dx);

// Windows of x, one a column: columns[n, c * taps + t, p] = x[n, c, map(p * stride + t * dilation - pad_before)],
// with mb, ic and the axes of a convolution problem (groups and oc do not matter). columns has the axes
// (mb, ic * taps, 1, 1, out pixels).
template <class T>
FASTCONV_API void unfold(const ConvProblem& problem, View<const T> x, View<T> columns);

// dx = the adjoint of unfold, applied to columns: every column added back to where it came from.
template <class T>
FASTCONV_API void fold(const ConvProblem& problem, View<const T> columns, View<T> dx);

}  // namespace fastconv
