#include "conv/activation.hpp"

#include <cmath>

#include "base/parallel.hpp"

namespace fastconv {
namespace {

template <class T>
T activated(Activation a, T v) {
  switch (a) {
    case Activation::none:
      return v;
    case Activation::relu:
      return v < 0 ? T(0) : v;
    case Activation::leaky_relu:
      return v < 0 ? T(0.01) * v : v;
    case Activation::relu6:
      return v < 0 ? T(0) : v > 6 ? T(6) : v;
    case Activation::elu:
      return v < 0 ? std::expm1(v) : v;
    case Activation::sigmoid: {
      const T e = std::exp(-std::abs(v));
      return v < 0 ? e / (1 + e) : 1 / (1 + e);
    }
    case Activation::tanh:
      return std::tanh(v);
  }
  return v;
}

}  // namespace

template <class T>
void apply_activation(Activation a, View<T> y) {
  if (a == Activation::none) return;
  parallel_tasks(y.shape[0] * y.shape[1], threads_for(10.0 * static_cast<double>(y.size())), [&](int64_t plane) {
    T* p = y.data + plane / y.shape[1] * y.stride[0] + plane % y.shape[1] * y.stride[1];
    for (int64_t d = 0; d < y.shape[2]; ++d)
      for (int64_t h = 0; h < y.shape[3]; ++h) {
        T* row = p + d * y.stride[2] + h * y.stride[3];
        for (int64_t w = 0; w < y.shape[4]; ++w) row[w * y.stride[4]] = activated(a, row[w * y.stride[4]]);
      }
  });
}

template void apply_activation(Activation, View<float>);
template void apply_activation(Activation, View<double>);

}  // namespace fastconv
