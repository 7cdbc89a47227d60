// Three by three neighbouring taps, compiled once per rung.
#include "kernels/depthwise_squares.hpp"

#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

#if defined(__AVX512F__)
namespace {

// Vectors of a line at a time: three sums and an input of each are in registers, and nine taps. float64: half the code.
template <class T>
constexpr int kColumns = sizeof(T) == 8 ? 2 : 4;

// Some columns of the lines, from element `at` on, and what stands on either side of them.
template <class T>
struct Block {
  int64_t at, left, right, lanes;                       // lanes: of the last column
  Mask<T> keep_left, keep_right, keep_last, keep_next;  // keep_next: where the right neighbour is within that column
  LaneRange<T> last;
  FASTCONV_INLINE Block(const SquareLines<T>& l, int64_t first, int64_t columns)
      : Block(l, first, first + columns * kLanes<T>, l.width - first - (columns - 1) * kLanes<T>) {}
  FASTCONV_INLINE Vec<T> load_last(const T* p) const { return load_lanes(p, last); }

 private:
  FASTCONV_INLINE Block(const SquareLines<T>& l, int64_t first, int64_t end, int64_t left_over)
      : at(first),
        left(first > 0 ? first - 1 : l.left),
        right(end < l.width ? end : l.right),
        lanes(left_over < kLanes<T> ? left_over : kLanes<T>),
        keep_left(first_lanes<T>(first > 0 || l.has_left ? kLanes<T> : 0)),
        keep_right(first_lanes<T>(end < l.width || l.has_right ? kLanes<T> : 0)),
        keep_last(first_lanes<T>(lanes)),
        keep_next(first_lanes<T>(lanes + 1) & ~keep_last),
        last(0, lanes) {}
};

// Lane n alone, if it is one.
template <class T>
FASTCONV_INLINE Mask<T> one_lane(int64_t n) {
  return n < 0 || n >= kLanes<T> ? Mask<T>{} : first_lanes<T>(n + 1) & ~first_lanes<T>(n);
}

// f(c, in) for the columns of a line: in[k] stands under tap k of a row.
template <class T, int C, class F>
FASTCONV_INLINE void for_each_column(const T* line, const Block<T>& b, F f) {
  const T* const from = line + b.at;
  const Vec<T> behind = b.keep_right ? splat(line[b.right]) : Vec<T>{};
  const auto column = [&](int c) FASTCONV_LAMBDA {
    return c < C - 1 ? load(from + c * kLanes<T>) : b.keep_next ? behind : b.load_last(from + c * kLanes<T>);
  };
  Vec<T> before = b.keep_left ? splat(line[b.left]) : Vec<T>{}, middle = column(0);
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    const Vec<T> next = c < C - 1 ? column(c + 1) : behind;
    Vec<T> in[3] = {moved_on<kLanes<T> - 1>(before, middle), middle, moved_on<1>(middle, next)};
    f(c, in);
    before = middle;
    middle = next;
  }
}

template <class T>
FASTCONV_INLINE int64_t blocks_of(const SquareLines<T>& l) {
  return (l.width + kColumns<T> * kLanes<T> - 1) / (kColumns<T> * kLanes<T>);
}
// f(block, its columns as a constant): all columns of a line in blocks as even as may be.
template <int N>
struct Count {
  static constexpr int value = N;
};
template <class T, class F>
FASTCONV_INLINE void for_each_block(const SquareLines<T>& l, F f) {
  const int64_t columns = (l.width + kLanes<T> - 1) / kLanes<T>, blocks = blocks_of(l);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * columns / blocks, n = (i + 1) * columns / blocks - first;
    const Block<T> block(l, first * kLanes<T>, n);
    if (n == 1) f(block, Count<1>{});
    else if (kColumns<T> == 2 || n == 2) f(block, Count<2>{});
    else if (n == 3) f(block, Count<kColumns<T> - 1>{});
    else f(block, Count<kColumns<T>>{});
  }
}

// The lines of the next plane or image.
template <class T>
FASTCONV_INLINE void move_on(SquareLines<T>& l, int64_t by) {
  l.x += by;
  if (l.above) l.above += by;
  if (l.below) l.below += by;
}

// f(r, address) for lines -1 to `rows`, those of zeros left out.
template <class T, class F>
FASTCONV_INLINE void for_each_line(const SquareLines<T>& l, F f) {
  const int64_t end = l.rows + (l.below != nullptr);
  const T* from = l.above ? l.above : l.x;
  for (int64_t r = l.above ? -1 : 0; r < end; ++r) {
    f(r, from);
    from = r < 0 ? l.x : r + 1 < l.rows ? from + l.row : l.below;
  }
}

// What padding adds to a line's neighbours.
template <class T>
struct Folded {
  Mask<T> first, last;
  int64_t end;
  FASTCONV_INLINE Folded(const SquareRows<T>& b, const Block<T>& block, int columns)
      : first(one_lane<T>(b.fold.first - block.at)),
        last(one_lane<T>(b.fold.last - block.at - (columns - 1) * kLanes<T>)),
        end(b.lines.width - 1) {}
  template <int C>
  FASTCONV_INLINE void add(int c, const T* line, Vec<T> (&in)[3]) const {
    if (c == 0) in[2] += first ? splat(*line) : Vec<T>{};
    if (c == C - 1) in[0] += last ? splat(line[end]) : Vec<T>{};
  }
};
// Adds the first line or the last one by a row of taps to an output row that is stored, if to any.
template <class T, int C>
__attribute__((noinline)) void fold_lines(const SquareRows<T>& b, const Block<T>& block, int side) {
  const Folded<T> folded(b, block, C);
  const int64_t row = side ? b.fold.bottom : b.fold.top, *tap = b.tap + (side ? 0 : 6);
  const T* const from = b.lines.x + (side ? (b.lines.rows - 1) * b.lines.row : 0);
  T* y = b.y + block.at + row * b.y_row;
  if (row < 0) return;
  for_each_column<T, C>(from, block, [&](int c, Vec<T>(&in)[3]) FASTCONV_LAMBDA {
    Vec<T> sum = c < C - 1 ? load(y) : block.load_last(y);
    folded.template add<C>(c, from, in);
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) sum += splat(b.w[tap[k]]) * in[k];
    if (c < C - 1) store(y, sum);
    else store_lanes(y, sum, block.last);
    y += kLanes<T>;
  });
}

// A line begins a row of outputs by the first row of taps, goes on with the one above it by the second, and ends the
// one above both.
template <class T, int C, bool Folds>
FASTCONV_INLINE void rows_of_plane(const SquareRows<T>& b, const Block<T>& block, bool adds, bool clamp) {
  constexpr int VL = kLanes<T>;
  const T bias = b.bias ? *b.bias : T(0);
  Vec<T> tap[9];
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) tap[t] = splat(b.w[b.tap[t]]);
  [[maybe_unused]] const Folded<T> folded(b, block, C);
  T* y = b.y + block.at;  // of the row that a line ends
  Vec<T> ending[C], going_on[C], beginning[C];
  const auto begin = [&](Vec<T>(&sums)[C], int64_t r) FASTCONV_LAMBDA {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = splat(bias);
    if (!adds || r >= b.lines.rows) return;
    const T* row = b.y + block.at + r * b.y_row;
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = c < C - 1 ? load(row + c * VL) : block.load_last(row + c * VL);
  };
  const auto end = [&]() FASTCONV_LAMBDA {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      Vec<T> v = ending[c];
      if (clamp) {
        const Vec<T> low = splat(b.low), high = splat(b.high);
        v = v < low ? low : v;
        v = v > high ? high : v;
      }
      if (c < C - 1) store(y + c * VL, v);
      else store_lanes(y + c * VL, v, block.last);
    }
    y += b.y_row;
  };
  begin(going_on, 0);
  begin(ending, 0);
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    if (b.x_ahead)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        __builtin_prefetch(from + block.at + c * VL + b.x_ahead);
        __builtin_prefetch(y + c * VL + b.y_ahead, 1);
      }
    begin(beginning, r + 1);
    for_each_column<T, C>(from, block, [&](int c, Vec<T>(&in)[3]) FASTCONV_LAMBDA {
      if constexpr (Folds) folded.template add<C>(c, from, in);
#pragma GCC unroll 3
      for (int k = 0; k < 3; ++k) {
        ending[c] += tap[6 + k] * in[k];
        going_on[c] += tap[3 + k] * in[k];
        beginning[c] += tap[k] * in[k];
      }
      __asm__("" : "+v"(ending[c]));  // now, and not where it is stored: the inputs would be kept until then
    });
    if (r > 0) end();
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) ending[c] = going_on[c], going_on[c] = beginning[c];
  });
  if (!b.lines.below) end();
}

template <class T>
FASTCONV_INLINE void next_plane(SquareRows<T>& b) {
  move_on(b.lines, b.x_plane);
  b.w += b.w_plane;
  b.y += b.y_plane;
  b.bias += b.bias ? 1 : 0;
}

template <class T, int C, bool Folds>
__attribute__((noinline)) void rows_of_block(const SquareRows<T>& all, const Block<T>& where) {
  const Block<T> block = where;  // not in memory, which stores might change
  SquareRows<T> b = all;
  b.x_plane -= b.channels * b.x_channel;
  b.w_plane -= b.channels * b.w_channel;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b))
    for (int64_t c = 0; c < b.channels; ++c) {
      rows_of_plane<T, C, Folds>(b, block, c > 0, b.clamp && c + 1 == b.channels);
      if constexpr (Folds) fold_lines<T, C>(b, where, 0), fold_lines<T, C>(b, where, 1);
      move_on(b.lines, b.x_channel);
      b.w += b.w_channel;
    }
}

// Planes in turn, unless they are blocks in turn.
template <class T>
void rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  if (blocks_of(b.lines) > 1) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b))
    for_each_block(b.lines, [&](const Block<T>& block, auto n) FASTCONV_LAMBDA {
      constexpr int C = decltype(n)::value;
      if (b.fold.folds || sizeof(T) == 8) rows_of_block<T, C, true>(b, block);
      else rows_of_block<T, C, false>(b, block);
    });
}

// A line meets the rows of dy above, beside and below it. dy is zero beside its rows, but x might be infinite there.
template <class T, int C>
FASTCONV_INLINE void add_dots(const SquareDots<T>& b, const Block<T>& block, Vec<T> (&sums)[9]) {
  constexpr int VL = kLanes<T>;
  Vec<T> acc[9], above[C], beside[C], below[C];
  const auto read = [&](Vec<T>(&d)[C], int64_t r) FASTCONV_LAMBDA {
    const T* row = b.dy + block.at + r * b.dy_row;
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) d[c] = c < C - 1 ? load(row + c * VL) : block.load_last(row + c * VL);
  };
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) acc[t] = Vec<T>{};
  read(beside, 0);
  read(above, 0);  // these two are not met before they are read
  read(below, 0);
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    if (b.x_ahead)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        __builtin_prefetch(from + block.at + c * VL + b.x_ahead);
        __builtin_prefetch(b.dy + block.at + r * b.dy_row + c * VL + b.dy_ahead);
      }
    if (r + 1 < b.lines.rows) read(below, r + 1);
    for_each_column<T, C>(from, block, [&](int c, Vec<T>(&in)[3]) FASTCONV_LAMBDA {
      if (c == C - 1)
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) in[k] = block.keep_last ? in[k] : Vec<T>{};
      if (r + 1 < b.lines.rows)
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) acc[k] += below[c] * in[k];
      if (r >= 0 && r < b.lines.rows)
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) acc[3 + k] += beside[c] * in[k];
      if (r > 0)
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k) acc[6 + k] += above[c] * in[k];
    });
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) above[c] = beside[c], beside[c] = below[c];
  });
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) sums[t] = acc[t];
}

// a folded into the lanes whose number lacks bit S, b into the others.
template <int S, class V, int... I>
FASTCONV_INLINE V folded(V a, V b, LaneList<I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, ((I & S) ? n + I - S : I)...) +
         __builtin_shufflevector(a, b, ((I & S) ? n + I : I + S)...);
}
// The sums of the lanes of N vectors, lanes 2 S / N apart.
template <int N, class T, int S = kLanes<T> / 2>
FASTCONV_INLINE Vec<T> folded_all(const Vec<T>* v) {
  constexpr int half = N > 1 ? N / 2 : 1;
  if constexpr (S == 0) return *v;
  else {
    Vec<T> w[half];
#pragma GCC unroll 4
    for (int i = 0; i < half; ++i) w[i] = folded<S>(v[i], v[i + N / 2], LanesOf<Vec<T>>{});
    return folded_all<half, T, S / 2>(w);
  }
}

// A call, for the sake of the loops it is in.
template <class T>
__attribute__((noinline)) void write_sums(const Vec<T> (&sums)[9], T* dw, const int64_t* tap, bool adds) {
  T sum[kLanes<T>];
  store(sum, folded_all<8, T>(sums));
  const T ninth = add_lanes<T>(sums[8]);
  for (int t = 0; t < 9; ++t) dw[tap[t]] = (adds ? dw[tap[t]] : T(0)) + (t < 8 ? sum[t * kLanes<T> / 8] : ninth);
}

template <class T>
FASTCONV_INLINE void next_plane(SquareDots<T>& b) {
  move_on(b.lines, b.x_plane);
  b.dy += b.dy_plane;
  b.dw += b.dw_plane;
}

template <class T, int C>
__attribute__((noinline)) void dots_of_block(const SquareDots<T>& all, const Block<T>& where) {
  const Block<T> block = where;
  SquareDots<T> b = all;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> sums[9];
    add_dots<T, C>(b, block, sums);
    write_sums<T>(sums, b.dw, b.tap, b.adds);
  }
}

template <class T>
void dots(const SquareDots<T>& all) {
  SquareDots<T> b = all;
  if (blocks_of(b.lines) > 1) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b)) {
    b.adds = all.adds;
    for_each_block(b.lines, [&](const Block<T>& block, auto n) FASTCONV_LAMBDA {
      dots_of_block<T, decltype(n)::value>(b, block);
      b.adds = true;
    });
  }
}

// Larger squares, whose taps are read from memory: K rows of outputs wait while a line goes by, sums[i] that of row
// r + K / 2 - i.
template <class T, int K, int C>
struct Waiting {
  Vec<T> sums[K][C];
  Vec<T> bias;
  FASTCONV_INLINE explicit Waiting(T b) : bias(splat(b)) {
#pragma GCC unroll 7
    for (int i = 0; i < K; ++i) clear(i);
  }
  FASTCONV_INLINE void clear(int i) {
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) sums[i][c] = bias;
  }
  FASTCONV_INLINE void next_line() {
#pragma GCC unroll 7
    for (int i = K - 1; i > 0; --i)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[i][c] = sums[i - 1][c];
    clear(0);
  }
  FASTCONV_INLINE void store_row(const SquareRows<T>& b, T* y, LaneRange<T> last) const {
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) {
      Vec<T> v = sums[K - 1][c];
      if (b.clamp) {
        const Vec<T> low = splat(b.low), high = splat(b.high);
        v = v < low ? low : v;
        v = v > high ? high : v;
      }
      if (c < C - 1) store(y + c * kLanes<T>, v);
      else store_lanes(y + c * kLanes<T>, v, last);
    }
  }
  // Tap k and those behind it; in[0] stands before the columns, in[C + 1] behind them.
  template <int k = 0>
  FASTCONV_INLINE void add(const Vec<T> (&in)[C + 2], const T* w) {
    if constexpr (k < K) {
      constexpr int S = k - K / 2, VL = kLanes<T>;
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        Vec<T> under = in[c + 1];
        if constexpr (S < 0) under = moved_on<VL + S>(in[c], under);
        else if constexpr (S > 0) under = moved_on<S>(under, in[c + 2]);
#pragma GCC unroll 7
        for (int i = 0; i < K; ++i) sums[i][c] += splat(w[i * K + k]) * under;
      }
      add<k + 1>(in, w);
    }
  }
};

// The lanes of a vector at element `at` that are in [first, end).
template <class T>
FASTCONV_INLINE LaneRange<T> lanes_within(int64_t at, int64_t first, int64_t end) {
  const auto lane = [at](int64_t e) FASTCONV_LAMBDA { return e < at ? 0 : e - at < kLanes<T> ? e - at : kLanes<T>; };
  return LaneRange<T>(lane(first), lane(end) > lane(first) ? lane(end) - lane(first) : 0);
}

template <class T, int K, int C>
__attribute__((noinline)) void larger_block(const SquareRows<T>& b, T bias, const T* w, int64_t at) {
  constexpr int VL = kLanes<T>;
  constexpr int64_t half = K / 2;
  const SquareLines<T>& lines = b.lines;
  const LaneRange<T> before = lanes_within<T>(at - VL, b.first, b.end), first = lanes_within<T>(at, b.first, b.end),
                     last = lanes_within<T>(at + (C - 1) * VL, b.first, b.end),
                     behind = lanes_within<T>(at + C * VL, b.first, b.end),
                     stored = lanes_within<T>(at + (C - 1) * VL, 0, lines.width);
  Waiting<T, K, C> rows(bias);
  const T* from = lines.x + at - b.before * lines.row;
  T* y = b.y + at;
  for (int64_t r = -b.before; r < lines.rows + b.after; ++r, from += lines.row) {
    if (b.x_ahead)
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        __builtin_prefetch(from + c * VL + b.x_ahead);
        __builtin_prefetch(y + c * VL + b.y_ahead, 1);
      }
    Vec<T> in[C + 2];
    in[0] = load_lanes(from - VL, before);
    in[1] = load_lanes(from, first);
    if (C > 1) in[C] = load_lanes(from + (C - 1) * VL, last);
    in[C + 1] = load_lanes(from + C * VL, behind);
    rows.add(in, w);
    if (r >= half) rows.store_row(b, y, stored), y += b.y_row;
    rows.next_line();
  }
  for (int64_t i = b.after; i < half; ++i) {
    if (lines.rows - half + i >= 0) rows.store_row(b, y, stored), y += b.y_row;
    rows.next_line();
  }
}

template <class T, int K>
void larger_rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    T w[K * K];
    for (int t = 0; t < K * K; ++t) w[t] = b.w[b.tap[t]];
    const T bias = b.bias ? *b.bias : T(0);
    for (int64_t at = 0; at < b.lines.width; at += 2 * kLanes<T>)
      if (b.lines.width - at > kLanes<T>) larger_block<T, K, 2>(b, bias, w, at);
      else larger_block<T, K, 1>(b, bias, w, at);
  }
}

template <class T>
constexpr SquareKernelsOf<T> make_kernels() {
  if constexpr (sizeof(T) == 8) return {rows<T>, {}, dots<T>};
  else return {rows<T>, {larger_rows<T, 5>, larger_rows<T, 7>}, dots<T>};
}

}  // namespace
#else
template <class T>
constexpr SquareKernelsOf<T> make_kernels() {
  return {};
}
#endif

const SquareKernels& square_kernels() {
  static constexpr SquareKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
