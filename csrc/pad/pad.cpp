#include "fastconv/pad.hpp"

#include <string>

#include "base/message.hpp"
#include "pad/plane.hpp"

namespace fastconv {
namespace {

// The part of an axis that its mode continues outside: all of it, but a circular axis wraps what cropping leaves.
struct Kept {
  int64_t first, size;
};
Kept kept(const PadAxis& a) {
  if (a.mode != Mode::circular) return {0, a.in};
  const int64_t first = std::max<int64_t>(-a.before, 0);
  return {first, a.in - first - std::max<int64_t>(-a.after, 0)};
}

PlaneAxis axis_map(const PadAxis& a) {
  const Kept k = kept(a);
  return PlaneAxis(a.mode, k.size, a.out(), 1, -a.before - k.first);
}

// Of the gradient, where each element of x went that was not lost.
PlaneAxis inverse_map(const PadAxis& a) { return PlaneAxis(Mode::zeros, a.out(), a.in, 1, a.before); }

struct PadMaps {
  PlaneAxis d, h, w;
  PadMaps(const PadProblem& p, PlaneAxis map(const PadAxis&))
      : d(map(p.axis[2])), h(map(p.axis[3])), w(map(p.axis[4])) {}
  PlaneMap plane() const { return {d, h, w}; }
};

// The first value that the plane maps count from.
template <class T>
T* origin(const PadProblem& p, View<T> x, int64_t n, int64_t c) {
  T* data = plane_of(x, n, c);
  for (int i = 2; i < 5; ++i) data += kept(p.axis[i]).first * x.stride[i];
  return data;
}

template <class T>
double plane_bytes(const View<T>& v) {
  return static_cast<double>(v.shape[2]) * v.shape[3] * v.shape[4] * sizeof(T);
}

}  // namespace

void validate(const PadProblem& p) {
  int64_t size = 8;
  for (const PadAxis& a : p.axis) {
    auto fail = [&a](std::initializer_list<Word> why) {
      invalid({"pad: (", a.before, ", ", a.after, ") on an axis of size ", a.in, " ", message(why)});
    };
    if (a.before < -a.in || a.after < -a.in) fail({"crops more than there is"});
    const int64_t out = checked_add(checked_add(a.in, a.before, "pad"), a.after, "pad");
    if (out < 0) fail({"crops more than there is"});
    if (a.mode != Mode::zeros && out > 0 && kept(a).size <= 0)
      fail({"leaves no value for mode='", mode_name(a.mode), "' to pad with"});
    size = checked_mul(size, std::max<int64_t>(out, 1), "pad");
  }
  for (int i = 0; i < 2; ++i)
    if (p.axis[i].mode != Mode::zeros && (p.axis[i].before || p.axis[i].after))
      invalid({"pad: mode='", mode_name(p.axis[i].mode), "' pads the last three axes only"});
}

template <class T>
void pad(const PadProblem& p, View<const T> x, T value, View<T> y) {
  validate(p);
  if (y.size() == 0) return;
  const PadMaps maps(p, axis_map);
  for_each_plane(y.shape[0], y.shape[1], plane_bytes(y), [&](int64_t n, int64_t c) {
    const int64_t sn = n - p.axis[0].before, sc = c - p.axis[1].before;
    if (sn >= 0 && sn < x.shape[0] && sc >= 0 && sc < x.shape[1])
      gather_plane(maps.plane(), origin(p, x, sn, sc), plane_steps(x), value, plane_of(y, n, c), plane_steps(y));
    else fill_plane(y, n, c, value);
  });
}

template <class T>
void pad_backward(const PadProblem& p, View<const T> dy, View<T> dx) {
  validate(p);
  if (dx.size() == 0) return;
  const PadMaps inverse(p, inverse_map), maps(dy.size() > 0 ? p : PadProblem{}, axis_map);
  for_each_plane(dx.shape[0], dx.shape[1], plane_bytes(dx) + plane_bytes(dy), [&](int64_t n, int64_t c) {
    const int64_t on = n + p.axis[0].before, oc = c + p.axis[1].before;
    if (on < 0 || on >= dy.shape[0] || oc < 0 || oc >= dy.shape[1]) return fill_plane(dx, n, c, T(0));
    const T* from = plane_of(dy, on, oc);
    gather_plane(inverse.plane(), from, plane_steps(dy), T(0), plane_of(dx, n, c), plane_steps(dx));
    if (maps.plane().margins())
      scatter_plane(maps.plane(), from, plane_steps(dy), origin(p, dx, n, c), plane_steps(dx), true);
  });
}

#define FASTCONV_INSTANTIATE(T)                                    \
  template void pad(const PadProblem&, View<const T>, T, View<T>); \
  template void pad_backward(const PadProblem&, View<const T>, View<T>);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
