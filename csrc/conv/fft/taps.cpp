#include "conv/fft/taps.hpp"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace fastconv {

FftTaps::FftTaps(const AxisMap& map) : count(map.taps()), stride(map.stride) {
  const int64_t a = map.offset.front(), b = map.offset.back();
  low = std::min(a, b);
  step = count > 1 ? std::abs(map.offset[1] - a) : stride;
  first = a <= b ? 0 : count - 1;
  direction = a <= b ? 1 : -1;
  const int64_t common = std::gcd(step, stride);
  classes = std::min(count, stride / common);
  shift = step / common;
}

Vector<FftPhase> fft_phases(const FftTaps& t, int64_t most_reach) {
  Vector<FftPhase> phases;
  for (int64_t c = 0; c < t.classes; ++c) {
    const int64_t n = t.of_class(c), longest = t.longest(n, most_reach);
    for (int64_t i = 0; i < n; i += longest) {
      const int64_t at = c + i * t.classes;
      phases.push_back({t.low + at * t.step, std::min(longest, n - i), t.shift, t.first + t.direction * at,
                        t.direction * t.classes});
    }
  }
  return phases;
}

}  // namespace fastconv
