// Copies past the caches.
#pragma once
#include <cstdint>

namespace fastconv {

// Whole lines of `to` are not read before they are written, as others are, nor kept in any cache.
void stream_copy(char* to, const char* from, int64_t bytes);

}  // namespace fastconv
