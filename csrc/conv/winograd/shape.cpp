#include <algorithm>
#include <cstdlib>

#include "conv/winograd/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kMostApart = 32;        // taps: a block has at least a tile of each residue;
constexpr int64_t kMostStripsApart = 64;  // of strips
constexpr int64_t kMostStrided = 6;       // taps of an axis with a stride of two

// Whether the offsets of an axis are evenly apart, and how far; 0 if not.
int64_t step_of(const AxisMap& map) {
  if (map.tabulated() || map.taps() < 2) return 0;
  const int64_t step = map.offset[1] - map.offset[0];
  for (size_t t = 2; t < map.offset.size(); ++t)
    if (map.offset[t] - map.offset[t - 1] != step) return 0;
  return std::abs(step);
}

// The taps of a strip's parts: of the fewest products an output.
int strip_taps(int64_t along) {
  int best = 0;
  double least = 0;
  for (int taps : {5, 4, 3, 2}) {
    const double products = static_cast<double>(ceil_div(along, taps)) / (kStripIn + 1 - taps);
    if (best == 0 || products < least) best = taps, least = products;
  }
  return best;
}

}  // namespace

WinogradShape winograd_shape(const AxisMap& d, const AxisMap& h, const AxisMap& w) {
  WinogradShape shape;
  shape.taps = 0;
  if (d.tabulated() || d.taps() == 0 || h.stride != w.stride || h.stride > 2) return shape;
  const int64_t step[3] = {0, step_of(h), step_of(w)}, taps = h.taps(), apart = std::max(step[1], step[2]);
  const auto single = [](const AxisMap& map) { return map.taps() == 1 && !map.tabulated(); };
  if (step[1] && step[2] && w.taps() == taps) {
    shape.along = taps;
    if (h.stride == 2 && apart == 1 && taps > 2 && taps <= kMostStrided) {
      shape.split = 2;
      shape.taps = static_cast<int>(ceil_div(taps, 2));
    } else if (h.stride == 1 && apart <= kMostApart && taps <= 5) {
      shape.taps = static_cast<int>(taps);
      if (taps > 3) shape.side = kWinogradLargeIn;
    }
  } else if (h.stride == 1 && apart && apart <= kMostStripsApart && (single(h) || single(w))) {
    shape.strip = single(h) ? 2 : 1;
    shape.along = shape.strip == 2 ? w.taps() : taps;
    if (shape.along <= kStripMostTaps) shape.taps = strip_taps(shape.along);
  }
  if (shape.taps == 0) return shape;
  shape.slices = d.taps() * shape.parts();
  for (int i : {1, 2})
    if (step[i]) shape.step[i] = step[i];
  return shape;
}

bool winograd_phases(const AxisMap& even, const AxisMap& odd, AxisMap& both) {
  const auto suits = [](const AxisMap& map) {
    return !map.tabulated() && map.mode == Mode::zeros && (map.taps() == 1 || step_of(map) == 1);
  };
  if (!suits(even) || !suits(odd) || std::abs(even.taps() - odd.taps()) != 1) return false;
  const auto [low, high] =
      std::minmax({even.offset.front(), even.offset.back(), odd.offset.front(), odd.offset.back()});
  if (high - low > 2 || high - low >= std::max(even.taps(), odd.taps())) return false;
  both.in = even.in;
  both.outputs = std::max(even.outputs, odd.outputs);
  both.offset.clear();
  for (int64_t at = low; at <= high; ++at) both.offset.push_back(at);
  return true;
}

const char* winograd_name(const WinogradShape& shape) {
  static constexpr const char* squares[] = {"F(5x5, 2x2)", "F(4x4, 3x3)", "F(5x5, 4x4)", "F(4x4, 5x5)"};
  static constexpr const char* strided[] = {"4 F(5x5, 2x2)", "4 F(4x4, 3x3)"};
  static constexpr const char* strip[] = {"F(7, 2)", "F(6, 3)", "F(5, 4)", "F(4, 5)"};
  if (shape.large() && shape.taps == 3) return "F(6x6, 3x3)";
  return (shape.strip ? strip : shape.split > 1 ? strided : squares)[shape.taps - 2];
}

template <class T>
double winograd_cost(const WinogradShape& shape, int64_t groups, int64_t rows, int64_t channels,
                     const int64_t outputs[3]) {
  const double tiles = static_cast<double>(shape.tiles(1, outputs[1]) * shape.tiles(2, outputs[2])),
               points = shape.strip ? static_cast<double>(shape.planes() * shape.slices) * tiles
                                    : static_cast<double>(shape.slices / shape.parts() * shape.points(1, outputs[1]) *
                                                          shape.points(2, outputs[2]));
  const double row_vectors = static_cast<double>(ceil_div(rows, conv_kernels<T>().lanes)),
               channel_vectors = ceil_div(channels, conv_kernels<T>().lanes);
  const double transforms =
      shape.strip ? 50 * (row_vectors + channel_vectors * shape.parts())
                  : (shape.large() ? 480 : 240) * (row_vectors * static_cast<double>(shape.results()) +
                                                   channel_vectors * static_cast<double>(shape.sources()));
  // Of few channels, sums are not much more than read and written.
  const double products = points * row_vectors * (0.575 * static_cast<double>(channels) + 3);
  return static_cast<double>(groups * outputs[0]) * (products + transforms * tiles);
}

template <class T>
double winograd_weight_cost(const WinogradShape& shape, int64_t groups, int64_t rows, int64_t channels,
                            bool side_by_side) {
  const double taps = static_cast<double>(shape.strip ? shape.taps : shape.taps * shape.taps);
  const double gather = side_by_side && (shape.taps > 2 || shape.split > 1) ? 0 : 1.2 * taps;
  const double each = (shape.strip     ? 1.2 + 36.0 / conv_kernels<T>().lanes
                       : shape.large() ? 4 + 256.0 / conv_kernels<T>().lanes
                                       : 2 + 100.0 / conv_kernels<T>().lanes) +
                      gather;
  return static_cast<double>(groups * rows * channels * shape.slices) * each;
}

#define FASTCONV_INSTANTIATE(T)                                                                        \
  template double winograd_cost<T>(const WinogradShape&, int64_t, int64_t, int64_t, const int64_t[3]); \
  template double winograd_weight_cost<T>(const WinogradShape&, int64_t, int64_t, int64_t, bool);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
