#include "conv/fill.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.hpp"

namespace fastconv {

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
                   const bool is_zero = value == 0 && !std::signbit(value);
                   T* plane = y.data + i / channels * y.stride[0] + i % channels * y.stride[1];
                   for (int64_t d = 0; d < n[0]; ++d)
                     for (int64_t h = 0; h < n[1]; ++h) {
                       T* row = plane + d * y.stride[2] + h * y.stride[3];
                       if (y.stride[4] == 1 && is_zero) std::memset(row, 0, static_cast<size_t>(n[2]) * sizeof(T));
                       else if (y.stride[4] == 1) std::fill_n(row, n[2], value);
                       else
                         for (int64_t w = 0; w < n[2]; ++w) row[w * y.stride[4]] = value;
                     }
                 });
}

template void fill_with_bias(const GatherSum<float>&);
template void fill_with_bias(const GatherSum<double>&);

}  // namespace fastconv
