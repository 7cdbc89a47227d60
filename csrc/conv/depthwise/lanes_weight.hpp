// The weight gradient with channels in the lanes of vectors: a vector of sums a tap, none of them across lanes.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

template <class T>
void lanes_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw);

template <class T>
ConvPlan plan_lanes_weight(const ConvProblem& p);

}  // namespace fastconv
