#include "conv/tiny.hpp"

#include <utility>

#include "conv/activation.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/lanes.hpp"
#include "conv/index_map.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kTinyMacs = 2048;

bool is_tiny(const ConvProblem& p) {
  int64_t indices = 0;
  for (const ConvAxis& a : p.axis) {
    if (a.out > kTinyIndices || a.k > kTinyIndices || a.in > INT32_MAX) return false;
    indices += a.out * a.k;
  }
  return indices <= kTinyIndices && p.macs() <= kTinyMacs;
}

template <class T>
bool squares(const ConvProblem& p) {
  return sums_squares<T>(p.axis[0], p.axis[1], p.axis[2], p.ic / p.groups);
}

// What DepthwisePiece::suits says of a forward call, without pieces.
template <class T>
bool suits_depthwise(const ConvProblem& p) {
  const ConvAxis &h = p.axis[1], &w = p.axis[2];
  return depthwise_pays<T>(
      {p.ic / p.groups, p.oc / p.groups, p.taps(), h.k, h.out, w.out, w.stride, squares<T>(p), !is_plane(p.axis[0])});
}

template <class T>
void sum(const ConvProblem& p, const View<const T>& x, const View<const T>& w, const View<const T>& bias,
         const View<T>& y, Activation activation) {
  if (p.out_pixels() == 0) return;
  int32_t indices[kTinyIndices], *next = indices;
  TinyConv<T> t;
  t.images = p.mb;
  t.groups = p.groups;
  t.channels = p.ic / p.groups;
  t.rows = p.oc / p.groups;
  for (int i = 0; i < 3; ++i) {
    const ConvAxis& a = p.axis[i];
    t.out[i] = a.out;
    t.k[i] = a.k;
    t.index[i] = next;
    for (int64_t o = 0; o < a.out; ++o)
      for (int64_t u = 0; u < a.k; ++u)
        *next++ = static_cast<int32_t>(map_coordinate(a.mode, o * a.stride + u * a.dilation - a.pad_before, a.in));
  }
  t.unit_stride = p.axis[2].stride == 1;
  t.x = x.data;
  t.w = w.data;
  t.bias = bias.data;
  t.y = y.data;
  t.bias_stride = bias.stride[0];
  for (int i = 0; i < 5; ++i) t.xs[i] = x.stride[i], t.ws[i] = w.stride[i], t.ys[i] = y.stride[i];
  t.clamp = is_clamp(activation);
  t.low = clamp_low<T>(activation);
  t.high = clamp_high<T>(activation);
  conv_kernels<T>().tiny(t);
}

// The axes h and w changed for one another.
template <class T>
View<T> turned(View<T> v) {
  std::swap(v.shape[3], v.shape[4]);
  std::swap(v.stride[3], v.stride[4]);
  return v;
}
ConvProblem turned(ConvProblem p) {
  std::swap(p.axis[1], p.axis[2]);
  return p;
}

// An input gradient's axis as a forward problem's of dy: backwards along dy, or, if its taps are to be met in order of
// dy, by taps turned around.
template <class T>
void read_gradient(ConvAxis& a, bool ordered, View<T>& w, int i) {
  if (ordered) {
    a.pad_before = (a.k - 1) * a.dilation - a.pad_before;
    w.data += (w.shape[i] - 1) * w.stride[i];
    w.stride[i] = -w.stride[i];
  } else {
    a.pad_before = -a.pad_before;
    a.dilation = -a.dilation;
  }
}

}  // namespace

template <class T>
bool run_tiny_gradient(const ConvProblem& p, const View<const T>& dy, const View<const T>& w, const View<const T>& bias,
                       const View<T>& dx, Activation activation) {
  if (p.groups > 1 && p.groups != p.ic) return false;  // weights of no one stride
  for (const ConvAxis& a : p.axis)
    if (a.stride > 1 || a.in > kTinyIndices || (a.mode != Mode::zeros && a.pad_before + a.pad_after != 0)) return false;
  ConvProblem q = p;
  std::swap(q.ic, q.oc);
  for (ConvAxis& a : q.axis) std::swap(a.in, a.out), a.mode = Mode::zeros;
  if (!is_tiny(q) || use_lanes<T>(p, Direction::backward_input, Algorithm::automatic)) return false;
  const bool depthwise = suits_depthwise<T>(q), across = depthwise && !squares<T>(q);
  View<const T> taps = w;
  taps.stride[1] = w.stride[0];
  taps.stride[0] = p.groups > 1 ? p.oc / p.groups * w.stride[0] : w.stride[1];
  for (int i = 0; i < 3; ++i) read_gradient(q.axis[i], depthwise && (i == 1 || !across), taps, 2 + i);
  if (across) sum(turned(q), turned(dy), turned(taps), bias, turned(dx), activation);
  else sum(q, dy, taps, bias, dx, activation);
  return true;
}

template <class T>
bool run_tiny(const ConvProblem& p, const View<const T>& x, const View<const T>& w, const View<const T>& bias,
              const View<T>& y, Activation activation) {
  if (!is_tiny(p)) return false;
  const bool lanes = use_lanes<T>(p, Direction::forward, Algorithm::automatic);
  if (lanes && p.axis[2].stride > 1) return false;
  const bool across = !lanes && suits_depthwise<T>(p) && !squares<T>(p);
  if (across && p.axis[1].stride > 1) return false;
  if (across) sum(turned(p), turned(x), turned(w), bias, turned(y), activation);
  else sum(p, x, w, bias, y, activation);
  return true;
}

#define FASTCONV_INSTANTIATE(T)                                                                                \
  template bool run_tiny(const ConvProblem&, const View<const T>&, const View<const T>&, const View<const T>&, \
                         const View<T>&, Activation);                                                          \
  template bool run_tiny_gradient(const ConvProblem&, const View<const T>&, const View<const T>&,              \
                                  const View<const T>&, const View<T>&, Activation);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
