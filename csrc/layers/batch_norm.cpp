// One task a channel: its values stay in the second-level cache from the first pass over them to the last.
#include <cmath>

#include "layers/layers.hpp"
#include "layers/stretch.hpp"

namespace fastconv {
namespace {

// f(offset of a row) for the rows of one channel.
template <class T, class F>
void each_row(const BatchNorm<T>& b, int64_t channel, F&& f) {
  for (int64_t n = 0; n < b.mb; ++n) f((n * b.channels + channel) * b.length);
}

template <class T, class F>
void each_channel(const BatchNorm<T>& b, F&& f) {
  const double size = static_cast<double>(b.mb) * static_cast<double>(b.channels) * static_cast<double>(b.length);
  parallel_tasks(b.channels, threads_for(4 * sizeof(T) * size), f);
}

template <class T>
double inverse_deviation(const BatchNorm<T>& b, int64_t c) {
  return 1 / std::sqrt(static_cast<double>(b.var[c]) + b.eps);
}

}  // namespace

template <class T>
void batch_norm(const BatchNorm<T>& b, const T* x, T* y, bool training, bool relu) {
  const LayerFunctions<T>& k = layer_functions<T>();
  const double count = static_cast<double>(b.mb) * static_cast<double>(b.length);
  each_channel(b, [&](int64_t c) {
    if (training) {
      double sum = 0, square = 0;
      each_row(b, c, [&](int64_t row) { sum += k.sum(x + row, b.length); });
      b.mean[c] = static_cast<T>(sum / count);
      each_row(b, c, [&](int64_t row) { square += k.sum_square(x + row, b.length, b.mean[c]); });
      b.var[c] = static_cast<T>(square / count);
    }
    const T scale = static_cast<T>(inverse_deviation(b, c) * (b.weight ? b.weight[c] : 1));
    const T shift = b.bias ? b.bias[c] : T(0);
    each_row(b, c, [&](int64_t row) { k.affine(x + row, y + row, b.length, b.mean[c], scale, shift, relu); });
  });
}

template <class T>
void batch_norm_grad(const BatchNorm<T>& b, T* g, const T* x, T* grad_weight, T* grad_bias) {
  const LayerFunctions<T>& k = layer_functions<T>();
  const double count = static_cast<double>(b.mb) * static_cast<double>(b.length);
  each_channel(b, [&](int64_t c) {
    double sum_g = 0, sum_gx = 0;
    each_row(b, c, [&](int64_t row) { k.grad_sums(g + row, x + row, b.length, b.mean[c], &sum_g, &sum_gx); });
    const double inverse = inverse_deviation(b, c), a = inverse * (b.weight ? b.weight[c] : 1);
    grad_weight[c] = static_cast<T>(sum_gx * inverse);
    grad_bias[c] = static_cast<T>(sum_g);
    const T scale = static_cast<T>(a), tilt = static_cast<T>(-a * inverse * inverse * sum_gx / count);
    const T shift = static_cast<T>(-a * sum_g / count);
    each_row(b, c, [&](int64_t row) { k.affine_grad(g + row, x + row, b.length, b.mean[c], scale, tilt, shift); });
  });
}

template void batch_norm(const BatchNorm<float>&, const float*, float*, bool, bool);
template void batch_norm(const BatchNorm<double>&, const double*, double*, bool, bool);
template void batch_norm_grad(const BatchNorm<float>&, float*, const float*, float*, float*);
template void batch_norm_grad(const BatchNorm<double>&, double*, const double*, double*, double*);

}  // namespace fastconv
