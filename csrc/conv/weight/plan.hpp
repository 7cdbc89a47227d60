// How the weight gradient of the packed direct algorithm is cut (conv/weight/sum.hpp): the same for both types of
// elements but for their size.
#pragma once
#include <algorithm>

#include "base/checked.hpp"
#include "base/range.hpp"
#include "conv/direct/block.hpp"
#include "fastconv/conv.hpp"
#include "kernels/conv.hpp"

namespace fastconv {

constexpr int64_t kDotPixels = 1024;  // of dy's rows that stay in the L1 cache for dots with all channels and taps
constexpr int64_t kOuterPanelBytes = 32 << 10;  // transposed dy, in the L1 cache

inline OuterPixel pixel_at(int64_t a, int64_t b) { return {static_cast<int32_t>(a), static_cast<int32_t>(b)}; }

struct WeightPlan {
  // `turned`: dw is transposed.
  WeightPlan(const ConvProblem& problem, int64_t vector_lanes, int64_t item_bytes, bool turned_);

  // What one task sums: in each group of g, output channels o times channels c (both within the group).
  struct Task {
    Range g, o, c;
  };
  // Coordinates from the first that n outputs read to the last.
  int64_t span(int i, int64_t n) const {
    return (std::max<int64_t>(n, 1) - 1) * axis[i].stride + axis[i].offset.back() - axis[i].offset[0] + 1;
  }
  // Rows of outputs that follow one another behind every tap.
  bool joined_rows() const { return taps == 1 && p.axis[1].stride == 1 && p.axis[2].stride == 1; }
  int64_t tasks() const { return ceil_div(p.groups, group_count) * ceil_div(oc, outputs) * ceil_div(ic, channels); }
  Task task(int64_t i) const;
  int64_t cuts(int i) const { return ceil_div(p.axis[i].out, extent[i]); }
  int64_t blocks() const { return ceil_div(p.mb, images) * cuts(0) * cuts(1) * cuts(2); }
  Box box(int64_t i) const;
  int64_t sum_elements() const { return channels * taps * width; }
  // Estimated cycles for so many images; and what they would be at least if x and dy took each other's place.
  double cost(int64_t n) const;
  // Of a product of vectors; and cycles as others' costs have them, where two of those take one.
  double product_cycles() const;
  double comparable(double cycles) const { return cycles / (2 * product_cycles()); }
  double least_turned(int64_t n) const;
  // Whether enough outputs meet x with a tap.
  bool repays_apart() const;
  // All coordinates of an axis from the first that is read to the last.
  AxisMap plane(int i) const;
  // Pixels of the panel of a block that is summed tap by tap: outputs, or what they read of x.
  int64_t panel_pixels(int64_t n, const int64_t* e) const;
  // What of `dy` stands in it.
  Box in_panel(Box b) const;
  // The outputs of a block that meet x with a tap: where their values stand in the panel, and in the other array from
  // the first one on, which is at the result.
  int64_t live_pixels(const Box& b, const Box& panel, int64_t tap, const int64_t* stride, PixelBox& live_box) const;
  // Whether those are too far apart for such a table: a block is then summed in halves.
  bool is_too_far(const Box& b, const int64_t* stride, Box (&half)[2]) const;
  // Cycles of copying x, padded, into blocks, for all images.
  double copying = 0;

  const ConvProblem p;
  const int64_t lanes, item;
  AxisMap axis[3];          // as dots pack them: behind every output one entry a tap, or fewer if taps share them
  int64_t oc, ic;           // of a group
  int64_t taps;             // of a channel
  bool inside = true;       // no tap is outside x
  Vector<Range> live[3];    // outputs of each axis that meet x, of each tap, if those are apart
  double share = 1;         // of outputs and taps that do
  bool dots;                // which tile
  bool apart;               // outer tiles of one tap at a time, over no output that meets padding
  const bool turned;        // x and dy take each other's place, and dw is transposed
  int64_t group_count = 1;  // groups, a task
  int64_t width;           // columns of the sums kept for one row: output channels (padded), or lanes * output channels
  int64_t channels;        // of x, a task
  int64_t outputs;         // output channels, a task
  int64_t transposes = 1;  // of a panel of taps apart, as costs see it: without what threads are cut for
  int64_t images = 1, extent[3] = {1, 1, 1};  // of a block
  int64_t parts = 1;                          // of the sum over pixels
  int threads;
  bool expand[3] = {false, false, false};  // dots: axes packed once for each tap, rows of outputs without gaps

 private:
  void choose_tile(bool zeros);
  double panels(double pixels) const;
  double dots_cycles(double pixels, bool joined) const;
  double outer_product(bool one) const;
  double outer_cycles(double pixels) const;
  double apart_cycles(double pixels, double blocks, double transposed, bool swapped = false) const;
  void cut_outputs_and_channels();
  int64_t worth_while_block() const;
  void grow_block();
  void cut_for_threads();
  int64_t block_elements(int64_t n, const int64_t* e) const;
};

}  // namespace fastconv
