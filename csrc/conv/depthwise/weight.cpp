#include "conv/depthwise/weight.hpp"

#include <algorithm>
#include <optional>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/gradient.hpp"
#include "conv/depthwise/lanes.hpp"
#include "conv/depthwise/lanes_weight.hpp"
#include "conv/depthwise/planes.hpp"
#include "conv/depthwise/squares_weight.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBatchBytes =
    16 << 10;  // of planes packed together, so that none is read while its stores are on the way
constexpr int64_t kPlaneBytes = 40 << 10;   // of a plane packed whole
constexpr int64_t kStripBytes = 128 << 10;  // of a strip of larger planes
constexpr int64_t kMostColumns = 2048;      // outputs of a row at a time
constexpr int64_t kSumBytes = 6 << 10;      // of the sums of planes in turn: beside their lines in the L1 cache
constexpr int64_t kMostDepth = 2048;        // taps of an output channel
constexpr int64_t kFewRows = 2;             // of a group, for which its channels are not worth packing

// Measured against the packed tiles: few products of channels, or one channel of a small image.
bool gradient_pays(int64_t channels, int64_t rows, const ConvProblem& p, bool squares, bool many_registers,
                   bool full_dots, bool single) {
  constexpr int64_t kFewChannels = 4, kSeveralRows = 4, kSomeRows = 8, kMoreRows = 16, kOwnKernel = 400,
                    kSmallImage = 1024, kPairs = 16, kManyTaps = 25;
  if (p.axis[1].out < 2) return false;
  if (squares && channels > 1 && rows > 1 && p.out_pixels() <= (many_registers ? kOwnKernel : kSmallImage))
    return false;
  if (!squares && rows <= kFewRows && channels <= kSomeRows && p.groups > 1 && p.axis[1].k > kFewRows &&
      p.axis[1].stride == 1 && p.out_pixels() > kSmallImage)
    return true;
  if (many_registers && p.groups > 1 && !squares && rows > 1 && channels > 1) return false;
  if (many_registers && single && p.groups == 1 && channels <= kSomeRows) {
    if (p.axis[1].k < 2) return p.axis[1].out >= kBandRows && (rows == 1 || rows * channels <= kFewChannels);
    if (squares) return rows < kSeveralRows || rows * channels <= kPairs;
    if (rows <= kFewRows && (p.taps() < kManyTaps || p.out_pixels() > kSmallImage)) return true;
  }
  if (p.axis[1].k < 2) return rows == 1 && channels == 1 && p.axis[1].out > 8 && p.out_pixels() > kSmallImage;
  if (full_dots && p.groups == 1 && !squares && rows >= kSeveralRows) return false;
  if (squares && channels <= kSomeRows && rows <= kSomeRows && p.out_pixels() > kOwnKernel) return true;
  return (channels <= kFewChannels && rows <= kSomeRows) ||
         (channels == 1 && rows <= kMoreRows && p.out_pixels() <= kSmallImage);
}

template <class T>
class Gradient : DepthwiseGradient<T> {
  using Common = DepthwiseGradient<T>;
  using Common::p_, Common::dy_, Common::x_, Common::dw_, Common::h_, Common::w_, Common::channels_, Common::rows_,
      Common::threads_;

 public:
  Gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw)
      : Common(p, dy, x, dw), depth_(channels_ * p.taps()), order_(tap_order(h_.offset, h_.stride)) {
    const bool collide =
        x.stride[3] * static_cast<int64_t>(sizeof(T)) % 4096 == 0;  // all lines of a band, in the L1 cache
    in_place_ = read_in_place<T>(w_, x.stride[4]) && rows_ <= kFewRows && !collide;
    cuts_ = ceil_div(w_.outputs, kMostColumns);
    strip_ = h_.outputs;
    if (const int64_t plane = plane_bytes(strip_); plane <= kPlaneBytes || strip_ <= kBandRows) {
      planes_ = std::max<int64_t>(1, std::min(p.groups, kBatchBytes / plane));
    } else {
      strip_ = kBandRows;
      while (strip_ < h_.outputs && plane_bytes(strip_ + kBandRows) <= kStripBytes) strip_ += kBandRows;
    }
    // Planes of an image in turn, where they are read where they stand: the processor follows. Enough batches are
    // left for the sums to have no parts, as without this.
    if (in_place_ && p.mb > 1)
      planes_ = std::max(planes_, std::min(p.groups / (2 * kFewSums), kSumBytes / (2 * rows_ * depth_ * kernels_.lanes *
                                                                                   static_cast<int64_t>(sizeof(T)))));
    parts_ = parts_of_sums(batches(), units(), 2 * p.macs());
    for (int64_t c = 0; c < channels_; ++c)
      for (int64_t t = 0; t < w_.taps(); ++t)
        for (int64_t i : order_) position_.push_back(c * dw.stride[1] + i * dw.stride[3] + t * dw.stride[4]);
  }

  void run() const {
    sum_tasks<T>(
        batches(), parts_, units(), p_.oc * depth_, 2 * p_.macs(), threads_,
        [&](Range batches, Range units, T* partial) { task(batches, units, partial); },
        [&](int64_t b, const T* sums) {
          for (int64_t o = b * planes_ * rows_; o < std::min(p_.oc, (b + 1) * planes_ * rows_); ++o)
            write(o, sums + o * depth_);
        });
  }

  ConvPlan plan() const {
    ConvPlan plan;
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = in_place_ ? "image rows" : "packed image rows";
    plan.mr = static_cast<int>(std::min<int64_t>(kernels_.rows, h_.outputs));
    plan.nr = kernels_.lanes;
    plan.block_channels = channels_;
    plan.block_pixels = planes_ * std::min(strip_, h_.outputs) * w_.outputs;
    const int64_t item = static_cast<int64_t>(sizeof(T));
    plan.workspace_bytes = Arena::rounded_bytes<T>(sum_elements()) + packed_bytes();
    plan.shared_bytes = parts_ > 1 ? parts_ * p_.oc * depth_ * item : 0;
    plan.threads = static_cast<int>(std::min<int64_t>(threads_, batches() * parts_));
    const double vectors =
        static_cast<double>(p_.mb * p_.oc * h_.outputs) * static_cast<double>(ceil_div(w_.outputs, kernels_.lanes));
    plan.cost = vectors * (static_cast<double>(depth_) * 0.65 + 3);
    return plan;
  }

 private:
  int64_t batches() const { return ceil_div(p_.groups, planes_); }
  int64_t strips() const { return ceil_div(h_.outputs, strip_); }
  int64_t units() const { return p_.mb * strips() * cuts_; }
  // The cuts do not depend on whether x is packed: they decide in which order is summed. Two sets of vectors of sums a
  // plane.
  int64_t sum_elements() const { return 2 * planes_ * rows_ * depth_ * kernels_.lanes; }
  int64_t plane_bytes(int64_t rows) const {
    const LayoutSize h = layout_size(h_, rows, false);
    return channels_ * h.segments * h.width * packed_row_size(w_, ceil_div(w_.outputs, cuts_), kernels_.lanes) *
           static_cast<int64_t>(sizeof(T));
  }

  // The packed planes of one strip and cut of the width, and the runs over them.
  struct Unit {
    int64_t shape = -1;
    Range rows{0, 0}, columns{0, 0};
    std::optional<PlaneLines<T>> x, dy;
    Vector<TapRun> runs;
    T *packed_x = nullptr, *packed_dy = nullptr;
  };
  bool dy_in_place() const { return dy_.stride[4] == 1; }

  void prepare(Unit& unit, int64_t shape, char* memory) const {
    unit.shape = shape;
    const int64_t s = shape / cuts_, c = shape % cuts_;
    unit.rows = {s * h_.outputs / strips(), (s + 1) * h_.outputs / strips()};
    unit.columns = {c * w_.outputs / cuts_, (c + 1) * w_.outputs / cuts_};
    const int64_t x_stride[3] = {x_.stride[1], x_.stride[3], x_.stride[4]},
                  dy_stride[3] = {dy_.stride[1], dy_.stride[3], dy_.stride[4]};
    unit.x.emplace(h_, unit.rows, w_, unit.columns, channels_, planes_, x_stride, in_place_);
    unit.packed_x = reinterpret_cast<T*>(memory);
    unit.x->clear(unit.packed_x);
    if (!dy_in_place()) {
      unit.dy.emplace(identity_h_, unit.rows, identity_w_, unit.columns, rows_, planes_, dy_stride, false);
      unit.packed_dy = reinterpret_cast<T*>(memory + Arena::rounded_bytes<T>(unit.x->elements()));
      unit.dy->clear(unit.packed_dy);
    }
    unit.runs.clear();
    for (int64_t i = 0; i < channels_; ++i)
      for (int64_t t = 0; t < w_.taps(); ++t) unit.x->add_runs(i, t, order_, unit.runs);
  }

  // Batches [b0, b1) of groups, units [u0, u1) (image, strip, cut of the width): into dw, or into `partial`.
  void task(Range batches, Range units, T* partial) const {
    const int64_t sum_bytes = Arena::rounded_bytes<T>(sum_elements());
    char* memory = Arena::local().reserve(sum_bytes + packed_bytes());
    T* sums = reinterpret_cast<T*>(memory);
    Unit unit;
    for (int64_t b = batches.begin; b < batches.end; ++b) {
      const int64_t g0 = b * planes_, count = std::min(p_.groups - g0, planes_);
      std::fill_n(sums, sum_elements(), T(0));
      for (int64_t u = units.begin; u < units.end; ++u) {
        const int64_t n = u / (strips() * cuts_), shape = u % (strips() * cuts_);
        if (shape != unit.shape) prepare(unit, shape, memory + sum_bytes);
        add_unit(unit, n, g0, count, sums);
      }
      reduce(g0, count, sums, partial);
    }
  }

  void add_unit(Unit& unit, int64_t n, int64_t g0, int64_t count, T* sums) const {
    const T* first = dy_.data + n * dy_.stride[0] + g0 * rows_ * dy_.stride[1];
    const auto x = [&](int64_t k) { return x_.data + n * x_.stride[0] + (g0 + k) * channels_ * x_.stride[1]; };
    for (int64_t k = 0; k < count; ++k) {
      unit.x->pack(x(k), k, unit.packed_x);
      if (unit.dy) unit.dy->pack(first + k * rows_ * dy_.stride[1], k, unit.packed_dy);
    }
    Vector<const T*> table;
    for (int64_t k = 0; k < count; ++k) {
      const ImageLines<T> lines = unit.x->lines(x(k), k, unit.packed_x, table);
      for (int64_t o = 0; o < rows_; ++o) {
        const T* dy =
            unit.dy ? unit.packed_dy + (k * rows_ + o) * unit.dy->channel_size()
                    : first + (k * rows_ + o) * dy_.stride[1] + unit.rows.begin * dy_.stride[3] + unit.columns.begin;
        add_plane(unit, lines, dy, sums + (k * rows_ + o) * 2 * depth_ * kernels_.lanes);
      }
    }
  }

  // Packed x and dy of the largest strip and cut; a row of vectors is to spare for every packed one, as cuts differ.
  int64_t packed_bytes() const {
    const int64_t item = static_cast<int64_t>(sizeof(T)), lanes = kernels_.lanes, n = ceil_div(w_.outputs, cuts_),
                  rows = std::min(strip_, h_.outputs);
    const int64_t dy = dy_in_place() ? 0 : rows_ * rows * packed_row_size(identity_w_, n, lanes) * item;
    return std::max((in_place_ ? 1 : planes_) * plane_bytes(rows), round_up(w_.in, lanes) * item) + planes_ * dy +
           2 * Arena::kAlign + spare_bytes();
  }
  int64_t spare_bytes() const {
    if (strips() * cuts_ == 1 || in_place_) return 0;
    const LayoutSize h = layout_size(h_, strip_, false);
    return channels_ * h.segments * h.width * w_.taps() * kernels_.lanes * static_cast<int64_t>(sizeof(T));
  }

  void add_plane(const Unit& unit, ImageLines<T> lines, const T* dy, T* sums) const {
    BandDots<T> b{};
    b.lines = lines;
    b.runs = unit.runs.data();
    b.run_count = static_cast<int64_t>(unit.runs.size());
    b.taps = depth_;
    b.dy_row = unit.dy ? unit.dy->row() : dy_.stride[3];
    b.columns = ceil_div(unit.columns.size(), kernels_.lanes);
    b.last = unit.columns.size() - (b.columns - 1) * kernels_.lanes;
    b.sums = sums;
    const int64_t dy_row = b.dy_row;
    unit.x->for_each_band(unit.rows.size(), kernels_.rows, false, lines,
                          [&](int64_t r, int64_t step, int64_t rows, int64_t kernel, const T* const* line) {
                            b.lines.line = line;
                            b.dy = dy + r * dy_row;
                            b.dy_row = step * dy_row;
                            b.rows = rows;
                            kernels_.band_dots[kernel](b);
                          });
  }

  void reduce(int64_t g0, int64_t count, T* sums, T* partial) const {
    const int64_t lanes = kernels_.lanes, vectors = depth_ * lanes;
    Vector<T> local(static_cast<size_t>(depth_));
    for (int64_t k = 0; k < count; ++k)
      for (int64_t o = 0; o < rows_; ++o) {
        const int64_t row = (g0 + k) * rows_ + o;
        T* to = partial ? partial + row * depth_ : local.data();
        T* const even = sums + (k * rows_ + o) * 2 * vectors;
        add_elements(even, even + vectors, vectors);
        kernels_.lane_sums(to, even, depth_);
        if (!partial) write(row, to);
      }
  }

  void write(int64_t o, const T* sums) const {
    T* to = dw_.data + o * dw_.stride[0];
    for (int64_t i : position_) to[i] = *sums++;
  }

  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  int64_t depth_;  // depth: taps of an output channel
  Vector<int64_t> order_, position_;
  AxisMap identity_h_ = identity_axis(h_.outputs), identity_w_ = identity_axis(w_.outputs);  // dy packed
  bool in_place_ = false;
  int64_t planes_ = 1, strip_ = 1, cuts_ = 1, parts_ = 1;
};

}  // namespace

template <class T>
bool use_depthwise_weight(const ConvProblem& p, Algorithm algorithm) {
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) return false;
  if (p.macs() == 0) return false;
  if (!is_plane(p.axis[0])) return use_lanes<T>(p, Direction::backward_weight, algorithm);
  const int64_t channels = p.ic / p.groups, rows = p.oc / p.groups, depth = channels * p.taps();
  const bool six = conv_kernels<T>().dot[kMaxDotRows - 1][0],
             full = six || (conv_kernels<T>().has_three_taps() && rows % 4 == 0);
  if (depth > kMostDepth || rows * depth > 16 * kMostDepth) return false;
  return algorithm == Algorithm::depthwise || use_lanes<T>(p, Direction::backward_weight, algorithm) ||
         gradient_pays(channels, rows, p, has_square_gradient<T>(p), six, full, sizeof(T) == sizeof(float));
}

template <class T>
void depthwise_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) {
  if (use_lanes<T>(p, Direction::backward_weight, Algorithm::depthwise)) return lanes_weight_gradient(p, dy, x, dw);
  if (has_square_gradient<T>(p)) return squares_weight_gradient(p, dy, x, dw);
  Gradient<T>(p, dy, x, dw).run();
}

template <class T>
ConvPlan plan_depthwise_weight(const ConvProblem& p) {
  if (use_lanes<T>(p, Direction::backward_weight, Algorithm::depthwise)) return plan_lanes_weight<T>(p);
  if (has_square_gradient<T>(p)) return plan_squares_weight<T>(p);
  View<const T> contiguous;
  contiguous.stride[3] = p.axis[2].in;
  contiguous.stride[4] = 1;
  return Gradient<T>(p, contiguous, contiguous, {}).plan();
}

#define FASTCONV_INSTANTIATE(T)                                                                       \
  template bool use_depthwise_weight<T>(const ConvProblem&, Algorithm);                               \
  template void depthwise_weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_depthwise_weight<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
