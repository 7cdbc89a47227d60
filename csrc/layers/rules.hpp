// How an optimiser moves the weights, and what dropout draws from: plain values that kernels and bindings share.
#pragma once
#include <cstdint>

namespace fastconv {

// v = momentum v + g, w = w - lr v, with g the gradient plus weight_decay w; nesterov: w = w - lr (g + momentum v).
template <class T>
struct SgdRule {
  T lr, momentum, weight_decay;
  bool nesterov;
};

// m = beta1 m + (1 - beta1) g, s = beta2 s + (1 - beta2) g^2, w = keep w - rate m / (sqrt(s) root + eps).
// g is the gradient plus weight_decay w; root and rate hold the corrections for the start at 0.
template <class T>
struct AdamRule {
  T beta1, beta2, eps, weight_decay, keep, rate, root;
};

// Two words that select one sequence of random numbers.
struct DropoutKey {
  uint32_t first, second;
};

}  // namespace fastconv
