// Threads: the one file that knows OpenMP, processor affinity, cgroup quotas and fork.
#include "base/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

#include "base/message.hpp"
#include "fastconv/runtime.hpp"

#if FASTCONV_HAVE_OPENMP
#include <omp.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace fastconv {
namespace {

// Waking a thread and waiting for it costs some microseconds; below this much work a call stays on one thread.
constexpr double kMinWorkPerThread = 400e3;
constexpr double kMinWorkPerTask = 1e6;  // some microseconds of a depthwise sum

int processors_allowed() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Processors' worth of time that the cgroup at `path` may use; 0 when it sets no limit.
double quota_at(const std::string& path) {
  double quota = -1, period = 0;
  if (FILE* f = std::fopen((path + "/cpu.max").c_str(), "r")) {  // version 2: "max 100000" or "150000 100000"
    if (std::fscanf(f, "%lf %lf", &quota, &period) != 2) quota = -1;
    std::fclose(f);
  } else if (FILE* q = std::fopen((path + "/cpu.cfs_quota_us").c_str(), "r")) {  // version 1
    if (std::fscanf(q, "%lf", &quota) != 1) quota = -1;
    std::fclose(q);
    if (FILE* p = std::fopen((path + "/cpu.cfs_period_us").c_str(), "r")) {
      if (std::fscanf(p, "%lf", &period) != 1) period = 0;
      std::fclose(p);
    }
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The tightest quota between this process's cgroup and the root.
double cgroup_quota() {
  double tightest = 0;
  FILE* f = std::fopen("/proc/self/cgroup", "r");
  if (!f) return 0;
  char line[4096];
  while (std::fgets(line, sizeof line, f)) {
    char* controllers = std::strchr(line, ':');
    char* path = controllers ? std::strchr(controllers + 1, ':') : nullptr;
    if (!path) continue;
    *path++ = 0;
    path[std::strcspn(path, "\n")] = 0;
    ++controllers;
    std::string root;
    if (!*controllers) root = "/sys/fs/cgroup";
    else if (std::strstr(controllers, "cpu") && !std::strstr(controllers, "cpuset")) root = "/sys/fs/cgroup/cpu";
    else continue;
    for (std::string p = path;;) {
      double q = quota_at(root + (p == "/" ? "" : p));
      if (q > 0) tightest = tightest > 0 ? std::min(tightest, q) : q;
      if (p.empty() || p == "/") break;
      p.resize(p.rfind('/') == std::string::npos ? 0 : p.rfind('/'));
    }
  }
  std::fclose(f);
  return tightest;
}

int default_threads() {
  if (const char* env = std::getenv("OMP_NUM_THREADS")) {
    int n = std::atoi(env);
    if (n > 0) return n;
  }
  int n = processors_allowed();
  double quota = cgroup_quota();
  if (quota > 0) n = std::min(n, std::max(1, static_cast<int>(quota + 0.999)));
  return n;
}

std::atomic<int> process_threads{0};  // 0: not asked yet
[[maybe_unused]] std::atomic<bool> forked{
    false};  // a forked child has lost the parent's OpenMP threads: it must not wait for them
thread_local int thread_limit = 0;

#if FASTCONV_HAVE_OPENMP && (defined(__unix__) || defined(__APPLE__))
const int at_fork = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
#endif

}  // namespace

int num_threads() {
  if (thread_limit > 0) return thread_limit;
  int n = process_threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = default_threads();
    process_threads.store(n, std::memory_order_relaxed);
  }
  return n;
}

void set_num_threads(int n) {
  if (n < 1) invalid({"set_num_threads: n must be at least 1, got ", n});
  process_threads.store(n, std::memory_order_relaxed);
}

int set_thread_limit(int n) {
  if (n < 0) invalid({"threads: n must be at least 1, got ", n});
  int previous = thread_limit;
  thread_limit = n;
  return previous;
}

int threads_for(double work) {
  if (work < 2 * kMinWorkPerThread) return 1;
#if FASTCONV_HAVE_OPENMP
  if (forked.load(std::memory_order_relaxed) || omp_in_parallel()) return 1;
  return static_cast<int>(std::min<double>(num_threads(), work / kMinWorkPerThread));
#else
  return 1;
#endif
}

int64_t tasks_for(double work, int threads) {
  return threads <= 1 ? 1 : std::clamp<int64_t>(static_cast<int64_t>(work / kMinWorkPerTask), threads, 8 * threads);
}

namespace {

// What the threads of a region share.
struct Region {
  void (*task)(void*, int64_t);
  void* context;
  int64_t tasks;
  Workspace* workspace;
  std::atomic<int64_t> next{0};
  std::exception_ptr error{};
  std::mutex mutex{};

  // A thread begins with the task of its number: what it wrote in the region before, it finds in its cache.
  void run(int64_t thread, int64_t team) {
    const Borrowing borrowing(Borrowing::current() == workspace ? nullptr : workspace);
    try {
      for (int64_t i = thread; i < tasks; i = team + next.fetch_add(1, std::memory_order_relaxed)) task(context, i);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
      next.store(tasks, std::memory_order_relaxed);
    }
  }
};

}  // namespace

void run_tasks(int64_t tasks, int threads, void (*task)(void*, int64_t), void* context) {
  if (threads > tasks) threads = static_cast<int>(tasks);
  if (threads <= 1) {
    for (int64_t i = 0; i < tasks; ++i) task(context, i);
    return;
  }
  Region region{task, context, tasks, Borrowing::current()};
#if FASTCONV_HAVE_OPENMP
#pragma omp parallel num_threads(threads)
  region.run(omp_get_thread_num(), omp_get_num_threads());
#else
  region.run(0, 1);
#endif
  if (region.error) std::rethrow_exception(region.error);
}

const char* threading_backend() {
#if FASTCONV_HAVE_OPENMP
  return "openmp";
#else
  return "serial";
#endif
}

}  // namespace fastconv
