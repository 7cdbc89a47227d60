// The direct engine for batches of small images: a vector is one value of `lanes` images, so that neither the width of
// an image nor its padding wastes one. Sums run in the order of the packed engine's, and have its bits.
#pragma once
#include "conv/direct/gather.hpp"

namespace fastconv {

struct BatchPlan {
  int mr = 1, nr = 1;     // rows of `a` and of the image in a register tile
  int64_t channels = 1;   // of x at a time
  int64_t together = 1;   // vectors of images that stand as the rows of one
  int64_t row_parts = 1;  // tasks for as many vectors
  int threads = 1;
  int64_t workspace_bytes = 0;
  double cost = -1;  // cycles, or negative: does not apply
};

// `a` is read where it stands (not packed).
template <class T>
BatchPlan plan_batch_lanes(const GatherSum<T>& s);
template <class T>
void run_batch_lanes(const GatherSum<T>& s, const BatchPlan& plan);

}  // namespace fastconv
