// A piece of a correlation by Winograd's algorithm (conv/winograd.hpp), with as many rows' weights transformed at a
// time as memory is given for.
#pragma once
#include "conv/operands.hpp"
#include "conv/winograd.hpp"

namespace fastconv {

template <class T>
class WinogradPiece {
 public:
  // Whether the algorithm applies and pays. It looks at one image and at no thread, so that a sample alone and in a
  // batch are computed alike.
  static bool suits(const Operands<T>& c, const PieceBox& box);

  // Of an input gradient whose pieces these are: the ends of h and w whose border is all that padding adds. False where
  // there is no padding, or more than that, or where the algorithm does not suit the one other piece.
  static bool find_ends(const Operands<T>& c, const BackwardPieces (&axis)[3], Vector<WinogradEnd> (&ends)[2]);

  // Of an input gradient with a stride of two: the pieces of h and w with all four phases, if the algorithm suits. What
  // padding adds is left to others.
  static bool find_phases(const Operands<T>& c, const BackwardPieces (&axis)[3], Piece (&both)[2]);
  WinogradPiece(const Operands<T>& c, const PieceBox& box, const BackwardPieces (&axis)[3]);

  // `ends`: those of h and w, or null.
  WinogradPiece(const Operands<T>& c, const PieceBox& box, const Vector<WinogradEnd>* ends = nullptr);

  void run();
  ConvPlan describe() const;
  // The weights transformed, for tiles of either size. With a stride of two, that would be sixteen times as many: then
  // they are not kept.
  bool keeps_weights() const { return sum_.shape.split == 1; }
  void make_ready(ReadyWeights<T>& to);

 private:
  int64_t weight_elements() const { return winograd_weight_size(sum_); }
  bool needs_weights() const { return !c_.transformed(sum_.shape.large()) && !plan_.transforms_weights; }
  static bool pays(const Operands<T>& c, const PieceBox& box, const WinogradShape& shape);
  void start();
  void plan();
  bool next();  // the rows after these, if there are any
  void run_rows();

  const Operands<T>& c_;
  WinogradSum<T> sum_;  // of the rows whose turn it is
  WinogradPlan plan_;
  int64_t first_row_ = 0, rows_at_once_;
};

}  // namespace fastconv
