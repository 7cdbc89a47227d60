// Forward and input gradient are both correlations: of x with the weights, and of dy with their transpose. This is the
// way from a problem to sums for the engines (conv/gather.hpp, conv/winograd.hpp).
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// `transformed`: Winograd's transform of w if it is at hand, else null.
template <class T>
void correlate_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y, Activation activation, Algorithm algorithm,
                       const T* transformed = nullptr);
template <class T>
void correlate_backward(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx, Activation activation, Algorithm algorithm);

// Winograd's transform of the weights of a forward call; empty if the problem can never be computed that way.
template <class T>
std::vector<T> transform_weights(const ConvProblem& p, View<const T> w, Algorithm algorithm);

// What a call would do.
template <class T>
ConvPlan plan_correlation(const ConvProblem& p, Direction direction, Algorithm algorithm);

}  // namespace fastconv
