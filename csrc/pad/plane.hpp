// Planes (d, h, w) of one channel, gathered from another plane through an index map per axis, and the adjoint.
// Padding is a plane gathered once; the windows of a kernel are planes gathered once a tap.
#pragma once
#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/index_map.hpp"

namespace fastconv {

// Output o of an axis stands at input coordinate map(o * stride + shift), or at none (-1). Outputs [lo, hi) lie inside
// the input and need no mapping; only the margins before and behind them are kept as a table, if they are not zeros.
struct PlaneAxis {
  Mode mode;
  int64_t out, stride, shift, lo, hi;
  Vector<int64_t> margin;  // sources of [0, lo), then of [hi, out)

  PlaneAxis(Mode mode_, int64_t in, int64_t out_, int64_t stride_, int64_t shift_)
      : mode(mode_), out(out_), stride(stride_), shift(shift_) {
    auto first_at = [&](int64_t q) { return q <= shift ? 0 : std::min(out, (q - shift - 1) / stride + 1); };
    lo = first_at(0);
    hi = std::max(lo, first_at(in));
    if (mode == Mode::zeros) return;
    margin.reserve(static_cast<size_t>(lo + out - hi));
    for (int64_t o = 0; o < lo; ++o) margin.push_back(map_coordinate(mode, o * stride + shift, in));
    for (int64_t o = hi; o < out; ++o) margin.push_back(map_coordinate(mode, o * stride + shift, in));
  }
  int64_t source(int64_t o) const {
    if (o >= lo && o < hi) return o * stride + shift;
    return mode == Mode::zeros ? -1 : margin[static_cast<size_t>(o < lo ? o : lo + o - hi)];
  }
  int64_t first() const { return lo < hi ? lo * stride + shift : 0; }  // source of lo
  bool inside(int64_t o) const { return o >= lo && o < hi; }
  bool has_margin() const { return mode != Mode::zeros && lo + out > hi; }
};

struct PlaneMap {
  const PlaneAxis &d, &h, &w;
  bool margins() const { return d.has_margin() || h.has_margin() || w.has_margin(); }  // of other than zeros
};

// Steps between the d, h and w neighbours of a plane.
struct PlaneSteps {
  int64_t d, h, w;
};

template <class T>
PlaneSteps plane_steps(const View<T>& v) {
  return {v.stride[2], v.stride[3], v.stride[4]};
}

// y[o] = x[map(o)], or value where an axis maps to none.
template <class T>
void gather_plane(const PlaneMap& map, const T* x, PlaneSteps xs, T value, T* y, PlaneSteps ys);

// dx[map(o)] += dy[o], in the order of o: all of them, or those of the margins alone.
template <class T>
void scatter_plane(const PlaneMap& map, const T* dy, PlaneSteps ys, T* dx, PlaneSteps xs, bool margins_alone = false);

template <class T>
T* plane_of(const View<T>& v, int64_t n, int64_t c) {
  return v.data + n * v.stride[0] + c * v.stride[1];
}

template <class T>
void fill_plane(const View<T>& v, int64_t n, int64_t c, T value);

// Runs f(n, c) for every plane, in parallel; `bytes` is what one plane moves. Small planes share a task.
template <class F>
void for_each_plane(int64_t mb, int64_t channels, double bytes, F f) {
  constexpr double kTaskBytes = 64e3;
  const int64_t planes = mb * channels;
  const int64_t chunk = std::max<int64_t>(1, static_cast<int64_t>(kTaskBytes / (bytes + 1)));
  parallel_tasks(ceil_div(planes, chunk), threads_for(bytes * static_cast<double>(planes)), [&](int64_t task) {
    for (int64_t i = task * chunk; i < std::min(planes, (task + 1) * chunk); ++i) f(i / channels, i % channels);
  });
}

}  // namespace fastconv
