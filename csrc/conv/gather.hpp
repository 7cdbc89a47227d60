// The packed direct engine: forward and input gradient are both
//
//   y[n, g * rows + m, o] = clamp( bias + sum_{c, t} a[g, m, c, t] * sources of x[n, channel c of g] at (o, t) )
//
// for one AxisMap an axis. Source values are packed block by block (conv/block.hpp) and multiplied by the register
// tile; nothing is ever unrolled into a matrix.
#pragma once
#include <limits>

#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "conv/block.hpp"

namespace fastconv {

template <class T>
struct GatherSum {
  AxisMap axis[3];
  int64_t images = 1, groups = 1;
  int64_t channels = 1;  // of x, a group: what is summed over
  int64_t x_first = 0, x_group = 0;  // channel c of group g is x's channel g * x_group + x_first + c
  int64_t rows = 1;      // of y, a group
  View<const T> x;
  View<T> y;
  // a[g * a_group + m * a_row + c * a_channel + a_tap[t]]; packed, row m of the tile [m0, m0 + mr) of `row_tile` is instead
  // a[g * a_group + m0 * a_row + (c * taps + t) * mr + m - m0].
  const T* a = nullptr;
  bool packed = false;
  int64_t a_group = 0, a_row = 0, a_channel = 0;
  Vector<int64_t> a_tap;
  const T* bias = nullptr;  // one a row of y, unit stride; may be null
  bool accumulate = false;  // add to y instead of setting it
  bool clamp = false;
  T low = -std::numeric_limits<T>::infinity(), high = std::numeric_limits<T>::infinity();

  int64_t taps() const { return axis[0].taps() * axis[1].taps() * axis[2].taps(); }
  double macs() const {
    return static_cast<double>(images) * groups * rows * channels * taps() * axis[0].outputs * axis[1].outputs * axis[2].outputs;
  }
};

// How a GatherSum is cut up. None of it changes a bit of the result.
struct GatherPlan {
  bool expand[3] = {false, false, false};
  int64_t images = 1;                // of a block
  int64_t extent[3] = {1, 1, 1};     // outputs of a block
  int64_t channels = 1;              // packed at once
  int mr = 1, nr = 1;                // register tile: rows, vectors
  int64_t row_parts = 1, group_parts = 1;  // further cuts, for the threads' sake
  int threads = 1;
  int64_t workspace_bytes = 0;       // one thread
  double cost = 0;                   // cycles

  int64_t pixels() const { return images * extent[0] * extent[1] * extent[2]; }
};

// The rows [first, first + count) of tile i of the fewest even tiles of at most mr rows.
struct RowTile {
  int64_t first, count;
};
inline RowTile row_tile(int64_t rows, int64_t mr, int64_t i) {
  const int64_t tiles = (rows + mr - 1) / mr, even = rows / tiles, extra = rows % tiles;
  return {i * even + (i < extra ? i : extra), even + (i < extra)};
}

// Both need at least one output.
template <class T>
GatherPlan plan_gather(const GatherSum<T>& s);
template <class T>
void run_gather(const GatherSum<T>& s, const GatherPlan& plan);

}  // namespace fastconv
