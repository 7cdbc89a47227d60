// The lines of padded planes of a few channels, for the kernels whose tile is rows of the image
// (kernels/depthwise/depthwise.hpp): where they stand, or packed, [plane][channel][h entry][w segment][w entry], the
// entries being those of the axes' layouts.
#pragma once
#include <algorithm>
#include <vector>

#include "base/range.hpp"
#include "conv/axis.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {

// Elements of one line of a packed plane.
int64_t packed_row_size(const AxisMap& w, int64_t outputs, int64_t lanes);

// Rows that are fetched before their turn where they stand: where they are short and of many planes, no one else does
// it.
constexpr int64_t kRowsAhead = 24;
inline bool fetch_ahead(int64_t width, int64_t elements) { return width <= 256 && elements > 1 << 18; }

// The axis whose every stride-th outputs are a's, and its outputs for some of a's: kernels that know a stride step over
// it.
AxisMap unstrided(const AxisMap& a);
inline Range unstrided(Range c, int64_t stride) { return {c.begin * stride, (c.end - 1) * stride + 1}; }

// An axis read where it stands.
AxisMap identity_axis(int64_t n);

// Whether lines of elements `step` apart can be read where they stand: outside there is nothing but zeros.
template <class T>
bool read_in_place(const AxisMap& w, int64_t step);

// Taps of an axis in the order they are summed: by residue of the stride, then from the first offset on.
Vector<int64_t> tap_order(const Vector<int64_t>& offset, int64_t stride);

template <class T>
class PlaneLines {
 public:
  // `planes` planes at a time, of x whose channels, rows and elements are x_stride[0..2] apart. Of a volume, a channel
  // is one for each tap of the depth, whose planes in x are x_slice apart.
  PlaneLines(const AxisMap& h, Range rows, const AxisMap& w, Range columns, int64_t channels, int64_t planes,
             const int64_t x_stride[3], bool in_place, const AxisMap* depth = nullptr, int64_t x_slice = 0);

  int64_t elements() const { return in_place_ ? row_ : planes_ * channels_ * channel_size_; }
  int64_t columns() const { return columns_; }  // vectors
  int64_t row() const { return row_; }          // of packed lines
  int64_t channel_size() const { return channel_size_; }

  // Zeros everywhere no value will be packed: the same positions serve plane after plane.
  void clear(T* memory) const;
  // What output `slice` of the depth reads, as plane number `plane` of those in memory; its channels are at x. Of a
  // volume there is one plane in memory, for which nothing is packed again that the slice before read too.
  void pack(const T* x, int64_t plane, T* memory, int64_t slice = 0);
  // The same of `count` planes of one channel each that are neighbours in x, up to a vector's lanes.
  void pack_neighbours(const T* x, int64_t count, T* memory) const;
  ImageLines<T> lines(const T* x, int64_t plane, const T* memory, Vector<const T*>& table, int64_t slice = 0) const;

  // f(first row of outputs, rows from one of its to the next, how many, kernel, its lines) for bands of at most `most`
  // rows that make up `rows`, some of which may come `again`: with dilation of every so many-th row, whose taps meet
  // neighbouring lines of `lines`.
  template <class F>
  void for_each_band(int64_t rows, int64_t most, bool again, const ImageLines<T>& lines, F f) const {
    const T* const* line = lines.line;
    for (int64_t q = 0; q < std::min(apart_, rows); line += (h_.entries() - q - 1) / apart_ + 1, ++q)
      fastconv::for_each_band((rows - q - 1) / apart_ + 1, most, again, [&](int64_t r, int64_t n, int64_t kernel) {
        f(q + r * apart_, apart_, n, kernel, line + r);
      });
  }

  // Adds the runs of w's tap `tap` in channel c; `order` is tap_order.
  void add_runs(int64_t c, int64_t tap, const Vector<int64_t>& order, Vector<TapRun>& runs) const;

 private:
  // What the distances of the taps along the height have in common: lines of a channel are listed in as many turns.
  static int64_t apart(const AxisLayout& h);
  // Null where the depth is padded with zeros.
  const T* channel(const T* x, int64_t c, int64_t slice) const;
  int64_t slot_of(const T* from) const { return std::find(slots_.begin(), slots_.end(), from) - slots_.begin(); }

  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  AxisLayout h_, w_;
  const int64_t apart_;
  const AxisMap& w_map_;
  Range cut_;
  bool in_place_;
  int64_t channels_, planes_, columns_, segment_, row_, channel_size_, x_channel_, x_row_;
  const AxisMap* const depth_;
  const int64_t x_slice_;
  Vector<const T*> slots_;  // first channels of what is packed of a volume
  Vector<PackLine> lines_;
  Vector<PackRun> runs_;
};

}  // namespace fastconv
