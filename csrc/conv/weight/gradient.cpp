#include "conv/weight/gradient.hpp"

#include <algorithm>
#include <type_traits>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/covered.hpp"
#include "conv/depthwise/scale.hpp"
#include "conv/depthwise/weight.hpp"
#include "conv/direct/dense_layer.hpp"
#include "conv/fft/fft.hpp"
#include "conv/fill.hpp"
#include "conv/pieces/piece.hpp"
#include "conv/weight/sum.hpp"
#include "conv/winograd/weight.hpp"

namespace fastconv {
namespace {

constexpr double kTurnedGroups = 0.85;     // what x and dy in each other's place must promise where sums are small,
constexpr double kTurnedTaps = 0.95;       // or the panel is read from anew for each tap
constexpr int64_t kSpacedBytes = 4 << 20;  // of x, copied without what a stride passes over:
constexpr double kSpacedElement = 0.6, kSpacedPlane = 60;  // cycles; of a plane for its first pixel
constexpr double kWorthCutting = 0.9;                      // what may be left of products without padding

// x and dy may take each other's place. Of 1x1 kernels the sums then stand in the order of dw, and of x there is what a
// stride leaves of it, pixel by pixel.
ConvProblem turned(const ConvProblem& p) {
  ConvProblem q = p;
  std::swap(q.oc, q.ic);
  for (ConvAxis& a : q.axis)
    if (p.taps() == 1) a.in = a.out, a.stride = 1;
  return q;
}
template <class T>
View<T> turned(View<T> v) {
  std::swap(v.shape[0], v.shape[1]);
  std::swap(v.stride[0], v.stride[1]);
  return v;
}
bool is_spaced(const ConvProblem& p) {
  return p.taps() == 1 && (p.axis[0].stride > 1 || p.axis[1].stride > 1 || p.axis[2].stride > 1);
}
int64_t spaced_elements(const ConvProblem& p) { return is_spaced(p) ? p.mb * p.ic * p.out_pixels() : 0; }

double spacing(const ConvProblem& p) {
  if (!is_spaced(p)) return 0;
  const double pixels = static_cast<double>(p.out_pixels());
  return static_cast<double>(p.mb * p.ic) * (kSpacedElement * pixels + kSpacedPlane / pixels);
}

bool may_turn(const ConvProblem& p, int64_t lanes, int64_t item) {
  const int64_t oc = p.oc / p.groups, ic = p.ic / p.groups;
  if (2 * round_up(ic, lanes) * oc >= 3 * round_up(oc, lanes) * ic) return false;  // vectors would be emptier
  bool can = spaced_elements(p) * item <= kSpacedBytes;
  for (const ConvAxis& a : p.axis) can &= a.pad_before + a.pad_after == 0 || (p.taps() > 1 && a.mode == Mode::zeros);
  return can;
}

// Whether to, rather than as planned, and the cycles of the better way for so many images.
bool better_turned(const WeightPlan& plan, int64_t images, double& cycles) {
  const ConvProblem& p = plan.p;
  cycles = plan.cost(images);
  const double most = (p.groups > 1 ? kTurnedGroups : p.taps() > 1 ? kTurnedTaps : 1) * cycles;
  if (!may_turn(p, plan.lanes, plan.item) || plan.least_turned(images) >= most) return false;
  const double other = WeightPlan(turned(p), plan.lanes, plan.item, true).cost(images) +
                       spacing(p) * static_cast<double>(images) / static_cast<double>(p.mb);
  if (other >= most) return false;
  cycles = other;
  return true;
}

// The pixels of x that are read, of one channel of one image after the other, at `to`.
template <class T>
View<const T> without_spaces(const ConvProblem& p, const View<const T>& x, T* to) {
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  Vector<PackLine> lines;
  for (int64_t i = 0; i < d.out; ++i)
    for (int64_t j = 0; j < h.out; ++j)
      lines.push_back(
          {static_cast<int32_t>((i * h.out + j) * w.out), i * d.stride * x.stride[2] + j * h.stride * x.stride[3]});
  const PackRun run{0, static_cast<int32_t>(w.out), 0, w.stride * x.stride[4]};
  const int64_t plane = p.out_pixels();
  parallel_tasks(p.mb * p.ic, threads_for(static_cast<double>(spaced_elements(p))), [&](int64_t i) {
    const T* from = x.data + i / p.ic * x.stride[0] + i % p.ic * x.stride[1];
    conv_kernels<T>().pack(
        {to + i * plane, from, lines.data(), static_cast<int64_t>(lines.size()), &run, 1, x.stride[1]});
  });
  View<const T> dense{to, {p.mb, p.ic, d.out, h.out, w.out}, {p.ic * plane, plane, h.out * w.out, w.out, 1}};
  return dense;
}

template <class T>
void fill_zeros(const View<T>& dw) {
  for (int64_t o = 0; o < dw.shape[0]; ++o)
    for (int64_t c = 0; c < dw.shape[1]; ++c)
      for (int64_t d = 0; d < dw.shape[2]; ++d)
        fill_rows(dw.data + o * dw.stride[0] + c * dw.stride[1] + d * dw.stride[2], dw.shape[3], dw.stride[3],
                  dw.shape[4], dw.stride[4], T(0));
}

// A 1x1 kernel without its padding: the outputs that meet x, and where those begin.
struct OneTap {
  ConvProblem p;
  int64_t dy[3] = {}, x[3] = {};
  bool padded = false;

  explicit OneTap(const ConvProblem& whole) : p(whole) {
    if (p.taps() > 1) return;
    for (int i = 0; i < 3; ++i) {
      ConvAxis& a = p.axis[i];
      if (a.pad_before + a.pad_after == 0 || a.mode != Mode::zeros) continue;
      const Range live = live_outputs(forward_axis(a), -a.pad_before);
      dy[i] = live.begin;
      x[i] = live.begin * a.stride - a.pad_before;
      a.out = live.size();
      a.in = std::max<int64_t>(0, (a.out - 1) * a.stride + 1);
      a.pad_before = a.pad_after = 0;
    }
    padded = p.macs() < kWorthCutting * whole.macs();
  }
  // The part of an array from `at` on.
  template <class V>
  V part(V v, const int64_t (&at)[3], int64_t ConvAxis::*n) const {
    v.data += narrow(v.shape, v.stride, at, n);
    return v;
  }

 private:
  int64_t narrow(int64_t* shape, const int64_t* stride, const int64_t (&at)[3], int64_t ConvAxis::*n) const {
    for (int i = 0; i < 3; ++i) shape[2 + i] = p.axis[i].*n;
    return at[0] * stride[2] + at[1] * stride[3] + at[2] * stride[4];
  }
};

template <class T>
void run_direct(const ConvProblem& p, const View<const T>& dy, View<const T> x, View<T> dw) {
  if (const OneTap one(p); one.padded) {
    if (one.p.macs() == 0) return fill_zeros(dw);
    return run_direct(one.p, one.part(dy, one.dy, &ConvAxis::out), one.part(x, one.x, &ConvAxis::in), dw);
  }
  const WeightSum<T> sum(p, dy, x, dw);
  if (double cycles; !better_turned(sum, p.mb, cycles)) return sum.run();
  const ScratchMemory<T> dense(spaced_elements(p));
  if (is_spaced(p)) x = without_spaces(p, x, dense.data());
  WeightSum<T>(turned(p), x, dy, turned(dw), true).run();
}

template <class T>
ConvPlan describe_direct(const ConvProblem& whole) {
  ConvPlan plan;
  const OneTap one(whole);
  const ConvProblem& p = one.padded ? one.p : whole;
  if (p.macs() == 0) return plan;
  const WeightSum<T> sum(p, {}, {}, {});
  if (double cycles; !better_turned(sum, p.mb, cycles)) {
    sum.describe(plan);
    return plan;
  }
  WeightSum<T>(turned(p), {}, {}, {}, true).describe(plan);
  plan.shared_bytes += spaced_elements(p) * static_cast<int64_t>(sizeof(T));
  return plan;
}

template <class T>
FftPlan fourier_plan(const ConvProblem& p, Algorithm algorithm) {
  if (!may_use_fft(p, algorithm)) return {};
  return choose_fft<T>(algorithm, fft_axes(p), true, direct_weight_cost<T>(p, 1));
}

template <class T>
FftWeights<T> fft_weights(const ConvProblem& p, const View<T>& dw) {
  FftWeights<T> w{dw.data, p.oc / p.groups * dw.stride[0], dw.stride[0], dw.stride[1], {}};
  for (int i = 0; i < 3; ++i)
    for (int64_t t = 0; t < p.axis[i].k; ++t) w.tap[i].push_back(t * dw.stride[2 + i]);
  return w;
}

}  // namespace

template <class T>
void weight_gradient(const ConvProblem& whole, View<const T> dy, View<const T> x, View<T> dw, Algorithm algorithm) {
  const Covered covered(whole, Direction::backward_weight, algorithm);
  const ConvProblem& p = covered.p;
  if (p.oc * p.ic == 0) return;
  if (p.mb * p.out_pixels() == 0) return fill_zeros(dw);
  const Joined own_x(covered, x), own_dw(covered, dw);
  if (use_dense_layer<T>(p, Direction::backward_weight, algorithm) && run_dense_gradient(x, turned(dy), dw)) return;
  if constexpr (std::is_same_v<T, float>)
    if (is_scale(p, Direction::backward_weight, algorithm)) return scale_weight_gradient(p, dy, x, dw);
  if (use_winograd_weight<T>(p, algorithm)) return winograd_weight_gradient(p, dy, x, dw);
  if (const FftPlan plan = fourier_plan<T>(p, algorithm); plan.applies())
    return run_fft_gradient(fft_axes(p), dy, x, fft_weights(p, dw), plan);
  if (use_depthwise_weight<T>(p, algorithm)) return depthwise_weight_gradient(p, dy, x, dw);
  run_direct(p, dy, x, dw);
}

template <class T>
double direct_weight_cost(const ConvProblem& p, int64_t images) {
  double cycles;
  const WeightPlan plan(p, conv_kernels<T>().lanes, sizeof(T), false);
  better_turned(plan, images, cycles);
  return plan.comparable(cycles);
}

template <class T>
ConvPlan plan_weight_gradient(const ConvProblem& whole, Algorithm algorithm) {
  const ConvProblem p = Covered(whole, Direction::backward_weight, algorithm).p;
  if (use_dense_layer<T>(p, Direction::backward_weight, algorithm))
    return plan_dense_layer<T>(p, Direction::backward_weight);
  if (use_scale<T>(p, Direction::backward_weight, algorithm)) {
    ConvPlan plan;
    plan_scale(p, Direction::backward_weight, plan);
    return plan;
  }
  if (use_winograd_weight<T>(p, algorithm)) return plan_winograd_weight<T>(p);
  if (const FftPlan plan = fourier_plan<T>(p, algorithm); plan.applies())
    return describe_fft(plan, static_cast<double>(p.mb));
  if (use_depthwise_weight<T>(p, algorithm)) return plan_depthwise_weight<T>(p);
  return describe_direct<T>(p);
}

#define FASTCONV_INSTANTIATE(T)                                                                        \
  template double direct_weight_cost<T>(const ConvProblem&, int64_t);                                  \
  template void weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>, Algorithm); \
  template ConvPlan plan_weight_gradient<T>(const ConvProblem&, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
