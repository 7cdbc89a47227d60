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

}  // namespace fastconv
