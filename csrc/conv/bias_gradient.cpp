// The bias' gradient: the sum of each channel's planes.
#include <algorithm>

#include "base/parallel.hpp"
#include "fastconv/conv.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kChunk = 2048;

// Elements [begin, begin + count) of a plane, in order.
template <class T>
void copy_chunk(const T* plane, const int64_t* n, const int64_t* st, int64_t begin, int64_t count, T* to) {
  int64_t d = begin / (n[3] * n[4]), h = begin / n[4] % n[3], w = begin % n[4];
  for (int64_t i = 0; i < count; ++i) {
    to[i] = plane[d * st[2] + h * st[3] + w * st[4]];
    if (++w < n[4]) continue;
    w = 0;
    if (++h == n[3]) h = 0, ++d;
  }
}

}  // namespace

// Planes are summed in chunks, by way of a buffer where they are not contiguous: the same bits for any layout.
template <class T>
void conv_backward_bias(View<const T> dy, View<T> db) {
  const auto& kernels = conv_kernels<T>();
  const int64_t *n = dy.shape, *st = dy.stride, plane = n[2] * n[3] * n[4];
  const bool contiguous =
      (n[4] <= 1 || st[4] == 1) && (n[3] <= 1 || st[3] == n[4]) && (n[2] <= 1 || st[2] == n[3] * n[4]);
  parallel_tasks(n[1], threads_for(static_cast<double>(dy.size())), [&](int64_t c) {
    T buffer[kChunk];
    double total = 0;
    for (int64_t image = 0; image < n[0]; ++image) {
      const T* p = dy.data + image * st[0] + c * st[1];
      for (int64_t begin = 0; begin < plane; begin += kChunk) {
        const int64_t count = std::min(kChunk, plane - begin);
        if (!contiguous) copy_chunk(p, n, st, begin, count, buffer);
        total += static_cast<double>(kernels.sum(contiguous ? p + begin : buffer, 1, count));
      }
    }
    db.data[c * db.stride[0]] = static_cast<T>(total);
  });
}

template void conv_backward_bias(View<const float>, View<float>);
template void conv_backward_bias(View<const double>, View<double>);

}  // namespace fastconv
