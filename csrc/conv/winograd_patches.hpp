// The transformed tiles of some channels behind a box of outputs, B^T d B of inputs or A g A^T of gradients: what the
// forward pass and the weight gradient by Winograd's algorithm share. Padding is an index map here too: patches find
// their lines by a table.
#pragma once
#include "conv/axis.hpp"
#include "conv/block.hpp"
#include "conv/winograd.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// The coordinates of one axis that patches read, in ascending order.
struct PatchLines {
  Vector<int64_t> coordinate;
  Vector<int32_t> at;  // of each line of each patch, its position among them; -1 for zeros

  // `count` lines side by side, the first of them read by the first tap of output `first`.
  PatchLines(const AxisMap& axis, int64_t first, int64_t count);
  // The lines of the patches of tiles [first, end), `lines` each.
  PatchLines(const AxisMap& axis, const WinogradShape& shape, int i, int64_t first, int64_t end, int64_t lines);

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

// A box's axes 1 and 2 count tiles.
template <class T>
class WinogradPatchesOf {
 public:
  // Patches of inputs or, if `gradient`, of outputs. `axis`: three.
  WinogradPatchesOf(const WinogradShape& shape, bool gradient, const AxisMap* axis, const View<const T>& x,
                    const Box& box);

  // Elements of scratch memory for boxes of so many tiles.
  static int64_t pixel_elements(const WinogradShape& shape, int64_t down, int64_t across);

  // Value i of tile t of channel c0 + c at depth d goes to v + i * plane + c / lanes * vector + t * lanes + c % lanes.
  void transform(int64_t d, int64_t c0, int64_t channels, T* pixels, T* v, int64_t plane, int64_t vector) const;

 private:
  void make_pixels(const T* image, int64_t channels, T* pixels) const;

  View<const T> x;
  Box box;
  PatchLines h, w;  // `at` made elements: from the first pixel to each line, and to a row of zeros behind them
  void (*make_patches)(const WinogradPatches<T>&);
};

}  // namespace fastconv
