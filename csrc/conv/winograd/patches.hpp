// The transformed tiles of some channels behind a box of outputs, B^T d B of inputs or A g A^T of gradients: what the
// forward pass and the weight gradient by Winograd's algorithm share. Padding is an index map here too: patches find
// their lines by a table.
#pragma once
#include <algorithm>

#include "conv/axis.hpp"
#include "conv/direct/block.hpp"
#include "conv/winograd/winograd.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// The coordinates of one axis that patches read, in ascending order.
struct PatchLines {
  Vector<int64_t> coordinate;
  Vector<int32_t> at;  // of each line of each patch, its position among them; -1 for zeros

  // The lines of the patches of tiles [first, end): of inputs or, if `gradient`, of outputs. If `spreads`, of inputs
  // that any output reads, be they in a patch or not.
  PatchLines(const AxisMap& axis, const WinogradShape& shape, int i, int64_t first, int64_t end, bool gradient,
             bool spreads = false);

  int64_t size() const { return static_cast<int64_t>(coordinate.size()); }

  // Calls f(coordinate, count, position) for each run of coordinates side by side.
  template <class F>
  void each_run(F f) const {
    for (size_t i = 0, n; i < coordinate.size(); i += n) {
      for (n = 1; i + n < coordinate.size() && coordinate[i + n] == coordinate[i] + static_cast<int64_t>(n);) ++n;
      f(coordinate[i], static_cast<int64_t>(n), static_cast<int64_t>(i));
    }
  }

 private:
  void find(const AxisMap& axis, int64_t first);  // `at` counts from what the first tap of output `first` reads
};

// The tiles of a box, whose axes 1 and 2 count them, in the order of WinogradTiles, those of all images together: low
// ones, whole ones, those at the right, and the corners.
class WinogradBlock {
 public:
  WinogradBlock(const WinogradShape& shape, const AxisMap* axis, const Box& box);

  int64_t all() const { return images * count(1) * count(2); }
  WinogradTiles of_image(int64_t n) const;
  // Those that have values in a plane: short ones have none at all points of their axis.
  Range in_plane(int64_t plane) const;

 private:
  int64_t count(int i) const { return number[i - 1][0] + number[i - 1][1]; }

  int64_t images, side;
  int64_t number[2][2];  // of an axis, whole and short ones
};

template <class T>
class WinogradPatchesOf {
 public:
  // Patches of inputs or, if `gradient`, of outputs. `axis`: three.
  WinogradPatchesOf(const WinogradShape& shape, bool gradient, const AxisMap* axis, const View<const T>& x,
                    const Box& box);

  // Elements of scratch memory for boxes of so many tiles.
  static int64_t pixel_elements(const WinogradShape& shape, int64_t down, int64_t across);

  // Value i of tile t of channel c0 + c at depth d goes to v + i * plane + c / lanes * vector + t * lanes + c % lanes,
  // that of a kernel's part p to p * part behind it.
  void transform(int64_t d, int64_t c0, int64_t channels, T* pixels, T* v, int64_t plane, int64_t vector,
                 int64_t part = 0) const {
    const int64_t lanes = conv_kernels<T>().lanes;
    std::fill_n(pixels + h.size() * w.size() * lanes, w.size() * lanes, T(0));
    for (int64_t c = 0; c < channels; c += lanes)
      for (int64_t n = 0; n < box.images(); ++n)
        transform_one(d, c0 + c, std::min(lanes, channels - c), n, pixels, v + c / lanes * vector, plane, part);
  }

 private:
  // A vector of channels of an image, to the first of its tiles at v.
  void transform_one(int64_t d, int64_t c, int64_t channels, int64_t n, T* pixels, T* v, int64_t plane,
                     int64_t part) const;
  void make_pixels(const T* image, int64_t channels, T* pixels) const;

  View<const T> x;
  Box box;
  WinogradShape shape;
  WinogradBlock block;
  PatchLines h, w;  // `at` made elements: from the first pixel to each line, and to a row of zeros behind them
  int64_t parts;
  void (*make_patches)(const WinogradPatches<T>&);
};

}  // namespace fastconv
