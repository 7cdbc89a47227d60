// The input gradient as a sum of patches: a pixel of dy times all weights is a patch of dx. The patches of an image are
// a pointwise product, of as many rows as dx has channels and taps, which fills any tile where dx has few channels;
// and a stride multiplies nothing by zeros. Each element of dx then adds what the patches that cover it have for it.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Whether the gradient is computed this way. Some taps: the weights are a view of others.
template <class T>
bool use_patches(const ConvProblem& p, Algorithm algorithm, bool some_taps);

template <class T>
void run_patches(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx);

template <class T>
ConvPlan plan_patches(const ConvProblem& p);

}  // namespace fastconv
