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
// Part i of [0, n) cut into `parts` nearly equal ones, the shorter ones first: threads that take one after the other
// end together, which they would not if short and long ones took turns.
inline Range part(int64_t n, int64_t parts, int64_t i) {
  const int64_t size = n / parts, shorter = parts - n % parts;
  const auto begin = [&](int64_t at) { return at * size + std::max<int64_t>(0, at - shorter); };
  return {begin(i), begin(i + 1)};
}
// The fewest parts of [0, n), none longer than `most`; but where there are only a few a thread, as many for each, since
// an odd one keeps the others waiting.
inline int64_t even_parts(int64_t n, int64_t most, int threads) {
  constexpr int64_t kFew = 8;
  const int64_t parts = ceil_div(n, most);
  return parts > 1 && parts < kFew * threads ? std::min(n, round_up(parts, threads)) : parts;
}
// Of n things, as many as there is a kernel for where those come for 1, 2, 4 ... at a time.
inline int64_t power_of_two_within(int64_t n) { return int64_t{1} << (63 - __builtin_clzll(static_cast<uint64_t>(n))); }
// The largest number of [least, most] that f says yes to, as it does to all smaller ones; of `least` it is not asked.
template <class F>
int64_t largest(int64_t least, int64_t most, F f) {
  while (least < most) {
    const int64_t middle = least + (most - least + 1) / 2;
    if (f(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

}  // namespace fastconv
