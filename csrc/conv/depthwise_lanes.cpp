#include "conv/depthwise_lanes.hpp"

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise.hpp"
#include "conv/depthwise_spread.hpp"
#include "conv/depthwise_squares.hpp"
#include "conv/fft_plan.hpp"
#include "conv/lane_planes.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/depthwise_squares.hpp"

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
        packed_(h_, w_, roles.channels, x_stride_),
        kernel_w_(p.axis[2].k) {
    const bool backward = direction == Direction::backward_input;
    const View<const T>& w = call.w;
    w_row_ = w.stride[backward ? 1 : 0];
    w_group_ = w.stride[0] * (backward ? roles.channels : roles.rows);
    taps_ = roles.channels * p.taps();
    for (int64_t k = 0; k < roles.channels * p.axis[1].k; ++k)
      for (int64_t v = 0; v < kernel_w_; ++v) place_.push_back(static_cast<int32_t>(k * kernel_w_ + w_.place(v)));
    add_stretches({roles.channels, p.axis[1].k, p.axis[2].k}, {w.stride[backward ? 0 : 1], w.stride[3], w.stride[4]}, 0,
                  0, weights_);
    kernel_size_ = p.taps();
    list_segments();
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
      const T *x_at = x_plane(image, group), *w_at = call_.w.data + group * w_group_ + row * w_row_;
      T* y_at = y_plane(image, group * roles_.rows + row);
      const T* bias = call_.bias.data ? call_.bias.data + (group * roles_.rows + row) * call_.bias.stride[0] : nullptr;
      for (int64_t l = 0; l < lanes; ++l) {
        x_planes[l] = x_at;
        w_planes[l] = w_at;
        y_planes[l] = y_at;
        w[taps_ * lanes + l] = bias ? *bias : T(0);
        if (l + 1 >= count) continue;  // lanes to spare repeat the last plane
        w_at += w_row_;
        y_at += call_.y.stride[1];
        if (bias) bias += call_.bias.stride[0];
        if (++row < roles_.rows) continue;
        row = 0;
        x_at += roles_.channels * call_.x.stride[1];
        w_at += w_group_ - roles_.rows * w_row_;
        if (++group < groups_) continue;
        group = 0;
        ++image;
        x_at = x_plane(image, 0);
        w_at = call_.w.data;
        y_at = y_plane(image, 0);
        bias = call_.bias.data;
      }
      packed_.pack(x_planes, count, x);
      kernels_of_lanes_.pack(
          {w_planes, count, weights_.data(), static_cast<int64_t>(weights_.size()), place_.data(), nullptr, 0, w});
      sum(x, w, y, y_planes, count);
    }
  }

 private:
  const T* x_plane(int64_t image, int64_t group) const {
    return call_.x.data + image * call_.x.stride[0] + group * roles_.channels * call_.x.stride[1];
  }
  T* y_plane(int64_t image, int64_t out) const {
    return call_.y.data + image * call_.y.stride[0] + out * call_.y.stride[1] + strip_.begin * call_.y.stride[3] +
           columns_.begin * call_.y.stride[4];
  }

  void sum(const T* x, const T* w, T* y, T* const* y_planes, int64_t count) {
    const int64_t lanes = kernels_.lanes, width = columns_.size();
    LaneSums<T> s{x, w, w + taps_ * lanes, runs_.data(), nullptr, 0, nullptr, call_.clamp, call_.low, call_.high};
    for (int64_t r = 0; r < strip_.size(); r += cuts_.chunk_rows) {
      const int64_t rows = std::min(cuts_.chunk_rows, strip_.size() - r);
      const size_t chunk = static_cast<size_t>(r / cuts_.chunk_rows);
      s.segments = segments_.data() + first_segment_[chunk];
      s.segment_count = first_segment_[chunk + 1] - first_segment_[chunk];
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

  // The runs of rows that sum `h`, for columns that sum `w`.
  Range list_runs(const Vector<LaneEntries::Source>& h, const Vector<LaneEntries::Run>& w) {
    const int64_t first = static_cast<int64_t>(runs_.size());
    for (int64_t c = 0; c < roles_.channels; ++c)
      for (const LaneEntries::Source& u : h)
        for (const LaneEntries::Run& v : w)
          runs_.push_back({static_cast<int32_t>(c * packed_.channel_size() + u.entry * packed_.row() + v.entry),
                           static_cast<int32_t>(c * kernel_size_ + u.tap * kernel_w_ + v.place),
                           static_cast<int32_t>(v.taps)});
    return {first, static_cast<int64_t>(runs_.size())};
  }

  void list_segments() {
    struct Lists {  // of rows that sum alike
      Vector<LaneEntries::Source> h;
      Vector<Range> residues, extras;  // of each residue of the width, and of each column to which padding adds
    };
    Vector<Lists> lists;
    Vector<int64_t> extra_columns;
    Vector<LaneSegment> adding;  // of a chunk, after its others
    for (const LaneAxis::Extra& e : roles_.w.extras)
      if (const int64_t at = e.output - columns_.begin;
          at >= 0 && at < columns_.size() && (extra_columns.empty() || extra_columns.back() != at))
        extra_columns.push_back(at);
    const int64_t period = w_.period(), width = columns_.size();
    for (int64_t r = 0; r < strip_.size(); ++r) {
      if (r % cuts_.chunk_rows == 0) first_segment_.push_back(static_cast<int64_t>(segments_.size()));
      auto h = h_.sources(r);
      auto alike = std::find_if(lists.begin(), lists.end(), [&](const Lists& l) { return l.h == h; });
      if (alike == lists.end()) {
        Lists list;
        list.h = h;
        for (int64_t q = 0; q < period; ++q) list.residues.push_back(list_runs(h, w_.runs(q)));
        for (int64_t column : extra_columns) {
          Vector<LaneEntries::Run> extra;
          w_.for_each_extra(column, [&](const LaneEntries::Source& e) {
            extra.push_back({w_.place(e.tap), e.entry, 1});
          });
          list.extras.push_back(list_runs(h, extra));
        }
        lists.push_back(std::move(list));
        alike = lists.end() - 1;
      }
      const auto segment = [&](int64_t number, int64_t column, int64_t outputs, Range runs, bool adds) {
        return LaneSegment{static_cast<int32_t>(h_.number(r) * packed_.row() + number),
                           static_cast<int32_t>(r * width + column),
                           static_cast<int32_t>(period),
                           static_cast<int32_t>(runs.begin),
                           static_cast<int32_t>(runs.size()),
                           static_cast<int16_t>(outputs),
                           adds};
      };
      for (int64_t q = 0; q < std::min(period, width); ++q) {
        const int64_t n = ceil_div(width - q, period), part = lane_outputs(n, kernels_of_lanes_.outputs);
        for (int64_t i = 0; i < n; i += part) {
          const int64_t begin = std::min(i, n - part);
          segments_.push_back(segment(begin, q + begin * period, part, alike->residues[static_cast<size_t>(q)], false));
        }
      }
      for (size_t i = 0; i < extra_columns.size(); ++i)
        adding.push_back(segment(w_.number(extra_columns[i]), extra_columns[i], 1, alike->extras[i], true));
      if ((r + 1) % cuts_.chunk_rows && r + 1 < strip_.size()) continue;
      segments_.insert(segments_.end(), adding.begin(), adding.end());
      adding.clear();
    }
    first_segment_.push_back(static_cast<int64_t>(segments_.size()));
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
  int64_t kernel_w_, kernel_size_ = 1, w_row_ = 0, w_group_ = 0, taps_ = 1;
  Vector<LaneStretch> weights_, stretches_;
  Vector<LaneRun> runs_;
  Vector<int32_t> place_;  // of the weights
  Vector<LaneSegment> segments_;
  Vector<int64_t> first_segment_;  // of each chunk, and the end
};

// Nanoseconds of one image, measured where vectors have 16 lanes.
class Costs {
 public:
  Costs(const ConvProblem& p, Direction direction)
      : p_(p),
        h_(p.axis[1]),
        w_(p.axis[2]),
        backward_(direction == Direction::backward_input),
        weight_(direction == Direction::backward_weight),
        zeros_(h_.mode == Mode::zeros && w_.mode == Mode::zeros),
        channels_((backward_ ? p.oc : p.ic) / p.groups),
        planes_(backward_ ? p.ic : p.oc),
        width_(backward_ ? w_.in : w_.out),
        height_(static_cast<double>(backward_ ? h_.in : h_.out)),
        x_(static_cast<double>(channels_ * (backward_ ? h_.out * w_.out : h_.in * w_.in))),
        depth_(static_cast<double>(channels_ * p.taps()) / static_cast<double>(backward_ ? h_.stride * w_.stride : 1)) {
  }

  // A product, and an element's way through a transpose.
  double in_lanes(int64_t lanes) const {
    const double product = w_.k == 1 ? 0.25 : 0.12,  // of one column of taps, each loads its own inputs
        block = height_ * static_cast<double>(width_) * (product * depth_ + 1.75) + 1.45 * x_;
    return 400 + static_cast<double>(ceil_div(planes_, lanes)) * block * (backward_ && !zeros_ ? 1.7 : 1);
  }
  template <class T>
  double in_rows() const {
    return static_cast<double>(planes_) * plane<T>(static_cast<double>(depthwise_kernels<T>().lanes));
  }

 private:
  // A product, a vector and a plane, and what is packed of x.
  template <class T>
  double plane(double lanes) const {
    const double vectors = height_ * std::ceil(static_cast<double>(width_) / lanes);
    if (h_.k > 3 && !weight_ && (zeros_ || !backward_) && sums_squares<T>(h_, w_, channels_))
      return 0.123 * depth_ * vectors + 0.5 * depth_ + 5 + (zeros_ ? 0 : 1.2 * x_ / lanes + 60);
    const bool squares = h_.k == 3 && sums_squares<T>(h_, w_, p_.ic / p_.groups);
    if (squares && (weight_     ? square_kernels<T>().dots[w_.stride - 1] != nullptr
                    : backward_ ? w_.stride == 1 && (zeros_ || folds_squares<T>(p_))
                                : true))
      return static_cast<double>(channels_) * ((w_.stride == 1 ? 1.3
                                                : weight_      ? 3.3
                                                               : 2.7) *
                                                   vectors +
                                               (weight_ ? 12 : 5));
    if (backward_ && spreads_squares<T>(p_))
      return 4 * static_cast<double>(ceil_div(h_.in, 2)) * std::ceil(static_cast<double>(width_) / (2 * lanes)) + 35;
    const double packed = w_.stride > 2 ? 0.9 * x_ : w_.stride == 1 && zeros_ ? 0 : 1.2 * x_ / lanes;
    // Where registers are few, a square's weights are loaded again.
    if (weight_) return vectors * (squares ? 0.43 * depth_ : 0.18 * depth_ + 2.2) + 60 + 2 * depth_ + packed;
    const double step = squares ? static_cast<double>(w_.stride) : 1;  // so many vectors of lines are read
    const double all = vectors * (0.13 * depth_ + 1.6) * step + 40 + packed;
    if (!backward_) return all;
    return all * (w_.stride == 1 ? 1 : w_.stride == 2 ? 1.35 : 2.4) * (zeros_ ? 1 : w_.stride == 1 ? 2 : 2.4);
  }

  const ConvProblem& p_;
  const ConvAxis &h_, &w_;
  const bool backward_, weight_, zeros_;
  const int64_t channels_, planes_, width_;  // of a group's x, and of y
  const double height_, x_, depth_;
};

template <class T>
bool lanes_pay(const ConvProblem& p, Direction direction) {
  constexpr int64_t kMostChannels = 4;
  const int64_t lanes = depthwise_kernels<T>().lanes, channels = p.ic / p.groups, rows = p.oc / p.groups;
  if (std::min(channels, rows) > 1 || channels * rows > kMostChannels) return false;
  const bool backward = direction == Direction::backward_input, weight = direction == Direction::backward_weight;
  if (2 * (backward ? p.ic : p.oc) <= lanes) return false;
  if (p.axis[1].out < 2 || p.axis[1].k < 2) return true;  // no rows to speak of
  if ((!weight || p.axis[1].k == 3) && has_small_squares<T>(p)) return false;
  const Costs costs(p, direction);
  return costs.in_lanes(lanes) < costs.in_rows<T>();
}

}  // namespace

template <class T>
bool use_lanes(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  constexpr int64_t kMostTaps = 2048, kFourier = 160;  // of a kernel that Fourier transforms may take less time for
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) return false;
  const ConvAxis& d = p.axis[0];
  if (d.in != 1 || d.out != 1 || d.k != 1 || d.pad_before != 0 || p.macs() == 0 || p.axis[1].in * p.axis[2].in == 0)
    return false;
  const int64_t taps = p.taps() * std::max(p.ic, p.oc) / p.groups;
  if (p.taps() == 1 || taps > kMostTaps || !lanes_pay<T>(p, direction)) return false;
  return direction == Direction::backward_weight || p.taps() < kFourier || !may_use_fft(p, algorithm) ||
         !choose_fft<T>(algorithm, fft_axes(p), false).applies();
}

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
  template bool use_lanes<T>(const ConvProblem&, Direction, Algorithm);       \
  template void run_lanes(const ConvProblem&, Direction, const LaneCall<T>&); \
  template ConvPlan plan_lanes<T>(const ConvProblem&, Direction);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
