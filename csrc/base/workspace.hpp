// Scratch memory. A call takes it from the heap, by way of three arenas a thread that are kept between calls and never
// larger than one plan asks for (a few megabytes), or, where the caller has lent a workspace, from that and from
// nowhere else.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace fastconv {

class WorkspaceTooSmall : public std::bad_alloc {
 public:
  WorkspaceTooSmall(size_t size, size_t needed) noexcept {
    std::snprintf(message_, sizeof message_, "workspace_size is %zu, but the call needs %zu bytes", size, needed);
  }
  const char* what() const noexcept override { return message_; }

 private:
  char message_[96];
};

// Memory that a caller lends for one call, to be used by all threads of that call: first fit among free blocks, which
// are kept in the order of their addresses and joined when they touch.
class Workspace {
 public:
  static constexpr size_t kGrain = 64;

  Workspace(void* memory, size_t size);
  enum class From { start, end };
  // Aligned to kGrain; throws WorkspaceTooSmall. What grows during a call is kept apart from the rest, at the end.
  void* take(size_t bytes, From from = From::start);
  void give_back(void* memory, size_t bytes) noexcept;

 private:
  struct Free {
    size_t size;
    Free* next;
  };
  std::mutex mutex_;
  Free* first_ = nullptr;
  size_t size_ = 0;
};

class Arena {
 public:
  static constexpr int64_t kAlign = 64;

  explicit Arena(Workspace* from = nullptr, Workspace::From end = Workspace::From::start) : from_(from), end_(end) {}
  Arena(const Arena&) = delete;
  ~Arena() { release(); }

  // For the tasks of a parallel region, each thread its own.
  static Arena& local();
  // For what the caller prepares and all threads of its region read.
  static Arena& shared();

  // The start of at least `bytes` bytes. Whatever the arena held before is lost.
  char* reserve(int64_t bytes) {
    if (bytes > capacity_) grow(bytes);
    return data_;
  }

  template <class T>
  static int64_t rounded_bytes(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + kAlign - 1) / kAlign * kAlign;
  }

 private:
  void grow(int64_t bytes);
  void release() noexcept;
  Workspace* from_;
  Workspace::From end_;
  char* data_ = nullptr;
  int64_t capacity_ = 0;
};

// While it lives, this thread takes its scratch memory from the workspace (null: as before). Parallel regions pass the
// caller's on to their threads.
class Borrowing {
 public:
  explicit Borrowing(Workspace* workspace);
  Borrowing(const Borrowing&) = delete;
  ~Borrowing();
  static Workspace* current() noexcept;

 private:
  friend class Arena;
  static thread_local Borrowing* innermost_;
  Workspace* workspace_;
  Borrowing* outer_;
  Arena local_, shared_;
};

// Memory of a table of a call, from the same place as its arenas: the workspace, or the heap. Where it came from stands
// before it.
void* take_table(size_t count, size_t item);
void give_table_back(void* table) noexcept;

template <class T>
class ScratchAllocator {
 public:
  using value_type = T;

  ScratchAllocator() = default;
  template <class U>
  ScratchAllocator(const ScratchAllocator<U>&) noexcept {}

  T* allocate(size_t n) { return static_cast<T*>(take_table(n, sizeof(T))); }
  void deallocate(T* p, size_t) noexcept { give_table_back(p); }
  template <class U>
  bool operator==(const ScratchAllocator<U>&) const {
    return true;
  }
  template <class U>
  bool operator!=(const ScratchAllocator<U>&) const {
    return false;
  }
};
template <class T>
using Vector = std::vector<T, ScratchAllocator<T>>;

// Scratch memory of a call, aligned as an arena's. Outside of a workspace the first of a thread that is alive is kept
// for the next one: the system's new pages cost more than what is done with them.
class ScratchBytes {
 public:
  explicit ScratchBytes(int64_t bytes);
  ScratchBytes(const ScratchBytes&) = delete;
  ~ScratchBytes();
  char* data() const { return data_; }

 private:
  Arena own_;
  bool keeps_;
  char* data_;
};

// Memory for some elements, whose values are nobody's.
template <class T>
class ScratchMemory {
 public:
  explicit ScratchMemory(int64_t n) : bytes_(Arena::rounded_bytes<T>(n)) {}
  T* data() const { return reinterpret_cast<T*>(bytes_.data()); }

 private:
  const ScratchBytes bytes_;
};

}  // namespace fastconv
