// The transformed tiles of some channels behind a box of outputs, B^T d B of inputs or A g A^T of gradients: what the
// forward pass and the weight gradient by Winograd's algorithm share. Padding is an index map here too: patches find
// their lines by a table.
#pragma once
#include "conv/axis.hpp"
#include "conv/block.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Coordinates of one axis that the lines of a box's patches read: those that stand there, side by side, and behind them
// what padding fetches from elsewhere.
struct PatchLines {
  int64_t begin, end;
  Vector<int64_t> more;
  Vector<int32_t> at;  // of each line among them, -1 for zeros

  // `count` lines, the first of them read by the first tap of output `first`.
  PatchLines(const AxisMap& axis, int64_t first, int64_t count);
  int64_t size() const { return end - begin + static_cast<int64_t>(more.size()); }
};

template <class T>
struct WinogradPatchesOf {
  const AxisMap* axis;  // three
  View<const T> x;
  int64_t lines;  // of a patch: kWinogradIn for inputs, kWinogradOut for gradients

  // Elements of scratch memory for boxes of so many outputs.
  static int64_t pixel_elements(const int64_t extent[3]);

  // Value i of tile t of channel c0 + c goes to v + i * plane + c / lanes * vector + t * lanes + c % lanes.
  void transform(const Box& box, int64_t c0, int64_t channels, T* pixels, T* v, int64_t plane, int64_t vector) const;

 private:
  void make_pixels(const T* image, int64_t channels, const PatchLines& h, const PatchLines& w, T* pixels) const;
};

}  // namespace fastconv
