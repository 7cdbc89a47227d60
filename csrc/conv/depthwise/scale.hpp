// Kernels of one tap over few channels a group, without padding: planes are multiplied by numbers where they stand, and
// no more is read or written than they hold. What a stride reads of x is put side by side first, but for its input
// gradient. In float32, from AVX2 and NEON on.
#pragma once
#include <type_traits>

#include "conv/depthwise/lanes.hpp"

namespace fastconv {

// Whether the problem is one of those, and better computed so; whether views allow it is for the others to say.
bool is_scale(const ConvProblem& p, Direction direction, Algorithm algorithm);
template <class T>
bool use_scale(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  return std::is_same_v<T, float> && is_scale(p, direction, algorithm);
}

// False, and nothing done, if elements are not side by side.
bool run_scale(const ConvProblem& p, Direction direction, const LaneCall<float>& call);
inline bool run_scale(const ConvProblem&, Direction, const LaneCall<double>&) { return false; }
void scale_weight_gradient(const ConvProblem& p, const View<const float>& dy, const View<const float>& x,
                           const View<float>& dw);

// Makes of the plan for other views that for these: it says how much memory either needs.
void plan_scale(const ConvProblem& p, Direction direction, ConvPlan& plan);

}  // namespace fastconv
