#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/lanes.hpp"
#include "conv/depthwise/spread.hpp"
#include "conv/depthwise/squares.hpp"
#include "conv/fft/plan.hpp"
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/depthwise/lanes.hpp"
#include "kernels/depthwise/squares.hpp"

namespace fastconv {
namespace {

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
        y_(height_ * static_cast<double>(width_)),
        depth_(static_cast<double>(channels_ * p.taps()) / static_cast<double>(backward_ ? h_.stride * w_.stride : 1)) {
  }

  // A product, and an element's way through a transpose.
  double in_lanes(int64_t lanes) const {
    constexpr int kFewSums = 8;              // which two products a cycle need, if they are fused
    const double product = w_.k == 1 ? 0.25  // of one column of taps, each loads its own inputs
                           : lane_kernels<float>().outputs == kFewSums && !weight_ ? 0.09
                                                                                   : 0.12,
                 block = y_ * product * depth_ + transposes(y_, 1.75) +
                         static_cast<double>(channels_) * transposes(x_ / static_cast<double>(channels_), 1.45);
    return 400 + static_cast<double>(ceil_div(planes_, lanes)) * block * (backward_ && !zeros_ ? 1.7 : 1);
  }
  template <class T>
  double in_rows() const {
    return static_cast<double>(planes_) * plane<T>(static_cast<double>(depthwise_kernels<T>().lanes));
  }

 private:
  // Of x, what taps read across a stride of more than two.
  double picked() const {
    const auto read = [](const ConvAxis& a) { return std::min(1.0, static_cast<double>(a.k) / a.stride); };
    return 0.25 * x_ * read(h_) * read(w_);
  }

  // Elements of a plane: more where planes side by side do not fit the L2 cache, or their lines one set of the L1
  // cache.
  static double transposes(double plane, double element) {
    constexpr double kLarge = 1 << 13, kSet = 1 << 10;
    return plane * (element + (plane > kLarge ? 0.65 : 0) + (std::fmod(plane, kSet) == 0 ? 0.8 : 0));
  }

  // A product, a vector and a plane, and what is packed of x.
  template <class T>
  double plane(double lanes) const {
    const double vectors = height_ * std::ceil(static_cast<double>(width_) / lanes);
    if (h_.k > 3 && !weight_ && (zeros_ || !backward_) && sums_squares<T>(p_.axis[0], h_, w_, channels_))
      return 0.123 * depth_ * vectors + 0.5 * depth_ + 5 + (zeros_ ? 0 : 1.2 * x_ / lanes + 60);
    const bool squares = h_.k == 3 && sums_squares<T>(p_.axis[0], h_, w_, p_.ic / p_.groups);
    if (squares && (weight_     ? square_kernels<T>().dots[w_.stride - 1] != nullptr
                    : backward_ ? w_.stride == 1 && (zeros_ || folds_squares<T>(p_))
                                : true))
      return static_cast<double>(channels_) * ((w_.stride == 1 ? 1.3
                                                : weight_      ? 3.3
                                                               : 2.7) *
                                                   vectors +
                                               (weight_ ? 12 : 5));
    if (backward_ && spreads_squares<T>(p_)) {  // with few registers, the last element of an odd row is stored apart
      const bool apart = width_ % 2 == 1 && !square_kernels<T>().many_registers;
      return (apart ? 4 : 3) * static_cast<double>(ceil_div(h_.in, 2)) *
                 std::ceil(static_cast<double>(width_) / (2 * lanes)) +
             (apart ? 35 : 15);
    }
    const double packed = w_.stride > 2                            ? picked()
                          : w_.stride == 1 && zeros_               ? 0
                          : w_.stride == 1 || backward_ || weight_ ? 1.2 * x_ / lanes
                                                                   : 1.8 * x_ / lanes;
    // A vector of x meets all taps above one another, or but one; where registers are few, a square's weights are
    // loaded again.
    const double product = h_.k > 1 ? 1 : 3.5;
    if (weight_) return vectors * (squares ? 0.43 * depth_ : 0.18 * product * depth_ + 2.2) + 60 + 2 * depth_ + packed;
    const double step = squares ? static_cast<double>(w_.stride) : 1;  // so many vectors of lines are read
    const double all = vectors * (0.13 * product * depth_ + 1.6) * step + 40 + packed;
    if (!backward_) return all;
    return all * (w_.stride == 1 ? 1 : w_.stride == 2 ? 1.35 : 2.4) * (zeros_ ? 1 : w_.stride == 1 ? 2 : 2.4);
  }

  const ConvProblem& p_;
  const ConvAxis &h_, &w_;
  const bool backward_, weight_, zeros_;
  const int64_t channels_, planes_, width_;  // of a group's x, and of y
  const double height_, x_, y_, depth_;
};

template <class T>
bool lanes_pay(const ConvProblem& p, Direction direction) {
  constexpr int64_t kMostChannels = 4, kLargeSlice = 400;
  const int64_t lanes = depthwise_kernels<T>().lanes, channels = p.ic / p.groups, rows = p.oc / p.groups;
  if (std::min(channels, rows) > 1 || channels * rows > kMostChannels) return false;
  const bool backward = direction == Direction::backward_input, weight = direction == Direction::backward_weight;
  const int64_t least = weight ? lanes / 2 + 1 : lanes / 2;  // of planes: a batch's come together, but for dw
  if ((backward ? p.ic : p.oc) < least && p.axis[2].stride <= 2) return false;
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  if (!is_plane(d)) return weight || w.stride > 1 || h.out * w.out < kLargeSlice;  // else slice by slice in rows
  if (h.out < 2) return true;                                                      // no rows to speak of
  if ((!weight || p.axis[1].k == 3) && has_small_squares<T>(p, direction)) return false;
  const Costs costs(p, direction);
  return costs.in_lanes(lanes) < costs.in_rows<T>();
}

}  // namespace

template <class T>
bool use_lanes(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  constexpr int64_t kMostTaps = 2048, kFourier = 160;  // of a kernel that Fourier transforms may take less time for
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) return false;
  if (p.macs() == 0 || p.axis[0].in * p.axis[1].in * p.axis[2].in == 0) return false;
  const int64_t taps = p.taps() * std::max(p.ic, p.oc) / p.groups;
  if (p.taps() == 1 || taps > kMostTaps || !lanes_pay<T>(p, direction)) return false;
  return direction == Direction::backward_weight || p.taps() < kFourier || !may_use_fft(p, algorithm) ||
         !choose_fft<T>(algorithm, fft_axes(p), false).applies();
}

template bool use_lanes<float>(const ConvProblem&, Direction, Algorithm);
template bool use_lanes<double>(const ConvProblem&, Direction, Algorithm);

}  // namespace fastconv
