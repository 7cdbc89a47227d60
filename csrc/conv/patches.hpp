// The input gradient of windows side by side, as patches of an image are embedded: no two of them meet, so that it is
// the gradient of a pointwise layer, whose channels are then put side by side.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Whether the gradient is computed this way.
bool use_patches(const ConvProblem& p, Algorithm algorithm);

template <class T>
void run_patches(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
                 Activation activation);

template <class T>
ConvPlan plan_patches(const ConvProblem& p);

}  // namespace fastconv
