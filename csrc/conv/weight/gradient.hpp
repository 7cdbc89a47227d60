#pragma once
#include "base/range.hpp"
#include "conv/direct/block.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

template <class T>
void weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw, Algorithm algorithm);

// What a call would do.
template <class T>
ConvPlan plan_weight_gradient(const ConvProblem& p, Algorithm algorithm);

// Estimated cycles of the direct algorithm for `images` images, if two products of vectors took one: as others' costs.
template <class T>
double direct_weight_cost(const ConvProblem& p, int64_t images);

}  // namespace fastconv
