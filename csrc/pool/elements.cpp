#include "pool/elements.hpp"

#include <cmath>
#include <limits>

namespace fastconv {
namespace {

template <class T>
bool is_within_range(T v) {
  return (v > std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon()) & (v < std::numeric_limits<T>::max());
}

// Whether all sums can be trusted. Plain ones cannot lose anything but by overflow.
template <class T>
bool are_safe(const T* sums, int64_t n, T power) {
  int bad = 0;
  if (power == 1)
    for (int64_t i = 0; i < n; ++i) bad |= !(sums[i] <= std::numeric_limits<T>::max());
  else
    for (int64_t i = 0; i < n; ++i) bad |= !is_within_range(sums[i]);
  return !bad;
}

}  // namespace

template <class T>
int64_t scatter_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size, bool add) {
  const auto end = static_cast<uint64_t>(size);
  int64_t i = 0;
  if (add)
    for (; i < n && static_cast<uint64_t>(index[i]) < end; ++i) dx[index[i]] += dy[i];
  else
    for (; i < n && static_cast<uint64_t>(index[i]) < end; ++i) dx[index[i]] = dy[i];
  return i;
}

template <class T>
int64_t gather_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size) {
  int64_t i = 0;
  for (; i < n && static_cast<uint64_t>(index[i]) < static_cast<uint64_t>(size); ++i) dx[i] = dy[index[i]];
  return i;
}

template <class T>
void raise(const T* x, int64_t n, T power, T* to) {
  if (power == 1)
    for (int64_t i = 0; i < n; ++i) to[i] = std::abs(x[i]);
  else if (power == 2)
    for (int64_t i = 0; i < n; ++i) to[i] = x[i] * x[i];
  else if (power == 3)
    for (int64_t i = 0; i < n; ++i) to[i] = std::abs(x[i]) * x[i] * x[i];
  else
    for (int64_t i = 0; i < n; ++i) to[i] = std::pow(std::abs(x[i]), power);
}

template <class T>
bool take_roots(T* sums, int64_t n, T power) {
  if (!are_safe(sums, n, power)) return false;
  if (power == 2)
    for (int64_t i = 0; i < n; ++i) sums[i] = std::sqrt(sums[i]);
  else if (power != 1)
    for (int64_t i = 0; i < n; ++i) sums[i] = std::pow(sums[i], 1 / power);
  return true;
}

template <class T>
bool take_weights(const T* sums, int64_t n, T power, T* dy) {
  if (!are_safe(sums, n, power)) return false;
  if (power == 1) return true;
  if (power == 2)
    for (int64_t i = 0; i < n; ++i) dy[i] /= std::sqrt(sums[i]);
  else
    for (int64_t i = 0; i < n; ++i) dy[i] *= std::pow(sums[i], 1 / power - 1);
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= !((dy[i] == 0) | is_within_range(std::abs(dy[i])));
  return !bad;
}

template <class T>
void times_powers(const T* x, int64_t n, T power, T* dx) {
  if (power == 0)
    for (int64_t i = 0; i < n; ++i) dx[i] *= static_cast<T>((x[i] > 0) - (x[i] < 0));
  else if (power == 1)
    for (int64_t i = 0; i < n; ++i) {  // as vectors take it
      const T e = x[i], d = dx[i];
      dx[i] = d * (d == 0 ? T(0) : e);
    }
  else
    for (int64_t i = 0; i < n; ++i) {
      const T e = dx[i] == 0 ? T(0) : x[i], size = std::abs(e);
      if (e != 0) dx[i] *= power == 2 ? size * e : std::copysign(std::pow(size, power), e);
      else dx[i] = 0;
    }
}

#define FASTCONV_ELEMENTS(T)                                                               \
  template int64_t scatter_elements(const T*, const int64_t*, int64_t, T*, int64_t, bool); \
  template int64_t gather_elements(const T*, const int64_t*, int64_t, T*, int64_t);        \
  template void raise(const T*, int64_t, T, T*);                                           \
  template bool take_roots(T*, int64_t, T);                                                \
  template bool take_weights(const T*, int64_t, T, T*);                                    \
  template void times_powers(const T*, int64_t, T, T*);
FASTCONV_ELEMENTS(float)
FASTCONV_ELEMENTS(double)

}  // namespace fastconv
