// The last pixels of small images as dot products along channels and taps.
#pragma once
#include <algorithm>

#include "conv/direct/gather.hpp"

namespace fastconv {

// How many pixels of a small image are better summed as dot products, vectors along the channels and taps, than in one
// more vector of which they fill little: 7x7 is 48 + 1. Looks at one image alone, since such sums have bits of their
// own.
template <class T>
int64_t tail_pixels(const GatherSum<T>& s);

// The tail's pixels within a box, and their sums so far.
template <class T>
class Tail {
  static constexpr int64_t kTall = 4;  // rows of a at a time

 public:
  Tail(const GatherSum<T>& s, const Box& box);
  // Of each image's pixels in row (d, h), how many belong to the tail.
  int64_t in_row(int64_t d, int64_t h) const {
    return std::count_if(pixels_.begin(), pixels_.end(), [&](const Pixel& p) { return p.d == d && p.h == h; });
  }
  int64_t count() const { return box_.images() * static_cast<int64_t>(pixels_.size()); }
  static int64_t bytes(int64_t count, int64_t depth, int64_t rows) {
    return count ? Arena::rounded_bytes<T>((count + kTall) * depth) +
                       Arena::rounded_bytes<T>(count * rows * conv_kernels<T>().lanes)
                 : 0;
  }
  void place(char* memory, int64_t depth) {
    dense_ = s_.rows_are_dense();
    values_ = reinterpret_cast<T*>(memory);
    rows_ = values_ + count() * depth;
    sums_ = reinterpret_cast<T*>(memory + Arena::rounded_bytes<T>((count() + kTall) * depth));
  }

  // The values of the channels from c0 on, which are packed at b, `depth` of them at `offsets`.
  void gather(const Block<T>& block, int64_t c0, const T* b, const int32_t* offsets, int64_t depth);

  // Whether tiles may do what add() does, a pixel each, while they have the rows in the L1 cache.
  bool suits_tiles() const { return kernels_.tile_and_pixel && dense_; }
  const T* values(int64_t i) const { return values_ + i * depth_; }
  T* sums(int64_t m, int64_t i) const { return sums_ + (m * count() + i) * kernels_.lanes; }

  // Adds their products with rows [m0, m0 + rows) of a, whose terms stand at `offsets` from a.
  void add(const T* a, const int32_t* offsets, int64_t m0, int64_t rows, bool first) const;

  void store(const T* bias, T* y, int64_t rows) const;

 private:
  struct Pixel {
    int64_t d, h, w;
  };
  const GatherSum<T>& s_;
  const Box& box_;
  const ConvKernelsOf<T>& kernels_ = conv_kernels<T>();
  Vector<Pixel> pixels_;
  Vector<int64_t> y_;  // of each pixel of each image
  T *values_ = nullptr, *rows_ = nullptr, *sums_ = nullptr;
  int64_t depth_ = 0;
  bool dense_ = false;
};

}  // namespace fastconv
