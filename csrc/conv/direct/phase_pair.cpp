#include "conv/direct/phase_pair.hpp"

#include <algorithm>

namespace fastconv {

template <class T>
PhasePair<T>::PhasePair(const Operands<T>& c, const PieceBox& even, const PieceBox& odd)
    : c_(c), sum_{direct_sum(c, even), direct_sum(c, odd)}, taps_{all_taps(even), all_taps(odd)}, applies_(plan()) {}

template <class T>
bool PhasePair<T>::plan() {
  for (int i : {0, 1}) {
    const int64_t taps = taps_[i].size();
    if (taps == 0 || taps > kMostDirectTaps || better_in_place(sum_[i], c_.rows, taps_[i])) return false;
    read_packed(sum_[i], taps, true);
  }
  return plan_pair(sum_, plan_) &&
         (packed_size(0) + packed_size(1)) * static_cast<int64_t>(sizeof(T)) <= kPackedWeightBytes;
}

template <class T>
void PhasePair<T>::run() {
  T* a = reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(packed_size(0) + packed_size(1))));
  for (int i : {0, 1}) pack(sum_[i], plan_[i], c_.rows, taps_[i], a + i * packed_size(0));
  run_pair(sum_, plan_);
}

template <class T>
ConvPlan PhasePair<T>::describe() const {
  const GatherPlan alone[2] = {plan_gather(sum_[0]), plan_gather(sum_[1])};
  ConvPlan plan;
  plan.algorithm = Algorithm::direct;
  plan.kernel = "packed columns";
  plan.mr = plan_[0].mr;
  plan.nr = plan_[0].nr * conv_kernels<T>().lanes;
  plan.block_channels = plan_[0].channels;
  plan.block_pixels = plan_[0].pixels();
  plan.workspace_bytes = 2 * std::max(alone[0].workspace_bytes, alone[1].workspace_bytes);
  plan.shared_bytes = (packed_size(0) + packed_size(1)) * static_cast<int64_t>(sizeof(T));
  plan.threads = plan_[0].threads;
  plan.cost = alone[0].cost + alone[1].cost;
  return plan;
}

template class PhasePair<float>;
template class PhasePair<double>;

}  // namespace fastconv
