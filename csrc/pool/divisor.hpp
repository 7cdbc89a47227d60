#pragma once
#include "pool/rows.hpp"

namespace fastconv {

// What divides the outputs: nothing, a number, or the elements in the window.
struct Divisor {
  enum Kind { none, fixed, counted } kind = none;
  int64_t fixed_value = 1;
  bool with_padding = false;
};

// What divides all sums alike; 0 if they differ.
inline double common_divisor(const PoolProblem& p, const Divisor& divisor) {
  if (divisor.kind != Divisor::counted) return static_cast<double>(divisor.fixed_value);
  double value = 1;
  for (const PoolAxis& a : p.axis) {
    const bool even = is_regular(a) && (is_inside(a) || divisor.with_padding) && a.out > 0 && pool_divisor(a, a.out - 1, divisor.with_padding) == a.k;
    value *= even ? static_cast<double>(a.k) : 0;
  }
  return value;
}

}  // namespace fastconv
