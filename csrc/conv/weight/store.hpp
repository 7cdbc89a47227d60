// Sums of a weight gradient to where they belong in dw.
#pragma once
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Elements from dw's first to its (c, t), for each c in [0, channels) and tap t.
template <class T>
Vector<int64_t> weight_positions(const View<T>& dw, int64_t channels);

// dw[o, c, t] = sums[((c - channels.begin) * taps + t) * width + o - outputs.begin], taps t in the order of dw.
template <class T>
void store_weight_sums(const T* sums, int64_t width, Range outputs, Range channels, View<T> dw);

}  // namespace fastconv
