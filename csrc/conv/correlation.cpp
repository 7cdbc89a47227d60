#include "conv/correlation.hpp"

#include <algorithm>

#include "base/large.hpp"
#include "base/parallel.hpp"
#include "conv/activation.hpp"
#include "conv/covered.hpp"
#include "conv/depthwise/lanes.hpp"
#include "conv/depthwise/line.hpp"
#include "conv/depthwise/scale.hpp"
#include "conv/depthwise/spread.hpp"
#include "conv/direct/dense_layer.hpp"
#include "conv/fold.hpp"
#include "conv/patches/patches.hpp"
#include "conv/pieces/backward.hpp"
#include "conv/pieces/operands.hpp"
#include "conv/pieces/plan.hpp"
#include "conv/tiny.hpp"

namespace fastconv {
namespace {

// A problem is taken whole by one of the first seven, or piece by piece.
enum class Way : uint8_t { dense, scale, folded, line, lanes, spread, patches, pieces };

template <class T>
Way choose_way(const ConvProblem& p, Direction direction, Algorithm algorithm, bool biased, bool some_taps) {
  const bool backward = direction == Direction::backward_input;
  if (!(backward && biased) && use_dense_layer<T>(p, direction, algorithm)) return Way::dense;
  if (use_scale<T>(p, direction, algorithm)) return Way::scale;
  if (backward && !biased && Fold(p).pays<T>(algorithm)) return Way::folded;
  if (use_line<T>(p, direction, algorithm)) return Way::line;
  if (use_lanes<T>(p, direction, algorithm)) return Way::lanes;
  if (backward && use_spread<T>(p, algorithm)) return Way::spread;
  if (backward && use_patches<T>(p, algorithm, some_taps)) return Way::patches;
  return Way::pieces;
}

// Leaves out taps at the ends of an axis that meet nothing but zeros, as all but one of 3x3 taps on a single pixel do;
// `w` becomes a view of the others.
void leave_out_dead_taps(ConvProblem& p, int64_t* shape, const int64_t* stride, int64_t& first) {
  for (int i = 0; i < 3; ++i) {
    ConvAxis& a = p.axis[i];
    if (a.mode != Mode::zeros || a.out == 0) continue;
    for (; a.k > 1 && a.pad_before >= a.dilation && (a.out - 1) * a.stride < a.pad_before; --a.k) {
      a.pad_before -= a.dilation;
      first += stride[2 + i];
    }
    for (; a.k > 1 && (a.k - 1) * a.dilation - a.pad_before >= a.in; --a.k)
      a.pad_after = std::max<int64_t>(0, a.pad_after - a.dilation);
    shape[2 + i] = a.k;
  }
}
template <class T>
void leave_out_dead_taps(ConvProblem& p, View<const T>& w) {
  int64_t first = 0;
  leave_out_dead_taps(p, w.shape, w.stride, first);
  w.data = moved(w.data, first);
}

// A new page is zeroed by the thread that first writes to it, while others that do wait for it. Threads that go side by
// side through a result would wait for each other at every huge one; hence they share them out beforehand.
template <class T>
void touch_pages(const View<T>& y) {
  const int64_t bytes = y.size() * static_cast<int64_t>(sizeof(T));
  const int threads = bytes < kMappedBytes ? 1 : threads_for(static_cast<double>(bytes));
  if (threads == 1) return;
  for (int64_t i = 4, all = 1; i >= 0; all *= y.shape[i--])
    if (y.shape[i] > 1 && y.stride[i] != all) return;
  char* const first = reinterpret_cast<char*>(y.data) + -reinterpret_cast<uintptr_t>(y.data) % kHugePage;
  const int64_t pages = (reinterpret_cast<char*>(y.data) + bytes - first) / kHugePage;
  parallel_tasks(pages, threads, [&](int64_t i) { *static_cast<volatile char*>(first + i * kHugePage) = 0; });
}

template <class T>
bool may_be_tiny(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  return algorithm == Algorithm::automatic && !use_dense_layer<T>(p, direction, algorithm);
}

// False if it is to go piece by piece.
template <class T>
bool run_whole(Way way, const ConvProblem& p, Direction direction, const LaneCall<T>& call, Algorithm algorithm) {
  switch (way) {
    case Way::dense:
      if (direction == Direction::backward_input) return run_dense_gradient(call.w, call.x, call.y);
      return run_dense_layer(p, call), true;
    case Way::scale:
      return run_scale(p, direction, call);
    case Way::folded:
      return Fold(p).run(call.x, call.w, call.y, algorithm), true;
    case Way::line:
      return run_line(p, direction, call), true;
    case Way::lanes:
      return run_lanes(p, direction, call), true;
    case Way::spread:
      return run_spread(p, call.x, call.w, call.bias, call.y), true;
    case Way::patches:
      return run_patches(p, call.x, call.w, call.bias, call.y), true;
    case Way::pieces:
      break;
  }
  return false;
}

// Whether the activation is left to do.
template <class T>
bool correlate_larger(const ConvProblem& p, Direction direction, LaneCall<T>&& call, Activation activation,
                      Algorithm algorithm, bool some_taps, const ReadyWeights<T>* ready) {
  const bool backward = direction == Direction::backward_input;
  if (!backward)
    call.clamp = is_clamp(activation), call.low = clamp_low<T>(activation), call.high = clamp_high<T>(activation);
  const Way way = choose_way<T>(p, direction, algorithm, call.bias.data, some_taps);
  if (run_whole(way, p, direction, call, algorithm)) return !call.clamp;
  Operands<T> operands(p, direction, call.x, call.w, call.bias, call.y, activation, algorithm);
  operands.ready = ready;
  // What padding adds to a gradient comes last, and the activation behind it.
  operands.clamps &= !backward || std::none_of(p.axis, p.axis + 3, padding_adds);
  run_pieces(p, direction, operands);
  return !operands.clamps;
}

}  // namespace

template <class T>
void correlate(const ConvProblem& whole, Direction direction, View<const T> x, View<const T> w, View<const T> bias,
               View<T> y, Activation activation, Algorithm algorithm, const ReadyWeights<T>* ready) {
  const bool backward = direction == Direction::backward_input;
  Covered covered(whole, direction, backward && bias.data ? Algorithm::direct : algorithm);
  ConvProblem& p = covered.p;
  const Joined own_image = backward ? Joined(covered, y) : Joined(covered, x), own_w(covered, w);
  const int64_t taps = p.taps();
  leave_out_dead_taps(p, w);
  touch_pages(y);
  const bool tiny = may_be_tiny<T>(p, direction, algorithm) &&
                    (backward ? run_tiny_gradient<T> : run_tiny<T>)(p, x, w, bias, y, activation);
  const bool activates = tiny ? !is_clamp(activation)
                              : correlate_larger<T>(p, direction, {x, w, bias, y}, activation, algorithm,
                                                    p.taps() < taps, p.taps() < whole.taps() ? nullptr : ready);
  if (activates) apply_activation(activation, y);
}

template <class T>
ConvPlan plan_correlation(const ConvProblem& whole, Direction direction, Algorithm algorithm) {
  View<const T> w;
  ConvProblem p = Covered(whole, direction, algorithm).p;
  const int64_t taps = p.taps();
  leave_out_dead_taps(p, w);
  const Way way = choose_way<T>(p, direction, algorithm, false, p.taps() < taps);
  switch (way) {
    case Way::dense:
      return plan_dense_layer<T>(p, direction);
    case Way::folded:
      return Fold(p).describe<T>(algorithm);
    case Way::line:
      return plan_line<T>(p, direction);
    case Way::lanes:
      return plan_lanes<T>(p, direction);
    case Way::spread:
      return plan_spread<T>(p);
    case Way::patches:
      return plan_patches<T>(p);
    case Way::scale:
    case Way::pieces:
      break;
  }
  ConvPlan plan = describe_pieces(p, direction, Operands<T>::imagined(p, direction, algorithm));
  if (way == Way::scale) plan_scale(p, direction, plan);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                                \
  template void correlate(const ConvProblem&, Direction, View<const T>, View<const T>, View<const T>, View<T>, \
                          Activation, Algorithm, const ReadyWeights<T>*);                                      \
  template ConvPlan plan_correlation<T>(const ConvProblem&, Direction, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
