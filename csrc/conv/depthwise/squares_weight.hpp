// The weight gradient of squares of three by three taps (kernels/depthwise/squares.hpp): images are read as in
// conv/depthwise/squares.hpp.
#pragma once
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Whether the weight gradient is one of three by three taps, for which there is a kernel.
template <class T>
bool has_square_gradient(const ConvProblem& p);
template <class T>
void squares_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw);
template <class T>
ConvPlan plan_squares_weight(const ConvProblem& p);

}  // namespace fastconv
