#include "conv/depthwise/lanes.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/lane_planes.hpp"
#include "conv/depthwise/lane_segments.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPackedBytes = 384 << 10;  // of a packed strip: with its outputs in the L2 cache
constexpr int64_t kChunkBytes = 24 << 10;    // of outputs transposed at a time, while they are in the L1 cache
constexpr int64_t kMostColumns = 1024;       // outputs of a row at a time
constexpr int64_t kWeightBytes = 256 << 10;  // of all planes, packed: beside a strip in the L2 cache,
constexpr int64_t kMostSpare = 16;           // if no more than so small a part of the lanes is left empty

// Either direction as one sum: y[o] = sum over `channels` images x of a group.
struct Roles {
  bool backward;
  int64_t channels, rows;  // of a group
  LaneAxis axis[3];
  Roles(const ConvProblem& p, Direction direction)
      : backward(direction == Direction::backward_input),
        channels((backward ? p.oc : p.ic) / p.groups),
        rows((backward ? p.ic : p.oc) / p.groups),
        axis{lane_axis(p.axis[0]), lane_axis(p.axis[1]), lane_axis(p.axis[2])} {}
  LaneAxis lane_axis(const ConvAxis& a) const { return backward ? backward_lane_axis(a) : forward_lane_axis(a); }
  int64_t taps() const { return channels * axis[0].kernel * axis[1].kernel * axis[2].kernel; }
};

// How the outputs of one image are cut. Cuts change no sum.
struct LaneCuts {
  int64_t strip[3], strips[3];                 // outputs of an axis at a time, and how many times
  int64_t packed_vectors = 0, chunk_rows = 1;  // of one strip: vectors of x, rows of outputs transposed at a time
  // Planes whose lanes are filled without a gap: of one image, so that its weights are packed once, or of all.
  int64_t together = 1, groups_together = 1;
  int64_t groups = 1, weights = 1;  // of lanes: in all, and of those that have weights of their own at hand
  int threads = 1;

  int64_t pieces() const { return strips[0] * strips[1] * strips[2]; }
};

int64_t entries_of(const LaneAxis& a, int64_t outputs) {
  const LayoutSize size = layout_size(a.map, ceil_div(outputs, a.period), false);
  return size.segments * size.width + std::min<int64_t>(static_cast<int64_t>(a.extras.size()), a.map.in);
}

void join_planes(const ConvProblem& p, const Roles& roles, int64_t lanes, int64_t vector, LaneCuts& c) {
  c.together = p.groups * roles.rows, c.groups_together = ceil_div(c.together, lanes);
  const bool by_image = kMostSpare * (c.groups_together * lanes - c.together) <= c.together &&
                        c.groups_together * roles.taps() * vector <= kWeightBytes;
  if (by_image && p.mb > 1) c.weights = c.groups_together;
  else c.together *= p.mb, c.groups_together = ceil_div(c.together, lanes);
  c.groups = p.groups * roles.rows * p.mb / c.together * c.groups_together;
}

LaneCuts cut_lanes(const ConvProblem& p, const Roles& roles, int64_t lanes, int64_t vector) {
  LaneCuts c;
  c.threads = threads_for(2 * p.macs());
  const auto bytes = [&] {
    int64_t entries = roles.channels;
    for (int i = 0; i < 3; ++i) entries *= entries_of(roles.axis[i], c.strip[i]);
    return (entries + roles.channels) * vector;
  };
  for (int i = 0; i < 3; ++i) c.strip[i] = roles.axis[i].outputs, c.strips[i] = 1;
  const LaneAxis& w = roles.axis[2];
  c.strip[2] = std::min(w.outputs, round_up(kMostColumns, w.period));
  c.strips[2] = ceil_div(w.outputs, c.strip[2]);
  const auto cut = [&](int64_t least, auto too_much) {
    for (int i = 0; i < 2; ++i)
      for (const LaneAxis& a = roles.axis[i]; c.strip[i] > least * a.period && too_much();) {
        c.strip[i] = std::min(a.outputs, round_up(ceil_div(c.strip[i], 2), a.period));
        c.strips[i] = ceil_div(a.outputs, c.strip[i]);
      }
  };
  cut(4, [&] { return bytes() > kPackedBytes; });
  join_planes(p, roles, lanes, vector, c);
  cut(8, [&] { return c.threads > 1 && c.groups * c.pieces() < 8 * c.threads; });
  c.packed_vectors = bytes() / vector;
  c.chunk_rows = std::clamp<int64_t>(kChunkBytes / (c.strip[2] * vector), 1, c.strip[0] * c.strip[1]);
  return c;
}
template <class T>
LaneCuts cut_lanes(const ConvProblem& p, const Roles& roles) {
  const int64_t lanes = depthwise_kernels<T>().lanes;
  return cut_lanes(p, roles, lanes, lanes * static_cast<int64_t>(sizeof(T)));
}

// Of a strip: what is the same for all planes. x_stride and w_stride are a view's.
struct Strip {
  LaneBox box;
  LaneLayout x;
  LaneSegments segments;
  int64_t taps, w_row, w_group;
  Vector<LaneStretch> weights;
  Vector<int32_t> place;  // of the weights
  Strip(const Roles& roles, const LaneCuts& cuts, const Range (&outputs)[3], const int64_t* x_stride,
        const int64_t* w_stride, int64_t lanes, int most)
      : box{{roles.axis[0], outputs[0]}, {roles.axis[1], outputs[1]}, {roles.axis[2], outputs[2]}},
        x(box, roles.channels, x_stride + 1, false, lanes),
        segments(box, x, cuts.chunk_rows, most),
        taps(roles.taps()),
        w_row(w_stride[roles.backward ? 1 : 0]),
        w_group(w_stride[0] * (roles.backward ? roles.channels : roles.rows)) {
    const int64_t width = roles.axis[2].kernel;
    place.reserve(static_cast<size_t>(taps));
    for (int64_t k = 0; k < taps; k += width)
      for (int64_t v = 0; v < width; ++v) place.push_back(static_cast<int32_t>(k + box.w.place(v)));
    add_stretches({roles.channels, roles.axis[0].kernel, roles.axis[1].kernel, width},
                  {w_stride[roles.backward ? 0 : 1], w_stride[2], w_stride[3], w_stride[4]}, 0, 0, weights);
  }
};

// One strip of the planes of some groups of lanes.
template <class T>
class Task {
 public:
  Task(const ConvProblem& p, const Roles& roles, const LaneCuts& cuts, const LaneCall<T>& call, const Range (&box)[3])
      : roles_(roles),
        call_(call),
        cuts_(cuts),
        groups_(p.groups),
        strip_(roles, cuts, box, call.x.stride, call.w.stride, kernels_.lanes, kernels_of_lanes_.outputs),
        first_(box[0].begin * call.y.stride[2] + box[1].begin * call.y.stride[3] + box[2].begin * call.y.stride[4]) {}

  void run(int64_t first, int64_t last) {
    const int64_t lanes = kernels_.lanes, packed = strip_.x.vectors() * lanes, taps = strip_.taps * lanes,
                  weights = cuts_.weights * taps, chunk = cuts_.chunk_rows * strip_.box.w.outputs() * lanes;
    T* x = reinterpret_cast<T*>(Arena::local().reserve(Arena::rounded_bytes<T>(packed + weights + lanes + chunk)));
    T *bias = x + packed + weights, *y = bias + lanes;
    strip_.x.clear(x);
    for (int64_t g = first; g < last; ++g) {
      const int64_t plane = g % cuts_.groups_together * lanes, count = std::min(lanes, cuts_.together - plane);
      T* const w = x + packed + g % cuts_.weights * taps;
      const T *x_planes[kMostLanes], *w_planes[kMostLanes];
      T* y_planes[kMostLanes];
      int64_t row = plane % roles_.rows, group = plane / roles_.rows % groups_,
              image = g / cuts_.groups_together + plane / roles_.rows / groups_;
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t out = group * roles_.rows + row;
        x_planes[l] = call_.x.data + image * call_.x.stride[0] + group * roles_.channels * call_.x.stride[1];
        w_planes[l] = call_.w.data + group * strip_.w_group + row * strip_.w_row;
        y_planes[l] = call_.y.data + image * call_.y.stride[0] + out * call_.y.stride[1] + first_;
        bias[l] = call_.bias.data ? call_.bias.data[out * call_.bias.stride[0]] : T(0);
        if (l + 1 >= count) continue;  // lanes to spare repeat the last plane
        if (++row == roles_.rows) row = 0, ++group;
        if (group == groups_) group = 0, ++image;
      }
      strip_.x.pack(x_planes, count, x);
      if (cuts_.weights == 1 || g < first + cuts_.weights)
        kernels_of_lanes_.pack({w_planes, count, strip_.weights.data(), static_cast<int64_t>(strip_.weights.size()),
                                strip_.place.data(), nullptr, 0, w});
      sum(x, w, bias, y, y_planes, count);
    }
  }

 private:
  void sum(const T* x, const T* w, const T* bias, T* y, T* const* y_planes, int64_t count) {
    const int64_t lanes = kernels_.lanes, width = strip_.box.w.outputs(), height = strip_.box.h.outputs(),
                  all = strip_.box.d.outputs() * height;
    const LaneSegments& segments = strip_.segments;
    LaneSums<T> s{x, w, bias, segments.runs(), nullptr, 0, nullptr, call_.clamp, call_.low, call_.high};
    size_t part = 0;
    for (int64_t r = 0, rows; r < all; ++part, r += rows) {
      rows = segments.rows(part);
      s.segments = segments.first(part);
      s.segment_count = segments.count(part);
      s.y = y - r * width * lanes;
      kernels_of_lanes_.sums(s);
      if (stretches_.empty() || rows < all) {  // else they are those of the planes before
        stretches_.clear();
        add_stretches({1, ceil_div(rows, height), std::min(rows, height), width},
                      {0, call_.y.stride[2], call_.y.stride[3], call_.y.stride[4]},
                      r / height * call_.y.stride[2] + r % height * call_.y.stride[3], 0, stretches_);
      }
      kernels_of_lanes_.unpack({y_planes, count, stretches_.data(), static_cast<int64_t>(stretches_.size()), y, lanes});
    }
  }

  const Roles& roles_;
  const LaneCall<T>& call_;
  const LaneCuts& cuts_;
  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  const LaneKernelsOf<T>& kernels_of_lanes_ = lane_kernels<T>();
  int64_t groups_;
  Strip strip_;
  int64_t first_;  // of y
  Vector<LaneStretch> stretches_;
};

}  // namespace

template <class T>
void run_lanes(const ConvProblem& p, Direction direction, const LaneCall<T>& call) {
  const Roles roles(p, direction);
  const LaneCuts cuts = cut_lanes<T>(p, roles);
  const int64_t groups = cuts.groups, pieces = cuts.pieces();
  const int64_t together = ceil_div(groups, std::max<int64_t>(1, tasks_for(2 * p.macs(), cuts.threads) / pieces)),
                runs = ceil_div(groups, together);
  parallel_tasks(runs * pieces, cuts.threads, [&](int64_t i) {
    const int64_t g = i / pieces * together;
    Range box[3];
    for (int a = 2; a >= 0; i /= cuts.strips[a--]) {
      const int64_t begin = i % cuts.strips[a] * cuts.strip[a];
      box[a] = {begin, std::min(roles.axis[a].outputs, begin + cuts.strip[a])};
    }
    Task<T>(p, roles, cuts, call, box).run(g, std::min(groups, g + together));
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
  const LaneAxis& w = roles.axis[2];
  plan.mr = static_cast<int>(lane_outputs(ceil_div(w.outputs, w.period), lane_kernels<T>().outputs));
  plan.nr = static_cast<int>(lanes);
  plan.block_channels = roles.channels;
  plan.block_pixels = lanes * cuts.strip[0] * cuts.strip[1] * cuts.strip[2];
  plan.workspace_bytes = Arena::rounded_bytes<T>(
      (cuts.packed_vectors + cuts.weights * roles.taps() + 1 + cuts.chunk_rows * cuts.strip[2]) * lanes);
  const double vectors = static_cast<double>(cuts.groups), per_channel = 0.5 * static_cast<double>(p.taps());
  double outputs = 1, inputs = 6 * static_cast<double>(roles.channels);
  for (const LaneAxis& a : roles.axis)
    outputs *= static_cast<double>(a.outputs), inputs *= static_cast<double>(a.map.in);
  plan.cost = vectors * (outputs * (per_channel * static_cast<double>(roles.channels) + 6) + inputs);
  plan.threads = static_cast<int>(std::min<int64_t>(cuts.threads, cuts.groups * cuts.pieces()));
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                               \
  template void run_lanes(const ConvProblem&, Direction, const LaneCall<T>&); \
  template ConvPlan plan_lanes<T>(const ConvProblem&, Direction);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
