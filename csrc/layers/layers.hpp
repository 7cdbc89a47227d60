// What a training step does besides convolving and pooling, over contiguous memory, with threads.
#pragma once
#include <cstdint>

#include "fastconv/export.h"
#include "layers/rules.hpp"

namespace fastconv {

// g = y <= 0 ? 0 : g.
template <class T>
FASTCONV_API void relu_grad(T* g, const T* y, int64_t n);
// The same of (mb, channels, length), and for each channel the sum of what is left: the gradient of a bias.
template <class T>
FASTCONV_API void relu_grad(T* g, const T* y, int64_t mb, int64_t channels, int64_t length, T* sums);

// y = 0 with probability p, else x / (1 - p); y may be x. The same seed drops the same elements.
template <class T>
FASTCONV_API void dropout(const T* x, T* y, int64_t n, uint64_t seed, double p);

// y (columns, rows) = x (rows, columns)
template <class T>
FASTCONV_API void transpose(const T* x, T* y, int64_t rows, int64_t columns);

// velocity may be null.
template <class T>
FASTCONV_API void sgd_step(T* w, const T* g, T* velocity, int64_t n, const SgdRule<T>& rule);
template <class T>
FASTCONV_API void adam_step(T* w, const T* g, T* mean, T* square, int64_t n, const AdamRule<T>& rule);

// Batch normalisation of x (mb, channels, length); statistics and parameters have one value a channel.
template <class T>
struct BatchNorm {
  int64_t mb, channels, length;
  const T* weight;  // null: 1
  const T* bias;    // null: 0
  T *mean, *var;    // var is the biased one
  double eps;
};

// y = (x - mean) / sqrt(var + eps) weight + bias, no less than 0 if relu. `training` computes mean and var from x
// first.
template <class T>
FASTCONV_API void batch_norm(const BatchNorm<T>& b, const T* x, T* y, bool training, bool relu);

// g, the gradient of what training gave (without relu), becomes that of x.
template <class T>
FASTCONV_API void batch_norm_grad(const BatchNorm<T>& b, T* g, const T* x, T* grad_weight, T* grad_bias);

}  // namespace fastconv
