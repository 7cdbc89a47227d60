// The p-norm of one window, scaled by its largest element so that no power overflows.
#pragma once
#include <cmath>
#include <limits>

#include "fastconv/pool.hpp"
#include "kernels/pool.hpp"

namespace fastconv {

// visit(x, d, r, t) for every element of the window.
template <class T, class Visit>
void for_each_tap(const PoolRows<T>& rows, PoolWindow w, int64_t dilation, Visit visit) {
  for (int64_t d = 0; d < rows.planes; ++d)
    for (int64_t r = 0; r < rows.rows; ++r) {
      const T* p = rows.data + d * rows.plane_step + r * rows.row_step + w.start * rows.col_step;
      const int64_t index = rows.index + d * rows.plane_index + r * rows.row_index + w.start;
      for (int64_t t = 0; t < w.count; ++t) visit(p[t * dilation * rows.col_step], index + t * dilation);
    }
}

// norm = largest * root, root = (sum (|x| / largest)^p (/ count))^(1/p).
template <class T>
struct LpNorm {
  T largest;
  T root;
  T value() const { return largest == 0 || std::isinf(largest) ? largest : largest * root; }
};

template <class T>
LpNorm<T> lp_window(const PoolRows<T>& rows, PoolWindow w, int64_t dilation, Norm norm) {
  LpNorm<T> result{0, 1};
  for_each_tap(rows, w, dilation, [&](T x, int64_t) {
    if (std::isnan(x) || std::abs(x) > result.largest) result.largest = std::abs(x);
  });
  if (!(result.largest > 0) || std::isinf(norm.p)) return result;
  const T p = static_cast<T>(norm.p);
  T sum = 0;
  int64_t count = 0;
  for_each_tap(rows, w, dilation, [&](T x, int64_t) {
    const T ratio = std::abs(x) / result.largest;
    sum += p == 1 ? ratio : p == 2 ? ratio * ratio : std::pow(ratio, p);
    ++count;
  });
  if (norm.mean) sum /= static_cast<T>(count);
  result.root = p == 1 ? sum : p == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p);
  return result;
}

// Whether a plain sum of squares can be trusted: it neither overflowed nor lost anything to underflow.
template <class T>
bool is_safe_square_sum(T sum) {
  return sum > std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon() && sum < std::numeric_limits<T>::max();
}

}  // namespace fastconv
