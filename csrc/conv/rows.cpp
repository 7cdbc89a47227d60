#include "conv/rows.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/parallel.hpp"
#include "kernels/conv.hpp"

namespace fastconv {

namespace {

constexpr double kFewPixels = 256;

// The compiler makes moves of a copy of constant size, but calls a function for any other.
template <class T>
void copy_taps(T* to, const T* from, int64_t n) {
  switch (n) {
    case 1: *to = *from; break;
    case 3: std::copy_n(from, 3, to); break;
    case 9: std::copy_n(from, 9, to); break;
    case 25: std::copy_n(from, 25, to); break;
    case 27: std::copy_n(from, 27, to); break;
    default: std::copy_n(from, n, to);
  }
}

}  // namespace

template <class T>
Vector<int64_t> WeightRows<T>::tap_offsets(const TapBox& taps) const {
  Vector<int64_t> offset;
  offset.reserve(static_cast<size_t>(taps.size()));
  for (int64_t d : taps.t[0])
    for (int64_t h : taps.t[1])
      for (int64_t v : taps.t[2]) offset.push_back(d * w.stride[2] + h * w.stride[3] + v * w.stride[4]);
  return offset;
}

template <class T>
bool WeightRows<T>::in_place(const TapBox& taps, double pixels) const {
  const Vector<int64_t> offset = tap_offsets(taps);
  int64_t reach = 0;
  bool contiguous = channels <= 1 || channel_stride() == static_cast<int64_t>(offset.size());
  for (size_t t = 0; t < offset.size(); ++t) {
    contiguous &= offset[t] == static_cast<int64_t>(t);
    reach = std::max(reach, std::abs(offset[t]));
  }
  if (channels * std::abs(channel_stride()) + reach > INT32_MAX) return false;
  return contiguous || pixels <= kFewPixels;
}

template <class T>
void WeightRows<T>::pack(const TapBox& taps, int64_t channel0, int64_t channel_count, int threads, T* a) const {
  const Vector<int64_t> offset = tap_offsets(taps);
  const int64_t count = taps.size();
  bool contiguous = true;
  for (int64_t t = 0; t < count; ++t) contiguous &= offset[static_cast<size_t>(t)] == t;
  const auto& kernels = conv_kernels<T>();
  const int64_t all = groups * rows;
  if (count == 1 && transposed) {  // a plain transpose of each group's matrix, in squares
    constexpr int64_t kChannelsATask = 64;
    const int64_t parts = (channel_count + kChannelsATask - 1) / kChannelsATask;
    parallel_tasks(groups * parts, threads, [&](int64_t task) {
      const int64_t g = task / parts, c0 = task % parts * kChannelsATask, n = std::min(kChannelsATask, channel_count - c0);
      kernels.pack_transposed(a + g * rows * channel_count + c0, channel_count, at(g, 0, channel0 + c0) + offset[0], channel_stride(), row_stride(), rows, n, n);
    });
    return;
  }
  // A task is a few rows, so that neighbouring rows, which share cache lines when transposed, are read together.
  constexpr int64_t kRowsATask = 8;
  parallel_tasks((all + kRowsATask - 1) / kRowsATask, threads, [&](int64_t task) {
    const int64_t r0 = task * kRowsATask, r1 = std::min(all, r0 + kRowsATask);
    for (int64_t c = 0; c < channel_count; ++c)
      for (int64_t r = r0; r < r1; ++r) {
        const T* from = at(r / rows, r % rows, channel0 + c);
        T* to = a + (r * channel_count + c) * count;
        if (contiguous) copy_taps(to, from, count);
        else
          for (int64_t t = 0; t < count; ++t) to[t] = from[offset[static_cast<size_t>(t)]];
      }
  });
}

template struct WeightRows<float>;
template struct WeightRows<double>;

}  // namespace fastconv
