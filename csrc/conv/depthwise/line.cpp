#include "conv/depthwise/line.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/fft/plan.hpp"
#include "conv/index_map.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPiece = 2048;  // outputs at a time

// y[i] = sum_k w[k] x[i + k - lead], whichever of them the direction calls so.
struct LineAxis {
  int64_t in, outputs, taps, lead, pieces;
  bool flips;  // the taps
  LineAxis(const ConvAxis& a, Direction direction)
      : in(a.in), outputs(a.out), taps(a.k), lead(a.pad_before), flips(false) {
    if (direction == Direction::backward_input) {
      std::swap(in, outputs);
      lead = taps - 1 - lead;
      flips = true;
    }
    pieces = ceil_div(outputs, kPiece);
  }
  int64_t piece() const { return ceil_div(outputs, pieces); }
};

// Of so many outputs, those that the kernel makes.
template <class T>
int64_t summed(int64_t outputs) {
  return std::max(outputs, depthwise_kernels<T>().line_outputs);
}
template <class T>
int64_t x_elements(const LineAxis& l) {  // the kernel reads whole vectors
  return summed<T>(l.piece()) + l.taps + 4 * depthwise_kernels<T>().lanes;
}
template <class T>
int64_t bytes(const LineAxis& l) {
  return Arena::rounded_bytes<T>(x_elements<T>(l)) + Arena::rounded_bytes<T>(l.taps) +
         Arena::rounded_bytes<T>(summed<T>(l.piece()));
}

// Elements [from, from + n) of a padded line.
template <class T>
void pad_line(const T* x, int64_t step, const LineAxis& l, Mode mode, int64_t from, int64_t n, T* to) {
  const auto outside = [&](int64_t i, int64_t end) {
    if (mode == Mode::zeros) std::fill(to + i, to + end, T(0));
    else
      for (; i < end; ++i) to[i] = x[map_coordinate(mode, from + i, l.in) * step];
  };
  const int64_t first = std::clamp<int64_t>(-from, 0, n), end = std::clamp(l.in - from, first, n);
  outside(0, first);
  if (step == 1) std::copy(x + from + first, x + from + end, to + first);
  else
    for (int64_t i = first; i < end; ++i) to[i] = x[(from + i) * step];
  outside(end, n);
}

// Of some outputs, those whose inputs are read where they stand: all the kernel reads of them is within the line. What
// is left on either side is enough for the kernel, or nothing.
template <class T>
Range inner_outputs(const LineAxis& l, Range outputs) {
  const int64_t least = depthwise_kernels<T>().line_outputs, lanes = depthwise_kernels<T>().lanes;
  const int64_t first = l.lead, end = l.in + l.lead - (l.taps - 1) - 2 * lanes;  // outputs that may
  Range inner = outputs;
  if (inner.begin < first) inner.begin = std::max(first, outputs.begin + least);
  if (inner.end > end) inner.end = std::min(end, outputs.end - least);
  return inner;
}

template <class T>
double line_cost(const ConvProblem& p) {
  return p.macs() / depthwise_kernels<T>().lanes * 0.6;
}

// Whether Fourier transforms take clearly less time, with what they need before they begin.
template <class T>
bool is_fourier(const ConvProblem& p, Algorithm algorithm) {
  constexpr double kBefore = 40e3;
  const double line = line_cost<T>(p) / static_cast<double>(p.mb);
  if (line < 3 * kBefore || !may_use_fft(p, algorithm)) return false;  // not worth a plan
  const FftPlan plan = choose_fft<T>(algorithm, fft_axes(p), false);
  return plan.applies() && plan.cost + kBefore < 0.8 * line;
}

}  // namespace

template <class T>
bool use_line(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  constexpr int64_t kMostTaps = 640, kFewTaps = 32;  // the first as in conv/depthwise/lanes.cpp
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) return false;
  const ConvAxis& a = p.axis[2];
  if (!depthwise_kernels<T>().line || !is_plane(p.axis[0]) || !is_plane(p.axis[1]) || p.groups != p.ic ||
      p.groups != p.oc || p.mb == 0)
    return false;
  if (a.stride != 1 || a.dilation != 1 || a.k < 2 || a.k > kMostTaps) return false;
  if (direction == Direction::backward_input && a.mode != Mode::zeros) return false;
  const LineAxis line(a, direction);
  if (a.k > kFewTaps && (use_lanes<T>(p, direction, algorithm) || is_fourier<T>(p, algorithm))) return false;
  // Of one channel a part of what the kernel makes at least: all else has more to do before it begins. What
  // conv/tiny.cpp sums takes its taps in turn.
  const int64_t least = depthwise_kernels<T>().line_outputs / (p.groups == 1 ? 4 : 1);
  return line.outputs >= least && line.outputs * line.taps > kTinyIndices;
}

template <class T>
void run_line(const ConvProblem& p, Direction direction, const LaneCall<T>& call) {
  const LineAxis l(p.axis[2], direction);
  const DepthwiseKernelsOf<T>& kernels = depthwise_kernels<T>();
  const int64_t units = p.mb * p.groups * l.pieces;
  const int threads = threads_for(2 * p.macs());
  const int64_t runs = std::min(units, tasks_for(2 * p.macs(), threads));
  parallel_tasks(runs, threads, [&](int64_t run) {
    T* const x = reinterpret_cast<T*>(Arena::local().reserve(bytes<T>(l)));
    T *const w = x + Arena::rounded_bytes<T>(x_elements<T>(l)) / static_cast<int64_t>(sizeof(T)),
             *const y = w + Arena::rounded_bytes<T>(l.taps) / static_cast<int64_t>(sizeof(T));
    const Range some = part(units, runs, run);
    const int64_t tap_step = l.flips ? -call.w.stride[4] : call.w.stride[4];
    for (int64_t u = some.begin; u < some.end; ++u) {
      const int64_t c = u / l.pieces % p.groups, n = u / l.pieces / p.groups;
      const Range outputs = part(l.outputs, l.pieces, u % l.pieces);
      const T* const from = call.x.data + n * call.x.stride[0] + c * call.x.stride[1];
      T* const to = call.y.data + n * call.y.stride[0] + c * call.y.stride[1];
      const T* tap = call.w.data + c * call.w.stride[0] + (l.flips ? (l.taps - 1) * call.w.stride[4] : 0);
      for (int64_t k = 0; k < l.taps; ++k, tap += tap_step) w[k] = *tap;
      const auto sum = [&](const T* line, Range some_outputs) {
        const int64_t size = summed<T>(some_outputs.size());
        T* const stored = to + some_outputs.begin * call.y.stride[4];
        const bool in_place = call.y.stride[4] == 1 && size == some_outputs.size();
        kernels.line({line, w, l.taps, in_place ? stored : y, size,
                      call.bias.data ? call.bias.data[c * call.bias.stride[0]] : T(0), call.clamp, call.low,
                      call.high});
        if (!in_place) kernels.unpack(stored, call.y.stride[4], y, nullptr, some_outputs.size());
      };
      const auto sum_padded = [&](Range some_outputs) {
        const int64_t read = some_outputs.size() + l.taps - 1;
        pad_line(from, call.x.stride[4], l, p.axis[2].mode, some_outputs.begin - l.lead, read, x);
        std::fill(x + read, x + summed<T>(some_outputs.size()) + l.taps - 1, T(0));
        sum(x, some_outputs);
      };
      const Range inner = inner_outputs<T>(l, outputs);
      if (call.x.stride[4] != 1 || inner.size() < kernels.line_outputs) {
        sum_padded(outputs);
        continue;
      }
      if (inner.begin > outputs.begin) sum_padded({outputs.begin, inner.begin});
      sum(from + inner.begin - l.lead, inner);
      if (inner.end < outputs.end) sum_padded({inner.end, outputs.end});
    }
  });
}

template <class T>
ConvPlan plan_line(const ConvProblem& p, Direction direction) {
  const LineAxis l(p.axis[2], direction);
  ConvPlan plan;
  plan.algorithm = Algorithm::depthwise;
  plan.kernel = "packed lines";
  plan.mr = 1;
  plan.nr = static_cast<int>(depthwise_kernels<T>().line_outputs);
  plan.block_channels = 1;
  plan.block_pixels = l.piece();
  plan.workspace_bytes = bytes<T>(l);
  plan.threads = static_cast<int>(std::min<int64_t>(threads_for(2 * p.macs()), p.mb * p.groups * l.pieces));
  plan.cost = line_cost<T>(p);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                              \
  template bool use_line<T>(const ConvProblem&, Direction, Algorithm);       \
  template void run_line(const ConvProblem&, Direction, const LaneCall<T>&); \
  template ConvPlan plan_line<T>(const ConvProblem&, Direction);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
