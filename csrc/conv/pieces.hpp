// A correlation is cut into pieces of its axes: outputs that are summed alike.
#pragma once
#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

// The outputs [begin, begin + step * axis.outputs) of one axis that one AxisMap covers, and the taps it sums.
struct Piece {
  AxisMap map;
  int64_t begin = 0, step = 1;
  Vector<int64_t> taps;
  bool adds = false;  // to outputs that another piece sets
};

Vector<int64_t> all_taps(int64_t k);

// A piece with taps [t0, t1) of its own.
Piece with_taps(const Piece& piece, int64_t t0, int64_t t1);

// Offsets i, i + 1, i + 2 in either order: what Winograd's algorithm needs of an axis. And the piece with its taps in
// ascending order of their offsets.
bool three_in_a_row(const AxisMap& map);
Piece ascending(const Piece& piece);

Piece forward_piece(const ConvAxis& axis);

// Whether the adjoint of an axis that wraps around is itself a correlation that wraps around: outputs and inputs are as
// many, and each input meets each tap once.
bool circulates(const ConvAxis& axis);

// The adjoint of zero padding, one piece for each residue of the stride, and what the padding adds to it.
Vector<Piece> backward_pieces(const ConvAxis& axis);

// Calls f(d, h, w) for the pieces that make up a correlation.
template <class F>
void for_each_piece(const ConvProblem& p, Direction direction, F f) {
  if (direction == Direction::forward) return f(forward_piece(p.axis[0]), forward_piece(p.axis[1]), forward_piece(p.axis[2]));
  const Vector<Piece> d = backward_pieces(p.axis[0]), h = backward_pieces(p.axis[1]), w = backward_pieces(p.axis[2]);
  for (const Piece& pd : d)
    for (const Piece& ph : h)
      for (const Piece& pw : w) f(pd, ph, pw);
}

}  // namespace fastconv
