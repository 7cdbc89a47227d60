// The weight gradient of few channels a group, by the tile of conv/depthwise/depthwise.hpp: rows of dy stay in
// registers while lines of the packed planes pass by. Every element is summed in lanes, which are added last.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Whether the gradient is computed this way: `algorithm` asks for it, or it is faster than the others.
template <class T>
bool use_depthwise_weight(const ConvProblem& p, Algorithm algorithm);

template <class T>
void depthwise_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw);

// What a call would do.
template <class T>
ConvPlan plan_depthwise_weight(const ConvProblem& p);

}  // namespace fastconv
