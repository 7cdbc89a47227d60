// Convolution of few channels a group, compiled once per rung.
#include "kernels/depthwise.hpp"

#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Eight sums, the weights of a run and a vector of x share the registers; without fused multiply-add a product needs
// one.
#if FASTCONV_VEC_REGISTERS == 32 || defined(__FMA__)
constexpr int kRunTaps = 7;
#else
constexpr int kRunTaps = 4;
#endif

// The compiler would load some lines twice, as operands of their products: across cache lines each load counts twice.
#if defined(__AVX2__)
#define FASTCONV_LOADED(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define FASTCONV_LOADED(v) __asm__("" : "+w"(v))
#else
#define FASTCONV_LOADED(v)
#endif

// Whether squares at a stride of two, and images where they stand, are read in parts of vectors.
#if defined(__AVX2__)
constexpr bool kReadsParts = true;
#else
constexpr bool kReadsParts = false;
#endif
#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

// Some lanes of vectors, the others zero: only they are read, unless a rung cannot; then all may be.
template <class T>
struct Part {
  static constexpr bool kAll = false;
  LaneRange<T> lanes;
  Mask<T> keep;
  // Those of a vector at element `at` of a line that are within it.
  FASTCONV_INLINE Part(int64_t at, int64_t width, int64_t most = kLanes<T>) : Part(range(at, width, most)) {}
  FASTCONV_INLINE Vec<T> load(const T* p) const {
    if constexpr (kReadsParts) return load_lanes(p, lanes);
    else return keep ? isa_load(p) : Vec<T>{};
  }

 private:
  struct Range {
    int64_t first, n;
  };
  static FASTCONV_INLINE Vec<T> isa_load(const T* p) { return FASTCONV_ISA_NS::load(p); }
  static FASTCONV_INLINE Range range(int64_t at, int64_t width, int64_t most) {
    const int64_t first = at < 0 ? (at < -most ? most : -at) : 0, left = width - at, end = left < most ? left : most;
    return {first, end > first ? end - first : 0};
  }
  FASTCONV_INLINE explicit Part(Range r)
      : lanes(r.first, r.n), keep(first_lanes<T>(r.first + r.n) & ~first_lanes<T>(r.first)) {}
};
// All lanes.
template <class T>
struct Whole {
  static constexpr bool kAll = true;
  FASTCONV_INLINE Whole(int64_t, int64_t, int64_t = 0) {}
  FASTCONV_INLINE Vec<T> load(const T* p) const { return FASTCONV_ISA_NS::load(p); }
};

// C columns of R sums take one line of x at a time, which meets all its taps.
template <class T, int R, int C, int K, class Lanes>
FASTCONV_INLINE void add_run(const T* const* lines, int64_t x, const Lanes (&lanes)[C], const T* w,
                             Vec<T> (&acc)[C][R]) {
  Vec<T> tap[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) tap[i] = splat(w[i]);
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    const T* from = lines[v] + x;
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) {
      Vec<T> line = lanes[c].load(from + c * kLanes<T>);
      FASTCONV_LOADED(line);
#pragma GCC unroll 8
      for (int i = K - 1; i >= 0; --i)
        if (v - i >= 0 && v - i < R) acc[c][v - i] += tap[i] * line;
    }
    __asm__ volatile("" : "+r"(lines));  // line after line: all of them early would spill
  }
}

template <class T, int R, int C, class Lanes, int K = kRunTaps>
FASTCONV_INLINE void add_any_run(int taps, const T* const* lines, int64_t x, const Lanes (&lanes)[C], const T* w,
                                 Vec<T> (&acc)[C][R]) {
  if constexpr (K == 1) add_run<T, R, C, 1>(lines, x, lanes, w, acc);
  else if (taps == K) add_run<T, R, C, K>(lines, x, lanes, w, acc);
  else add_any_run<T, R, C, Lanes, K - 1>(taps, lines, x, lanes, w, acc);
}

// Lines of the next channel: they lie far apart, so that nothing else fetches them. A call, for the sake of the loops
// it is in.
template <class T, int C>
__attribute__((noinline)) void fetch_lines(const T* const* lines, int64_t n, int64_t at) {
  for (int64_t i = 0; i < n; ++i)
#pragma GCC unroll 3
    for (int c = 0; c <= C; ++c) __builtin_prefetch(lines[i] + at + c * kLanes<T>);
}

template <class T, int R, int C, class Lanes>
FASTCONV_INLINE void add_runs(const Band<T>& b, int64_t column, Vec<T> (&acc)[C][R]) {
  const T* w = b.w;
  for (const TapRun *run = b.runs, *end = run + b.run_count; run != end; ++run) {
    const int64_t at = column + run->x;
    if (run + 1 != end && run[1].line - run->line > kRunTaps)
      fetch_lines<T, C>(b.lines.line + run[1].line, R + run[1].taps - 1, column + run[1].x);
    if constexpr (C == 1)
      add_any_run<T, R, C>(run->taps, b.lines.line + run->line, at, {Lanes(at, b.lines.width)}, w, acc);
    else
      add_any_run<T, R, C>(run->taps, b.lines.line + run->line, at,
                           {Lanes(at, b.lines.width), Lanes(at + kLanes<T>, b.lines.width)}, w, acc);
    w += run->taps;
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

constexpr int kColumns = FASTCONV_VEC_REGISTERS == 32 ? 2 : 1;  // of a band at a time, where there are enough

// Columns c and on of a band, C of them.
template <class T, int R, int C, class Lanes>
FASTCONV_INLINE void band_columns(const Band<T>& b, int64_t c) {
  T* y = b.y + c * kLanes<T>;
  if (b.x_ahead)
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int i = 0; i < C; ++i) {
        __builtin_prefetch(b.lines.line[b.runs->line + r] + (c + i) * kLanes<T> + b.x_ahead);
        __builtin_prefetch(y + r * b.y_row + i * kLanes<T> + b.y_ahead, 1);
      }
  Vec<T> acc[C][R];
#pragma GCC unroll 2
  for (int i = 0; i < C; ++i)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[i][r] = splat(b.bias);
  add_runs<T, R, C, Lanes>(b, c * kLanes<T>, acc);
#pragma GCC unroll 2
  for (int i = 0; i < C; ++i, y += kLanes<T>) {
    if (b.clamp) clamp_all<T, R>(b.low, b.high, acc[i]);
    if (c + i + 1 < b.columns || b.last == kLanes<T>) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store(y + r * b.y_row, acc[i][r]);
    } else {
      const LaneRange<T> lanes(0, b.last);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) store_lanes(y + r * b.y_row, acc[i][r], lanes);
    }
  }
}

template <class T, int R>
void band(const Band<T>& b) {
  constexpr int C = kColumns;
  for (int64_t c = 0, n; c < b.columns; c += n) {
    n = c + C <= b.columns ? C : 1;
    const bool whole = !kReadsParts || (c >= b.lines.whole && c + n <= b.lines.part);
    if (!whole || R == 1) n = 1;  // no code for pairs at the border, nor for single rows
    if constexpr (R > 1)
      if (n == C && whole) {
        band_columns<T, R, C, Whole<T>>(b, c);
        continue;
      }
    band_columns<T, R, 1, Part<T>>(b, c);
  }
}

// The sums of a run's taps, each over R products.
template <class T, int R, int K, class Lanes>
FASTCONV_INLINE void add_dots(const T* const* lines, int64_t x, const Lanes& lanes, const Vec<T> (&dy)[R], T* sums) {
  Vec<T> acc[K];
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) acc[i] = load(sums + i * kLanes<T>);
#pragma GCC unroll 16
  for (int v = 0; v < R + K - 1; ++v) {
    Vec<T> line = lanes.load(lines[v] + x);
    FASTCONV_LOADED(line);
    __asm__ volatile("" : "+r"(lines));  // line after line: all of them early would spill
#pragma GCC unroll 8
    for (int i = 0; i < K; ++i)
      if (v - i >= 0 && v - i < R) acc[i] += dy[v - i] * line;
  }
#pragma GCC unroll 8
  for (int i = 0; i < K; ++i) store(sums + i * kLanes<T>, acc[i]);
}

template <class T, int R, class Lanes, int K = kRunTaps>
FASTCONV_INLINE void add_any_dots(int taps, const T* const* lines, int64_t x, const Lanes& lanes, const Vec<T> (&dy)[R],
                                  T* sums) {
  if constexpr (K == 1) add_dots<T, R, 1>(lines, x, lanes, dy, sums);
  else if (taps == K) add_dots<T, R, K>(lines, x, lanes, dy, sums);
  else add_any_dots<T, R, Lanes, K - 1>(taps, lines, x, lanes, dy, sums);
}

// `most` lanes of a column: dy is zero elsewhere, but x might be infinite.
template <class T, int R, class Lanes>
FASTCONV_INLINE void dots_of_column(const BandDots<T>& b, int64_t c, int64_t most) {
  const T* dy = b.dy + c * kLanes<T>;
  const LaneRange<T> some(0, most);
  Vec<T> d[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) d[r] = most < kLanes<T> ? load_lanes(dy + r * b.dy_row, some) : load(dy + r * b.dy_row);
  T* sums = b.sums + (c % 2) * b.taps * kLanes<T>;
  for (const TapRun *run = b.runs, *end = run + b.run_count; run != end; ++run) {
    const int64_t at = c * kLanes<T> + run->x;
    add_any_dots<T, R>(run->taps, b.lines.line + run->line, at, Lanes(at, b.lines.width, most), d, sums);
    sums += run->taps * kLanes<T>;
  }
}

template <class T, int R>
void band_dots(const BandDots<T>& b) {
  for (int64_t c = 0; c < b.columns; ++c) {
    const int64_t most = c + 1 < b.columns ? kLanes<T> : b.last;
    if (most == kLanes<T> && c >= b.lines.whole && c < b.lines.part) dots_of_column<T, R, Whole<T>>(b, c, most);
    else dots_of_column<T, R, Part<T>>(b, c, most);
  }
}

// C columns of dy, from element `at` of its lines on, as elements `out` and on of dx.
template <class T, int C>
FASTCONV_INLINE void spread_columns(const SpreadBand<T>& b, const Vec<T> (&tap)[9], int64_t at, int64_t out) {
  constexpr int VL = kLanes<T>;
  const Part<T> first(at, b.lines.width), last(at + (C - 1) * VL, b.lines.width), behind(at + C * VL, b.lines.width, 1),
      stored_first(out - b.first, b.end - b.first), stored_low(out + 2 * (C - 1) * VL - b.first, b.end - b.first),
      stored_high(out + (2 * C - 1) * VL - b.first, b.end - b.first);
  const Vec<T> bias = splat(b.bias);
  const int64_t dx_row = b.dx_row, dy_ahead = b.dy_ahead, dx_ahead = b.dx_ahead, end = b.end_row,
                first_row = b.first_row;
  const auto read = [&](const T* from, Vec<T>(&own)[C], Vec<T>(&right)[C]) FASTCONV_LAMBDA {
    Vec<T> next = behind.load(from + C * VL);
#pragma GCC unroll 2
    for (int c = C - 1; c >= 0; --c) {
      own[c] = c == 0 ? first.load(from) : last.load(from + c * VL);
      right[c] = moved_on<1>(own[c], next);
      next = own[c];
    }
  };
  const auto write = [&](T* to, int c, Vec<T> even, Vec<T> odd) FASTCONV_LAMBDA {
    const Vec<T> low = zip_low(even, odd), high = zip_high(even, odd);
    to += 2 * c * VL;
    store_lanes(to, low, c == 0 ? stored_first.lanes : stored_low.lanes);
    if (c < C - 1) store(to + VL, high);
    else store_lanes(to + VL, high, stored_high.lanes);
  };
  const T* const* line = b.lines.line;
  T* dx = b.dx + out;
  Vec<T> above[C], right[C], below[C], below_right[C];
  read(*line + at, above, right);
  for (int64_t r = 0; r < end; r += 2, dx += 2 * dx_row) {
    const T* from = *++line + at;
    if (dy_ahead) {
      const T *x = from + dy_ahead, *y = dx + dx_ahead, *next = y + dx_row;
#pragma GCC unroll 4
      for (int c = 0; c < 2 * C; ++c) {
        if (c < C) __builtin_prefetch(x + c * VL);
        __builtin_prefetch(y + c * VL, 1);
        __builtin_prefetch(next + c * VL, 1);
      }
    }
    read(from, below, below_right);
    if (r >= first_row)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) write(dx, c, bias + tap[4] * above[c], bias + tap[3] * right[c] + tap[5] * above[c]);
    if (r + 1 < end)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c)
        write(dx + dx_row, c, bias + tap[1] * below[c] + tap[7] * above[c],
              bias + tap[0] * below_right[c] + tap[2] * below[c] + tap[6] * right[c] + tap[8] * above[c]);
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) above[c] = below[c], right[c] = below_right[c];
  }
}

template <class T>
void spread_band(const SpreadBand<T>& b) {
  constexpr int VL = kLanes<T>, C = sizeof(T) == 8 ? 1 : kColumns;  // float64: half the code
  Vec<T> tap[9];
#pragma GCC unroll 16
  for (int i = 0; i < 9; ++i) tap[i] = splat(b.w[i]);
  int64_t c = 0;
  for (; c + C <= b.columns; c += C) spread_columns<T, C>(b, tap, c * VL + b.x, 2 * c * VL);
  if (C > 1 && c < b.columns) spread_columns<T, 1>(b, tap, c * VL + b.x, 2 * c * VL);
}

// One shift of a line, whose vector v is at(v): it is under M taps a vector's width apart, of as many neighbouring
// sums.
template <class T, int C, int M, class At>
FASTCONV_INLINE void add_shift(const T* w, Vec<T> (&acc)[C], At at) {
  Vec<T> tap[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) tap[m] = splat(w[m * kLanes<T>]);
#pragma GCC unroll 16
  for (int v = 0; v < C + M - 1; ++v) {
    Vec<T> in = at(v);
    FASTCONV_LOADED(in);
#pragma GCC unroll 4
    for (int m = M - 1; m >= 0; --m)
      if (v - m >= 0 && v - m < C) acc[v - m] += tap[m] * in;
  }
}
// `end` shifts. Vectors across two cache lines are slow to load, and moving lanes takes the place of products: where
// registers are many, two of three shifts are lanes moved on.
template <class T, int C, int M>
FASTCONV_INLINE void add_shifts(const T* x, const T* w, int64_t s, int64_t end, Vec<T> (&acc)[C]) {
  constexpr int VL = kLanes<T>;
  if constexpr (FASTCONV_VEC_REGISTERS == 32 && VL >= 4) {
    for (; s + 3 <= end; s += 3) {
      Vec<T> in[C + M];
#pragma GCC unroll 16
      for (int v = 0; v < C + M; ++v) in[v] = load(x + s + v * VL);
      add_shift<T, C, M>(w + s, acc, [&](int v) FASTCONV_LAMBDA { return in[v]; });
      add_shift<T, C, M>(w + s + 1, acc, [&](int v) FASTCONV_LAMBDA { return moved_on<1>(in[v], in[v + 1]); });
      add_shift<T, C, M>(w + s + 2, acc, [&](int v) FASTCONV_LAMBDA { return moved_on<2>(in[v], in[v + 1]); });
    }
  }
  for (; s < end; ++s) add_shift<T, C, M>(w + s, acc, [&](int v) FASTCONV_LAMBDA { return load(x + s + v * VL); });
}
template <class T, int C, int M>
FASTCONV_INLINE void add_any_shifts(int64_t m, const T* x, const T* w, int64_t first, int64_t end, Vec<T> (&acc)[C]) {
  if constexpr (M > 0) {
    if (m == M) add_shifts<T, C, M>(x, w, first, end, acc);
    else add_any_shifts<T, C, M - 1>(m, x, w, first, end, acc);
  }
}

constexpr int kLineVectors = 8;
template <class T>
void line(const Line<T>& l) {
  constexpr int C = kLineVectors, VL = kLanes<T>, M = FASTCONV_VEC_REGISTERS == 32 ? 2 : 4;
  for (int64_t j = 0; j < l.n; j += C * VL) {
    if (j > l.n - C * VL) j = l.n - C * VL;  // the last sums once more
    Vec<T> acc[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) acc[c] = splat(l.bias);
    for (int64_t k = 0; k < l.taps; k += M * VL) {
      const int64_t taps = l.taps - k < M * VL ? l.taps - k : M * VL, m = (taps + VL - 1) / VL,
                    full = taps - (m - 1) * VL;
      for (int i = 0; i < 2; ++i)
        add_any_shifts<T, C, M>(m - i, l.x + j + k, l.w + k, i ? full : 0, i ? VL : full, acc);
    }
    if (l.clamp) clamp_all<T, C>(l.low, l.high, acc);
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) store(l.y + j + c * VL, acc[c]);
  }
}

// Lane i: the sum of vector i's lanes, added as add_lanes does. Every second vector first, from `step` vectors apart
// on.
template <class T, int N = kLanes<T>, int step = 1>
FASTCONV_INLINE Vec<T> sums_of_vectors(const T* v) {
  if constexpr (N == 1) {
    return load(v);
  } else {
    const Vec<T> even = sums_of_vectors<T, N / 2, 2 * step>(v),
                 odd = sums_of_vectors<T, N / 2, 2 * step>(v + step * kLanes<T>);
    return zip_low(even, odd) + zip_high(even, odd);
  }
}
template <class T>
void lane_sums(T* dst, const T* sums, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) store(dst + i, sums_of_vectors<T>(sums + i * kLanes<T>));
  for (; i < count; ++i) dst[i] = add_lanes<T>(load(sums + i * kLanes<T>));
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

// float64 makes do with bands of four rows: half as much code.
template <class T>
constexpr int kMostRows = sizeof(T) == 8 ? kBandRows / 2 : kBandRows;

template <class T>
constexpr auto spread() -> void (*)(const SpreadBand<T>&) {
  if constexpr (kReadsParts) return spread_band<T>;
  else return nullptr;
}

template <class T>
constexpr DepthwiseKernelsOf<T> make_kernels() {
  constexpr int most = kMostRows<T>;
  return {kLanes<T>,
          most,
          kRunTaps,
          kReadsParts,
          {band<T, 1>, band<T, 4>, band<T, most>},
          {band_dots<T, 1>, band_dots<T, 4>, band_dots<T, most>},
          spread<T>(),
          kLineVectors * kLanes<T>,
          kFused ? line<T> : nullptr,
          lane_sums<T>,
          unpack<T>};
}

}  // namespace

const DepthwiseKernels& depthwise_kernels() {
  static constexpr DepthwiseKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
