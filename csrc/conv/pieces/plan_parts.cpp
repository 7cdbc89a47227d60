#include "conv/pieces/plan_parts.hpp"

#include <algorithm>

namespace fastconv {

void add_part(ConvPlan& total, const ConvPlan& part, bool main) {
  const int64_t workspace = std::max(total.workspace_bytes, part.workspace_bytes),
                shared = std::max(total.shared_bytes, part.shared_bytes);
  const double cost = total.cost + part.cost;
  if (main) total = part;
  total.workspace_bytes = workspace;
  total.shared_bytes = shared;
  total.cost = cost;
}

}  // namespace fastconv
