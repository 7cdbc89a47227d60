#include "pool/elements.hpp"

#include <cmath>

namespace fastconv {
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
bool are_safe(const T* sums, int64_t n, bool or_zero) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= !is_safe(sums[i], or_zero);
  return !bad;
}

template <class T>
bool none_vanished(const T* x, const T* powers, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= (x[i] != 0) & !is_safe(powers[i], false);
  return !bad;
}

template <class T>
T largest_finite(const T* x, int64_t n) {
  constexpr int kLanes = 8;  // maxima side by side, as vectors keep them
  T largest[kLanes] = {};
  auto take = [](T& so_far, T v) {
    const T size = std::abs(v) <= std::numeric_limits<T>::max() ? std::abs(v) : T(0);
    so_far = size > so_far ? size : so_far;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) take(largest[l], x[i + l]);
  for (; i < n; ++i) take(largest[0], x[i]);
  for (int l = 1; l < kLanes; ++l) take(largest[0], largest[l]);
  return largest[0];
}

template <class From, class To>
void convert(const From* x, int64_t n, double factor, To* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(static_cast<double>(x[i]) * factor);
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
  int bad = 0;
  auto take = [=](auto slope) {
    for (int64_t i = 0; i < n; ++i) {
      const bool told = sums[i] > 0;
      dy[i] = (told ? dy[i] : T(0)) * slope(told ? sums[i] : T(1));
    }
  };
  if (power == 1) take([](T) { return T(1); });
  with_root(power, [=](auto root) { take([=](T sum) { return root(sum) / sum; }); });
  for (int64_t i = 0; i < n; ++i) bad |= !is_safe(std::abs(dy[i]), true);
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
  template bool are_safe(const T*, int64_t, bool);                                                                 \
  template bool none_vanished(const T*, const T*, int64_t);                                                        \
  template T largest_finite(const T*, int64_t);                                                                    \
  template void convert(const T*, int64_t, double, T*);                                                            \
  template void take_roots(T*, int64_t, T);                                                                        \
  template bool take_weights(const T*, int64_t, T, T*);                                                            \
  template void times_signed(const T*, const T*, int64_t, T*);
FASTCONV_ELEMENTS(float)
FASTCONV_ELEMENTS(double)
template void convert(const float*, int64_t, double, double*);
template void convert(const double*, int64_t, double, float*);

}  // namespace fastconv
