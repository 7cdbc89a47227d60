// Packing of lines, element by element at a constant step (kernels/conv.hpp): strides of two, three and four by whole
// vectors, of which the lanes that are not wanted are left out.
#pragma once
#include "kernels/conv.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// A vector of every S-th element from p on.
template <class T, int S>
FASTCONV_INLINE Vec<T> load_spaced(const T* p) {
  if constexpr (S == 1) return load(p);
  else if constexpr (S == 3) return third_lanes(load(p), load(p + kLanes<T>), load(p + 2 * kLanes<T>));
  else return even_lanes(load_spaced<T, S / 2>(p), load_spaced<T, S / 2>(p + S / 2 * kLanes<T>));
}
// The same, of `n` elements of which nothing beyond is read.
template <class T, int S>
FASTCONV_INLINE Vec<T> load_spaced(const T* p, int64_t n) {
  constexpr int64_t VL = kLanes<T>, kHalf = S / 2 * VL;
  if constexpr (S == 1) return load_lanes(p, LaneRange<T>(0, n < 0 ? 0 : n < VL ? n : VL));
  else if constexpr (S == 3)
    return third_lanes(load_spaced<T, 1>(p, n), load_spaced<T, 1>(p + VL, n - VL),
                       load_spaced<T, 1>(p + 2 * VL, n - 2 * VL));
  else return even_lanes(load_spaced<T, S / 2>(p, n), load_spaced<T, S / 2>(p + kHalf, n - kHalf));
}

// Lines [line, end) of one run. The last vector of a line is cut, as what it would read may not be there.
template <int S, class T>
FASTCONV_INLINE void pack_spaced(const PackLine* line, const PackLine* end, const PackRun& run, T* dst, const T* src) {
  constexpr int64_t VL = kLanes<T>;
  const int64_t n = run.length, whole = S == 1 ? n / VL * VL : (n - 1) / VL * VL, left = n - whole;
  for (; line != end; ++line) {
    T* d = dst + line->dst;
    const T* s = src + line->src;
    for (int64_t j = 0; j < whole; j += VL) store(d + j, load_spaced<T, S>(s + S * j));
#if defined(__AVX2__)
    if (left) store_lanes(d + whole, load_spaced<T, S>(s + S * whole, S * (left - 1) + 1), LaneRange<T>(0, left));
#else
    if (S == 1) copy_first(d + whole, s + whole, left);
    else
      for (int64_t j = whole; j < n; ++j) d[j] = s[S * j];
#endif
  }
}

// v[k] = elements k, k + S, ... of S vectors at p.
template <int S, class T>
FASTCONV_INLINE void load_apart(const T* p, Vec<T>* v) {
  if constexpr (S == 1) {
    v[0] = load(p);
  } else {
    Vec<T> low[S / 2], high[S / 2];
    load_apart<S / 2>(p, low);
    load_apart<S / 2>(p + S / 2 * kLanes<T>, high);
#pragma GCC unroll 2
    for (int k = 0; k < S / 2; ++k) {
      v[k] = even_lanes(low[k], high[k]);
      v[k + S / 2] = odd_lanes(low[k], high[k]);
    }
  }
}

// Runs of every S-th element that together are all elements: they are read once. Returns how many elements of each it
// did, whole vectors, and 0 if the runs are no such ones.
template <int S, class T>
FASTCONV_INLINE int64_t pack_apart(const PackLine* line, const PackLine* end, const PackRun* run, T* dst,
                                   const T* src) {
  const int64_t whole = run->length / kLanes<T> * kLanes<T>;
  int64_t first = run->src;
  for (int i = 1; i < S; ++i) first = run[i].src < first ? run[i].src : first;
  T* to[S] = {};
  for (int i = 0; i < S; ++i) {
    const int64_t k = run[i].src - first;
    if (run[i].step != S || run[i].length != run->length || k >= S) return 0;
    to[k] = dst + run[i].dst;
  }
  for (int k = 0; k < S; ++k)
    if (!to[k]) return 0;
  for (; line != end; ++line)
    for (int64_t j = 0; j < whole; j += kLanes<T>) {
      Vec<T> v[S];
      load_apart<S>(src + line->src + first + S * j, v);
#pragma GCC unroll 4
      for (int k = 0; k < S; ++k) store(to[k] + line->dst + j, v[k]);
    }
  return whole;
}

template <class T>
void pack(const PackChannel<T>& c) {
  constexpr int64_t kLines = 16;  // at a time: all runs read them while they are in the L1 cache
  const PackLine* const last = c.lines + c.line_count;
  for (const PackLine *first = c.lines, *end; first != last; first = end) {
    end = last - first > kLines ? first + kLines : last;
    int64_t together = 0, done = 0;  // runs from here on of which so many elements are packed
    for (int64_t i = 0; i < c.run_count; ++i, --together) {
      PackRun run = c.runs[i];  // in registers: what is stored cannot change it
      if (together <= 0) {
        const bool four = run.step == 4 && c.run_count - i >= 4;
        done = four ? pack_apart<4>(first, end, c.runs + i, c.dst, c.src) : 0;
        together = done ? 4 : 1;
      }
      run.dst += static_cast<int32_t>(done);
      run.src += done * run.step;
      run.length -= static_cast<int32_t>(done);
      if (run.length == 0) continue;
      T* const dst = c.dst + run.dst;
      const T* const src = c.src + run.src;
      const int64_t n = run.length, step = run.step;
      if (step == 1) pack_spaced<1>(first, end, run, dst, src);
      else if (step == 2) pack_spaced<2>(first, end, run, dst, src);
      else if (step == 3) pack_spaced<3>(first, end, run, dst, src);
      else if (step == 4) pack_spaced<4>(first, end, run, dst, src);
      else
        for (const PackLine* line = first; line != end; ++line)
          for (int64_t j = 0; j < n; ++j) dst[line->dst + j] = src[line->src + j * step];
    }
  }
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
