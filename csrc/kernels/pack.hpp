// Packing of lines, element by element at a constant step (kernels/conv.hpp): strides of two to four by whole vectors,
// of which the lanes that are not wanted are left out.
#pragma once
#include "kernels/conv.hpp"
#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/transpose.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// A vector of every S-th element from p on.
template <class T, int S>
FASTCONV_INLINE Vec<T> load_spaced(const T* p) {
  if constexpr (S == 1) return load(p);
  else if constexpr (S == 3) return third_lanes<0>(load(p), load(p + kLanes<T>), load(p + 2 * kLanes<T>));
  else return even_lanes(load_spaced<T, S / 2>(p), load_spaced<T, S / 2>(p + S / 2 * kLanes<T>));
}
#if defined(__AVX512F__)
// The same, of `n` elements of which nothing beyond is read.
template <class T, int S>
FASTCONV_INLINE Vec<T> load_spaced(const T* p, int64_t n) {
  constexpr int64_t VL = kLanes<T>, kHalf = S / 2 * VL;
  if constexpr (S == 1) return load_lanes(p, LaneRange<T>(0, n < 0 ? 0 : n < VL ? n : VL));
  else if constexpr (S == 3)
    return third_lanes<0>(load_spaced<T, 1>(p, n), load_spaced<T, 1>(p + VL, n - VL),
                          load_spaced<T, 1>(p + 2 * VL, n - 2 * VL));
  else return even_lanes(load_spaced<T, S / 2>(p, n), load_spaced<T, S / 2>(p + kHalf, n - kHalf));
}
#endif
// The same, the last of which is p[-1].
template <class T, int S>
FASTCONV_INLINE Vec<T> load_spaced_before(const T* p) {
  constexpr int64_t VL = kLanes<T>;
  if constexpr (S == 1) return load(p - VL);
  else if constexpr (S == 3) return third_lanes<2>(load(p - 3 * VL), load(p - 2 * VL), load(p - VL));
  else return odd_lanes(load_spaced_before<T, S / 2>(p - S / 2 * VL), load_spaced_before<T, S / 2>(p));
}

// Elements of a run that is packed by vectors, at least: shorter ones take as long element by element.
#if defined(__AVX512F__)
template <class T, int S>
constexpr int64_t kLeast = S == 1 || sizeof(T) == 4 ? 1 : kLanes<T> + 1;
#else
template <class T, int S>
constexpr int64_t kLeast = S == 1 ? 1 : kLanes<T> + 1;
#endif

// Lines [line, end) of one run, fetching what is `ahead` of them unless they are dense or that is 0. The last vector of
// a line ends with it, as what lies behind may not be there.
template <int S, class T>
FASTCONV_INLINE void pack_spaced(const PackLine* line, const PackLine* end, const PackRun& run, T* dst, const T* src,
                                 int64_t ahead) {
  constexpr int64_t VL = kLanes<T>, kLine = 64 / sizeof(T);
  const int64_t n = run.length, whole = S == 1 ? n / VL * VL : (n - 1) / VL * VL, left = n - whole;
  for (; line != end; ++line) {
    T* d = dst + line->dst;
    const T* s = src + line->src;
    const auto fetch = [s, ahead](int64_t j) FASTCONV_LAMBDA {
      for (int64_t i = 0; S > 1 && ahead && i < S * VL; i += kLine) __builtin_prefetch(s + S * j + ahead + i);
    };
    for (int64_t j = 0; j < whole; j += VL) {
      fetch(j);
      store(d + j, load_spaced<T, S>(s + S * j));
    }
    if (left == 0) continue;
    fetch(whole);
    if constexpr (kLeast < T, S >> 1) {
      store(d + n - VL, load_spaced_before<T, S>(s + S * (n - 1) + 1));
    } else {
#if defined(__AVX512F__)
      if (S > 1 && whole) store(d + n - VL, load_spaced_before<T, S>(s + S * (n - 1) + 1));
      else store_lanes(d + whole, load_spaced<T, S>(s + S * whole, S * (left - 1) + 1), LaneRange<T>(0, left));
#else  // which are slow to write parts of vectors
      if (whole) store(d + n - VL, load(s + n - VL));
      else copy_first(d, s, n);
#endif
    }
  }
}

// v[k] = elements k, k + S, ... of S vectors at p, and fetches those `ahead`.
template <int S, class T>
FASTCONV_INLINE void load_apart(const T* p, int64_t ahead, Vec<T>* v) {
  if constexpr (S == 1) {
    v[0] = load(p);
    __builtin_prefetch(p + ahead);
  } else if constexpr (S == 3) {
    Vec<T> u[3];
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) load_apart<1>(p + k * kLanes<T>, ahead, u + k);
    v[0] = third_lanes<0>(u[0], u[1], u[2]);
    v[1] = third_lanes<1>(u[0], u[1], u[2]);
    v[2] = third_lanes<2>(u[0], u[1], u[2]);
  } else {
    Vec<T> low[S / 2], high[S / 2];
    load_apart<S / 2>(p, ahead, low);
    load_apart<S / 2>(p + S / 2 * kLanes<T>, ahead, high);
#pragma GCC unroll 2
    for (int k = 0; k < S / 2; ++k) {
      v[k] = even_lanes(low[k], high[k]);
      v[k + S / 2] = odd_lanes(low[k], high[k]);
    }
  }
}

// Runs of every S-th element that together are all elements: they are read once. Returns how many elements of each it
// did, and 0 if the runs are no such ones, or shorter than a vector.
template <int S, class T>
FASTCONV_INLINE int64_t pack_apart(const PackLine* line, const PackLine* end, const PackRun* run, T* dst, const T* src,
                                   int64_t ahead) {
  int64_t first = run->src, n = run->length;
  for (int i = 1; i < S; ++i) {
    first = run[i].src < first ? run[i].src : first;
    n = run[i].length < n ? run[i].length : n;
  }
  T* to[S] = {};
  for (int i = 0; i < S; ++i) {
    const int64_t k = run[i].src - first;
    if (run[i].step != S || k >= S) return 0;
    to[k] = dst + run[i].dst;
  }
  bool all = n >= kLanes<T>;
  for (int k = 0; k < S; ++k) all &= to[k] != nullptr;
  for (; all && line != end; ++line)
    by_blocks<T>(n, [&](int64_t j) FASTCONV_LAMBDA {
      Vec<T> v[S];
      load_apart<S>(src + line->src + first + S * j, ahead, v);
#pragma GCC unroll 4
      for (int k = 0; k < S; ++k) store(to[k] + line->dst + j, v[k]);
    });
  return all ? n : 0;
}

// The same of a longer step, by transposes; the runs must be in the order of what they read.
template <class T>
FASTCONV_INLINE int64_t pack_across(const PackLine* line, const PackLine* end, const PackRun* run, T* dst,
                                    const T* src) {
  const int64_t step = run->step, n = run->length, apart = run[1].dst - run->dst;
  for (int64_t i = 1; i < step; ++i)
    if (run[i].step != step || run[i].length != n || run[i].src != run->src + i || run[i].dst != run->dst + i * apart)
      return 0;
  for (; line != end; ++line)
    pack_transposed(dst + line->dst + run->dst, apart, src + line->src + run->src, step, 1, step, n, n);
  return n;
}

template <class T>
void pack(const PackChannel<T>& c) {
  constexpr int64_t kLines = 16;  // at a time: all runs read them while they are in the L1 cache
  const PackLine* const last = c.lines + c.line_count;
  for (const PackLine *first = c.lines, *end; first != last; first = end) {
    end = last - first > kLines ? first + kLines : last;
    int64_t together = 0, done = 0;  // runs from here on of which so many elements are packed
    for (int64_t i = 0; i < c.run_count; ++i, --together) {
      PackRun run = c.runs[i];                               // in registers: what is stored cannot change it
      if (sizeof(T) == 4 && !kSmallCode && together <= 0) {  // of float64 the code would be as long again
        const int64_t step = run.step, runs = c.run_count - i;
        done = runs < step ? 0
               : step == 2 ? pack_apart<2>(first, end, c.runs + i, c.dst, c.src, c.ahead)
               : step == 3 ? pack_apart<3>(first, end, c.runs + i, c.dst, c.src, c.ahead)
               : step == 4 ? pack_apart<4>(first, end, c.runs + i, c.dst, c.src, c.ahead)
               : step > 4  ? pack_across(first, end, c.runs + i, c.dst, c.src)
                           : 0;
        together = done ? step : 1;
      }
      run.dst += static_cast<int32_t>(done);
      run.src += done * run.step;
      run.length -= static_cast<int32_t>(done);
      if (run.length == 0) continue;
      T* const dst = c.dst + run.dst;
      const T* const src = c.src + run.src;
      const int64_t n = run.length, step = run.step;
      if (step == 1) pack_spaced<1>(first, end, run, dst, src, 0);
      else if (step == 2 && n >= kLeast<T, 2>) pack_spaced<2>(first, end, run, dst, src, i ? 0 : c.ahead);
      else if (step == 3 && n >= kLeast<T, 3>) pack_spaced<3>(first, end, run, dst, src, i ? 0 : c.ahead);
      else if (step == 4 && n >= kLeast<T, 4>) pack_spaced<4>(first, end, run, dst, src, i ? 0 : c.ahead);
      else
        for (const PackLine* line = first; line != end; ++line)
          for (int64_t j = 0; j < n; ++j) dst[line->dst + j] = src[line->src + j * step];
    }
  }
}

#if defined(__AVX2__) && !defined(__clang__)  // whose vectors have no lanes by a table
typedef char LaneBytes __attribute__((vector_size(16), may_alias));
FASTCONV_INLINE Mask<float> load_lane_numbers(const int8_t* lane) {
  const LaneBytes bytes = *reinterpret_cast<const LaneBytes*>(lane);
#if defined(__AVX512F__)
  return __builtin_ia32_pmovsxbd512_mask(bytes, Mask<float>{}, static_cast<unsigned short>(-1));
#else
  return __builtin_ia32_pmovsxbd256(bytes);
#endif
}

// Two channels together, which share the numbers; the last one may be both. What comes next the processor fetches by
// itself, and better where there are several images.
void pack_windows(const PackWindows<float>& p) {
  const float* src = p.src;
  float* dst = p.dst;
  for (int64_t c = p.channels; c > 0; c -= 2, src += 2 * p.lds, dst += 2 * p.ldd) {
    const int64_t lds = c > 1 ? p.lds : 0, ldd = c > 1 ? p.ldd : 0;
    Vec<float> v[2] = {};
    for (const PackWindow *w = p.windows, *end = p.end; w != end; ++w) {
      const Mask<float> lane = load_lane_numbers(w->lane);
      const float* s = src + w->src;
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i, s += lds) v[i] = lane < 0 ? __builtin_shuffle(load(s), lane) : v[i];
      if (w->dst < 0) continue;
      float* d = dst + w->dst;
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i, d += ldd) store(d, v[i]), v[i] = Vec<float>{};
    }
  }
}
template <class T>
constexpr auto pack_windows_entry() -> void (*)(const PackWindows<T>&) {
  if constexpr (sizeof(T) == 4) return pack_windows;
  else return nullptr;
}
#else
template <class T>
constexpr auto pack_windows_entry() -> void (*)(const PackWindows<T>&) {
  return nullptr;
}
#endif

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
