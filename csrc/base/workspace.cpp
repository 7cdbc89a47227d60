#include "base/workspace.hpp"

#include <algorithm>
#include <cstdlib>
#if defined(_WIN32)
#include <malloc.h>
#endif

namespace fastconv {
namespace {

constexpr int64_t kPage = 4096;

#if defined(_WIN32)
void* new_pages(int64_t bytes) { return _aligned_malloc(static_cast<size_t>(bytes), kPage); }
void delete_pages(void* pages) { _aligned_free(pages); }
#else
void* new_pages(int64_t bytes) { return std::aligned_alloc(kPage, static_cast<size_t>(bytes)); }
void delete_pages(void* pages) { std::free(pages); }
#endif

size_t grains(size_t bytes) {
  return std::max<size_t>(1, (bytes + Workspace::kGrain - 1) / Workspace::kGrain) * Workspace::kGrain;
}

}  // namespace

Workspace::Workspace(void* memory, size_t size) {
  const auto start = reinterpret_cast<uintptr_t>(memory), aligned = (start + kGrain - 1) / kGrain * kGrain;
  if (!memory || size < aligned - start + kGrain) return;
  size_ = (size - (aligned - start)) / kGrain * kGrain;
  first_ = ::new (reinterpret_cast<void*>(aligned)) Free{size_, nullptr};
}

void* Workspace::take(size_t bytes, From from) {
  const size_t need = grains(bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  Free** link = nullptr;  // to the block that is taken from
  for (Free** l = &first_; *l && !(link && from == From::start); l = &(*l)->next)
    if ((*l)->size >= need) link = l;
  if (!link) throw WorkspaceTooSmall(size_, size_ + need);
  Free* block = *link;
  char* memory = reinterpret_cast<char*>(block);
  const size_t rest = block->size - need;
  if (rest == 0) {
    *link = block->next;
  } else if (from == From::end) {
    block->size = rest;
    memory += rest;
  } else {
    *link = ::new (memory + need) Free{rest, block->next};
  }
  return memory;
}

void Workspace::give_back(void* memory, size_t bytes) noexcept {
  const size_t size = grains(bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  Free *before = nullptr, *after = first_;
  while (after && static_cast<void*>(after) < memory) before = after, after = after->next;
  Free* block = ::new (memory) Free{size, after};
  auto end = [](Free* f) { return reinterpret_cast<Free*>(reinterpret_cast<char*>(f) + f->size); };
  if (after && end(block) == after) block->size += after->size, block->next = after->next;
  if (before && end(before) == block) before->size += block->size, before->next = block->next;
  else (before ? before->next : first_) = block;
}

Arena& Arena::local() {
  thread_local Arena arena;
  return Borrowing::innermost_ ? Borrowing::innermost_->local_ : arena;
}
Arena& Arena::shared() {
  thread_local Arena arena;
  return Borrowing::innermost_ ? Borrowing::innermost_->shared_ : arena;
}

void Arena::grow(int64_t bytes) {
  release();
  const int64_t rounded = from_ ? bytes : (bytes + kPage - 1) / kPage * kPage;
  data_ = static_cast<char*>(from_ ? from_->take(static_cast<size_t>(rounded), end_) : new_pages(rounded));
  if (!data_) throw std::bad_alloc();
  capacity_ = rounded;
}

void Arena::release() noexcept {
  if (data_ && from_) from_->give_back(data_, static_cast<size_t>(capacity_));
  else delete_pages(data_);
  data_ = nullptr;
  capacity_ = 0;
}

thread_local Borrowing* Borrowing::innermost_ = nullptr;

Borrowing::Borrowing(Workspace* workspace)
    : workspace_(workspace), outer_(innermost_), local_(workspace), shared_(workspace, Workspace::From::end) {
  if (workspace) innermost_ = this;
}
Borrowing::~Borrowing() { innermost_ = outer_; }
Workspace* Borrowing::current() noexcept { return innermost_ ? innermost_->workspace_ : nullptr; }

namespace {

struct alignas(std::max_align_t) Origin {
  Workspace* workspace;  // null: the heap
  size_t bytes;
};

}  // namespace

void* take_table(size_t count, size_t item) {
  if (count > (PTRDIFF_MAX - sizeof(Origin)) / item) throw std::bad_alloc();
  const Origin origin{Borrowing::current(), sizeof(Origin) + count * item};
  void* const memory = origin.workspace ? origin.workspace->take(origin.bytes) : ::operator new(origin.bytes);
  return new (memory) Origin(origin) + 1;
}
void give_table_back(void* table) noexcept {
  Origin* const origin = static_cast<Origin*>(table) - 1;
  if (origin->workspace) origin->workspace->give_back(origin, origin->bytes);
  else ::operator delete(origin);
}

namespace {

constexpr int64_t kMostKept = 32 << 20;  // bytes

struct Kept {
  Arena arena;
  bool taken = false;
};
Kept& kept() {
  thread_local Kept memory;
  return memory;
}

}  // namespace

ScratchBytes::ScratchBytes(int64_t bytes)
    : own_(Borrowing::current()),
      keeps_(!Borrowing::current() && bytes <= kMostKept && !kept().taken),
      data_((keeps_ ? kept().arena : own_).reserve(bytes)) {
  if (keeps_) kept().taken = true;
}
ScratchBytes::~ScratchBytes() {
  if (keeps_) kept().taken = false;
}

}  // namespace fastconv
