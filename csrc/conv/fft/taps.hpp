// The taps of an axis as terms of Fourier transforms: each sums some taps of one residue of the stride.
#pragma once
#include <cstdint>

#include "base/checked.hpp"
#include "base/workspace.hpp"
#include "conv/axis.hpp"

namespace fastconv {

// Taps that one term sums: tap + i * tap_step reads (o + i * shift) * stride + base, i < count.
struct FftPhase {
  int64_t base, count, shift, tap, tap_step;
  int64_t reach() const { return (count - 1) * shift; }
};

// The taps of an axis in ascending order, `step` apart. Those of one residue of the stride are `classes` taps and
// `shift` outputs apart.
struct FftTaps {
  int64_t count, low, step, stride, first, direction, classes, shift;
  explicit FftTaps(const AxisMap& map);
  int64_t span() const { return (count - 1) * step; }
  int64_t of_class(int64_t c) const { return (count - c + classes - 1) / classes; }
  // Runs of at most `most_reach` that the n taps of a class are cut into, and the taps of the longest.
  int64_t runs(int64_t n, int64_t most_reach) const { return ceil_div(n, most_reach / shift + 1); }
  int64_t longest(int64_t n, int64_t most_reach) const { return ceil_div(n, runs(n, most_reach)); }
};

// The terms of an axis, none of which reaches further than `most_reach`.
Vector<FftPhase> fft_phases(const FftTaps& t, int64_t most_reach);

}  // namespace fastconv
