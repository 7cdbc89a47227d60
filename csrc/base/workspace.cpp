#include "base/workspace.hpp"

#include <algorithm>

namespace fastconv {
namespace {

constexpr int64_t kPage = 4096;

// operator new, and not aligned_alloc, which Windows lacks; null instead of an exception, as sanitizers want it.
char* new_pages(int64_t bytes) {
  return static_cast<char*>(::operator new(static_cast<size_t>(bytes), std::align_val_t{kPage}, std::nothrow));
}
void delete_pages(char* pages) { ::operator delete(pages, std::align_val_t{kPage}); }

}  // namespace

Workspace::Workspace(void* memory, size_t size) {
  const auto start = reinterpret_cast<uintptr_t>(memory), aligned = (start + kGrain - 1) / kGrain * kGrain;
  if (!memory || size < aligned - start + kGrain) return;
  begin_ = reinterpret_cast<char*>(aligned);
  size_ = (size - (aligned - start)) / kGrain * kGrain;
  first_ = ::new (begin_) Free{size_, nullptr};
}

void* Workspace::take(size_t bytes) {
  const size_t need = std::max<size_t>(1, (bytes + kGrain - 1) / kGrain) * kGrain;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Free** link = &first_; *link; link = &(*link)->next) {
    Free* block = *link;
    if (block->size < need) continue;
    *link = block->size == need ? block->next : ::new (reinterpret_cast<char*>(block) + need) Free{block->size - need, block->next};
    most_ = std::max(most_, static_cast<size_t>(reinterpret_cast<char*>(block) - begin_) + need);
    return block;
  }
  throw WorkspaceTooSmall(size_, size_ + need);
}

void Workspace::give_back(void* memory, size_t bytes) noexcept {
  const size_t size = std::max<size_t>(1, (bytes + kGrain - 1) / kGrain) * kGrain;
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
  data_ = from_ ? static_cast<char*>(from_->take(static_cast<size_t>(rounded))) : new_pages(rounded);
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
    : workspace_(workspace), outer_(innermost_), local_(workspace), shared_(workspace) {
  if (workspace) innermost_ = this;
}
Borrowing::~Borrowing() { innermost_ = outer_; }

}  // namespace fastconv
