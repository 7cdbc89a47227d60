#include "conv/depthwise/squares_weight.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/gradient.hpp"
#include "conv/depthwise/square_image.hpp"
#include "conv/depthwise/squares.hpp"
#include "conv/sum_parts.hpp"

namespace fastconv {
namespace {

// Gradients of some groups' weights. Where they are few, the sum over images and strips goes in parts, whose number the
// problem alone decides.
template <class T>
class SquareGradient : DepthwiseGradient<T> {
  using Common = DepthwiseGradient<T>;
  using Common::p_, Common::dy_, Common::x_, Common::dw_, Common::h_, Common::w_, Common::channels_, Common::rows_,
      Common::threads_;

 public:
  SquareGradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) : Common(p, dy, x, dw) {
    parts_ = parts_of_sums(p.groups, p.mb * ceil_div(h_.outputs, kSquareRows), 2 * p.macs());
    strips_ = ceil_div(h_.outputs, std::max(high_strip(), square_strip<T>(h_, w_)));
    strips_ = std::max(strips_, ceil_div(parts_, std::max<int64_t>(1, p.mb)));
    const int64_t h_tap[3] = {0, dw.stride[3], 2 * dw.stride[3]}, w_tap[3] = {0, dw.stride[4], 2 * dw.stride[4]};
    tap_ = tap_offsets(h_, w_, h_tap, w_tap);
  }

  void run() const {
    const int64_t n = channels_ * 9;  // of an output channel
    sum_tasks<T>(
        p_.groups, parts_, p_.mb * strips_, p_.oc * n, 2 * p_.macs(), threads_,
        [&](Range groups, Range units, T* partial) { sum(groups, units, partial); },
        [&](int64_t g, const T* sums) {
          for (int64_t i = g * rows_ * n; i < (g + 1) * rows_ * n; ++i)
            dw_.data[i / n * dw_.stride[0] + i / 9 % channels_ * dw_.stride[1] + tap_[static_cast<size_t>(i % 9)]] =
                sums[i];
        });
  }

  ConvPlan plan() const {
    ConvPlan plan;
    const int64_t item = static_cast<int64_t>(sizeof(T));
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = squares_in_place(h_, w_, 1) ? "image rows" : "packed image rows";
    plan.mr = 3;
    plan.nr = depthwise_kernels<T>().lanes;
    plan.block_channels = channels_;
    plan.block_pixels = strip() * w_.outputs;
    plan.workspace_bytes = memory_bytes();
    plan.shared_bytes = parts_ > 1 ? parts_ * p_.oc * channels_ * 9 * item : 0;
    plan.threads = static_cast<int>(std::min<int64_t>(threads_, p_.groups * parts_));
    plan.cost = static_cast<double>(p_.mb * p_.oc * channels_ * h_.outputs) *
                static_cast<double>(ceil_div(w_.outputs, plan.nr)) * 6;
    return plan;
  }

 private:
  // A task's sums.
  struct Task {
    SquareImage<T> x;
    T *packed_x = nullptr, *packed_dy = nullptr;
    Vector<PackLine> lines;  // of dy, where they are packed
    T* partial;
    SquareDots<T> b{};
  };

  // Rows of a strip of a large plane: many, since lanes are added up for each block of its columns.
  int64_t high_strip() const {
    constexpr int64_t kHighRows = 96, kPackedBytes = 1 << 20;
    int64_t rows = kHighRows;
    while (rows > kSquareRows && most_packed_bytes<T>(w_, channels_, 1, rows) > kPackedBytes) rows /= 2;
    return rows;
  }

  // Groups of weights, units (image and strip) of the sum: into dw, or into `partial`.
  void sum(Range groups, Range units, T* partial) const {
    Task t{{h_, w_, x_, channels_, p_.groups, strip()}, nullptr, nullptr, {}, partial, {}};
    prepare(t);
    const bool across = !t.x.in_place();
    const bool planes_at_once = t.x.in_place() && dy_in_place() && channels_ == 1 && rows_ == 1 && strips_ == 1;
    if (planes_at_once) t.b.planes = groups.size();
    for (int64_t n = units.begin / strips_; n * strips_ < units.end; ++n) {
      const int64_t first = std::max(units.begin, n * strips_), count = std::min(units.end, (n + 1) * strips_) - first;
      for (int64_t i = 0; i < groups.size() * count; i += t.b.planes) {
        const int64_t g = groups.begin + (across ? i % groups.size() : i / count),
                      u = first + (across ? i / groups.size() : i % count);
        const Range rows = part(h_.outputs, strips_, u % strips_);
        t.x.take(rows, t.packed_x);
        t.x.read(x_.data + n * x_.stride[0], g);
        t.b.adds = u > units.begin;
        for (int64_t o = g * rows_; o < (g + 1) * rows_; ++o)
          add(t, o, dy_.data + n * dy_.stride[0] + o * dy_.stride[1] + rows.begin * dy_.stride[3], rows.size());
      }
    }
  }

  void prepare(Task& t) const {
    if (t.x.in_place() && dy_in_place()) {
      const int64_t elements = p_.mb * p_.ic * h_.in * w_.in;
      t.b.x_ahead = square_ahead(w_, strip(), h_.stride * x_.stride[3], elements);
      t.b.dy_ahead = square_ahead(w_, strip(), dy_.stride[3], elements);
    } else {
      char* const memory = Arena::local().reserve(memory_bytes());
      t.packed_x = reinterpret_cast<T*>(memory);
      t.packed_dy = reinterpret_cast<T*>(memory + t.x.packed_bytes());
    }
    for (int64_t r = 0; !dy_in_place() && r < strip(); ++r)
      t.lines.push_back({static_cast<int32_t>(r * w_.outputs), r * dy_.stride[3]});
    t.b.tap = t.partial ? kInTurn : tap_.data();
    t.b.planes = 1;
    t.b.x_plane = x_.stride[1], t.b.dy_plane = dy_.stride[1], t.b.dw_plane = t.partial ? 9 : dw_.stride[0];
  }

  // Output channel o, of whose dy so many rows stand at `dy`.
  void add(Task& t, int64_t o, const T* dy, int64_t rows) const {
    SquareDots<T>& b = t.b;
    b.dy = dy;
    b.dy_row = dy_.stride[3];
    if (!dy_in_place()) {
      const PackRun row{0, static_cast<int32_t>(w_.outputs), 0, dy_.stride[4]};
      conv_kernels<T>().pack({t.packed_dy, dy, t.lines.data(), rows, &row, 1, 0});
      b.dy = t.packed_dy;
      b.dy_row = w_.outputs;
    }
    for (int64_t c = 0; c < channels_; ++c) {
      b.lines = t.x.channel(c);
      b.dw = t.partial ? t.partial + (o * channels_ + c) * 9 : dw_.data + o * dw_.stride[0] + c * dw_.stride[1];
      dots_(b);
    }
  }
  bool dy_in_place() const { return dy_.stride[4] == 1; }
  int64_t strip() const { return ceil_div(h_.outputs, strips_); }
  int64_t memory_bytes() const {
    return most_packed_bytes<T>(w_, channels_, 1, strip()) + Arena::rounded_bytes<T>(strip() * w_.outputs);
  }

  static constexpr int64_t kInTurn[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  int64_t strips_, parts_ = 1;
  Vector<int64_t> tap_;
  void (*const dots_)(const SquareDots<T>&) = (has_small_squares<T>(p_, Direction::backward_weight)
                                                   ? square_kernels<T>().small_dots
                                                   : square_kernels<T>().dots)[h_.stride - 1];
};

}  // namespace

template <class T>
bool has_square_gradient(const ConvProblem& p) {
  const ConvAxis &d = p.axis[0], &w = p.axis[2];
  return w.k == 3 && is_plane(d) && sums_squares<T>(d, p.axis[1], w, p.ic / p.groups) &&
         square_kernels<T>().dots[w.stride - 1];
}

template <class T>
void squares_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) {
  SquareGradient<T>(p, dy, x, dw).run();
}

template <class T>
ConvPlan plan_squares_weight(const ConvProblem& p) {
  return SquareGradient<T>(p, {}, {}, {}).plan();
}

#define FASTCONV_INSTANTIATE(T)                                                                     \
  template bool has_square_gradient<T>(const ConvProblem&);                                         \
  template void squares_weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_squares_weight<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
