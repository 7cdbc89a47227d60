#include "conv/winograd/transformed_weights.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace {

// The taps of each of four parts, and whether all of them lie side by side.
template <class T>
void find_taps(const WinogradSum<T>& s, WinogradPartWeights<T>& job) {
  const int64_t all = s.shape.along * s.shape.along;
  int64_t last = INT64_MIN;
  job.first = INT64_MAX;
  for (int64_t t = 0; t < kWinogradTaps; ++t) {
    const int64_t p = t / 9, i = s.part_tap[0][p / 2][t % 9 / 3], j = s.part_tap[1][p % 2][t % 3];
    const bool none = i == kNoTap || j == kNoTap;
    job.tap[p][t % 9] = none ? kNoTap : i + j;
    if (!none) job.first = std::min(job.first, i + j), last = std::max(last, i + j);
  }
  job.dense = last - job.first == all - 1 ? all : 0;
}

}  // namespace

template <class T>
void transform_rows(const WinogradSum<T>& s, int64_t g, int64_t r, int64_t c0, int64_t c1, T* u) {
  const int64_t lanes = conv_kernels<T>().lanes;
  const int64_t row = r * lanes, rows = std::min(lanes, s.rows - row), part = (c1 - c0) * lanes;
  const int64_t plane = winograd_weight_plane<T>(s.shape.slices * (c1 - c0));
  for (int64_t slice : s.slice) {
    const T* w = s.w + g * s.w_group + row * s.w_row + c0 * s.w_channel + slice;
    if (s.shape.strip) {
      winograd_kernels<T>().strip_weights({w + s.tap[0], rows, s.w_row, c1 - c0, s.w_channel, s.shape.along,
                                           s.tap[1] - s.tap[0], u, plane, part, s.shape.taps});
    } else if (s.shape.split > 1) {
      const bool uneven = s.shape.uneven() && s.shape.lack[0] * s.shape.lack[1] == 25;
      WinogradPartWeights<T> job{w,  rows, s.w_row, c1 - c0, s.w_channel,       0,     0,
                                 {}, u,    plane,   part,    s.shape.taps == 3, uneven};
      find_taps(s, job);
      winograd_kernels<T>().part_weights(job);
    } else {
      WinogradWeights<T> job{w, rows, s.w_row, c1 - c0, s.w_channel, {}, u, plane, s.shape.taps};
      std::copy_n(s.tap, s.shape.taps * s.shape.taps, job.tap);
      winograd_kernels<T>().of(s.shape.taps, s.shape.side).weights(job);
    }
    u += s.shape.parts() * part;
  }
}

template <class T>
int64_t winograd_weight_size(const WinogradSum<T>& s) {
  return checked_mul(s.groups * ceil_div(s.rows, conv_kernels<T>().lanes), winograd_weight_vector(s, s.channels),
                     "weight");
}

template <class T>
void winograd_weights(const WinogradSum<T>& s, int threads, T* u) {
  const int64_t vectors = ceil_div(s.rows, conv_kernels<T>().lanes), size = winograd_weight_vector(s, s.channels);
  const int64_t all = s.groups * vectors, parts = std::min<int64_t>(all, threads);  // as of plans that split rows
  parallel_tasks(parts, threads, [&](int64_t i) {
    const Range own = part(all, parts, i);
    for (int64_t v = own.begin; v < own.end; ++v)
      transform_rows(s, v / vectors, v % vectors, 0, s.channels, u + v * size);
  });
}

#define FASTCONV_INSTANTIATE(T)                                                                \
  template void transform_rows(const WinogradSum<T>&, int64_t, int64_t, int64_t, int64_t, T*); \
  template int64_t winograd_weight_size(const WinogradSum<T>&);                                \
  template void winograd_weights(const WinogradSum<T>&, int, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
