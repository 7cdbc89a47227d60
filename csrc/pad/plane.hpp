// Planes (d, h, w) of one channel, gathered from another plane through an index map per axis, and the adjoint.
// Padding is a plane gathered once; the windows of a kernel are planes gathered once a tap.
#pragma once
#include <algorithm>
#include <cstring>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/index_map.hpp"

namespace fastconv {

// Output o of an axis stands at input coordinate map(o * stride + shift), or at none (-1). Outputs [lo, hi) lie inside
// the input and need no mapping; only the margins before and behind them are kept as a table.
struct PlaneAxis {
  int64_t out, stride, shift, lo, hi;
  Vector<int64_t> margin;  // sources of [0, lo), then of [hi, out)

  PlaneAxis(Mode mode, int64_t in, int64_t out_, int64_t stride_, int64_t shift_)
      : out(out_), stride(stride_), shift(shift_) {
    auto first_at = [&](int64_t q) { return q <= shift ? 0 : std::min(out, (q - shift - 1) / stride + 1); };
    lo = first_at(0);
    hi = std::max(lo, first_at(in));
    margin.reserve(static_cast<size_t>(lo + out - hi));
    for (int64_t o = 0; o < lo; ++o) margin.push_back(map_coordinate(mode, o * stride + shift, in));
    for (int64_t o = hi; o < out; ++o) margin.push_back(map_coordinate(mode, o * stride + shift, in));
  }
  int64_t source(int64_t o) const {
    if (o >= lo && o < hi) return o * stride + shift;
    return margin[static_cast<size_t>(o < lo ? o : lo + o - hi)];
  }
};

struct PlaneMap {
  const PlaneAxis &d, &h, &w;
};

template <class T>
void fill_row(T* y, int64_t step, int64_t n, T value) {
  if (step == 1) std::fill_n(y, n, value);
  else
    for (int64_t o = 0; o < n; ++o) y[o * step] = value;
}

// Calls f(o, q) for every output of the margins, q the input coordinate it stands at or -1.
template <class F>
void for_each_outside(const PlaneAxis& map, F f) {
  for (int64_t o = 0; o < map.lo; ++o) f(o, map.source(o));
  for (int64_t o = map.hi; o < map.out; ++o) f(o, map.source(o));
}

template <class T>
void gather_row(const PlaneAxis& map, const T* x, int64_t xstep, T value, T* y, int64_t ystep) {
  for_each_outside(map, [&](int64_t o, int64_t q) { y[o * ystep] = q < 0 ? value : x[q * xstep]; });
  if (map.lo == map.hi) return;
  const T* from = x + map.source(map.lo) * xstep;
  T* to = y + map.lo * ystep;
  const int64_t n = map.hi - map.lo, step = map.stride * xstep;
  if (step == 1 && ystep == 1) std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
  else
    for (int64_t i = 0; i < n; ++i) to[i * ystep] = from[i * step];
}

template <class T>
void scatter_row(const PlaneAxis& map, const T* dy, int64_t ystep, T* dx, int64_t xstep) {
  if (map.lo < map.hi) {
    const T* from = dy + map.lo * ystep;
    T* to = dx + map.source(map.lo) * xstep;
    const int64_t n = map.hi - map.lo, step = map.stride * xstep;
    if (step == 1 && ystep == 1)
      for (int64_t i = 0; i < n; ++i) to[i] += from[i];
    else
      for (int64_t i = 0; i < n; ++i) to[i * step] += from[i * ystep];
  }
  for_each_outside(map, [&](int64_t o, int64_t q) {
    if (q >= 0) dx[q * xstep] += dy[o * ystep];
  });
}

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
__attribute__((noinline)) void gather_plane(const PlaneMap& map, const T* x, PlaneSteps xs, T value, T* y,
                                            PlaneSteps ys) {
  for (int64_t d = 0; d < map.d.out; ++d)
    for (int64_t h = 0; h < map.h.out; ++h) {
      const int64_t sd = map.d.source(d), sh = map.h.source(h);
      T* row = y + d * ys.d + h * ys.h;
      if (sd < 0 || sh < 0) fill_row(row, ys.w, map.w.out, value);
      else gather_row(map.w, x + sd * xs.d + sh * xs.h, xs.w, value, row, ys.w);
    }
}

// dx[map(o)] += dy[o], in the order of o.
template <class T>
__attribute__((noinline)) void scatter_plane(const PlaneMap& map, const T* dy, PlaneSteps ys, T* dx, PlaneSteps xs) {
  for (int64_t d = 0; d < map.d.out; ++d)
    for (int64_t h = 0; h < map.h.out; ++h) {
      const int64_t sd = map.d.source(d), sh = map.h.source(h);
      if (sd >= 0 && sh >= 0) scatter_row(map.w, dy + d * ys.d + h * ys.h, ys.w, dx + sd * xs.d + sh * xs.h, xs.w);
    }
}

template <class T>
T* plane_of(const View<T>& v, int64_t n, int64_t c) {
  return v.data + n * v.stride[0] + c * v.stride[1];
}

template <class T>
__attribute__((noinline)) void fill_plane(const View<T>& v, int64_t n, int64_t c, T value) {
  for (int64_t d = 0; d < v.shape[2]; ++d)
    for (int64_t h = 0; h < v.shape[3]; ++h)
      fill_row(plane_of(v, n, c) + d * v.stride[2] + h * v.stride[3], v.stride[4], v.shape[4], value);
}

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
