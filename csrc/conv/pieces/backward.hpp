// The pieces of an input gradient: those of zero padding, one for each residue of the stride, and near the ends of an
// axis what other modes of padding add.
#pragma once
#include "conv/pieces/piece.hpp"

namespace fastconv {

// Whether the adjoint of an axis that wraps around is itself a correlation that wraps around: outputs and inputs are as
// many, and each input meets each tap once.
bool circulates(const ConvAxis& axis);

// Whether padding adds something to the adjoint of an axis besides.
inline bool padding_adds(const ConvAxis& a) {
  return a.mode != Mode::zeros && a.pad_before + a.pad_after > 0 && !circulates(a);
}

// The adjoint of an axis: that of zero padding, one piece for each residue of the stride, which sets the outputs, and
// what the padding adds to some of them.
struct BackwardPieces {
  Vector<Piece> set, add;
};
BackwardPieces backward_pieces(const ConvAxis& axis);
// The same in as few pieces as may be.
Vector<Piece> all_pieces(const ConvAxis& axis, const BackwardPieces& pieces);

// Calls f(d, h, ws), `ws` all pieces of the width behind those of the others, for what makes up an input gradient. Of
// the padding's share, (set + add) on each axis multiplied out, the axes behind the first that adds are taken whole:
// two thin pieces a side, not one for each corner as well.
template <class F>
void for_each_row_of_pieces(const ConvProblem& p, const BackwardPieces (&axis)[3], F f) {
  const BackwardPieces &d = axis[0], &h = axis[1], &w = axis[2];
  const auto product = [&f](const Vector<Piece>& ds, const Vector<Piece>& hs, const Vector<Piece>& ws) {
    for (const Piece& pd : ds)
      for (const Piece& ph : hs) f(pd, ph, ws);
  };
  product(d.set, h.set, w.set);
  product(d.set, h.set, w.add);
  if (!h.add.empty()) product(d.set, h.add, all_pieces(p.axis[2], w));
  if (!d.add.empty()) product(d.add, all_pieces(p.axis[1], h), all_pieces(p.axis[2], w));
}

}  // namespace fastconv
