// What pooling joins: values, or values and their positions, in vectors or alone.
#pragma once
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

template <class T>
struct PositionOf;
template <>
struct PositionOf<float> {
  using type = int32_t;
};
template <>
struct PositionOf<double> {
  using type = int64_t;
};
template <class T>
using Position = typename PositionOf<T>::type;  // as wide as T, so that masks fit both
template <class T>
constexpr Position<T> kNowhere = sizeof(T) == 4 ? INT32_MAX : INT64_MAX;

// What is joined: a value (V is a scalar or a vector), or a value and its position.
template <class V, class I>
struct Plain {
  V v;
  static FASTCONV_INLINE Plain make(V v, I) { return {v}; }
};
template <class V, class I>
struct Marked {
  V v;
  I i;
  static FASTCONV_INLINE Marked make(V v, I i) { return {v, i}; }
};

// An operation: `later` joins with a cell whose positions are all behind those so far, `join` with any.
struct Sum {
  template <class V, class I>
  using Cell = Plain<V, I>;
  static constexpr bool kMarked = false, kRepeatable = false;  // kRepeatable: joining a cell twice changes nothing
  template <class T>
  static constexpr T neutral() {
    return 0;
  }
  template <class C>
  static FASTCONV_INLINE C join(C a, C b) {
    return {a.v + b.v};
  }
  template <class C>
  static FASTCONV_INLINE C later(C a, C b) {
    return join(a, b);
  }
};

struct Max {
  template <class V, class I>
  using Cell = Plain<V, I>;
  static constexpr bool kMarked = false, kRepeatable = true;
  template <class T>
  static constexpr T neutral() {
    return -static_cast<T>(__builtin_inf());
  }
  template <class C>
  static FASTCONV_INLINE C join(C a, C b) {
    return {or_nan(larger(b.v, a.v), b.v)};
  }
  template <class C>
  static FASTCONV_INLINE C later(C a, C b) {
    return join(a, b);
  }
};

struct MaxIndex : Max {
  template <class V, class I>
  using Cell = Marked<V, I>;
  static constexpr bool kMarked = true;
  template <class V>
  static FASTCONV_INLINE auto beats(V b, V a) {
    if constexpr (sizeof(V) > sizeof(double)) return ~(b <= a) & (a == a);
    else return !(b <= a) && a == a;
  }
  template <class C>
  static FASTCONV_INLINE C later(C a, C b) {
    auto take = beats(b.v, a.v);
    return {take ? b.v : a.v, take ? b.i : a.i};
  }
  template <class C>
  static FASTCONV_INLINE C join(C a, C b) {
    auto take = beats(b.v, a.v) | ((beats(a.v, b.v) == 0) & (b.i < a.i));
    return {take ? b.v : a.v, take ? b.i : a.i};
  }
};

template <class Op, class T>
using VecCell = typename Op::template Cell<Vec<T>, Mask<T>>;
template <class Op, class T>
using ScalarCell = typename Op::template Cell<T, Position<T>>;

template <class T>
FASTCONV_INLINE Mask<T> splat_position(int64_t i) {
  return static_cast<Position<T>>(i) - Mask<T>{};
}
template <class T, int... I>
FASTCONV_INLINE Mask<T> lane_numbers(LaneList<I...>) {
  return Mask<T>{I...};
}
template <class T>
FASTCONV_INLINE Mask<T> lane_numbers() {
  return lane_numbers<T>(LanesOf<Mask<T>>{});
}

template <class Op, class T>
FASTCONV_INLINE VecCell<Op, T> neutral_cell() {
  return VecCell<Op, T>::make(splat(Op::template neutral<T>()), splat_position<T>(kNowhere<T>));
}

// 64-bit integers and those half as wide: two vectors of the former hold what one of the latter does.
typedef int32_t Halves __attribute__((vector_size(FASTCONV_VEC_BYTES / 2)));
typedef int64_t Longs __attribute__((vector_size(FASTCONV_VEC_BYTES)));

// Positions of 64 bits, as a double's bits.
template <int kVectors>
struct WidePositions {
  Vec<double> bits[kVectors];
};
template <int... I>
FASTCONV_INLINE WidePositions<2> widened(Mask<float> m, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  return {(Vec<double>)__builtin_convertvector(__builtin_shufflevector(m, m, I...), Longs),
          (Vec<double>)__builtin_convertvector(__builtin_shufflevector(m, m, (n + I)...), Longs)};
}
FASTCONV_INLINE WidePositions<2> widened(Mask<float> m) {
  return widened(m, typename MakeLanes<kLanes<double>>::list{});
}
FASTCONV_INLINE WidePositions<1> widened(Mask<double> m) { return {(Vec<double>)m}; }

// A line of scratch memory.
template <class T>
struct Line {
  T* v;
  Position<T>* i;
  FASTCONV_INLINE Line at(int64_t n) const { return {v + n, i + n}; }
};

template <class T>
FASTCONV_INLINE Mask<T> load_positions(const Position<T>* p) {
  Mask<T> m;
  __builtin_memcpy(&m, p, sizeof m);
  return m;
}
template <class T>
FASTCONV_INLINE void store_positions(Position<T>* p, Mask<T> m) {
  __builtin_memcpy(p, &m, sizeof m);
}
// Every stride-th element from p, of `stride` vectors: picks[u - 1] says what comes from vector u. One copy for all.
template <class T>
__attribute__((noinline)) Vec<T> load_picked(const T* p, int64_t stride, const Mask<T>* picks) {
#if defined(__clang__) || FASTCONV_VEC_BYTES < 32  // no instruction picks from two vectors
  (void)picks;
  Vec<T> v;
#pragma GCC unroll 4
  for (int i = 0; i < kLanes<T>; ++i) v[i] = p[i * stride];
#else
  Vec<T> v = load(p);
  for (int64_t u = 1; u < stride; ++u) v = __builtin_shuffle(v, load(p + u * kLanes<T>), picks[u - 1]);
#endif
  return v;
}
// p[lanes[i]], all within a vector.
template <class T>
FASTCONV_INLINE Vec<T> lanes_of(const T* p, Mask<T> lanes) {
#if defined(__clang__) || FASTCONV_VEC_BYTES < 32
  Vec<T> v;
#pragma GCC unroll 4
  for (int i = 0; i < kLanes<T>; ++i) v[i] = p[lanes[i]];
  return v;
#else
  return __builtin_shuffle(load(p), lanes);
#endif
}
template <class Op, class T>
FASTCONV_INLINE VecCell<Op, T> load_cell(Line<T> line) {
  if constexpr (Op::kMarked) return {load(line.v), load_positions<T>(line.i)};
  else return {load(line.v)};
}
template <class Op, class T>
FASTCONV_INLINE void store_cell(Line<T> line, VecCell<Op, T> cell) {
  store(line.v, cell.v);
  if constexpr (Op::kMarked) store_positions<T>(line.i, cell.i);
}

// GCC, asked for small code, leaves this out; instructions of the oldest rung, and the caller's, would then be up to
// five times as slow, as they keep what the upper lanes hold.
FASTCONV_INLINE void clear_upper_lanes() {
#if defined(__AVX__)
  __builtin_ia32_vzeroupper();
#endif
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
