// Contracts of the kernels for few channels a group: rows of the image are the rows of the tile, so that a vector of the
// input, once loaded, meets all taps above one another.
#pragma once
#include <cstdint>

#include "kernels/conv.hpp"

namespace fastconv {

constexpr int kBandRows = 8;

// `taps` taps below one another: tap i of output row r reads row r + i at x.
struct TapRun {
  int32_t x, taps;
};

// R rows of outputs, column after column of vectors:
//   y[c * y_step + r * y_row + l] = clamp( bias + sum_{run, i} w[run, i] * x[c * x_step + run.x + (r + i) * x_row + l] )
// for c in [0, columns) and lanes l, of which the last column has `last` alone. The sum goes in the order of the runs.
// x is read by whole vectors.
template <class T>
struct Band {
  const T* x;
  int64_t x_row, x_step;
  const TapRun* runs;
  int64_t run_count;
  const T* w;  // one a tap, in the order of the runs
  T* y;
  int64_t y_row, y_step;
  int64_t columns, last;
  T bias;
  bool clamp;
  T low, high;
};

// The same for planes narrower than a vector: column c holds planes c * across, c * across + 1, ... at every `pitch`-th
// lane, `width` outputs each. Weights and biases are vectors, of each column.
template <class T>
struct NarrowBand {
  const T* x;
  int64_t x_row, x_step;
  const TapRun* runs;
  int64_t run_count;
  const T* w;     // [column][tap][lane], the columns w_step apart
  int64_t w_step;
  const T* bias;  // [column][lane]
  T* const* y;    // one a plane
  int64_t y_offset, y_row;
  int64_t planes, across, pitch, width;
  bool clamp;
  T low, high;
};

// What R rows of dy, column after column, add to the weight gradient, lanes apart:
//   sums[((c % 2) * taps + t) * lanes + l] += dy[c * dy_step + r * dy_row + l] * x[c * x_step + run.x + (r + i) * x_row + l]
// for all r; t counts the taps i of all runs. Lanes outside [0, last) of the last column are left out.
template <class T>
struct BandDots {
  const T* x;
  int64_t x_row, x_step;
  const TapRun* runs;
  int64_t run_count, taps;
  const T* dy;
  int64_t dy_row, dy_step;
  int64_t columns, last;
  T* sums;
};

// And of narrow planes, where dy has been packed as x is; every column has sums of its own.
//   sums[(c * taps + t) * lanes + l] += ...   for the lanes l of `width` outputs at every `pitch`-th one, `across` times
template <class T>
struct NarrowDots {
  const T* x;
  int64_t x_row, x_step;  // the columns of dy are x_step apart, too
  const TapRun* runs;
  int64_t run_count, taps;
  const T* dy;
  int64_t dy_row;
  int64_t columns, across, pitch, width;
  T* sums;
};

template <class T>
struct DepthwiseKernelsOf {
  int lanes;
  int run_taps;  // a run has no more
  void (*band[kBandRows])(const Band<T>&);  // [R - 1]
  void (*narrow_band[kBandRows])(const NarrowBand<T>&);
  void (*band_dots[kBandRows])(const BandDots<T>&);
  void (*narrow_dots[kBandRows])(const NarrowDots<T>&);
  // dst[i] = sum of lanes [first, first + n) of the vector sums[i * lanes], i in [0, count)
  void (*lane_sums)(T* dst, const T* sums, int64_t count, int64_t first, int64_t n);
  void (*pack)(const PackChannel<T>&);  // as in kernels/conv.hpp
  // dst[k * lanes + i * pitch + l] = src[i][position[k]], k in [0, count), i in [0, across), l in [0, pitch): the vectors
  // of a column of narrow planes. Writes a vector beyond the end.
  void (*spread)(T* dst, const T* const* src, const int64_t* position, int64_t count, int64_t across, int64_t pitch);
  // dst[i * step] = i % 2 ? odd[i / 2] : even[i / 2], i in [0, n); odd may be null: then dst[i * step] = even[i].
  // even and odd are read by whole vectors.
  void (*unpack)(T* dst, int64_t step, const T* even, const T* odd, int64_t n);
};

struct DepthwiseKernels {
  DepthwiseKernelsOf<float> f32;
  DepthwiseKernelsOf<double> f64;
};

template <class T>
const DepthwiseKernelsOf<T>& depthwise_kernels();  // of the rung in use: conv/kernels.cpp

}  // namespace fastconv
