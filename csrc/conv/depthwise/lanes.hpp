// Depthwise correlations, and those of few channels a group, with the channels of y in the lanes of vectors
// (kernels/depthwise/lanes.hpp): for small images, many taps and strides. Sums go as in conv/depthwise/depthwise.hpp.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Whether sums (or, of a weight gradient, products) of few channels a group are better put into lanes than into rows of
// the image. It looks at one image and at no thread.
template <class T>
bool use_lanes(const ConvProblem& p, Direction direction, Algorithm algorithm);

// x and w are those of the direction: of the input gradient, dy is x. clamp is left to the caller where there is none.
template <class T>
struct LaneCall {
  View<const T> x, w, bias;
  View<T> y;
  bool clamp = false;
  T low = 0, high = 0;
};
template <class T>
void run_lanes(const ConvProblem& p, Direction direction, const LaneCall<T>& call);

template <class T>
ConvPlan plan_lanes(const ConvProblem& p, Direction direction);

}  // namespace fastconv
