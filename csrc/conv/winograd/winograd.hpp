// Winograd's algorithm for correlations of stride 1 with 2x2 to 5x5 taps evenly apart: tiles of 6x6 inputs and 36
// products for each pair of channels, where 4x4 outputs of 9 taps take 144 and 5x5 of 4 take 100; of 4x4 and 5x5 taps
// and of large images 8x8 inputs and 64 products, where 5x5 outputs of 16 taps or 4x4 of 25 take 400 and 6x6 of 9 take
// 324; with a stride of two 3x3 to 6x6 taps, 121 products for 5x5 outputs of 9, which take 225. Two to 32 taps along
// one axis alone: 8 inputs and products for 7, 6, 5 or 4 outputs of two, three, four or five taps.
#pragma once
#include <algorithm>

#include "base/checked.hpp"
#include "conv/axis.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {

// A kernel of `slices` x taps x taps, those of h and w `step` apart. Where they are dilated, the outputs of one residue
// are a problem of their own with inputs as far apart; the residues' tiles interleave, so that they cover the same
// range together. A kernel of one tap on an axis has strips along the other for tiles: parts of `taps` taps, which are
// slices too, `along` taps together. With a stride of two the kernel falls apart into four, of the even and the odd
// taps of each axis, that read every second line: slices again. An odd part of one tap less has no value at infinity.
// The input gradient has the same four parts, of the same lines of dy, and each gives the outputs of one phase; a
// shorter part lacks its first tap, and then the value at zero, or its last.
struct WinogradShape {
  int64_t slices = 1;
  int taps = 3;
  int side = kWinogradIn;                                // points of a square's axis
  int strip = 0;                                         // the axis that strips lie along; 0: squares
  int split = 1;                                         // 2: a square of four parts,
  bool phases = false;                                   // each of which has outputs of its own
  int64_t along = 0;                                     // taps of a strip's axis, or of each
  int64_t lack[2] = {kWinogradIn - 1, kWinogradIn - 1};  // the point, in height and width, that shorter parts lack
  int64_t step[3] = {1, 1, 1};

  bool large() const { return side == kWinogradLargeIn; }
  int64_t planes() const { return strip ? kStripIn : side * side; }
  int64_t parts() const { return strip ? ceil_div(along, taps) : split * split; }
  int stride() const { return phases ? 1 : split; }
  int64_t sources() const { return phases ? 1 : parts(); }  // transformed tiles of a slice of x, and of y
  int64_t results() const { return phases ? parts() : 1; }
  int64_t products() const { return slices / parts() * along * (strip ? 1 : along); }
  int64_t kernel(int axis) const { return strip && strip != axis ? 1 : along; }  // its taps
  bool uneven() const { return along % split > 0; }                              // whether the odd parts are shorter
  // Of the parts, those that are zero in a plane, as bits: the odd ones of an axis, if they are shorter.
  unsigned missing(int64_t plane) const {
    if (!uneven()) return 0;
    return (plane / side == lack[0] ? 0b1100u : 0) | (plane % side == lack[1] ? 0b1010u : 0);
  }
  // Outputs of a tile along an axis, and the lines that it reads.
  int64_t out(int axis) const { return !strip ? side + 1 - taps : axis == strip ? kStripIn + 1 - taps : 1; }
  // Those of a patch of outputs, some of which may be none.
  int64_t gradient_lines(int axis) const { return side == kWinogradLargeIn ? kLargeMostOut : out(axis); }
  int64_t in(int axis) const { return !strip ? stride() * side : axis == strip ? kStripIn + (parts() - 1) * taps : 1; }

  // Tiles of n outputs of an axis, and the first output of a tile.
  int64_t tiles(int axis, int64_t n) const {
    return n / extent(axis) * step[axis] + std::min(step[axis], n % extent(axis));
  }
  int64_t first(int axis, int64_t tile) const { return tile / step[axis] * extent(axis) + tile % step[axis]; }
  // Outputs and points that a short tile (kernels/winograd/winograd.hpp) has less; whether the last one is: if that has
  // as many outputs as are left. Of one output there is none.
  int64_t lacking() const { return side - 4; }
  bool ends_short(int axis, int64_t n) const {
    const int64_t left = n % extent(axis), few = out(axis) - lacking();
    return !strip && step[axis] == 1 && few > 1 && left > 0 && left <= few;
  }
  // Their points, those of all parts of an axis of squares.
  int64_t points(int axis, int64_t n) const {
    return (split * side - uneven()) * tiles(axis, n) - (ends_short(axis, n) ? lacking() * split : 0);
  }

 private:
  int64_t extent(int axis) const { return out(axis) * step[axis]; }  // of a tile of each residue
};

// Whether the rung in use has kernels for a shape.
template <class T>
bool has_winograd(const WinogradShape& shape) {
  const WinogradKernelsOf<T>& kernels = winograd_kernels<T>();
  const bool parts = shape.strip || shape.split > 1;
  return shape.taps > 0 &&
         (parts ? kernels.part_weights != nullptr : kernels.of(shape.taps, shape.side).weights != nullptr);
}

// Whether there are large tiles for a shape that has small ones, in the rung in use too.
template <class T>
bool fits_large_tiles(const WinogradShape& shape) {
  return shape.taps == 3 && !shape.strip && shape.split == 1 && winograd_kernels<T>().large.weights;
}

// The shape of a kernel with these axes; `taps` is 0 where the algorithm does not fit.
WinogradShape winograd_shape(const AxisMap& d, const AxisMap& h, const AxisMap& w);
const char* winograd_name(const WinogradShape& shape);

// Of the even and the odd outputs of an input gradient's axis with a stride of two and an odd number of taps, three or
// five: the axis of `both`, with the taps that either has. False if they are no such.
bool winograd_phases(const AxisMap& even, const AxisMap& odd, AxisMap& both);

// y[n, g * rows + m, o] = clamp( bias + sum_{c, t} w[g, m, c, t] * x[n, g * channels + c] at (o, t) ), the offsets of h
// and w in ascending order.
template <class T>
struct WinogradSum {
  WinogradShape shape;
  AxisMap axis[3];
  int64_t images = 1, groups = 1, channels = 1, rows = 1;
  View<const T> x;
  View<T> y;
  const T* u = nullptr;  // winograd_weights of the weights, or null
  const T* w = nullptr;
  int64_t w_group = 0, w_row = 0, w_channel = 0;
  Vector<int64_t> slice;            // from w to each slice of taps along the depth
  int64_t tap[kWinogradTaps] = {};  // within a slice
  int64_t part_tap[2][2][3] = {};   // of the even and of the odd part of each axis, or kNoTap
  int flip[2] = {};                 // of the phases' axes: which outputs, even (0) or odd ones, the even part has
  const T* bias = nullptr;
  bool clamp = false;
  T low = 0, high = 0;
  // Where h and w are those of a forward pass from y to x, whose adjoint this is (conv/winograd/spread.hpp): what each
  // tile of x adds to. Then axis[1] and axis[2] only count the lines of x.
  const AxisMap* to[2] = {};
  bool spreads() const { return to[0]; }
};

struct WinogradPlan {
  int64_t images = 1, down = 1, across = 1;       // tiles of a block
  int64_t deep = 1;                               // its outputs along the depth
  int64_t image_parts = 1, parts[3] = {1, 1, 1};  // blocks along the images, the depth and both axes of tiles
  int64_t group_parts = 1, row_parts = 1;         // a block is done in so many tasks
  // Each thread does some rows of all blocks: it transforms the source anew, but reads no weights that another has just
  // written, which takes longer where caches are apart and tiles few.
  bool splits_rows = false;
  int copies = 1;                   // of the transformed weights: each of so many threads has its own
  int64_t chunk = 1;                // vectors of rows whose products are made at a time
  int64_t depth = 1;                // channels at a time
  bool transforms_weights = false;  // of such a chunk when it comes to it
  int64_t workspace_bytes = 0;
  int threads = 1;

  int64_t blocks() const { return image_parts * parts[0] * parts[1] * parts[2]; }
};

// Elements of the transformed weights of all groups, and the transform.
template <class T>
int64_t winograd_weight_size(const WinogradSum<T>& s);
template <class T>
void winograd_weights(const WinogradSum<T>& s, int threads, T* u);

template <class T>
WinogradPlan plan_winograd(const WinogradSum<T>& s);
template <class T>
class WinogradSpread;
// `u`: memory for the plan's copies of the transformed weights, or null where tasks transform them or `s` has them;
// `spread`: of a sum that spreads, or null.
template <class T>
void run_winograd(const WinogradSum<T>& s, const WinogradPlan& plan, T* u, const WinogradSpread<T>* spread);

// Elements from plane to plane: an odd number of cache lines, so that the planes' values of a tile spread over the sets
// of the L1 cache.
template <class T>
int64_t plane_stride(int64_t elements) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  return (ceil_div(elements, line) | 1) * line;
}

// Elements of one transformed value of a vector of rows; `channels` are those of all slices.
template <class T>
int64_t winograd_weight_plane(int64_t channels) {
  return plane_stride<T>(channels * conv_kernels<T>().lanes);
}

// Small problems are left to exact sums, whatever they cost: integers stay integers. Rows and channels of a group, of
// which one or the other fill a vector, pixels of all.
template <class T>
bool large_enough_for_winograd(const WinogradShape& shape, int64_t rows, int64_t channels, int64_t pixels) {
  return std::min(rows, channels) >= 8 && std::max(rows, channels) >= conv_kernels<T>().lanes &&
         static_cast<double>(shape.products() * rows * channels) * static_cast<double>(pixels) >= 1 << 20;
}

// Estimated cycles of one image, without the weights; and of the transform of those, which takes longer where the taps
// are not all of the kernel's, side by side in memory.
template <class T>
double winograd_cost(const WinogradShape& shape, int64_t groups, int64_t rows, int64_t channels,
                     const int64_t outputs[3]);
template <class T>
double winograd_weight_cost(const WinogradShape& shape, int64_t groups, int64_t rows, int64_t channels,
                            bool side_by_side);

}  // namespace fastconv
