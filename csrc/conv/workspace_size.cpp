#include "conv/workspace_size.hpp"

namespace fastconv {

template <class T>
int64_t conv_workspace_size(const ConvProblem& p, Direction direction, Algorithm algorithm, int threads) {
  const ConvPlan plan = plan_conv<T>(p, direction, algorithm);
  return threads * plan.workspace_bytes + plan.shared_bytes;
}
template int64_t conv_workspace_size<float>(const ConvProblem&, Direction, Algorithm, int);
template int64_t conv_workspace_size<double>(const ConvProblem&, Direction, Algorithm, int);

}  // namespace fastconv
