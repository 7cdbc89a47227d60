// Three by three neighbouring taps, compiled once per rung.
#include "kernels/depthwise_squares.hpp"

#include "kernels/masked.hpp"
#include "kernels/shuffle.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

#if defined(__AVX2__)
namespace {

// With many registers a vector is loaded once and its lanes are moved, with few it is loaded for each tap.
constexpr bool kMovesLanes = FASTCONV_VEC_REGISTERS == 32;

// Vectors of a line at a time: three sums and an input of each are in registers, and nine taps. float64: half the code.
template <class T>
constexpr int kColumns = !kMovesLanes ? 2 : 4;

// Some columns of the lines, from element `at` on, and what stands on either side of them.
template <class T>
struct Block {
  int64_t at, left, right, lanes;                       // lanes: of the last column
  Mask<T> keep_left, keep_right, keep_last, keep_next;  // keep_next: where the right neighbour is within that column
  LaneRange<T> last, before_first,
      behind_last;           // the latter of what the outer taps of the outer columns find in a line
  bool has_left, has_right;  // and what they find elsewhere,
  Mask<T> right_lane;        // the latter in this lane
  FASTCONV_INLINE Block(const SquareLines<T>& l, int64_t first, int64_t columns)
      : Block(l, first, first + columns * kLanes<T>, l.width - first - (columns - 1) * kLanes<T>) {}
  FASTCONV_INLINE Vec<T> load_last(const T* p) const { return load_lanes(p, last); }
  // Column c of C in a row whose element `at` is at p.
  template <int C>
  FASTCONV_INLINE Vec<T> load_column(const T* p, int c) const {
    return c < C - 1 ? load(p + c * kLanes<T>) : load_last(p + c * kLanes<T>);
  }
  template <int C>
  FASTCONV_INLINE void store_column(T* p, int c, Vec<T> v) const {
    if (c < C - 1) store(p + c * kLanes<T>, v);
    else store_lanes(p + c * kLanes<T>, v, last);
  }

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
        last(0, lanes),
        before_first(first > 0 ? 0 : 1, first > 0 ? kLanes<T> : kLanes<T> - 1),
        behind_last(0, end < l.width ? kLanes<T> : lanes - 1),
        has_left(first == 0 && l.has_left),
        has_right(end >= l.width && l.has_right),
        right_lane(keep_last & ~first_lanes<T>(lanes - 1)) {}
};

// Lane n alone, if it is one.
template <class T>
FASTCONV_INLINE Mask<T> one_lane(int64_t n) {
  return n < 0 || n >= kLanes<T> ? Mask<T>{} : first_lanes<T>(n + 1) & ~first_lanes<T>(n);
}

// Of outputs two elements apart, element `at` being twice as far on.
template <class T>
struct HalvedBlock : Block<T> {
  LaneRange<T> half[2];  // of the two vectors that the last column reads
  FASTCONV_INLINE HalvedBlock(const SquareLines<T>& l, int64_t first, int64_t columns)
      : HalvedBlock(Block<T>(l, first, columns), first + columns * kLanes<T> < l.width || l.right == 2 * l.width - 1) {
    if (first > 0) this->left = 2 * first - 1;
  }

 private:
  FASTCONV_INLINE HalvedBlock(const Block<T>& b, bool more) : HalvedBlock(b, 2 * b.lanes - !more) {
    if (more) this->has_right = false;
  }
  FASTCONV_INLINE HalvedBlock(const Block<T>& b, int64_t n)
      : Block<T>(b), half{{0, n < kLanes<T> ? n : kLanes<T>}, {0, n < kLanes<T> ? 0 : n - kLanes<T>}} {}
};

// f(c, k, in) for the columns c and taps k of a line: `in` stands under them.
template <class T, int C, class F>
FASTCONV_INLINE void for_each_moved(const T* line, const Block<T>& b, F f) {
  const T* const from = line + b.at;
  const Vec<T> behind = b.keep_right ? splat(line[b.right]) : Vec<T>{};
  const auto column = [&](int c) FASTCONV_LAMBDA {
    return c < C - 1 ? load(from + c * kLanes<T>) : b.keep_next ? behind : b.load_last(from + c * kLanes<T>);
  };
  Vec<T> before = b.keep_left ? splat(line[b.left]) : Vec<T>{}, middle = column(0);
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    const Vec<T> next = c < C - 1 ? column(c + 1) : behind;
    const Vec<T> left = moved_on<kLanes<T> - 1>(before, middle), right = moved_on<1>(middle, next);
    f(c, 0, left);
    f(c, 1, middle);
    f(c, 2, right);
    before = middle;
    middle = next;
  }
}
template <class T, int C, class F>
FASTCONV_INLINE void for_each_loaded(const T* line, const Block<T>& b, F f) {
  const T* from = line + b.at - 1;
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k, ++from)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const T* p = from + c * kLanes<T>;
      const bool first = k == 0 && c == 0, last = k == 2 && c == C - 1;
      Vec<T> in = first        ? load_lanes(p, b.before_first)
                  : last       ? load_lanes(p, b.behind_last)
                  : c == C - 1 ? b.load_last(p)
                               : load(p);
      if (first && b.has_left) in = first_lanes<T>(1) ? splat(line[b.left]) : in;
      if (last && b.has_right) in = b.right_lane ? splat(line[b.right]) : in;
      f(c, k, in);
    }
}
// Each line is taken apart into its even and odd elements.
template <class T, int C, class F>
FASTCONV_INLINE void for_each_input(const T* line, const HalvedBlock<T>& b, F f) {
  constexpr int VL = kLanes<T>;
  const T* from = line + 2 * b.at;
  Vec<T> before = b.keep_left ? splat(line[b.left]) : Vec<T>{};
#pragma GCC unroll 2
  for (int c = 0; c < C; ++c, from += 2 * VL) {
    const Vec<T> low = c < C - 1 ? load(from) : load_lanes(from, b.half[0]),
                 high = c < C - 1 ? load(from + VL) : load_lanes(from + VL, b.half[1]), even = even_lanes(low, high);
    Vec<T> odd = odd_lanes(low, high);
    if (c == C - 1 && b.has_right) odd = b.right_lane ? splat(line[b.right]) : odd;
    f(c, 0, moved_on<VL - 1>(before, odd));
    f(c, 1, even);
    f(c, 2, odd);
    before = odd;
  }
}
template <class T, int C, class F>
FASTCONV_INLINE void for_each_input(const T* line, const Block<T>& b, F f) {
  if constexpr (kMovesLanes) for_each_moved<T, C>(line, b, f);
  else for_each_loaded<T, C>(line, b, f);
}

template <int kMost, class T>
FASTCONV_INLINE int64_t blocks_of(const SquareLines<T>& l) {
  constexpr int64_t size = kMost * kLanes<T>;
  return (l.width + size - 1) / size;
}
// f(block, its columns as a constant): all columns of a line in blocks as even as may be.
template <int N>
struct Count {
  static constexpr int value = N;
};
template <class T, int S>
struct BlockFor {
  typedef Block<T> type;
};
template <class T>
struct BlockFor<T, 2> {
  typedef HalvedBlock<T> type;
};
// A call, which rows and dots share.
template <int S, class T>
__attribute__((noinline)) typename BlockFor<T, S>::type make_block(const SquareLines<T>& l, int64_t first, int64_t n) {
  return typename BlockFor<T, S>::type(l, first, n);
}
template <int S, int kMost, class T, class F>
FASTCONV_INLINE void for_each_block(const SquareLines<T>& l, F f) {
  const int64_t columns = (l.width + kLanes<T> - 1) / kLanes<T>, blocks = blocks_of<kMost>(l);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * columns / blocks, n = (i + 1) * columns / blocks - first;
    const typename BlockFor<T, S>::type block = make_block<S>(l, first * kLanes<T>, n);
    if (kMost == 1 || n == 1) f(block, Count<1>{});
    else if (kMost == 2 || n == 2) f(block, Count < kMost < 2 ? 1 : 2 > {});
    else if (n == 3) f(block, Count < kMost < 3 ? 1 : 3 > {});
    else f(block, Count<kMost>{});
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
// f(r, line 2 r, line 2 r + 1) at a stride of two, the lines of zeros being null.
template <class T, class F>
FASTCONV_INLINE void for_each_pair(const SquareLines<T>& l, F f) {
  const T* even = l.above ? nullptr : l.x;
  for (int64_t r = l.above ? -1 : 0; r < l.rows; ++r) {
    f(r, even, r < 0 ? l.above : r + 1 < l.rows ? even + l.row : l.below);
    even = r < 0 ? l.x : even + 2 * l.row;
  }
}

// One address, where the compiler would keep one for each line that is fetched from it.
template <class T>
FASTCONV_INLINE const T* one_address(const T* p) {
  __asm__("" : "+r"(p));
  return p;
}
// n vectors from p on, to be read or written later: once a cache line.
template <int n, int kToWrite = 0, class T>
FASTCONV_INLINE void fetch(const T* p) {
#pragma GCC unroll 4
  for (int i = 0; i < n; i += 64 / FASTCONV_VEC_BYTES) __builtin_prefetch(p + i * kLanes<T>, kToWrite);
}

// What padding adds to a line's neighbours.
template <class T>
struct Folded {
  Mask<T> first, last;
  int64_t end;
  bool ends_before;  // the last one is the last lane of the column before the last
  FASTCONV_INLINE Folded(const SquareRows<T>& b, const Block<T>& block, int columns)
      : first(one_lane<T>(b.fold.first - block.at)),
        last(one_lane<T>(b.fold.last - block.at - (columns - 1) * kLanes<T>)),
        end(b.lines.width - 1),
        ends_before(b.fold.last - block.at == (columns - 1) * kLanes<T> - 1) {}
  template <int C>
  FASTCONV_INLINE void add(int c, int k, const T* line, Vec<T>& in) const {
    if (c == 0 && k == 2) in += first ? splat(*line) : Vec<T>{};
    if (c == C - 1 && k == 0) in += last ? splat(line[end]) : Vec<T>{};
    if (c == C - 2 && k == 0 && ends_before) in += one_lane<T>(kLanes<T> - 1) ? splat(line[end]) : Vec<T>{};
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
  Vec<T> sums[C];
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) sums[c] = block.template load_column<C>(y, c);
  for_each_input<T, C>(from, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
    folded.template add<C>(c, k, from, in);
    sums[c] += splat(b.w[tap[k]]) * in;
  });
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) block.template store_column<C>(y, c, sums[c]);
}

// Sums of rows of outputs: from the bias or y, and to y.
template <class T, int C, class Columns>
struct RowSums {
  const SquareRows<T>& b;
  const Columns& block;
  T* y;  // of the row that ends next
  T bias;
  bool adds, clamp;
  FASTCONV_INLINE RowSums(const SquareRows<T>& all, const Columns& where, bool more, bool last)
      : b(all), block(where), y(all.y + where.at), bias(all.bias ? *all.bias : T(0)), adds(more), clamp(last) {}
  FASTCONV_INLINE void begin(Vec<T> (&sums)[C], int64_t r) const {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = splat(bias);
    if (!adds || r >= b.lines.rows) return;
    const T* row = b.y + block.at + r * b.y_row;
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = block.template load_column<C>(row, c);
  }
  FASTCONV_INLINE void end(Vec<T> (&sums)[C]) {
    if (clamp) {
      const Vec<T> low = splat(b.low), high = splat(b.high);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        sums[c] = sums[c] < low ? low : sums[c];
        sums[c] = sums[c] > high ? high : sums[c];
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) block.template store_column<C>(y, c, sums[c]);
    y += b.y_row;
  }
};
template <class T>
FASTCONV_INLINE void read_taps(const SquareRows<T>& b, Vec<T> (&tap)[9]) {
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) tap[t] = splat(b.w[b.tap[t]]);
}

// A line begins a row of outputs by the first row of taps, goes on with the one above it by the second, and ends the
// one above both.
template <class T, int C, bool Folds>
FASTCONV_INLINE void rows_of_plane(const SquareRows<T>& b, const Block<T>& block, bool adds, bool clamp) {
  Vec<T> tap[9], ending[C], going_on[C], beginning[C];
  read_taps(b, tap);
  constexpr bool folds = Folds;
  const Folded<T> folded(b, block, C);
  RowSums<T, C, Block<T>> rows(b, block, adds, clamp);
  rows.begin(going_on, 0);
  rows.begin(ending, 0);
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    if (b.x_ahead) {
      fetch<C>(from + block.at + b.x_ahead);
      fetch<C, 1>(rows.y + b.y_ahead);
    }
    rows.begin(beginning, r + 1);
    for_each_input<T, C>(from, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
      if (folds) folded.template add<C>(c, k, from, in);
      ending[c] += tap[6 + k] * in;
      going_on[c] += tap[3 + k] * in;
      beginning[c] += tap[k] * in;
      if (k == 2) __asm__("" : "+v"(ending[c]));  // now, and not where it is stored: inputs would be kept until then
    });
    if (r > 0) rows.end(ending);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) ending[c] = going_on[c], going_on[c] = beginning[c];
  });
  if (!b.lines.below) rows.end(ending);
}
// At a stride of two it goes on with one, or ends one and begins the next.
template <class T, int C, bool>
FASTCONV_INLINE void rows_of_plane(const SquareRows<T>& b, const HalvedBlock<T>& block, bool adds, bool clamp) {
  Vec<T> tap[9], sums[C], next[C];
  read_taps(b, tap);
  RowSums<T, C, HalvedBlock<T>> rows(b, block, adds, clamp);
  rows.begin(sums, 0);
  for_each_pair(b.lines, [&](int64_t r, const T* even, const T* odd) FASTCONV_LAMBDA {
    if (b.x_ahead && even) {
      fetch<2 * C>(one_address(even + 2 * block.at + b.x_ahead));
      fetch<2 * C>(one_address(even + b.lines.row + 2 * block.at + b.x_ahead));
      fetch<C, 1>(rows.y + b.y_ahead);
    }
    if (even)
      for_each_input<T, C>(even, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA { sums[c] += tap[3 + k] * in; });
    rows.begin(next, r + 1);
    if (odd)
      for_each_input<T, C>(odd, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
        sums[c] += tap[6 + k] * in;
        next[c] += tap[k] * in;
      });
    if (r >= 0) rows.end(sums);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sums[c] = next[c];
  });
}

template <class T>
FASTCONV_INLINE void next_plane(SquareRows<T>& b) {
  move_on(b.lines, b.x_plane);
  b.w += b.w_plane;
  b.y += b.y_plane;
  b.bias += b.bias ? 1 : 0;
}

template <class T, int C, bool Folds, class Columns>
__attribute__((noinline)) void rows_of_block(const SquareRows<T>& all, const Columns& where) {
  const Columns block = where;  // not in memory, which stores might change
  SquareRows<T> b = all;
  b.x_plane -= b.channels * b.x_channel;
  b.w_plane -= b.channels * b.w_channel;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b))
    for (int64_t c = 0; c < b.channels; ++c) {
      rows_of_plane<T, C, Folds>(b, block, c > 0, b.clamp && c + 1 == b.channels);
      if constexpr (Folds)
        if (b.fold.folds) fold_lines<T, C>(b, where, 0), fold_lines<T, C>(b, where, 1);
      move_on(b.lines, b.x_channel);
      b.w += b.w_channel;
    }
}

// Planes in turn, unless they are blocks in turn.
template <class T, int S>
void rows(const SquareRows<T>& all) {
  SquareRows<T> b = all;
  constexpr int most = S == 1 ? kColumns<T> : sizeof(T) == 8 ? 1 : 2;  // at a stride of two a column is two vectors
  if (blocks_of<most>(b.lines) > 1) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b))
    for_each_block<S, most>(b.lines, [&](const auto& block, auto n) FASTCONV_LAMBDA {
      constexpr int C = decltype(n)::value;
      constexpr bool folds = S == 1 && kMovesLanes;   // few registers are enough for no more
      constexpr bool both = folds && sizeof(T) == 8;  // one for both: half the code
      if (folds && (both || b.fold.folds)) rows_of_block<T, C, folds>(b, block);
      else rows_of_block<T, C, both>(b, block);
    });
}

// A row of dy, zero beside its lanes.
template <class T, int C, class Columns>
FASTCONV_INLINE void read_row(const SquareDots<T>& b, const Columns& block, int64_t r, Vec<T> (&d)[C]) {
  const T* row = b.dy + block.at + r * b.dy_row;
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) d[c] = block.template load_column<C>(row, c);
}

// dy is zero beside the lanes of the last column, but x might be infinite there: it is left out by masked products, or
// taken away before.
#if defined(__AVX512F__)
FASTCONV_INLINE Vec<float> add_in_lanes(Vec<float> sum, Vec<float> a, Vec<float> b, unsigned bits) {
  return __builtin_ia32_vfmaddps512_mask3(a, b, sum, static_cast<unsigned short>(bits), 4);
}
FASTCONV_INLINE Vec<double> add_in_lanes(Vec<double> sum, Vec<double> a, Vec<double> b, unsigned bits) {
  return __builtin_ia32_vfmaddpd512_mask3(a, b, sum, static_cast<unsigned char>(bits), 4);
}
template <class T, int C>
FASTCONV_INLINE Vec<T> within(const Block<T>&, int, Vec<T> x) {
  return x;
}
template <class T, int C>
FASTCONV_INLINE void add_dot(const Block<T>& block, int c, Vec<T>& sum, Vec<T> dy, Vec<T> x) {
  sum = c < C - 1 ? sum + dy * x : add_in_lanes(sum, dy, x, block.last.bits);
}
#else
template <class T, int C>
FASTCONV_INLINE Vec<T> within(const Block<T>& block, int c, Vec<T> x) {
  return c < C - 1 ? x : block.keep_last ? x : Vec<T>{};
}
template <class T, int C>
FASTCONV_INLINE void add_dot(const Block<T>&, int, Vec<T>& sum, Vec<T> dy, Vec<T> x) {
  sum += dy * x;
}
#endif

// A line meets the rows of dy above, beside and below it.
template <class T, int C>
FASTCONV_INLINE void add_dots(const SquareDots<T>& b, const Block<T>& block, Vec<T> (&acc)[9]) {
  Vec<T> above[C], beside[C], below[C], under[3];
  read_row<T, C>(b, block, 0, beside);
  read_row<T, C>(b, block, 0, above);  // these two are not met before they are read
  read_row<T, C>(b, block, 0, below);
  for_each_line(b.lines, [&](int64_t r, const T* from) FASTCONV_LAMBDA {
    if (b.x_ahead) {
      fetch<C>(from + block.at + b.x_ahead);
      fetch<C>(b.dy + block.at + r * b.dy_row + b.dy_ahead);
    }
    if (r + 1 < b.lines.rows) read_row<T, C>(b, block, r + 1, below);
    for_each_input<T, C>(from, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
      under[k] = within<T, C>(block, c, in);
      if (k < 2) return;
      if (r + 1 < b.lines.rows)
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) add_dot<T, C>(block, c, acc[i], below[c], under[i]);
      if (r >= 0 && r < b.lines.rows)
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) add_dot<T, C>(block, c, acc[3 + i], beside[c], under[i]);
      if (r > 0)
#pragma GCC unroll 3
        for (int i = 0; i < 3; ++i) add_dot<T, C>(block, c, acc[6 + i], above[c], under[i]);
    });
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) above[c] = beside[c], beside[c] = below[c];
  });
}
template <class T, int C>
FASTCONV_INLINE void add_dots(const SquareDots<T>& b, const HalvedBlock<T>& block, Vec<T> (&acc)[9]) {
  Vec<T> own[C], next[C];
  read_row<T, C>(b, block, 0, own);
  read_row<T, C>(b, block, 0, next);
  for_each_pair(b.lines, [&](int64_t r, const T* even, const T* odd) FASTCONV_LAMBDA {
    if (b.x_ahead && even) {
      fetch<2 * C>(one_address(even + 2 * block.at + b.x_ahead));
      fetch<2 * C>(one_address(even + b.lines.row + 2 * block.at + b.x_ahead));
      fetch<C>(b.dy + block.at + r * b.dy_row + b.dy_ahead);
    }
    const bool more = r + 1 < b.lines.rows;
    if (more) read_row<T, C>(b, block, r + 1, next);
    // What stands behind the last output is read, and moves on to the lane behind it.
    const auto under = [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA { return k > 0 ? in : within<T, C>(block, c, in); };
    if (even)
      for_each_input<T, C>(even, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
        add_dot<T, C>(block, c, acc[3 + k], own[c], under(c, k, in));
      });
    if (odd)
      for_each_input<T, C>(odd, block, [&](int c, int k, Vec<T> in) FASTCONV_LAMBDA {
        const Vec<T> x = under(c, k, in);
        if (even) add_dot<T, C>(block, c, acc[6 + k], own[c], x);
        if (more) add_dot<T, C>(block, c, acc[k], next[c], x);
      });
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) own[c] = next[c];
  });
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

// The sums of nine taps that stand in turn take two stores.
template <class T>
FASTCONV_INLINE bool in_turn(const int64_t* tap, bool adds) {
  return kLanes<T> >= 8 && !adds && tap[1] == tap[0] + 1 && tap[3] == tap[0] + 3;
}
template <class T>
FASTCONV_INLINE void write_in_turn(const Vec<T> (&sums)[9], T* dw) {
  if constexpr (kLanes<T> >= 8) {
    const Vec<T> all = folded_all<8, T>(sums);
    store_lanes(dw, kLanes<T> == 8 ? all : even_lanes(all, all), LaneRange<T>(0, 8));
    dw[8] = add_lanes<T>(sums[8]);
  }
}
// Any, by a call, for the sake of the loops it is in.
template <class T>
__attribute__((noinline)) void write_sums(const Vec<T> (&sums)[9], T* dw, const int64_t* tap, bool adds) {
  if (in_turn<T>(tap, adds)) return write_in_turn<T>(sums, dw + tap[0]);
  constexpr int VL = kLanes<T>, N = VL < 8 ? VL : 8, apart = VL / N;
  T sum[8 / N * VL];
  const T ninth = add_lanes<T>(sums[8]);
#pragma GCC unroll 2
  for (int i = 0; i < 8 / N; ++i) store(sum + i * VL, folded_all<N, T>(sums + i * N));
  for (int t = 0; t < 9; ++t) dw[tap[t]] = (adds ? dw[tap[t]] : T(0)) + (t < 8 ? sum[t * apart] : ninth);
}

template <class T>
FASTCONV_INLINE void next_plane(SquareDots<T>& b) {
  move_on(b.lines, b.x_plane);
  b.dy += b.dy_plane;
  b.dw += b.dw_plane;
}

template <class T, int C, class Columns>
__attribute__((noinline)) void dots_of_block(const SquareDots<T>& all, const Columns& where) {
  const Columns block = where;
  SquareDots<T> b = all;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<T> sums[9], acc[9];
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) acc[t] = Vec<T>{};
    add_dots<T, C>(b, block, acc);
    if constexpr (C <= 2 && kLanes<T> == 16)
      if (in_turn<T>(b.tap, b.adds)) {
        write_in_turn<T>(acc, b.dw + b.tap[0]);
        continue;
      }
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) sums[t] = acc[t];  // the latter are in registers, whatever reads the former
    write_sums<T>(sums, b.dw, b.tap, b.adds);
  }
}

template <class T, int S>
void dots(const SquareDots<T>& all) {
  SquareDots<T> b = all;
  constexpr int most = S == 1 ? kColumns<T> : sizeof(T) == 8 || !kMovesLanes ? 1 : 2;
  if (blocks_of<most>(b.lines) > 1) b.planes = 1;
  for (int64_t p = 0; p < all.planes; p += b.planes, next_plane(b)) {
    b.adds = all.adds;
    for_each_block<S, most>(b.lines, [&](const auto& block, auto n) FASTCONV_LAMBDA {
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

// Small images, two lines a vector: a line is half of it, with zeros behind its elements.
constexpr int kPairs = 4;

// Both halves moved on by S elements, zeros coming in.
template <int S, class V, int... I>
FASTCONV_INLINE V halves_moved_on(V v, LaneList<I...>) {
  constexpr int n = sizeof...(I), half = n / 2;
  return __builtin_shufflevector(v, V{}, (I % half + S >= 0 && I % half + S < half ? I + S : n)...);
}
// Column k of the taps: lines 2 i and 2 i + 1 of a pair, and lines 2 i - 1 and 2 i.
template <class T>
struct PairColumn {
  Vec<T> own[kPairs], between[kPairs + 1];
};
template <class T, int S>
FASTCONV_INLINE PairColumn<T> pair_column(const Vec<T> (&in)[kPairs]) {
  constexpr int H = kLanes<T> / 2;
  PairColumn<T> c;
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) c.own[i] = halves_moved_on<S>(in[i], LanesOf<Vec<T>>{});
  c.between[0] = moved_on<H>(Vec<T>{}, c.own[0]);
  c.between[kPairs] = moved_on<H>(c.own[kPairs - 1], Vec<T>{});
#pragma GCC unroll 4
  for (int i = 1; i < kPairs; ++i) c.between[i] = moved_on<H>(c.own[i - 1], c.own[i]);
  return c;
}
// The lanes of pair i of `rows` lines of `width` elements.
template <class T>
struct PairLanes {
  LaneRange<T> low, high;
  FASTCONV_INLINE PairLanes(int i, int64_t rows, int64_t width)
      : low(0, 2 * i < rows ? width : 0), high(kLanes<T> / 2, 2 * i + 1 < rows ? width : 0) {}
  FASTCONV_INLINE Vec<T> load(const T* line, int64_t row) const {
    return load_lanes(line + row - kLanes<T> / 2, high, load_lanes(line, low));
  }
};
// Column k and on of K by K taps: an output row is a sum over rows an even and rows an odd number of lines away.
template <class T, int K, int k = 0>
FASTCONV_INLINE void add_pairs(const Vec<T> (&in)[kPairs], const T* w, Vec<T> (&even)[kPairs], Vec<T> (&odd)[kPairs]) {
  if constexpr (k < K) {
    const PairColumn<T> c = pair_column<T, k - K / 2>(in);
#pragma GCC unroll 7
    for (int r = 0; r < K; ++r) {
      const Vec<T> tap = splat(w[r * K + k]);
      const int d = r - K / 2;
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i)
        if (d % 2) {
          const int at = i + (d + 1) / 2;
          if (at >= 0 && at <= kPairs) odd[i] += tap * c.between[at];
        } else {
          const int at = i + d / 2;
          if (at >= 0 && at < kPairs) even[i] += tap * c.own[at];
        }
    }
    add_pairs<T, K, k + 1>(in, w, even, odd);
  }
}

template <class V, int... I>
FASTCONV_INLINE V reversed(V v, LaneList<I...>) {
  return __builtin_shufflevector(v, v, (static_cast<int>(sizeof...(I)) - 1 - I)...);
}
// An image turned half around, in its frame of so many pairs of lines.
template <class T>
FASTCONV_INLINE void turn(Vec<T> (&v)[kPairs]) {
#pragma GCC unroll 2
  for (int i = 0; i < kPairs / 2; ++i) {
    const Vec<T> last = v[kPairs - 1 - i];
    v[kPairs - 1 - i] = reversed(v[i], LanesOf<Vec<T>>{});
    v[i] = reversed(last, LanesOf<Vec<T>>{});
  }
}

template <class T, int K>
void small_rows(const SquareRows<T>& all) {
  constexpr int H = kLanes<T> / 2;
  SquareRows<T> b = all;
  const int64_t *tap = b.tap, rows = b.lines.rows;
  const int64_t first = tap[b.turns ? K * K - 1 : 0], step = b.turns ? -1 : 1;
  const bool in_turn = tap[1] == tap[0] + step && tap[K] == tap[0] + K * step;
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    T own[K * K];
    const T* w = b.w + first;
    if (!in_turn) {
      for (int t = 0; t < K * K; ++t) own[t] = b.w[tap[b.turns ? K * K - 1 - t : t]];
      w = own;
    }
    Vec<T> in[kPairs], even[kPairs], odd[kPairs];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      in[i] = PairLanes<T>(i, rows, b.lines.width).load(b.lines.x + 2 * i * b.lines.row, b.lines.row);
      even[i] = splat(b.bias ? *b.bias : T(0));
      odd[i] = Vec<T>{};
    }
    if (b.turns) turn<T>(in);
    add_pairs<T, K>(in, w, even, odd);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) even[i] += odd[i];
    if (b.turns) turn<T>(even);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      Vec<T> v = even[i];
      if (b.clamp) {
        const Vec<T> least = splat(b.low), most = splat(b.high);
        v = v < least ? least : v;
        v = v > most ? most : v;
      }
      T* y = b.y + 2 * i * b.y_row;
      const PairLanes<T> lanes(i, rows, b.lines.width);
      store_lanes(y, v, lanes.low);
      store_lanes(y + b.y_row - H, v, lanes.high);
    }
  }
}

#if defined(__AVX512F__)
template <int k = 0>
FASTCONV_INLINE void add_pair_dots(const Vec<float> (&in)[kPairs], const Vec<float> (&dy)[kPairs],
                                   const unsigned (&bits)[kPairs], Vec<float> (&acc)[9]) {
  if constexpr (k < 3) {
    const PairColumn<float> c = pair_column<float, k - 1>(in);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      acc[k] = add_in_lanes(acc[k], dy[i], c.between[i], bits[i]);
      acc[3 + k] = add_in_lanes(acc[3 + k], dy[i], c.own[i], bits[i]);
      acc[6 + k] = add_in_lanes(acc[6 + k], dy[i], c.between[i + 1], bits[i]);
    }
    add_pair_dots<k + 1>(in, dy, bits, acc);
  }
}
void small_dots(const SquareDots<float>& all) {
  SquareDots<float> b = all;
  unsigned bits[kPairs];
#pragma GCC unroll 4
  for (int i = 0; i < kPairs; ++i) {
    const PairLanes<float> lanes(i, b.lines.rows, b.lines.width);
    bits[i] = lanes.low.bits | lanes.high.bits;
  }
  for (int64_t p = 0; p < all.planes; ++p, next_plane(b)) {
    Vec<float> in[kPairs], dy[kPairs], acc[9], sums[9];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
      const PairLanes<float> lanes(i, b.lines.rows, b.lines.width);
      in[i] = lanes.load(b.lines.x + 2 * i * b.lines.row, b.lines.row);
      dy[i] = lanes.load(b.dy + 2 * i * b.dy_row, b.dy_row);
    }
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) acc[t] = Vec<float>{};
    add_pair_dots(in, dy, bits, acc);
    if (in_turn<float>(b.tap, b.adds)) {
      write_in_turn<float>(acc, b.dw + b.tap[0]);
    } else {
#pragma GCC unroll 9
      for (int t = 0; t < 9; ++t) sums[t] = acc[t];
      write_sums<float>(sums, b.dw, b.tap, b.adds);
    }
  }
}
#endif

template <class T>
constexpr SquareKernelsOf<T> make_kernels() {
  SquareKernelsOf<T> k{kMovesLanes, {rows<T, 1>, rows<T, 2>}, {}, {}, {nullptr, dots<T, 2>}, nullptr};
  if constexpr (kMovesLanes) k.dots[0] = dots<T, 1>;
  if constexpr (kMovesLanes && sizeof(T) == 4) {
    k.small[0] = small_rows<T, 3>, k.small[1] = small_rows<T, 5>, k.small[2] = small_rows<T, 7>;
#if defined(__AVX512F__)
    k.small_dots = small_dots;
#endif
    k.larger[0] = larger_rows<T, 5>, k.larger[1] = larger_rows<T, 7>;
  }
  return k;
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
