// Loops over single elements in dense memory.
#pragma once
#include <cstdint>

namespace fastconv {

// dx[index[i]] += dy[i], or = dy[i]; stops before an index that is not in [0, size). Returns how many were taken.
template <class T>
int64_t scatter_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size, bool add);
// dx[i] = dy[index[i]], likewise.
template <class T>
int64_t gather_elements(const T* dy, const int64_t* index, int64_t n, T* dx, int64_t size);

// to = |x|^power.
template <class T>
void raise(const T* x, int64_t n, T power, T* to);
// Roots of sums of powers, in place. False, and nothing is done, if a sum overflowed or may have lost something to
// underflow.
template <class T>
bool take_roots(T* sums, int64_t n, T power);
// What an output gives to |x|^(power - 1) of each element under it, dy sum^(1 / power - 1), in place of dy. False
// likewise, and where it cannot be told in this range: then dy is lost.
template <class T>
bool take_weights(const T* sums, int64_t n, T power, T* dy);
// dx *= sign(x) |x|^power; where dx is 0 x may be anything.
template <class T>
void times_powers(const T* x, int64_t n, T power, T* dx);

}  // namespace fastconv
