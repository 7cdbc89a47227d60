#include "conv/direct/ready_weights.hpp"

#include "conv/depthwise/lanes.hpp"
#include "conv/depthwise/line.hpp"
#include "conv/pieces/plan.hpp"

namespace fastconv {
namespace {

// An image on which Winograd's algorithm pays if it ever does.
ConvProblem large_image(const ConvProblem& p) {
  ConvProblem large = p;
  large.mb = 1;
  for (ConvAxis& a : large.axis) {
    a.in = 16 * a.k * a.dilation;
    a.pad_before = a.pad_after = 0;
    a.mode = Mode::zeros;
    a.out = conv_output_size(a);
  }
  large.axis[0].out = 1;
  return large;
}

}  // namespace

template <class T>
std::shared_ptr<const ReadyWeights<T>> make_ready(const ConvProblem& p, View<const T> w, Algorithm algorithm) {
  auto ready = std::make_shared<ReadyWeights<T>>();
  const ConvProblem large = large_image(p);
  if (use_line<T>(large, Direction::forward, algorithm) || use_lanes<T>(large, Direction::forward, algorithm))
    return ready;
  Operands<T> operands = Operands<T>::imagined(large, Direction::forward, algorithm);
  operands.rows.w = w;
  ReadyWeights<T> at_hand;
  at_hand.transformed = at_hand.large = w.data;  // as if they were
  operands.ready = &at_hand;
  make_ready(large, operands, *ready);
  return ready;
}

template std::shared_ptr<const ReadyWeights<float>> make_ready(const ConvProblem&, View<const float>, Algorithm);
template std::shared_ptr<const ReadyWeights<double>> make_ready(const ConvProblem&, View<const double>, Algorithm);

}  // namespace fastconv
