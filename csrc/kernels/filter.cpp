#include "kernels/filter.hpp"

#include "isa/table.hpp"
#include "kernels/masked.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

template <class T>
struct Whole {
  FASTCONV_INLINE Vec<T> get(const T* p) const { return load(p); }
  FASTCONV_INLINE void put(T* p, Vec<T> v) const { store(p, v); }
};
template <class T>
struct Part {
  LaneRange<T> lanes;
  FASTCONV_INLINE Vec<T> get(const T* p) const { return load_lanes(p, lanes); }
  FASTCONV_INLINE void put(T* p, Vec<T> v) const { store_lanes(p, v, lanes); }
};

struct Sum {
  template <class V>
  static FASTCONV_INLINE V join(V a, V b) {
    return a + b;
  }
};
struct Max {
  template <class V>
  static FASTCONV_INLINE V join(V a, V b) {
    return or_nan(larger(a, b), a);
  }
};
struct Min {
  template <class V>
  static FASTCONV_INLINE V join(V a, V b) {
    return or_nan(smaller(a, b), a);
  }
};

// N vectors of one row, or of one output.
template <class T, int N>
struct Strip {
  Vec<T> v[N];
  template <class Reach>
  static FASTCONV_INLINE Strip of(const T* p, Reach reach) {
    Strip s;
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) s.v[n] = reach.get(p + n * kLanes<T>);
    return s;
  }
  template <class Reach>
  FASTCONV_INLINE void to(T* p, Reach reach) const {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) reach.put(p + n * kLanes<T>, v[n]);
  }
};

template <class Op, class T, int N>
FASTCONV_INLINE Strip<T, N> joined(Strip<T, N> a, const Strip<T, N>& b) {
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) a.v[n] = Op::join(a.v[n], b.v[n]);
  return a;
}

template <class T, int N, class Reach>
FASTCONV_INLINE void put(const FilterRows<T>& g, int64_t output, int64_t i, Strip<T, N> s, Reach reach) {
  if (g.divisor != T(1)) {
    const Vec<T> divisor = splat(g.divisor);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) s.v[n] /= divisor;
  }
  s.to(g.y + output * g.y_step + i, reach);
}

// The rows that all outputs have under them are joined once; then each output's own.
template <class Op>
struct Join {
  template <class T, int R, int N, class Reach>
  static FASTCONV_INLINE void run(const FilterRows<T>& g, int64_t i, Reach reach) {
    auto row = [&](int64_t t) FASTCONV_LAMBDA { return Strip<T, N>::of(g.rows[t] + i, reach); };
    auto core = row(R - 1);
    for (int64_t t = R; t < g.taps; ++t) core = joined<Op>(core, row(t));
    if constexpr (R == 1) {
      put(g, 0, i, core, reach);
    } else {
      static_assert(R == 4, "written out for four outputs");
      const auto a = row(2), b = joined<Op>(row(1), a), c = row(g.taps), d = joined<Op>(c, row(g.taps + 1));
      put(g, 0, i, joined<Op>(joined<Op>(row(0), b), core), reach);
      put(g, 1, i, joined<Op>(joined<Op>(b, core), c), reach);
      put(g, 2, i, joined<Op>(joined<Op>(a, core), d), reach);
      put(g, 3, i, joined<Op>(core, joined<Op>(d, row(g.taps + 2))), reach);
    }
  }
};

// Each row goes to all outputs that have it under them.
struct Weigh {
  template <class T, int R, int N, class Reach>
  static FASTCONV_INLINE void run(const FilterRows<T>& g, int64_t i, Reach reach) {
    Strip<T, N> sums[R] = {};
    auto add = [&](int64_t t, int from, int to) FASTCONV_LAMBDA {
      const auto row = Strip<T, N>::of(g.rows[t] + i, reach);
#pragma GCC unroll 8
      for (int j = from; j < to; ++j) {
        const Vec<T> weight = splat(g.weights[t - j]);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) sums[j].v[n] += weight * row.v[n];
      }
    };
#pragma GCC unroll 8
    for (int t = 0; t < R - 1; ++t) add(t, 0, t + 1);
    for (int64_t t = R - 1; t < g.taps; ++t) add(t, 0, R);
#pragma GCC unroll 8
    for (int t = 1; t < R; ++t) add(g.taps + t - 1, t, R);
#pragma GCC unroll 8
    for (int j = 0; j < R; ++j) sums[j].to(g.y + j * g.y_step + i, reach);
  }
};

template <class Step, class T, int R, int N>
void over_columns(const FilterRows<T>& g) {
  int64_t i = 0;
  for (; i + N * kLanes<T> <= g.count; i += N * kLanes<T>) Step::template run<T, R, N>(g, i, Whole<T>{});
  for (; i < g.count; i += kLanes<T>) {
    const int64_t left = g.count - i;
    Step::template run<T, R, 1>(g, i, Part<T>{LaneRange<T>(0, left < kLanes<T> ? left : kLanes<T>)});
  }
}

template <class Step, class T>
void step(const FilterRows<T>& g) {
  if constexpr (kSmallCode) {  // one output after the other
    FilterRows<T> one = g;
    for (int64_t o = 0; o < g.outputs; ++o, ++one.rows, one.y += g.y_step) over_columns<Step, T, 1, 2>(one);
  } else {
    if (g.outputs == 1) over_columns<Step, T, 1, 4>(g);
    else over_columns<Step, T, kFilterRows, 2>(g);
  }
}

template <class T>
constexpr FilterFunctions<T> functions() {
  return {step<Weigh, T>, step<Join<Sum>, T>, step<Join<Max>, T>, step<Join<Min>, T>};
}

const FilterKernels kFilterKernels = {functions<float>(), functions<double>()};

}  // namespace

const FilterKernels& filter_kernels() { return kFilterKernels; }

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
