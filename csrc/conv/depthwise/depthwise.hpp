// Correlation of few channels a group (depthwise layers, filters on one image): a register tile whose rows are rows of
// the image goes over them where they stand, or over a few rows of padded planes that are packed
// (kernels/depthwise/depthwise.hpp).
//
// An output is the sum over channels, taps of the depth, taps along the width, taps along the height (by residue of the
// stride, then from the top), or, where the rung has a kernel for squares of three by three taps, along the height
// first: an order that no cut into strips or batches changes.
#pragma once
#include <vector>

#include "conv/depthwise/planes.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// What the gradient of padding adds along an axis: the first source once more for an output, by the last tap, and the
// last source by the first tap. None if negative.
struct AxisFold {
  int64_t first = -1, last = -1;
};

// The outputs of a row may be of several phases, which stand in turn: the input gradient of a stride.
template <class T>
struct DepthwiseSum {
  int64_t images = 0, groups = 1, channels = 1, rows = 1;  // channels and rows of a group
  AxisMap d, h, w;  // regular; w has the taps of all phases, its outputs are a phase's
  int64_t phases = 1;
  Vector<int64_t> phase;  // of a tap of w
  View<const T> x;
  View<T> y;  // (images, groups * rows, d.outputs, h.outputs, row)
  const T* weights = nullptr;
  int64_t w_group = 0, w_row = 0, w_channel = 0;
  Vector<int64_t> d_tap, h_tap, w_tap;  // elements from a kernel's first to a tap; d_tap[0] is zero
  const T* bias = nullptr;
  bool clamp = false;
  T low = 0, high = 0;
  AxisFold h_fold, w_fold;  // of squares alone
  bool turns = false;       // the kernel's last tap is read first, along both axes

  int64_t planes() const { return images * groups * d.outputs; }  // each of all rows
  int64_t lines() const { return channels * d.taps(); }           // that meet a line's taps
};

struct DepthwisePlan {
  bool in_place = false;  // x is read where it stands
  int64_t planes = 1;     // packed at once
  int64_t strip = 1;      // rows of outputs
  int64_t workspace_bytes = 0;
  int threads = 1;
  double cost = 0;  // estimated cycles of one core
};

constexpr int64_t kMostDepthwiseTaps = 2048;  // of all channels of a group

// What decides whether the tile is worth more than the packed one, whose rows are output channels.
struct DepthwiseShape {
  int64_t channels, rows;  // of a group
  int64_t taps;            // of a channel
  int64_t kernel_height;
  int64_t height, width;  // of outputs
  int64_t stride;         // of inputs, along the width
  bool squares;           // which have a kernel of their own (sums_squares)
  bool volume;            // read plane by plane
  // If two phases along the width are written in turn, which other tiles would write in steps, so many that have taps:
  // the taps are of both, the width is of each, and the height and the kernel's are of one phase along the height.
  int64_t in_turn = 0;
  bool folds = false;  // with what padding adds, which others add in pieces
  int64_t groups = 1;
};
template <class T>
bool depthwise_pays(const DepthwiseShape& s);

// Cycles of a plane of phases in turn.
template <class T>
double in_turn_cost(const DepthwiseShape& s);

// Whether a sum is of planes, and not of a volume.
inline bool is_plane(const AxisMap& d) { return d.in == 1 && d.outputs == 1 && d.taps() == 1 && d.offset[0] == 0; }
inline bool is_plane(const ConvAxis& d) { return d.in == 1 && d.out == 1 && d.k == 1 && d.pad_before == 0; }

// Whether the sum is of three by three neighbouring taps, and by the kernel for those: of stride one, or, of a channel,
// two. Or of five by five or (float32) seven by seven, of stride one. Of a volume whose depth nothing but zeros pads, a
// channel's taps of the depth are the kernel's channels.
template <class T>
bool sums_squares(const AxisMap& d, const AxisMap& h, const AxisMap& w, int64_t channels, int64_t phases);
// The same of a forward call.
template <class T>
bool sums_squares(const ConvAxis& d, const ConvAxis& h, const ConvAxis& w, int64_t channels);

template <class T>
DepthwisePlan plan_depthwise(const DepthwiseSum<T>& sum);

template <class T>
void run_depthwise(const DepthwiseSum<T>& sum, const DepthwisePlan& plan);

}  // namespace fastconv
