// Problems so small that making them ready for the register tiles would take longer than the sums: plain loops, with
// the same bits.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// y = clamp(conv(x, w) + bias); an activation that is no clamp is left to the caller. The problem is summed as the
// larger ones like it are, so that a sample has the same bits alone and in a batch: the depthwise tile goes along the
// width first. False if it is not tiny, or if an axis is summed in another order than that of the taps.
template <class T>
bool run_tiny(const ConvProblem& p, const View<const T>& x, const View<const T>& w, const View<const T>& bias,
              const View<T>& y, Activation activation);

// The same of an input gradient at a stride of one, padded with zeros.
template <class T>
bool run_tiny_gradient(const ConvProblem& p, const View<const T>& dy, const View<const T>& w, const View<const T>& bias,
                       const View<T>& dx, Activation activation);

}  // namespace fastconv
