// Depthwise correlations along the width alone: each channel's line is read where it stands, some thousand outputs at a
// time, what its ends read is padded into the L1 cache, and neighbouring vectors of sums share what they load
// (kernels/depthwise/depthwise.hpp).
#pragma once
#include "conv/depthwise/lanes.hpp"

namespace fastconv {

// Whether it applies and pays. It looks at one line.
template <class T>
bool use_line(const ConvProblem& p, Direction direction, Algorithm algorithm);

template <class T>
void run_line(const ConvProblem& p, Direction direction, const LaneCall<T>& call);

template <class T>
ConvPlan plan_line(const ConvProblem& p, Direction direction);

}  // namespace fastconv
