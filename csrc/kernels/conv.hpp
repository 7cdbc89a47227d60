// Contracts of the convolution kernels. One set an element type; all reached through function pointers.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int kMaxRows = 8;     // MR <= kMaxRows
constexpr int kMaxVectors = 4;  // NR <= kMaxVectors vectors
constexpr int kKeptVectors = 3;
constexpr int kKeptRows = 4;
constexpr int kImageRows = 4;        // of the image at most, where `a` has one row
constexpr int kMaxColumnsRows = 16;  // of a columns tile
constexpr int kMaxOuterRows = 10;    // of an outer tile
constexpr int kMaxOuterVectors = 3;
constexpr int64_t kMaxDotRows = 6;  // of a tile of dot products, on rungs of many registers
constexpr int64_t kDotsAhead = 3;   // between the rows that a tile of dot products fetches for the next one

// At which distance what stands behind b is fetched best, if some lines are read at a time.
constexpr int64_t kAheadBytes = 768;

// The register tile: MR rows of `a` times NR columns of the packed block, over a run of consecutive pixels.
//
//   c[m * ldc + p] = clamp( init + sum_k a[m * lda + aoff[k]] * b[boff[k] + p] ),   p in [0, pixels)
//
// where init is bias[m] (0 if bias is null), or c itself where `accumulate` is set, and clamp cuts to [low, high]
// where `clamp` is set (NaN stays NaN). Sums run over k in order, so the
// bits depend neither on how pixels are grouped nor on how k is cut into consecutive calls. Reads of b may pass the
// last pixel by up to NR vectors: the packed block has that much slack. c is written for `pixels` pixels exactly.
// With each product tiles of few rows fetch what stands `b_ahead` elements behind what they read, others the first line
// of it.
//
// Where `packed` is set, a[k * MR + m] is read instead: no arithmetic on addresses, which would take the places of
// products. Of those tiles the ones of kKeptVectors and kKeptRows or more store what they read of b at `keep`, one
// vector behind the other, if that is not null, and read them from `kept`, if that is not. On rungs that set
// ConvKernelsOf::keeps it is the full tile, packed or not, that stores it and all are read by way of b; then what is
// fetched stands `b_ahead` elements from b and `b_ahead_step` further each time.
//
// The full tile of float32 may sum one more pixel, while the rows of `a` are in the L1 cache: of NR pixels at most, and
// aoff[k] must be k. Its sums remain apart, each lane's, and are set or added to as those in c are:
//   dots[m * dots_row + k % lanes] += a[m * lda + k] * dots_b[k]
//
// A columns tile has the roles swapped: its rows are MR neighbouring pixels, its vectors NR channels of a panel of
// weights. Whatever the taps' shifts, it loads aligned vectors only if the panel is aligned.
//   c[m * ldc + n] = clamp( init + sum_k b[boff[k] + m] * a[n / lanes * a_vector + k * lda + n % lanes] ),   init =
//   bias[n] or c
// With each product it fetches a line, `a_ahead_step` elements behind the last. Where `keep` is not null, what it reads
// of `a` is stored there as well, product after product.
template <class T>
struct TileRun {
  int64_t k;
  const T* a;
  int64_t lda;
  const int32_t* aoff;
  const int32_t* boff;
  const T* b;
  int64_t b_ahead, b_ahead_step;
  int64_t pixels;
  T* c;
  int64_t ldc;
  const T* bias;
  bool packed;
  bool accumulate;
  bool clamp;
  T low, high;
  int64_t a_vector;  // of a columns tile, to `keep`
  const T* a_ahead;
  int64_t a_ahead_step;
  T* keep;
  const T* kept;
  const T* dots_b;  // of tile_and_pixel
  T* dots;
  int64_t dots_row;
};

// One row of `a` (a depthwise convolution, or a single output channel): the tile's rows are rows of the image.
//   c[r * c_row + p] = clamp( init + sum_k a[aoff[k]] * b[boff[k] + r * b_row + p] ),   r in [0, rows), p in [0,
//   pixels)
template <class T>
struct RowsTile {
  TileRun<T> run;  // lda and ldc unused
  int64_t rows, b_row, c_row;
};

// The same tile with the roles of the weight gradient: a sum over pixels of rows that may stand anywhere (the channels
// and taps of x, broadcast) times output channels (columns, vectors).
//   c[m * ldc + n] += sum_p a[row[m] + pixel[p].a] * b[pixel[p].b * NR + n],   n in [0, NR)
struct OuterPixel {
  int32_t a, b;
};
// What of a box of pixels stands where: of each the first one's place and as many steps of each axis. A list of them
// may be written to for kPixelSlack more.
constexpr int64_t kPixelSlack = 1;
struct PixelBox {
  int64_t count[4];
  OuterPixel first, step[4];
};
template <class T>
struct OuterTile {
  int64_t pixels;
  const T* a;
  const int64_t* row;
  const OuterPixel* pixel;
  const T* b;
  const T* ahead;  // `pixels` elements of some rows that will be wanted next
  int64_t ahead_rows, ahead_stride;
  T* c;
  int64_t ldc;
  bool accumulate;  // else c is set
};

// The weight gradient of few output channels: vectors along the pixels, whose lanes stay apart.
//   c[m * ldc + n * lanes + (p % lanes)] += sum_{r, p} a[m * lda + r * a_row + p] * b[boff[n] + r * b_row + p]
template <class T>
struct DotTile {
  int64_t rows, pixels;  // r in [0, rows), p in [0, pixels)
  const T* a;
  int64_t lda, a_row;
  int64_t ahead;  // elements from row 0 to a row that is wanted next, as is the one kDotsAhead rows on
  const T* b;
  int64_t b_row;
  const int32_t* boff;
  T* c;
  int64_t ldc;
  bool accumulate;
};

// Packing copies lines, each in the same runs: dst[line.dst + run.dst + i] = src[line.src + run.src + i * run.step].
// Entries that no run covers are zeros and are not written.
struct PackLine {
  int32_t dst;
  int64_t src;
};
struct PackRun {
  int32_t dst, length;
  int64_t src, step;
};
template <class T>
struct PackChannel {
  T* dst;
  const T* src;
  const PackLine* lines;
  int64_t line_count;
  const PackRun* runs;
  int64_t run_count;
  int64_t ahead;  // elements on to what will be packed next and should be fetched, if src is gone along in steps; or 0
};

// Narrow lines are packed vector by vector of the block, each joined of windows, vectors of x wherever they stand: lane
// i is lane[i] & 15 of the window in which lane[i] is below zero, or a zero. The vector is written with its last
// window, at dst; others have none, that is a dst below zero. Channels are `lds` and `ldd` apart.
struct alignas(16) PackWindow {
  int8_t lane[16];
  int64_t src;
  int32_t dst;
};
template <class T>
struct PackWindows {
  T* dst;
  int64_t ldd;
  const T* src;
  int64_t lds, channels;
  const PackWindow *windows, *end;
};

// The sum of stretches of lines, each tap's of all rows:
//   dst[i] = init + sum of src[tap.src + row + i] over all taps that have begin <= i < end, and all rows, i in [0, n)
struct LineTap {
  int64_t src, begin, end;
};
template <class T>
struct LinesSum {
  const T* src;
  const LineTap* taps;
  int64_t tap_count;
  const int64_t* rows;
  int64_t row_count;
  T* dst;
  int64_t n;
  T init;
};

// Lines zipped of `ways` others each:
//   dst[l * dst_line + x] = src[row[l] + x % ways * pitch + x / ways],   l in [0, lines), x in [0, n)
// Reads of src may pass a line that is not the last one by a vector; `room` elements behind the last line of dst may be
// written to as well, of lines side by side.
template <class T>
struct ZipLines {
  T* dst;
  int64_t dst_line;
  const T* src;
  const int64_t* row;
  int64_t lines, pitch, ways, n, room;
};

// A whole problem so small that making it ready for the tiles would take longer: plain loops, the same sums in the same
// order. index[a][o * k[a] + t] is the input coordinate on axis a, or -1.
constexpr int64_t kTinyIndices = 256;  // of all axes
template <class T>
struct TinyConv {
  int64_t images, groups, channels, rows;  // channels and rows of a group
  int64_t out[3], k[3];
  const int32_t* index[3];
  bool unit_stride;  // along the width
  const T *x, *w, *bias;
  T* y;
  int64_t xs[5], ws[5], ys[5], bias_stride;
  bool clamp;
  T low, high;
};

template <class T>
struct ConvKernelsOf {
  int lanes;
  int accumulators;  // vectors of a full tile: MR * NR <= accumulators
  int vectors;       // NR <= vectors
  int tallest;       // MR <= tallest
  int rows;          // MR of the best tile
  bool keeps;        // registers are so few that what tiles read of b should be close together, and aligned
  void (*tile[kMaxRows][kMaxVectors])(const TileRun<T>&);  // [MR - 1][NR - 1], null where it does not fit
  void (*tile_and_pixel)(const TileRun<T>&);               // the full one, or null
  void (*columns_tile[kMaxColumnsRows][kMaxVectors])(const TileRun<T>&);
  void (*rows_tile[kImageRows][2])(const RowsTile<T>&);  // [rows of the image - 1, powers of two][NV - 1]
  void (*outer[kMaxOuterRows][kMaxOuterVectors])(const OuterTile<T>&);
  OuterPixel* (*list_pixels)(OuterPixel* to, const PixelBox& box);  // the end of the list
  // [MR - 1][taps - 1], powers of two, and what fills the registers: the most rows where they are many, else three taps
  void (*dot[kMaxDotRows][kMaxVectors])(const DotTile<T>&);
  void (*pack)(const PackChannel<T>&);
  void (*pack_windows)(const PackWindows<T>&);  // or null
  void (*pack_add)(const PackChannel<T>&);      // dst[...] += ...
  // dst[p * ldd + c] = src[c * channel_stride + p * pixel_stride], zeros for c in [channels, padded)
  void (*pack_transposed)(T* dst, int64_t ldd, const T* src, int64_t channel_stride, int64_t pixel_stride,
                          int64_t pixels, int64_t channels, int64_t padded);
  void (*copy_tile)(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t columns);
  // dst[m * ldd + 2 * i] = src[m * lds + i], i in [0, columns): what lies between is read and written back as it was.
  void (*spread_tile)(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t columns);
  // The same with zeros between, in all of `wide` = 2 * columns or 2 * columns - 1 elements and, unless that is 0, in
  // as many `below` elements further on. Reads of src may pass the last column by a vector.
  void (*spread_zeros)(T* dst, int64_t ldd, const T* src, int64_t lds, int64_t rows, int64_t wide, int64_t below);
  void (*add_lines)(const LinesSum<T>&);
  void (*zip_lines)(const ZipLines<T>&);
  void (*tiny)(const TinyConv<T>&);
  T (*sum)(const T* src, int64_t stride, int64_t n);

  // Whether tiles of dot products of four rows and three taps are the largest.
  bool has_three_taps() const { return dot[3][2] != nullptr; }
  // Taps of the widest one, of n at most.
  int64_t dot_taps(int64_t rows, int64_t n) const {
    n = n < kMaxVectors ? n : kMaxVectors;
    while (!dot[rows - 1][n - 1]) --n;
    return n;
  }
};

struct ConvKernels {
  ConvKernelsOf<float> f32;
  ConvKernelsOf<double> f64;
};

template <class T>
const ConvKernelsOf<T>& conv_kernels();  // of the rung in use: isa/typed_kernels.cpp

}  // namespace fastconv
