// The images that squares of neighbouring taps are summed over (kernels/depthwise/squares.hpp), strip by strip: where
// they stand, or packed.
#pragma once
#include <optional>

#include "base/range.hpp"
#include "conv/depthwise/planes.hpp"
#include "fastconv/tensor.hpp"
#include "kernels/depthwise/squares.hpp"

namespace fastconv {

constexpr int64_t kSquareRows = 16;  // of a strip of large planes, or of small sums

// Whether lines are read where they stand.
bool squares_in_place(const AxisMap& h, const AxisMap& w, int64_t step);

// Rows of a strip of a source of so many elements, or of one in some cache.
template <class T>
int64_t square_strip(const AxisMap& h, const AxisMap& w, int64_t elements = 0);

// Elements to what is worth fetching before its turn, lines of a strip being `row` apart, or zero.
int64_t square_ahead(const AxisMap& w, int64_t strip, int64_t row, int64_t elements);

// Of the lines of some slices for so many rows of outputs, whatever their layout.
template <class T>
int64_t most_packed_bytes(const AxisMap& w, int64_t channels, int64_t slices, int64_t rows);

// Where the taps stand, from the kernel's first, in the order of reading.
Vector<int64_t> tap_offsets(const AxisMap& h, const AxisMap& w, const int64_t* h_tap, const int64_t* w_tap);

// The lines of a strip of an image's channels: where they stand, or packed with their padding.
template <class T>
class SquareImage {
 public:
  // Of `groups` groups of channels, whose strips are of `rows` rows at most; so many slices of a volume are kept
  // packed.
  SquareImage(const AxisMap& h, const AxisMap& w, const View<const T>& x, int64_t channels, int64_t groups,
              int64_t rows, int64_t slices = 1);
  bool in_place() const { return in_place_; }
  int64_t together() const { return together_; }  // groups
  int64_t packed_bytes() const { return packed_bytes_; }
  // Rows of outputs, for which lines are packed into `memory`.
  void take(Range rows, T* memory);
  // Group g of the image at x comes next: a slice, to be kept in this place.
  void read(const T* x, int64_t g, int64_t place = 0);
  int64_t channel_step() const { return in_place_ ? x_.stride[1] : packed_->channel_size(); }
  SquareLines<T> channel(int64_t c) const;
  // What larger squares may read.
  void reach(SquareRows<T>& b) const;

 private:
  const AxisMap &h_, &w_;
  std::optional<AxisMap> every_h_, every_w_;
  const View<const T>& x_;
  const int64_t channels_, groups_, half_;
  const bool in_place_;
  int64_t together_ = 1, packed_bytes_ = 0;
  SquareLines<T> lines_{};
  Range rows_{0, 0};
  std::optional<PlaneLines<T>> packed_;
  T* memory_ = nullptr;
  const T* from_ = nullptr;
  Vector<const T*> packed_from_;  // one a slice
  const T* group_ = nullptr;      // where it is packed
};

}  // namespace fastconv
