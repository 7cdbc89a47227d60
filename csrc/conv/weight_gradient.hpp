#pragma once
#include "conv/block.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

template <class T>
void weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw, Algorithm algorithm = Algorithm::automatic);

// What a call would do.
template <class T>
ConvPlan plan_weight_gradient(const ConvProblem& p, Algorithm algorithm = Algorithm::automatic);

}  // namespace fastconv
