#include "pool/elements.hpp"

#include <cmath>
#include <limits>

namespace fastconv {
namespace {

template <class T>
bool is_within_range(T v) {
  return (v > std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon()) & (v < std::numeric_limits<T>::max());
}

}  // namespace

template <class T>
const int64_t* scatter_planes(const T* const* dy, const int64_t* const* index, T* const* dx, int64_t outputs,
                              int64_t size) {
  const T* from[kScattered];
  const int64_t* at[kScattered];
  T* to[kScattered];
  for (int i = 0; i < kScattered; ++i) from[i] = dy[i], at[i] = index[i], to[i] = dx[i];
  for (int64_t o = 0; o < outputs; ++o)
#pragma GCC unroll 4
    for (int i = 0; i < kScattered; ++i) {
      const int64_t j = at[i][o];
      if (static_cast<uint64_t>(j) >= static_cast<uint64_t>(size)) return at[i] + o;
      to[i][j] += from[i][o];
    }
  return nullptr;
}

template <class T>
const int64_t* scatter_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size, bool add) {
  const auto end = static_cast<uint64_t>(size);
  int64_t i = 0;
  if (add)
    for (; i < n && static_cast<uint64_t>(index[i]) < end; ++i) dx[index[i]] += dy[i];
  else
    for (; i < n && static_cast<uint64_t>(index[i]) < end; ++i) dx[index[i]] = dy[i];
  return i < n ? index + i : nullptr;
}

template <class T>
const int64_t* gather_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size) {
  int64_t i = 0;
  for (; i < n && static_cast<uint64_t>(index[i]) < static_cast<uint64_t>(size); ++i) dx[i] = dy[index[i]];
  return i < n ? index + i : nullptr;
}

template <class T>
const int64_t* scatter_lines(const T* dy, int64_t dy_step, const int64_t* index, int64_t index_step, int64_t outputs,
                             int64_t planes, T* dx, int64_t dx_step, int64_t size) {
  for (; outputs > 0; --outputs, dy += dy_step, index += index_step)
    for (int64_t c = 0; c < planes; ++c) {
      if (static_cast<uint64_t>(index[c]) >= static_cast<uint64_t>(size)) return index + c;
      dx[index[c] * dx_step + c] += dy[c];
    }
  return nullptr;
}

template <class T>
void raise(const T* x, int64_t n, T power, T* to) {
  const T whole = std::floor(power), part = power - whole;
  if (whole < 0 || whole > 8 || !(part == 0 || part == T(0.5))) {
    for (int64_t i = 0; i < n; ++i) to[i] = std::pow(std::abs(x[i]), power);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const T e = std::abs(x[i]);
    to[i] = (whole > 0 ? e : T(1)) * (whole > 1 ? e : T(1)) * (whole > 2 ? e : T(1));
  }
  for (int times = 3; times < whole; ++times)
    for (int64_t i = 0; i < n; ++i) to[i] *= std::abs(x[i]);
  if (part > 0)
    for (int64_t i = 0; i < n; ++i) to[i] *= std::sqrt(std::abs(x[i]));
}

template <class T>
bool are_safe(const T* sums, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= !is_within_range(sums[i]);
  return !bad;
}

template <class T>
void scale(const T* x, int64_t n, T half, T rest, T* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = x[i] * half * rest;
}

template <class T>
void close_told(T* sums, T* open, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T told = is_within_range(sums[i]) ? open[i] : T(0);
    sums[i] = told > 0 ? sums[i] : T(0);
    open[i] -= told;
  }
}

template <class T>
void put_told(const T* sums, int64_t n, T half, T rest, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = sums[i] > 0 ? sums[i] * half * rest : y[i];
}

// visit(root), root(sum) being the power-th root: a loop for each way to take it.
template <class T, class Visit>
void with_root(T power, Visit visit) {
  if (power == 2) visit([](T sum) { return std::sqrt(sum); });
  else if (power == 4) visit([](T sum) { return std::sqrt(std::sqrt(sum)); });
  else if (power != 1) visit([=](T sum) { return std::pow(sum, 1 / power); });
}

template <class T>
void take_roots(T* sums, int64_t n, T power) {
  with_root(power, [=](auto root) {
    for (int64_t i = 0; i < n; ++i) sums[i] = root(sums[i]);
  });
}

template <class T>
bool take_weights(const T* sums, int64_t n, T power, T* dy) {
  if (power == 1) return true;
  int bad = 0;
  with_root(power, [=](auto root) {
    for (int64_t i = 0; i < n; ++i) dy[i] *= root(sums[i]) / sums[i];
  });
  for (int64_t i = 0; i < n; ++i) bad |= !((dy[i] == 0) | is_within_range(std::abs(dy[i])));
  return !bad;
}

template <class T>
void times_signed(const T* x, const T* size, int64_t n, T* dx) {
  for (int64_t i = 0; i < n; ++i) {
    const T factor = std::copysign(size[i], x[i]), d = dx[i];
    dx[i] = d * ((d == 0) | (x[i] == 0) ? T(0) : factor);
  }
}

#define FASTCONV_ELEMENTS(T)                                                                                       \
  template const int64_t* scatter_planes(const T* const*, const int64_t* const*, T* const*, int64_t, int64_t);     \
  template const int64_t* scatter_elements(const T*, const int64_t*, int64_t, T*, int64_t, bool);                  \
  template const int64_t* scatter_lines(const T*, int64_t, const int64_t*, int64_t, int64_t, int64_t, T*, int64_t, \
                                        int64_t);                                                                  \
  template const int64_t* gather_elements(const T*, const int64_t*, int64_t, T*, int64_t);                         \
  template void raise(const T*, int64_t, T, T*);                                                                   \
  template bool are_safe(const T*, int64_t);                                                                       \
  template void scale(const T*, int64_t, T, T, T*);                                                                \
  template void close_told(T*, T*, int64_t);                                                                       \
  template void put_told(const T*, int64_t, T, T, T*);                                                             \
  template void take_roots(T*, int64_t, T);                                                                        \
  template bool take_weights(const T*, int64_t, T, T*);                                                            \
  template void times_signed(const T*, const T*, int64_t, T*);
FASTCONV_ELEMENTS(float)
FASTCONV_ELEMENTS(double)

}  // namespace fastconv
