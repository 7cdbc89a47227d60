// Empty sums: y is its bias, or zeros.
#pragma once
#include "conv/direct/gather.hpp"

namespace fastconv {

// One value in rows of columns, which are `row` and `step` elements apart.
template <class T>
void fill_rows(T* y, int64_t rows, int64_t row, int64_t columns, int64_t step, T value);

template <class T>
void fill_with_bias(const GatherSum<T>& s);

}  // namespace fastconv
