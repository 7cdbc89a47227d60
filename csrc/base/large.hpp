// Results so large that their pages are new in each call.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int64_t kMappedBytes = 32 << 20;  // malloc asks the system for memory anew for each array as large
constexpr int64_t kHugePage = 2 << 20;

}  // namespace fastconv
