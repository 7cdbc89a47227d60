// An empty sum: y is its bias, or zeros.
#pragma once
#include "conv/gather.hpp"

namespace fastconv {

template <class T>
void fill_with_bias(const GatherSum<T>& s);

}  // namespace fastconv
