// The packed direct engine: forward and input gradient are both
//
//   y[n, g * rows + m, o] = clamp( bias + sum_{c, t} a[g, m, c, t] * sources of x[n, channel c of g] at (o, t) )
//
// for one AxisMap an axis. Source values are packed block by block (conv/direct/block.hpp) and multiplied by the
// register tile; nothing is ever unrolled into a matrix.
#pragma once
#include <limits>

#include "base/checked.hpp"
#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "conv/direct/block.hpp"

namespace fastconv {

template <class T>
struct GatherSum {
  AxisMap axis[3];
  int64_t images = 1, groups = 1;
  int64_t channels = 1;              // of x, a group: what is summed over
  int64_t x_first = 0, x_group = 0;  // channel c of group g is x's channel g * x_group + x_first + c
  int64_t rows = 1;                  // of y, a group
  View<const T> x;
  View<T> y;
  // a[g * a_group + m * a_row + c * a_channel + a_tap[t]]; packed, row m of GatherPlan::packed_tile [m0, m0 + mr) is
  // a[g * a_group + m0 * a_row + (c * taps + t) * mr + m - m0] instead.
  const T* a = nullptr;
  bool packed = false, packs = false;  // the latter: for this sum alone
  int64_t packed_rows = 0;             // of tiles packed before there was a plan; 0: any, or vectors of columns
  int64_t a_group = 0, a_row = 0, a_channel = 0;
  Vector<int64_t> a_tap;
  int64_t tail = 0;           // the last pixels of each image are dot products along a, see conv/direct/tail.hpp
  const T* bias = nullptr;    // one a row of y, unit stride; may be null
  bool accumulate = false;    // add to y instead of setting it
  bool only_columns = false;  // whatever they cost
  bool steps = false;         // columns of y are apart, as those of a stride's gradient are
  bool spreads = false;       // y is every second element of rows of which nobody else writes any meanwhile
  int64_t whole_h = 0,
          whole_w = 0;  // lines and columns of such a y with the zeros between, which are written too; or 0
  bool clamp = false;
  T low = -std::numeric_limits<T>::infinity(), high = std::numeric_limits<T>::infinity();

  int64_t plane() const { return axis[0].outputs * axis[1].outputs * axis[2].outputs; }
  int64_t taps() const { return axis[0].taps() * axis[1].taps() * axis[2].taps(); }
  // Whether the terms of a row of `a` are neighbours.
  bool rows_are_dense() const {
    bool dense = a_channel == taps();
    for (size_t t = 0; t < a_tap.size(); ++t) dense &= a_tap[t] == static_cast<int64_t>(t);
    return dense;
  }
  double macs() const {
    return static_cast<double>(images) * groups * rows * channels * taps() * axis[0].outputs * axis[1].outputs *
           axis[2].outputs;
  }
};

// How a GatherSum is cut up. None of it changes a bit of the result.
struct GatherPlan {
  bool expand[3] = {false, false, false};
  int64_t images = 1;                      // of a block
  int64_t extent[3] = {1, 1, 1};           // outputs of a block
  int64_t lines = 1;                       // of the height, of which a block has a multiple
  int64_t channels = 1;                    // packed at once
  bool columns = false;                    // vectors are channels, not pixels (conv/direct/columns.hpp)
  int mr = 1, nr = 1;                      // register tile: rows (pixels where `columns`), vectors
  int64_t row_unit = 1;                    // rows of `a` in a unit, a vector's where `columns`
  int64_t row_parts = 1, group_parts = 1;  // further cuts, for the threads' sake
  // Each thread does some rows of all blocks: it packs all of x, but reads no rows of `a` that another has just packed,
  // which takes longer where caches are apart and pixels few.
  bool splits_rows = false;
  int threads = 1;
  int64_t workspace_bytes = 0;  // one thread
  double cost = 0;              // cycles

  int64_t pixels() const { return images * extent[0] * extent[1] * extent[2]; }

  // Blocks that an axis of n outputs, and n images, are cut into.
  int64_t parts(int axis, int64_t n) const {
    return even_parts(units(axis, n), units(axis, extent[axis]), axis < 2 ? threads : 1);
  }
  int64_t unit(int axis) const { return axis == 1 ? lines : 1; }
  int64_t units(int axis, int64_t n) const { return ceil_div(n, unit(axis)); }
  int64_t image_parts(int64_t n) const { return even_parts(n, images, threads); }

  // Rows of `a` come in the fewest tiles of nearly as many units, each of at most mr rows or nr vectors of them.
  struct RowTile {
    int64_t first, count;  // rows; the last tile's count may pass the last row
  };
  int64_t row_tiles(int64_t rows) const { return ceil_div(ceil_div(rows, row_unit), columns ? nr : mr); }
  RowTile row_tile(int64_t rows, int64_t i) const {
    const int64_t tiles = row_tiles(rows), units = ceil_div(rows, row_unit), even = units / tiles,
                  extra = units % tiles;
    return {(i * even + (i < extra ? i : extra)) * row_unit, (even + (i < extra)) * row_unit};
  }
  // As they are packed: columns vector by vector, whatever a tile takes of them.
  int64_t packed_tiles(int64_t rows) const { return columns ? ceil_div(rows, row_unit) : row_tiles(rows); }
  RowTile packed_tile(int64_t rows, int64_t i) const {
    return columns ? RowTile{i * row_unit, row_unit} : row_tile(rows, i);
  }
};

// Cycles of a term of a register tile: multiply-adds or loads, whichever take longer.
double tile_cycles(double rows, double vectors);

// Of images of so few pixels columns read the weights of one tap in place where tiles keep what they read.
constexpr int64_t kKeptPlane = 256;
// Whether rows of `a` that would be read in place are better packed for columns.
template <class T>
bool columns_repay_packing(const GatherSum<T>& s);

// Both need at least one output.
template <class T>
GatherPlan plan_gather(const GatherSum<T>& s);
template <class T>
void run_gather(const GatherSum<T>& s, const GatherPlan& plan);

// Two sums whose outputs take turns along the width: their plans, or false if they are better computed one by one.
template <class T>
bool plan_pair(GatherSum<T> (&s)[2], GatherPlan (&plan)[2]);
template <class T>
void run_pair(const GatherSum<T> (&s)[2], const GatherPlan (&plan)[2]);

}  // namespace fastconv
