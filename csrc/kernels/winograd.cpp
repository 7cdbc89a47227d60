// Winograd's F(4x4, 3x3) and F(5x5, 2x2) (Lavin and Gray, arXiv:1509.09308) on the points 0, 1, -1, 2, -2 and infinity,
// F(6x6, 3x3) and F(4x4, 5x5) on the points of strips, a vector holding one value of many channels.
#include "kernels/winograd.hpp"

#include "isa/table.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/transpose.hpp"
#include "kernels/vec.hpp"
#include "kernels/winograd_strips.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// The number of tile s of row r.
FASTCONV_INLINE int64_t number_of(const WinogradTiles& t, int64_t r, int64_t s) {
  const int64_t phase = t.phase[r & t.phases][s & t.phases];
  r >>= t.phases, s >>= t.phases;
  const bool low = r >= t.whole_down, right = s >= t.whole_across;
  return phase + t.begin[low][right] + (low ? 0 : r) * (right ? 1 : t.whole_across) + (right ? 0 : s);
}

// Large tiles are not worth their code on the oldest rung.
#if defined(__FMA__) || FASTCONV_VEC_REGISTERS == 32
constexpr bool kLargeTiles = true;
#else
constexpr bool kLargeTiles = false;
#endif

// Whether halves of a transform are unrolled, which takes twice the code: where most values of a tile fit the
// registers.
template <class T, int P>
constexpr bool kUnrolled = P == 6 && sizeof(T) == 4 && FASTCONV_VEC_REGISTERS == 32;

// f(0) ... f(N - 1)
template <int N, bool kUnroll, class F>
FASTCONV_INLINE void each(F f) {
  if constexpr (kUnroll) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) f(i);
  } else {
#pragma GCC unroll 1
    for (int i = 0; i < N; ++i) f(i);
  }
}

// The first `count` of P values to one plane after another, what is `ahead` of them being fetched. Returns the plane
// behind the last: addresses are added up, which takes less than to multiply them.
template <class T, int P>
FASTCONV_INLINE T* store_planes(T* to, int64_t plane, const Vec<T> (&v)[P], int ahead, int count = P) {
#pragma GCC unroll 8
  for (int j = 0; j < P; ++j, to += plane)
    if (j < count) store(to, v[j]), __builtin_prefetch(to + ahead, 1);
  return to;
}

// out = B^T in, each value divided by what G's would be: of small images, weights are more than inputs.
template <class T>
FASTCONV_INLINE void input_transform(const Vec<T> (&d)[6], Vec<T> (&v)[6]) {
  const Vec<T> even = T(2.0 / 3) * d[2] - T(1.0 / 6) * d[4], odd = T(2.0 / 3) * d[1] - T(1.0 / 6) * d[3];
  const Vec<T> even2 = T(1.0 / 24) * (d[4] - d[2]), odd2 = T(1.0 / 12) * (d[3] - d[1]);
  v[0] = d[0] - T(1.25) * d[2] + T(0.25) * d[4];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even2 + odd2;
  v[4] = even2 - odd2;
  v[5] = T(4) * d[1] - T(5) * d[3] + d[5];
}

// out = A^T in, and G^T in but for its divisors.
template <class T, int N>
FASTCONV_INLINE void output_transform(const Vec<T> (&m)[6], Vec<T> (&y)[N]) {
  const Vec<T> sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum + sum2;
#pragma GCC unroll 8
  for (int k = 1; k < N; ++k) y[k] = k % 2 ? difference + T(1 << k) * difference2 : sum + T(1 << k) * sum2;
  y[N - 1] += m[5];
}
template <class T, int N>
FASTCONV_INLINE void output_transform(const Vec<T> (&m)[8], Vec<T> (&y)[N]) {
  strip_output<T>(m, y, N);
}

// The values of polynomials at the points: G in, but for its divisors, and A in.
template <class T, int R>
FASTCONV_INLINE void point_values(const Vec<T> (&g)[R], Vec<T> (&u)[6]) {
  Vec<T> even = g[0], odd = g[1], even2 = g[0], odd2 = T(2) * g[1];
#pragma GCC unroll 8
  for (int k = 2; k < R; k += 2) even += g[k], even2 += T(1 << k) * g[k];
#pragma GCC unroll 8
  for (int k = 3; k < R; k += 2) odd += g[k], odd2 += T(1 << k) * g[k];
  u[0] = g[0];
  u[1] = even + odd;
  u[2] = even - odd;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = g[R - 1];
}

// G in, but for the divisors of small tiles
template <class T, int R>
FASTCONV_INLINE void weight_transform(const Vec<T> (&g)[R], Vec<T> (&u)[6]) {
  point_values<T>(g, u);
}
template <class T, int R>
FASTCONV_INLINE void weight_transform(const Vec<T> (&g)[R], Vec<T> (&u)[8]) {
  strip_weight_transform<T>(g, u);
  u[7] = g[R - 1];
}

// G^T in, but for the divisors of small tiles
template <class T, int R>
FASTCONV_INLINE void sum_transform(const Vec<T> (&s)[6], Vec<T> (&w)[R]) {
  output_transform<T>(s, w);
}
template <class T, int R>
FASTCONV_INLINE void sum_transform(const Vec<T> (&s)[8], Vec<T> (&w)[R]) {
#pragma GCC unroll 4
  for (int t = 0; t < R; ++t) w[t] = strip_sum<T>(s, t);
  w[R - 1] += s[7];
}

template <class T>
void pixels(const WinogradPixels<T>& a) {
  constexpr int VL = kLanes<T>;
  if (a.channels < VL / 4 || a.count < VL || a.step != 1) {
    for (int64_t c = 0; c < VL; ++c)  // channel by channel: a step that the processor foresees
      for (int64_t p = 0; p < a.count; ++p)
        a.pixels[p * VL + c] = c < a.channels ? a.src[c * a.channel_stride + p * a.step] : T(0);
    return;
  }
  alignas(64) T copy[VL * VL];  // with lines of zeros
  if (a.channels < VL)
    for (int c = 0; c < VL; ++c) store(copy + c * VL, Vec<T>{});
  for (int64_t p = 0; p < a.count; p += VL) {
    const int64_t at = p < a.count - VL ? p : a.count - VL;  // the last square overlaps the one before
    const T* src = a.src + at;
    int64_t stride = a.channel_stride;
    if (a.channels < VL) {
      for (int64_t c = 0; c < a.channels; ++c) store(copy + c * VL, load(src + c * stride));
      src = copy, stride = VL;
    }
    Square<T, FASTCONV_VEC_BYTES>::transpose(a.pixels + at * VL, VL, src, stride);
  }
}

// taps[t * lanes + m] of R * R taps side by side, for a whole vector of rows
template <class T, int R>
FASTCONV_INLINE void dense_taps(T* taps, const T* w, int64_t row_stride) {
  constexpr int VL = kLanes<T>, last = R * R - 1;  // a multiple of 8
  using S = Square<T, (FASTCONV_VEC_BYTES < 32 ? FASTCONV_VEC_BYTES : 32)>;
#pragma GCC unroll 1
  for (int m = 0; m < VL; m += S::N)
#pragma GCC unroll 1
    for (int t = 0; t < last; t += S::N) S::transpose(taps + t * VL + m, VL, w + m * row_stride + t, row_stride);
#pragma GCC unroll 16
  for (int m = 0; m < VL; ++m) taps[last * VL + m] = w[m * row_stride + last];
}

// The step of taps that lie side by side, 1 or -1, for a whole vector of rows; 0 of others.
template <class T, int R>
FASTCONV_INLINE int64_t dense_step(const WinogradWeights<T>& a) {
  const int64_t step = a.tap[1] - a.tap[0];
  bool dense = R > 2 && (step == 1 || step == -1) && a.rows == kLanes<T>;
  for (int t = 1; t < R * R; ++t) dense &= a.tap[t] - a.tap[t - 1] == step;
  return dense ? step : 0;
}

// taps[(c * R * R + t) * lanes + m] of channels [c0, c0 + channels): in the order of the memory where they lie side by
// side.
template <class T, int R>
__attribute__((noinline)) void gather_taps(const WinogradWeights<T>& a, int64_t c0, int64_t channels, int64_t step,
                                           T* taps) {
  constexpr int VL = kLanes<T>, kTaps = R * R;
  for (const T* w = a.w + c0 * a.channel_stride; channels > 0; --channels, w += a.channel_stride, taps += kTaps * VL) {
    if (step) {
      if constexpr (R > 2) dense_taps<T, R>(taps, w + a.tap[step < 0 ? kTaps - 1 : 0], a.row_stride);
    } else {
      for (int t = 0; t < kTaps; ++t)
        for (int64_t m = 0; m < VL; ++m) taps[t * VL + m] = m < a.rows ? w[m * a.row_stride + a.tap[t]] : T(0);
    }
  }
}

template <class T, int R, int P>
void weights(const WinogradWeights<T>& a) {
  constexpr int VL = kLanes<T>, kChunk = 8, kTaps = R * R;
  const int64_t step = dense_step<T, R>(a), plane = a.plane;
  const int64_t first = step < 0 ? (kTaps - 1) * VL : 0, next = step < 0 ? -VL : VL;
  alignas(64) T taps[kChunk][kTaps * VL];
  for (int64_t c0 = 0; c0 < a.channels; c0 += kChunk) {
    const int64_t chunk = a.channels - c0 < kChunk ? a.channels - c0 : kChunk;
    gather_taps<T, R>(a, c0, chunk, step, taps[0]);
    for (int64_t c = 0; c < chunk; ++c) {
      const T* tap = taps[c] + first;
      Vec<T> half[R][P];  // [column][row]
      each<R, R <= 3>([&](int j) FASTCONV_LAMBDA {
        Vec<T> g[R];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) g[i] = load(tap + (i * R + j) * next);
        weight_transform<T>(g, half[j]);
      });
      T* to = a.u + (c0 + c) * VL;
      each<P, R == 3 && kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
        Vec<T> g[R], u[P];
#pragma GCC unroll 8
        for (int j = 0; j < R; ++j) g[j] = half[j][i];
        weight_transform<T>(g, u);
        to = store_planes<T>(to, plane, u, 2 * VL);
      });
    }
  }
}

// taps[(c * count + t) * lanes + m] of channels [c0, c0 + channels): all taps in the order of the memory where they lie
// side by side, else those of each part.
template <class T>
FASTCONV_INLINE void gather_parts(const WinogradPartWeights<T>& a, int64_t c0, int64_t channels, int64_t count,
                                  T* taps) {
  constexpr int VL = kLanes<T>;
  const int64_t run = a.dense == a.channel_stride ? channels : 1;
  for (int64_t c = 0; c < channels; c += run) {
    const T* w = a.w + (c0 + c) * a.channel_stride;
    T* to = taps + c * count * VL;
    if (a.dense) pack_transposed<T>(to, VL, w + a.first, a.row_stride, 1, run * count, a.rows, VL);
    for (int64_t t = 0; t < count && !a.dense; ++t) {
      const int64_t tap = a.tap[t / 9][t % 9];
      for (int64_t m = 0; m < VL; ++m) to[t * VL + m] = m < a.rows && tap != kNoTap ? w[m * a.row_stride + tap] : T(0);
    }
  }
}

// G for two or three taps, the last being what infinity has.
template <class T>
FASTCONV_INLINE void part_transform(const Vec<T> (&g)[3], bool three, Vec<T> (&u)[6]) {
  point_values<T>(g, u);
  if (!three) u[5] = g[1];
}

template <class T>
void part_weights(const WinogradPartWeights<T>& a) {
  constexpr int VL = kLanes<T>, kChunk = 8;
  alignas(64) T taps[kChunk * kWinogradTaps * VL];
  alignas(64) const T none[VL] = {};
  const int64_t count = a.dense ? a.dense : kWinogradTaps;
  for (int64_t c0 = 0; c0 < a.channels; c0 += kChunk) {
    const int64_t chunk = a.channels - c0 < kChunk ? a.channels - c0 : kChunk;
    gather_parts(a, c0, chunk, count, taps);
    for (int p = 0; p < kWinogradParts; ++p)
      for (int64_t c = 0; c < chunk; ++c) {
        Vec<T> half[3][6];  // [column][row]
        for (int j = 0; j < 3; ++j) {
          Vec<T> g[3];
#pragma GCC unroll 4
          for (int i = 0; i < 3; ++i) {
            const int64_t tap = a.tap[p][3 * i + j], at = a.dense ? tap - a.first : 9 * p + 3 * i + j;
            g[i] = load(tap == kNoTap ? none : taps + (c * count + at) * VL);
          }
          part_transform<T>(g, a.three, half[j]);
        }
        T* to = a.u + p * a.part + (c0 + c) * VL;
        const int rows = a.uneven && p / 2 ? 5 : 6, columns = a.uneven && p % 2 ? 5 : 6;
        for (int i = 0; i < rows; ++i) {
          const Vec<T> g[3] = {half[0][i], half[1][i], half[2][i]};
          Vec<T> u[6];
          part_transform<T>(g, a.three, u);
          to = store_planes<T>(to, a.plane, u, 2 * VL, columns);
        }
      }
  }
}

// Registers left for sums beside NV vectors of u and one broadcast; without fused multiply-add a product needs one too.
#if FASTCONV_VEC_REGISTERS == 32
constexpr int kMostSums = 24, kVectors = 4;
#elif defined(__FMA__)
constexpr int kMostSums = 12, kVectors = 2;
#else
constexpr int kMostSums = 8, kVectors = 2;
#endif
constexpr int kTiles = 8;  // enough for the processor's pipelines, whatever the number of vectors
// Half the code for float64, as in kernels/conv.cpp.
template <class T>
constexpr int kSums = sizeof(T) == 8 && kMostSums > 16 ? 16 : kMostSums;
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
  Vec<T> acc[MR][NV];
#pragma GCC unroll 12
  for (int t = 0; t < MR; ++t)
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r) acc[t][r] = accumulate ? load(m + r * m_vector + t * VL) : Vec<T>{};
  for (; channels > 0; channels -= VL, v += v_vector) {
    const T *at = v, *end = v + (channels < VL ? channels : VL);
    do multiply_one<T, MR, NV, VL>(u, u_vector, at, acc), u += VL;
    while (++at != end);
  }
#pragma GCC unroll 12
  for (int t = 0; t < MR; ++t)
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r) store(m + r * m_vector + t * VL, acc[t][r]);
}

// s (+)= g v for MR channels of x and NV vectors of dy's, over `tiles` tiles. What s holds is fetched meanwhile and
// added last.
template <class T, int MR, int NV>
void tile_sum(const T* g, int64_t g_vector, const T* v, T* s, int64_t s_vector, int64_t tiles, bool accumulate) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NV];
#pragma GCC unroll 12
  for (int c = 0; c < MR; ++c)
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r) {
      __builtin_prefetch(s + r * s_vector + c * VL, 1);
      acc[c][r] = Vec<T>{};
    }
  for (int64_t t = 0; t < tiles; ++t, g += VL, v += VL) multiply_one<T, MR, NV, 1>(g, g_vector, v, acc);
#pragma GCC unroll 12
  for (int c = 0; c < MR; ++c)
#pragma GCC unroll 4
    for (int r = 0; r < NV; ++r) {
      T* to = s + r * s_vector + c * VL;
      store(to, accumulate ? load(static_cast<const T*>(to)) + acc[c][r] : acc[c][r]);
    }
}

template <class T>
using Product = void (*)(const T*, int64_t, const T*, int64_t, T*, int64_t, int64_t, bool);
template <class T>
using TileSum = void (*)(const T*, int64_t, const T*, T*, int64_t, int64_t, bool);
template <class T, int NV, int MR>
constexpr Product<T> product_entry() {
  if constexpr (MR * NV <= kSums<T> && NV <= kVectors && MR <= kTiles) return product<T, MR, NV>;
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
  constexpr int VL = kLanes<T>, kHalf = VL < 4 ? VL : 4;
  const int tall = kSums<T> / nv;
  if (VL < 8 || n <= kHalf || tall < 6 || (tall < 8 && VL == 8)) return kHalf;
  return tall >= 8 ? 8 : n < VL ? 5 : 6;
}
template <class T, int MR, int NV>
constexpr TileSum<T> tile_sum_entry() {
  if constexpr (NV > kVectors) return nullptr;
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
  for (int64_t c = 0; c < a.channels; c += kDepth) {
    const int64_t depth = a.channels - c < kDepth ? a.channels - c : kDepth;
    for (int64_t r = 0, nv; r < a.vectors; r += nv) {
      nv = even_part(a.vectors, kVectors, r);
      const int64_t tall = kSums<T> / nv < kTiles ? kSums<T> / nv : kTiles;
      for (int64_t t = 0, mr; t < a.tiles; t += mr) {
        mr = even_part(a.tiles, tall, t);
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
    nv = even_part(a.vectors, kVectors, r);
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

// The NxN outputs of a tile to `to`, their rows and columns so many elements apart, the last ones at an offset of their
// own: in a short tile they take the place of the last but two, or four.
template <class T, int N, int P>
FASTCONV_INLINE void output_tile(const WinogradOutput<T>& a, const T* m, T* to, int64_t row, int64_t column,
                                 int64_t last_row, int64_t last_column) {
  const Vec<T> bias = a.bias ? load(a.bias) : Vec<T>{};
  Vec<T> half[P][N];  // [column of the tile][row of the output]
  each<P, kUnrolled<T, P>>([&](int j) FASTCONV_LAMBDA {
    Vec<T> in[P];
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) in[i] = load(m + (i * P + j) * a.plane);
    output_transform<T>(in, half[j]);
  });
  each<N, N == 4 && kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
    Vec<T> line[P], y[N];
#pragma GCC unroll 8
    for (int j = 0; j < P; ++j) line[j] = half[j][i];
    output_transform<T>(line, y);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j)
      store_output(a, to + (i == N - 1 ? last_row : i * row) + (j == N - 1 ? last_column : j * column), y[j], bias);
  });
}

// To `rows` rows from `row` on.
template <class T>
__attribute__((noinline)) void add_more(const WinogradOutput<T>& a, int64_t row, int64_t rows, int64_t pitch) {
  constexpr int VL = kLanes<T>;
  for (int64_t k = 0; k < a.addition_count; ++k) {
    const WinogradAddition<T>& add = a.additions[k];
    for (int64_t i = 0; i < rows; ++i) {
      if (row + i < add.row || row + i >= add.row + add.rows) continue;
      const T* src = add.src + (row + i - add.row) * add.columns * VL;
      T* to = a.pixels + i * pitch + add.column * VL;
      for (int64_t c = 0; c < add.columns * VL; c += VL)
        store(to + c, load(static_cast<const T*>(to + c)) + load(src + c));
    }
  }
}

// The outputs of a strip.
template <class T>
FASTCONV_INLINE void output_strip(const WinogradOutput<T>& a, const T* m, T* to, int64_t step) {
  Vec<T> in[kStripIn], y[kStripMostOut];
#pragma GCC unroll 8
  for (int i = 0; i < kStripIn; ++i) in[i] = load(m + i * a.plane);
  strip_output<T>(in, y, a.strip);
  const Vec<T> bias = a.bias ? load(a.bias) : Vec<T>{};
#pragma GCC unroll 8
  for (int j = 0; j < kStripMostOut; ++j)
    if (j < a.strip) store_output(a, to + j * step, y[j], bias);
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
    if (a.addition_count) add_more(a, r * high, high, pitch);
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
  output_tiles(a, N, N, P - 4,
               [&](const T* m, T* to, int64_t row, int64_t column, int64_t last_row, int64_t last_column)
                   FASTCONV_LAMBDA { output_tile<T, N, P>(a, m, to, row, column, last_row, last_column); });
}
template <class T>
void strip_outputs(const WinogradOutput<T>& a) {
  output_tiles(a, a.vertical ? a.strip : 1, a.vertical ? 1 : a.strip, 0,
               [&](const T* m, T* to, int64_t row, int64_t column, int64_t, int64_t)
                   FASTCONV_LAMBDA { output_strip(a, m, to, a.vertical ? row : column); });
}

// The L values of a line of a patch of inputs or, fewer than P, of outputs
template <class T, int L, int P>
FASTCONV_INLINE void patch_transform(const Vec<T> (&d)[L], Vec<T> (&v)[P]) {
  if constexpr (L == 8) strip_input<T>(d, v);
  else if constexpr (L == P) input_transform<T>(d, v);
  else if constexpr (P == 6) point_values<T>(d, v);
  else strip_output_back<T>(d, v, L);
}

// The patch whose lines stand at src + row[h] + column[w].
template <class T, int L, int P>
FASTCONV_INLINE void patch(const WinogradPatches<T>& a, const T* src, const int32_t* row, const int32_t* column, T* v) {
  Vec<T> half[P][L];  // [row of the result][column of the patch]
  const int64_t plane = a.plane;
  int64_t line[L];
#pragma GCC unroll 8
  for (int i = 0; i < L; ++i) line[i] = row[i];
  each<L, kUnrolled<T, P>>([&](int j) FASTCONV_LAMBDA {
    Vec<T> in[L], out[P];
#pragma GCC unroll 8
    for (int i = 0; i < L; ++i) in[i] = load(src + column[j] + line[i]);
    patch_transform<T>(in, out);
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) half[i][j] = out[i];
  });
  each<P, kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
    Vec<T> out[P];
    patch_transform<T>(half[i], out);
    v = store_planes<T>(v, plane, out, kLanes<T>);
  });
}

// Patches with columns of zeros are copied together first.
template <class T, int L, int P>
void patches(const WinogradPatches<T>& a) {
  constexpr int VL = kLanes<T>;
  alignas(64) T copy[L * L * VL];
  int32_t own_row[L], own_column[L];
  for (int i = 0; i < L; ++i) own_row[i] = i * L * VL, own_column[i] = i * VL;
  for (int64_t r = 0; r < a.tiles.down; ++r)
    for (int64_t s = 0; s < a.tiles.across; ++s) {
      const T* src = a.src;
      const int32_t *row = a.row + a.row_lines * r, *column = a.column + a.column_lines * s;
      if ((column[0] | column[L / 2] | column[L - 1]) < 0) {
        for (int j = 0; j < L; ++j) {
          Vec<T> line[L] = {};
          if (column[j] >= 0) {
#pragma GCC unroll 8
            for (int i = 0; i < L; ++i) line[i] = load(src + row[i] + column[j]);
          }
#pragma GCC unroll 8
          for (int i = 0; i < L; ++i) store(copy + (i * L + j) * VL, line[i]);
        }
        src = copy, row = own_row, column = own_column;
      }
      patch<T, L, P>(a, src, row, column, a.v + number_of(a.tiles, r, s) * VL);
    }
}

template <class T, int R, int P>
void weight_sums(const WinogradSums<T>& a) {
  constexpr int VL = kLanes<T>;
  for (int64_t c = 0; c < a.channels; ++c) {
    const T* s = a.s + c * VL;
    Vec<T> half[R][P];
    each<P, R == 3 && kUnrolled<T, P>>([&](int j) FASTCONV_LAMBDA {
      Vec<T> in[P], out[R];
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) {
        const T* at = s + (i * P + j) * a.plane;
        in[i] = load(at);
        for (int64_t k = 1; k < a.parts; ++k) in[i] += load(at + k * a.part);
      }
      sum_transform<T>(in, out);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) half[i][j] = out[i];
    });
    each<R, R == 3 && kUnrolled<T, P>>([&](int i) FASTCONV_LAMBDA {
      Vec<T> out[R];
      sum_transform<T>(half[i], out);
#pragma GCC unroll 8
      for (int j = 0; j < R; ++j)
        if (i < a.tall && j < a.wide) store(a.w + c * a.channel + i * a.down + j * a.row, out[j]);
    });
  }
}

template <class T>
void line_patches(const WinogradLinePatches<T>& a) {
  constexpr int VL = kLanes<T>;
  for (int64_t t = 0; t < a.tiles; ++t) {
    Vec<T> d[6], v[6];
#pragma GCC unroll 8
    for (int i = 0; i < 6; ++i) d[i] = a.line[6 * t + i] >= 0 ? load(a.src + a.line[6 * t + i]) : Vec<T>{};
    input_transform<T>(d, v);
#pragma GCC unroll 8
    for (int j = 0; j < 6; ++j) store(a.v + j * a.plane + t * VL, v[j]);
  }
}

template <class T, int P>
FASTCONV_INLINE void line_outputs(const WinogradLineOutput<T>& a) {
  constexpr int VL = kLanes<T>, N = P - 2;
  for (int64_t t = 0; t < a.tiles; ++t) {
    Vec<T> m[P], y[N];
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) m[i] = load(a.m + i * a.plane + t * VL);
    output_transform<T>(m, y);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) store(a.pixels + (N * t + j) * VL, y[j]);
  }
}
template <class T>
void line_output(const WinogradLineOutput<T>& a) {
  if (kLargeTiles && a.large) line_outputs<T, 8>(a);
  else line_outputs<T, 6>(a);
}

template <class T, int R, int P>
constexpr WinogradTapKernels<T> of_taps() {
  constexpr int N = P + 1 - R;
  if constexpr (R == 3 && P == 8 && !kLargeTiles) return {};
  else if constexpr (R == 2 && sizeof(T) == 8)
    return {patches<T, P, P>, weights<T, R, P>, output<T, N, P>, nullptr, nullptr};
  else return {patches<T, P, P>, weights<T, R, P>, output<T, N, P>, patches<T, N, P>, weight_sums<T, R, P>};
}
template <class T>
constexpr WinogradKernelsOf<T> make_kernels() {
  return {kSums<T> / kVectors, kVectors,           pixels<T>,          products<T>,
          tile_sums<T>,        line_patches<T>,    line_output<T>,     part_weights<T>,
          strip_weights<T>,    strip_patches<T>,   strip_outputs<T>,   strip_sums<T>,
          of_taps<T, 2, 6>(),  of_taps<T, 3, 6>(), of_taps<T, 5, 8>(), of_taps<T, 3, 8>()};
}

}  // namespace

const WinogradKernels& winograd_kernels() {
  static constexpr WinogradKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
