#pragma once
#include "pool/rows.hpp"

namespace fastconv {

// What divides the outputs: nothing, a number, or the elements in the window.
struct Divisor {
  enum Kind { none, fixed, counted } kind = none;
  int64_t fixed_value = 1;
  bool with_padding = false;
};

inline Divisor divisor_of(const Averaging& a) {
  return {a.divisor ? Divisor::fixed : Divisor::counted, a.divisor, a.count_include_pad};
}

// What divides all sums alike; 0 if they differ.
inline double common_divisor(const PoolProblem& p, const Divisor& divisor) {
  if (divisor.kind != Divisor::counted) return static_cast<double>(divisor.fixed_value);
  double value = 1;
  for (const PoolAxis& a : p.axis) {
    const bool whole = is_regular(a) && a.out > 0 && (is_inside(a) || divisor.with_padding);
    const bool even = whole && pool_divisor(a, a.out - 1, divisor.with_padding) == a.k;
    value *= even ? static_cast<double>(a.k) : 0;
  }
  return value;
}

inline bool is_power_of_two(double v) {
  int exponent;
  return std::frexp(v, &exponent) == 0.5;
}

}  // namespace fastconv
