// The two phases that a stride of two makes of an input gradient's width, by the columns of the direct engine
// (conv/direct/columns.hpp) together, so that y is written once.
#pragma once
#include "conv/direct/sum.hpp"

namespace fastconv {

template <class T>
class PhasePair {
 public:
  // Of boxes that set y and differ in the phase alone.
  PhasePair(const Operands<T>& c, const PieceBox& even, const PieceBox& odd);

  // False if the phases are better computed one by one.
  bool applies() const { return applies_; }
  void run();
  ConvPlan describe() const;

 private:
  bool plan();
  int64_t packed_size(int i) const { return packed_elements(sum_[i], plan_[i]); }

  const Operands<T>& c_;
  GatherSum<T> sum_[2];
  TapBox taps_[2];
  GatherPlan plan_[2];
  bool applies_;
};

}  // namespace fastconv
