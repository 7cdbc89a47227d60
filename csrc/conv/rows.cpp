#include "conv/rows.hpp"

#include <algorithm>

#include "base/parallel.hpp"

namespace fastconv {

template <class T>
bool WeightRows<T>::in_place(const TapBox& taps) const {
  if (transposed) return false;
  int64_t expected = 1;
  for (int i : {4, 3, 2}) {
    if (static_cast<int64_t>(taps.t[i - 2].size()) != w.shape[i]) return false;
    if (w.shape[i] > 1 && w.stride[i] != expected) return false;
    expected *= w.shape[i];
  }
  return w.shape[1] <= 1 || w.stride[1] == expected;
}

template <class T>
void WeightRows<T>::pack(const TapBox& taps, int64_t channel0, int64_t channel_count, int threads, T* a) const {
  std::vector<int64_t> offset;
  offset.reserve(static_cast<size_t>(taps.size()));
  for (int64_t d : taps.t[0])
    for (int64_t h : taps.t[1])
      for (int64_t v : taps.t[2]) offset.push_back(d * w.stride[2] + h * w.stride[3] + v * w.stride[4]);
  const int64_t count = taps.size();
  bool contiguous = true;
  for (int64_t t = 0; t < count; ++t) contiguous &= offset[static_cast<size_t>(t)] == t;
  // A task is a few rows, so that neighbouring rows, which share cache lines when transposed, are read together.
  constexpr int64_t kRowsATask = 8;
  const int64_t all = groups * rows;
  parallel_tasks((all + kRowsATask - 1) / kRowsATask, threads, [&](int64_t task) {
    const int64_t r0 = task * kRowsATask, r1 = std::min(all, r0 + kRowsATask);
    for (int64_t c = 0; c < channel_count; ++c)
      for (int64_t r = r0; r < r1; ++r) {
        const T* from = at(r / rows, r % rows, channel0 + c);
        T* to = a + (r * channel_count + c) * count;
        if (contiguous)
          for (int64_t t = 0; t < count; ++t) to[t] = from[t];
        else
          for (int64_t t = 0; t < count; ++t) to[t] = from[offset[static_cast<size_t>(t)]];
      }
  });
}

template struct WeightRows<float>;
template struct WeightRows<double>;

}  // namespace fastconv
