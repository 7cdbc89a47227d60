// A piece of a correlation of few channels a group, by the tile whose rows are rows of the image
// (conv/depthwise/depthwise.hpp): of an image, of the two phases that a stride of two makes of an input gradient's
// width, or of a long line as the rows of an image.
#pragma once
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/line_rows.hpp"
#include "conv/pieces/operands.hpp"

namespace fastconv {

template <class T>
class DepthwisePiece {
 public:
  // Whether it applies and pays. It looks at one image and at no thread. `odd`: the phase that is to be computed
  // together with box.w, or null. `folds`: by with_fold().
  static bool suits(const Operands<T>& c, const PieceBox& box, const Piece* odd = nullptr, bool folds = false);

  DepthwisePiece(const Operands<T>& c, const PieceBox& box, const Piece* odd = nullptr);
  // The outputs [line.begin, line.end()) of a piece of the width.
  DepthwisePiece(const Operands<T>& c, const LineRows& line, const PieceBox& box);

  // With what padding adds, where folds_squares() (conv/depthwise/squares.hpp).
  DepthwisePiece with_fold(const AxisFold& h, const AxisFold& w) const;

  void run() const { run_depthwise(sum_, plan_); }
  ConvPlan describe();  // not to be run after it

  // Of a line: the outputs in its image. The others are left to other pieces.
  int64_t line_begin() const { return line_begin_; }
  int64_t line_end() const { return line_end_; }

 private:
  DepthwisePiece(const Operands<T>& c, const View<const T>& x, const View<T>& y, const PieceBox& box, const Piece* odd);

  DepthwiseSum<T> sum_;
  DepthwisePlan plan_;
  int64_t line_begin_ = 0, line_end_ = 0;
};

}  // namespace fastconv
