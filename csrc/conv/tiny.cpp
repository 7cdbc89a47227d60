#include "conv/tiny.hpp"

#include "conv/activation.hpp"
#include "conv/index_map.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kTinyMacs = 2048;

}  // namespace

bool is_tiny(const ConvProblem& p) {
  int64_t indices = 0;
  for (const ConvAxis& a : p.axis) {
    if (a.out > kTinyIndices || a.k > kTinyIndices || a.in > INT32_MAX) return false;
    indices += a.out * a.k;
  }
  return indices <= kTinyIndices && p.macs() <= kTinyMacs;
}

template <class T>
void run_tiny(const ConvProblem& p, const View<const T>& x, const View<const T>& w, const View<const T>& bias,
              const View<T>& y, Activation activation) {
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

#define FASTCONV_INSTANTIATE(T)                                                                                \
  template void run_tiny(const ConvProblem&, const View<const T>&, const View<const T>&, const View<const T>&, \
                         const View<T>&, Activation);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
