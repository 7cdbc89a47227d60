// Packing of lines, element by element at a constant step (kernels/conv.hpp): strides of two and four by whole vectors,
// of which the lanes that are not wanted are left out.
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
  else return even_lanes(load_spaced<T, S / 2>(p), load_spaced<T, S / 2>(p + S / 2 * kLanes<T>));
}
// The same, of `n` elements of which nothing beyond is read.
template <class T, int S>
FASTCONV_INLINE Vec<T> load_spaced(const T* p, int64_t n) {
  constexpr int64_t kHalf = S / 2 * kLanes<T>;
  if constexpr (S == 1) return load_lanes(p, LaneRange<T>(0, n < 0 ? 0 : n < kLanes<T> ? n : kLanes<T>));
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

template <class T>
void pack(const PackChannel<T>& c) {
  constexpr int64_t kLines = 16;  // at a time: all runs read them while they are in the L1 cache
  const PackLine* const last = c.lines + c.line_count;
  for (const PackLine *first = c.lines, *end; first != last; first = end) {
    end = last - first > kLines ? first + kLines : last;
    for (int64_t i = 0; i < c.run_count; ++i) {
      const PackRun run = c.runs[i];  // in registers: what is stored cannot change it
      T* const dst = c.dst + run.dst;
      const T* const src = c.src + run.src;
      const int64_t n = run.length, step = run.step;
      if (step == 1) pack_spaced<1>(first, end, run, dst, src);
      else if (step == 2) pack_spaced<2>(first, end, run, dst, src);
      else if (step == 4) pack_spaced<4>(first, end, run, dst, src);
      else
        for (const PackLine* line = first; line != end; ++line)
          for (int64_t j = 0; j < n; ++j) dst[line->dst + j] = src[line->src + j * step];
    }
  }
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
