#include "kernels/layers.hpp"

#include "isa/table.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Rounds of multiply and shift, so that every bit of the index and of the key reaches every bit of the result.
FASTCONV_INLINE uint32_t scrambled(uint32_t v) {
  v ^= v >> 16;
  v *= 0x7feb352du;
  v ^= v >> 15;
  v *= 0x846ca68bu;
  return v ^ (v >> 16);
}
FASTCONV_INLINE uint32_t random_word(const DropoutKey& key, uint32_t index) {
  return scrambled(scrambled(index ^ key.first) + key.second);
}

template <class T>
void dropout(const T* x, T* y, int64_t n, const DropoutKey& key, uint32_t threshold, T scale) {
  const DropoutKey k = key;
#if defined(__clang__)  // x may be y, but nothing in between
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
  for (uint32_t i = 0; i < n; ++i) y[i] = random_word(k, i) >= threshold ? x[i] * scale : T(0);
}

template <class T>
void sgd(T* __restrict w, const T* __restrict g, T* __restrict v, int64_t n, const SgdRule<T>& rule) {
  const SgdRule<T> r = rule;
  if (!v) {
    for (int64_t i = 0; i < n; ++i) w[i] -= r.lr * (g[i] + r.weight_decay * w[i]);
  } else if (r.nesterov) {
    for (int64_t i = 0; i < n; ++i) {
      const T grad = g[i] + r.weight_decay * w[i];
      v[i] = r.momentum * v[i] + grad;
      w[i] -= r.lr * (grad + r.momentum * v[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      v[i] = r.momentum * v[i] + (g[i] + r.weight_decay * w[i]);
      w[i] -= r.lr * v[i];
    }
  }
}

FASTCONV_INLINE float root_of(float v) { return __builtin_sqrtf(v); }
FASTCONV_INLINE double root_of(double v) { return __builtin_sqrt(v); }

template <class T>
void adam(T* __restrict w, const T* __restrict g, T* __restrict m, T* __restrict s, int64_t n,
          const AdamRule<T>& rule) {
  const AdamRule<T> r = rule;
  for (int64_t i = 0; i < n; ++i) {
    const T grad = g[i] + r.weight_decay * w[i];
    m[i] = r.beta1 * m[i] + (1 - r.beta1) * grad;
    s[i] = r.beta2 * s[i] + (1 - r.beta2) * (grad * grad);
    w[i] = r.keep * w[i] - r.rate * m[i] / (root_of(s[i]) * r.root + r.eps);
  }
}

// The sum of the lanes, halves on halves.
template <int Step, class V, int... I>
FASTCONV_INLINE V folded(V v, LaneList<I...> lanes) {
  v += __builtin_shufflevector(v, v, (I ^ Step)...);
  if constexpr (Step > 1) return folded<Step / 2>(v, lanes);
  else return v;
}

// The sum of term(i) over all n, a vector at a time in four accumulators; `rest` gives the last, shorter vector with
// zeros.
template <class T, class F, class R>
FASTCONV_INLINE double summed(int64_t n, F term, R rest) {
  constexpr int64_t step = 4 * kLanes<T>;
  Vec<T> a{}, b{}, c{}, d{};
  int64_t i = 0;
  for (; i + step <= n; i += step) {
    a += term(i);
    b += term(i + kLanes<T>);
    c += term(i + 2 * kLanes<T>);
    d += term(i + 3 * kLanes<T>);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) a += term(i);
  if (i < n) b += rest(i);
  a = (a + b) + (c + d);
  return folded<kLanes<T> / 2>(a, LanesOf<Vec<T>>{})[0];
}

template <class T>
double sum(const T* x, int64_t n) {
  return summed<T>(
      n, [&](int64_t i) FASTCONV_LAMBDA { return load(x + i); },
      [&](int64_t i) FASTCONV_LAMBDA { return load_lanes(x + i, LaneRange<T>(0, n - i)); });
}

template <class T>
double relu_grad(T* g, const T* y, int64_t n) {
  auto kept = [](Vec<T> grad, Vec<T> out) FASTCONV_LAMBDA { return out <= 0 ? Vec<T>{} : grad; };
  return summed<T>(
      n,
      [&](int64_t i) FASTCONV_LAMBDA {
        const Vec<T> v = kept(load(g + i), load(y + i));
        store(g + i, v);
        return v;
      },
      [&](int64_t i) FASTCONV_LAMBDA {
        const LaneRange<T> some(0, n - i);
        const Vec<T> v = kept(load_lanes(g + i, some), load_lanes(y + i, some));
        store_lanes(g + i, v, some);
        return v;
      });
}

// The last vector of x - mean: lanes beyond the end are 0.
template <class T>
FASTCONV_INLINE Vec<T> last_deviation(const T* x, int64_t n, Vec<T> mean) {
  return first_lanes<T>(n) ? load_lanes(x, LaneRange<T>(0, n)) - mean : Vec<T>{};
}

template <class T>
double sum_square(const T* x, int64_t n, T mean) {
  const Vec<T> m = splat(mean);
  auto square = [](Vec<T> v) FASTCONV_LAMBDA { return v * v; };
  return summed<T>(
      n, [&](int64_t i) FASTCONV_LAMBDA { return square(load(x + i) - m); },
      [&](int64_t i) FASTCONV_LAMBDA { return square(last_deviation(x + i, n - i, m)); });
}

template <class T>
void grad_sums(const T* g, const T* x, int64_t n, T mean, double* sum_g, double* sum_gx) {
  const Vec<T> m = splat(mean);
  *sum_g += sum(g, n);  // g is in the first-level cache for the second sum
  *sum_gx += summed<T>(
      n, [&](int64_t i) FASTCONV_LAMBDA { return load(g + i) * (load(x + i) - m); },
      [&](int64_t i)
          FASTCONV_LAMBDA { return load_lanes(g + i, LaneRange<T>(0, n - i)) * last_deviation(x + i, n - i, m); });
}

template <class T>
void affine(const T* __restrict x, T* __restrict y, int64_t n, T mean, T scale, T shift, bool relu) {
  if (relu) {
    for (int64_t i = 0; i < n; ++i) {
      const T v = (x[i] - mean) * scale + shift;
      y[i] = v < 0 ? T(0) : v;
    }
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale + shift;
  }
}

template <class T>
void affine_grad(T* __restrict g, const T* __restrict x, int64_t n, T mean, T a, T b, T c) {
  for (int64_t i = 0; i < n; ++i) g[i] = a * g[i] + (b * (x[i] - mean) + c);
}

template <class T>
constexpr LayerFunctions<T> functions() {
  return {relu_grad<T>, dropout<T>, sgd<T>, adam<T>, sum<T>, sum_square<T>, grad_sums<T>, affine<T>, affine_grad<T>};
}

const LayerKernels kLayerKernels = {functions<float>(), functions<double>()};

}  // namespace

const LayerKernels& layer_kernels() { return kLayerKernels; }

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
