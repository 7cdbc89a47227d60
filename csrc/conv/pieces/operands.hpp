// What all pieces of a correlation have in common. An input gradient is a correlation too: of dy, which is x here, with
// the transposed weights, and y is dx.
#pragma once
#include "base/workspace.hpp"
#include "conv/direct/ready_weights.hpp"
#include "conv/direct/rows.hpp"
#include "conv/pieces/piece.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

template <class T>
struct Operands {
  WeightRows<T> rows;
  View<const T> x;
  View<T> y;
  Algorithm algorithm;
  bool clamps;  // what is stored
  T low, high;
  bool tails = true;                       // whether last pixels may be sums of their own (conv/direct/tail.hpp)
  Vector<T> bias;                          // one a row of all groups, or none
  const ReadyWeights<T>* ready = nullptr;  // what is at hand of the weights, or null

  // x, w and y are those of the direction: of an input gradient, dy is x.
  Operands(const ConvProblem& p, Direction direction, const View<const T>& x, const View<const T>& w,
           const View<const T>& bias, const View<T>& y, Activation activation, Algorithm algorithm);

  // Of a call that is only to be described: contiguous views of no memory.
  static Operands imagined(const ConvProblem& p, Direction direction, Algorithm algorithm);

  int64_t images() const { return y.shape[0]; }
  const T* first_bias() const { return bias.empty() ? nullptr : bias.data(); }
  // The weights by Winograd's algorithm, for its large tiles or the others, if they are at hand.
  const T* transformed(bool large) const { return !ready ? nullptr : large ? ready->large : ready->transformed; }

  // y, of a box of outputs alone.
  View<T> y_of(const PieceBox& box) const;

  // Elements from a kernel's first value to some taps of axis `i`.
  Vector<int64_t> tap_offsets(int i, const Piece& piece) const;
};

// All elements in their order.
template <class T>
void copy_side_by_side(const View<const T>& v, T* to) {
  for (int64_t n = 0; n < v.shape[0]; ++n)
    for (int64_t c = 0; c < v.shape[1]; ++c)
      for (int64_t d = 0; d < v.shape[2]; ++d)
        for (int64_t h = 0; h < v.shape[3]; ++h) {
          const T* line = v.data + n * v.stride[0] + c * v.stride[1] + d * v.stride[2] + h * v.stride[3];
          for (int64_t w = 0; w < v.shape[4]; ++w) *to++ = line[w * v.stride[4]];
        }
}

// A contiguous view of a shape, of no memory.
template <class T>
View<T> imagined_view(int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
  View<T> v;
  const int64_t shape[5] = {n, c, d, h, w};
  int64_t step = 1;
  for (int i = 4; i >= 0; --i) v.shape[i] = shape[i], v.stride[i] = step, step *= shape[i];
  return v;
}

// An address further on; where views have no memory there is none either.
template <class T>
T* moved(T* data, int64_t elements) {
  return data ? data + elements : nullptr;
}

}  // namespace fastconv
