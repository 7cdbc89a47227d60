// Loops over single elements in dense memory.
#pragma once
#include <cstdint>

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
// Whether roots and weights can be told from sums of powers: none overflowed or lost anything to underflow.
template <class T>
bool are_safe(const T* sums, int64_t n);
// to = x * half * rest: a power of two that need not be in range itself.
template <class T>
void scale(const T* x, int64_t n, T half, T rest, T* to);
// Sums that do not tell become 0, and so do those of windows that are not open. Those that do close theirs: open[i],
// which is not 0 before, becomes so.
template <class T>
void close_told(T* sums, T* open, int64_t n);
// y = sums * half * rest where sums are not 0.
template <class T>
void put_told(const T* sums, int64_t n, T half, T rest, T* y);
template <class T>
void take_roots(T* sums, int64_t n, T power);
// What an output gives to |x|^(power - 1) of each element under it, dy sum^(1 / power - 1), in place of dy. False where
// that leaves the range.
template <class T>
bool take_weights(const T* sums, int64_t n, T power, T* dy);
// dx *= sign(x) size; 0 where x is, and where dx is, whatever the others are.
template <class T>
void times_signed(const T* x, const T* size, int64_t n, T* dx);

}  // namespace fastconv
