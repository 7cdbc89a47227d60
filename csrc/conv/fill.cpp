#include "conv/fill.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.hpp"

namespace fastconv {

template <class T>
void fill_rows(T* y, int64_t rows, int64_t row, int64_t columns, int64_t step, T value) {
  const bool is_zero = value == 0 && !std::signbit(value);
  for (int64_t r = 0; r < rows; ++r, y += row)
    if (step == 1 && is_zero) std::memset(y, 0, static_cast<size_t>(columns) * sizeof(T));
    else if (step == 1) std::fill_n(y, columns, value);
    else
      for (int64_t i = 0; i < columns; ++i) y[i * step] = value;
}

template <class T>
void fill_with_bias(const GatherSum<T>& s) {
  if (s.accumulate) return;
  const View<T>& y = s.y;
  const int64_t channels = s.groups * s.rows;
  int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  for (int i : {1, 0})  // rows that follow one another are one
    if (y.stride[2 + i] == n[2] * y.stride[4]) n[2] *= n[i], n[i] = 1;
    else break;
  parallel_tasks(s.images * channels, threads_for(static_cast<double>(s.images * channels) * n[1] * n[2]),
                 [&](int64_t i) {
                   const T bias = s.bias ? s.bias[i % channels] : T(0);
                   const T value = !s.clamp ? bias : bias < s.low ? s.low : bias > s.high ? s.high : bias;
                   T* plane = y.data + i / channels * y.stride[0] + i % channels * y.stride[1];
                   for (int64_t d = 0; d < n[0]; ++d)
                     fill_rows(plane + d * y.stride[2], n[1], y.stride[3], n[2], y.stride[4], value);
                 });
}

#define FASTCONV_INSTANTIATE(T)                                       \
  template void fill_rows(T*, int64_t, int64_t, int64_t, int64_t, T); \
  template void fill_with_bias(const GatherSum<T>&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
