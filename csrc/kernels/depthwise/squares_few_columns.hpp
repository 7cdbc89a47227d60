// Squares of three by three taps (kernels/depthwise/squares.hpp) where registers are few: a column of vectors of
// outputs, or a row of them, for each of whose taps inputs are loaded. The last column ends with the rows: some of its
// outputs are those of the one before it, too.
#pragma once
#include "kernels/depthwise/squares_columns.hpp"
#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Lanes of a vector that are stored. To store some by a mask takes AVX2's processors ten times as long as all.
template <class T>
struct StoredLanes {
#if defined(__AVX512F__)
  LaneRange<T> lanes;
  FASTCONV_INLINE StoredLanes(int64_t at, int64_t begin, int64_t end) : lanes(LaneRange<T>::within(at, begin, end)) {}
  FASTCONV_INLINE void store_to(T* p, Vec<T> v) const { store_lanes(p, v, lanes); }
#else
  int64_t first, n;
  FASTCONV_INLINE StoredLanes(int64_t at, int64_t begin, int64_t end)
      : first(at < begin ? begin - at : 0), n((end - at < kLanes<T> ? end - at : kLanes<T>)-first) {}
  // A call, for the sake of the loops it is in.
  __attribute__((noinline)) void store_to(T* p, Vec<T> v) const {
    if (n == kLanes<T>) return store(p, v);
    T some[kLanes<T>];
    store(some, v);
    if (n > 0) copy_first(p + first, static_cast<const T*>(some + first), n);
  }
#endif
};

// How a column's inputs are read: wherever they are, where none is elsewhere, and if there is memory for all loads.
enum class Reads { any, most, all };

template <class T>
struct PlainColumn {
  int64_t left, right;                     // elements of a line
  bool wide, whole, plain;                 // plain: between other lines there is memory wherever loads may look
  bool has_left, has_right;                // what stands elsewhere
  LaneRange<T> x[4], own;                  // of what is loaded, of outputs,
  Mask<T> sums[3], left_lane, right_lane;  // and of those what each tap finds
};
template <class T>
FASTCONV_INLINE int64_t column_from(const SquareLines<T>& l, int64_t c) {
  const int64_t at = c * kLanes<T>, most = l.width < kLanes<T> ? 0 : l.width - kLanes<T>;
  return at < most ? at : most;
}
template <class T>
__attribute__((noinline)) PlainColumn<T> make_column(const SquareLines<T>& l, int64_t c, int64_t stride) {
  constexpr int VL = kLanes<T>;
  const bool halved = stride == 2;
  const int64_t at = column_from(l, c), n = l.width - at < VL ? l.width - at : VL, from = c * VL - at;
  const bool starts = at == 0, ends = at + n == l.width;
  const int64_t begin = l.has_left && l.left == -1 ? -1 : 0, more = stride * (l.width - 1) + 1,
                end = more + (l.has_right && l.right == more), row = l.row < 0 ? -l.row : l.row;
  PlainColumn<T> f{l.left,
                   l.right,
                   n == VL,
                   false,
                   false,
                   starts && l.has_left && begin == 0,
                   ends && l.has_right && end == more,
                   {{0, 0}, {0, 0}, {0, 0}, {0, 0}},
                   {from, n - from},
                   {},
                   {},
                   {}};
  const bool alone = !f.has_left && !f.has_right;
  f.whole = alone && f.wide && (!starts || begin < 0) && (!ends || end > more);
  f.plain = alone && l.rows > 1 && row >= stride && row + more > stride * (VL - 1) + 1;
  for (int i = 0; i < 4; ++i)
    f.x[i] = LaneRange<T>::within(stride * at + (halved ? i / 2 * 2 - 2 + i % 2 * VL : i - 1), begin, end);
  f.left_lane = first_lanes<T>(1), f.right_lane = first_lanes<T>(n) & ~first_lanes<T>(n - 1);
  f.sums[0] = f.sums[1] = f.sums[2] = f.own.lanes;
  if (starts && !l.has_left) f.sums[0] &= ~f.left_lane;
  if (ends && !l.has_right) f.sums[2] &= ~f.right_lane;
  for (Mask<T>& mask : f.sums) mask = halved ? apart(mask) : mask;
  return f;
}

// A value in a lane that is zero.
template <class T>
FASTCONV_INLINE Vec<T> with_lane(Vec<T> in, const Mask<T>& lane, T value) {
  return reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(in) | (reinterpret_cast<Mask<T>>(splat(value)) & lane));
}
// What is under each tap of a line, in which the column's outputs begin at element `at`.
template <int S, Reads how, class T>
FASTCONV_INLINE void read_line(const T* line, int64_t at, const PlainColumn<T>& f, Vec<T> (&in)[3]) {
  constexpr int VL = kLanes<T>;
  const T* const p = line + S * at;
  const auto read = [&](const T* from, int i)
                        FASTCONV_LAMBDA { return how == Reads::all ? load(from) : load_lanes(from, f.x[i]); };
  if constexpr (S == 1) {
    in[0] = read(p - 1, 0), in[1] = read(p, 1), in[2] = read(p + 1, 2);
    if (how == Reads::any && f.has_left) in[0] = with_lane(in[0], f.left_lane, line[f.left]);
    if (how == Reads::any && f.has_right) in[2] = with_lane(in[2], f.right_lane, line[f.right]);
  } else {
    const Vec<T> before = read(p - 2, 0), between = read(p - 2 + VL, 1), low = read(p, 2);
    Vec<T> high = read(p + VL, 3);
    __asm__("" : "+v"(high));  // loaded once
    in[0] = every_second_apart<1>(before, between);
    in[1] = every_second_apart<0>(low, high);
    in[2] = every_second_apart<1>(low, high);
  }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
