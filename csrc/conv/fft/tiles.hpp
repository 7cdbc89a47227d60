// Tiles and terms (conv/fft/tiling.hpp) read from memory and transformed.
#pragma once
#include <algorithm>

#include "base/workspace.hpp"
#include "conv/fft/fft.hpp"
#include "conv/fft/tables.hpp"
#include "conv/fft/tiling.hpp"
#include "kernels/conv.hpp"
#include "kernels/fft/fft.hpp"

namespace fastconv {

// The offsets that a load reads, kept from one load to the next.
struct FftLines {
  int64_t *row, *column;
  int64_t begin, end, first, step;
  bool zeros;  // beyond [begin, end)
};
// The memory of a task: a tile, further spectra behind it, and the offsets of both parts of a tile.
template <class T>
struct FftScratch {
  T* tile;
  FftLines lines[2];
  explicit FftScratch(const FftPlan& p) {
    char* memory = Arena::local().reserve(p.workspace_bytes);
    tile = reinterpret_cast<T*>(memory);
    int64_t* table = reinterpret_cast<int64_t*>(memory + p.workspace_bytes - p.table_bytes());
    for (FftLines& l : lines) {
      l = {table, table + p.rows, 0, 0, 0, 1, false};
      table = l.column + p.line_length();
    }
  }
};

template <class T>
class FftTiles : public FftTiling {
 public:
  FftTiles(const FftAxes& axes, const FftPlan& p) : FftTiling(axes, p), tables_(p) {}

  const FftKernelsOf<T>& kernels = fft_kernels<T>();

  int64_t size() const { return plan.spectrum(); }
  int64_t vectors() const { return plan.kept * plan.columns / conv_kernels<T>().lanes; }
  T scale() const { return T(1) / static_cast<T>((plan.real ? 4 : 1) * plan.rows * plan.columns); }
  const FftShape<T>& shape() const { return tables_.shape(); }

  // Transforms of inner terms [i0, i1) of plane `depth` of x (before padding), group g, behind the pair.
  void transform_x(const FftPair& p, int64_t g, int64_t depth, int64_t i0, int64_t i1, View<const T> x,
                   FftScratch<T>& s, T* spectra) const;
  // Transform of one channel of outputs, zeros beyond the tiles.
  void transform_dy(const FftPair& p, int64_t step, int64_t channel, View<const T> dy, FftScratch<T>& s,
                    T* spectrum) const;
  // Transform of the weights of a term.
  void transform_weights(const FftWeights<const T>& w, int64_t g, int64_t m, int64_t q, FftScratch<T>& s,
                         T* spectrum) const;

  // Overwrites the spectrum.
  void transform_back(T* spectrum, T* tile, int64_t columns) const {
    (plan.real ? kernels.inverse_real : kernels.inverse)(shape(), spectrum, tile, columns);
  }
  // The first `columns` columns of what that has given, to job's y.
  void store(FftStore<T> job, int64_t columns) const;
  // Where column c stands in a row of the tile.
  int64_t place(int64_t c, int64_t columns) const;

  // Of what the axes that are not transformed decide.
  template <class W>
  int64_t weight_offset(const FftWeights<W>& w, int64_t g, int64_t m, const FftTerm& t) const {
    return g * w.group + m * w.row + t.channel * w.channel + tap(w, 0, *t.d, 0) + (plan.line ? tap(w, 1, *t.h, 0) : 0);
  }
  template <class W>
  static int64_t tap(const FftWeights<W>& w, int axis, const FftPhase& p, int64_t i) {
    return w.tap[axis][static_cast<size_t>(p.tap + i * p.tap_step)];
  }

 private:
  void clear_rows(FftLines& l) const { std::fill_n(l.row, plan.rows, plan.line ? 0 : kFftZero); }
  // Columns of a real tile that are real parts, where it has so many.
  static int64_t half(int64_t columns) {
    const int64_t lanes = conv_kernels<T>().lanes;
    return round_up(ceil_div(columns, lanes), 2) / 2 * lanes;
  }
  int64_t live(int64_t columns) const { return std::min(columns, plan.columns); }
  void find_lines(const FftPair& p, int64_t i, const FftTerm& t, const View<const T>& x, FftLines& l) const;
  void load(const FftLines& l, const T* src, int part, int64_t begin, int64_t columns, T* tile) const;
  void transform(FftScratch<T>& s, const T* const src[2], int64_t columns, T* spectrum) const;

  FftTables<T> tables_;
};

}  // namespace fastconv
