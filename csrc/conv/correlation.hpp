// Forward and input gradient are both correlations: of x with the weights, and of dy with their transpose. This is the
// way from a problem to the algorithms that take it whole, and to the pieces that the others take
// (conv/piece_plan.hpp).
#pragma once
#include "conv/direct/ready_weights.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

// `ready`: what is at hand of w, or null.
template <class T>
void correlate_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y,
                       Activation activation, Algorithm algorithm, const ReadyWeights<T>* ready = nullptr);
template <class T>
void correlate_backward(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
                        Activation activation, Algorithm algorithm);

// What a call would do.
template <class T>
ConvPlan plan_correlation(const ConvProblem& p, Direction direction, Algorithm algorithm);

}  // namespace fastconv
