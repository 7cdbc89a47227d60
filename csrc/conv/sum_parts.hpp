// Sums over very many pixels, as those of weight gradients, are cut into parts by the problem alone, so that no number
// of threads changes them: the parts are summed, then added in their order.
#pragma once
#include <algorithm>

#include "base/parallel.hpp"

namespace fastconv {

constexpr int64_t kFewSums = 8;  // are cut

// Parts of each of `tasks` sums: at most so many, and none of so little of `work` operations that it is not worth its
// own sums.
inline int64_t parts_of_sums(int64_t tasks, int64_t most, double work) {
  constexpr double kLeastWork = 1e6;
  if (tasks >= kFewSums) return 1;
  return std::max<int64_t>(1, std::min({kFewSums / tasks, most, static_cast<int64_t>(work / kLeastWork)}));
}

// Calls sum(i, k) for the `parts` parts of each of `tasks` sums, then finish(i, j) for their `pieces` pieces. Where
// tasks are as many for each thread, one sums all parts of a task and finds them in its cache.
template <class Sum, class Finish>
void sum_parts(int64_t tasks, int64_t parts, int64_t pieces, int threads, Sum sum, Finish finish) {
  if (tasks % threads == 0)
    return parallel_tasks(tasks, threads, [&](int64_t i) {
      for (int64_t k = 0; k < parts; ++k) sum(i, k);
      for (int64_t j = 0; j < pieces; ++j) finish(i, j);
    });
  parallel_tasks(tasks * parts, threads, [&](int64_t i) { sum(i / parts, i % parts); });
  parallel_tasks(tasks * pieces, threads, [&](int64_t i) { finish(i / pieces, i % pieces); });
}

}  // namespace fastconv
