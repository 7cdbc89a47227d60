// The phases that a stride of two to four makes of an input gradient's width, and those of the other axes: each is
// summed into planes of its own, whose rows follow one another, and lines of y are zipped from theirs, in their order.
// To write every second element of y, or fewer, is slower than to write all of them twice.
#pragma once
#include "conv/pieces/backward.hpp"
#include "conv/pieces/operands.hpp"

namespace fastconv {

template <class T>
class PhaseLines {
 public:
  // Of all residues of the axes.
  PhaseLines(const Operands<T>& c, const BackwardPieces (&axis)[3]);
  static bool suits(const Operands<T>& c, const BackwardPieces (&axis)[3]);
  bool fits() const;  // into the memory that scratch may take

  int64_t phases() const { return ways_[0] * ways_[1] * ways_[2]; }
  int64_t elements() const { return c_.images() * c_.y.shape[1] * plane_ + 16; }  // zips may read a vector behind them
  int64_t table_bytes() const { return 8 * (kLinesAtOnce + c_.y.shape[2] * c_.y.shape[3]); }
  // The operands of one phase, whose planes begin at `memory`, and its pieces.
  Operands<T> operands(int64_t phase, T* memory) const;
  Piece piece(int64_t phase, int i) const;
  void zip(const T* memory) const;

 private:
  static constexpr int64_t kLinesAtOnce = 256;
  // Of phases of depth and height, which stand one behind the other in a plane of each phase of the width.
  int64_t outputs(int i, int64_t phase) const { return axis_[i].set[static_cast<size_t>(phase)].map.outputs; }
  int64_t place(int64_t d, int64_t h) const;

  const Operands<T>& c_;
  const BackwardPieces (&axis_)[3];
  int64_t ways_[3], columns_;  // of a phase: as many for each
  int64_t plane_, pitch_;      // from one of y to the next, and from phase to phase of the width
};

}  // namespace fastconv
