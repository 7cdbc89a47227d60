// The packed direct algorithm: problem -> sums for the engine (conv/gather.hpp).
#pragma once
#include "conv/gather.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

template <class T>
void direct_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y, Activation activation);
template <class T>
void direct_backward_input(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx, Activation activation);
template <class T>
void direct_backward_weight(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw);

}  // namespace fastconv
