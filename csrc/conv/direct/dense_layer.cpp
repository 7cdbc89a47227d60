#include "conv/direct/dense_layer.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/correlation.hpp"
#include "conv/covered.hpp"
#include "conv/direct/term_rows.hpp"
#include "kernels/conv.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kDepthBytes = 4096;  // of a row at a time: a tile's rows of weights stay in the L1 cache,
constexpr int64_t kImages = 32;        // as many images in the L2 cache,
constexpr int64_t kRows = 128;         // and their sums with so many rows of weights as well
constexpr int64_t kTile = 4;           // images, and rows of weights, of a tile at most
constexpr int64_t kSmall = 1024;       // products of an image whose gradient may be left to others,
constexpr int64_t kTiny = 2048;        // and of all images: conv/tiny.cpp

static_assert(kTile * kMostRowStep <= INT32_MAX);

// What a task does, and in which steps.
struct DenseCut {
  int64_t depth, step, images, rows;
  int64_t row_parts = 1, image_parts;
  int threads;

  DenseCut(const ConvProblem& p, int64_t item)
      : depth(p.ic * p.taps()),
        step(std::min(depth, kDepthBytes / item)),
        images(std::min(kImages, p.mb)),
        rows(std::min(kRows, p.oc)),
        image_parts(ceil_div(p.mb, kImages)),
        threads(threads_for(2 * p.macs())) {
    if (threads > 1) row_parts = std::clamp<int64_t>(4 * threads / image_parts, 1, ceil_div(p.oc, 4 * kTile));
  }
  int64_t tasks() const { return image_parts * row_parts; }
  int64_t term_elements() const { return (images + kTile) * step; }
  template <class T>
  int64_t bytes() const {
    return Arena::rounded_bytes<T>(term_elements()) + Arena::rounded_bytes<T>(images * rows * conv_kernels<T>().lanes);
  }
};

template <class T>
class DenseLayer {
 public:
  DenseLayer(const LaneCall<T>& call, const DenseCut& cut) : call_(call), cut_(cut), x_(call.x), w_(call.w) {}

  void run(int64_t task) const {
    T* const memory = reinterpret_cast<T*>(Arena::local().reserve(cut_.bytes<T>()));
    T* const sums = memory + Arena::rounded_bytes<T>(cut_.term_elements()) / static_cast<int64_t>(sizeof(T));
    const Range rows = part(call_.w.shape[0], cut_.row_parts, task % cut_.row_parts),
                images = part(call_.x.shape[0], cut_.image_parts, task / cut_.row_parts);
    for (int64_t r = rows.begin; r < rows.end; r += cut_.rows) {
      const Range some{r, std::min(r + cut_.rows, rows.end)};
      for (int64_t k = 0; k < cut_.depth; k += cut_.step)
        add(images, some, {k, std::min(k + cut_.step, cut_.depth)}, memory, sums);
      store(images, some, sums);
    }
  }

 private:
  // sums[(image * rows + row) * lanes + lane], of some terms.
  void add(Range images, Range rows, Range terms, T* room, T* sums) const {
    DotTile<T> t{};
    int32_t offsets[kTile];
    t.rows = 1;
    t.pixels = terms.size();
    t.accumulate = terms.begin > 0;
    t.ldc = rows.size() * kernels_.lanes;
    const T* x = x_.find(images.begin, images.size(), terms, room, t.lda);
    for (int64_t r = rows.begin, wide, step; r < rows.end; r += wide) {
      wide = kernels_.dot_taps(power_of_two_within(std::min(kTile, images.size())), rows.end - r);
      t.b = w_.find(r, wide, terms, room + cut_.images * cut_.step, step);
      for (int64_t i = 0; i < wide; ++i) offsets[i] = static_cast<int32_t>(i * step);
      for (int64_t n = 0, tall; n < images.size(); n += tall) {
        tall = power_of_two_within(std::min(kTile, images.size() - n));
        t.a = x + n * t.lda;
        for (int64_t i = 0, some; i < wide; i += some) {
          some = kernels_.dot_taps(tall, wide - i);
          t.boff = offsets + i;
          t.c = sums + (n * rows.size() + r + i - rows.begin) * kernels_.lanes;
          kernels_.dot[tall - 1][some - 1](t);
        }
      }
    }
  }

  void store(Range images, Range rows, T* sums) const {
    const int64_t n = rows.size(), step = call_.y.stride[1];
    depthwise_kernels<T>().lane_sums(sums, sums, images.size() * n);
    for (int64_t i = images.begin; i < images.end; ++i, sums += n) {
      if (call_.bias.data)
        for (int64_t r = 0; r < n; ++r) sums[r] += call_.bias.data[(rows.begin + r) * call_.bias.stride[0]];
      if (call_.clamp)
        for (int64_t r = 0; r < n; ++r)
          sums[r] = sums[r] < call_.low ? call_.low : sums[r] > call_.high ? call_.high : sums[r];
      T* y = call_.y.data + i * call_.y.stride[0] + rows.begin * step;
      if (step == 1) std::copy_n(sums, n, y);
      else
        for (int64_t r = 0; r < n; ++r) y[r * step] = sums[r];
    }
  }

  const LaneCall<T>& call_;
  const DenseCut& cut_;
  const TermRows<T> x_, w_;
  const ConvKernelsOf<T>& kernels_ = conv_kernels<T>();
};

bool is_dense_layer(const ConvProblem& p) { return p.groups == 1 && std::all_of(p.axis, p.axis + 3, is_covered); }

// The problem of run_dense_gradient, of n rows to m.
ConvProblem gradient_problem(int64_t n, int64_t m, const int64_t* values) {
  ConvProblem q;
  q.ic = n;
  q.oc = m;
  for (int i = 0; i < 3; ++i) q.axis[i].in = q.axis[i].out = values[i];
  return q;
}

}  // namespace

template <class T>
bool use_dense_layer(const ConvProblem& p, Direction direction, Algorithm algorithm) {
  if ((algorithm != Algorithm::automatic && algorithm != Algorithm::direct) || !is_dense_layer(p) || p.macs() == 0)
    return false;
  return direction == Direction::forward || p.ic * p.taps() * p.oc >= kSmall || p.macs() > kTiny;
}

template <class T>
bool run_dense_gradient(const View<const T>& x, const View<const T>& a, const View<T>& y) {
  View<const T> from = x;
  View<T> to = y;
  if (!join_values(from, to)) return false;
  from.shape[0] = to.shape[0] = 1;
  from.shape[1] = x.shape[0], from.stride[1] = x.stride[0];
  to.shape[1] = y.shape[0], to.stride[1] = y.stride[0];
  const ConvProblem q = gradient_problem(x.shape[0], y.shape[0], from.shape + 2);
  correlate<T>(q, Direction::forward, from, a, {}, to, Activation::none, Algorithm::direct);
  return true;
}

template <class T>
void run_dense_layer(const ConvProblem& p, const LaneCall<T>& call) {
  const DenseCut cut(p, sizeof(T));
  const DenseLayer<T> layer(call, cut);
  parallel_tasks(cut.tasks(), cut.threads, [&](int64_t task) { layer.run(task); });
}

template <class T>
ConvPlan plan_dense_layer(const ConvProblem& p, Direction direction) {
  if (direction != Direction::forward) {
    const bool input = direction == Direction::backward_input;
    const int64_t values[3] = {1, 1, p.ic * p.taps()};
    return plan_correlation<T>(gradient_problem(input ? p.oc : p.mb, input ? p.mb : p.oc, values), Direction::forward,
                               Algorithm::direct);
  }
  const DenseCut cut(p, sizeof(T));
  ConvPlan plan;
  plan.kernel = "dot products";
  plan.mr = static_cast<int>(std::min(kTile, cut.images));
  plan.nr = static_cast<int>(std::min(kTile, cut.rows));
  plan.block_channels = ceil_div(cut.step, p.taps());
  plan.block_pixels = cut.images;
  plan.workspace_bytes = cut.bytes<T>();
  plan.threads = static_cast<int>(std::min<int64_t>(cut.threads, cut.tasks()));
  plan.cost = 0.7 * p.macs() / conv_kernels<T>().lanes + 5 * static_cast<double>(p.mb * p.oc);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                 \
  template bool use_dense_layer<T>(const ConvProblem&, Direction, Algorithm);                   \
  template void run_dense_layer(const ConvProblem&, const LaneCall<T>&);                        \
  template bool run_dense_gradient(const View<const T>&, const View<const T>&, const View<T>&); \
  template ConvPlan plan_dense_layer<T>(const ConvProblem&, Direction);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
