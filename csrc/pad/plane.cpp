#include "pad/plane.hpp"

#include <cstring>

namespace fastconv {
namespace {

// Rows next to each other in memory, of which many are short: those go in line, by vectors that overlap, because a call
// takes as long as fifty bytes.
template <class T>
struct ShortRow {
  typedef T Vector __attribute__((vector_size(16), aligned(alignof(T))));
  static constexpr int64_t kLanes = 16 / sizeof(T), kMost = 16 * kLanes;

  static void fill(T* y, int64_t n, T value) {
    if (n < kLanes) {
      for (int64_t i = 0; i < n; ++i) y[i] = value;
      return;
    }
    const Vector all = Vector{} + value;
    for (int64_t i = 0; i < n - kLanes; i += kLanes) *reinterpret_cast<Vector*>(y + i) = all;
    *reinterpret_cast<Vector*>(y + n - kLanes) = all;
  }
  static void copy(T* y, const T* x, int64_t n) {
    if (n > kMost) {
      std::memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
      return;
    }
    if (n < kLanes) {
      if (n & 2) std::memcpy(y, x, 2 * sizeof(T));
      if (n & 1) y[n - 1] = x[n - 1];
      return;
    }
    for (int64_t i = 0; i < n - kLanes; i += kLanes) std::memcpy(y + i, x + i, 16);
    std::memcpy(y + n - kLanes, x + n - kLanes, 16);
  }
  static void add(T* y, const T* x, int64_t n) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) *reinterpret_cast<Vector*>(y + i) += *reinterpret_cast<const Vector*>(x + i);
    for (; i < n; ++i) y[i] += x[i];
  }
};

template <class T>
void fill_row(T* y, int64_t step, int64_t n, T value) {
  if (step == 1) ShortRow<T>::fill(y, n, value);
  else
    for (int64_t o = 0; o < n; ++o) y[o * step] = value;
}

template <class T>
void copy_row(T* y, int64_t ystep, const T* x, int64_t xstep, int64_t n) {
  if (xstep == 1 && ystep == 1) ShortRow<T>::copy(y, x, n);
  else
    for (int64_t i = 0; i < n; ++i) y[i * ystep] = x[i * xstep];
}

template <class T>
void add_row(T* y, int64_t ystep, const T* x, int64_t xstep, int64_t n) {
  if (xstep == 1 && ystep == 1) ShortRow<T>::add(y, x, n);
  else
    for (int64_t i = 0; i < n; ++i) y[i * ystep] += x[i * xstep];
}

// Calls f(o, q) for every output of the margins that stands at an input, q.
template <class F>
void for_each_outside(const PlaneAxis& map, F f) {
  if (map.mode == Mode::zeros) return;
  const int64_t* source = map.margin.data();
  for (int64_t o = 0; o < map.lo; ++o) f(o, *source++);
  for (int64_t o = map.hi; o < map.out; ++o) f(o, *source++);
}

template <class T>
void gather_row(const PlaneAxis& map, const T* x, int64_t xstep, T value, T* y, int64_t ystep) {
  if (map.mode == Mode::zeros) {
    fill_row(y, ystep, map.lo, value);
    fill_row(y + map.hi * ystep, ystep, map.out - map.hi, value);
  }
  for_each_outside(map, [&](int64_t o, int64_t q) { y[o * ystep] = x[q * xstep]; });
  copy_row(y + map.lo * ystep, ystep, x + map.first() * xstep, map.stride * xstep, map.hi - map.lo);
}

template <class T>
void scatter_margins(const PlaneAxis& map, const T* dy, int64_t ystep, T* dx, int64_t xstep) {
  for_each_outside(map, [&](int64_t o, int64_t q) { dx[q * xstep] += dy[o * ystep]; });
}

template <class T>
void scatter_row(const PlaneAxis& map, const T* dy, int64_t ystep, T* dx, int64_t xstep) {
  add_row(dx + map.first() * xstep, map.stride * xstep, dy + map.lo * ystep, ystep, map.hi - map.lo);
  scatter_margins(map, dy, ystep, dx, xstep);
}

}  // namespace

// What lies between two rows of a dense plane is filled at once.
template <class T>
void gather_plane(const PlaneMap& map, const T* x, PlaneSteps xs, T value, T* y, PlaneSteps ys) {
  const bool joins = !map.margins() && ys.w == 1 && ys.h == map.w.out && ys.d == map.h.out * map.w.out;
  T* filled = y;  // up to here
  for (int64_t d = 0; d < map.d.out; ++d) {
    const int64_t sd = map.d.source(d);
    for (int64_t h = 0; h < map.h.out; ++h) {
      const int64_t sh = map.h.source(h);
      const T* from = x + sd * xs.d + sh * xs.h;
      T* row = y + d * ys.d + h * ys.h;
      if (sd < 0 || sh < 0) {
        if (!joins) fill_row(row, ys.w, map.w.out, value);
      } else if (joins) {
        T* to = row + map.w.lo;
        const int64_t n = map.w.hi - map.w.lo;
        fill_row(filled, 1, to - filled, value);
        copy_row(to, 1, from + map.w.first() * xs.w, map.w.stride * xs.w, n);
        filled = to + n;
      } else {
        gather_row(map.w, from, xs.w, value, row, ys.w);
      }
    }
  }
  if (joins) fill_row(filled, 1, y + map.d.out * ys.d - filled, value);
}

template <class T>
void scatter_plane(const PlaneMap& map, const T* dy, PlaneSteps ys, T* dx, PlaneSteps xs, bool margins_alone) {
  for (int64_t d = 0; d < map.d.out; ++d) {
    const int64_t sd = map.d.source(d);
    for (int64_t h = 0; h < map.h.out; ++h) {
      const int64_t sh = map.h.source(h);
      if (sd < 0 || sh < 0) continue;
      const T* from = dy + d * ys.d + h * ys.h;
      T* to = dx + sd * xs.d + sh * xs.h;
      if (margins_alone && map.d.inside(d) && map.h.inside(h)) scatter_margins(map.w, from, ys.w, to, xs.w);
      else scatter_row(map.w, from, ys.w, to, xs.w);
    }
  }
}

template <class T>
void fill_plane(const View<T>& v, int64_t n, int64_t c, T value) {
  for (int64_t d = 0; d < v.shape[2]; ++d)
    for (int64_t h = 0; h < v.shape[3]; ++h)
      fill_row(plane_of(v, n, c) + d * v.stride[2] + h * v.stride[3], v.stride[4], v.shape[4], value);
}

#define FASTCONV_INSTANTIATE(T)                                                             \
  template void gather_plane(const PlaneMap&, const T*, PlaneSteps, T, T*, PlaneSteps);     \
  template void scatter_plane(const PlaneMap&, const T*, PlaneSteps, T*, PlaneSteps, bool); \
  template void fill_plane(const View<T>&, int64_t, int64_t, T);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
