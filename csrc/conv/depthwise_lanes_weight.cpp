#include "conv/depthwise_lanes_weight.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/lane_planes.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPackedBytes = 384 << 10;  // of a strip of x: with that of dy in the L2 cache
constexpr int64_t kMostColumns = 1024;       // outputs of a row at a time

template <class T>
class LaneGradient {
 public:
  LaneGradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw)
      : p_(p),
        dy_(dy),
        x_(x),
        dw_(dw),
        h_(forward_lane_axis(p.axis[1])),
        w_(forward_lane_axis(p.axis[2])),
        channels_(p.ic / p.groups),
        rows_(p.oc / p.groups),
        taps_(channels_ * p.taps()) {
    width_ = std::min(w_.outputs, kMostColumns);
    cuts_ = ceil_div(w_.outputs, width_);
    strip_ = h_.outputs;
    while (strip_ > 4 && x_vectors() * lanes_ * static_cast<int64_t>(sizeof(T)) > kPackedBytes)
      strip_ = ceil_div(strip_, 2);
    strips_ = ceil_div(h_.outputs, strip_);
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
    plan.block_pixels = lanes_ * strip_ * width_;
    plan.workspace_bytes = Arena::rounded_bytes<T>((x_vectors() + strip_ * width_ + taps_) * lanes_);
    plan.shared_bytes = parts_ > 1 ? Arena::rounded_bytes<T>(parts_ * blocks() * taps_ * lanes_) : 0;
    plan.threads = static_cast<int>(std::min<int64_t>(threads_, blocks() * parts_));
    plan.cost =
        static_cast<double>(blocks() * p_.mb * h_.outputs * w_.outputs) * (static_cast<double>(taps_) * 0.7 + 12);
    return plan;
  }

 private:
  int64_t blocks() const { return ceil_div(p_.groups * rows_, lanes_); }  // of output channels
  int64_t units() const { return p_.mb * strips_ * cuts_; }
  int64_t x_vectors() const {
    const LayoutSize h = layout_size(h_.map, strip_, false), w = layout_size(w_.map, width_, false);
    return channels_ * (h.segments * h.width * w.segments * w.width + 1);
  }

  // A strip and cut of the images.
  struct Unit {
    LaneEntries h, w;
    LanePlanes<T> x;
    Vector<int32_t> taps, dy_place;
    Vector<LaneStretch> dy;
    Unit(const LaneGradient& g, Range rows, Range columns, const int64_t x_stride[3])
        : h(g.h_, rows), w(g.w_, columns), x(h, w, g.channels_, x_stride, true) {
      for (int64_t c = 0; c < g.channels_; ++c)
        for (int64_t i = 0; i < g.h_.kernel; ++i)
          for (int64_t j = 0; j < g.w_.kernel; ++j)
            taps.push_back(static_cast<int32_t>(c * x.channel_size() + h.entry(static_cast<size_t>(i)) * x.row() +
                                                w.entry(static_cast<size_t>(j))));
      add_stretches({1, rows.size(), columns.size()}, {0, g.dy_.stride[3], g.dy_.stride[4]},
                    rows.begin * g.dy_.stride[3] + columns.begin * g.dy_.stride[4], 0, dy);
      dy_place.resize(static_cast<size_t>(rows.size() * columns.size()));
      std::iota(dy_place.begin(), dy_place.end(), 0);
    }
  };

  // The sums of blocks of channels over some units (image, strip, cut of the width): into dw, or into `partial`.
  void task(Range blocks, Range units, T* partial) const {
    const int64_t x_stride[3] = {x_.stride[1], x_.stride[3], x_.stride[4]};
    T* x = reinterpret_cast<T*>(
        Arena::local().reserve(Arena::rounded_bytes<T>((x_vectors() + strip_ * width_ + taps_) * lanes_)));
    T *dy = x + x_vectors() * lanes_, *own = dy + strip_ * width_ * lanes_;
    std::optional<Unit> unit;
    int64_t shape = -1;
    for (int64_t b = blocks.begin; b < blocks.end; ++b) {
      T* sums = partial ? partial + b * taps_ * lanes_ : own;
      std::fill_n(sums, taps_ * lanes_, T(0));
      for (int64_t u = units.begin; u < units.end; ++u) {
        if (const int64_t s = u % (strips_ * cuts_); s != shape) {
          shape = s;
          const int64_t h = s / cuts_, w = s % cuts_;
          unit.emplace(*this, Range{h * strip_, std::min(h_.outputs, (h + 1) * strip_)},
                       Range{w * width_, std::min(w_.outputs, (w + 1) * width_)}, x_stride);
          unit->x.clear(x);
        }
        add(*unit, b, u / (strips_ * cuts_), x, dy, sums);
      }
      if (!partial) write(b, sums);
    }
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
    lane_kernels<T>().dots({x, dy, unit.x.row(), unit.h.outputs(), unit.w.outputs(), unit.taps.data(), taps_, sums});
  }

  void write(int64_t b, const T* sums) const {
    T* planes[kMostLanes];
    for_each_lane(b, [&](int64_t l, int64_t, int64_t o) { planes[l] = dw_.data + o * dw_.stride[0]; });
    Vector<LaneStretch> stretches;
    add_stretches({channels_, h_.kernel, w_.kernel}, {dw_.stride[1], dw_.stride[3], dw_.stride[4]}, 0, 0, stretches);
    lane_kernels<T>().unpack({planes, std::min(lanes_, p_.groups * rows_ - b * lanes_), stretches.data(),
                              static_cast<int64_t>(stretches.size()), sums, lanes_});
  }

  const ConvProblem& p_;
  View<const T> dy_, x_;
  View<T> dw_;
  const int64_t lanes_ = depthwise_kernels<T>().lanes;
  LaneAxis h_, w_;
  int64_t channels_, rows_, taps_;
  int64_t width_ = 1, cuts_ = 1, strip_ = 1, strips_ = 1, parts_ = 1;
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
