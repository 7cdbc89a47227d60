// Contracts of the Winograd kernels. F(4x4, 3x3) and F(5x5, 2x2) rest on the same six points, so that tiles of 6x6
// inputs are transformed alike; only what belongs to the taps and to the outputs differs. N stands for the outputs of a
// tile along an axis, R for the taps. Kernels of one axis have tiles of 8 inputs along it, strips: F(7, 2), F(6, 3),
// F(5, 4) and F(4, 5), longer kernels being sums of parts of R taps. Large tiles have their eight points along both
// axes: F(6x6, 3x3), F(5x5, 4x4) and F(4x4, 5x5). P stands for the points of an axis, 6 or 8.
#pragma once
#include <cstdint>

namespace fastconv {

constexpr int kWinogradIn = 6, kWinogradLargeIn = 8;
constexpr int kWinogradTaps = 36;  // at most: 25, or four parts of nine
constexpr int kWinogradParts = 4;
constexpr int64_t kNoTap = INT64_MIN;
constexpr int kStripIn = 8, kStripMostTaps = 32, kStripMostOut = 7, kLargeMostOut = 6, kFewestOut = 4;

// A vector holds one value of `lanes` channels, so that images of any size fill it.

// A short tile has two outputs fewer along an axis, a large one four, and is done on the points 0, 1, -1 and infinity
// alone: it is a whole tile of the inputs d0 d1 d2 d1 d2 d3 (d0 d1 d2 d1 d2 d1 d2 d3), whose values at the other points
// are zero, and whose last output stands where the last of a whole tile does. The last tiles of an axis can be short.

// Where the tiles of an image stand among a block's: those that have values in a plane side by side. Tile s of row r is
// number begin[i][j] + k, where i and j say whether it is short in height and in width, and it is the k-th of such. If
// `phases`, tiles 2 s and 2 s + 1 of rows 2 r and 2 r + 1 interleave, and are phase[i][j] behind that.
struct WinogradTiles {
  int64_t down, across;              // of them
  int64_t whole_down, whole_across;  // are not short, the first ones
  int64_t begin[2][2];
  bool phases;
  int64_t phase[2][2];
};

// pixels[p * lanes + c] = src[c * channel_stride + p * step] for p in [0, count), c in [0, channels); zeros up to
// `lanes`.
template <class T>
struct WinogradPixels {
  const T* src;
  int64_t channels, channel_stride, count, step;
  T* pixels;
};

// Value i of tile s of row r, which is number t, goes to v + plane * i + t * lanes: (B^T d B)_i of a source's PxP patch
// d, or (A g A^T)_i of a gradient's NxN patch g. Its value (h, w) stands at src + row[row_lines * r + h] +
// column[column_lines * s + w], or is zero where that column is negative: at an end, or between the outputs of a short
// tile. Of a strip, `lines` of the axis that it lies along are read: 8 inputs, fewer outputs. Large squares of outputs
// have kLargeMostOut, `lines` columns and as many rows, the others of which are zeros.
template <class T>
struct WinogradPatches {
  const T* src;
  const int32_t *row, *column;
  WinogradTiles tiles;
  T* v;
  int64_t plane;
  int64_t row_lines, column_lines;
  bool vertical;
  int64_t lines;
};

// u[plane * i + c * lanes + m] = (G g G^T)_i for the RxR kernels g = w[m * row_stride + c * channel_stride + tap[t]];
// zeros for m in [rows, lanes).
template <class T>
struct WinogradWeights {
  const T* w;
  int64_t rows, row_stride, channels, channel_stride;
  int64_t tap[25];
  T* u;
  int64_t plane;
  int taps;  // R of large squares but three
};

// The same of four parts p at u + part * p, whose 2x2 or 3x3 taps are tap[p][3 * i + j], or zero where that is kNoTap.
// If `dense` is not 0, all are among so many elements side by side from `first` on. If `uneven`, the values of the odd
// parts at infinity are left out.
template <class T>
struct WinogradPartWeights {
  const T* w;
  int64_t rows, row_stride, channels, channel_stride;
  int64_t first, dense;
  int64_t tap[kWinogradParts][9];
  T* u;
  int64_t plane, part;
  bool three, uneven;
};

// u[plane * i + part * p + c * lanes + m] = (G g)_i for the taps g = w[m * row_stride + c * channel_stride + t *
// tap_step], t in [p * R, p * R + R), which are zeros from `taps` on.
template <class T>
struct WinogradStripWeights {
  const T* w;
  int64_t rows, row_stride, channels, channel_stride, taps, tap_step;
  T* u;
  int64_t plane, part;
  int part_taps;  // R
};

// m[r * m_vector + t * lanes + l] = sum_c u[r * u_vector + c * lanes + l] * v[c / lanes * v_vector + t * lanes + c %
// lanes] in the order of c, for r in [0, vectors), t in [0, tiles); added to what m holds if `accumulate`.
template <class T>
struct WinogradProducts {
  const T* u;
  int64_t vectors, u_vector;
  const T* v;
  int64_t channels, v_vector;
  T* m;
  int64_t tiles, m_vector;
  bool accumulate;
};

// s[r * s_vector + c * lanes + l] = sum_t g[r * g_vector + t * lanes + l] * v[c / lanes * v_vector + t * lanes + c %
// lanes] for r in [0, vectors), c in [0, channels), over t in [0, tiles); added to what s holds if `accumulate`.
template <class T>
struct WinogradTileSums {
  const T* g;
  int64_t vectors, g_vector;
  const T* v;
  int64_t channels, v_vector;
  T* s;
  int64_t tiles, s_vector;
  bool accumulate;
};

// y[l * y_channel + h * y_row + w * y_step] = clamp( bias[l] + (A^T m A)[i, j] ) for the channels l and the outputs
// h = first_row(r) + i * row_apart < rows, w = first_column(s) + j * column_apart < columns of tile s of row r, which
// is number t and whose value i stands at m + plane * i + t * lanes. As many tiles as outputs are apart begin one after
// the other, the next ones where these end; r counts from `tile_row`. The columns are those that the tiles cover.
// `pixels` is scratch memory for N rows of whole tiles. bias has `lanes` values, or is null. Strips have N outputs
// along one axis and one along the other.
template <class T>
struct WinogradOutput {
  const T* m;
  int64_t plane;
  int64_t tile_row;
  WinogradTiles tiles;
  int64_t row_apart, column_apart;
  T* y;
  int64_t channels, y_channel, y_row, y_step;
  int64_t rows, columns;
  const T* bias;
  bool clamp;
  T low, high;
  T* pixels;
  bool vertical;  // of strips;
  int outputs;    // N of strips and of large squares
};

// w[c * channel + i * down + j * row + l] = (G^T s G)[i, j] for c in [0, channels), l in [0, lanes), i in [0, tall),
// j in [0, wide), where s_i = sum_k s[k * part + i * plane + c * lanes + l], k in [0, parts). Of a strip,
// w[c * channel + t * row + l] = (G^T s)_t for t in [0, taps) of part_taps.
template <class T>
struct WinogradSums {
  const T* s;
  int64_t parts, part, plane;
  int64_t channels;
  T* w;
  int64_t channel, down, row;
  int64_t tall, wide;
  int64_t taps, part_taps;
};

// What WinogradPatches of P lines reads, the other way round: (B m B^T)(h, w) of tile s of row r, which is number t and
// whose value i stands at m + plane * i + t * lanes, is added to pixels + row[h] + column[P * s + w], for one r. The
// rows whose bit h of `fresh` is set are new: so many elements, zeros before. Tiles s in [1, inner) are the first to
// add to their columns from the third on, which are the elements [head, tail) together.
template <class T>
struct WinogradAddends {
  const T* m;
  int64_t plane;
  WinogradTiles tiles;
  int64_t r;
  const int32_t *row, *column;
  T* pixels;
  unsigned fresh;
  int64_t elements, inner, head, tail;
};

template <class T>
struct WinogradTapKernels {
  void (*source_patches)(const WinogradPatches<T>&);
  void (*weights)(const WinogradWeights<T>&);
  void (*output)(const WinogradOutput<T>&);
  void (*gradient_patches)(const WinogradPatches<T>&);
  void (*spread)(const WinogradAddends<T>&);
  void (*weight_sums)(const WinogradSums<T>&);
};

// A rung may do without kernels, which are null then: all of strips and parts together, or those of some taps.
template <class T>
struct WinogradKernelsOf {
  int tiles, vectors;  // of the largest register tile
  void (*pixels)(const WinogradPixels<T>&);
  void (*products)(const WinogradProducts<T>&);
  void (*tile_sums)(const WinogradTileSums<T>&);
  // y[l * y_channel + p * y_step] = src[p * lanes + l] for `count` pixels p of the channels l of an output.
  void (*scatter_pixels)(const WinogradOutput<T>&, T* y, const T* src, int64_t count);
  void (*part_weights)(const WinogradPartWeights<T>&);
  void (*strip_weights)(const WinogradStripWeights<T>&);
  void (*strip_patches)(const WinogradPatches<T>&);
  void (*strip_output)(const WinogradOutput<T>&);
  void (*strip_sums)(const WinogradSums<T>&);
  WinogradTapKernels<T> two, three, four, five;  // of two taps no gradients of doubles
  WinogradTapKernels<T> large;                   // of three taps

  const WinogradTapKernels<T>& of(int taps, int points) const {
    return taps == 5 ? five : taps == 4 ? four : taps == 2 ? two : points == kWinogradLargeIn ? large : three;
  }
};
struct WinogradKernels {
  WinogradKernelsOf<float> f32;
  WinogradKernelsOf<double> f64;
};

template <class T>
const WinogradKernelsOf<T>& winograd_kernels();  // of the rung in use: isa/typed_kernels.cpp

}  // namespace fastconv
