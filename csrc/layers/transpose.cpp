#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "kernels/conv.hpp"
#include "layers/layers.hpp"

namespace fastconv {

// Strips of columns, and within one a few rows at a time: what a cache line of x holds is used while it is in the
// first-level cache, also where rows lie a multiple of 4096 bytes apart.
template <class T>
void transpose(const T* x, T* y, int64_t rows, int64_t columns) {
  constexpr int64_t kColumns = 128 / sizeof(T), kRows = 32 / sizeof(T);
  const double bytes = 2.0 * sizeof(T) * static_cast<double>(rows) * static_cast<double>(columns);
  parallel_tasks(ceil_div(columns, kColumns), threads_for(bytes), [&](int64_t strip) {
    const int64_t c = strip * kColumns, width = std::min(kColumns, columns - c);
    for (int64_t r = 0; r < rows; r += kRows) {
      const int64_t height = std::min(kRows, rows - r);
      conv_kernels<T>().pack_transposed(y + c * rows + r, rows, x + r * columns + c, columns, 1, width, height, height);
    }
  });
}

template void transpose(const float*, float*, int64_t, int64_t);
template void transpose(const double*, double*, int64_t, int64_t);

}  // namespace fastconv
