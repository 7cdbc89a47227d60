// How a task's values stand in its scratch memory.
#pragma once
#include <algorithm>

#include "base/workspace.hpp"
#include "conv/winograd/patches.hpp"
#include "conv/winograd/transformed_weights.hpp"

namespace fastconv {

// v[plane][slice][vector of channels][tile][lane], m[plane][vector of rows][phase][tile][lane]
template <class T>
struct WinogradLayout {
  int64_t v_vector, v_slice, v_plane, m_vector, m_plane;
  WinogradLayout(const WinogradSum<T>& s, const WinogradPlan& plan) {
    v_vector = m_vector = plan.images * plan.down * plan.across * conv_kernels<T>().lanes;
    v_slice = ceil_div(s.channels, conv_kernels<T>().lanes) * v_vector;
    v_plane = plane_stride<T>(s.shape.slices / s.shape.results() * v_slice);
    m_plane = plane_stride<T>(plan.chunk * s.shape.results() * m_vector);
  }
};

// Sizes in bytes of a task's scratch memory.
template <class T>
struct WinogradSizes {
  int64_t v, m, u, pixels;
  WinogradSizes(const WinogradSum<T>& s, const WinogradPlan& plan) {
    const WinogradLayout<T> layout(s, plan);
    const int64_t phases = s.shape.phases ? 2 : 1, rows = s.shape.out(1),
                  columns = phases * round_up(plan.across, s.shape.step[2]) * s.shape.out(2);
    v = Arena::rounded_bytes<T>(s.shape.planes() * layout.v_plane);
    m = Arena::rounded_bytes<T>(s.shape.planes() * layout.m_plane);
    const int64_t own = plan.chunk * winograd_weight_vector(s, plan.depth);
    u = Arena::rounded_bytes<T>(plan.transforms_weights ? own : 0);
    pixels = Arena::rounded_bytes<T>(std::max(WinogradPatchesOf<T>::pixel_elements(s.shape, plan.down, plan.across),
                                              rows * columns * conv_kernels<T>().lanes));
  }
  int64_t total() const { return v + m + u + pixels; }
};

}  // namespace fastconv
