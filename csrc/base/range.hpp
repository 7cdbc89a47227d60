// A stretch of indices, and its parts.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/checked.hpp"

namespace fastconv {

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};
// Part i of [0, n) cut into `parts` nearly equal ones.
inline Range part(int64_t n, int64_t parts, int64_t i) { return {i * n / parts, (i + 1) * n / parts}; }
// The extent of blocks of [0, n), none longer than `most`: as even as may be, and where there are but a few a thread,
// as many for each, since an odd one keeps the others waiting.
inline int64_t even_extent(int64_t n, int64_t most, int threads) {
  constexpr int64_t kFew = 8;
  int64_t blocks = ceil_div(n, most);
  if (blocks > 1 && blocks < kFew * threads) blocks = std::min(n, round_up(blocks, threads));
  return ceil_div(n, blocks);
}
// Of n things, as many as there is a kernel for where those come for 1, 2, 4 ... at a time.
inline int64_t power_of_two_within(int64_t n) { return int64_t{1} << (63 - __builtin_clzll(static_cast<uint64_t>(n))); }

}  // namespace fastconv
