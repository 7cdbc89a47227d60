// A stretch of indices, and its parts.
#pragma once
#include <cstdint>

namespace fastconv {

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};
// Part i of [0, n) cut into `parts` nearly equal ones.
inline Range part(int64_t n, int64_t parts, int64_t i) { return {i * n / parts, (i + 1) * n / parts}; }
// Of n things, as many as there is a kernel for where those come for 1, 2, 4 ... at a time.
inline int64_t power_of_two_within(int64_t n) { return int64_t{1} << (63 - __builtin_clzll(static_cast<uint64_t>(n))); }

}  // namespace fastconv
