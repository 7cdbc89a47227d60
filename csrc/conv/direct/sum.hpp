// Sums of the direct engine (conv/direct/gather.hpp) made of a correlation's operands, and the ways their weights are
// read.
#pragma once
#include "conv/direct/gather.hpp"
#include "conv/pieces/operands.hpp"

namespace fastconv {

constexpr int64_t kMostDirectTaps = 2048;        // at a time: more would not leave a packed block its size
constexpr int64_t kPackedWeightBytes = 4 << 20;  // at a time

inline TapBox all_taps(const PieceBox& box) { return {{box.d.taps, box.h.taps, box.w.taps}}; }

// All taps and channels of a piece; the weights are still to be found.
template <class T>
GatherSum<T> direct_sum(const Operands<T>& c, const PieceBox& box);

// The weights where they stand.
template <class T>
void read_in_place(GatherSum<T>& s, const WeightRows<T>& rows, const TapBox& taps);

// The weights of the sum's channels, packed in tiles that are for a plan to choose. `packs`: for this sum alone.
template <class T>
void read_packed(GatherSum<T>& s, int64_t taps, bool packs);
// They are at a.
template <class T>
void find_packed(GatherSum<T>& s, const GatherPlan& plan, const T* a);
template <class T>
int64_t packed_elements(const GatherSum<T>& s, const GatherPlan& plan);
template <class T>
void pack(GatherSum<T>& s, const GatherPlan& plan, const WeightRows<T>& rows, const TapBox& taps, T* a);

// Whether packing takes longer than it saves.
template <class T>
bool better_in_place(const GatherSum<T>& s, const WeightRows<T>& rows, const TapBox& taps);

}  // namespace fastconv
