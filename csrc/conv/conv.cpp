// The public entry points: empty problems, the choice of algorithm, and the algorithms' entry points.
#include "base/parallel.hpp"
#include "conv/activation.hpp"
#include "conv/direct.hpp"
#include "conv/reference.hpp"

namespace fastconv {

template <class T>
void conv_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y, Activation activation, Algorithm algorithm) {
  if (algorithm == Algorithm::reference) {
    reference_forward(p, x, w, bias, y);
    apply_activation(activation, y);
    return;
  }
  direct_forward(p, x, w, bias, y, activation);
}

template <class T>
void conv_backward_input(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx, Activation activation,
                         Algorithm algorithm) {
  if (algorithm == Algorithm::reference) {
    reference_backward_input(p, dy, w, bias, dx);
    apply_activation(activation, dx);
    return;
  }
  direct_backward_input(p, dy, w, bias, dx, activation);
}

template <class T>
void conv_backward_weight(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw, Algorithm algorithm) {
  if (algorithm == Algorithm::reference) reference_backward_weight(p, dy, x, dw);
  else direct_backward_weight(p, dy, x, dw);
}

template <class T>
void conv_backward_bias(View<const T> dy, View<T> db) {
  const auto& kernels = conv_kernels<T>();
  const bool plane = dy.stride[3] == dy.shape[4] * dy.stride[4] && dy.stride[2] == dy.shape[3] * dy.stride[3];
  parallel_tasks(dy.shape[1], threads_for(static_cast<double>(dy.size())), [&](int64_t c) {
    double total = 0;
    for (int64_t n = 0; n < dy.shape[0]; ++n) {
      const T* p = dy.data + n * dy.stride[0] + c * dy.stride[1];
      if (plane) {
        total += kernels.sum(p, dy.stride[4], dy.shape[2] * dy.shape[3] * dy.shape[4]);
        continue;
      }
      for (int64_t d = 0; d < dy.shape[2]; ++d)
        for (int64_t h = 0; h < dy.shape[3]; ++h) total += kernels.sum(p + d * dy.stride[2] + h * dy.stride[3], dy.stride[4], dy.shape[4]);
    }
    db.data[c * db.stride[0]] = static_cast<T>(total);
  });
}

template <class T>
ConvPlan plan_conv(const ConvProblem& p, Direction, Algorithm) {
  ConvPlan q;
  q.algorithm = Algorithm::direct;
  q.kernel = "packed";
  q.macs = p.macs();
  return q;
}

#define FASTCONV_INSTANTIATE(T)                                                                                                        \
  template void conv_forward(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation, Algorithm);         \
  template void conv_backward_input(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation, Algorithm);  \
  template void conv_backward_weight(const ConvProblem&, View<const T>, View<const T>, View<T>, Algorithm);                           \
  template void conv_backward_bias(View<const T>, View<T>);                                                                            \
  template ConvPlan plan_conv<T>(const ConvProblem&, Direction, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
