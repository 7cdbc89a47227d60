// The p-norm of one window, scaled by its largest element so that no power overflows.
#pragma once
#include <cmath>
#include <limits>

#include "pool/direct.hpp"

namespace fastconv {

// norm = largest * root, root = (sum (|x| / largest)^p (/ count))^(1/p).
template <class T>
struct LpNorm {
  T largest;
  T root;
  T value() const { return largest == 0 || std::isinf(largest) ? largest : largest * root; }
};

template <class T>
LpNorm<T> lp_window(const WindowBox<T>& window, Norm norm) {
  LpNorm<T> result{0, 1};
  window.for_each([&](T x, int64_t) {
    if (std::isnan(x) || std::abs(x) > result.largest) result.largest = std::abs(x);
    return false;
  });
  if (!(result.largest > 0) || std::isinf(norm.p)) return result;
  const T p = static_cast<T>(norm.p);
  T sum = 0;
  window.for_each([&](T x, int64_t) {
    const T ratio = std::abs(x) / result.largest;
    sum += p == 1 ? ratio : p == 2 ? ratio * ratio : std::pow(ratio, p);
    return false;
  });
  if (norm.mean) sum /= static_cast<T>(window.box.size());
  result.root = p == 1 ? sum : p == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p);
  return result;
}

// Whether a plain sum of squares can be trusted: it neither overflowed nor lost anything to underflow.
template <class T>
bool is_safe_square_sum(T sum) {
  return sum > std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon() && sum < std::numeric_limits<T>::max();
}

}  // namespace fastconv
