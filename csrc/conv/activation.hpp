// Activations: cuts to an interval ride in the store of the engine; the others are applied to what was stored.
#pragma once
#include <limits>

#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

inline bool is_clamp(Activation a) { return a == Activation::relu || a == Activation::relu6; }

template <class T>
T clamp_low(Activation a) {
  return is_clamp(a) ? T(0) : -std::numeric_limits<T>::infinity();
}
template <class T>
T clamp_high(Activation a) {
  return a == Activation::relu6 ? T(6) : std::numeric_limits<T>::infinity();
}

template <class T>
void apply_activation(Activation a, View<T> y);

}  // namespace fastconv
