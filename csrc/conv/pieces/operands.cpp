#include "conv/pieces/operands.hpp"

#include "conv/activation.hpp"

namespace fastconv {

template <class T>
Operands<T>::Operands(const ConvProblem& p, Direction direction, const View<const T>& x_, const View<const T>& w,
                      const View<const T>& bias_, const View<T>& y_, Activation activation, Algorithm algorithm_)
    : rows{w, p.groups, p.oc / p.groups, p.ic / p.groups, direction == Direction::backward_input},
      x(x_),
      y(y_),
      algorithm(algorithm_),
      clamps(is_clamp(activation)),
      low(clamp_low<T>(activation)),
      high(clamp_high<T>(activation)) {
  if (rows.transposed) std::swap(rows.rows, rows.channels);
  if (bias_.data)
    for (int64_t i = 0; i < bias_.shape[0]; ++i) bias.push_back(bias_.data[i * bias_.stride[0]]);
}

template <class T>
Operands<T> Operands<T>::imagined(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  View<T> x = imagined_view<T>(p.mb, p.ic, p.axis[0].in, p.axis[1].in, p.axis[2].in),
          y = imagined_view<T>(p.mb, p.oc, p.axis[0].out, p.axis[1].out, p.axis[2].out);
  const View<T> w = imagined_view<T>(p.oc, p.ic / p.groups, p.axis[0].k, p.axis[1].k, p.axis[2].k);
  if (direction == Direction::backward_input) std::swap(x, y);
  return {p, direction, x, w, {}, y, Activation::none, algorithm};
}

template <class T>
View<T> Operands<T>::y_of(const PieceBox& box) const {
  View<T> part = y;
  for (int i = 0; i < 3; ++i) {
    part.data = moved(part.data, box[i].begin * y.stride[2 + i]);
    part.shape[2 + i] = box[i].map.outputs;
    part.stride[2 + i] *= box[i].step;
  }
  return part;
}

template <class T>
Vector<int64_t> Operands<T>::tap_offsets(int i, const Piece& piece) const {
  Vector<int64_t> offsets = piece.taps;
  for (int64_t& t : offsets) t *= rows.w.stride[2 + i];
  return offsets;
}

template struct Operands<float>;
template struct Operands<double>;

}  // namespace fastconv
