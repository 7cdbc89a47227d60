// Planes side by side in the lanes of vectors (kernels/depthwise/lanes.hpp): which entry of a packed image stands
// behind each output and tap of an axis, and how the image is packed.
#pragma once
#include <algorithm>

#include "conv/axis.hpp"
#include "conv/depthwise/planes.hpp"
#include "kernels/depthwise/lanes.hpp"

namespace fastconv {

// One axis of a sum. Its outputs are of `period` residues in turn, each with taps of its own (the input gradient of a
// stride); padding modes add further sources to some outputs of an input gradient.
struct LaneAxis {
  int64_t outputs = 1, period = 1, kernel = 1;
  AxisMap map;                   // of all taps; its outputs are those of a residue
  Vector<int64_t> tap, residue;  // of each of map's taps: the kernel's, and whose it is
  struct Extra {
    int64_t output, tap, source;
  };
  Vector<Extra> extras;  // by output
};
LaneAxis forward_lane_axis(const ConvAxis& axis);
LaneAxis backward_lane_axis(const ConvAxis& axis);

// Outputs [cut.begin, cut.end) of an axis, the first of residue 0, and the entries that a packed image has for them.
class LaneEntries {
 public:
  struct Source {  // of an output: the kernel's tap, and its entry less the output's own number among its residue
    int64_t tap, entry;
    bool operator==(const Source& o) const { return tap == o.tap && entry == o.entry; }
  };
  struct Run {  // neighbouring entries, whose taps have neighbouring places
    int64_t place, entry, taps;
  };

  LaneEntries(const LaneAxis& axis, Range cut);
  const Vector<int64_t>& source() const { return source_; }  // of each entry, -1 for zeros
  int64_t count() const { return static_cast<int64_t>(source_.size()); }
  int64_t outputs() const { return cut_.size(); }
  int64_t period() const { return axis_.period; }
  int64_t kernel() const { return axis_.kernel; }
  int64_t number(int64_t output) const { return output / axis_.period; }  // of an output of the cut, among its residue
  int64_t entry(size_t t) const {
    return layout_.segment[t] * layout_.width + layout_.shift[t];
  }  // of the map's tap, behind the first output
  // The kernel's taps are kept in an order in which runs are long.
  int64_t place(int64_t tap) const { return place_[static_cast<size_t>(tap)]; }
  // What every output of a residue sums, zeros among it.
  Vector<Run> runs(int64_t residue) const;
  // What one output sums, in the order of the taps: nothing that is zero, but what padding adds.
  void list_sources(int64_t output, Vector<Source>& sources) const;
  // Outputs to which padding adds, and what it adds to one.
  Vector<int64_t> extra_outputs() const;
  template <class F>
  void for_each_extra(int64_t output, F f) const {
    auto e = std::lower_bound(axis_.extras.begin(), axis_.extras.end(), output + cut_.begin,
                              [](const LaneAxis::Extra& a, int64_t o) { return a.output < o; });
    for (; e != axis_.extras.end() && e->output == output + cut_.begin; ++e)
      f(Source{e->tap, std::find(source_.begin(), source_.end(), e->source) - source_.begin() - number(output)});
  }

 private:
  const LaneAxis& axis_;
  Range cut_;
  AxisLayout layout_;
  Vector<int64_t> source_, order_, place_;  // order: of map's taps, by residue and entry
};

// A box of outputs of a volume; a plane is one of a single slice.
struct LaneBox {
  LaneEntries d, h, w;
};

// Adds values that lie `stride` apart on four axes, the first at `offset` and of number `first`, as few stretches.
void add_stretches(const int64_t (&count)[4], const int64_t (&stride)[4], int64_t offset, int64_t first,
                   Vector<LaneStretch>& stretches);

// `channels` volumes, each of d.count() slices of h.count() rows of w.count() vectors and one vector that nothing
// reads; nor are lines that hold nothing but zeros, unless there are to be `empty_lines`. Channels, slices, rows and
// elements of x are x_stride apart.
class LaneLayout {
 public:
  LaneLayout(const LaneBox& box, int64_t channels, const int64_t* x_stride, bool empty_lines, int64_t lanes);
  int64_t channels() const { return channels_; }
  int64_t row() const { return row_; }
  int64_t slice() const { return slice_; }
  int64_t channel_size() const { return channel_size_; }
  int64_t vectors() const { return channels_ * channel_size_; }

  template <class T>
  void clear(T* dst) const;  // what no value will be packed to: the same vectors image after image
  // Planes behind `count` repeat the last one.
  template <class T>
  void pack(const T* const* planes, int64_t count, T* dst) const;

 private:
  int64_t channels_, row_, slice_, channel_size_, x_channel_;
  Vector<LaneStretch> stretches_;
  Vector<int32_t> place_;
  Vector<LaneCopy> copies_;
  Vector<LaneCopy> zeros_;
};

}  // namespace fastconv
