// Kernels of one tap over few channels a group, without stride or padding: planes are multiplied by numbers where they
// stand, and no more is read or written than they hold.
#pragma once
#include "conv/depthwise_lanes.hpp"

namespace fastconv {

// Whether the problem is one of those, and better computed so; whether views allow it is for the others to say.
bool is_scale(const ConvProblem& p, Direction direction, Algorithm algorithm);

// False, and nothing done, if elements are not side by side.
template <class T>
bool run_scale(const ConvProblem& p, Direction direction, const LaneCall<T>& call);
template <class T>
void scale_weight_gradient(const ConvProblem& p, const View<const T>& dy, const View<const T>& x, const View<T>& dw);

// Makes of the plan for other views that for these: it says how much memory either needs.
template <class T>
void plan_scale(const ConvProblem& p, Direction direction, ConvPlan& plan);

}  // namespace fastconv
