#include "bindings/large_memory.hpp"

#include <mutex>
#include <utility>

#include "base/large.hpp"
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastconv {

#if defined(MADV_HUGEPAGE) && defined(MADV_FREE)
namespace {

constexpr size_t kMostKept = 128 << 20;

struct Mapping {
  void* start = nullptr;
  size_t length = 0;

  void end() { munmap(std::exchange(start, nullptr), std::exchange(length, 0)); }
};

std::mutex mutex;
Mapping kept[8];  // the last given back comes first

void keep(PyObject* capsule) {
  Mapping given{PyCapsule_GetPointer(capsule, nullptr), reinterpret_cast<size_t>(PyCapsule_GetContext(capsule))};
  madvise(given.start, given.length, MADV_FREE);  // the pages stay until the system is short of some
  const std::lock_guard<std::mutex> lock(mutex);
  size_t all = 0;
  for (Mapping& mapping : kept) {
    std::swap(mapping, given);
    if (all + mapping.length > kMostKept) mapping.end();
    all += mapping.length;
  }
  if (given.start) given.end();
}

Mapping kept_of(size_t length) {
  const std::lock_guard<std::mutex> lock(mutex);
  for (Mapping& mapping : kept)
    if (mapping.length >= length && mapping.length <= length + length / 4) return std::exchange(mapping, Mapping());
  return {};
}

}  // namespace

py::object large_memory(size_t bytes) {
  if (bytes < kMappedBytes) return {};
  const size_t length = (bytes / kHugePage + 2) * kHugePage;
  Mapping mapping = kept_of(length);
  if (!mapping.start) {
    mapping = {mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), length};
    if (mapping.start == MAP_FAILED) return {};
    madvise(mapping.start, length, MADV_HUGEPAGE);
  }
  auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(mapping.start, nullptr, keep));
  if (!capsule) throw py::error_already_set();
  PyCapsule_SetContext(capsule.ptr(), reinterpret_cast<void*>(mapping.length));
  return capsule;
}

char* large_data(py::handle memory) {
  char* const start = static_cast<char*>(PyCapsule_GetPointer(memory.ptr(), nullptr));
  return start + -reinterpret_cast<uintptr_t>(start) % kHugePage;
}
#else
py::object large_memory(size_t) { return {}; }
char* large_data(py::handle) { return nullptr; }
#endif

}  // namespace fastconv
