// The transformed weights of Winograd's algorithm, vector of rows by vector of rows.
#pragma once
#include "conv/winograd/winograd.hpp"

namespace fastconv {

// Elements of all transformed values of a vector of rows.
template <class T>
int64_t winograd_weight_vector(const WinogradSum<T>& s, int64_t channels) {
  return s.shape.planes() * winograd_weight_plane<T>(s.shape.slices * channels);
}

// Those of vector r of a group's rows, and of channels [c0, c1): u[plane][slice][channel][lane].
template <class T>
void transform_rows(const WinogradSum<T>& s, int64_t g, int64_t r, int64_t c0, int64_t c1, T* u);

}  // namespace fastconv
