// From memory to a tile, and back.
#pragma once
#include "kernels/fft/fft.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// Strips that are read or written side by side, row by row: their parts of a row follow one another in memory.
constexpr int64_t kStrips = 8;

template <class V, int... I>
FASTCONV_INLINE V reversed(V v, LaneList<I...>) {
  return __builtin_shufflevector(v, v, (static_cast<int>(sizeof...(I)) - 1 - I)...);
}
template <class V>
FASTCONV_INLINE V reversed(V v) {
  return reversed(v, LanesOf<V>{});
}

// Entries [i, i + VL) of a row.
template <class T>
FASTCONV_INLINE Vec<T> load_entries(const FftLoad<T>& a, const T* src, int64_t i) {
  constexpr int64_t VL = kLanes<T>;
  const int64_t from = a.begin < i ? 0 : a.begin - i, to = a.end - i < VL ? a.end - i : VL;  // of these, a run
  if (a.step == 1 && (a.zeros || to - from == VL)) {
    const T* const run = src + a.first + (i - a.begin);
    return from >= to ? Vec<T>{} : to - from == VL ? load(run) : load_lanes(run, LaneRange<T>(from, to - from));
  }
  if (a.step == -1 && a.zeros) {
    const T* const last = src + a.first - (i - a.begin) - (VL - 1);
    return from >= to ? Vec<T>{}
                      : reversed(to - from == VL ? load(last) : load_lanes(last, LaneRange<T>(VL - to, to - from)));
  }
  T lanes[VL];
  for (int64_t l = i; l < i + VL; ++l) {
    const int64_t offset = l >= a.begin && l < a.end ? a.first + (l - a.begin) * a.step
                           : a.zeros                 ? kFftZero
                                                     : a.column[l];
    lanes[l - i] = offset == kFftZero ? T(0) : src[offset];
  }
  return load(static_cast<const T*>(lanes));
}

template <class T>
void load_tile(const FftLoad<T>& a) {
  constexpr int64_t VL = kLanes<T>;
  for (int64_t begin = 0, end; begin < a.columns; begin = end) {
    end = begin + kStrips * VL < a.columns ? begin + kStrips * VL : a.columns;
    for (int64_t r = 0; r < a.rows; ++r) {
      const bool empty = !a.src || a.row[r] == kFftZero;
      const T* src = empty ? a.src : a.src + a.row[r];
      T* to = a.tile + begin * a.rows * 2 + r * 2 * VL + a.part * VL;
      for (int64_t c = begin; c < end; c += VL, to += a.rows * 2 * VL)
        store(to, empty ? Vec<T>{} : load_entries(a, src, r * a.column_step + c));
    }
  }
}

template <class T>
void store_tile(const FftStore<T>& a) {
  constexpr int64_t VL = kLanes<T>;
  const Vec<T> low = splat<T>(a.low), high = splat<T>(a.high), scale = splat<T>(a.scale),
               bias = a.bias ? splat<T>(*a.bias) : Vec<T>{};
  const auto outputs = [&](const T* from, T* y, int64_t n) {
    const bool whole = n == VL && a.y_step == 1;
    T edge[VL] = {};
    Vec<T> v = bias;
    if (a.accumulate) {
      if (!whole)
        for (int64_t l = 0; l < n; ++l) edge[l] = y[l * a.y_step];
      v = load(whole ? static_cast<const T*>(y) : edge);
    }
    v += scale * load(from);
    if (a.clamp) {
      v = v < low ? low : v;
      v = v > high ? high : v;
    }
    store(whole ? y : edge, v);
    if (!whole)
      for (int64_t l = 0; l < n; ++l) y[l * a.y_step] = edge[l];
  };
  for (int64_t begin = 0; begin < a.tile_columns; begin += kStrips * VL)
    for (int64_t r = 0; r < a.rows; ++r) {
      const int64_t live = a.columns - r * a.column_step, columns = live < a.tile_columns ? live : a.tile_columns;
      for (int64_t c = begin; c < columns && c < begin + kStrips * VL; c += VL)
        outputs(a.tile + (c * a.tile_rows + r * VL) * 2 + a.part * VL, a.y + r * a.y_row + c * a.y_step,
                columns - c < VL ? columns - c : VL);
    }
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
