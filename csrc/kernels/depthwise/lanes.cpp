// Planes side by side in the lanes of vectors, compiled once per rung.
#include "kernels/depthwise/lanes.hpp"

#include "kernels/masked.hpp"
#include "kernels/transpose.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Values of so few pixels are moved one by one.
constexpr int kFew = 3;

template <class T>
using Lanes = Square<T, FASTCONV_VEC_BYTES>;

// Planes that are neighbours in memory, as channels are where they come last: parts of a vector, each from `from` less
// its first lane. No parts if they are too many. P: the address of a plane.
template <class T, class P>
struct Neighbours {
  static constexpr int kMost = 4;
  int64_t parts = 0;
  P from[kMost];
  LaneRange<T> lanes[kMost] = {{0, 0}, {0, 0}, {0, 0}, {0, 0}};
  FASTCONV_INLINE Neighbours(P const* planes, int64_t count) {
    for (int64_t l = 0, end; l < count; l = end) {
      for (end = l + 1; end < count && planes[end] == planes[l] + (end - l);) ++end;
      if (parts == kMost || end - l == 1) {
        parts = 0;
        return;
      }
      from[parts] = planes[l] - l;
      lanes[parts++] = LaneRange<T>(l, end - l);
    }
  }
  // Of elements `at` of the planes; the lanes of no plane are zeros.
  FASTCONV_INLINE Vec<T> load(int64_t at) const {
    Vec<T> v = load_lanes(from[0] + at, lanes[0]);
    for (int64_t i = 1; i < parts; ++i)
      v = reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(v) |
                                   reinterpret_cast<Mask<T>>(load_lanes(from[i] + at, lanes[i])));
    return v;
  }
  FASTCONV_INLINE void store(int64_t at, Vec<T> v) const {
    for (int64_t i = 0; i < parts; ++i) store_lanes(from[i] + at, v, lanes[i]);
  }
};

// The values [i, i + n) of all planes as n vectors: put(j, v).
template <class T, class Load, class Put>
FASTCONV_INLINE void transposed(int64_t n, Load load_plane, Put put) {
  constexpr int VL = kLanes<T>;
  Vec<T> r[VL];
#pragma GCC unroll 16
  for (int l = 0; l < VL; ++l) r[l] = load_plane(l);
  Lanes<T>::template round<VL / 2>(r);
  if (n >= VL) {
#pragma GCC unroll 16
    for (int l = 0; l < VL; ++l) put(l, r[l]);
  } else {
    T some[VL * VL];  // or the compiler would have them in memory in the other case, too
#pragma GCC unroll 16
    for (int l = 0; l < VL; ++l) store(some + l * VL, r[l]);
    for (int l = 0; l < n; ++l) put(l, load(some + l * VL));
  }
}

// n values of all planes from `offset` on to put(0), put(1), ...: addresses of vectors.
template <class T, class Put>
FASTCONV_INLINE void pack_values(const T* const* planes, const Neighbours<T, const T*>& neighbours, int64_t step,
                                 int64_t offset, int64_t count, Put to) {
  constexpr int VL = kLanes<T>;
  int64_t i = 0;
  if (neighbours.parts)
    for (; i < count; ++i) store(to(i), neighbours.load(offset + i * step));
  for (; step == 1 && count - i > kFew; i += VL) {
    const RowPart<T> part(count);
    // Some once more: what is whole takes a third of the time.
    const int64_t at = i < count - part.n ? i : count - part.n;
    transposed<T>(
        part.n, [&](int l) FASTCONV_LAMBDA { return part.load_from(planes[l] + offset + at); },
        [&](int j, Vec<T> v) FASTCONV_LAMBDA { store(to(at + j), v); });
  }
  for (; i < count; ++i) {
    T* d = to(i);
    for (int l = 0; l < VL; ++l) d[l] = planes[l][offset + i * step];
  }
}

template <class T>
void pack(const LanePack<T>& p) {
  constexpr int VL = kLanes<T>;
  T* const dst = p.dst;
  const Neighbours<T, const T*> neighbours(p.planes, p.plane_count);
  for (int64_t k = 0; k < p.stretch_count; ++k) {
    const LaneStretch s = p.stretches[k];
    const int32_t* const place = p.place + s.first;
    pack_values(p.planes, neighbours, s.step, s.offset, s.count,
                [=](int64_t i) FASTCONV_LAMBDA { return dst + static_cast<int64_t>(place[i]) * VL; });
  }
  for (int64_t k = 0; k < p.copy_count; ++k) {
    const LaneCopy c = p.copies[k];
    for (int64_t i = 0; i < c.count; ++i) store(dst + (c.dst + i) * VL, load(dst + (c.src + i) * VL));
  }
}

template <class T>
FASTCONV_INLINE void unpack_values(const LaneUnpack<T>& p, const Neighbours<T, T*>& neighbours, const LaneStretch& s) {
  constexpr int VL = kLanes<T>;
  const T* const src = p.src + s.first * p.src_step;
  const LaneRange<T> used(0, p.plane_count);
  const auto value = [&](int64_t j) FASTCONV_LAMBDA {
    const T* const from = src + (j < s.count ? j : s.count - 1) * p.src_step;
    return p.plane_count == VL ? load(from) : load_lanes(from, used);
  };
  int64_t i = 0;
  if (neighbours.parts)
    for (; i < s.count; ++i) neighbours.store(s.offset + i * s.step, value(i));
  for (; s.step == 1 && s.count - i > kFew; i += VL) {
    if (i > 0 && s.count - i < VL) i = s.count - VL;
    const RowPart<T> part(s.count - i);
    transposed<T>(
        p.plane_count, [&](int j) FASTCONV_LAMBDA { return value(i + j); },
        [&](int l, Vec<T> v) FASTCONV_LAMBDA { part.store_to(p.planes[l] + s.offset + i, v); });
  }
  for (; i < s.count; ++i)
    for (int64_t l = 0; l < p.plane_count; ++l) p.planes[l][s.offset + i * s.step] = src[i * p.src_step + l];
}

template <class T>
void unpack(const LaneUnpack<T>& p) {
  const Neighbours<T, T*> neighbours(p.planes, p.plane_count);
  for (int64_t k = 0; k < p.stretch_count; ++k) unpack_values(p, neighbours, p.stretches[k]);
}

// A sum of each output is in a register, and so are a tap's inputs, as far as there is room. From one tap to the next
// these move on by one: a move of registers is a name given anew, where a load would take a place that two products
// need.
#if FASTCONV_VEC_REGISTERS == 32
constexpr int kMostOutputs = 14, kMoved = 14;
#elif defined(__FMA__)
constexpr int kMostOutputs = 8, kMoved = 7;
#else
constexpr int kMostOutputs = 6, kMoved = 6;
#endif
template <class T>
constexpr int kOutputs = sizeof(T) == 8 && kMostOutputs > 8 ? 8 : kMostOutputs;  // float64: half the code

template <class T, int N>
FASTCONV_INLINE void add_segment(const LaneSums<T>& p, const LaneSegment& s) {
  constexpr int VL = kLanes<T>, M = N <= kMoved ? N : 2 * kMoved - N;
  const T* const x = p.x + static_cast<int64_t>(s.x) * VL;
  T* const y = p.y + static_cast<int64_t>(s.y) * VL;
  const int64_t step = static_cast<int64_t>(s.y_step) * VL;
  Vec<T> acc[N];
  const Vec<T> bias = load(p.bias);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) acc[i] = s.adds ? load(y + i * step) : bias;
  for (const LaneRun *run = p.runs + s.first_run, *last = run + s.runs; run != last; ++run) {
    const T* from = x + static_cast<int64_t>(run->x) * VL;
    const T *w = p.w + static_cast<int64_t>(run->w) * VL, *end = w + run->taps * VL;
    Vec<T> in[M];
#pragma GCC unroll 16
    for (int i = 0; i < M - 1; ++i, from += VL) in[i] = load(from);
    for (; w != end; w += VL, from += VL) {
      const Vec<T> tap = load(w);
      in[M - 1] = load(from);
      const T* next = from;
      if (M < N) __asm__("" : "+r"(next));  // the compiler would find room for all of them, and none for sums
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) acc[i] += tap * (i < M ? in[i] : load(next + (i - M + 1) * VL));
#pragma GCC unroll 16
      for (int i = 0; i < M - 1; ++i) in[i] = in[i + 1];
    }
  }
  if (p.clamp) clamp_all<T, N>(p.low, p.high, acc);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) store(y + i * step, acc[i]);
}

template <class T, int N = kOutputs<T>>
FASTCONV_INLINE void add_any_segment(const LaneSums<T>& p, const LaneSegment& s) {
  if constexpr (N == 1) add_segment<T, 1>(p, s);
  else if (s.outputs == N) add_segment<T, N>(p, s);
  else add_any_segment<T, (N > 8 ? N - 2 : N - 1)>(p, s);
}

template <class T>
void sums(const LaneSums<T>& p) {
  for (const LaneSegment *s = p.segments, *end = s + p.segment_count; s != end; ++s) add_any_segment<T>(p, *s);
}

template <class T, int K>
FASTCONV_INLINE void add_taps(const LaneDots<T>& p, const int32_t* taps, T* sums) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[K];
  int64_t at[K];
#pragma GCC unroll 16
  for (int k = 0; k < K; ++k) {
    at[k] = static_cast<int64_t>(taps[k]) * VL;
    acc[k] = load(sums + k * VL);
  }
  const T* dy = p.dy;
  for (int64_t r = 0; r < p.rows; ++r) {
    const T *x = p.x + r * p.x_row * VL, *end = x + p.width * VL;
    for (; x != end; x += VL, dy += VL) {
      const Vec<T> d = load(dy);
#pragma GCC unroll 16
      for (int k = 0; k < K; ++k) acc[k] += d * load(x + at[k]);
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < K; ++k) store(sums + k * VL, acc[k]);
}

template <class T, int K = kLaneTaps>
FASTCONV_INLINE void add_any_taps(const LaneDots<T>& p, int64_t n, const int32_t* taps, T* sums) {
  if constexpr (K == 1) add_taps<T, 1>(p, taps, sums);
  else if (n == K) add_taps<T, K>(p, taps, sums);
  else add_any_taps<T, K - 1>(p, n, taps, sums);
}

template <class T>
void dots(const LaneDots<T>& p) {
  const int64_t parts = (p.tap_count + kLaneTaps - 1) / kLaneTaps;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t t = i * p.tap_count / parts;
    add_any_taps<T>(p, (i + 1) * p.tap_count / parts - t, p.taps + t, p.sums + t * kLanes<T>);
  }
}

}  // namespace

const LaneKernels& lane_kernels() {
  static constexpr LaneKernels table = {{kOutputs<float>, pack<float>, unpack<float>, sums<float>, dots<float>},
                                        {kOutputs<double>, pack<double>, unpack<double>, sums<double>, dots<double>}};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
