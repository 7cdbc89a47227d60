// Outputs of squares and strips, transformed back and transposed (kernels/winograd/winograd.hpp).
#pragma once
#include "kernels/transpose.hpp"
#include "kernels/winograd/points.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// y[l * y_channel + p * y_step] = src[p * lanes + l] for `count` pixels p of the channels l.
template <class T>
__attribute__((noinline)) void scatter_pixels(const WinogradOutput<T>& a, T* y, const T* src, int64_t count) {
  constexpr int VL = kLanes<T>;
  if (a.channels < VL || count < VL || a.y_step != 1) {
    for (int64_t l = 0; l < a.channels; ++l)
      for (int64_t p = 0; p < count; ++p) y[l * a.y_channel + p * a.y_step] = src[p * VL + l];
    return;
  }
  for (int64_t p = 0; p < count; p += VL) {
    const int64_t at = p < count - VL ? p : count - VL;
    Square<T, FASTCONV_VEC_BYTES>::transpose(y + at, a.y_channel, src + at * VL, VL);
  }
}

template <class T>
FASTCONV_INLINE void store_output(const WinogradOutput<T>& a, T* to, Vec<T> out, Vec<T> bias) {
  out += bias;
  if (a.clamp) {
    const Vec<T> low = splat<T>(a.low), high = splat<T>(a.high);
    out = out < low ? low : out;
    out = out > high ? high : out;
  }
  store(to, out);
}

// Of a tile's axis: N, or at most so many where large squares of all taps share a kernel.
template <int N, int P, class T>
FASTCONV_INLINE int outputs_of(const WinogradOutput<T>& a) {
  return P == kWinogradLargeIn && kSharesOutputs<T> ? a.outputs : N;
}

// The outputs of a tile to `to`, their rows and columns so many elements apart, the last ones at an offset of their
// own: in a short tile they take the place of the last but two, or four.
template <class T, int N, int P>
FASTCONV_INLINE void output_tile(const WinogradOutput<T>& a, const T* m, T* to, int64_t row, int64_t column,
                                 int64_t last_row, int64_t last_column) {
  const int n = outputs_of<N, P>(a);
  const Vec<T> bias = a.bias ? load(a.bias) : Vec<T>{};
  Vec<T> half[P][N];  // [column of the tile][row of the output]
  each<P, kUnrolled<T, P>>([&](int j) FASTCONV_LAMBDA {
    Vec<T> in[P];
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) in[i] = load(m + (i * P + j) * a.plane);
    output_transform<T>(in, half[j], n);
  });
  const auto row_of = [&](int i) FASTCONV_LAMBDA {
    Vec<T> line[P], y[N];
#pragma GCC unroll 8
    for (int j = 0; j < P; ++j) line[j] = half[j][i];
    output_transform<T>(line, y, n);
    T* const at = to + (i == n - 1 ? last_row : i * row);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j)
      if (j < kFewestOut || j < n)
        store_output(a, at + (j >= kFewestOut - 1 && j == n - 1 ? last_column : j * column), y[j], bias);
  };
  each<N, N == 4 && kUnrolled<T, P>>(row_of, n);
}

// The outputs of a strip.
template <class T>
FASTCONV_INLINE void output_strip(const WinogradOutput<T>& a, const T* m, T* to, int64_t step) {
  Vec<T> in[kStripIn], y[kStripMostOut];
#pragma GCC unroll 8
  for (int i = 0; i < kStripIn; ++i) in[i] = load(m + i * a.plane);
  strip_output<T>(in, y, a.outputs);
  const Vec<T> bias = a.bias ? load(a.bias) : Vec<T>{};
#pragma GCC unroll 8
  for (int j = 0; j < kStripMostOut; ++j)
    if (j < kFewestOut || j < a.outputs) store_output(a, to + j * step, y[j], bias);
}

// Tiles are always written whole. Where rows of y follow one another, so do those of `pixels`, and what is too much in
// one is too much at the beginning of the next: hence the last tile goes first. Short tiles lack so many outputs.
template <class T, class Tile>
FASTCONV_INLINE void output_tiles(const WinogradOutput<T>& a, int64_t high, int64_t wide, int64_t lacking, Tile tile) {
  constexpr int VL = kLanes<T>;
  const auto first = [](int64_t t, int64_t n, int64_t apart)
                         FASTCONV_LAMBDA { return apart == 1 ? t * n : t / apart * apart * n + t % apart; };
  const bool joined = a.y_row == a.columns * a.y_step && a.row_apart == 1 && a.column_apart == 1;
  const int64_t across = a.tiles.across << a.tiles.phases;
  const int64_t columns = first(across - 1, wide, a.column_apart) + (wide - 1) * a.column_apart + 1;
  const int64_t pitch = (joined ? a.columns : columns) * VL;
  for (int64_t r = 0; r < a.tiles.down << a.tiles.phases; ++r) {
    const int64_t last_row = (high - 1 - (r >> a.tiles.phases < a.tiles.whole_down ? 0 : lacking)) * pitch;
    for (int64_t t = 0; t < across; ++t) {
      const int64_t s = t ? t - 1 : across - 1, step = a.column_apart * VL;
      tile(a.m + number_of(a.tiles, r, s) * VL, a.pixels + first(s, wide, a.column_apart) * VL, pitch, step, last_row,
           (wide - 1 - (s >> a.tiles.phases < a.tiles.whole_across ? 0 : lacking)) * step);
    }
    const int64_t h = first(a.tile_row + r, high, a.row_apart), left = (a.rows - h + a.row_apart - 1) / a.row_apart;
    const int64_t rows = left < high ? left : high;
    T* y = a.y + h * a.y_row;
    if (joined) {
      scatter_pixels(a, y, a.pixels, rows * a.columns);
    } else {
      for (int64_t i = 0; i < rows; ++i)
        scatter_pixels(a, y + i * a.row_apart * a.y_row, a.pixels + i * pitch, a.columns);
    }
  }
}
template <class T, int N, int P>
void output(const WinogradOutput<T>& a) {
  const int n = outputs_of<N, P>(a);
  output_tiles(a, n, n, P - 4,
               [&](const T* m, T* to, int64_t row, int64_t column, int64_t last_row, int64_t last_column)
                   FASTCONV_LAMBDA { output_tile<T, N, P>(a, m, to, row, column, last_row, last_column); });
}
template <class T>
void strip_outputs(const WinogradOutput<T>& a) {
  output_tiles(a, a.vertical ? a.outputs : 1, a.vertical ? 1 : a.outputs, 0,
               [&](const T* m, T* to, int64_t row, int64_t column, int64_t, int64_t)
                   FASTCONV_LAMBDA { output_strip(a, m, to, a.vertical ? row : column); });
}

template <class T>
FASTCONV_INLINE void clear(T* to, int64_t begin, int64_t end) {
  for (int64_t e = begin; e < end; e += kLanes<T>) store(to + e, Vec<T>{});
}

// The sums of a row of tiles added to the pixels that their patches would read. Two lines of a short tile may be one.
template <class T, int P>
void spread(const WinogradAddends<T>& a) {
  for (int i = 0; i < P; ++i)
    if (a.fresh >> i & 1) clear(a.pixels + a.row[i], 0, a.head), clear(a.pixels + a.row[i], a.tail, a.elements);
  const int32_t* column = a.column;
  for (int64_t s = 0; s < a.tiles.across; ++s, column += P) {
    const unsigned fresh = s > 0 && s < a.inner ? a.fresh : 0;
    const T* m = a.m + number_of(a.tiles, a.r, s) * kLanes<T>;
    Vec<T> half[P][P];  // [column of the tile][row of the patch]
    each<P, kUnrolled<T, P>>([&](int j) FASTCONV_LAMBDA {
      Vec<T> in[P];
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) in[i] = load(m + (i * P + j) * a.plane);
      input_transform_back<T>(in, half[j]);
    });
    each<P, kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
      Vec<T> line[P], out[P];
#pragma GCC unroll 8
      for (int j = 0; j < P; ++j) line[j] = half[j][i];
      input_transform_back<T>(line, out);
      T* to = a.pixels + a.row[i];
      const auto add = [&](int j) FASTCONV_LAMBDA {
        store(to + column[j], load(static_cast<const T*>(to + column[j])) + out[j]);
      };
      add(0), add(1);
      if (fresh >> i & 1) {
        to += column[2];
#pragma GCC unroll 8
        for (int j = 2; j < P; ++j) store(to + (j - 2) * kLanes<T>, out[j]);
      } else {
#pragma GCC unroll 8
        for (int j = 2; j < P; ++j) add(j);
      }
    });
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
