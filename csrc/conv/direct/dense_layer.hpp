// A kernel that covers the whole input is a dense layer: each output is a dot product of a row of weights and an image.
#pragma once
#include "conv/depthwise/lanes.hpp"

namespace fastconv {

// Whether a direction is computed as such, and not as a convolution. Forward sums go along both rows, which are read
// where they stand: a tile of the packed engine would have one pixel of each image, and repack weights of which each is
// used once an image. It looks at no batch where sums have bits of their own.
template <class T>
bool use_dense_layer(const ConvProblem& p, Direction direction, Algorithm algorithm);

template <class T>
void run_dense_layer(const ConvProblem& p, const LaneCall<T>& call);

// y[m] = sum_n a[m, n] x[n], of rows that are images of values: the gradient to the input (x: weights, a: dy) or to the
// weights (x: images, a: dy transposed). It is a pointwise correlation of one image, whose channels are the rows and
// whose pixels the values. False, and nothing done, if strides do not allow it.
template <class T>
bool run_dense_gradient(const View<const T>& x, const View<const T>& a, const View<T>& y);

template <class T>
ConvPlan plan_dense_layer(const ConvProblem& p, Direction direction);

}  // namespace fastconv
