// A long line as the rows of an image, which the engines of images take several at a time: row r of the image is
// outputs [begin + r * row, begin + (r + 1) * row), and the inputs behind neighbouring rows overlap. No copy is made of
// them: their rows stand `row * stride` elements apart. Outputs that padding reaches, and those left over at the end,
// remain a line.
#pragma once
#include "conv/pieces/piece.hpp"

namespace fastconv {

struct LineRows {
  int64_t begin = 0, rows = 0, row = 0;  // no rows: the line is too short, or no line
  int64_t first = 0;                     // the coordinate that the first row starts to read at
  Piece h, w;                            // of the image

  explicit LineRows(const Piece& h_line, const Piece& w_line);
  int64_t end() const { return begin + rows * row; }
};

}  // namespace fastconv
