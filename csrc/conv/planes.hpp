// Padded planes of a few channels, packed for the kernels whose tile is rows of the image (kernels/depthwise.hpp):
// [plane][channel][h entry][w segment][w entry], the entries being those of the axes' layouts. Planes narrower than half
// a vector share rows: `across` of them in a vector, `pitch` lanes from one to the next, further columns behind.
#pragma once
#include <algorithm>
#include <vector>

#include "conv/axis.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {

struct Cut {  // outputs [begin, end)
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// How planes whose rows have `map`'s outputs share vectors; across is 1 where they do not.
struct NarrowRows {
  int64_t across = 1, pitch = 0;
  // Elements from one column of vectors to the next.
  int64_t step(int64_t lanes) const { return across > 1 ? std::max(lanes, across * pitch) : lanes; }
};
NarrowRows narrow_rows(const AxisMap& map, int64_t lanes);

// Elements of one row of a packed plane, or of a row of `columns` vectors of narrow planes.
int64_t packed_row_size(const AxisMap& w, int64_t outputs, int64_t columns, NarrowRows narrow, int64_t lanes);

// Taps of the height in the order they are summed: by residue of the stride, then from the top.
Vector<int64_t> height_order(const AxisMap& h);

template <class T>
class PackedPlanes {
 public:
  // `planes` planes at a time, of x whose channels, rows and elements are x_stride[0..2] apart.
  PackedPlanes(const AxisMap& h, Cut rows, const AxisMap& w, Cut columns, int64_t channels, int64_t planes, NarrowRows narrow, const int64_t x_stride[3]);

  int64_t elements() const;
  int64_t row() const { return row_; }
  int64_t channel_size() const { return channel_size_; }
  int64_t step() const { return step_; }  // from one column of vectors to the next
  int64_t columns() const { return columns_; }  // vectors: of a wide plane, or of all narrow ones
  // Position of a plane.
  int64_t plane(int64_t k) const { return place_[static_cast<size_t>(k)]; }

  // Zeros everywhere no value will be packed. The same positions serve plane after plane.
  void clear(T* dst) const;
  void pack(const DepthwiseKernelsOf<T>& kernels, const T* x, int64_t k, T* dst) const;

  // Adds the runs of w's tap `tap` in channel c; `order` is height_order.
  void add_runs(int64_t c, int64_t tap, const Vector<int64_t>& order, int64_t most, Vector<TapRun>& runs) const;

 private:
  AxisLayout h_, w_;
  int64_t channels_, planes_, across_, lanes_, step_, columns_, segment_, row_, channel_size_, plane_size_;
  int64_t x_channel_;
  Vector<int64_t> place_;
  Vector<PackLine> lines_;
  Vector<PackRun> runs_;
};

}  // namespace fastconv
