#include "conv/depthwise_lanes.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise.hpp"
#include "conv/lane_planes.hpp"
#include "conv/lane_segments.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPackedBytes = 384 << 10;  // of a packed strip: with its outputs in the L2 cache
constexpr int64_t kChunkBytes = 24 << 10;    // of outputs transposed at a time, while they are in the L1 cache
constexpr int64_t kMostColumns = 1024;       // outputs of a row at a time

// Either direction as one sum: y[o] = sum over `channels` images x of a group.
struct Roles {
  int64_t channels, rows;  // of a group
  LaneAxis h, w;
  Roles(const ConvProblem& p, Direction direction)
      : channels((direction == Direction::backward_input ? p.oc : p.ic) / p.groups),
        rows((direction == Direction::backward_input ? p.ic : p.oc) / p.groups),
        h(direction == Direction::backward_input ? backward_lane_axis(p.axis[1]) : forward_lane_axis(p.axis[1])),
        w(direction == Direction::backward_input ? backward_lane_axis(p.axis[2]) : forward_lane_axis(p.axis[2])) {}
};

// How the outputs of one image are cut. Cuts change no sum.
struct LaneCuts {
  int64_t strip = 1, width = 1;  // outputs of a column and of a row at a time
  int64_t strips = 1, cuts = 1;
  int64_t packed_vectors = 0, chunk_rows = 1;  // of one strip: vectors of x, rows of outputs transposed at a time
  int threads = 1;
};

int64_t entries_of(const LaneAxis& a, int64_t outputs) {
  const LayoutSize size = layout_size(a.map, ceil_div(outputs, a.period), false);
  return size.segments * size.width + std::min<int64_t>(static_cast<int64_t>(a.extras.size()), a.map.in);
}

template <class T>
LaneCuts cut_lanes(const ConvProblem& p, const Roles& roles) {
  const int64_t vector = depthwise_kernels<T>().lanes * static_cast<int64_t>(sizeof(T));
  LaneCuts c;
  c.threads = threads_for(2 * p.macs());
  c.width = std::min(roles.w.outputs, round_up(kMostColumns, roles.w.period));
  c.cuts = ceil_div(roles.w.outputs, c.width);
  const auto bytes = [&](int64_t strip) {
    return roles.channels * (entries_of(roles.h, strip) * entries_of(roles.w, c.width) + 1) * vector;
  };
  const auto halve = [&] { c.strip = round_up(ceil_div(c.strip, 2), roles.h.period); };
  c.strip = roles.h.outputs;
  while (c.strip > 4 * roles.h.period && bytes(c.strip) > kPackedBytes) halve();
  const int64_t groups = ceil_div(p.mb * p.groups * roles.rows, vector / static_cast<int64_t>(sizeof(T)));
  if (c.threads > 1)
    while (c.strip > 8 * roles.h.period && groups * ceil_div(roles.h.outputs, c.strip) * c.cuts < 8 * c.threads)
      halve();
  c.strips = ceil_div(roles.h.outputs, c.strip);
  c.packed_vectors = bytes(c.strip) / vector;
  c.chunk_rows = std::min(std::min(c.strip, roles.h.outputs), std::max<int64_t>(1, kChunkBytes / (c.width * vector)));
  return c;
}

// One strip of the planes of some groups of lanes.
template <class T>
class Task {
 public:
  Task(const ConvProblem& p, Direction direction, const Roles& roles, const LaneCuts& cuts, const LaneCall<T>& call,
       Range strip, Range columns)
      : roles_(roles),
        call_(call),
        cuts_(cuts),
        strip_(strip),
        columns_(columns),
        groups_(p.groups),
        all_(p.mb * p.groups * roles.rows),
        h_(roles.h, strip),
        w_(roles.w, columns),
        x_stride_{call.x.stride[1], call.x.stride[3], call.x.stride[4]},
        packed_(h_, w_, roles.channels, x_stride_, false),
        segments_(h_, w_, roles.channels, {packed_.channel_size(), packed_.row()}, cuts.chunk_rows,
                  kernels_of_lanes_.outputs) {
    const bool backward = direction == Direction::backward_input;
    const View<const T>& w = call.w;
    w_row_ = w.stride[backward ? 1 : 0];
    w_group_ = w.stride[0] * (backward ? roles.channels : roles.rows);
    taps_ = roles.channels * p.taps();
    for (int64_t k = 0; k < roles.channels * p.axis[1].k; ++k)
      for (int64_t v = 0; v < p.axis[2].k; ++v) place_.push_back(static_cast<int32_t>(k * p.axis[2].k + w_.place(v)));
    add_stretches({roles.channels, p.axis[1].k, p.axis[2].k}, {w.stride[backward ? 0 : 1], w.stride[3], w.stride[4]}, 0,
                  0, weights_);
  }

  static int64_t weight_vectors(const ConvProblem& p, const Roles& roles) { return roles.channels * p.taps() + 1; }

  void run(int64_t first, int64_t last) {
    const int64_t lanes = kernels_.lanes, packed = packed_.vectors() * lanes, weights = (taps_ + 1) * lanes,
                  chunk = cuts_.chunk_rows * columns_.size() * lanes;
    T* x = reinterpret_cast<T*>(Arena::local().reserve(Arena::rounded_bytes<T>(packed + weights + chunk)));
    T *w = x + packed, *y = w + weights;
    packed_.clear(x);
    for (int64_t g = first; g < last; ++g) {
      const int64_t count = std::min(lanes, all_ - g * lanes);
      const T *x_planes[kMostLanes], *w_planes[kMostLanes];
      T* y_planes[kMostLanes];
      int64_t row = g * lanes % roles_.rows, group = g * lanes / roles_.rows % groups_,
              image = g * lanes / roles_.rows / groups_;
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t out = group * roles_.rows + row;
        x_planes[l] = call_.x.data + image * call_.x.stride[0] + group * roles_.channels * call_.x.stride[1];
        w_planes[l] = call_.w.data + group * w_group_ + row * w_row_;
        y_planes[l] = call_.y.data + image * call_.y.stride[0] + out * call_.y.stride[1] +
                      strip_.begin * call_.y.stride[3] + columns_.begin * call_.y.stride[4];
        w[taps_ * lanes + l] = call_.bias.data ? call_.bias.data[out * call_.bias.stride[0]] : T(0);
        if (l + 1 >= count) continue;  // lanes to spare repeat the last plane
        if (++row == roles_.rows) row = 0, ++group;
        if (group == groups_) group = 0, ++image;
      }
      packed_.pack(x_planes, count, x);
      kernels_of_lanes_.pack(
          {w_planes, count, weights_.data(), static_cast<int64_t>(weights_.size()), place_.data(), nullptr, 0, w});
      sum(x, w, y, y_planes, count);
    }
  }

 private:
  void sum(const T* x, const T* w, T* y, T* const* y_planes, int64_t count) {
    const int64_t lanes = kernels_.lanes, width = columns_.size();
    LaneSums<T> s{x, w, w + taps_ * lanes, segments_.runs(), nullptr, 0, nullptr, call_.clamp, call_.low, call_.high};
    for (int64_t r = 0; r < strip_.size(); r += cuts_.chunk_rows) {
      const int64_t rows = std::min(cuts_.chunk_rows, strip_.size() - r);
      s.segments = segments_.first(r / cuts_.chunk_rows);
      s.segment_count = segments_.count(r / cuts_.chunk_rows);
      s.y = y - r * width * lanes;
      kernels_of_lanes_.sums(s);
      if (stretches_.empty() || cuts_.chunk_rows < strip_.size()) {  // else they are those of the planes before
        stretches_.clear();
        add_stretches({1, rows, width}, {0, call_.y.stride[3], call_.y.stride[4]}, r * call_.y.stride[3], 0,
                      stretches_);
      }
      kernels_of_lanes_.unpack({y_planes, count, stretches_.data(), static_cast<int64_t>(stretches_.size()), y, lanes});
    }
  }

  const Roles& roles_;
  const LaneCall<T>& call_;
  const LaneCuts& cuts_;
  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  const LaneKernelsOf<T>& kernels_of_lanes_ = lane_kernels<T>();
  Range strip_, columns_;
  int64_t groups_, all_;
  LaneEntries h_, w_;
  int64_t x_stride_[3];
  LanePlanes<T> packed_;
  LaneSegments segments_;
  int64_t w_row_ = 0, w_group_ = 0, taps_ = 1;
  Vector<LaneStretch> weights_, stretches_;
  Vector<int32_t> place_;  // of the weights
};

}  // namespace

template <class T>
void run_lanes(const ConvProblem& p, Direction direction, const LaneCall<T>& call) {
  const Roles roles(p, direction);
  const LaneCuts cuts = cut_lanes<T>(p, roles);
  const int64_t groups = ceil_div(p.mb * p.groups * roles.rows, depthwise_kernels<T>().lanes),
                pieces = cuts.strips * cuts.cuts;
  const int64_t together = ceil_div(groups, std::max<int64_t>(1, tasks_for(2 * p.macs(), cuts.threads) / pieces)),
                runs = ceil_div(groups, together);
  parallel_tasks(runs * pieces, cuts.threads, [&](int64_t i) {
    const int64_t c = i % cuts.cuts, s = i / cuts.cuts % cuts.strips, g = i / pieces * together;
    Task<T> task(p, direction, roles, cuts, call, {s * cuts.strip, std::min(roles.h.outputs, (s + 1) * cuts.strip)},
                 {c * cuts.width, std::min(roles.w.outputs, (c + 1) * cuts.width)});
    task.run(g, std::min(groups, g + together));
  });
}

template <class T>
ConvPlan plan_lanes(const ConvProblem& p, Direction direction) {
  const Roles roles(p, direction);
  const LaneCuts cuts = cut_lanes<T>(p, roles);
  const int64_t lanes = depthwise_kernels<T>().lanes;
  ConvPlan plan;
  plan.algorithm = Algorithm::depthwise;
  plan.kernel = "channel lanes";
  plan.mr = static_cast<int>(lane_outputs(ceil_div(roles.w.outputs, roles.w.period), lane_kernels<T>().outputs));
  plan.nr = static_cast<int>(lanes);
  plan.block_channels = roles.channels;
  plan.block_pixels = lanes * std::min(cuts.strip, roles.h.outputs) * cuts.width;
  plan.workspace_bytes = Arena::rounded_bytes<T>(
      (cuts.packed_vectors + Task<T>::weight_vectors(p, roles) + cuts.chunk_rows * cuts.width) * lanes);
  const double vectors = static_cast<double>(ceil_div(p.mb * p.groups * roles.rows, lanes)),
               outputs = static_cast<double>(roles.h.outputs) * static_cast<double>(roles.w.outputs);
  plan.cost = vectors * (outputs * (0.5 * static_cast<double>(roles.channels * p.taps()) + 6) +
                         6 * static_cast<double>(roles.channels * roles.h.map.in * roles.w.map.in));
  plan.threads = static_cast<int>(
      std::min<int64_t>(cuts.threads, ceil_div(p.mb * p.groups * roles.rows, lanes) * cuts.strips * cuts.cuts));
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                               \
  template void run_lanes(const ConvProblem&, Direction, const LaneCall<T>&); \
  template ConvPlan plan_lanes<T>(const ConvProblem&, Direction);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
