// Lists of what windows join, for kernels that know no windows.
#pragma once
#include "base/workspace.hpp"
#include "kernels/pool/pool.hpp"

namespace fastconv {

// What each place of an axis joins: at[first[i]] to at[first[i + 1]], ascending; and what a step along the axis adds.
struct AxisTaps {
  int64_t places;
  Vector<int64_t> first, at;
  Vector<double> weight{}, divisor{};  // of what is joined, and of the places; none: 1
  int64_t at_step = 0, position_step = 0, to_step = 0, index_step = 0;
  explicit AxisTaps(int64_t n) : places(n), first(static_cast<size_t>(n) + 1) {}
};
AxisTaps inputs_of(const PoolAxis& a);   // under each output
AxisTaps outputs_of(const PoolAxis& a);  // over each input

// All places of two axes.
struct TapList {
  Vector<PoolPlace> places;
  Vector<PoolTap> taps;
  // Products are rounded to elements of so many bytes.
  TapList(const AxisTaps& a, const AxisTaps& b, int64_t bytes);
  PoolTaps list() const { return {places.data(), taps.data()}; }
};

}  // namespace fastconv
