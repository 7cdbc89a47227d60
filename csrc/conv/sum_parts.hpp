// Sums over very many pixels, as those of weight gradients, are cut into parts by the problem alone, so that no number
// of threads changes them: the parts are summed, then added in their order.
#pragma once
#include <algorithm>

#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "kernels/conv.hpp"

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

// Adds n elements `from` another place, in vectors.
template <class T>
__attribute__((noinline)) void add_elements(T* to, const T* from, int64_t n) {
  static constexpr PackLine line{0, 0};
  for (int64_t i = 0, most = INT32_MAX; i < n; i += most) {
    const PackRun run{0, static_cast<int32_t>(std::min(most, n - i)), 0, 1};
    conv_kernels<T>().pack_add({to + i, from + i, &line, 1, &run, 1, 0});
  }
}

// The sums of `tasks` tasks over `units`, whole or in parts of small sums: calls sum(tasks, units, sums), where `sums`
// is null for whole ones and else has a part of `all` elements for all tasks; then, for these, finish(task, all sums).
template <class T, class Sum, class Finish>
void sum_tasks(int64_t tasks, int64_t parts, int64_t units, int64_t all, double work, int threads, Sum sum,
               Finish finish) {
  const bool whole = parts == 1;
  T* const sums = whole ? nullptr : reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(parts * all)));
  const int64_t runs = whole ? std::min(tasks, tasks_for(work, threads)) : tasks;
  parallel_tasks(runs * parts, threads, [&](int64_t i) {
    sum(part(tasks, runs, i / parts), part(units, parts, i % parts), whole ? nullptr : sums + i % parts * all);
  });
  if (whole) return;
  for (int64_t k = 1; k < parts; ++k) add_elements(sums, sums + k * all, all);
  for (int64_t i = 0; i < tasks; ++i) finish(i, sums);
}

}  // namespace fastconv
