// Passes of a training step over contiguous memory: gradients of activations, dropout, normalisation, updates.
#pragma once
#include <stdint.h>

#include "layers/rules.hpp"

namespace fastconv {

// Arrays of n elements; those of one call do not overlap unless they are equal. Sums run in one order for a given n.
template <class T>
struct LayerFunctions {
  double (*relu_grad)(T* g, const T* y, int64_t n);  // g = y <= 0 ? 0 : g; returns the sum of it
  // y = x * scale where the hash of (key, index) is at least `threshold`, else 0; y may be x. n is below 2^32.
  void (*dropout)(const T* x, T* y, int64_t n, const DropoutKey& key, uint32_t threshold, T scale);
  void (*sgd)(T* w, const T* g, T* velocity, int64_t n, const SgdRule<T>& rule);
  void (*adam)(T* w, const T* g, T* mean, T* square, int64_t n, const AdamRule<T>& rule);
  double (*sum)(const T* x, int64_t n);
  double (*sum_square)(const T* x, int64_t n, T mean);  // of x - mean
  // sum_g += sum g, sum_gx += sum g (x - mean)
  void (*grad_sums)(const T* g, const T* x, int64_t n, T mean, double* sum_g, double* sum_gx);
  // y = (x - mean) scale + shift, no less than 0 if relu
  void (*affine)(const T* x, T* y, int64_t n, T mean, T scale, T shift, bool relu);
  void (*affine_grad)(T* g, const T* x, int64_t n, T mean, T a, T b, T c);  // g = a g + b (x - mean) + c
};

struct LayerKernels {
  LayerFunctions<float> f32;
  LayerFunctions<double> f64;
};

}  // namespace fastconv
