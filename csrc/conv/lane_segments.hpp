// What the outputs of a strip sum whose planes stand side by side in lanes: the lists that the kernel goes through
// (kernels/depthwise_lanes.hpp), some rows of outputs at a time.
#pragma once
#include "conv/lane_planes.hpp"

namespace fastconv {

class LaneSegments {
 public:
  // Vectors of a packed image, and of one of its rows.
  struct Image {
    int64_t size, row;
  };
  // Of sums over `channels` images, `rows` rows of outputs at a time, `most` outputs a segment.
  LaneSegments(const LaneEntries& h, const LaneEntries& w, int64_t channels, Image image, int64_t rows, int64_t most);
  const LaneRun* runs() const { return runs_.data(); }
  // Of rows [i * rows, (i + 1) * rows).
  const LaneSegment* first(int64_t i) const { return segments_.data() + first_[static_cast<size_t>(i)]; }
  int64_t count(int64_t i) const { return first_[static_cast<size_t>(i) + 1] - first_[static_cast<size_t>(i)]; }

 private:
  struct Sums {  // of rows that sum alike
    Vector<LaneEntries::Source> h;
    Vector<Range> residues, extras;  // runs of each residue of the width, and of each column to which padding adds
  };
  const Sums& sums_of(int64_t row);
  Range list_runs(const Vector<LaneEntries::Source>& h, const Vector<LaneEntries::Run>& w);
  void add_row(int64_t row, int64_t most);
  void add_extras(int64_t row);
  void add(int64_t row, int64_t number, int64_t column, int64_t outputs, Range runs, bool adds);

  const LaneEntries &h_, &w_;
  const int64_t channels_;
  const Image image_;
  const Vector<int64_t> extra_columns_;
  Vector<Sums> sums_;
  Vector<LaneRun> runs_;
  Vector<LaneSegment> segments_;
  Vector<int64_t> first_;  // segment of each part, and the end
};

}  // namespace fastconv
