// Correlation by Fourier transforms, for large kernels: tiles of the outputs by overlap-save, two real tiles of an
// image as the real and imaginary part of one complex one. The weights are real, so the parts never mix:
//
//   forward:          z = x1 + i x2,   y1 + i y2 = F^-1( F(z) conj F(w) )
//   weight gradient:  u = dy1 + i dy2, dw = Re F^-1( sum over tiles of F(z) conj F(u) )
//
// A tile is a plane of outputs (both axes transformed), or one line (a transform of rows * columns points in two passes
// with twist factors between). Taps along other axes, taps of different residues of the stride, and runs of taps too
// long for a tile are terms of their own, which are summed like channels in the frequency domain.
#pragma once
#include <limits>
#include <string>

#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// y[n, g * rows + m, o] = sum_{c, t} w[g, m, c, t] * x[n, g * channels + c] at (o, t)
struct FftAxes {
  AxisMap axis[3];
  int64_t images = 1, groups = 1, channels = 1, rows = 1;
};

// w[g, m, c, t] = data[g * group + m * row + c * channel + tap[0][t_d] + tap[1][t_h] + tap[2][t_w]]
template <class T>
struct FftWeights {
  T* data = nullptr;
  int64_t group = 0, row = 0, channel = 0;
  Vector<int64_t> tap[3];
};

template <class T>
struct FftSum {
  FftAxes of;
  FftWeights<const T> w;
  View<const T> x;
  View<T> y;
  const T* bias = nullptr;  // one a row of all groups; may be null
  bool clamp = false;
  T low = 0, high = 0;
};

struct FftPlan {
  bool line = false;
  int64_t rows = 0, columns = 0;   // of a tile; 0: the algorithm does not apply
  int64_t most_reach[2] = {0, 0};  // of the taps of one term, on h and w
  int64_t reach[2] = {0, 0};       // the longest there is
  int64_t extent[2] = {1, 1};      // outputs of a tile
  int64_t tiles[2] = {1, 1};
  int64_t depths = 1;                        // outputs of the first axis
  int64_t terms = 1;                         // of a row
  int64_t row_chunk = 1, group_chunk = 1;    // transformed at a time, and of the terms
  int64_t depth_chunk = 1, inner_chunk = 1;  // taps of the first axis, and terms of each
  int64_t batch = 1;                         // steps along the first axis at a time
  int64_t planes = 1;                        // of x, whose spectra are kept
  int64_t workspace_bytes = 0, shared_bytes = 0;
  int threads = 1;
  double cost = std::numeric_limits<double>::infinity();  // cycles of one image, weights included

  bool applies() const { return rows > 0; }
  int64_t pairs() const { return (tiles[0] * tiles[1] + 1) / 2; }
  // Steps of pair i along the first axis: an odd tile is paired with itself, half the axis apart.
  int64_t sweep(int64_t i) const { return 2 * i + 1 < tiles[0] * tiles[1] ? depths : (depths + 1) / 2; }
  int64_t steps() const { return (pairs() - 1) * depths + sweep(pairs() - 1); }
  std::string kernel() const;
};

// `gradient`: of the weight gradient (dy in y's place).
template <class T>
FftPlan plan_fft(const FftAxes& axes, bool gradient);

// Whether a choice is to be made at all: too few taps or products (of one image) are not worth a plan.
inline bool may_use_fft(Algorithm algorithm, double taps, double macs) {
  return algorithm == Algorithm::fft || (algorithm == Algorithm::automatic && taps >= 64 && macs >= 1e6);
}
// The plan where `algorithm` asks for it, or leaves the choice open and it is clearly cheaper; else one that does not
// apply.
template <class T>
FftPlan choose_fft(Algorithm algorithm, const FftAxes& axes, bool gradient);
ConvPlan describe_fft(const FftPlan& part, double images);

template <class T>
void run_fft(const FftSum<T>& s, const FftPlan& plan);
template <class T>
void run_fft_gradient(const FftAxes& axes, View<const T> dy, View<const T> x, const FftWeights<T>& dw,
                      const FftPlan& plan);

}  // namespace fastconv
