// The weight gradient of the packed direct algorithm:
//
//   dw[o, c, t] = sum_{n, p} dy[n, o, p] * (source of x[n, c] at (p, t))
//
// Two register tiles share the work. Mostly its columns are output channels, dy being transposed, and its rows any
// channels and taps: these are broadcast value by value, so that x is read where it stands, whatever its strides, or if
// there is padding from a padded copy (conv/weight/outer.cpp). Where there are few of either, dot products along the
// pixels, with dy as it is (conv/weight/dots.cpp). Every element is one sum in the order of the pixels, however the
// work is cut; only where there are too few elements to keep the threads busy is that sum cut into parts, and their
// number depends on the problem alone.
#pragma once
#include <array>

#include "conv/weight/plan.hpp"
#include "kernels/conv.hpp"

namespace fastconv {

template <class T>
class WeightSum : public WeightPlan {
 public:
  WeightSum(const ConvProblem& problem, View<const T> dy_, View<const T> x_, View<T> dw_, bool turned_ = false)
      : WeightPlan(problem, conv_kernels<T>().lanes, sizeof(T), turned_), dy(dy_), x(x_), dw(dw_) {}

  void run() const;
  void describe(ConvPlan& plan) const;

 private:
  // Images, outputs and strides of a block. Of two as large one may stand in x, the other at the border be a copy.
  using Made = std::array<int64_t, 9>;
  // The scratch memory of one task.
  struct Sizes {
    int64_t sums, block, panel, pixels, rows;  // bytes
    int64_t total() const { return sums + block + panel + pixels + rows; }
  };
  struct Scratch {
    T *sums, *block, *panel;
    OuterPixel* pixels;   // offsets of a block's outputs,
    int64_t* rows;        // and of channels and taps,
    mutable Made made{};  // for such blocks
    int32_t* dot_rows() const { return reinterpret_cast<int32_t*>(rows); }
    explicit Scratch(const WeightSum& w);
  };
  // Where a block's channels are, with the strides of its images, channels and axes: in x, or in a padded copy.
  struct Source {
    const T* first;
    int64_t image, channel, step[3];
  };

  Sizes sizes() const;

  void accumulate(const Task& t, Range some, const Scratch& s) const;
  void add_parts(Task t, int64_t k, T* sums) const;
  void write(const Task& t, T* all_sums) const;
  T* sums_of(const Task& t, int64_t g, const Scratch& s) const { return s.sums + (g - t.g.begin) * sum_elements(); }
  // Whether outer tiles sum in dw itself.
  bool in_dw() const { return !dots && !apart && turned && parts == 1 && oc % lanes == 0 && dw.stride[0] == 1; }
  // Channels of dw before those of a group: of a transposed dw groups follow one another along them.
  int64_t channels_before(int64_t g) const { return turned ? g * ic : 0; }
  const T* dy_row(int64_t n, int64_t o, int64_t d, int64_t h, int64_t w) const {
    return dy.data + n * dy.stride[0] + o * dy.stride[1] + d * dy.stride[2] + h * dy.stride[3] + w * dy.stride[4];
  }

  // Output channels as vectors: sums[(c * taps + t) * width + o].
  void accumulate_outer(const Task& t, const Box& b, bool first, const Scratch& s) const;
  void accumulate_apart(const Task& t, const Box& b, bool first, const Scratch& s) const;
  void make_offsets(const Task& t, const Box& b, const Source& x, const Scratch& s) const;
  void add_outer(int64_t g, const Task& t, const Box& b, const T* a, bool first, const Scratch& s) const;
  const T* dy_at(const Box& b, int64_t q, int64_t o) const;
  void transpose_dy(const Box& b, Range some, Range o, int64_t nr, T* panel) const;
  void multiply_outer(OuterTile<T> tile, int64_t rows, int64_t vectors, const T* next, int64_t lines) const;
  bool reachable(int64_t n) const;
  int64_t widest() const { return std::min({kMaxOuterVectors, kernels.vectors, kernels.accumulators / kernels.rows}); }
  int64_t tallest(int64_t vectors) const {
    return std::min<int64_t>({kMaxOuterRows, kernels.tallest, kernels.accumulators / vectors});
  }

  // Pixels as vectors: sums[((o * channels + c) * taps + t) * lanes + lane].
  void accumulate_dots(const Task& t, Range some, const Scratch& s) const;
  void add_dots(int64_t g, const Task& t, const Block<T>& block, const T* packed, bool first, const Scratch& s) const;
  void multiply_dots(DotTile<T> tile, const Task& t, bool joined, const T* next, const Scratch& s) const;
  void copy_rows(const T* from, int64_t tall, int64_t height, int64_t n, T* to) const;
  void store_dots(T* sums, Range o, Range c) const;
  // Of a tile where n are left: six, but not of eight, or a power of two.
  int64_t dot_rows(int64_t n) const {
    return kernels.dot[kMaxDotRows - 1][0] && n >= kMaxDotRows && n != 8 ? kMaxDotRows
                                                                         : power_of_two_within(std::min<int64_t>(4, n));
  }

  View<const T> dy, x;
  View<T> dw;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
};

}  // namespace fastconv
