// The naive loops, with double accumulators. They stay: every fast kernel is tested against them, and they
// answer algorithm="reference".
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

template <class T>
void reference_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y);
template <class T>
void reference_backward_input(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx);
template <class T>
void reference_backward_weight(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw);

}  // namespace fastconv
