// Squares of three by three neighbouring taps at a stride of one or, of a channel, two, on rungs with a kernel for them
// (kernels/depthwise/squares.hpp): images are read where they stand, whatever their padding, unless it is wide or their
// elements are apart; then they are packed. An output is the sum over channels, rows of taps, taps of a row.
#pragma once
#include "conv/depthwise/depthwise.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Whether the input gradient is such a sum with what padding adds, as far as the axes are concerned.
template <class T>
bool folds_squares(const ConvProblem& p);
AxisFold fold_of(const ConvAxis& axis);

// Whether images are so small that all of one is in registers, or, at a stride of two, a row of it: forward, of more
// outputs.
template <class T>
bool has_small_squares(const ConvProblem& p, Direction direction);

template <class T>
DepthwisePlan plan_squares(const DepthwiseSum<T>& sum);
template <class T>
void run_squares(const DepthwiseSum<T>& sum, const DepthwisePlan& plan);

}  // namespace fastconv
