// Scratch memory: two arenas a thread, kept between calls, never larger than what one plan asks for
// (a few megabytes; see conv/plan.cpp), aligned for the widest vector.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>

namespace fastconv {

class Arena {
 public:
  static constexpr int64_t kAlign = 64;

  // For the tasks of a parallel region, each thread its own.
  static Arena& local() {
    thread_local Arena arena;
    return arena;
  }
  // For what the caller prepares and all threads of its region read.
  static Arena& shared() {
    thread_local Arena arena;
    return arena;
  }
  ~Arena() { std::free(data_); }

  // The start of at least `bytes` bytes. Whatever the arena held before is lost.
  char* reserve(int64_t bytes) {
    if (bytes > capacity_) {
      std::free(data_);
      data_ = nullptr;
      capacity_ = 0;
      int64_t rounded = (bytes + 4095) / 4096 * 4096;
      data_ = static_cast<char*>(std::aligned_alloc(4096, static_cast<size_t>(rounded)));
      if (!data_) throw std::bad_alloc();
      capacity_ = rounded;
    }
    return data_;
  }

  template <class T>
  static int64_t rounded_bytes(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + kAlign - 1) / kAlign * kAlign;
  }

 private:
  Arena() = default;
  char* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace fastconv
