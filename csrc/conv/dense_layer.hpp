// A kernel that covers the whole input is a dense layer: each output is a dot product of a row of weights and an image.
#pragma once
#include "conv/depthwise_lanes.hpp"

namespace fastconv {

bool is_dense_layer(const ConvProblem& p);

// The same as a pointwise convolution of images of one pixel, whose channels are all values.
ConvProblem pointwise(const ConvProblem& p);

// Axes c, d, h, w as one axis of channels; false if their strides do not allow it.
template <class T>
bool flatten_channels(View<T>& v);

// Whether forward sums go along both rows, which are read where they stand. A tile of the packed engine would have one
// pixel of each image, and repack weights of which each is used once an image. It looks at no batch: such sums have
// bits of their own.
template <class T>
bool use_dense_layer(const ConvProblem& p, Direction direction, Algorithm algorithm);

template <class T>
void run_dense_layer(const ConvProblem& p, const LaneCall<T>& call);

template <class T>
ConvPlan plan_dense_layer(const ConvProblem& p);

}  // namespace fastconv
