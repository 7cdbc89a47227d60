#include "conv/depthwise/scale.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/direct/term_rows.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPiece = 8192;        // elements of a plane at a time: all that meet one another stay in the L1 cache
constexpr int64_t kMostPairs = 8;       // of channels of x and of y, in a group
constexpr int64_t kSmallPlane = 512;    // several rows are written one after the other: of larger planes, by a tile
constexpr int64_t kSumBytes = 8 << 10;  // of vectors of sums of planes in turn

// Channels that are neighbours in memory are lanes as they are, if they are enough of them.
bool may_be_lanes(const ConvProblem& p) { return p.axis[0].in == 1 && p.groups >= depthwise_kernels<float>().lanes; }

// Whether a stride passes over elements of x.
bool is_spaced(const ConvProblem& p) { return p.axis[0].stride * p.axis[1].stride * p.axis[2].stride > 1; }

// Whether lines take longer to be put side by side, by vectors, than to be read by others.
bool has_short_lines(const ConvProblem& p, Direction direction) {
  return p.axis[2].out < depthwise_kernels<float>().lanes + (direction == Direction::backward_weight);
}

// A plane in parts: of whole lines, where those of x are put side by side.
struct Cuts {
  int64_t grain, grains, count;
  Cuts(const ConvProblem& p, int64_t elements)
      : grain(is_spaced(p) ? p.axis[2].out : 1),
        grains(elements / grain),
        count(std::min(grains, ceil_div(elements, p.ic + p.oc == 2 * p.groups ? kPiece : kPiece / 4))) {}
  Range operator[](int64_t i) const {
    const Range some = part(grains, count, i);
    return {some.begin * grain, some.end * grain};
  }
  int64_t longest() const { return ceil_div(grains, count) * grain; }
};

// Of planes that are put side by side, a part of each at a time.
int64_t gathered_bytes(int64_t planes, const Cuts& cuts) {
  return Arena::rounded_bytes<float>(planes * cuts.longest());
}

// What is read of x across a stride, side by side.
class SpacedLines {
 public:
  SpacedLines(const ConvProblem& p, const View<const float>& x)
      : x_(x), run_{0, static_cast<int32_t>(p.axis[2].out), 0, p.axis[2].stride * x.stride[4]} {
    const ConvAxis &d = p.axis[0], &h = p.axis[1];
    for (int64_t i = 0; is_spaced(p) && i < d.out * h.out; ++i)
      lines_.push_back({static_cast<int32_t>(i * run_.length),
                        i / h.out * d.stride * x.stride[2] + i % h.out * h.stride * x.stride[3]});
  }
  static int64_t bytes(const ConvProblem& p) {
    return is_spaced(p) ? p.axis[0].out * p.axis[1].out * static_cast<int64_t>(sizeof(PackLine)) : 0;
  }
  bool none() const { return lines_.empty(); }
  // Some elements, whole lines, of `count` planes from channel c of image n on.
  const float* gather(int64_t n, int64_t c, int64_t count, Range some, float* room) const {
    constexpr int64_t kAhead = 4096;  // elements at least that are fetched before their turn
    const int64_t line = some.begin / run_.length, step = x_.stride[1], ahead = step > 0 ? round_up(kAhead, step) : 0;
    const float* const from = x_.data + n * x_.stride[0] + c * step;
    for (int64_t i = 0; i < count; ++i)
      conv_kernels<float>().pack({room + i * some.size() - some.begin, from + i * step, lines_.data() + line,
                                  some.size() / run_.length, &run_, 1, ahead});
    return room;
  }

 private:
  View<const float> x_;
  PackRun run_;
  Vector<PackLine> lines_;
};

// The planes of x and y, cut into pieces of lines of neighbouring elements. A spaced x will be as y is.
struct Planes {
  View<const float> x;
  View<float> y;
  bool in_place;
  Cuts cuts;              // of a line
  int64_t pieces, units;  // of an image's group; of all

  Planes(const ConvProblem& p, const View<const float>& from, const View<float>& to)
      : x(is_spaced(p) ? to : from), y(to), in_place(join(x, y)), cuts(p, x.shape[4]) {
    if (is_spaced(p)) in_place &= x.shape[2] * x.shape[3] == 1;
    pieces = x.shape[2] * x.shape[3] * cuts.count;
    units = p.mb * p.groups * pieces;
  }
  static bool join(View<const float>& x, View<float>& y) {
    x.shape[1] = y.shape[1] = 1;
    return join_values(x, y) && (x.shape[4] == 1 || (x.stride[4] == 1 && y.stride[4] == 1));
  }
  struct Piece {
    int64_t x, y, n;  // first elements in a plane, and how many
  };
  Piece piece(int64_t i) const {
    const int64_t line = i / cuts.count, d = line / x.shape[3], h = line % x.shape[3];
    const Range some = cuts[i % cuts.count];
    return {d * x.stride[2] + h * x.stride[3] + some.begin, d * y.stride[2] + h * y.stride[3] + some.begin,
            some.size()};
  }
};

}  // namespace

bool is_scale(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  if ((algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) || p.macs() == 0) return false;
  if (!depthwise_kernels<float>().scale) return false;
  const bool backward = direction == Direction::backward_input;
  const bool plain = std::all_of(p.axis, p.axis + 3, [backward](const ConvAxis& a) {
    return a.k == 1 && (a.stride == 1 || !backward) && a.pad_before == 0 && a.pad_after == 0;
  });
  int64_t channels = p.ic / p.groups, rows = p.oc / p.groups;
  if (!plain || channels * rows > kMostPairs || (is_spaced(p) && has_short_lines(p, direction))) return false;
  if (direction == Direction::backward_weight) return true;
  if (backward) std::swap(channels, rows);
  return rows == 1 || (channels == 1 && p.out_pixels() <= kSmallPlane);
}

bool run_scale(const ConvProblem& p, Direction direction, const LaneCall<float>& call) {
  const bool backward = direction == Direction::backward_input;
  const Planes planes(p, call.x, call.y);
  const bool lanes = (call.x.stride[1] == 1 || call.y.stride[1] == 1) && may_be_lanes(p);
  if (!planes.in_place || (lanes && is_spaced(p))) {
    if (lanes) run_lanes(p, direction, call);
    return lanes;
  }
  const SpacedLines spaced(p, call.x);
  const int64_t *w = call.w.stride, channels = (backward ? p.oc : p.ic) / p.groups,
                rows = (backward ? p.ic : p.oc) / p.groups;
  const int threads = threads_for(2 * p.macs());
  const int64_t runs = std::min(planes.units, tasks_for(2 * p.macs(), threads));
  parallel_tasks(runs, threads, [&](int64_t run) {
    ScaledPlanes<float> s{};
    s.x_channel = call.x.stride[1], s.x_group = channels * s.x_channel;
    s.y_row = call.y.stride[1], s.y_group = rows * s.y_row;
    s.w_channel = w[backward ? 0 : 1], s.w_row = w[backward ? 1 : 0], s.w_group = p.oc / p.groups * w[0];
    s.bias_step = call.bias.stride[0];
    s.rows = rows, s.channels = channels;
    s.clamp = call.clamp, s.low = call.low, s.high = call.high;
    float* const room = spaced.none()
                            ? nullptr
                            : reinterpret_cast<float*>(Arena::local().reserve(gathered_bytes(channels, planes.cuts)));
    const Range units = part(planes.units, runs, run);
    for (int64_t u = units.begin; u < units.end; u += s.groups) {
      const int64_t g = u / planes.pieces % p.groups, n = u / planes.pieces / p.groups;
      const auto piece = planes.piece(u % planes.pieces);
      s.groups = planes.pieces > 1 || room ? 1 : std::min(units.end - u, p.groups - g);
      s.x = call.x.data + n * call.x.stride[0] + g * s.x_group + piece.x;
      if (room)
        s.x = spaced.gather(n, g * channels, channels, {piece.x, piece.x + piece.n}, room), s.x_channel = piece.n;
      s.y = call.y.data + n * call.y.stride[0] + g * s.y_group + piece.y;
      s.w = call.w.data + g * s.w_group;
      s.bias = call.bias.data ? call.bias.data + g * rows * s.bias_step : nullptr;
      s.n = piece.n;
      depthwise_kernels<float>().scale(s);
    }
  });
  return true;
}

namespace {

// The weight gradient: groups whose sums are summed in turn, and pieces of planes, whatever their layout.
class ScaleGradient {
 public:
  ScaleGradient(const ConvProblem& p, const View<const float>& dy, const View<const float>& x, const View<float>& dw)
      : p_(p),
        dw_(dw),
        dy_(dy),
        x_(x),
        spaced_(p, x),
        cuts_(p, p.out_pixels()),
        channels_(p.ic / p.groups),
        rows_(p.oc / p.groups),
        pairs_(channels_ * rows_),
        blocks_(ceil_div(p.groups, std::clamp<int64_t>(p.groups / kFewSums, 1, kSumBytes / vector_bytes() / pairs_))),
        parts_(parts_of_sums(blocks_, p.mb * cuts_.count, 2 * p.macs())) {}

  void run() const {
    sum_tasks<float>(
        blocks_, parts_, p_.mb * cuts_.count, p_.groups * pairs_, 2 * p_.macs(), threads_for(2 * p_.macs()),
        [&](Range blocks, Range units, float* partial) {
          for (int64_t b = blocks.begin; b < blocks.end; ++b) sum(block(b), units, partial);
        },
        [&](int64_t b, const float* sums) { write(block(b), sums + block(b).begin * pairs_); });
  }

  int64_t bytes() const { return kSumBytes + gathered_bytes(channels_ + rows_, cuts_) + SpacedLines::bytes(p_); }
  int64_t shared_bytes() const { return parts_ > 1 ? Arena::rounded_bytes<float>(parts_ * p_.groups * pairs_) : 0; }

 private:
  static int64_t vector_bytes() { return depthwise_kernels<float>().lanes * static_cast<int64_t>(sizeof(float)); }
  Range block(int64_t b) const { return part(p_.groups, blocks_, b); }

  // The channels of the first image as rows of terms.
  static TermRows<float> rows_of(View<const float> image) {
    image.shape[0] = image.shape[1], image.stride[0] = image.stride[1];
    image.shape[1] = 1;
    return TermRows<float>(image);
  }

  void sum(Range groups, Range units, float* partial) const {
    char* const memory = Arena::local().reserve(bytes());
    float *const vectors = reinterpret_cast<float*>(memory), *const room = reinterpret_cast<float*>(memory + kSumBytes);
    std::fill_n(vectors, groups.size() * pairs_ * kernels_.lanes, 0.0f);
    TermRows<float> x = rows_of(x_), dy = rows_of(dy_);
    for (int64_t u = units.begin; u < units.end; ++u) {
      const int64_t n = u / cuts_.count;
      x.v.data = x_.data + n * x_.stride[0], dy.v.data = dy_.data + n * dy_.stride[0];
      const Range terms = cuts_[u % cuts_.count];
      PlaneDots<float> s{};
      s.rows = rows_, s.channels = channels_, s.n = terms.size();
      s.groups = x.in_place && dy.in_place && spaced_.none() ? groups.size() : 1;
      for (int64_t g = groups.begin; g < groups.end; g += s.groups) {
        if (spaced_.none()) s.x = x.find(g * channels_, channels_, terms, room, s.x_channel);
        else s.x = spaced_.gather(n, g * channels_, channels_, terms, room), s.x_channel = terms.size();
        s.dy = dy.find(g * rows_, rows_, terms, room + channels_ * terms.size(), s.dy_row);
        s.x_group = channels_ * s.x_channel, s.dy_group = rows_ * s.dy_row;
        s.sums = vectors + (g - groups.begin) * pairs_ * kernels_.lanes;
        kernels_.plane_dots(s);
      }
    }
    float* const sums = partial ? partial + groups.begin * pairs_ : vectors;
    kernels_.lane_sums(sums, vectors, groups.size() * pairs_);
    if (!partial) write(groups, sums);
  }

  void write(Range groups, const float* sums) const {
    for (int64_t o = groups.begin * rows_; o < groups.end * rows_; ++o)
      for (int64_t c = 0; c < channels_; ++c) dw_.data[o * dw_.stride[0] + c * dw_.stride[1]] = *sums++;
  }

  const ConvProblem& p_;
  const View<float> dw_;
  const View<const float> dy_, x_;
  const DepthwiseKernelsOf<float>& kernels_ = depthwise_kernels<float>();
  const SpacedLines spaced_;
  const Cuts cuts_;
  int64_t channels_, rows_, pairs_, blocks_, parts_;
};

}  // namespace

void scale_weight_gradient(const ConvProblem& p, const View<const float>& dy, const View<const float>& x,
                           const View<float>& dw) {
  ScaleGradient(p, dy, x, dw).run();
}

void plan_scale(const ConvProblem& p, Direction direction, ConvPlan& plan) {
  plan.algorithm = Algorithm::depthwise;
  plan.kernel = "scaled planes";
  plan.mr = 1;
  plan.nr = 4 * depthwise_kernels<float>().lanes;
  if (direction == Direction::backward_weight) {
    const ScaleGradient gradient(p, {}, {}, {});
    plan.block_channels = p.ic / p.groups;
    plan.block_pixels = Cuts(p, p.out_pixels()).longest();
    plan.threads = threads_for(2 * p.macs());
    plan.cost = p.macs() / depthwise_kernels<float>().lanes;
    plan.workspace_bytes = gradient.bytes();
    plan.shared_bytes = gradient.shared_bytes();
    return;
  }
  const int64_t channels = (direction == Direction::forward ? p.ic : p.oc) / p.groups;
  plan.workspace_bytes =
      std::max(plan.workspace_bytes, gathered_bytes(channels, Cuts(p, p.out_pixels())) + SpacedLines::bytes(p));
  if (may_be_lanes(p))
    plan.workspace_bytes = std::max(plan.workspace_bytes, plan_lanes<float>(p, direction).workspace_bytes);
}

}  // namespace fastconv
