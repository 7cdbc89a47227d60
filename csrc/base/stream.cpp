#include "base/stream.hpp"

#include <algorithm>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fastconv {

void stream_copy(char* to, const char* from, int64_t bytes) {
#if defined(__SSE2__)
  constexpr int64_t kLine = 64, kPart = 16;
  const int64_t before = std::min<int64_t>(bytes, -reinterpret_cast<uintptr_t>(to) % kLine);
  std::memcpy(to, from, static_cast<size_t>(before));
  to += before, from += before, bytes -= before;
  for (; bytes >= kLine; bytes -= kLine)
    for (int64_t i = 0; i < kLine; i += kPart, to += kPart, from += kPart)
      _mm_stream_ps(reinterpret_cast<float*>(to), _mm_loadu_ps(reinterpret_cast<const float*>(from)));
  _mm_sfence();
#endif
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace fastconv
