// A piece of a correlation by Fourier transforms (conv/fft/fft.hpp).
#pragma once
#include "conv/fft/fft.hpp"
#include "conv/pieces/operands.hpp"

namespace fastconv {

// Does not apply unless it is to be used. The choice looks at one image and at no thread.
template <class T>
FftPlan plan_fft_piece(const Operands<T>& c, const PieceBox& box);

template <class T>
class FftPiece {
 public:
  FftPiece(const Operands<T>& c, const PieceBox& box, const FftPlan& plan);

  void run() const { run_fft(sum_, plan_); }
  ConvPlan describe() const { return describe_fft(plan_, static_cast<double>(sum_.of.images)); }

 private:
  FftSum<T> sum_;
  FftPlan plan_;
};

}  // namespace fastconv
