// Some lanes of a vector to and from memory, by the instructions made for it where the rung has them: the others are
// neither read nor written.
#pragma once
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

// Lanes [first, first + n).
template <class T>
struct LaneRange {
  // Of a vector at element `at`, those that are in [begin, end).
  static FASTCONV_INLINE LaneRange within(int64_t at, int64_t begin, int64_t end);
#if defined(__AVX512F__)
  unsigned bits;
  FASTCONV_INLINE LaneRange(int64_t first, int64_t n) : bits(((1u << n) - 1u) << first) {}  // n up to a vector's
#elif defined(__AVX2__)
  Mask<T> lanes;
  FASTCONV_INLINE LaneRange(int64_t first, int64_t n) : lanes(first_lanes<T>(first + n) & ~first_lanes<T>(first)) {}
  explicit FASTCONV_INLINE LaneRange(Vec<T> set) : lanes(reinterpret_cast<Mask<T> >(set)) {}
#else
  int64_t begin, count;
  FASTCONV_INLINE LaneRange(int64_t first, int64_t n) : begin(first), count(n) {}
#endif
};

template <class T>
FASTCONV_INLINE LaneRange<T> LaneRange<T>::within(int64_t at, int64_t begin, int64_t end) {
  const auto lane = [at](int64_t e) FASTCONV_LAMBDA { return e < at ? 0 : e - at < kLanes<T> ? e - at : kLanes<T>; };
#if defined(__AVX512F__)
  LaneRange r(0, lane(end));
  r.bits &= ~LaneRange(0, lane(begin)).bits;
  return r;
#else
  const int64_t first = lane(begin);
  return LaneRange(first, lane(end) > first ? lane(end) - first : 0);
#endif
}

#if defined(__AVX512F__)
FASTCONV_INLINE Vec<float> load_lanes(const float* p, LaneRange<float> r) {
  return __builtin_ia32_loadups512_mask(p, Vec<float>{}, static_cast<unsigned short>(r.bits));
}
FASTCONV_INLINE Vec<double> load_lanes(const double* p, LaneRange<double> r) {
  return __builtin_ia32_loadupd512_mask(p, Vec<double>{}, static_cast<unsigned char>(r.bits));
}
// The others are those of v.
FASTCONV_INLINE Vec<float> load_lanes(const float* p, LaneRange<float> r, Vec<float> v) {
  return __builtin_ia32_loadups512_mask(p, v, static_cast<unsigned short>(r.bits));
}
FASTCONV_INLINE void store_lanes(float* p, Vec<float> v, LaneRange<float> r) {
  __builtin_ia32_storeups512_mask(p, v, static_cast<unsigned short>(r.bits));
}
FASTCONV_INLINE void store_lanes(double* p, Vec<double> v, LaneRange<double> r) {
  __builtin_ia32_storeupd512_mask(p, v, static_cast<unsigned char>(r.bits));
}
#elif defined(__AVX2__)
typedef long long LongLanes __attribute__((vector_size(FASTCONV_VEC_BYTES)));
FASTCONV_INLINE Vec<float> load_lanes(const float* p, const LaneRange<float>& r) {
  return __builtin_ia32_maskloadps256(reinterpret_cast<const Vec<float>*>(p), r.lanes);
}
FASTCONV_INLINE Vec<double> load_lanes(const double* p, const LaneRange<double>& r) {
  return __builtin_ia32_maskloadpd256(reinterpret_cast<const Vec<double>*>(p), reinterpret_cast<LongLanes>(r.lanes));
}
FASTCONV_INLINE void store_lanes(float* p, Vec<float> v, const LaneRange<float>& r) {
  __builtin_ia32_maskstoreps256(reinterpret_cast<Vec<float>*>(p), r.lanes, v);
}
FASTCONV_INLINE void store_lanes(double* p, Vec<double> v, const LaneRange<double>& r) {
  __builtin_ia32_maskstorepd256(reinterpret_cast<Vec<double>*>(p), reinterpret_cast<LongLanes>(r.lanes), v);
}
#else
template <class T>
FASTCONV_INLINE Vec<T> load_lanes(const T* p, LaneRange<T> r) {
  T lanes[kLanes<T>] = {};
  for (int64_t i = r.begin; i < r.begin + r.count; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <class T>
FASTCONV_INLINE void store_lanes(T* p, Vec<T> v, LaneRange<T> r) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t i = r.begin; i < r.begin + r.count; ++i) p[i] = lanes[i];
}
#endif

// What a row has of a vector's lanes, the same row after row. Whole vectors are loaded without a mask: with one, from
// lines that are not in the cache, they take a fifth longer.
template <class T>
struct RowPart {
  int64_t n;
  bool whole;
  LaneRange<T> lanes;
  FASTCONV_INLINE RowPart() : RowPart(kLanes<T>) {}
  explicit FASTCONV_INLINE RowPart(int64_t left)
      : n(left < 0           ? 0
          : left < kLanes<T> ? left
                             : kLanes<T>),
        whole(n == kLanes<T>),
        lanes(0, n) {}
  FASTCONV_INLINE Vec<T> load_from(const T* p) const { return whole ? load(p) : load_lanes(p, lanes); }
  FASTCONV_INLINE void store_to(T* p, Vec<T> v) const {
#if defined(__AVX512F__)
    store_lanes(p, v, lanes);
#else
    if (whole) store(p, v);
    else store_first(p, v, n);
#endif
  }
};

// Arrays of more than the L2 cache holds are read, and written, a fifth to a third faster than the
// processor fetches them by itself.
template <int kToWrite = 0, class T>
FASTCONV_INLINE void fetch_ahead(const T* p) {
  __builtin_prefetch(p + 2048 / sizeof(T), kToWrite);
}

// kParts vectors of a row of n elements, or of any of its parts, that a longer one is covered with.
template <class T, int kParts>
struct RowParts {
  RowPart<T> part[kParts];
  explicit FASTCONV_INLINE RowParts(int64_t n) : RowParts(n, typename MakeLanes<kParts>::list{}) {}
  template <int... U>
  FASTCONV_INLINE RowParts(int64_t n, LaneList<U...>) : part{RowPart<T>(n - U * kLanes<T>)...} {}
  FASTCONV_INLINE void load_from(const T* p, Vec<T> (&v)[kParts]) const {
#pragma GCC unroll 4
    for (int u = 0; u < kParts; ++u) v[u] = part[u].load_from(p + u * kLanes<T>);
  }
  // The same, of an array that is read from end to end: what is read a little later is fetched.
  FASTCONV_INLINE void stream_from(const T* p, Vec<T> (&v)[kParts]) const {
    load_from(p, v);
#pragma GCC unroll 4
    for (int u = 0; u < kParts; u += 64 / FASTCONV_VEC_BYTES)
      fetch_ahead(p + u * kLanes<T>);  // once a line of the cache
  }
  FASTCONV_INLINE void store_to(T* p, const Vec<T> (&v)[kParts]) const {
#pragma GCC unroll 4
    for (int u = 0; u < kParts; ++u)
      if (part[u].n > 0) part[u].store_to(p + u * kLanes<T>, v[u]);
  }
  // The same; what lies behind them, but before `end`, may be overwritten, where that is quicker.
  FASTCONV_INLINE void store_to(T* p, const Vec<T> (&v)[kParts], const T* end) const {
#if defined(__AVX512F__)
    (void)end;
    store_to(p, v);
#else
#pragma GCC unroll 4
    for (int u = 0; u < kParts; ++u, p += kLanes<T>)
      if (part[u].whole || (part[u].n > 0 && end - p >= kLanes<T>)) store(p, v[u]);
      else if (part[u].n > 0) part[u].store_to(p, v[u]);
#endif
  }
};

// The first element of the vector that begins at `next`, among those that cover a row: the last one ends with it,
// unless there is but one.
template <class T>
FASTCONV_INLINE int64_t block_from(int64_t next, int64_t columns) {
  return next <= columns - kLanes<T> || next == 0 ? next : columns - kLanes<T>;
}
// f(first element) for all of them.
template <class T, class F>
FASTCONV_INLINE void by_blocks(int64_t columns, F f) {
  for (int64_t w = 0; w < columns; w += kLanes<T>) f(block_from<T>(w, columns));
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
