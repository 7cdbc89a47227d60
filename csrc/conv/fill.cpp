#include "conv/fill.hpp"

#include <algorithm>

#include "base/parallel.hpp"

namespace fastconv {

template <class T>
void fill_with_bias(const GatherSum<T>& s) {
  if (s.accumulate) return;
  const View<T>& y = s.y;
  const int64_t channels = s.groups * s.rows;
  parallel_tasks(s.images * channels,
                 threads_for(static_cast<double>(s.images * channels) * s.axis[1].outputs * s.axis[2].outputs),
                 [&](int64_t i) {
                   const T bias = s.bias ? s.bias[i % channels] : T(0);
                   const T value = !s.clamp ? bias : bias < s.low ? s.low : bias > s.high ? s.high : bias;
                   T* plane = y.data + i / channels * y.stride[0] + i % channels * y.stride[1];
                   for (int64_t d = 0; d < s.axis[0].outputs; ++d)
                     for (int64_t h = 0; h < s.axis[1].outputs; ++h) {
                       T* row = plane + d * y.stride[2] + h * y.stride[3];
                       if (y.stride[4] == 1) std::fill_n(row, s.axis[2].outputs, value);
                       else
                         for (int64_t w = 0; w < s.axis[2].outputs; ++w) row[w * y.stride[4]] = value;
                     }
                 });
}

template void fill_with_bias(const GatherSum<float>&);
template void fill_with_bias(const GatherSum<double>&);

}  // namespace fastconv
