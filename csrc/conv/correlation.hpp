// Forward and input gradient are both correlations: of x with the weights, and of dy with their transpose. This is the
// way from a problem to sums for the engines (conv/gather.hpp, conv/winograd.hpp).
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

template <class T>
void correlate_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y, Activation activation, Algorithm algorithm);
template <class T>
void correlate_backward(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx, Activation activation, Algorithm algorithm);

}  // namespace fastconv
