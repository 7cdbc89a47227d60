// The public entry points: what is asked for by reference, and all else; weights that are kept; the plan.
#include "conv/activation.hpp"
#include "conv/correlation.hpp"
#include "conv/pieces/operands.hpp"
#include "conv/reference.hpp"
#include "conv/weight/gradient.hpp"

namespace fastconv {

template <class T>
void conv_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y,
                  Activation activation, Algorithm algorithm) {
  if (algorithm == Algorithm::reference) {
    reference_forward(p, x, w, bias, y);
    apply_activation(activation, y);
    return;
  }
  correlate(p, Direction::forward, x, w, bias, y, activation, algorithm);
}

template <class T>
void conv_backward_input(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
                         Activation activation, Algorithm algorithm) {
  if (algorithm == Algorithm::reference) {
    reference_backward_input(p, dy, w, bias, dx);
    apply_activation(activation, dx);
    return;
  }
  correlate(p, Direction::backward_input, dy, w, bias, dx, activation, algorithm);
}

template <class T>
void conv_backward_weight(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw, Algorithm algorithm) {
  if (algorithm == Algorithm::reference) reference_backward_weight(p, dy, x, dw);
  else weight_gradient(p, dy, x, dw, algorithm);
}

template <class T>
PackedWeights<T>::PackedWeights(const ConvProblem& p, View<const T> w, View<const T> bias, Algorithm algorithm)
    : algorithm_(algorithm) {
  for (int i = 0; i < 5; ++i) shape_[i] = w.shape[i];
  weights_.resize(static_cast<size_t>(w.size()));
  copy_side_by_side(w, weights_.data());
  if (bias.data)
    for (int64_t i = 0; i < bias.shape[0]; ++i) bias_.push_back(bias.data[i * bias.stride[0]]);
  if (!weights_.empty()) ready_ = make_ready(p, weights(), algorithm);
}

template <class T>
int64_t PackedWeights<T>::bytes() const {
  return static_cast<int64_t>((weights_.size() + bias_.size()) * sizeof(T)) +
         (ready_ ? ready_->elements * static_cast<int64_t>(sizeof(T)) : 0);
}

template <class T>
void conv_forward_packed(const ConvProblem& p, View<const T> x, const PackedWeights<T>& packed, View<T> y,
                         Activation activation) {
  if (packed.algorithm() == Algorithm::reference)
    return conv_forward(p, x, packed.weights(), packed.bias(), y, activation, Algorithm::reference);
  correlate(p, Direction::forward, x, packed.weights(), packed.bias(), y, activation, packed.algorithm(),
            packed.ready());
}

template <class T>
ConvPlan plan_conv(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  ConvPlan plan;
  if (algorithm == Algorithm::reference) {
    plan.algorithm = algorithm;
    plan.kernel = "reference";
    plan.mr = plan.nr = 1;
    plan.block_channels = plan.block_pixels = 1;
    plan.cost = 8 * p.macs();
  } else if (p.macs() == 0) {
    plan.kernel = "empty";
  } else {
    plan = direction == Direction::backward_weight ? plan_weight_gradient<T>(p, algorithm)
                                                   : plan_correlation<T>(p, direction, algorithm);
    plan.lanes = conv_kernels<T>().lanes;
  }
  plan.macs = p.macs();
  const auto axes = [&](int64_t ConvAxis::*n) {
    return static_cast<double>(p.axis[0].*n) * (p.axis[1].*n) * (p.axis[2].*n);
  };
  plan.bytes = static_cast<double>(sizeof(T)) * (static_cast<double>(p.mb) * p.ic * axes(&ConvAxis::in) +
                                                 static_cast<double>(p.mb) * p.oc * axes(&ConvAxis::out) +
                                                 static_cast<double>(p.oc) * (p.ic / p.groups) * axes(&ConvAxis::k));
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                                       \
  template void conv_forward(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation,    \
                             Algorithm);                                                                              \
  template void conv_backward_input(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>,         \
                                    Activation, Algorithm);                                                           \
  template void conv_backward_weight(const ConvProblem&, View<const T>, View<const T>, View<T>, Algorithm);           \
  template class PackedWeights<T>;                                                                                    \
  template void conv_forward_packed(const ConvProblem&, View<const T>, const PackedWeights<T>&, View<T>, Activation); \
  template ConvPlan plan_conv<T>(const ConvProblem&, Direction, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
