// Register tiles of the products of transformed values (kernels/winograd/winograd.hpp).
#pragma once
#include "kernels/registers.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

template <class T>
constexpr int kVectors = FASTCONV_VEC_REGISTERS == 32 && sizeof(T) == 4 ? 4 : 2;  // float64: half the code
constexpr int kTiles = 8;
// Tiles of a product: no more than the processor's pipelines take.
constexpr int64_t most_tiles(int64_t vectors) {
  const int64_t most = kSmallCode ? kTallest<float> : vectors > 1 ? 6 : kTiles;
  return kMostSums / vectors < most ? kMostSums / vectors : most;
}
constexpr int64_t kDepth = 128;  // channels at a time: so many vectors of u stay in the L1 cache

// acc[t][r] += u[r] v[t], the latter's values Step apart.
template <class T, int MR, int NV, int Step>
FASTCONV_INLINE void multiply_one(const T* u, int64_t u_vector, const T* v, Vec<T> (&acc)[MR][NV]) {
  Vec<T> b[NV];
#pragma GCC unroll 4
  for (int r = 0; r < NV; ++r) b[r] = load(u + r * u_vector);
#pragma GCC unroll 12
  for (int t = 0; t < MR; ++t) {
    const Vec<T> s = splat<T>(v[t * Step]);
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r) acc[t][r] += s * b[r];
  }
}

// m (+)= u v for MR tiles and NV vectors of rows, over the channels [0, channels).
template <class T, int MR, int NV>
void product(const T* u, int64_t u_vector, const T* v, int64_t v_vector, T* m, int64_t m_vector, int64_t channels,
             bool accumulate) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NV] = {};
  if (accumulate) {
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r)
#pragma GCC unroll 12
      for (int t = 0; t < MR; ++t) acc[t][r] = load(m + r * m_vector + t * VL);
  }
  for (; channels > 0; channels -= VL, v += v_vector) {
    const T *at = v, *end = v + (channels < VL ? channels : VL);
    do multiply_one<T, MR, NV, VL>(u, u_vector, at, acc), u += VL;
    while (++at != end);
  }
#pragma GCC unroll 4
  for (int r = 0; r < NV; ++r, m += m_vector)
#pragma GCC unroll 12
    for (int t = 0; t < MR; ++t) store(m + t * VL, acc[t][r]);
}

// s (+)= g v for MR channels of x and NV vectors of dy's, over `tiles` tiles. What s holds is fetched meanwhile and
// added last.
template <class T, int MR, int NV>
void tile_sum(const T* g, int64_t g_vector, const T* v, T* s, int64_t s_vector, int64_t tiles, bool accumulate) {
  constexpr int VL = kLanes<T>, kOfLine = 64 / FASTCONV_VEC_BYTES;
  Vec<T> acc[MR][NV] = {};
#pragma GCC unroll 4
  for (int r = 0; r < NV; ++r)
#pragma GCC unroll 12
    for (int c = 0; c < MR; c += kOfLine) __builtin_prefetch(s + r * s_vector + c * VL, 1);
  for (int64_t t = 0; t < tiles; ++t, g += VL, v += VL) multiply_one<T, MR, NV, 1>(g, g_vector, v, acc);
  if (accumulate) {
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r)
#pragma GCC unroll 12
      for (int c = 0; c < MR; ++c) acc[c][r] += load(static_cast<const T*>(s + r * s_vector + c * VL));
  }
#pragma GCC unroll 4
  for (int r = 0; r < NV; ++r, s += s_vector)
#pragma GCC unroll 12
    for (int c = 0; c < MR; ++c) store(s + c * VL, acc[c][r]);
}

template <class T>
using Product = void (*)(const T*, int64_t, const T*, int64_t, T*, int64_t, int64_t, bool);
template <class T>
using TileSum = void (*)(const T*, int64_t, const T*, T*, int64_t, int64_t, bool);
template <class T, int NV, int MR>
constexpr Product<T> product_entry() {
  if constexpr (NV <= kVectors<T> && MR <= most_tiles(NV)) return product<T, MR, NV>;
  else return nullptr;
}
#define FASTCONV_ROW(nv)                                                                                           \
  {                                                                                                                \
    product_entry<T, nv, 1>(), product_entry<T, nv, 2>(), product_entry<T, nv, 3>(), product_entry<T, nv, 4>(),    \
        product_entry<T, nv, 5>(), product_entry<T, nv, 6>(), product_entry<T, nv, 7>(), product_entry<T, nv, 8>() \
  }
template <class T>
struct Registers {  // [NV - 1][MR - 1], null where it does not fit
  static constexpr Product<T> product[4][kTiles] = {FASTCONV_ROW(1), FASTCONV_ROW(2), FASTCONV_ROW(3), FASTCONV_ROW(4)};
};
#undef FASTCONV_ROW

// Channels of the next tile of sums where a vector has n left: of few sizes, as what is too much may be summed up too.
template <class T>
constexpr int sum_rows(int nv, int64_t n) {
  constexpr int VL = kLanes<T>, kHalf = VL < 4 ? VL : 4, kTall[] = {kSums<T>, kSums<T> / 2, kSums<T> / 3, kSums<T> / 4};
  const int tall = kTall[nv - 1];
  if (VL < 8 || n <= kHalf || tall < 6 || (tall < 8 && VL == 8)) return kHalf;
  return tall >= 8 ? 8 : n < VL ? 5 : 6;
}
template <class T, int MR, int NV>
constexpr TileSum<T> tile_sum_entry() {
  if constexpr (NV > kVectors<T>) return nullptr;
  else if constexpr (sum_rows<T>(NV, 1) == MR || sum_rows<T>(NV, 5) == MR || sum_rows<T>(NV, 16) == MR)
    return tile_sum<T, MR, NV>;
  else return nullptr;
}
#define FASTCONV_ROW(nv)                                                                                  \
  {                                                                                                       \
    nullptr, tile_sum_entry<T, 2, nv>(), nullptr, tile_sum_entry<T, 4, nv>(), tile_sum_entry<T, 5, nv>(), \
        tile_sum_entry<T, 6, nv>(), nullptr, tile_sum_entry<T, 8, nv>()                                   \
  }
template <class T>
struct SumRegisters {
  static constexpr TileSum<T> tile_sum[4][8] = {FASTCONV_ROW(1), FASTCONV_ROW(2), FASTCONV_ROW(3), FASTCONV_ROW(4)};
};
#undef FASTCONV_ROW

// As equal parts as can be, none above `most`: the length of the part at `at`.
FASTCONV_INLINE int64_t even_part(int64_t n, int64_t most, int64_t at) {
  const int64_t left = n - at, parts = (left + most - 1) / most;
  return (left + parts - 1) / parts;
}

template <class T>
void products(const WinogradProducts<T>& a) {
  constexpr int VL = kLanes<T>;
  if (a.tiles == 0) return;
  for (int64_t c = 0; c < a.channels; c += kDepth) {
    const int64_t depth = a.channels - c < kDepth ? a.channels - c : kDepth;
    for (int64_t r = 0, nv; r < a.vectors; r += nv) {
      nv = even_part(a.vectors, kVectors<T>, r);
      const int64_t parts = (a.tiles + most_tiles(nv) - 1) / most_tiles(nv), least = a.tiles / parts;
      for (int64_t t = 0, mr, taller = a.tiles - least * parts; t < a.tiles; t += mr, --taller) {
        mr = least + (taller > 0);
        Registers<T>::product[nv - 1][mr - 1](a.u + r * a.u_vector + c * VL, a.u_vector,
                                              a.v + c / VL * a.v_vector + t * VL, a.v_vector,
                                              a.m + r * a.m_vector + t * VL, a.m_vector, depth, a.accumulate || c > 0);
      }
    }
  }
}

template <class T>
void tile_sums(const WinogradTileSums<T>& a) {
  constexpr int VL = kLanes<T>;
  for (int64_t r = 0, nv; r < a.vectors; r += nv) {
    nv = even_part(a.vectors, kVectors<T>, r);
    for (int64_t c0 = 0; c0 < a.channels; c0 += VL) {
      const int64_t n = a.channels - c0 < VL ? a.channels - c0 : VL;
      for (int64_t c = 0, mr; c < n; c += mr) {
        mr = sum_rows<T>(nv, n - c);
        SumRegisters<T>::tile_sum[nv - 1][mr - 1](a.g + r * a.g_vector, a.g_vector, a.v + c0 / VL * a.v_vector + c,
                                                  a.s + r * a.s_vector + (c0 + c) * VL, a.s_vector, a.tiles,
                                                  a.accumulate);
      }
    }
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
