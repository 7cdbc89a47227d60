// The weights as rows of a matrix, the left operand of the packed engine: a[g, m, c, t] with (c, t) contiguous.
#pragma once
#include "base/workspace.hpp"
#include "conv/direct/gather.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Some taps of each axis, in the order the engine sums them.
struct TapBox {
  Vector<int64_t> t[3];
  int64_t size() const { return static_cast<int64_t>(t[0].size() * t[1].size() * t[2].size()); }
};

// Forward: row m is output channel g * rows + m, column c its input channel. Transposed (the input gradient): row m is
// input channel m of the group, column c is output channel g * channels + c.
template <class T>
struct WeightRows {
  View<const T> w;
  int64_t groups, rows, channels;  // rows and channels of a group
  bool transposed;

  const T* at(int64_t g, int64_t m, int64_t c) const {
    return transposed ? w.data + (g * channels + c) * w.stride[0] + m * w.stride[1]
                      : w.data + (g * rows + m) * w.stride[0] + c * w.stride[1];
  }
  int64_t row_stride() const { return transposed ? w.stride[1] : w.stride[0]; }
  int64_t channel_stride() const { return transposed ? w.stride[0] : w.stride[1]; }
  int64_t group_stride() const { return (transposed ? channels : rows) * w.stride[0]; }
  Vector<int64_t> tap_offsets(const TapBox& taps) const;

  // True if the tiles' offsets reach all weights where they stand.
  bool can_stand(const TapBox& taps) const;
  // True if the tiles shall read the weights where they stand: packing them would cost more than it saves, because each
  // is used for few pixels.
  bool in_place(const TapBox& taps, double pixels, int64_t plane, bool steps) const;
  // The weights of `channel_count` channels in the plan's tiles, as GatherSum::a is packed; zeros behind the last row.
  void pack(const TapBox& taps, int64_t channel0, int64_t channel_count, const GatherPlan& plan, int threads,
            T* a) const;
};

}  // namespace fastconv
