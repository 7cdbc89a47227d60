// Pools of planes that lie side by side, as channels last do, or that are so small that they are laid out so: vectors
// along planes (kernels/pool/pixels.hpp), windows of any kind. Sums have the order that other ways give them.
#pragma once
#include "pool/divisor.hpp"
#include "pool/planes.hpp"

namespace fastconv {

// Each returns false where other ways are better. Views of null data are not wanted, or not given.
bool max_pool_pixels(const PoolProblem& p, AnyView x, AnyView y, AnyView index);
bool avg_pool_pixels(const PoolProblem& p, const Divisor& divisor, AnyView x, AnyView y);
bool max_pool_pixels_backward(const PoolProblem& p, AnyView dy, AnyView x, AnyView index, AnyView dx);
bool avg_pool_pixels_backward(const PoolProblem& p, const Averaging& averaging, AnyView dy, AnyView dx);

}  // namespace fastconv
