#include "conv/reference.hpp"

#include <algorithm>

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

// Calls f(od, oh, ow) for every output element of a plane.
template <class F>
void for_each_pixel(const ConvProblem& p, F f) {
  for (int64_t od = 0; od < p.axis[0].out; ++od)
    for (int64_t oh = 0; oh < p.axis[1].out; ++oh)
      for (int64_t ow = 0; ow < p.axis[2].out; ++ow) f(od, oh, ow);
}

}  // namespace

Numbers::Numbers(const void* at, bool is_f64, const int64_t* steps) : data(at), f64(is_f64) {
  std::copy_n(steps, 5, stride);
}

void reference_forward(const ConvProblem& p, const Numbers& x, const Numbers& w, const Numbers& bias,
                       const Numbers& y) {
  const int64_t cg = p.ic / p.groups, og = p.oc / p.groups;
  for (int64_t n = 0; n < p.mb; ++n)
    for (int64_t o = 0; o < p.oc; ++o)
      for_each_pixel(p, [&](int64_t od, int64_t oh, int64_t ow) {
        double sum = bias.data ? bias.get(o * bias.stride[0]) : 0.0;
        for (int64_t c = 0; c < cg; ++c) {
          const int64_t x0 = x.at(n, o / og * cg + c, 0, 0, 0), w0 = w.at(o, c, 0, 0, 0);
          for_each_tap(p, x.stride, w.stride, od, oh, ow,
                       [&](int64_t xi, int64_t wi) { sum += x.get(x0 + xi) * w.get(w0 + wi); });
        }
        y.set(y.at(n, o, od, oh, ow), sum);
      });
}

void reference_backward_input(const ConvProblem& p, const Numbers& dy, const Numbers& w, const Numbers& bias,
                              const Numbers& dx) {
  const int64_t cg = p.ic / p.groups, og = p.oc / p.groups;
  const int64_t ih = p.axis[1].in, iw = p.axis[2].in;
  Vector<double> plane(static_cast<size_t>(p.axis[0].in * ih * iw));
  const int64_t dense[5] = {0, 0, ih * iw, iw, 1};
  for (int64_t n = 0; n < p.mb; ++n)
    for (int64_t c = 0; c < p.ic; ++c) {
      plane.assign(plane.size(), bias.data ? bias.get(c * bias.stride[0]) : 0.0);
      for (int64_t o = c / cg * og; o < (c / cg + 1) * og; ++o)
        for_each_pixel(p, [&](int64_t od, int64_t oh, int64_t ow) {
          const int64_t w0 = w.at(o, c % cg, 0, 0, 0);
          const double g = dy.get(dy.at(n, o, od, oh, ow));
          for_each_tap(p, dense, w.stride, od, oh, ow,
                       [&](int64_t xi, int64_t wi) { plane[static_cast<size_t>(xi)] += g * w.get(w0 + wi); });
        });
      for (size_t i = 0; i < plane.size(); ++i) {
        const int64_t v = static_cast<int64_t>(i);
        dx.set(dx.at(n, c, v / (ih * iw), v / iw % ih, v % iw), plane[i]);
      }
    }
}

void reference_backward_weight(const ConvProblem& p, const Numbers& dy, const Numbers& x, const Numbers& dw) {
  const int64_t cg = p.ic / p.groups, og = p.oc / p.groups;
  const int64_t kh = p.axis[1].k, kw = p.axis[2].k;
  const int64_t dense[5] = {0, 0, kh * kw, kw, 1};
  Vector<double> sums(static_cast<size_t>(p.taps()));
  for (int64_t o = 0; o < p.oc; ++o)
    for (int64_t c = 0; c < cg; ++c) {
      sums.assign(sums.size(), 0.0);
      for (int64_t n = 0; n < p.mb; ++n)
        for_each_pixel(p, [&](int64_t od, int64_t oh, int64_t ow) {
          const int64_t x0 = x.at(n, o / og * cg + c, 0, 0, 0);
          const double g = dy.get(dy.at(n, o, od, oh, ow));
          for_each_tap(p, x.stride, dense, od, oh, ow,
                       [&](int64_t xi, int64_t wi) { sums[static_cast<size_t>(wi)] += g * x.get(x0 + xi); });
        });
      for (int64_t t = 0; t < p.taps(); ++t)
        dw.set(dw.at(o, c, t / (kh * kw), t / kw % kh, t % kw), sums[static_cast<size_t>(t)]);
    }
}

}  // namespace fastconv
