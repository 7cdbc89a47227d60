// A piece of a correlation by the direct engine: taps beyond kMostDirectTaps are summed box after box, weights that
// must be packed are packed kPackedWeightBytes at a time. Both cuts depend on the problem alone, as do the bits.
#pragma once
#include "conv/direct/batch_lanes.hpp"
#include "conv/direct/sum.hpp"

namespace fastconv {

template <class T>
class DirectPiece {
 public:
  DirectPiece(const Operands<T>& c, const PieceBox& box);

  void run();
  ConvPlan describe();  // not to be run after it,
  double cost();        // nor after this
  // Whether its weights are packed, and whether vectors are along the batch.
  bool packs() const { return !in_batch_lanes() && weights_ == Weights::packed; }
  bool in_batch_lanes() const { return batch_.cost >= 0; }
  // Whether it would, between the outputs of a piece that is spread.
  bool writes_zeros() const { return !in_batch_lanes() && !plan_.columns; }
  // The weights packed, whatever the plan would do with them.
  void make_ready(ReadyWeights<T>& to) const;

 private:
  enum class Weights { in_place, ready, packed };

  // The piece part by part: some channels of some taps, each planned when its turn comes.
  void start_taps(int64_t tap_box);
  void start_channels(int64_t first);
  bool next();
  void run_part();
  ConvPlan describe_part() const;

  void cut_taps();
  bool prefers_columns();
  bool has_tail();
  bool takes_batch_lanes();
  bool takes_ready();
  int64_t channels_packed_at_once() const;
  int64_t tap_boxes() const { return count_[0] * count_[1] * count_[2]; }

  const Operands<T>& c_;
  const PieceBox box_;
  int64_t most_[3], count_[3];  // taps of an axis in a box, and boxes
  int64_t tap_box_ = 0;
  TapBox taps_;
  GatherSum<T> sum_;
  Weights weights_ = Weights::packed;
  int64_t channels_at_once_ = 0;
  BatchPlan batch_;  // applies to all at once, or not
  GatherPlan plan_;
};

}  // namespace fastconv
