#include "conv/patches.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/correlation.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBytes = 1 << 20;     // of patches at a time, unless one image has more
constexpr int64_t kLeastChannels = 16;  // shorter sums do not repay moving their results

ConvProblem pointwise(const ConvProblem& p, int64_t images) {
  ConvProblem q;
  q.mb = images;
  q.groups = p.groups;
  q.ic = p.ic * p.taps();
  q.oc = p.oc;
  for (int i = 0; i < 3; ++i) q.axis[i].in = q.axis[i].out = p.axis[i].out;
  return q;
}

int64_t image_elements(const ConvProblem& p) { return p.ic * p.taps() * p.out_pixels(); }

// Images at a time, by one image alone.
template <class T>
int64_t images_of(const ConvProblem& p) {
  return std::max<int64_t>(1, std::min(p.mb, kBytes / (image_elements(p) * static_cast<int64_t>(sizeof(T)))));
}

// Patches, and what may have to be copied: biases and weights.
template <class T>
int64_t scratch_elements(const ConvProblem& p) {
  return images_of<T>(p) * image_elements(p) + (p.ic + p.oc * (p.ic / p.groups)) * p.taps();
}

// Dense memory of a problem's shape.
template <class T>
View<T> dense(T* data, int64_t n, int64_t c, const ConvProblem& p) {
  View<T> v;
  v.data = data;
  v.shape[0] = n, v.shape[1] = c;
  for (int i = 0; i < 3; ++i) v.shape[2 + i] = p.axis[i].out;
  for (int64_t i = 4, step = 1; i >= 0; step *= v.shape[i--]) v.stride[i] = step;
  return v;
}

// Weights (oc, ic / groups * taps) where they stand, or else copied.
template <class T>
View<const T> flat_weights(const View<const T>& w, T* copy) {
  View<const T> flat = dense<const T>(w.data, w.shape[0], w.shape[1] * w.shape[2] * w.shape[3] * w.shape[4], {});
  bool stands = true;
  for (int64_t i = 4, step = 1; i > 0; step *= w.shape[i--]) stands &= w.stride[i] == step || w.shape[i] == 1;
  if (stands) {
    flat.stride[0] = w.stride[0];
    return flat;
  }
  flat.data = copy;
  for (int64_t o = 0; o < w.shape[0]; ++o)
    for (int64_t c = 0; c < w.shape[1]; ++c)
      for (int64_t i = 0; i < w.shape[2]; ++i)
        for (int64_t j = 0; j < w.shape[3]; ++j)
          for (int64_t k = 0; k < w.shape[4]; ++k)
            *copy++ = w.data[o * w.stride[0] + c * w.stride[1] + i * w.stride[2] + j * w.stride[3] + k * w.stride[4]];
  return flat;
}

// patches (mb, ic * taps, outputs) to dx, row by row.
template <class T>
void place(const ConvProblem& p, const View<T>& patches, const View<T>& dx) {
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  const int64_t rows = d.in * h.in, plane = p.out_pixels();
  const auto& kernels = conv_kernels<T>();
  parallel_tasks(dx.shape[0] * p.ic, threads_for(4.0 * static_cast<double>(patches.size())), [&](int64_t task) {
    const int64_t n = task / p.ic, c = task % p.ic;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t i = row / h.in, j = row % h.in;
      const T* from = patches.data + n * patches.stride[0] + ((c * d.k + i % d.k) * h.k + j % h.k) * w.k * plane +
                      (i / d.k * h.out + j / h.k) * w.out;
      T* to = dx.data + n * dx.stride[0] + c * dx.stride[1] + i * dx.stride[2] + j * dx.stride[3];
      if (dx.stride[4] == 1) kernels.pack_transposed(to, w.k, from, plane, 1, w.out, w.k, w.k);
      else
        for (int64_t k = 0; k < w.in; ++k) to[k * dx.stride[4]] = from[k % w.k * plane + k / w.k];
    }
  });
}

}  // namespace

bool use_patches(const ConvProblem& p, Algorithm algorithm) {
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::direct) return false;
  for (const ConvAxis& a : p.axis)
    if (a.stride != a.k || a.dilation != 1 || a.pad_before + a.pad_after != 0 || a.in != a.k * a.out) return false;
  return p.axis[2].k > 1 && p.oc / p.groups >= kLeastChannels && p.mb * p.ic * p.out_pixels() > 0;
}

template <class T>
void run_patches(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
                 Activation activation) {
  const int64_t most = images_of<T>(p), rows = p.ic * p.taps();
  const ScratchMemory<T> memory(scratch_elements<T>(p));
  T *biases = memory.data() + most * image_elements(p), *copy = biases + rows;
  const View<const T> weights = flat_weights(w, copy);
  View<const T> row_bias;
  if (bias.data) {
    for (int64_t m = 0; m < rows; ++m) biases[m] = bias.data[m / p.taps() * bias.stride[0]];
    row_bias = dense<const T>(biases, rows, 1, {});
  }
  for (int64_t n = 0; n < p.mb; n += most) {
    const ConvProblem some = pointwise(p, std::min(most, p.mb - n));
    const View<T> patches = dense(memory.data(), some.mb, rows, some);
    dy.shape[0] = dx.shape[0] = some.mb;
    correlate_backward(some, dy, weights, row_bias, patches, activation, Algorithm::direct);
    place(p, patches, dx);
    dy.data += most * dy.stride[0];
    dx.data += most * dx.stride[0];
  }
}

template <class T>
ConvPlan plan_patches(const ConvProblem& p) {
  const int64_t images = images_of<T>(p);
  ConvPlan plan = plan_correlation<T>(pointwise(p, images), Direction::backward_input, Algorithm::direct);
  plan.shared_bytes += scratch_elements<T>(p) * static_cast<int64_t>(sizeof(T));
  plan.cost *= static_cast<double>(p.mb) / static_cast<double>(images);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                                    \
  template void run_patches(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation); \
  template ConvPlan plan_patches<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
