// Filters of planes that keep their size: under a box or a separable kernel, axis by axis in one go, or under a kernel
// of few taps. What lies beyond the ends is looked up, not copied; scratch memory is a few lines of a plane.
//
// Planes lie densely one behind the other, and input and output do not overlap. Each output is a sum (or a maximum) of
// its own, in an order that depends on its place in the plane alone: results have the same bits for any number of
// threads and planes. Functions throw std::invalid_argument for a bad problem, are thread-safe and keep no pointer to
// the caller's memory.
#pragma once
#include <cstdint>

#include "fastconv/conv.hpp"
#include "fastconv/export.h"

namespace fastconv {

enum class Filter : uint8_t { weigh, mean, maximum, minimum };

struct FilterAxis {
  int64_t in = 1;
  int64_t size = 1, before = 0;  // elements under the filter, and how many of them lie before the one it is put on
  Mode mode = Mode::zeros;
  double value = 0;  // beyond the ends, where the mode is zeros; on the width, of what the height has made
};

struct FilterProblem {
  int64_t planes = 1;
  FilterAxis axis[2];  // height, width
};

FASTCONV_API void validate(const FilterProblem& problem);

// The height first, then the width. Filter::weigh takes `size` weights for each axis that is longer than 1. A NaN under
// a box makes the result NaN.
template <class T>
FASTCONV_API void filter_axes(const FilterProblem& problem, Filter filter, const T* x, const T* height_weights,
                              const T* width_weights, T* y);

// y = the sum of weights[i, j] * x[r + i - before, c + j - before], taps of weight zero left out. The time grows with
// the number of the others: it is meant for up to about sixteen.
template <class T>
FASTCONV_API void filter_taps(const FilterProblem& problem, const T* x, const T* weights, T* y);

}  // namespace fastconv
