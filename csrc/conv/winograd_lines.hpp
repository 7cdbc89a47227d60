// What padding by one adds to an input gradient. Outputs in the padding are lines around the image that one outer row
// or column of taps reaches: products with the first or last planes of the transformed weights alone, since the
// transform takes an outermost tap as it is (u_0 = w_0 / 4, u_5 = w_2). A line is folded into the image as its padding
// came from it.
#pragma once
#include "conv/winograd.hpp"

namespace fastconv {

struct WinogradLine {
  int across;          // axis whose padding this is: 1 or 2
  int64_t source;      // coordinate of x on it
  bool first;          // of the three taps in ascending order of offset; else the last
  int64_t target;      // coordinate of y on it
  AxisMap along;       // the other axis, its padding included
  int64_t before, in;  // of its outputs, those in the padding before the image, and those in the image
  Vector<int64_t> to;  // coordinates of y, one an output; none where there is no padding
};

// The lines of a gradient whose pieces on axis 1 and 2 these are, or none where they are more than lines.
struct BackwardPieces;
Vector<WinogradLine> winograd_lines(const ConvProblem& p, const BackwardPieces& h, const BackwardPieces& w);

// Adds them to s.y; s.u must be there.
template <class T>
void run_winograd_lines(const WinogradSum<T>& s, const Vector<WinogradLine>& lines, int threads);

}  // namespace fastconv
