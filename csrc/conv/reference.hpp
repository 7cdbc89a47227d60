// The naive loops, with double accumulators. They stay: every fast kernel is tested against them, and they
// answer algorithm="reference".
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// A view whose type is looked at number by number: these loops need be no quicker.
struct Numbers {
  const void* data;
  bool f64;
  int64_t stride[5];

  Numbers(const void* at, bool is_f64, const int64_t* steps);
  template <class T>
  Numbers(const View<T>& v) : Numbers(v.data, sizeof(T) == 8, v.stride) {}
  int64_t at(int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) const {
    return n * stride[0] + c * stride[1] + d * stride[2] + h * stride[3] + w * stride[4];
  }
  double get(int64_t i) const {
    return f64 ? static_cast<const double*>(data)[i] : static_cast<double>(static_cast<const float*>(data)[i]);
  }
  void set(int64_t i, double value) const {
    void* to = const_cast<void*>(data);
    if (f64) static_cast<double*>(to)[i] = value;
    else static_cast<float*>(to)[i] = static_cast<float>(value);
  }
};

void reference_forward(const ConvProblem& p, const Numbers& x, const Numbers& w, const Numbers& bias, const Numbers& y);
void reference_backward_input(const ConvProblem& p, const Numbers& dy, const Numbers& w, const Numbers& bias,
                              const Numbers& dx);
void reference_backward_weight(const ConvProblem& p, const Numbers& dy, const Numbers& x, const Numbers& dw);

}  // namespace fastconv
