#include "conv/depthwise_scale.hpp"

#include <algorithm>

#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/sum_parts.hpp"
#include "conv/term_rows.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPiece = 8192;        // elements of a plane at a time: all that meet one another stay in the L1 cache
constexpr int64_t kMostPairs = 8;       // of channels of x and of y, in a group
constexpr int64_t kSmallPlane = 512;    // several rows are written one after the other: of larger planes, by a tile
constexpr int64_t kSumBytes = 8 << 10;  // of vectors of sums of planes in turn

// Channels that are neighbours in memory are lanes as they are, if they are enough of them.
template <class T>
bool may_be_lanes(const ConvProblem& p) {
  return p.axis[0].in == 1 && p.groups >= depthwise_kernels<T>().lanes;
}

// Parts of n elements.
int64_t cuts_of(const ConvProblem& p, int64_t n) {
  return ceil_div(n, p.ic + p.oc == 2 * p.groups ? kPiece : kPiece / 4);
}

// The planes of x and y, cut into pieces of lines of neighbouring elements.
template <class T>
struct Planes {
  View<const T> x;
  View<T> y;
  bool in_place;
  int64_t cuts, pieces, units;  // of a line; of an image's group; of all

  Planes(const ConvProblem& p, const View<const T>& from, const View<T>& to) : x(from), y(to) {
    x.shape[1] = y.shape[1] = 1;
    in_place = join_values(x, y) && (x.shape[4] == 1 || (x.stride[4] == 1 && y.stride[4] == 1));
    cuts = cuts_of(p, x.shape[4]);
    pieces = x.shape[2] * x.shape[3] * cuts;
    units = p.mb * p.groups * pieces;
  }
  struct Piece {
    int64_t x, y, n;  // first elements in a plane, and how many
  };
  Piece piece(int64_t i) const {
    const int64_t line = i / cuts, d = line / x.shape[3], h = line % x.shape[3];
    const Range some = part(x.shape[4], cuts, i % cuts);
    return {d * x.stride[2] + h * x.stride[3] + some.begin, d * y.stride[2] + h * y.stride[3] + some.begin,
            some.size()};
  }
};

}  // namespace

bool is_scale(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  if ((algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) || p.macs() == 0) return false;
  const bool plain = std::all_of(p.axis, p.axis + 3, [](const ConvAxis& a) {
    return a.k == 1 && a.stride == 1 && a.pad_before == 0 && a.pad_after == 0;
  });
  int64_t channels = p.ic / p.groups, rows = p.oc / p.groups;
  if (!plain || channels * rows > kMostPairs) return false;
  if (direction == Direction::backward_weight) return true;
  if (direction == Direction::backward_input) std::swap(channels, rows);
  return rows == 1 || (channels == 1 && p.out_pixels() <= kSmallPlane);
}

template <class T>
bool run_scale(const ConvProblem& p, Direction direction, const LaneCall<T>& call) {
  const bool backward = direction == Direction::backward_input;
  const Planes<T> planes(p, call.x, call.y);
  if (!planes.in_place) {
    const bool lanes = (call.x.stride[1] == 1 || call.y.stride[1] == 1) && may_be_lanes<T>(p);
    if (lanes) run_lanes(p, direction, call);
    return lanes;
  }
  const int64_t *w = call.w.stride, channels = (backward ? p.oc : p.ic) / p.groups,
                rows = (backward ? p.ic : p.oc) / p.groups;
  const int threads = threads_for(2 * p.macs());
  const int64_t runs = std::min(planes.units, tasks_for(2 * p.macs(), threads));
  parallel_tasks(runs, threads, [&](int64_t run) {
    ScaledPlanes<T> s{};
    s.x_channel = call.x.stride[1], s.x_group = channels * s.x_channel;
    s.y_row = call.y.stride[1], s.y_group = rows * s.y_row;
    s.w_channel = w[backward ? 0 : 1], s.w_row = w[backward ? 1 : 0], s.w_group = p.oc / p.groups * w[0];
    s.bias_step = call.bias.stride[0];
    s.rows = rows, s.channels = channels;
    s.clamp = call.clamp, s.low = call.low, s.high = call.high;
    const Range units = part(planes.units, runs, run);
    for (int64_t u = units.begin; u < units.end; u += s.groups) {
      const int64_t g = u / planes.pieces % p.groups, n = u / planes.pieces / p.groups;
      const auto piece = planes.piece(u % planes.pieces);
      s.groups = planes.pieces > 1 ? 1 : std::min(units.end - u, p.groups - g);
      s.x = call.x.data + n * call.x.stride[0] + g * s.x_group + piece.x;
      s.y = call.y.data + n * call.y.stride[0] + g * s.y_group + piece.y;
      s.w = call.w.data + g * s.w_group;
      s.bias = call.bias.data ? call.bias.data + g * rows * s.bias_step : nullptr;
      s.n = piece.n;
      depthwise_kernels<T>().scale(s);
    }
  });
  return true;
}

namespace {

// The weight gradient: groups whose sums are summed in turn, and pieces of planes, whatever their layout.
template <class T>
class ScaleGradient {
 public:
  ScaleGradient(const ConvProblem& p, const View<const T>& dy, const View<const T>& x, const View<T>& dw)
      : p_(p),
        dw_(dw),
        dy_(dy),
        x_(x),
        channels_(p.ic / p.groups),
        rows_(p.oc / p.groups),
        pairs_(channels_ * rows_),
        blocks_(ceil_div(p.groups, std::clamp<int64_t>(p.groups / kFewSums, 1, kSumBytes / vector_bytes() / pairs_))),
        cuts_(cuts_of(p, p.out_pixels())),
        parts_(parts_of_sums(blocks_, p.mb * cuts_, 2 * p.macs())) {}

  void run() const {
    sum_tasks<T>(
        blocks_, parts_, p_.mb * cuts_, p_.groups * pairs_, 2 * p_.macs(), threads_for(2 * p_.macs()),
        [&](Range blocks, Range units, T* partial) {
          for (int64_t b = blocks.begin; b < blocks.end; ++b) sum(block(b), units, partial);
        },
        [&](int64_t b, const T* sums) { write(block(b), sums + block(b).begin * pairs_); });
  }

  int64_t bytes() const {
    return kSumBytes + Arena::rounded_bytes<T>((channels_ + rows_) * ceil_div(p_.out_pixels(), cuts_));
  }
  int64_t shared_bytes() const { return parts_ > 1 ? Arena::rounded_bytes<T>(parts_ * p_.groups * pairs_) : 0; }

 private:
  static int64_t vector_bytes() { return depthwise_kernels<T>().lanes * static_cast<int64_t>(sizeof(T)); }
  Range block(int64_t b) const { return part(p_.groups, blocks_, b); }

  // The channels of an image as rows of terms.
  static TermRows<T> rows_of(View<const T> image, int64_t n) {
    image.data += n * image.stride[0];
    image.shape[0] = image.shape[1], image.stride[0] = image.stride[1];
    image.shape[1] = 1;
    return TermRows<T>(image);
  }

  void sum(Range groups, Range units, T* partial) const {
    char* const memory = Arena::local().reserve(bytes());
    T *const vectors = reinterpret_cast<T*>(memory), *const room = reinterpret_cast<T*>(memory + kSumBytes);
    std::fill_n(vectors, groups.size() * pairs_ * kernels_.lanes, T(0));
    for (int64_t u = units.begin; u < units.end; ++u) {
      const TermRows<T> x = rows_of(x_, u / cuts_), dy = rows_of(dy_, u / cuts_);
      const Range terms = part(p_.out_pixels(), cuts_, u % cuts_);
      PlaneDots<T> s{};
      s.rows = rows_, s.channels = channels_, s.n = terms.size();
      s.groups = x.in_place && dy.in_place ? groups.size() : 1;
      for (int64_t g = groups.begin; g < groups.end; g += s.groups) {
        s.x = x.find(g * channels_, channels_, terms, room, s.x_channel);
        s.dy = dy.find(g * rows_, rows_, terms, room + channels_ * terms.size(), s.dy_row);
        s.x_group = channels_ * s.x_channel, s.dy_group = rows_ * s.dy_row;
        s.sums = vectors + (g - groups.begin) * pairs_ * kernels_.lanes;
        kernels_.plane_dots(s);
      }
    }
    T* const sums = partial ? partial + groups.begin * pairs_ : vectors;
    kernels_.lane_sums(sums, vectors, groups.size() * pairs_);
    if (!partial) write(groups, sums);
  }

  void write(Range groups, const T* sums) const {
    for (int64_t o = groups.begin * rows_; o < groups.end * rows_; ++o)
      for (int64_t c = 0; c < channels_; ++c) dw_.data[o * dw_.stride[0] + c * dw_.stride[1]] = *sums++;
  }

  const ConvProblem& p_;
  const View<T> dw_;
  const View<const T> dy_, x_;
  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  int64_t channels_, rows_, pairs_, blocks_, cuts_, parts_;
};

}  // namespace

template <class T>
void scale_weight_gradient(const ConvProblem& p, const View<const T>& dy, const View<const T>& x, const View<T>& dw) {
  ScaleGradient<T>(p, dy, x, dw).run();
}

template <class T>
void plan_scale(const ConvProblem& p, Direction direction, ConvPlan& plan) {
  plan.algorithm = Algorithm::depthwise;
  plan.kernel = "scaled planes";
  plan.mr = 1;
  plan.nr = 4 * depthwise_kernels<T>().lanes;
  if (direction == Direction::backward_weight) {
    const ScaleGradient<T> gradient(p, {}, {}, {});
    plan.block_channels = p.ic / p.groups;
    plan.block_pixels = ceil_div(p.out_pixels(), cuts_of(p, p.out_pixels()));
    plan.threads = threads_for(2 * p.macs());
    plan.cost = p.macs() / depthwise_kernels<T>().lanes;
    plan.workspace_bytes = gradient.bytes();
    plan.shared_bytes = gradient.shared_bytes();
  } else if (may_be_lanes<T>(p)) {
    plan.workspace_bytes = std::max(plan.workspace_bytes, plan_lanes<T>(p, direction).workspace_bytes);
  }
}

#define FASTCONV_INSTANTIATE(T)                                                                                        \
  template bool run_scale(const ConvProblem&, Direction, const LaneCall<T>&);                                          \
  template void scale_weight_gradient(const ConvProblem&, const View<const T>&, const View<const T>&, const View<T>&); \
  template void plan_scale<T>(const ConvProblem&, Direction, ConvPlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
