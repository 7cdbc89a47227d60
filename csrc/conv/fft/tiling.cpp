#include "conv/fft/tiling.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/index_map.hpp"

namespace fastconv {

FftTiling::FftTiling(const FftAxes& axes, const FftPlan& p) : a(axes), plan(p) {
  phase[0] = fft_phases(FftTaps(a.axis[0]), 0);
  phase[1] = fft_phases(FftTaps(a.axis[1]), p.most_reach[0]);
  phase[2] = fft_phases(FftTaps(a.axis[2]), p.most_reach[1]);
}

FftPair FftTiling::pair(int64_t image, int64_t i) const {
  FftPair p{};
  const int64_t tiles = plan.tiles[0] * plan.tiles[1];
  p.image = image;
  p.depths = plan.sweep(i);
  p.shift = plan.real || 2 * i + 1 >= tiles ? p.depths : 0;
  p.count = p.shift < plan.depths ? 2 : 1;
  for (int64_t which = 0; which < p.count; ++which) {
    const int64_t t = plan.together() * i + (p.shift ? 0 : which), at[2] = {t / plan.tiles[1], t % plan.tiles[1]};
    for (int axis = 0; axis < 2; ++axis) {
      p.begin[which][axis] = at[axis] * plan.extent[axis];
      p.extent[which][axis] = std::min(plan.extent[axis], a.axis[1 + axis].outputs - p.begin[which][axis]);
    }
  }
  return p;
}

int64_t FftTiling::source_plane(const FftPair& p, int64_t which, int64_t v) const {
  return map_coordinate(a.axis[0].mode, v + which * p.shift * a.axis[0].stride, a.axis[0].in);
}

FftTerm FftTiling::term(int64_t q) const {
  const int64_t c = q % a.channels, i = q / a.channels, nw = static_cast<int64_t>(phase[2].size()),
                nh = static_cast<int64_t>(phase[1].size());
  return {&phase[0][static_cast<size_t>(i / (nw * nh))], &phase[1][static_cast<size_t>(i / nw % nh)],
          &phase[2][static_cast<size_t>(i % nw)], c};
}

FftTerms FftTiling::terms(int64_t i) const {
  const int64_t chunks = ceil_div(inner(), plan.inner_chunk), d = i / chunks * plan.depth_chunk,
                t = i % chunks * plan.inner_chunk;
  return {d, std::min(plan.depth_chunk, taps() - d), t, std::min(plan.inner_chunk, inner() - t)};
}

int64_t FftTiling::term_chunks() const {
  return ceil_div(taps(), plan.depth_chunk) * ceil_div(inner(), plan.inner_chunk);
}

}  // namespace fastconv
