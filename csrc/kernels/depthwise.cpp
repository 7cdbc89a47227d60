// Convolution of few channels a group, compiled once per rung.
#include "kernels/depthwise.hpp"

#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Eight sums, the weights of a run and a vector of x share the registers; without fused multiply-add a product needs one.
#if FASTCONV_VEC_REGISTERS == 32 || defined(__FMA__)
constexpr int kRunTaps = 7;
#else
constexpr int kRunTaps = 4;
#endif

enum class Weights { scalars, vectors };
template <class T, Weights kind>
constexpr int kWeightStep = kind == Weights::vectors ? kLanes<T> : 1;

template <class T, int R, int K, Weights kind>
FASTCONV_INLINE void add_run(const T* x, int64_t row, const T* w, Vec<T> (&acc)[R]) {
  Vec<T> tap[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i)
    if constexpr (kind == Weights::vectors) tap[i] = load(w + i * kLanes<T>);
    else tap[i] = splat(w[i]);
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    const Vec<T> line = load(x);
    x += row;
    __asm__ volatile("" : "+r"(x));  // keeps the loads in their order: all of them early would spill the sums
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i)
      if (v - i >= 0 && v - i < R) acc[v - i] += tap[i] * line;
  }
}

template <class T, int R, Weights kind, int K = kRunTaps>
FASTCONV_INLINE void add_any_run(int taps, const T* x, int64_t row, const T* w, Vec<T> (&acc)[R]) {
  if constexpr (K == 1) add_run<T, R, 1, kind>(x, row, w, acc);
  else if (taps == K) add_run<T, R, K, kind>(x, row, w, acc);
  else add_any_run<T, R, kind, K - 1>(taps, x, row, w, acc);
}

template <class T, int R, Weights kind>
FASTCONV_INLINE void add_runs(const TapRun* runs, int64_t count, const T* x, int64_t row, const T* w, Vec<T> (&acc)[R]) {
  for (const TapRun *run = runs, *end = runs + count; run != end; ++run) {
    add_any_run<T, R, kind>(run->taps, x + run->x, row, w, acc);
    w += run->taps * kWeightStep<T, kind>;
  }
}

template <class T, int R>
FASTCONV_INLINE void clamp_all(T low, T high, Vec<T> (&acc)[R]) {
  const Vec<T> l = splat(low), h = splat(high);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r] = acc[r] < l ? l : acc[r];
    acc[r] = acc[r] > h ? h : acc[r];
  }
}

template <class T, int R>
void band(const Band<T>& b) {
  const T* x = b.x;
  T* y = b.y;
  for (int64_t c = 0; c < b.columns; ++c, x += b.x_step, y += b.y_step) {
    Vec<T> acc[R];
    // The lines of y are fetched while the sums are computed; the stores would otherwise wait for them all at once.
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r] = splat(b.bias), __builtin_prefetch(y + r * b.y_row, 1);
    add_runs<T, R, Weights::scalars>(b.runs, b.run_count, x, b.x_row, b.w, acc);
    if (b.clamp) clamp_all<T, R>(b.low, b.high, acc);
    if (c + 1 < b.columns || b.last == kLanes<T>) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store(y + r * b.y_row, acc[r]);
    } else {
      const LaneRange<T> lanes(0, b.last);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store_lanes(y + r * b.y_row, acc[r], lanes);
    }
  }
}

template <class T, int R>
void narrow_band(const NarrowBand<T>& b) {
  constexpr int VL = kLanes<T>;
  const T* x = b.x;
  const T* w = b.w;
  for (int64_t first = 0; first < b.planes; first += b.across, x += b.x_step, w += b.w_step) {
    Vec<T> acc[R];
    const Vec<T> init = load(b.bias + first / b.across * VL);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r] = init;
    add_runs<T, R, Weights::vectors>(b.runs, b.run_count, x, b.x_row, w, acc);
    if (b.clamp) clamp_all<T, R>(b.low, b.high, acc);
    for (int64_t i = 0; i < b.across && first + i < b.planes; ++i) {
      const LaneRange<T> lanes(i * b.pitch, b.width);
      T* y = b.y[first + i] + b.y_offset - i * b.pitch;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store_lanes(y + r * b.y_row, acc[r], lanes);
    }
  }
}

template <class T>
FASTCONV_INLINE void copy_row(T* d, const T* s, int64_t n) {
  constexpr int VL = kLanes<T>;
  int64_t i = 0;
  for (; i + VL <= n; i += VL) store(d + i, load(s + i));
  if (i == n) return;
  const LaneRange<T> rest(0, n - i);
  store_lanes(d + i, load_lanes(s + i, rest), rest);
}
// Every second element.
template <class T>
FASTCONV_INLINE void copy_even(T* d, const T* s, int64_t n) {
  constexpr int VL = kLanes<T>;
  int64_t i = 0;
  for (; i + VL < n; i += VL) store(d + i, even_lanes(load(s + 2 * i), load(s + 2 * i + VL)));
  for (; i < n; ++i) d[i] = s[2 * i];
}

template <class T>
void pack(const PackChannel<T>& c) {
  for (const PackRun* r = c.runs; r != c.runs + c.run_count; ++r)
    for (const PackLine* line = c.lines; line != c.lines + c.line_count; ++line) {
      T* d = c.dst + line->dst + r->dst;
      const T* s = c.src + line->src + r->src;
      if (r->step == 1) copy_row(d, s, r->length);
      else if (r->step == 2) copy_even(d, s, r->length);
      else
        for (int64_t i = 0; i < r->length; ++i) d[i] = s[i * r->step];
    }
}

template <class T>
void unpack(T* d, int64_t step, const T* even, const T* odd, int64_t n) {
  constexpr int VL = kLanes<T>;
  int64_t i = 0;
  if (!odd) {
    for (; i < n; ++i) d[i * step] = even[i];
    return;
  }
  if (step == 1)
    for (; i + 2 * VL <= n; i += 2 * VL) {
      const Vec<T> e = load(even + i / 2), o = load(odd + i / 2);
      store(d + i, zip_low(e, o));
      store(d + i + VL, zip_high(e, o));
    }
  for (; i < n; ++i) d[i * step] = i % 2 ? odd[i / 2] : even[i / 2];
}

template <class T>
void spread(T* dst, const T* const* src, const int64_t* position, int64_t count, int64_t across, int64_t pitch) {
  for (int64_t k = 0; k < count; ++k, dst += kLanes<T>)
    for (int64_t i = 0; i < across; ++i) store(dst + i * pitch, splat(src[i][position[k]]));
}

template <class T>
constexpr DepthwiseKernelsOf<T> make_kernels() {
  return {kLanes<T>,
          kRunTaps,
          {band<T, 1>, band<T, 2>, band<T, 3>, band<T, 4>, band<T, 5>, band<T, 6>, band<T, 7>, band<T, 8>},
          {narrow_band<T, 1>, narrow_band<T, 2>, narrow_band<T, 3>, narrow_band<T, 4>, narrow_band<T, 5>, narrow_band<T, 6>, narrow_band<T, 7>, narrow_band<T, 8>},
          pack<T>,
          spread<T>,
          unpack<T>};
}

}  // namespace

const DepthwiseKernels& depthwise_kernels() {
  static constexpr DepthwiseKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
