// A piece of a correlation by Winograd's algorithm (conv/winograd/winograd.hpp), with as many rows' weights transformed
// at a time as memory is given for.
#pragma once
#include <optional>

#include "conv/pieces/backward.hpp"
#include "conv/pieces/operands.hpp"
#include "conv/winograd/spread.hpp"
#include "conv/winograd/winograd.hpp"

namespace fastconv {

template <class T>
class WinogradPiece {
 public:
  // Whether the algorithm applies and pays. It looks at one image and at no thread, so that a sample alone and in a
  // batch are computed alike.
  static bool suits(const Operands<T>& c, const PieceBox& box) { return cost(c, box) >= 0; }
  // Of an image and the weights, or -1 if it does not suit.
  static double cost(const Operands<T>& c, const PieceBox& box);

  // Whether the algorithm transposed suits an input gradient, so that it adds what padding adds to h and w, which are
  // those of the forward pass in `box`.
  static bool spreads(const Operands<T>& c, const PieceBox& box);

  // Of an input gradient with a stride of two: the pieces of h and w with all four phases, if the algorithm suits. What
  // padding adds is left to others.
  static bool find_phases(const Operands<T>& c, const BackwardPieces (&axis)[3], Piece (&both)[2]);
  // What all pieces of a stride cost of an image, in the cycles of conv/strided_cost.hpp, be they phases or by
  // themselves; or -1, if the algorithm does not suit them.
  static double strided_cost(const Operands<T>& c, const BackwardPieces (&axis)[3]);
  WinogradPiece(const Operands<T>& c, const PieceBox& box, const BackwardPieces (&axis)[3]);

  // Images of which blocks keep little for others (conv/winograd/spread.hpp): none if that is neither little of one,
  // nor beside it.
  int64_t images_at_once() const;
  // If it `spreads`, h and w are those of the forward pass.
  WinogradPiece(const Operands<T>& c, const PieceBox& box, bool spreads = false);
  WinogradPiece(const WinogradPiece&) = delete;  // `spread_` refers to `sum_`

  void run();
  ConvPlan describe() const;
  // The weights transformed, for tiles of either size. With a stride of two, that would be sixteen times as many: then
  // they are not kept.
  bool keeps_weights() const { return sum_.shape.split == 1; }
  void make_ready(ReadyWeights<T>& to);

 private:
  int64_t weight_elements() const { return winograd_weight_size(sum_); }
  // Of the transformed weights, where they are neither at hand nor made by the tasks.
  int64_t weight_bytes() const {
    const bool none = c_.transformed(sum_.shape.large()) || plan_.transforms_weights;
    return none ? 0 : Arena::rounded_bytes<T>(plan_.copies * weight_elements());
  }
  static double cost(const Operands<T>& c, const PieceBox& box, const WinogradShape& shape);
  void start();
  void plan();
  bool next();  // the rows after these, if there are any
  void run_rows();

  int64_t kept_bytes() const { return spread_ ? spread_->kept_bytes() : 0; }

  const Operands<T>& c_;
  WinogradSum<T> sum_;  // of the rows whose turn it is
  WinogradPlan plan_;
  std::optional<WinogradSpread<T>> spread_;  // of a sum that spreads
  int64_t first_row_ = 0, rows_at_once_;
};

}  // namespace fastconv
