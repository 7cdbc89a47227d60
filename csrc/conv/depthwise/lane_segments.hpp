// What the outputs of a strip sum whose planes stand side by side in lanes: the lists that the kernel goes through
// (kernels/depthwise/lanes.hpp), some rows of outputs at a time.
#pragma once
#include "conv/depthwise/lane_planes.hpp"

namespace fastconv {

class LaneSegments {
 public:
  // Of sums over packed x, `rows` rows of outputs at a time (of one slice, or of slices as a whole), `most` outputs a
  // segment.
  LaneSegments(const LaneBox& box, const LaneLayout& x, int64_t rows, int64_t most);
  const LaneRun* runs() const { return runs_.data(); }
  // Of a part of the rows, and how many these are.
  const LaneSegment* first(size_t i) const { return segments_.data() + parts_[i].segment; }
  int64_t count(size_t i) const { return static_cast<int64_t>(parts_[i + 1].segment - parts_[i].segment); }
  int64_t rows(size_t i) const { return parts_[i + 1].row - parts_[i].row; }

 private:
  using Sources = Vector<LaneEntries::Source>;
  struct Alike {  // outputs of an axis that sum alike
    Vector<Sources> kinds;
    Vector<size_t> of;  // an output's
    explicit Alike(const LaneEntries& axis);
  };
  struct Part {
    int64_t row;
    size_t segment;
  };
  struct Row {
    size_t sums;  // the first of its lists in sums_: of each residue of the width, and of each column of extras
    int64_t x;
  };
  int64_t lists() const { return w_.period() + static_cast<int64_t>(extra_columns_.size()); }  // of a row
  void list_sums(const Alike& d, const Alike& h);
  Range list_runs(const Sources& d, const Sources& h, const Vector<LaneEntries::Run>& w);
  void add_rows(Range rows, int64_t most);
  // `list`: of the row's. All but residues add to what is there.
  void add(int64_t row, int64_t number, int64_t column, int64_t outputs, int64_t list);

  const LaneEntries &d_, &h_, &w_;
  const LaneLayout& x_;
  const Vector<int64_t> extra_columns_;
  Vector<Range> sums_;  // runs
  Vector<Row> of_row_;
  Vector<LaneRun> runs_;
  Vector<LaneSegment> segments_;
  Vector<Part> parts_;  // and the end
};

}  // namespace fastconv
