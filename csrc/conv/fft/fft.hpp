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
#include "base/workspace.hpp"
#include "conv/fft/plan.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

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

template <class T>
void run_fft(const FftSum<T>& s, const FftPlan& plan);
template <class T>
void run_fft_gradient(const FftAxes& axes, View<const T> dy, View<const T> x, const FftWeights<T>& dw,
                      const FftPlan& plan);

}  // namespace fastconv
