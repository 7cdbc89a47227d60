#include "conv/reference.hpp"

#include "base/workspace.hpp"
#include "conv/index_map.hpp"

namespace fastconv {
namespace {

// Input coordinate of tap t at output position o, or -1.
int64_t source(const ConvAxis& a, int64_t o, int64_t t) {
  return map_coordinate(a.mode, o * a.stride + t * a.dilation - a.pad_before, a.in);
}

// Calls f(x offset, w offset) for every product of one output position; offsets exclude image and channels.
template <class F>
void for_each_tap(const ConvProblem& p, const int64_t* xs, const int64_t* ws, int64_t od, int64_t oh, int64_t ow, F f) {
  for (int64_t td = 0; td < p.axis[0].k; ++td) {
    int64_t d = source(p.axis[0], od, td);
    if (d < 0) continue;
    for (int64_t th = 0; th < p.axis[1].k; ++th) {
      int64_t h = source(p.axis[1], oh, th);
      if (h < 0) continue;
      for (int64_t tw = 0; tw < p.axis[2].k; ++tw) {
        int64_t v = source(p.axis[2], ow, tw);
        if (v >= 0) f(d * xs[2] + h * xs[3] + v * xs[4], td * ws[2] + th * ws[3] + tw * ws[4]);
      }
    }
  }
}

// Calls f(n, o, od, oh, ow) for every output element.
template <class F>
void for_each_output(const ConvProblem& p, F f) {
  for (int64_t n = 0; n < p.mb; ++n)
    for (int64_t o = 0; o < p.oc; ++o)
      for (int64_t od = 0; od < p.axis[0].out; ++od)
        for (int64_t oh = 0; oh < p.axis[1].out; ++oh)
          for (int64_t ow = 0; ow < p.axis[2].out; ++ow) f(n, o, od, oh, ow);
}

template <class T>
int64_t at(const View<T>& v, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
  return n * v.stride[0] + c * v.stride[1] + d * v.stride[2] + h * v.stride[3] + w * v.stride[4];
}

}  // namespace

template <class T>
void reference_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y) {
  const int64_t cg = p.ic / p.groups, og = p.oc / p.groups;
  for_each_output(p, [&](int64_t n, int64_t o, int64_t od, int64_t oh, int64_t ow) {
    double sum = bias.data ? static_cast<double>(bias.data[o * bias.stride[0]]) : 0.0;
    for (int64_t c = 0; c < cg; ++c) {
      const T* xc = x.data + n * x.stride[0] + (o / og * cg + c) * x.stride[1];
      const T* wc = w.data + o * w.stride[0] + c * w.stride[1];
      for_each_tap(p, x.stride, w.stride, od, oh, ow,
                   [&](int64_t xi, int64_t wi) { sum += static_cast<double>(xc[xi]) * static_cast<double>(wc[wi]); });
    }
    y.data[at(y, n, o, od, oh, ow)] = static_cast<T>(sum);
  });
}

template <class T>
void reference_backward_input(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx) {
  const int64_t cg = p.ic / p.groups, og = p.oc / p.groups;
  const int64_t id = p.axis[0].in, ih = p.axis[1].in, iw = p.axis[2].in;
  Vector<double> plane(static_cast<size_t>(id * ih * iw));
  const int64_t dense[5] = {0, 0, ih * iw, iw, 1};
  for (int64_t n = 0; n < p.mb; ++n)
    for (int64_t c = 0; c < p.ic; ++c) {
      for (auto& v : plane) v = bias.data ? static_cast<double>(bias.data[c * bias.stride[0]]) : 0.0;
      for (int64_t o = c / cg * og; o < (c / cg + 1) * og; ++o) {
        const T* wc = w.data + o * w.stride[0] + c % cg * w.stride[1];
        for (int64_t od = 0; od < p.axis[0].out; ++od)
          for (int64_t oh = 0; oh < p.axis[1].out; ++oh)
            for (int64_t ow = 0; ow < p.axis[2].out; ++ow) {
              double g = static_cast<double>(dy.data[at(dy, n, o, od, oh, ow)]);
              for_each_tap(p, dense, w.stride, od, oh, ow, [&](int64_t xi, int64_t wi) {
                plane[static_cast<size_t>(xi)] += g * static_cast<double>(wc[wi]);
              });
            }
      }
      for (int64_t d = 0; d < id; ++d)
        for (int64_t h = 0; h < ih; ++h)
          for (int64_t v = 0; v < iw; ++v)
            dx.data[at(dx, n, c, d, h, v)] = static_cast<T>(plane[static_cast<size_t>((d * ih + h) * iw + v)]);
    }
}

template <class T>
void reference_backward_weight(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) {
  const int64_t cg = p.ic / p.groups, og = p.oc / p.groups;
  const int64_t kh = p.axis[1].k, kw = p.axis[2].k;
  const int64_t dense[5] = {0, 0, kh * kw, kw, 1};
  Vector<double> sums(static_cast<size_t>(p.taps()));
  for (int64_t o = 0; o < p.oc; ++o)
    for (int64_t c = 0; c < cg; ++c) {
      sums.assign(sums.size(), 0.0);
      for (int64_t n = 0; n < p.mb; ++n) {
        const T* xc = x.data + n * x.stride[0] + (o / og * cg + c) * x.stride[1];
        for (int64_t od = 0; od < p.axis[0].out; ++od)
          for (int64_t oh = 0; oh < p.axis[1].out; ++oh)
            for (int64_t ow = 0; ow < p.axis[2].out; ++ow) {
              double g = static_cast<double>(dy.data[at(dy, n, o, od, oh, ow)]);
              for_each_tap(p, x.stride, dense, od, oh, ow, [&](int64_t xi, int64_t wi) {
                sums[static_cast<size_t>(wi)] += g * static_cast<double>(xc[xi]);
              });
            }
      }
      for (int64_t t = 0; t < p.taps(); ++t)
        dw.data[at(dw, o, c, t / (kh * kw), t / kw % kh, t % kw)] = static_cast<T>(sums[static_cast<size_t>(t)]);
    }
}

#define FASTCONV_INSTANTIATE(T)                                                                                     \
  template void reference_forward(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>);        \
  template void reference_backward_input(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>); \
  template void reference_backward_weight(const ConvProblem&, View<const T>, View<const T>, View<T>);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
