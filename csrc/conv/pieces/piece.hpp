// A correlation is cut into pieces of its axes: outputs that are summed alike.
#pragma once
#include <algorithm>

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
  int64_t whole = 0;  // outputs with the zeros between them, which such a piece writes too
};

Vector<int64_t> all_taps(int64_t k);

// A piece with taps [t0, t1) of its own.
Piece with_taps(const Piece& piece, int64_t t0, int64_t t1);

// Outputs [begin, end) of a piece.
Piece outputs_of(const Piece& piece, int64_t begin, int64_t end);

// Outputs that meet the source with a tap, which others do with zeros around it.
Range live_outputs(const AxisMap& map, int64_t offset);
// The share of a piece's outputs and taps that meet the source, not zeros around it.
double live_share(const Piece& piece);
// The piece cut where taps begin or end to meet the source, into parts of some outputs at least, each with those that
// do.
Vector<Piece> live_pieces(const Piece& piece, int64_t least);

// The piece with its taps in ascending order of their offsets, if they are in descending order.
Piece ascending(const Piece& piece);

Piece forward_piece(const ConvAxis& axis);

// One piece of each axis.
struct PieceBox {
  const Piece &d, &h, &w;

  const Piece& operator[](int axis) const { return axis == 0 ? d : axis == 1 ? h : w; }
  double taps() const { return static_cast<double>(d.map.taps() * h.map.taps()) * static_cast<double>(w.map.taps()); }
  double outputs() const {
    return static_cast<double>(d.map.outputs * h.map.outputs) * static_cast<double>(w.map.outputs);
  }
  bool adds() const { return d.adds || h.adds || w.adds; }
};

// What axes are cut into, or nothing of one that is whole.
struct PartsOfBox {
  const PieceBox& box;
  Vector<Piece> axis[3];

  template <class F>
  void for_each(F f) const {
    const Piece *begin[3], *end[3];
    for (int i = 0; i < 3; ++i) {
      begin[i] = axis[i].empty() ? &box[i] : axis[i].data();
      end[i] = begin[i] + std::max<size_t>(1, axis[i].size());
    }
    for (const Piece* d = begin[0]; d < end[0]; ++d)
      for (const Piece* h = begin[1]; h < end[1]; ++h)
        for (const Piece* w = begin[2]; w < end[2]; ++w) f(PieceBox{*d, *h, *w});
  }
};

}  // namespace fastconv
