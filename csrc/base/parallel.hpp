// The only door to threads: parallel_tasks runs task(i) for i in [0, tasks) on up to `threads` threads.
// Tasks are handed out dynamically, so nothing a task computes may depend on which thread runs it.
#pragma once
#include <cstdint>
#include <type_traits>

#include "base/workspace.hpp"

namespace fastconv {

// Threads worth waking for `work` floating-point operations (or an equal number of bytes moved).
int threads_for(double work);

// Tasks to cut `work` into: one on one thread; else some a thread, so that all end together, but none so small that its
// own tables take longer.
int64_t tasks_for(double work, int threads);

// The same without a type: task(context, i).
void run_tasks(int64_t tasks, int threads, void (*task)(void* context, int64_t i), void* context);

template <class F>
void parallel_tasks(int64_t tasks, int threads, F&& task) {
  using Task = std::remove_reference_t<F>;
  run_tasks(
      tasks, threads, [](void* context, int64_t i) { (*static_cast<Task*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(&task)));
}

// The same, where a task and every `apart`-th after it are to be one thread's.
template <class F>
void parallel_tasks_apart(int64_t tasks, int64_t apart, int threads, F&& task) {
  parallel_tasks(apart, threads, [&](int64_t first) {
    for (int64_t i = first; i < tasks; i += apart) task(i);
  });
}

}  // namespace fastconv
