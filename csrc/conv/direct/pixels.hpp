// The packed direct engine with vectors along the pixels: all rows of `a` pass by a panel of a packed block.
#pragma once
#include "base/range.hpp"
#include "conv/direct/gather.hpp"

namespace fastconv {

// Whether rows of `a` are so few and x so large that memory decides: long stretches of few channels come quickest.
template <class T>
bool streams(const GatherSum<T>& s, const GatherPlan& plan);

// Bytes of scratch beside the packed block.
template <class T>
int64_t pixels_bytes(const GatherSum<T>& s, const GatherPlan& plan);

// All outputs of these groups and row tiles inside the box.
template <class T>
void run_pixels(const GatherSum<T>& s, const GatherPlan& plan, const Box& box, Range groups, Range tiles);

}  // namespace fastconv
