// The transformed tiles of some channels behind a box of outputs, B^T d B: what the forward pass and the weight
// gradient by Winograd's algorithm share.
#pragma once
#include "conv/axis.hpp"
#include "conv/block.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

template <class T>
struct WinogradSource {
  const AxisMap* axis;  // three
  View<const T> x;

  // Elements of scratch memory for boxes of so many outputs.
  static int64_t pixel_elements(const AxisMap axis[3], int64_t images, const int64_t extent[3]);
  static int64_t block_elements(const AxisMap axis[3], int64_t images, const int64_t extent[3]);

  // Value i of tile t of channel c0 + c goes to v + i * plane + c / lanes * vector + t * lanes + c % lanes.
  void transform(const Box& box, int64_t c0, int64_t channels, T* pixels, T* block, T* v, int64_t plane,
                 int64_t vector) const;

 private:
  bool reads_directly() const;
  void transform_directly(const Box& box, int64_t c0, int64_t channels, T* pixels, T* v, int64_t plane,
                          int64_t vector) const;
};

}  // namespace fastconv
