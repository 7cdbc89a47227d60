#include "conv/direct/rows.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "kernels/conv.hpp"

namespace fastconv {

namespace {

constexpr int64_t kChannelsAPart = 16;  // read by one task
constexpr double kFewPixels = 128;      // fewer do not repay packing;
constexpr double kFewKept = 200;  // nor do these of one tap where tiles keep what they read of x, or copy a panel;
constexpr double kFewOfNeighbours =
    1024;  // of rows whose weights stand side by side, as those of a transposed 1x1 kernel do;
constexpr double kFewTransposed =
    64;  // where rows stand apart, as all taps of a transposed kernel do, not even reading;
constexpr double kFewVectors = 4, kFewVectorsOfNeighbours = 8;  // nor do, in lanes, many more than these where a vector
                                                                // is but a part of a cache line, the rest being lost

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
bool WeightRows<T>::can_stand(const TapBox& taps) const {
  int64_t reach = 0;
  for (int64_t o : tap_offsets(taps)) reach = std::max(reach, std::abs(o));
  return channels * std::abs(channel_stride()) + reach <= INT32_MAX;
}

template <class T>
bool WeightRows<T>::in_place(const TapBox& taps, double pixels, int64_t plane, bool steps) const {
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const bool apart = transposed && taps.size() > 1 && taps.size() == w.shape[2] * w.shape[3] * w.shape[4];
  const bool side = taps.size() == 1 && row_stride() == 1;
  const bool whole = rows % kernels.lanes == 0;
  const bool kept = kernels.keeps && side && plane <= kKeptPlane && (whole || !steps);
  const bool parts = transposed && !kept && kernels.lanes * static_cast<int64_t>(sizeof(T)) < 64;
  const double few = parts   ? (side ? kFewVectorsOfNeighbours : kFewVectors) * kernels.lanes - 1
                     : side  ? (kept && !whole ? kFewKept : kFewOfNeighbours)
                     : apart ? kFewTransposed
                     : kernels.keeps && taps.size() == 1 ? kFewKept
                                                         : kFewPixels;
  return pixels <= few && can_stand(taps);
}

template <class T>
void WeightRows<T>::pack(const TapBox& taps, int64_t channel0, int64_t channel_count, const GatherPlan& plan,
                         int threads, T* a) const {
  const Vector<int64_t> offset = tap_offsets(taps);
  const int64_t count = taps.size(), depth = channel_count * count, tiles = plan.packed_tiles(rows),
                padded = round_up(rows, plan.row_unit);
  if (depth == 0) return;
  int64_t run = 1;  // taps at a constant step, from the first on
  const int64_t step = count > 1 ? offset[1] - offset[0] : 1;
  while (run < count && offset[static_cast<size_t>(run)] == offset[0] + run * step) ++run;
  const bool whole = run == count && (channel_count == 1 || channel_stride() == count * step);
  if (std::abs(step) != 1 || run <= 2) run = 0;  // then tap by tap, of several channels
  const auto& kernels = conv_kernels<T>();
  // Channels [c0, c1) of row tile i of group g.
  auto pack_part = [&](int64_t g, int64_t i, int64_t c0, int64_t c1) {
    const auto [m0, wide] = plan.packed_tile(rows, i);
    const int64_t n = std::min(wide, rows - m0);
    T* to = a + (g * padded + m0) * depth + c0 * count * wide;
    const T* from = at(g, m0, channel0 + c0) + offset[0];
    if (whole) return kernels.pack_transposed(to, wide, from, row_stride(), step, (c1 - c0) * count, n, wide);
    if (count == 1 && row_stride() == 1 && n == wide)
      return kernels.copy_tile(to, n, from, channel_stride(), c1 - c0, n);
    for (int64_t c = c0; c < c1 && run; ++c)
      kernels.pack_transposed(to + (c - c0) * count * wide, wide, from + (c - c0) * channel_stride(), row_stride(),
                              step, run, n, wide);
    for (int64_t t = run; t < count; ++t)
      kernels.pack_transposed(to + t * wide, count * wide, from + offset[static_cast<size_t>(t)] - offset[0],
                              row_stride(), channel_stride(), c1 - c0, n, wide);
  };
  // The weights are read as they stand: row after row, or, transposed, some channels after some channels.
  const bool rows_first = std::abs(channel_stride()) <= std::abs(row_stride());
  const int64_t step_c = rows_first ? channel_count : kChannelsAPart;
  const int64_t parts = std::min<int64_t>(tiles, threads);  // as of plans that split rows
  parallel_tasks(groups * parts, threads, [&](int64_t task) {
    const Range own = part(tiles, parts, task % parts);
    for (int64_t c = 0; c < channel_count; c += step_c)
      for (int64_t i = own.begin; i < own.end; ++i) pack_part(task / parts, i, c, std::min(channel_count, c + step_c));
  });
}

template struct WeightRows<float>;
template struct WeightRows<double>;

}  // namespace fastconv
