// Sizes that come from a caller: 64-bit, and refused when a product or a sum leaves 63 bits.
#pragma once
#include <cstdint>

#include "base/message.hpp"

namespace fastconv {

[[noreturn]] inline void overflow(const char* what) { invalid({what, ": the size overflows 64 bits"}); }
inline int64_t checked_mul(int64_t a, int64_t b, const char* what) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) overflow(what);
  return r;
}
inline int64_t checked_add(int64_t a, int64_t b, const char* what) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) overflow(what);
  return r;
}
inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }  // b > 0; no sum that could overflow
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace fastconv
