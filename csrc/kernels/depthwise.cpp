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

template <class T, Weights kind>
FASTCONV_INLINE Vec<T> weight(const T* w, int i) {
  if constexpr (kind == Weights::vectors) return load(w + i * kLanes<T>);
  else return splat(w[i]);
}

// Tap by tap, not line by line: R sums in turn hide the latency of an addition.
template <class T, int R, int K, Weights kind>
FASTCONV_INLINE void add_run(const T* x, int64_t row, const T* w, Vec<T> (&acc)[R]) {
#if FASTCONV_VEC_REGISTERS == 32
  Vec<T> line[R + K - 1];
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    line[v] = load(x);
    x += row;
    if (v < R - 1) continue;
    const Vec<T> tap = weight<T, kind>(w, v - R + 1);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r] += tap * line[v - R + 1 + r];
    __asm__ volatile("" : "+r"(x));  // keeps the taps apart, else all are loaded early and the sums spill
  }
#else
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i, x += row) {  // a line is loaded again for each tap: registers are few
    const Vec<T> tap = weight<T, kind>(w, i);
    const T* line = x;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r, line += row) acc[r] += tap * load(line);
    __asm__ volatile("" : "+r"(x));
  }
#endif
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
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r] = splat(b.bias);
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

// The sums of a run's taps, each over R products: lanes outside `keep` are left out where Masked (dy is zero there, but
// x might be infinite).
template <class T, int R, int K, bool Masked>
FASTCONV_INLINE void add_dots(const T* x, int64_t row, const Vec<T> (&dy)[R], Mask<T> keep, T* sums) {
  Vec<T> acc[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) acc[i] = load(sums + i * kLanes<T>);
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    Vec<T> line = load(x);
    if constexpr (Masked) line = keep ? line : Vec<T>{};
    x += row;
    __asm__ volatile("" : "+r"(x));  // line after line: all of them early would spill
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i)
      if (v - i >= 0 && v - i < R) acc[i] += dy[v - i] * line;
  }
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) store(sums + i * kLanes<T>, acc[i]);
}

template <class T, int R, bool Masked, int K = kRunTaps>
FASTCONV_INLINE void add_any_dots(int taps, const T* x, int64_t row, const Vec<T> (&dy)[R], Mask<T> keep, T* sums) {
  if constexpr (K == 1) add_dots<T, R, 1, Masked>(x, row, dy, keep, sums);
  else if (taps == K) add_dots<T, R, K, Masked>(x, row, dy, keep, sums);
  else add_any_dots<T, R, Masked, K - 1>(taps, x, row, dy, keep, sums);
}

template <class T, int R, bool Masked>
FASTCONV_INLINE void dots_of_column(const TapRun* runs, int64_t count, const T* x, int64_t row, const T* dy, int64_t dy_row, Mask<T> keep,
                                    const LaneRange<T>& lanes, T* sums) {
  Vec<T> d[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) d[r] = Masked ? load_lanes(dy + r * dy_row, lanes) : load(dy + r * dy_row);
  for (const TapRun *run = runs, *end = runs + count; run != end; ++run) {
    add_any_dots<T, R, Masked>(run->taps, x + run->x, row, d, keep, sums);
    sums += run->taps * kLanes<T>;
  }
}

template <class T, int R>
void band_dots(const BandDots<T>& b) {
  const T *x = b.x, *dy = b.dy;
  const bool whole = b.last == kLanes<T>;
  const LaneRange<T> lanes(0, b.last);
  int64_t c = 0;
  for (; c < b.columns - !whole; ++c, x += b.x_step, dy += b.dy_step)
    dots_of_column<T, R, false>(b.runs, b.run_count, x, b.x_row, dy, b.dy_row, Mask<T>{}, lanes, b.sums + (c % 2) * b.taps * kLanes<T>);
  if (!whole) dots_of_column<T, R, true>(b.runs, b.run_count, x, b.x_row, dy, b.dy_row, first_lanes<T>(b.last), lanes, b.sums + (c % 2) * b.taps * kLanes<T>);
}

template <class T, int R>
void narrow_dots(const NarrowDots<T>& b) {
  const T *x = b.x, *dy = b.dy;
  T* sums = b.sums;
  Mask<T> keep{};
  for (int64_t i = 0; i < b.across; ++i) keep |= first_lanes<T>(i * b.pitch + b.width) & ~first_lanes<T>(i * b.pitch);
  const LaneRange<T> all(0, kLanes<T>);
  for (int64_t c = 0; c < b.columns; ++c, x += b.x_step, dy += b.x_step, sums += b.taps * kLanes<T>)
    dots_of_column<T, R, true>(b.runs, b.run_count, x, b.x_row, dy, b.dy_row, keep, all, sums);
}

template <int S, class V, int... I>
FASTCONV_INLINE V exchanged(V a, LaneList<I...>) {
  return __builtin_shufflevector(a, a, (I ^ S)...);
}
template <class T, int S = kLanes<T> / 2>
FASTCONV_INLINE T add_lanes(Vec<T> v) {
  if constexpr (S == 0) return v[0];
  else return add_lanes<T, S / 2>(v + exchanged<S>(v, LanesOf<Vec<T>>{}));
}

template <class T>
void lane_sums(T* dst, const T* sums, int64_t count, int64_t first, int64_t n) {
  const LaneRange<T> lanes(first, n);
  for (int64_t i = 0; i < count; ++i) dst[i] = add_lanes<T>(load_lanes(sums + i * kLanes<T>, lanes));
}

// Lines of one run. What is stored cannot change the loop's bounds: they are in registers.
template <class T, class F>
FASTCONV_INLINE void for_each_line(const PackChannel<T>& c, const PackRun& run, F copy) {
  const PackLine *line = c.lines, *end = line + c.line_count;
  T* dst = c.dst + run.dst;
  const T* src = c.src + run.src;
  for (; line != end; ++line) copy(dst + line->dst, src + line->src);
}

template <class T>
void pack(const PackChannel<T>& c) {
  constexpr int VL = kLanes<T>;
  for (int64_t i = 0; i < c.run_count; ++i) {
    const PackRun run = c.runs[i];
    const int64_t n = run.length, step = run.step;
    if (step == 1) {
      const int64_t whole = n / VL * VL;
      const LaneRange<T> rest(0, n - whole);
      for_each_line(c, run, [=](T* d, const T* s) FASTCONV_LAMBDA {
        for (int64_t j = 0; j < whole; j += VL) store(d + j, load(s + j));
        if (whole < n) store_lanes(d + whole, load_lanes(s + whole, rest), rest);
      });
    } else if (step == 2) {
      // Two vectors of x give one; the second of the last two may end beyond the run, and by so much is read less.
      const int64_t whole = (n - 1) / VL * VL, left = n - whole;
      const LaneRange<T> low(0, 2 * left - 1 < VL ? 2 * left - 1 : VL), high(0, 2 * left - 1 > VL ? 2 * left - 1 - VL : 0), rest(0, left);
      for_each_line(c, run, [=](T* d, const T* s) FASTCONV_LAMBDA {
        for (int64_t j = 0; j < whole; j += VL) store(d + j, even_lanes(load(s + 2 * j), load(s + 2 * j + VL)));
        store_lanes(d + whole, even_lanes(load_lanes(s + 2 * whole, low), load_lanes(s + 2 * whole + VL, high)), rest);
      });
    } else {
      for_each_line(c, run, [=](T* d, const T* s) FASTCONV_LAMBDA {
        for (int64_t j = 0; j < n; ++j) d[j] = s[j * step];
      });
    }
  }
}

template <class T>
void unpack(T* d, int64_t step, const T* even, const T* odd, int64_t n) {
  constexpr int64_t VL = kLanes<T>;
  if (!odd) {
    for (int64_t i = 0; i < n; ++i) d[i * step] = even[i];
  } else if (step != 1) {
    for (int64_t i = 0; i < n; ++i) d[i * step] = i % 2 ? odd[i / 2] : even[i / 2];
  } else {
    for (int64_t i = 0; i < n; i += 2 * VL, even += VL, odd += VL) {
      const Vec<T> e = load(even), o = load(odd), low = zip_low(e, o), high = zip_high(e, o);
      const int64_t left = n - i;
      if (left >= 2 * VL) {
        store(d + i, low);
        store(d + i + VL, high);
      } else {
        store_lanes(d + i, low, LaneRange<T>(0, left < VL ? left : VL));
        if (left > VL) store_lanes(d + i + VL, high, LaneRange<T>(0, left - VL));
      }
    }
  }
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
          {band_dots<T, 1>, band_dots<T, 2>, band_dots<T, 3>, band_dots<T, 4>, band_dots<T, 5>, band_dots<T, 6>, band_dots<T, 7>, band_dots<T, 8>},
          {narrow_dots<T, 1>, narrow_dots<T, 2>, narrow_dots<T, 3>, narrow_dots<T, 4>, narrow_dots<T, 5>, narrow_dots<T, 6>, narrow_dots<T, 7>, narrow_dots<T, 8>},
          lane_sums<T>,
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
