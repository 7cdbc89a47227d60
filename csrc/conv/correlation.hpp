// Forward and input gradient are both correlations: of x with the weights, and of dy with their transpose. This is the
// way from a problem to the algorithms that take it whole, and to the pieces that the others take
// (conv/pieces/plan.hpp).
#pragma once
#include "conv/direct/ready_weights.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

// x is dy in the backward direction, and y is dx. `ready`: what is at hand of w, or null.
template <class T>
void correlate(const ConvProblem& p, Direction direction, View<const T> x, View<const T> w, View<const T> bias,
               View<T> y, Activation activation, Algorithm algorithm, const ReadyWeights<T>* ready = nullptr);

// What a call would do.
template <class T>
ConvPlan plan_correlation(const ConvProblem& p, Direction direction, Algorithm algorithm);

}  // namespace fastconv
