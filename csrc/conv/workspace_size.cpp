#include "conv/workspace_size.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/covered.hpp"

namespace fastconv {
namespace {

constexpr int64_t kSome = 16 << 10;  // tables of a few entries each, at a grain of 64 bytes

// Tables of the problem: taps and offsets of each axis, one piece for each residue of the stride, and in gradients the
// (output, tap) pairs that padding adds.
int64_t problem_tables(const ConvProblem& p, Direction direction) {
  int64_t bytes = kSome + 512 * std::min<int64_t>(p.taps(), 4096) + 16 * (p.ic + p.oc);
  for (const ConvAxis& a : p.axis) {
    bytes += 512 * a.k;
    if (direction != Direction::backward_input) continue;
    bytes += 512 * std::min(a.stride, a.in) + 256 * a.k;
    if (a.mode == Mode::zeros) continue;
    const int64_t read =
        std::min<int64_t>(a.out, ceil_div(a.pad_before, a.stride) + ceil_div(a.pad_after, a.stride) + 2);
    bytes += a.k * (128 * read + 160 * a.in);
  }
  return bytes;
}

// Tables of a packed block and of its tiles, which a thread makes anew for each block.
template <class T>
int64_t block_tables(const ConvProblem& p, Direction direction, const ConvPlan& plan) {
  const int64_t channels = std::max<int64_t>(1, plan.block_channels);
  const int64_t entries = plan.workspace_bytes / static_cast<int64_t>(sizeof(T)) / channels + plan.block_pixels;
  const int64_t taps = std::min<int64_t>(p.taps(), 4096) * (direction == Direction::backward_weight ? channels : 1);
  return kSome + 128 * entries + 64 * taps;
}

int64_t reference_bytes(const ConvProblem& p) {
  return 8 * (p.axis[0].in * p.axis[1].in * p.axis[2].in + p.taps()) + kSome;
}

}  // namespace

template <class T>
int64_t conv_workspace_size(const ConvProblem& whole, Direction direction, Algorithm algorithm, int threads) {
  if (algorithm == Algorithm::reference) return kSome + threads * reference_bytes(whole);
  const Covered covered(whole, direction, algorithm);
  const ConvProblem& p = covered.p;
  const ConvPlan plan = plan_conv<T>(p, direction, algorithm);
  const int64_t thread = plan.workspace_bytes + block_tables<T>(p, direction, plan);
  // Once more a thread's share: roots of unity, and the holes left by arenas that grow from one piece of the axes to
  // the next.
  const int64_t bytes =
      problem_tables(p, direction) + covered.bytes(sizeof(T)) + plan.shared_bytes + (threads + 1) * thread;
  return bytes + bytes / 8;
}
template int64_t conv_workspace_size<float>(const ConvProblem&, Direction, Algorithm, int);
template int64_t conv_workspace_size<double>(const ConvProblem&, Direction, Algorithm, int);

}  // namespace fastconv
