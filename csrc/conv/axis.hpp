// One spatial axis of a convolution-like sum: which source coordinates stand behind each (output, tap), and how a
// range of outputs is laid out in a packed block.
#pragma once
#include <cstdint>

#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/index_map.hpp"
#include "fastconv/conv.hpp"
#include "kernels/conv.hpp"

namespace fastconv {

// Output o and tap t read the sum of the source's values at sources(o, t): none, one, or (only in the adjoint of a
// padding mode, near the border) several.
//
// Regular axes: one coordinate, map_coordinate(mode, o * stride + offset[t], in).
// Tabulated axes: sources of (o, t) are source[start[i]] .. source[start[i + 1] - 1] with i = t * outputs + o.
struct AxisMap {
  int64_t outputs = 1;
  int64_t in = 1;  // length of the source axis
  int64_t stride = 1;
  Mode mode = Mode::zeros;
  Vector<int64_t> offset{0};  // one a tap
  Vector<int64_t> start, source;

  int64_t taps() const { return static_cast<int64_t>(offset.size()); }
  bool tabulated() const { return !start.empty(); }

  // Calls f with each source of (o, t).
  template <class F>
  void each_source(int64_t t, int64_t o, F f) const {
    if (!tabulated()) {
      const int64_t at = map_coordinate(mode, o * stride + offset[static_cast<size_t>(t)], in);
      if (at >= 0) f(at);
      return;
    }
    const size_t cell = static_cast<size_t>(t * outputs + o);
    for (int64_t i = start[cell]; i < start[cell + 1]; ++i) f(source[static_cast<size_t>(i)]);
  }
};

// Whether the offsets of a regular axis' taps are a constant step apart.
bool evenly_apart(const AxisMap& map);

AxisMap forward_axis(const ConvAxis& axis);

// Taps that meet the source for some of outputs [begin, end), of an axis of any padding; of none an empty range.
Range live_taps(const AxisMap& map, int64_t begin, int64_t end);

// The packed order of outputs [begin, end): `segments` pieces of `width` entries; output o and tap t stand at entry
// shift[t] + (o - begin) of segment segment[t], so that consecutive outputs are consecutive entries for every tap.
//
// A shared layout holds each source coordinate once (one segment for each residue of the stride) and costs entries
// between the rows of outputs where width > outputs; an expanded one has a segment for each tap and width == outputs.
struct AxisLayout {
  int64_t outputs = 1, segments = 1, width = 1;
  Vector<int32_t> segment, shift;  // one a tap
  Vector<int64_t> source;          // segments * width coordinates, -1 for a zero
  int64_t step = 1;                // between the coordinates of inner entries
  Vector<Range> inner;             // one a segment: its entries that no padding touches
  struct Extra {
    int64_t entry, source;
  };
  Vector<Extra> extras;  // further sources, to be added

  int64_t entries() const { return segments * width; }
};

AxisLayout make_layout(const AxisMap& map, int64_t begin, int64_t end, bool expand);

// Entries and width of the layout, without making it.
struct LayoutSize {
  int64_t segments, width;
};
LayoutSize layout_size(const AxisMap& map, int64_t outputs, bool expand);

// All entries of a layout that are not zeros as runs of constant step; segment s starts `segment_stride` elements on.
Vector<PackRun> entry_runs(const AxisLayout& layout, int64_t segment_stride, int64_t source_stride);
// The further sources.
Vector<PackRun> extra_runs(const AxisLayout& layout, int64_t segment_stride, int64_t source_stride);

}  // namespace fastconv
