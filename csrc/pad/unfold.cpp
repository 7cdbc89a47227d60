#include "fastconv/pad.hpp"
#include "pad/plane.hpp"

namespace fastconv {
namespace {

// The map of every tap of every axis.
struct TapMaps {
  std::vector<PlaneAxis> axis[3];

  explicit TapMaps(const ConvProblem& p) {
    for (int i = 0; i < 3; ++i) {
      const ConvAxis& a = p.axis[i];
      for (int64_t t = 0; t < a.k; ++t)
        axis[i].emplace_back(a.mode, a.in, a.out, a.stride, t * a.dilation - a.pad_before);
    }
  }
  // Calls f(tap, map) for each tap of the kernel, row after row.
  template <class F>
  void for_each(F f) const {
    int64_t tap = 0;
    for (const PlaneAxis& d : axis[0])
      for (const PlaneAxis& h : axis[1])
        for (const PlaneAxis& w : axis[2]) f(tap++, PlaneMap{d, h, w});
  }
};

template <class T>
PlaneSteps column_steps(const ConvProblem& p, const View<T>& columns) {
  const int64_t step = columns.stride[4];
  return {p.axis[1].out * p.axis[2].out * step, p.axis[2].out * step, step};
}

template <class T>
double bytes_of_plane(const ConvProblem& p) {
  return static_cast<double>(p.taps()) * static_cast<double>(p.out_pixels()) * sizeof(T);
}

}  // namespace

template <class T>
void unfold(const ConvProblem& p, View<const T> x, View<T> columns) {
  validate(p);
  if (columns.size() == 0) return;
  const TapMaps maps(p);
  for_each_plane(p.mb, p.ic, bytes_of_plane<T>(p), [&](int64_t n, int64_t c) {
    maps.for_each([&](int64_t tap, PlaneMap map) {
      gather_plane(map, plane_of(x, n, c), plane_steps(x), T(0), plane_of(columns, n, c * p.taps() + tap),
                   column_steps(p, columns));
    });
  });
}

template <class T>
void fold(const ConvProblem& p, View<const T> columns, View<T> dx) {
  validate(p);
  if (dx.size() == 0) return;
  const TapMaps maps(p);
  for_each_plane(p.mb, p.ic, bytes_of_plane<T>(p), [&](int64_t n, int64_t c) {
    fill_plane(dx, n, c, T(0));
    maps.for_each([&](int64_t tap, PlaneMap map) {
      scatter_plane(map, plane_of(columns, n, c * p.taps() + tap), column_steps(p, columns), plane_of(dx, n, c),
                    plane_steps(dx));
    });
  });
}

#define FASTCONV_INSTANTIATE(T)                                     \
  template void unfold(const ConvProblem&, View<const T>, View<T>); \
  template void fold(const ConvProblem&, View<const T>, View<T>);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
