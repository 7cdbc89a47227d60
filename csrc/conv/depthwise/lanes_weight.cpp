#include "conv/depthwise/lanes_weight.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/lane_planes.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPackedBytes = 384 << 10;  // of a strip of x: with that of dy in the L2 cache
constexpr int64_t kMostColumns = 1024;       // outputs of a row at a time

// A box of the outputs. x_stride and dy_stride are a view's.
struct Unit {
  LaneBox box;
  LaneLayout x;
  Vector<int32_t> taps, dy_place;
  Vector<LaneStretch> dy;
  Unit(const LaneAxis (&axis)[3], const Range (&outputs)[3], int64_t channels, const int64_t* x_stride,
       const int64_t* dy_stride, int64_t lanes)
      : box{{axis[0], outputs[0]}, {axis[1], outputs[1]}, {axis[2], outputs[2]}},
        x(box, channels, x_stride + 1, true, lanes) {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t s = 0; s < axis[0].kernel; ++s)
        for (int64_t u = 0; u < axis[1].kernel; ++u)
          for (int64_t v = 0; v < axis[2].kernel; ++v)
            taps.push_back(static_cast<int32_t>(c * x.channel_size() + box.d.entry(static_cast<size_t>(s)) * x.slice() +
                                                box.h.entry(static_cast<size_t>(u)) * x.row() +
                                                box.w.entry(static_cast<size_t>(v))));
    int64_t size[4] = {1, 1, 1, 1}, first = 0, all = 1;
    for (int i = 0; i < 3; ++i) {
      size[i + 1] = outputs[i].size();
      first += outputs[i].begin * dy_stride[i + 2];
      all *= size[i + 1];
    }
    add_stretches(size, {0, dy_stride[2], dy_stride[3], dy_stride[4]}, first, 0, dy);
    dy_place.resize(static_cast<size_t>(all));
    std::iota(dy_place.begin(), dy_place.end(), 0);
  }
};

template <class T>
class LaneGradient {
 public:
  LaneGradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw)
      : p_(p),
        dy_(dy),
        x_(x),
        dw_(dw),
        axis_{forward_lane_axis(p.axis[0]), forward_lane_axis(p.axis[1]), forward_lane_axis(p.axis[2])},
        channels_(p.ic / p.groups),
        rows_(p.oc / p.groups),
        taps_(channels_ * p.taps()) {
    for (int i = 0; i < 3; ++i) strip_[i] = std::min(axis_[i].outputs, i < 2 ? INT64_MAX : kMostColumns);
    for (int i = 0; i < 2; ++i)
      while (strip_[i] > 4 && x_vectors() * lanes_ * static_cast<int64_t>(sizeof(T)) > kPackedBytes)
        strip_[i] = ceil_div(strip_[i], 2);
    for (int i = 0; i < 3; ++i) strips_ *= ceil_div(axis_[i].outputs, strip_[i]);
    threads_ = threads_for(2 * p.macs());
    parts_ = parts_of_sums(blocks(), units(), 2 * p.macs());
  }

  void run() const {
    const int64_t block = taps_ * lanes_;
    sum_tasks<T>(
        blocks(), parts_, units(), blocks() * block, 2 * p_.macs(), threads_,
        [&](Range blocks, Range units, T* partial) { task(blocks, units, partial); },
        [&](int64_t b, const T* sums) { write(b, sums + b * block); });
  }

  ConvPlan plan() const {
    ConvPlan plan;
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = "channel lanes";
    plan.mr = static_cast<int>(std::min<int64_t>(kLaneTaps, taps_));
    plan.nr = static_cast<int>(lanes_);
    plan.block_channels = channels_;
    plan.block_pixels = lanes_ * y_vectors();
    plan.workspace_bytes = workspace();
    plan.shared_bytes = parts_ > 1 ? Arena::rounded_bytes<T>(parts_ * blocks() * taps_ * lanes_) : 0;
    plan.threads = static_cast<int>(std::min<int64_t>(threads_, blocks() * parts_));
    plan.cost = static_cast<double>(blocks() * p_.mb * p_.out_pixels()) * (static_cast<double>(taps_) * 0.7 + 12);
    return plan;
  }

 private:
  int64_t blocks() const { return ceil_div(p_.groups * rows_, lanes_); }  // of output channels
  int64_t units() const { return p_.mb * strips_; }
  int64_t x_vectors() const {
    int64_t entries = 1;
    for (int i = 0; i < 3; ++i) {
      const LayoutSize size = layout_size(axis_[i].map, strip_[i], false);
      entries *= size.segments * size.width;
    }
    return channels_ * (entries + 1);
  }
  int64_t y_vectors() const { return strip_[0] * strip_[1] * strip_[2]; }

  // Those of an axis that box `at` has; the width takes turns first.
  Range outputs(int axis, int64_t at) const {
    for (int i = 2; i > axis; --i) at /= ceil_div(axis_[i].outputs, strip_[i]);
    const int64_t n = axis_[axis].outputs, begin = at % ceil_div(n, strip_[axis]) * strip_[axis];
    return {begin, std::min(n, begin + strip_[axis])};
  }

  // The sums of blocks of channels over some units (box, image): into dw, or into `partial`.
  void task(Range blocks, Range units, T* partial) const {
    const int64_t block = taps_ * lanes_;
    T* x = reinterpret_cast<T*>(Arena::local().reserve(workspace()));
    T *dy = x + x_vectors() * lanes_, *own = dy + y_vectors() * lanes_;
    T* const sums = partial ? partial : own - blocks.begin * block;
    std::fill(sums + blocks.begin * block, sums + blocks.end * block, T(0));
    std::optional<Unit> unit;
    int64_t shape = -1;
    for (int64_t u = units.begin; u < units.end; ++u) {
      if (const int64_t s = u / p_.mb; s != shape) {
        const Range box[3] = {outputs(0, s), outputs(1, s), outputs(2, s)};
        unit.emplace(axis_, box, channels_, x_.stride, dy_.stride, lanes_);
        shape = s;
        unit->x.clear(x);
      }
      for (int64_t b = blocks.begin; b < blocks.end; ++b) add(*unit, b, u % p_.mb, x, dy, sums + b * block);
    }
    for (int64_t b = blocks.begin; b < blocks.end && !partial; ++b) write(b, sums + b * block);
  }
  int64_t workspace() const {  // bytes
    return Arena::rounded_bytes<T>((x_vectors() + y_vectors() + blocks() * taps_) * lanes_);
  }

  // f(lane, group, output channel) for the lanes of a block; lanes to spare repeat its last channel.
  template <class F>
  void for_each_lane(int64_t b, F f) const {
    int64_t group = b * lanes_ / rows_, row = b * lanes_ % rows_;
    for (int64_t l = 0; l < lanes_; ++l) {
      const int64_t o = group * rows_ + row;
      f(l, group, o);
      if (o + 1 < p_.groups * rows_ && ++row == rows_) row = 0, ++group;
    }
  }

  void add(const Unit& unit, int64_t b, int64_t image, T* x, T* dy, T* sums) const {
    const T *x_planes[kMostLanes], *dy_planes[kMostLanes];
    for_each_lane(b, [&](int64_t l, int64_t group, int64_t o) {
      x_planes[l] = x_.data + image * x_.stride[0] + group * channels_ * x_.stride[1];
      dy_planes[l] = dy_.data + image * dy_.stride[0] + o * dy_.stride[1];
    });
    const int64_t count = std::min(lanes_, p_.groups * rows_ - b * lanes_);
    unit.x.pack(x_planes, count, x);
    lane_kernels<T>().pack(
        {dy_planes, count, unit.dy.data(), static_cast<int64_t>(unit.dy.size()), unit.dy_place.data(), nullptr, 0, dy});
    const int64_t rows = unit.box.h.outputs(), width = unit.box.w.outputs();
    for (int64_t d = 0; d < unit.box.d.outputs(); ++d)
      lane_kernels<T>().dots({x + d * unit.x.slice() * lanes_, dy + d * rows * width * lanes_, unit.x.row(), rows,
                              width, unit.taps.data(), taps_, sums});
  }

  void write(int64_t b, const T* sums) const {
    T* planes[kMostLanes];
    for_each_lane(b, [&](int64_t l, int64_t, int64_t o) { planes[l] = dw_.data + o * dw_.stride[0]; });
    Vector<LaneStretch> stretches;
    add_stretches({channels_, axis_[0].kernel, axis_[1].kernel, axis_[2].kernel},
                  {dw_.stride[1], dw_.stride[2], dw_.stride[3], dw_.stride[4]}, 0, 0, stretches);
    lane_kernels<T>().unpack({planes, std::min(lanes_, p_.groups * rows_ - b * lanes_), stretches.data(),
                              static_cast<int64_t>(stretches.size()), sums, lanes_});
  }

  const ConvProblem& p_;
  View<const T> dy_, x_;
  View<T> dw_;
  const int64_t lanes_ = depthwise_kernels<T>().lanes;
  LaneAxis axis_[3];
  int64_t channels_, rows_, taps_;
  int64_t strip_[3], strips_ = 1, parts_ = 1;
  int threads_ = 1;
};

}  // namespace

template <class T>
void lanes_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) {
  LaneGradient<T>(p, dy, x, dw).run();
}

template <class T>
ConvPlan plan_lanes_weight(const ConvProblem& p) {
  return LaneGradient<T>(p, {}, {}, {}).plan();
}

#define FASTCONV_INSTANTIATE(T)                                                                   \
  template void lanes_weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_lanes_weight<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
