// What the outputs of a strip sum whose planes stand side by side in lanes: the lists that the kernel goes through
// (kernels/depthwise_lanes.hpp), some rows of outputs at a time.
#pragma once
#include "conv/lane_planes.hpp"

namespace fastconv {

class LaneSegments {
 public:
  // Of sums over packed x, `rows` rows of outputs at a time (of one slice, or of slices as a whole), `most` outputs a
  // segment.
  LaneSegments(const LaneBox& box, const LaneLayout& x, int64_t rows, int64_t most);
  const LaneRun* runs() const { return runs_.data(); }
  // Of a part of the rows, and how many these are.
  const LaneSegment* first(int64_t i) const { return segments_.data() + first_[static_cast<size_t>(i)]; }
  int64_t count(int64_t i) const { return first_[static_cast<size_t>(i) + 1] - first_[static_cast<size_t>(i)]; }
  int64_t rows(int64_t i) const { return row_[static_cast<size_t>(i) + 1] - row_[static_cast<size_t>(i)]; }

 private:
  using Sources = Vector<LaneEntries::Source>;
  struct Alike {  // outputs of an axis that sum alike
    Vector<Sources> kinds;
    Vector<size_t> of;  // an output's
    explicit Alike(const LaneEntries& axis);
  };
  struct Sums {  // of rows that sum alike
    size_t d, h;
    Vector<Range> residues, extras;  // runs of each residue of the width, and of each column to which padding adds
  };
  size_t list_row(const Alike& d, const Alike& h, size_t kind_d, size_t kind_h);
  Range list_runs(const Sources& d, const Sources& h, const Vector<LaneEntries::Run>& w);
  const Sums& sums_of(int64_t row) const { return sums_[of_row_[static_cast<size_t>(row)]]; }
  void add_rows(Range rows, int64_t most);
  void add(int64_t row, int64_t number, int64_t column, int64_t outputs, Range runs, bool adds);

  const LaneEntries &d_, &h_, &w_;
  const LaneLayout& x_;
  const Vector<int64_t> extra_columns_;
  Vector<Sums> sums_;
  Vector<size_t> of_row_;
  Vector<LaneRun> runs_;
  Vector<LaneSegment> segments_;
  Vector<int64_t> first_, row_;  // segment and row of each part, and the end
};

}  // namespace fastconv
