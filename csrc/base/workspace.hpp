// Scratch memory: two arenas a thread, kept between calls, never larger than what one plan asks for
// (a few megabytes; see conv/plan.cpp), aligned for the widest vector.
#pragma once
#include <cstddef>
#include <cstdint>
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
  ~Arena() { release(); }

  // The start of at least `bytes` bytes. Whatever the arena held before is lost.
  char* reserve(int64_t bytes) {
    if (bytes > capacity_) {
      release();
      const int64_t rounded = (bytes + kPage - 1) / kPage * kPage;
      data_ = static_cast<char*>(::operator new(static_cast<size_t>(rounded), std::align_val_t{kPage}, std::nothrow));
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
  static constexpr int64_t kPage = 4096;

  Arena() = default;
  void release() {
    ::operator delete(data_, std::align_val_t{kPage});
    data_ = nullptr;
    capacity_ = 0;
  }
  char* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace fastconv
