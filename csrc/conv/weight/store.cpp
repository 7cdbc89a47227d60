#include "conv/weight/store.hpp"

#include "kernels/conv.hpp"

namespace fastconv {

template <class T>
Vector<int64_t> weight_positions(const View<T>& dw, int64_t channels) {
  Vector<int64_t> at;
  at.reserve(static_cast<size_t>(channels * dw.shape[2] * dw.shape[3] * dw.shape[4]));
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t a = 0; a < dw.shape[2]; ++a)
      for (int64_t b = 0; b < dw.shape[3]; ++b)
        for (int64_t e = 0; e < dw.shape[4]; ++e)
          at.push_back(c * dw.stride[1] + a * dw.stride[2] + b * dw.stride[3] + e * dw.stride[4]);
  return at;
}

// Whether the taps of some channels stand side by side.
template <class T>
bool stand_side_by_side(const View<T>& dw, int64_t channels) {
  int64_t run = 1;
  for (int i : {4, 3, 2}) {
    if (dw.shape[i] > 1 && dw.stride[i] != run) return false;
    run *= dw.shape[i];
  }
  return channels == 1 || dw.stride[1] == run;
}

template <class T>
void store_weight_sums(const T* sums, int64_t width, Range outputs, Range channels, View<T> dw) {
  const int64_t depth = channels.size() * dw.shape[2] * dw.shape[3] * dw.shape[4];
  T* base = dw.data + outputs.begin * dw.stride[0] + channels.begin * dw.stride[1];
  if (dw.stride[0] == 1 && depth == channels.size())
    return conv_kernels<T>().copy_tile(base, dw.stride[1], sums, width, depth, outputs.size());
  const bool one = channels.size() == 1;
  if (!one && stand_side_by_side(dw, 1) && !stand_side_by_side(dw, channels.size())) {
    for (int64_t c = channels.begin; c < channels.end; ++c, sums += depth / channels.size() * width)
      store_weight_sums(sums, width, outputs, {c, c + 1}, dw);
    return;
  }
  if (stand_side_by_side(dw, channels.size()))
    return conv_kernels<T>().pack_transposed(base, dw.stride[0], sums, width, 1, outputs.size(), depth, depth);
  const Vector<int64_t> at = weight_positions(dw, channels.size());
  for (int64_t o = 0; o < outputs.size(); ++o, base += dw.stride[0])
    for (size_t i = 0; i < at.size(); ++i) base[at[i]] = sums[static_cast<int64_t>(i) * width + o];
}

#define FASTCONV_INSTANTIATE(T)                                       \
  template Vector<int64_t> weight_positions(const View<T>&, int64_t); \
  template void store_weight_sums(const T*, int64_t, Range, Range, View<T>);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
