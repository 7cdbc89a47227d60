// Loops over single elements in dense memory.
#pragma once
#include <cstdint>
#include <limits>

namespace fastconv {

constexpr int kScattered = 4;

// dx[i][index[i][o]] += dy[i][o] for kScattered planes, until an index is not in [0, size): returns where it is, or
// null.
template <class T>
const int64_t* scatter_planes(const T* const* dy, const int64_t* const* index, T* const* dx, int64_t outputs,
                              int64_t size);
// dx[index[i]] += dy[i], or = dy[i], likewise.
template <class T>
const int64_t* scatter_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size, bool add);
// dx[index[i] * dx_step + c] += dy[i] for the c-th of `planes` elements side by side, likewise.
template <class T>
const int64_t* scatter_lines(const T* dy, int64_t dy_step, const int64_t* index, int64_t index_step, int64_t outputs,
                             int64_t planes, T* dx, int64_t dx_step, int64_t size);
// dx[i] = dy[index[i]], likewise.
template <class T>
const int64_t* gather_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size);

// to = |x|^power.
template <class T>
void raise(const T* x, int64_t n, T power, T* to);
// Whether roots and weights can be told from a sum of powers, which neither overflowed nor lost anything to underflow.
template <class T>
bool is_safe(T sum, bool or_zero) {
  using Limits = std::numeric_limits<T>;
  return ((sum > Limits::min() / Limits::epsilon()) & (sum < Limits::max())) | (or_zero & (sum == 0));
}
template <class T>
bool are_safe(const T* sums, int64_t n, bool or_zero);
// Whether no power of an element other than 0 lost anything to underflow.
template <class T>
bool none_vanished(const T* x, const T* powers, int64_t n);
// The largest |x| that is finite, or 0.
template <class T>
T largest_finite(const T* x, int64_t n);
// to = x * factor, in double precision.
template <class From, class To>
void convert(const From* x, int64_t n, double factor, To* to);
template <class T>
void take_roots(T* sums, int64_t n, T power);
// What an output gives to |x|^(power - 1) of each element under it, dy sum^(1 / power - 1), in place of dy; 0 where the
// sum is not positive. False where that leaves the range.
template <class T>
bool take_weights(const T* sums, int64_t n, T power, T* dy);
// dx *= sign(x) size; 0 where x is, and where dx is, whatever the others are.
template <class T>
void times_signed(const T* x, const T* size, int64_t n, T* dx);

}  // namespace fastconv
