#include "conv/rows.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "kernels/conv.hpp"

namespace fastconv {

namespace {

constexpr double kFewPixels = 256;

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
  for (int64_t o : offset) reach = std::max(reach, std::abs(o));
  return channels * std::abs(channel_stride()) + reach <= INT32_MAX && pixels <= kFewPixels;
}

template <class T>
void WeightRows<T>::pack(const TapBox& taps, int64_t channel0, int64_t channel_count, const GatherPlan& plan, int threads, T* a) const {
  const Vector<int64_t> offset = tap_offsets(taps);
  const int64_t count = taps.size(), depth = channel_count * count, tiles = plan.row_tiles(rows), padded = round_up(rows, plan.row_unit);
  if (depth == 0) return;
  int64_t run = 1;  // taps at a constant step, from the first on
  const int64_t step = count > 1 ? offset[1] - offset[0] : 1;
  while (run < count && offset[static_cast<size_t>(run)] == offset[0] + run * step) ++run;
  const bool whole = run == count && (channel_count == 1 || channel_stride() == count * step);
  const auto& kernels = conv_kernels<T>();
  parallel_tasks(groups * tiles, threads, [&](int64_t task) {
    const int64_t g = task / tiles;
    const auto [m0, wide] = plan.row_tile(rows, task % tiles);
    const int64_t n = std::min(wide, rows - m0);
    T* to = a + (g * padded + m0) * depth;
    const T* from = at(g, m0, channel0) + offset[0];
    if (whole) return kernels.pack_transposed(to, wide, from, row_stride(), step, depth, n, wide);
    if (count == 1 && row_stride() == 1 && n == wide) return kernels.copy_tile(to, n, from, channel_stride(), channel_count, n);
    for (int64_t c = 0; c < channel_count; ++c, from += channel_stride(), to += count * wide) {
      kernels.pack_transposed(to, wide, from, row_stride(), step, run, n, wide);
      for (int64_t t = run; t < count; ++t)
        kernels.pack_transposed(to + t * wide, wide, from + offset[static_cast<size_t>(t)] - offset[0], row_stride(), 1, 1, n, wide);
    }
  });
}

template struct WeightRows<float>;
template struct WeightRows<double>;

}  // namespace fastconv
