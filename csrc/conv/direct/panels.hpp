// The outputs of a box as panels of pixels, each of which one register tile covers for all rows of `a`.
#pragma once
#include <cstdint>

#include "base/workspace.hpp"

namespace fastconv {

struct Panel {
  enum Kind : int8_t {
    straight,  // consecutive pixels in the block and in y
    edged,     // anything else: computed into a buffer, from where segments are copied to y
    image,     // whole rows of an image, for a single row of `a`
  } kind;
  int8_t vectors;  // of the tile; a straight panel may be many tiles long
  int64_t position, pixels, y;
  int64_t height;                   // image rows, of image
  int64_t edge;                     // place among the edged panels' columns
  int32_t first_segment, segments;  // of edged
};
struct Segment {
  int64_t y;
  int32_t at, length;   // in the buffer
  int64_t wide, below;  // in y with zeros between, and elements to the line of zeros behind
};

// A row of outputs in the block and in y.
struct PixelRow {
  int64_t position, y, n, below;
  bool joins(const PixelRow& next) const { return next.position - position == n && next.y - y == n; }
};

// What decides how they are cut.
struct PanelRules {
  int64_t lanes, mr, nr, depth;     // of the tiles, and terms of a sum
  int64_t column, columns, height;  // of the box
  int64_t step, whole_w;            // of y's columns, see GatherSum
  bool shallow, direct, images;     // tiles go along rows, they can write y, a single row of `a` goes down images
};

struct Panels {
  Vector<Panel> list;
  Vector<Segment> segments;
  int64_t edges = 0;  // columns of all edged panels

  Panels() = default;
  Panels(const PanelRules& rules, const Vector<PixelRow>& rows);

 private:
  void add_straight(const PanelRules& rules, const Vector<PixelRow>& rows);
  void add_edged(const PanelRules& rules, const PixelRow* rows, size_t count);
};

}  // namespace fastconv
