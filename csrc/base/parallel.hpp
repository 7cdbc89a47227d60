// The only door to threads: parallel_tasks runs task(i) for i in [0, tasks) on up to `threads` threads.
// Tasks are handed out dynamically, so nothing a task computes may depend on which thread runs it.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>

#include "base/workspace.hpp"

namespace fastconv {

// Runs body(context) once on each of `threads` threads (fewer if the runtime says so).
void run_on_threads(int threads, void (*body)(void*), void* context);

// Threads worth waking for `work` floating-point operations (or an equal number of bytes moved).
int threads_for(double work);

template <class F>
void parallel_tasks(int64_t tasks, int threads, F&& task) {
  if (threads > tasks) threads = static_cast<int>(tasks);
  if (threads <= 1) {
    for (int64_t i = 0; i < tasks; ++i) task(i);
    return;
  }
  struct Shared {
    F& task;
    int64_t tasks;
    Workspace* workspace;
    std::atomic<int64_t> next{0};
    std::exception_ptr error;
    std::mutex mutex;
  } shared{task, tasks, Borrowing::current(), {}, {}, {}};
  run_on_threads(
      threads,
      [](void* context) {
        auto& s = *static_cast<Shared*>(context);
        const Borrowing borrowing(Borrowing::current() == s.workspace ? nullptr : s.workspace);
        try {
          for (int64_t i; (i = s.next.fetch_add(1, std::memory_order_relaxed)) < s.tasks;) s.task(i);
        } catch (...) {
          std::lock_guard<std::mutex> lock(s.mutex);
          if (!s.error) s.error = std::current_exception();
          s.next.store(s.tasks, std::memory_order_relaxed);
        }
      },
      &shared);
  if (shared.error) std::rethrow_exception(shared.error);
}

}  // namespace fastconv
