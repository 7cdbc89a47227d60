// An input gradient by Winograd's algorithm transposed: with y = A^T [(G w G^T) * (B^T d B)] A for each tile of outputs
// and its patch d of x,
//
//   dd = B [(G w G^T) * (A dy A^T)] B^T
//
// is added to the pixels that the patch read, and those are found by the index map: what a padding mode sends back to
// where it came from takes no outputs and no products of its own, and dy has as many tiles as where zeros are padded.
//
// A line of x that several blocks add to is written by the first of them; the others keep what they have for it, and
// that is added, block by block, behind them all.
#pragma once
#include "conv/winograd/patches.hpp"
#include "conv/winograd/winograd.hpp"

namespace fastconv {

// Where the patches of each block add to.
class SpreadLines {
 public:
  SpreadLines(const WinogradShape& shape, const AxisMap* const (&to)[2], int64_t parts, int64_t lanes, int64_t whole);

  // A line of y that a block adds to, up to its last row of tiles that does so. Meanwhile it stands in the L1 cache.
  struct Line {
    int64_t coordinate, place;  // among those kept, or -1
    int64_t last;
    int64_t at;  // its first pixel
  };
  struct Block {
    int64_t begin;           // its first row of tiles
    Vector<int32_t> at;      // of each line of each patch, its first pixel
    Vector<unsigned> fresh;  // of each row of tiles, the lines of a patch that are new, as bits
    Vector<Line> ends;       // in the order of `last`
  };
  const Block& block(int64_t begin) const;

  PatchLines columns;  // `at` made elements, too
  int64_t pitch;       // from line to line of pixels
  // Tiles [1, inner) are the first to add to their columns from the third on, the elements [head, tail).
  int64_t inner = 0, head = 0, tail = 0;
  Vector<int64_t> kept;  // coordinates of lines

 private:
  void find_inner(int64_t side, int64_t lanes);
  Vector<Line> lines_of(const PatchLines& h, int64_t last);
  Block block_of(const WinogradShape& shape, const AxisMap& to, Range tiles, int64_t whole);

  Vector<char> written_;  // of the lines of y
  Vector<Block> blocks_;
};

template <class T>
class WinogradSpread {
 public:
  WinogradSpread(const WinogradSum<T>& s, const WinogradPlan& plan);

  T* kept_at = nullptr;  // memory for what is kept: so many bytes
  int64_t kept_bytes() const { return Arena::rounded_bytes<T>(s_.images * s_.groups * s_.rows * channel_); }

  // A vector of channels, from `channel` of all groups on, of an image and a slice of y; `job` is that of an output.
  void add(const WinogradOutput<T>& job, const Box& box, int64_t image, int64_t channel, int64_t slice) const;

  void add_kept(int threads) const;

 private:
  const WinogradSum<T>& s_;
  const SpreadLines lines_;
  const int64_t slice_, channel_;  // elements kept of a slice and of a channel
};

}  // namespace fastconv
