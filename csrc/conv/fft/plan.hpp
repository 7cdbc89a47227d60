// The choice of tiles of a correlation by Fourier transforms (conv/fft/fft.hpp), of what is kept in memory, and the
// cost.
#pragma once
#include <algorithm>
#include <limits>
#include <string>

#include "conv/axis.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

constexpr int64_t kFftLeast = 16, kFftMost = 1024;  // points of a transform: a power of two,
constexpr int64_t kFftMixed = 960;                  // or a divisor of this, which has factors of 3 and 5
constexpr int64_t kFftCacheBytes = 1 << 20;         // of spectra that are multiplied at a time

// y[n, g * rows + m, o] = sum_{c, t} w[g, m, c, t] * x[n, g * channels + c] at (o, t)
struct FftAxes {
  AxisMap axis[3];
  int64_t images = 1, groups = 1, channels = 1, rows = 1;
};

// Those of y or, of a weight gradient, dy.
FftAxes fft_axes(const ConvProblem& p);

struct FftPlan {
  bool line = false;
  int64_t rows = 0, columns = 0;   // of a tile; 0: the algorithm does not apply
  bool real = false;               // tiles are transformed one by one, as real ones: half of the frequencies,
  int64_t kept = 0;                // whole vectors of a spectrum's rows,
  int64_t width = 0;               // and complex columns of the tile, whole vectors
  int64_t most_reach[2] = {0, 0};  // of the taps of one term, on h and w
  int64_t reach[2] = {0, 0};       // the longest there is
  int64_t extent[2] = {1, 1};      // outputs of a tile
  int64_t tiles[2] = {1, 1};
  int64_t depths = 1;                        // outputs of the first axis
  int64_t terms = 1;                         // of a row
  int64_t row_chunk = 1, group_chunk = 1;    // transformed at a time, and of the terms
  int64_t depth_chunk = 1, inner_chunk = 1;  // taps of the first axis, and terms of each
  int64_t batch = 1;                         // steps along the first axis at a time
  int64_t planes = 1;                        // of x, whose spectra are kept
  int64_t tasks = 1, parts = 1;              // of a weight gradient, and what each is cut into where there are few
  int64_t workspace_bytes = 0, shared_bytes = 0;
  int threads = 1;
  double cost = std::numeric_limits<double>::infinity();  // cycles of one image, weights included

  bool applies() const { return rows > 0; }
  int64_t together() const { return real ? 1 : 2; }  // tiles of a pair
  int64_t pairs() const { return (tiles[0] * tiles[1] + together() - 1) / together(); }
  // Steps of pair i along the first axis: an odd tile is paired with itself, half the axis apart.
  int64_t sweep(int64_t i) const { return real || 2 * i + 1 < tiles[0] * tiles[1] ? depths : (depths + 1) / 2; }
  int64_t steps() const { return (pairs() - 1) * depths + sweep(pairs() - 1); }
  // Elements from one spectrum to the next: no power of two, or they would share sets of the cache.
  int64_t spectrum() const { return 2 * std::max(kept * columns, rows * width) + 128; }
  // The offset tables of both parts of a tile; entries of a line's.
  int64_t table_bytes() const { return 2 * (rows + line_length()) * static_cast<int64_t>(sizeof(int64_t)); }
  int64_t line_length() const { return line ? rows * columns : columns; }
  std::string kernel() const;
};

// Whether a choice is to be made at all: too few taps or products (of one image) are not worth a plan, which takes a
// microsecond; few taps gain little by it.
inline bool may_use_fft(Algorithm algorithm, double taps, double macs) {
  return algorithm == Algorithm::fft ||
         (algorithm == Algorithm::automatic && taps >= 32 && macs >= (taps < 64 ? 8e6 : 1e6));
}
inline bool may_use_fft(const ConvProblem& p, Algorithm algorithm) {
  return p.macs() > 0 && may_use_fft(algorithm, static_cast<double>(p.taps()), p.macs() / static_cast<double>(p.mb));
}
// What a plan knows of the type.
struct FftElement {
  int64_t bytes, lanes;  // of a real number, and in a vector
};
// The plan where `algorithm` asks for it, or leaves the choice open and it is clearly cheaper; else one that does not
// apply. `gradient`: of the weight gradient (dy in y's place). The direct algorithm takes `least_direct` cycles an
// image or more.
FftPlan choose_fft(FftElement element, Algorithm algorithm, const FftAxes& axes, bool gradient, double least_direct);
template <class T>
FftPlan choose_fft(Algorithm algorithm, const FftAxes& axes, bool gradient, double least_direct = 0) {
  return choose_fft({sizeof(T), conv_kernels<T>().lanes}, algorithm, axes, gradient, least_direct);
}
ConvPlan describe_fft(const FftPlan& part, double images);

}  // namespace fastconv
