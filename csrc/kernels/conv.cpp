// Register tiles and packing of the convolutions, compiled once per rung.
#include "kernels/conv.hpp"

#include "isa/table.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// Registers left for accumulators beside a row of b and one broadcast; without fused multiply-add a product needs one too.
#if FASTCONV_VEC_REGISTERS == 32
constexpr int kAccumulators = 24, kRows = 8;
#elif defined(__FMA__)
constexpr int kAccumulators = 12, kRows = 4;
#else
constexpr int kAccumulators = 8, kRows = 4;
#endif

// The edge of a run: the tile goes through a buffer, so that the hot code stores whole vectors only.
template <class T>
__attribute__((noinline)) void copy_tile(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t columns) {
  constexpr int VL = kLanes<T>;
  for (int64_t m = 0; m < rows; ++m, dst += ldd, src += lds) {
    int64_t i = 0;
    for (; i + VL <= columns; i += VL) store(dst + i, load(src + i));
    copy_first(dst + i, src + i, columns - i);
  }
}

template <class T, int MR, int NV>
FASTCONV_INLINE void tile_panel(const TileRun<T>& t, const T* b, T* c, int64_t ldc) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NV];
  const T* a[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
    a[m] = t.a + m * t.lda;
    const Vec<T> init = t.bias ? splat<T>(t.bias[m]) : Vec<T>{};
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] = init;
  }
  if (t.accumulate) {
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[m][v] = load(c + m * ldc + v * VL);
  }
  for (int64_t k = 0; k < t.k; ++k) {
    const T* bk = b + t.boff[k];
    Vec<T> bv[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) bv[v] = load(bk + v * VL);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> s = splat<T>(a[m][k]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[m][v] += s * bv[v];
    }
  }
  if (t.clamp) {
    const Vec<T> low = splat<T>(t.low), high = splat<T>(t.high);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        acc[m][v] = acc[m][v] < low ? low : acc[m][v];
        acc[m][v] = acc[m][v] > high ? high : acc[m][v];
      }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store(c + m * ldc + v * VL, acc[m][v]);
}

template <class T, int MR, int NV>
void tile(const TileRun<T>& t) {
  constexpr int64_t NR = NV * kLanes<T>;
  alignas(64) T edge[MR * NR];
  for (int64_t p = 0; p < t.pixels; p += NR) {
    const int64_t left = t.pixels - p;
    const bool whole = left >= NR;
    if (!whole && t.accumulate) copy_tile<T>(edge, NR, t.c + p, t.ldc, MR, left);
    tile_panel<T, MR, NV>(t, t.b + p, whole ? t.c + p : edge, whole ? t.ldc : NR);
    if (!whole) copy_tile<T>(t.c + p, t.ldc, edge, NR, MR, left);
  }
}

template <class T, int MR, int NV>
void outer(const OuterTile<T>& t) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NV];
  const T* a[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
    a[m] = t.a + t.aoff[m];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] = load(t.c + m * t.ldc + v * VL);
  }
  const T* b = t.b;
  for (int64_t p = 0; p < t.pixels; ++p, b += t.ldb) {
    const int64_t at = t.poff[p];
    Vec<T> bv[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) bv[v] = load(b + v * VL);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> s = splat<T>(a[m][at]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[m][v] += s * bv[v];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store(t.c + m * t.ldc + v * VL, acc[m][v]);
}

template <class T, int MR, int NT>
void dot(const DotTile<T>& t) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NT];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < NT; ++n) acc[m][n] = load(t.c + m * t.ldc + n * VL);
  int64_t off[NT];
#pragma GCC unroll 8
  for (int n = 0; n < NT; ++n) off[n] = t.boff[n];
  const int64_t left = t.pixels % VL;
  for (int64_t r = 0; r < t.rows; ++r) {
    const T* a = t.a + r * t.a_row;
    const T* b = t.b + r * t.b_row;
    int64_t p = 0;
    for (; p + VL <= t.pixels; p += VL) {
      Vec<T> av[MR];
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) av[m] = load(a + m * t.lda + p);
#pragma GCC unroll 8
      for (int n = 0; n < NT; ++n) {
        const Vec<T> bv = load(b + off[n] + p);
#pragma GCC unroll 8
        for (int m = 0; m < MR; ++m) acc[m][n] += av[m] * bv;
      }
    }
    if (left) {  // both sides are cut: a value beyond the row might be infinite
      const Mask<T> keep = first_lanes<T>(left);
      Vec<T> av[MR];
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) av[m] = load_first(a + m * t.lda + p, left);
#pragma GCC unroll 8
      for (int n = 0; n < NT; ++n) {
        const Vec<T> bv = keep ? load(b + off[n] + p) : Vec<T>{};
#pragma GCC unroll 8
        for (int m = 0; m < MR; ++m) acc[m][n] += av[m] * bv;
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < NT; ++n) store(t.c + m * t.ldc + n * VL, acc[m][n]);
}

template <class T>
FASTCONV_INLINE void copy_run(T* dst, const T* src, int64_t n) {
  constexpr int VL = kLanes<T>;
  if (n < VL) {
    copy_first(dst, src, n);
    return;
  }
  int64_t i = 0;
  for (; i + VL <= n; i += VL) store(dst + i, load(src + i));
  if (i < n) store(dst + n - VL, load(src + n - VL));
}

template <class T>
void pack_line(T* dst, const T* src, const PackRun* runs, int64_t count) {
  for (const PackRun* r = runs; r != runs + count; ++r) {
    T* d = dst + r->dst;
    const int64_t n = r->length;
    if (r->src == PackRun::kZeros) {
      for (int64_t i = 0; i < n; ++i) d[i] = 0;
      continue;
    }
    const T* s = src + r->src;
    if (n == 1) *d = *s;
    else if (r->step == 1) copy_run(d, s, n);
    else if (r->step == 2)
      for (int64_t i = 0; i < n; ++i) d[i] = s[2 * i];
    else
      for (int64_t i = 0; i < n; ++i) d[i] = s[i * r->step];
  }
}

template <class T>
void add_line(T* dst, const T* src, const PackRun* runs, int64_t count) {
  for (const PackRun* r = runs; r != runs + count; ++r) {
    if (r->src == PackRun::kZeros) continue;
    T* d = dst + r->dst;
    const T* s = src + r->src;
    if (r->step == 1)
      for (int64_t i = 0; i < r->length; ++i) d[i] += s[i];
    else
      for (int64_t i = 0; i < r->length; ++i) d[i] += s[i * r->step];
  }
}

template <class T>
void pack_transposed(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixel_stride, int64_t pixels, int64_t channels,
                     int64_t padded) {
  for (int64_t p = 0; p < pixels; ++p) {
    T* d = dst + p * ldd;
    const T* s = src + p * pixel_stride;
    for (int64_t c = 0; c < channels; ++c) d[c] = s[c * channel_stride];
    for (int64_t c = channels; c < padded; ++c) d[c] = 0;
  }
}

// Eight vectors of partial sums, then a tree: the error grows with n / (8 lanes), not n.
template <class T>
T sum(const T* src, int64_t stride, int64_t n) {
  constexpr int VL = kLanes<T>, U = 4;
  T total = 0;
  int64_t i = 0;
  if (stride == 1) {
    Vec<T> acc[U] = {};
    for (; i + U * VL <= n; i += U * VL)
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) acc[u] += load(src + i + u * VL);
    Vec<T> all = (acc[0] + acc[1]) + (acc[2] + acc[3]);
    for (int l = 0; l < VL; ++l) total += all[l];
  }
  for (; i < n; ++i) total += src[i * stride];
  return total;
}

template <class T, int MR, int NV>
constexpr auto tile_entry() -> void (*)(const TileRun<T>&) {
  if constexpr (MR * NV <= kAccumulators && MR <= kRows) return tile<T, MR, NV>;
  else return nullptr;
}
template <class T, int MR, int NV>
constexpr auto outer_entry() -> void (*)(const OuterTile<T>&) {
  if constexpr (MR * NV <= kAccumulators && MR <= kRows) return outer<T, MR, NV>;
  else return nullptr;
}
template <class T, int MR, int NT>
constexpr auto dot_entry() -> void (*)(const DotTile<T>&) {
  if constexpr (MR * NT <= kAccumulators) return dot<T, MR, NT>;
  else return nullptr;
}

#define FASTCONV_ROW(entry, mr) \
  { entry<T, mr, 1>(), entry<T, mr, 2>(), entry<T, mr, 3>(), entry<T, mr, 4>(), entry<T, mr, 5>(), entry<T, mr, 6>() }
template <class T>
constexpr ConvKernelsOf<T> make_kernels() {
  return {kLanes<T>,
          kAccumulators,
          kRows,
          {FASTCONV_ROW(tile_entry, 1), FASTCONV_ROW(tile_entry, 2), FASTCONV_ROW(tile_entry, 3), FASTCONV_ROW(tile_entry, 4),
           FASTCONV_ROW(tile_entry, 5), FASTCONV_ROW(tile_entry, 6), FASTCONV_ROW(tile_entry, 7), FASTCONV_ROW(tile_entry, 8)},
          {FASTCONV_ROW(outer_entry, 1), FASTCONV_ROW(outer_entry, 2), FASTCONV_ROW(outer_entry, 3), FASTCONV_ROW(outer_entry, 4),
           FASTCONV_ROW(outer_entry, 5), FASTCONV_ROW(outer_entry, 6), FASTCONV_ROW(outer_entry, 7), FASTCONV_ROW(outer_entry, 8)},
          {FASTCONV_ROW(dot_entry, 1), FASTCONV_ROW(dot_entry, 2), FASTCONV_ROW(dot_entry, 3), FASTCONV_ROW(dot_entry, 4)},
          pack_line<T>,
          add_line<T>,
          pack_transposed<T>,
          sum<T>};
}
#undef FASTCONV_ROW

const ConvKernels& conv_kernels() {
  static constexpr ConvKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
