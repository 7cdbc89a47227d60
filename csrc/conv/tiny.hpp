// Problems so small that making them ready for the register tiles would take longer than the sums: plain loops, with
// the same bits.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

bool is_tiny(const ConvProblem& p);

// y = clamp(conv(x, w) + bias); an activation that is no clamp is left to the caller.
template <class T>
void run_tiny(const ConvProblem& p, const View<const T>& x, const View<const T>& w, const View<const T>& bias,
              const View<T>& y, Activation activation);

}  // namespace fastconv
