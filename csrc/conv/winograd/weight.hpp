// The weight gradient of a 3x3 correlation of stride 1 by Winograd's F(4x4, 3x3), run backwards.
#pragma once
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Whether the algorithm is to be used: where it fits and is asked for, or is the faster one on one image.
template <class T>
bool use_winograd_weight(const ConvProblem& p, Algorithm algorithm);

template <class T>
void winograd_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw);

template <class T>
ConvPlan plan_winograd_weight(const ConvProblem& p);

}  // namespace fastconv
