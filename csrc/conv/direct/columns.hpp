// The packed direct engine with vectors along the rows of `a`, the channels of y: a tile is a few neighbouring pixels
// times a panel of channels. Pixels are broadcast, so neither the taps' shifts nor the width of an image split or waste
// a vector; y is written once, transposed, which pays where sums are deep.
#pragma once
#include "conv/direct/gather.hpp"

namespace fastconv {

// True if the tiles can read `a` as it is, and shall: y in steps is slow enough without panels that end within a
// vector.
template <class T>
bool columns_apply(const GatherSum<T>& s) {
  return s.packed || (s.taps() == 1 && s.a_row == 1 && !(s.steps && s.rows % conv_kernels<T>().lanes));
}

// The columns tile for rows of n broadcast values and `vectors` vectors of channels, and its cycles for one of the
// sum's products: multiply-adds, loads or the latency of an accumulator, whichever take longest.
struct ColumnsTile {
  int mr, nr;
  double cycles;
};
ColumnsTile choose_columns_tile(int64_t n, int64_t vectors, int accumulators, int widest, int tallest);

// Cycles of the products, and the tile that takes them; `plan` is given the tile.
template <class T>
double choose_columns(const GatherSum<T>& s, GatherPlan& plan);

// Channels of x and pixels of a block.
template <class T>
int64_t columns_channels(const GatherSum<T>& s, const GatherPlan& plan);
template <class T>
int64_t columns_pixels(const GatherSum<T>& s);

// Bytes of scratch beside the packed block.
template <class T>
int64_t columns_bytes(const GatherSum<T>& s, const GatherPlan& plan, int64_t pixels);

// All outputs of groups [g0, g1) and row tiles [tile0, tile1) inside the box.
template <class T>
void run_columns(const GatherSum<T>& s, const GatherPlan& plan, const Box& box, int64_t g0, int64_t g1, int64_t tile0,
                 int64_t tile1);

// The same of two sums whose outputs take turns along the width, in plans that differ in their channels alone: y is
// written once. The box, of whole rows, is the first one's.
template <class T>
void run_columns_pair(const GatherSum<T> (&s)[2], const GatherPlan (&plan)[2], const Box& box, int64_t g0, int64_t g1,
                      int64_t tile0, int64_t tile1);

}  // namespace fastconv
