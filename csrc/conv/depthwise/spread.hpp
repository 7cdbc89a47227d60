// The input gradient of a depthwise layer of three by three taps at a stride of two: its four phases go together, so
// that dy is read once and dx is written in whole vectors.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Whether there is a kernel for it.
template <class T>
bool spreads_squares(const ConvProblem& p);

// Whether the gradient is computed this way.
template <class T>
bool use_spread(const ConvProblem& p, Algorithm algorithm);

template <class T>
void run_spread(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx);

template <class T>
ConvPlan plan_spread(const ConvProblem& p);

}  // namespace fastconv
