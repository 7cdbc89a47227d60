// Contracts of the kernels for squares of three by three neighbouring taps at a stride of one. With many registers a
// line of the image is loaded once, its lanes are moved for the taps beside the middle one, and it meets the three rows
// of outputs it belongs to, whose sums wait in registers; with few, lines are loaded for each tap, for some rows of
// outputs at a time. Nothing is packed, whatever the padding.
#pragma once
#include <cstdint>

namespace fastconv {

// Lines of an image as `rows` rows of `width` outputs read them, the first at x: its element j stands under the middle
// tap of output j. The others are `row` apart. Only elements [0, width) and those named are read.
template <class T>
struct SquareLines {
  const T* x;
  int64_t row;
  const T *above, *below;  // lines -1 and rows; null for zeros
  int64_t rows, width;
  int64_t left, right;  // elements of a line that stand at -1 and at width, where it has such
  bool has_left, has_right;
};

// Of each of `planes`:
//   y[r * y_row + j] = clamp( bias + sum_{channel, i, k} w[tap[3 i + k]] * line r + i - 1, element j + k - 1 )
// in this order.
// Where it `folds`, as the gradient of padding that reflects or repeats does, and does not clamp: output row `top` has
// line 0 by the last row of taps besides, row `bottom` the last line by the first row; neither if negative. Likewise
// outputs `first` and `last` of every row, of which the former is in the first vector and the latter in the last one
// or, as its last lane, in the one before that.
struct SquareFold {
  bool folds;
  int64_t top, bottom, first, last;
};
template <class T>
struct SquareRows {
  SquareLines<T> lines;
  const T* w;
  const int64_t* tap;
  T* y;
  int64_t y_row;
  const T* bias;  // one a plane, or null
  bool clamp;
  T low, high;
  int64_t planes, x_plane, w_plane, y_plane;  // how many, and elements from each to the next
  int64_t channels, x_channel, w_channel;     // of a plane, those before the first are in y
  int64_t first_channel;
  int64_t x_ahead, y_ahead;  // elements to what is worth fetching, or zero
  SquareFold fold;
  // Of squares of five and seven taps, which do not fold: lines [-before, rows + after) stand
  // `row` apart and have elements [first, end); all else is zeros.
  int64_t before, after, first, end;
  bool turns;  // taps are a kernel's from its last to its first: small images are turned instead
};

// Of each of `planes`:
//   dw[tap[3 i + k]] = sum_{r, j} dy[r * dy_row + j] * line r + i - 1, element j + k - 1
// or this added to it. Beside lines that lie between others memory may be read, whatever it is.
template <class T>
struct SquareDots {
  SquareLines<T> lines;
  const T* dy;
  int64_t dy_row;
  T* dw;
  const int64_t* tap;
  bool adds;
  int64_t planes, x_plane, dy_plane, dw_plane;
  int64_t x_ahead, dy_ahead;
};

// The input gradient at a stride of two, of each of `planes`. A pixel of dy and its neighbours to the right and below
// give two by two of dx, of which there are elements [first, end) of rows [first_row, end_row); w[i, k] = w[tap[3 i +
// k]]:
//   dx[2 r][2 j]         = bias + w[1, 1] dy[r][j]
//   dx[2 r][2 j + 1]     = bias + w[1, 0] dy[r][j + 1] + w[1, 2] dy[r][j]
//   dx[2 r + 1][2 j]     = bias + w[0, 1] dy[r + 1][j] + w[2, 1] dy[r][j]
//   dx[2 r + 1][2 j + 1] = bias + w[0, 0] dy[r + 1][j + 1] + w[0, 2] dy[r + 1][j] + w[2, 0] dy[r][j + 1] + ...
// dy[r][j] is element j + x of line r, and zero outside of elements [0, width) and lines [first_line, end_line).
template <class T>
struct SquareSpread {
  const T* dy;
  int64_t dy_row, x, width, first_line, end_line;
  const T* w;
  const int64_t* tap;
  T* dx;
  int64_t dx_row, columns, first, end, first_row, end_row;  // columns: vectors of dy
  const T* bias;                                            // one a plane, or null
  int64_t planes, dy_plane, w_plane, dx_plane;
  int64_t dy_ahead, dx_ahead;  // as in SquareRows
};

template <class T>
struct SquareKernelsOf {
  bool many_registers;                    // most of what has more than three taps a side is null where they are few
  void (*rows[2])(const SquareRows<T>&);  // at a stride of one and of two
  // Of five and of seven taps; float64, and few registers: of five.
  void (*larger[2])(const SquareRows<T>&);
  // Of three, five and seven taps, of images that are as large as their outputs and nothing but zeros around them: up
  // to eight lines of up to eight elements. Rows of an even and of an odd number are summed apart, column by column.
  void (*small[3])(const SquareRows<T>&);
  // Of three taps at a stride of two, with zeros around: up to sixteen outputs a row.
  void (*small_halved)(const SquareRows<T>&);
  void (*dots[2])(const SquareDots<T>&);  // as rows
  void (*small_dots[2])(
      const SquareDots<T>&);               // of three taps and up to eight outputs a row, as small and small_halved
  void (*spread)(const SquareSpread<T>&);  // null where vectors are not read in parts
};

struct SquareKernels {
  SquareKernelsOf<float> f32;
  SquareKernelsOf<double> f64;
};

template <class T>
const SquareKernelsOf<T>& square_kernels();  // of the rung in use: isa/typed_kernels.cpp

}  // namespace fastconv
