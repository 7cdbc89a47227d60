// The kernels of the element type in use, and long arrays cut into stretches for the threads.
#pragma once
#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "isa/table.hpp"
#include "kernels/layers.hpp"

namespace fastconv {

constexpr int64_t kStretch = 1 << 14;

template <class T>
const LayerFunctions<T>& layer_functions() {
  if constexpr (sizeof(T) == 4) return kernels().layers->f32;
  else return kernels().layers->f64;
}

// f(first, count, number of the stretch) for every stretch of n elements; `cost` is bytes moved an element.
template <class F>
void over_stretches(int64_t n, double cost, F&& f) {
  parallel_tasks(ceil_div(n, kStretch), threads_for(cost * static_cast<double>(n)), [&](int64_t i) {
    const int64_t first = i * kStretch;
    f(first, std::min(kStretch, n - first), i);
  });
}

}  // namespace fastconv
