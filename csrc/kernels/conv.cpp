// Register tiles and packing of the convolutions, compiled once per rung.
#include "kernels/conv.hpp"

#include "isa/table.hpp"
#include "kernels/masked.hpp"
#include "kernels/pack.hpp"
#include "kernels/registers.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/tiny.hpp"
#include "kernels/transpose.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

constexpr int kRows = FASTCONV_VEC_REGISTERS == 32 ? 8 : 4;
// float64 has tiles of one or two vectors alone, for the same reason as kSums.
template <class T>
constexpr int kWidest = sizeof(T) == 8 || kSmallCode ? 2 : kMaxVectors;

// The edge of a run: the tile goes through a buffer, so that the hot code stores whole vectors only.
template <class T>
__attribute__((noinline)) void copy_tile(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows,
                                         int64_t columns) {
  constexpr int VL = kLanes<T>;
  for (int64_t m = 0; m < rows; ++m, dst += ldd, src += lds) {
    int64_t i = 0;
    for (; i + VL <= columns; i += VL) store(dst + i, load(src + i));
    copy_first(dst + i, src + i, columns - i);
  }
}

template <class T>
void spread_tile(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t columns) {
  constexpr int VL = kLanes<T>;
  for (int64_t m = 0; m < rows; ++m, dst += ldd, src += lds) {
    if (columns <= VL) {
      for (int64_t i = 0; i < columns; ++i) dst[2 * i] = src[i];
      continue;
    }
    for (int64_t i = 0; i + VL < columns; i += VL) {
      T* d = dst + 2 * i;
      const Vec<T> v = load(src + i), between = odd_lanes(load(d), load(d + VL));
      store(d, zip_low(v, between));
      store(d + VL, zip_high(v, between));
    }
    T* d = dst + 2 * (columns - VL) - 1;  // ends with the last element
    const Vec<T> v = load(src + columns - VL), between = even_lanes(load(d), load(d + VL));
    store(d, zip_low(between, v));
    store(d + VL, zip_high(between, v));
  }
}

template <class T>
void spread_zeros(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t wide, int64_t below) {
  constexpr int VL = kLanes<T>;
  for (int64_t i = 0; i < wide; i += VL) {
    const RowPart<T> part(wide - i);
    for (int64_t m = 0; m < rows; ++m) {
      part.store_to(dst + m * ldd + i, zip_low(load(src + m * lds + i / 2), Vec<T>{}));
      if (below) part.store_to(dst + m * ldd + below + i, Vec<T>{});
    }
  }
}

// Rows of `a` from few registers: a[m] is base + m * stride, spelled so that x86 addressing (base + 1, 2, 4, 8 times an
// index) reaches all eight rows from two pointers and two strides; eight pointers would spill.
template <class T>
struct RowPointers {
  const char *p0, *p3;
  int64_t one, three;

  FASTCONV_INLINE RowPointers(const T* a, int64_t stride)
      : p0(reinterpret_cast<const char*>(a)), one(stride * static_cast<int64_t>(sizeof(T))), three(3 * one) {
    p3 = p0 + three;
  }
  template <int M>
  FASTCONV_INLINE T get() const {
    const char* p = M == 0   ? p0
                    : M == 1 ? p0 + one
                    : M == 2 ? p0 + 2 * one
                    : M == 3 ? p3
                    : M == 4 ? p0 + 4 * one
                    : M == 5 ? p3 + 2 * one
                    : M == 6 ? p0 + 2 * three
                             : p3 + 4 * one;
    return *reinterpret_cast<const T*>(p);
  }
  FASTCONV_INLINE void next() {
    p0 += sizeof(T);
    p3 += sizeof(T);
    __asm__("" : "+r"(p0), "+r"(p3));
  }
};

// Rows of a packed `a`.
template <class T>
struct PackedRow {
  const T* a;
  template <int M>
  FASTCONV_INLINE T get() const {
    return a[M];
  }
};

// acc[m] += a[m] * b for all rows m.
template <class T, int MR, int NV, int M = 0, class A>
FASTCONV_INLINE void multiply_rows(const A& a, const Vec<T> (&b)[NV], Vec<T> (&acc)[MR][NV]) {
  if constexpr (M < MR) {
    const Vec<T> s = splat<T>(a.template get<M>());
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[M][v] += s * b[v];
    multiply_rows<T, MR, NV, M + 1>(a, b, acc);
  }
}

template <class T, int MR, int M = 0, class A>
FASTCONV_INLINE void splat_rows(const A& a, Vec<T> (&s)[MR]) {
  if constexpr (M < MR) s[M] = splat<T>(a.template get<M>()), splat_rows<T, MR, M + 1>(a, s);
}

enum class Keep { never, asked, always };  // what is read at `keep`, `asked`: unless that is null

// The same of NV vectors at b, `step` elements apart, which are loaded one by one, behind the values of all rows, where
// registers do not hold them beside the sums.
template <Keep K, class T, int MR, int NV, class A>
FASTCONV_INLINE void multiply_vectors(const A& a, const T* b, int64_t step, T*& keep, Vec<T> (&acc)[MR][NV]) {
  constexpr bool together = MR * NV + NV < FASTCONV_VEC_REGISTERS;
  Vec<T> bv[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV && together; ++v) bv[v] = load(b + v * step);
  if constexpr (K != Keep::never)
    if (K == Keep::always || keep) {
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v, keep += kLanes<T>) store(keep, together ? bv[v] : load(b + v * step));
    }
  if constexpr (together) {
    multiply_rows<T, MR, NV>(a, bv, acc);
  } else {
    Vec<T> s[MR];
    splat_rows<T, MR>(a, s);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const Vec<T> next = load(b + v * step);
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) acc[m][v] += s[m] * next;
    }
  }
}

// One pointer that goes from row to row of c: addresses of all rows, kept for later, would spill.
#define FASTCONV_ONE_BY_ONE(p) __asm__("" : "+r"(p))
// A pointer that is not wanted for a while. GCC might keep it in a vector's register, from where it would come back
// behind all products that wait there.
#define FASTCONV_IN_MEMORY(p) __asm__("" : "+m"(p))
template <class T, int MR, int NV>
FASTCONV_INLINE void load_rows(const T* c, int64_t ldc, Vec<T> (&acc)[MR][NV]) {
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m, c += ldc) {
    FASTCONV_ONE_BY_ONE(c);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] = load(c + v * kLanes<T>);
  }
}
template <class T, int MR, int NV>
FASTCONV_INLINE void store_sums(T* c, int64_t ldc, const Vec<T> (&acc)[MR][NV]) {
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m, c += ldc) {
    FASTCONV_ONE_BY_ONE(c);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store(c + v * kLanes<T>, acc[m][v]);
  }
}
// What a sum goes on from: c, or zeros.
template <class T, int MR, int NV>
FASTCONV_INLINE void load_sums(const T* c, int64_t ldc, bool accumulate, Vec<T> (&acc)[MR][NV]) {
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] = Vec<T>{};
  if (accumulate) load_rows<T, MR, NV>(c, ldc, acc);
}

template <class T, int MR, int NV>
FASTCONV_INLINE void begin_tile(const TileRun<T>& t, const T* c, int64_t ldc, int64_t bias_step,
                                Vec<T> (&acc)[MR][NV]) {
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
    const Vec<T> init = t.bias ? splat<T>(t.bias[m * bias_step]) : Vec<T>{};
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] = init;
  }
  if (t.accumulate) load_rows<T, MR, NV>(c, ldc, acc);
}

template <class T, int MR, int NV>
FASTCONV_INLINE void end_tile(const TileRun<T>& t, T* c, int64_t ldc, Vec<T> (&acc)[MR][NV]) {
  if (t.clamp) {
    const Vec<T> low = splat<T>(t.low), high = splat<T>(t.high);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        acc[m][v] = acc[m][v] < low ? low : acc[m][v];
        acc[m][v] = acc[m][v] > high ? high : acc[m][v];
      }
  }
  store_sums<T, MR, NV>(c, ldc, acc);
}

// A tile at c, or by way of a buffer where fewer than NR columns are wanted.
template <class T, int MR, int NV, class F>
FASTCONV_INLINE void edged_tile(const TileRun<T>& t, T* c, int64_t ldc, int64_t columns, int64_t bias_step,
                                F multiply) {
  constexpr int64_t NR = NV * kLanes<T>;
  alignas(64) T edge[MR * NR];
  const bool whole = columns >= NR;
  if (!whole && t.accumulate) copy_tile<T>(edge, NR, c, ldc, MR, columns);
  T* to = whole ? c : edge;
  const int64_t ld = whole ? ldc : NR;
  Vec<T> acc[MR][NV];
  begin_tile<T, MR, NV>(t, to, ld, bias_step, acc);
  multiply(acc);
  end_tile<T, MR, NV>(t, to, ld, acc);
  if (!whole) copy_tile<T>(c, ldc, edge, NR, MR, columns);
}

// Tiles of so few rows that memory may not keep up with them: others had no time to fetch all that they read ahead.
template <int MR, int NV>
constexpr bool kStreams = MR <= 4 && NV == kMaxVectors;

// With few registers any tile reads panels that are kept, and the full one, which has no time for the question whether
// to keep what it reads, has a loop of its own.
constexpr bool kKeepsPanels = kMostSums == 12;
template <class T, int MR, int NV>
constexpr bool kKeepsApart = kKeepsPanels&& MR* NV == kMostSums&& NV == kKeptVectors;
// acc += a * b over all k.
template <bool Packed, Keep K, class T, int MR, int NV>
FASTCONV_INLINE void multiply_tile(const TileRun<T>& t, const T* base, Vec<T> (&acc)[MR][NV]) {
  const int64_t b_ahead = t.b_ahead;
  [[maybe_unused]] const int64_t ahead_step = t.b_ahead_step;
  const T *a = t.a, *ahead = base + b_ahead;
  const int32_t* aoff = t.aoff;
  T* keep = t.keep;
  [[maybe_unused]] const T* kept = t.kept;
  __asm__(""
          : "+r"(base));  // one pointer, an index and displacements: each further addition would take a product's place
  for (const int32_t *off = t.boff, *end = off + t.k; off != end; ++off) {
    const T* b = base + *off;
    if constexpr (!Packed) __asm__("" : "+r"(b));
    if constexpr (kStreams<MR, NV>) {
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) __builtin_prefetch(ahead + (kKeepsPanels ? 0 : *off) + v * kLanes<T>);
    } else {
      __builtin_prefetch(kKeepsPanels ? ahead : Packed ? ahead + *off : b + b_ahead);
    }
    if constexpr (kKeepsPanels) ahead += ahead_step;
    if constexpr (K == Keep::asked)
      if (kept) b = kept, kept += NV * kLanes<T>;
    if constexpr (Packed) {
      multiply_vectors<K, T, MR, NV>(PackedRow<T>{a}, b, kLanes<T>, keep, acc);
      a += MR;
    } else if constexpr (!kKeepsPanels) {
      Vec<T> bv[NV];  // before the rows' addresses are known: else these take registers of those that wait
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) bv[v] = load(b + v * kLanes<T>);
      const T* row = a + *aoff++;
      __asm__("" : "+r"(row));
      multiply_rows<T, MR, NV>(RowPointers<T>(row, t.lda), bv, acc);
    } else {
      const T* row = a + *aoff++;
      __asm__("" : "+r"(row));  // one pointer and displacements, not an index for each vector
      multiply_vectors<K, T, MR, NV>(RowPointers<T>(row, t.lda), b, kLanes<T>, keep, acc);
    }
  }
}

// A tile's lines of c are fetched while it is computed; its stores would otherwise wait for them all at once.
template <class T, int MR, int NV>
FASTCONV_INLINE void fetch_rows(const T* c, int64_t ldc) {
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m, c += ldc) {
    FASTCONV_ONE_BY_ONE(c);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) __builtin_prefetch(c + v * kLanes<T>, 1);
  }
}

template <class T, int MR, int NV>
void tile(const TileRun<T>& t) {
  constexpr int VL = kLanes<T>;
  for (int64_t p = 0; p < t.pixels; p += NV * VL) {
    fetch_rows<T, MR, NV>(t.c + p, t.ldc);
    edged_tile<T, MR, NV>(t, t.c + p, t.ldc, t.pixels - p, 1, [&](Vec<T>(&acc)[MR][NV]) FASTCONV_LAMBDA {
      constexpr bool apart = kKeepsApart<T, MR, NV>;
      constexpr Keep asked = NV == kKeptVectors && MR >= kKeptRows && !kKeepsPanels ? Keep::asked : Keep::never;
      if constexpr (apart)
        if (t.keep)
          return t.packed ? multiply_tile<true, Keep::always, T, MR, NV>(t, t.b + p, acc)
                          : multiply_tile<false, Keep::always, T, MR, NV>(t, t.b + p, acc);
      if (t.packed) multiply_tile<true, asked, T, MR, NV>(t, t.b + p, acc);
      else multiply_tile<false, Keep::never, T, MR, NV>(t, t.b + p, acc);
    });
  }
}

// What tile_and_pixel sums beside the terms [k, end).
template <class T, int MR>
FASTCONV_INLINE void add_pixel(const TileRun<T>& t, int64_t k, int64_t end) {
  const RowPart<T> part(end - k);
  const Vec<T> b = part.load_from(t.dots_b + k);
  const T* a = t.a + k;
  const bool adds = t.accumulate || k > 0;
  T* dots = t.dots;
#pragma GCC unroll 1
  for (int m = 0; m < MR; ++m, dots += t.dots_row, a += t.lda)
    store(dots, (adds ? load(static_cast<const T*>(dots)) : Vec<T>{}) + part.load_from(a) * b);
}

template <class T, int MR, int NV>
void tile_and_pixel(const TileRun<T>& t) {
  fetch_rows<T, MR, NV>(t.c, t.ldc);
  edged_tile<T, MR, NV>(t, t.c, t.ldc, t.pixels, 1, [&](Vec<T>(&acc)[MR][NV]) FASTCONV_LAMBDA {
    const TileRun<T>* run = &t;
    RowPointers<T> a(t.a, t.lda);
    const T* base = t.b;
    FASTCONV_ONE_BY_ONE(base);
    for (const int32_t *off = t.boff, *end; off != run->boff + run->k;) {
      const int64_t left = run->boff + run->k - off;
      for (end = left > kLanes<T> ? off + kLanes<T> : off + left; off != end; ++off) {
        const T* b = base + *off;
        Vec<T> bv[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) bv[v] = load(b + v * kLanes<T>);
        multiply_rows<T, MR, NV>(a, bv, acc);
        a.next();
      }
      FASTCONV_IN_MEMORY(run);
      const int64_t done = off - run->boff;
      add_pixel<T, MR>(*run, (done - 1) & -kLanes<T>, done);
    }
  });
}

template <class T, int MR, int NV>
void columns_tile(const TileRun<T>& t) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    const Vec<T> init = t.bias ? load(t.bias + v * VL) : Vec<T>{};
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) acc[m][v] = init;
  }
  if (t.accumulate) load_rows<T, MR, NV>(t.c, t.ldc, acc);
  const T *a = t.a, *base = t.b, *ahead = t.a_ahead;
  T* keep = t.keep;
  const int64_t lda = t.lda, vector = t.a_vector, ahead_step = t.a_ahead_step;  // what is kept might overwrite t's
  __asm__("" : "+r"(base));
  for (const int32_t *off = t.boff, *end = off + t.k; off != end; ++off, a += lda, ahead += ahead_step) {
    __builtin_prefetch(ahead);
    multiply_vectors<Keep::asked, T, MR, NV>(PackedRow<T>{base + *off}, a, vector, keep, acc);
  }
  end_tile<T, MR, NV>(t, t.c, t.ldc, acc);
}

template <class T, int R, int NV>
void rows_tile(const RowsTile<T>& t) {
  constexpr int VL = kLanes<T>;
  const TileRun<T>& run = t.run;
  for (int64_t r = 0; r < t.rows; r += R)
    for (int64_t p = 0; p < run.pixels; p += NV * VL)
      edged_tile<T, R, NV>(run, run.c + r * t.c_row + p, t.c_row, run.pixels - p, 0,
                           [&](Vec<T>(&acc)[R][NV]) FASTCONV_LAMBDA {
                             const T* base = run.b + r * t.b_row + p;
                             const int64_t row = t.b_row;
                             for (int64_t k = 0; k < run.k; ++k) {
                               const Vec<T> s = splat<T>(run.a[run.aoff[k]]);
                               const T* b = base + run.boff[k];
#pragma GCC unroll 8
                               for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
                                 for (int v = 0; v < NV; ++v) acc[i][v] += s * load(b + i * row + v * VL);
                             }
                           });
}

// A pointer for each row and two indices: ten are what the general registers hold.
template <class T, int MR, int NV>
void outer(const OuterTile<T>& t) {
  constexpr int VL = kLanes<T>;
  const OuterTile<T>* run = &t;
  Vec<T> acc[MR][NV];
  load_sums<T, MR, NV>(t.c, t.ldc, t.accumulate, acc);
  const T* row[MR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) row[m] = t.a + t.row[m];
  const T *panel = t.b, *ahead = t.ahead;
  constexpr int64_t kLine = 64 / sizeof(T);
  for (const OuterPixel *pixel = t.pixel, *last = pixel + t.pixels; pixel != last; ahead += kLine) {
    FASTCONV_IN_MEMORY(run);
    const T* line = ahead;
    for (int64_t i = run->ahead_rows; i > 0; --i, line += run->ahead_stride) __builtin_prefetch(line);
    for (const OuterPixel* end = last - pixel > kLine ? pixel + kLine : last; pixel != end; ++pixel) {
      const T* b = panel + static_cast<int64_t>(pixel->b) * (NV * VL);
      Vec<T> bv[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) bv[v] = load(b + v * VL);
      const int64_t at = pixel->a;
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        const Vec<T> s = splat<T>(row[m][at]);
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[m][v] += s * bv[v];
      }
    }
  }
  FASTCONV_IN_MEMORY(run);
  store_sums<T, MR, NV>(run->c, run->ldc, acc);
}

// Two at a time, since lines are short as a rule; what is one too many the next line overwrites.
OuterPixel* list_pixels(OuterPixel* to, const PixelBox& box) {
  typedef int32_t Two __attribute__((vector_size(16)));
  typedef int32_t loose __attribute__((vector_size(16), aligned(4), may_alias));
  const int64_t* const n = box.count;
  const OuterPixel* const s = box.step;
  const auto two = [](int64_t a, int64_t b, int64_t c, int64_t d) FASTCONV_LAMBDA {
    return Two{static_cast<int32_t>(a), static_cast<int32_t>(b), static_cast<int32_t>(c), static_cast<int32_t>(d)};
  };
  const int64_t on_a = s[3].a, on_b = s[3].b;
  const Two next = two(2 * on_a, 2 * on_b, 2 * on_a, 2 * on_b);
  for (int64_t i = 0; i < n[0]; ++i)
    for (int64_t d = 0; d < n[1]; ++d)
      for (int64_t h = 0; h < n[2]; ++h, to += n[3]) {
        const int64_t a = box.first.a + i * s[0].a + d * s[1].a + h * s[2].a,
                      b = box.first.b + i * s[0].b + d * s[1].b + h * s[2].b;
        Two v = two(a, b, a + on_a, b + on_b);
        for (int64_t w = 0; w < n[3]; w += 2, v += next) *reinterpret_cast<loose*>(to + w) = v;
      }
  return to;
}

// One vector of each row, or some of its lanes, the others being left out on both sides: a value there might be
// infinite.
template <bool kAll, class T, int MR, int NT>
FASTCONV_INLINE void add_dots(const T* a, int64_t lda, const T* b, const int64_t (&off)[NT], int64_t lanes,
                              Vec<T> (&acc)[MR][NT]) {
  const LaneRange<T> some(0, lanes);
  const auto part = [&some](const T* p) FASTCONV_LAMBDA { return kAll ? load(p) : load_lanes(p, some); };
  const auto ahead = [b, &off](int n) FASTCONV_LAMBDA {
    if (kAll && n == 0) __builtin_prefetch(reinterpret_cast<const char*>(b + off[0]) + kAheadBytes);
  };
  if constexpr (MR * NT + MR + 1 > FASTCONV_VEC_REGISTERS) {  // those of b wait in registers, which are fewer
    Vec<T> bv[NT];
#pragma GCC unroll 8
    for (int n = 0; n < NT; ++n) ahead(n), bv[n] = part(b + off[n]);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const Vec<T> av = part(a + m * lda);
#pragma GCC unroll 8
      for (int n = 0; n < NT; ++n) acc[m][n] += av * bv[n];
    }
  } else {
    Vec<T> av[MR];
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) av[m] = part(a + m * lda);
#pragma GCC unroll 8
    for (int n = 0; n < NT; ++n) {
      ahead(n);
      const Vec<T> bv = part(b + off[n]);
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) acc[m][n] += av[m] * bv;
    }
  }
}

template <class T, int MR, int NT>
void dot(const DotTile<T>& t) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[MR][NT];
  load_sums<T, MR, NT>(t.c, t.ldc, t.accumulate, acc);
  int64_t off[NT];
#pragma GCC unroll 8
  for (int n = 0; n < NT; ++n) off[n] = t.boff[n];
  const T *a_row = t.a, *b_row = t.b;
  const int64_t lda = t.lda;
  for (int64_t r = 0; r < t.rows; ++r, a_row += t.a_row, b_row += t.b_row) {
    const T *a = a_row, *b = b_row;
    int64_t left = t.pixels;
    for (; left >= VL; left -= VL, a += VL, b += VL) {
      FASTCONV_ONE_BY_ONE(a);
      FASTCONV_ONE_BY_ONE(b);
      __builtin_prefetch(a + t.ahead);
      if (MR > kDotsAhead) __builtin_prefetch(a + kDotsAhead * lda + t.ahead);
      add_dots<true, T, MR, NT>(a, lda, b, off, VL, acc);
    }
    if (left > 0) add_dots<false, T, MR, NT>(a, lda, b, off, left, acc);
  }
  store_sums<T, MR, NT>(t.c, t.ldc, acc);
}

template <class T>
void pack_add(const PackChannel<T>& c) {
  constexpr int VL = kLanes<T>;
  for (const PackLine* line = c.lines; line != c.lines + c.line_count; ++line)
    for (const PackRun *r = c.runs, *end = r + c.run_count; r != end; ++r) {
      T* d = c.dst + line->dst + r->dst;
      const T* s = c.src + line->src + r->src;
      if (r->length == 1) {  // one value, and others that the same one of y is added to: padding that repeats a pixel
        T sum = *d + *s;
        for (; r + 1 != end && r[1].length == 1 && r[1].dst == r->dst; ++r) sum += c.src[line->src + r[1].src];
        *d = sum;
        continue;
      }
      int64_t i = 0;
      for (; r->step == 1 && i + VL <= r->length; i += VL)
        store(d + i, load(static_cast<const T*>(d + i)) + load(s + i));
      for (; i < r->length; ++i) d[i] += s[i * r->step];
    }
}

// U vectors from i on: `whole` ones, which all taps have, or any part of them.
template <bool Whole, int U, class T>
FASTCONV_INLINE void add_lines_at(const LinesSum<T>& s, int64_t i) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[U];
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u) acc[u] = splat<T>(s.init);
  for (const LineTap* t = s.taps; t != s.taps + s.tap_count; ++t) {
    const T* src = s.src + t->src + i;
    if (!Whole && (t->begin >= i + U * VL || t->end <= i)) continue;
    const auto part = [&](int u) FASTCONV_LAMBDA { return LaneRange<T>::within(i + u * VL, t->begin, t->end); };
    const LaneRange<T> first = part(0), second = part(1);
    for (const int64_t *row = s.rows, *end = row + s.row_count; row != end; ++row)
#pragma GCC unroll 4
      for (int u = 0; u < U; ++u)
        acc[u] += Whole ? load(src + *row + u * VL) : load_lanes(src + *row + u * VL, u ? second : first);
  }
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u) RowPart<T>(s.n - i - u * VL).store_to(s.dst + i + u * VL, acc[u]);
}

template <class T>
void add_lines(const LinesSum<T>& s) {
  // Parts of wide vectors are added in pairs, whose sums do not wait for each other.
  constexpr int VL = kLanes<T>, U = 4, kParts = FASTCONV_VEC_BYTES > 32 ? 2 : 1;
  int64_t begin = 0, end = INT64_MAX;  // what all taps have
  for (const LineTap* t = s.taps; t != s.taps + s.tap_count; ++t) {
    begin = t->begin > begin ? t->begin : begin;
    end = t->end < end ? t->end : end;
  }
  end = end < s.n ? end : s.n;
  for (int64_t i = 0; i < s.n;) {
    // The last vectors of all taps overlap those before.
    const int64_t at = i + U * VL > end && i + VL < end && end - U * VL >= begin ? end - U * VL : i;
    if (at >= begin && at + U * VL <= end) add_lines_at<true, U>(s, at), i = at + U * VL;
    else add_lines_at<false, kParts>(s, i), i += kParts * VL;
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
constexpr bool kFits = MR* NV <= kSums<T>&& NV <= kWidest<T>&& MR <= kTallest<T>;
constexpr bool is_power_of_two(int n) { return (n & (n - 1)) == 0; }
template <class T, int MR, int NV>
constexpr auto tile_entry() -> void (*)(const TileRun<T>&) {
  if constexpr (kFits<T, MR, NV>) return tile<T, MR, NV>;
  else return nullptr;
}
template <class T, int MR, int NV>
constexpr auto columns_entry() -> void (*)(const TileRun<T>&) {
  if constexpr (kFits<T, MR, NV>) return columns_tile<T, MR, NV>;
  else return nullptr;
}
template <class T, int MR, int NV>
constexpr auto outer_entry() -> void (*)(const OuterTile<T>&) {
  if constexpr (kFits<T, MR, NV>) return outer<T, MR, NV>;
  else return nullptr;
}
template <class T, int MR, int NT>
constexpr auto dot_entry() -> void (*)(const DotTile<T>&) {
  constexpr bool rows = is_power_of_two(MR) || (MR == kMaxDotRows && FASTCONV_VEC_REGISTERS == 32),
                 full = MR == 4 && NT == 3 && kMostSums == MR * NT && sizeof(T) == 4;
  if constexpr ((rows && is_power_of_two(NT) && MR * NT <= kMostSums) || full) return dot<T, MR, NT>;
  else return nullptr;
}

#define FASTCONV_ROW(entry, mr) \
  { entry<T, mr, 1>(), entry<T, mr, 2>(), entry<T, mr, 3>(), entry<T, mr, 4>() }
#define FASTCONV_OUTER_ROW(mr) \
  { outer_entry<T, mr, 1>(), outer_entry<T, mr, 2>(), outer_entry<T, mr, 3>() }
template <class T>
constexpr auto pixel_entry() -> void (*)(const TileRun<T>&) {
  if constexpr (sizeof(T) == 4 && !kSmallCode) return tile_and_pixel<T, kRows, kMostSums / kRows>;
  else return nullptr;
}
template <class T>
constexpr ConvKernelsOf<T> make_kernels() {
  return {kLanes<T>,
          kSums<T>,
          kWidest<T>,
          kTallest<T>,
          kRows,
          kKeepsPanels,
          {FASTCONV_ROW(tile_entry, 1), FASTCONV_ROW(tile_entry, 2), FASTCONV_ROW(tile_entry, 3),
           FASTCONV_ROW(tile_entry, 4), FASTCONV_ROW(tile_entry, 5), FASTCONV_ROW(tile_entry, 6),
           FASTCONV_ROW(tile_entry, 7), FASTCONV_ROW(tile_entry, 8)},
          pixel_entry<T>(),
          {FASTCONV_ROW(columns_entry, 1), FASTCONV_ROW(columns_entry, 2), FASTCONV_ROW(columns_entry, 3),
           FASTCONV_ROW(columns_entry, 4), FASTCONV_ROW(columns_entry, 5), FASTCONV_ROW(columns_entry, 6),
           FASTCONV_ROW(columns_entry, 7), FASTCONV_ROW(columns_entry, 8), FASTCONV_ROW(columns_entry, 9),
           FASTCONV_ROW(columns_entry, 10), FASTCONV_ROW(columns_entry, 11), FASTCONV_ROW(columns_entry, 12),
           FASTCONV_ROW(columns_entry, 13), FASTCONV_ROW(columns_entry, 14), FASTCONV_ROW(columns_entry, 15),
           FASTCONV_ROW(columns_entry, 16)},
          {{rows_tile<T, 1, 1>, rows_tile<T, 1, 2>},
           {rows_tile<T, 2, 1>, rows_tile<T, 2, 2>},
           {},
           {rows_tile<T, 4, 1>, rows_tile<T, 4, 2>}},
          {FASTCONV_OUTER_ROW(1), FASTCONV_OUTER_ROW(2), FASTCONV_OUTER_ROW(3), FASTCONV_OUTER_ROW(4),
           FASTCONV_OUTER_ROW(5), FASTCONV_OUTER_ROW(6), FASTCONV_OUTER_ROW(7), FASTCONV_OUTER_ROW(8),
           FASTCONV_OUTER_ROW(9), FASTCONV_OUTER_ROW(10)},
          list_pixels,
          {FASTCONV_ROW(dot_entry, 1), FASTCONV_ROW(dot_entry, 2), FASTCONV_ROW(dot_entry, 3),
           FASTCONV_ROW(dot_entry, 4), FASTCONV_ROW(dot_entry, 5), FASTCONV_ROW(dot_entry, 6)},
          pack<T>,
          pack_windows_entry<T>(),
          pack_add<T>,
          pack_transposed<T>,
          copy_tile<T>,
          spread_tile<T>,
          spread_zeros<T>,
          add_lines<T>,
          zip_lines<T>,
          tiny<T>,
          sum<T>};
}
#undef FASTCONV_OUTER_ROW
#undef FASTCONV_ROW

}  // namespace

const ConvKernels& conv_kernels() {
  static constexpr ConvKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
