#include "conv/direct/piece.hpp"

#include <algorithm>
#include <utility>

#include "base/checked.hpp"
#include "conv/direct/tail.hpp"
#include "conv/pieces/plan_parts.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr double kBatchGain = 1.1;  // what vectors along a batch save besides their cost: edges of tiles
constexpr double kKeptGain = 0.87;  // and lose where tiles should read what is close together

}  // namespace

template <class T>
DirectPiece<T>::DirectPiece(const Operands<T>& c, const PieceBox& box)
    : c_(c), box_(box), taps_(all_taps(box)), sum_(direct_sum(c, box)) {
  int64_t room = kMostDirectTaps;
  for (int i : {2, 1, 0}) {
    const int64_t taps = box[i].map.taps();
    most_[i] = std::max<int64_t>(1, std::min(taps, room));
    room = std::max<int64_t>(1, room / most_[i]);
    count_[i] = std::max<int64_t>(1, ceil_div(taps, most_[i]));
  }
  start_taps(0);
}

template <class T>
void DirectPiece<T>::run() {
  do run_part();
  while (next());
}

template <class T>
ConvPlan DirectPiece<T>::describe() {
  ConvPlan plan = describe_part();
  while (next()) add_part(plan, describe_part(), false);
  return plan;
}

template <class T>
double DirectPiece<T>::cost() {
  double all = 0;
  do all += in_batch_lanes() ? batch_.cost : plan_.cost;
  while (next());
  return all;
}

template <class T>
void DirectPiece<T>::cut_taps() {
  const int64_t at[3] = {tap_box_ / (count_[1] * count_[2]), tap_box_ / count_[2] % count_[1], tap_box_ % count_[2]};
  for (int i = 0; i < 3; ++i) {
    if (count_[i] == 1) continue;
    Piece part = with_taps(box_[i], at[i] * most_[i], std::min(box_[i].map.taps(), (at[i] + 1) * most_[i]));
    taps_.t[i] = std::move(part.taps);
    sum_.axis[i] = std::move(part.map);
  }
}

template <class T>
void DirectPiece<T>::start_taps(int64_t tap_box) {
  tap_box_ = tap_box;
  cut_taps();
  channels_at_once_ = sum_.channels = c_.rows.channels;
  const bool all = tap_boxes() == 1;
  const bool columns = prefers_columns();
  if (all && !columns && has_tail()) weights_ = Weights::in_place;
  else if (all && takes_batch_lanes()) return;
  else if (!columns && better_in_place(sum_, c_.rows, taps_)) weights_ = Weights::in_place;
  else if (all && takes_ready()) return;
  else weights_ = Weights::packed;
  if (weights_ == Weights::in_place) read_in_place(sum_, c_.rows, taps_);
  else channels_at_once_ = channels_packed_at_once();
  start_channels(0);
}

template <class T>
void DirectPiece<T>::start_channels(int64_t first) {
  const bool begins = tap_box_ == 0 && first == 0;
  sum_.x_first = first;
  sum_.channels = std::min(channels_at_once_, c_.rows.channels - first);
  sum_.accumulate = box_.adds() || !begins;
  sum_.bias = sum_.accumulate ? nullptr : c_.first_bias();
  sum_.clamp = c_.clamps && tap_box_ + 1 == tap_boxes() && first + sum_.channels >= c_.rows.channels;
  if (weights_ == Weights::packed) read_packed(sum_, taps_.size(), true);
  plan_ = plan_gather(sum_);
}

template <class T>
bool DirectPiece<T>::next() {
  if (in_batch_lanes()) return false;
  const int64_t channel = sum_.x_first + sum_.channels;
  if (channel < c_.rows.channels) return start_channels(channel), true;
  if (tap_box_ + 1 < tap_boxes()) return start_taps(tap_box_ + 1), true;
  return false;
}

// Columns, of packed weights, rather than a tail or weights in place. Looks at one image alone.
template <class T>
bool DirectPiece<T>::prefers_columns() {
  if (c_.rows.transposed || taps_.t[2].size() < 2) return false;
  const int64_t images = sum_.images;
  sum_.images = 1;
  if (c_.tails && !sum_.accumulate && tap_boxes() == 1) sum_.tail = tail_pixels(sum_);
  const bool prefers = (sum_.tail || better_in_place(sum_, c_.rows, taps_)) && columns_repay_packing(sum_);
  sum_.images = images;
  sum_.tail = 0;
  return prefers;
}

// Looks at one image alone: such sums have bits of their own.
template <class T>
bool DirectPiece<T>::has_tail() {
  if (!c_.tails || sum_.accumulate || c_.rows.transposed) return false;
  const int64_t tail = tail_pixels(sum_);
  if (tail && c_.rows.can_stand(taps_)) sum_.tail = tail;
  return sum_.tail > 0;
}

// Vectors along the batch, if that is quicker than along an image. Both give the same bits.
template <class T>
bool DirectPiece<T>::takes_batch_lanes() {
  if (sum_.accumulate || sum_.images < conv_kernels<T>().lanes) return false;
  read_in_place(sum_, c_.rows, taps_);
  const BatchPlan plan = plan_batch_lanes(sum_);
  if (plan.cost < 0) return false;
  sum_.packed = true;
  const double packed_cost = plan_gather(sum_).cost;
  sum_.packed = false;
  if (plan.cost >= (conv_kernels<T>().keeps ? kKeptGain : kBatchGain) * packed_cost) return false;
  batch_ = plan;
  return true;
}

// False if the tiles of this image are others than those the weights were packed for.
template <class T>
bool DirectPiece<T>::takes_ready() {
  if (!c_.ready || !c_.ready->rows) return false;
  read_packed(sum_, taps_.size(), false);
  sum_.packed_rows = c_.ready->tile_rows;
  plan_ = plan_gather(sum_);
  sum_.packed_rows = 0;
  if (plan_.columns != (c_.ready->tile_rows == 0)) return false;
  find_packed(sum_, plan_, c_.ready->rows);
  weights_ = Weights::ready;
  return true;
}

template <class T>
int64_t DirectPiece<T>::channels_packed_at_once() const {
  const int64_t channel = c_.rows.groups * round_up(c_.rows.rows, conv_kernels<T>().lanes) * taps_.size(),
                most = kPackedWeightBytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, channel);
  return std::max<int64_t>(1, std::min(c_.rows.channels, most));
}

template <class T>
void DirectPiece<T>::run_part() {
  if (in_batch_lanes()) return run_batch_lanes(sum_, batch_);
  if (weights_ == Weights::packed) {
    const int64_t bytes = Arena::rounded_bytes<T>(packed_elements(sum_, plan_));
    pack(sum_, plan_, c_.rows, taps_, reinterpret_cast<T*>(Arena::shared().reserve(bytes)));
  }
  run_gather(sum_, plan_);
}

template <class T>
void DirectPiece<T>::make_ready(ReadyWeights<T>& to) const {
  if (tap_boxes() > 1) return;
  GatherSum<T> s = direct_sum(c_, box_);
  read_packed(s, taps_.size(), false);
  const GatherPlan plan = plan_gather(s);
  T* a = to.reserve(packed_elements(s, plan));
  pack(s, plan, c_.rows, taps_, a);
  to.tile_rows = plan.columns ? 0 : plan.mr;
  to.rows = a;
}

template <class T>
ConvPlan DirectPiece<T>::describe_part() const {
  const bool batch = in_batch_lanes();
  const int lanes = conv_kernels<T>().lanes;
  const bool packs = !batch && weights_ == Weights::packed;
  int64_t workspace = batch ? batch_.workspace_bytes : plan_.workspace_bytes,
          packed = packs ? packed_elements(sum_, plan_) : 0;
  if (!batch) {  // a y whose channels are neighbours may take more
    GatherSum<T> turned = sum_;
    turned.y.stride[1] = 1, turned.y.stride[4] = sum_.rows;
    const GatherPlan plan = plan_gather(turned);
    workspace = std::max(workspace, plan.workspace_bytes);
    if (packs) packed = std::max(packed, packed_elements(turned, plan));
  }
  ConvPlan plan;
  plan.algorithm = Algorithm::direct;
  plan.kernel = batch ? "batch lanes" : sum_.rows == 1 ? "packed rows" : plan_.columns ? "packed columns" : "packed";
  plan.mr = batch ? batch_.mr : plan_.mr;
  plan.nr = (batch ? batch_.nr : plan_.nr) * lanes;
  plan.block_channels = batch ? sum_.channels : plan_.channels;
  plan.block_pixels = batch ? lanes * sum_.plane() : plan_.pixels();
  plan.workspace_bytes = workspace;
  plan.shared_bytes = packed * static_cast<int64_t>(sizeof(T));
  plan.threads = batch ? batch_.threads : plan_.threads;
  plan.cost = batch ? batch_.cost : plan_.cost;
  return plan;
}

template class DirectPiece<float>;
template class DirectPiece<double>;

}  // namespace fastconv
