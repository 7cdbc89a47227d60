// Norms of windows: powers of some planes, their sums by the average's kernels, and the roots. A plane that looks far
// from 1 is scaled by a power of two. One of which a sum overflowed or lost something to underflow is summed once more
// in double precision, its largest element scaled to about 1; what is out of range even then, window by window.
#include <limits>

#include "pool/direct.hpp"
#include "pool/planes.hpp"

namespace fastconv {
namespace {

// norm = largest * root, root = (sum (|x| / largest)^p (/ count))^(1/p); 1 where the largest is the norm.
template <class T>
struct LpNorm {
  T largest;
  T root;
  T value() const { return largest * root; }
};

template <class T>
LpNorm<T> lp_window(const WindowBox<T>& window, Norm norm) {
  LpNorm<T> result{0, 1};
  window.for_each([&](T x, int64_t) {
    if (std::isnan(x) || std::abs(x) > result.largest) result.largest = std::abs(x);
    return false;
  });
  if (!(result.largest > 0) || std::isinf(result.largest) || std::isinf(norm.p)) return result;
  const T p = static_cast<T>(norm.p);
  T sum = 0;
  window.for_each([&](T x, int64_t) {
    sum += std::pow(std::abs(x) / result.largest, p);
    return false;
  });
  if (norm.mean) sum /= static_cast<T>(window.box.size());
  result.root = std::pow(sum, 1 / p);
  return result;
}

// The power of two that brings an element to about 1, or as near as it and its reciprocal are in range.
int exponent_of(double element) {
  int exponent;
  std::frexp(element, &exponent);
  return std::clamp(exponent, -1000, 1000);
}

// Some planes, and in memory of the group's own their powers and sums.
template <class T>
struct LpGroup {
  PoolProblem p;
  Norm norm;
  View<const T> x;
  int64_t inputs, outputs;
  T power;
  T *sums, *weights, *powers;
  T* scaled;  // a plane, or null where none is to be scaled

  static int64_t inputs_of(const PoolProblem& p) { return p.axis[0].in * p.axis[1].in * p.axis[2].in; }
  static int64_t outputs_of(const PoolProblem& p) { return p.axis[0].out * p.axis[1].out * p.axis[2].out; }
  // Memory of a plane.
  static int64_t bytes(const PoolProblem& p) {
    return (2 * outputs_of(p) + inputs_of(p)) * static_cast<int64_t>(sizeof(T));
  }
  LpGroup(const PoolProblem& problem, Norm n, const View<const T>& some, char* memory, char* for_scaled)
      : p(problem),
        norm(n),
        x(some),
        inputs(inputs_of(p)),
        outputs(outputs_of(p)),
        power(static_cast<T>(n.p)),
        sums(reinterpret_cast<T*>(memory)),
        weights(sums + p.channels * outputs),
        powers(weights + p.channels * outputs),
        scaled(reinterpret_cast<T*>(for_scaled)) {}

  const T* plane(int64_t c) const { return x.data + c * x.stride[1]; }
  T* sums_of(int64_t c) const { return sums + c * outputs; }
  T* weights_of(int64_t c) const { return weights + c * outputs; }
  T* powers_of(int64_t c) const { return powers + c * inputs; }
  View<T> like_x(T* data) const { return dense_view(data, p.channels, p.axis[0].in, p.axis[1].in, p.axis[2].in); }
  View<T> like_y(T* data) const { return dense_view(data, p.channels, p.axis[0].out, p.axis[1].out, p.axis[2].out); }
  Averaging averaging() const { return {false, norm.mean ? 0 : 1}; }
  bool largest_alone() const { return std::isinf(power); }

  // By which power of two a plane's elements are divided before they are raised: not 0 if all samples of them are far
  // from 1.
  int exponent(int64_t c) const {
    constexpr int64_t kSamples = 8;
    if (!scaled || largest_alone()) return 0;
    T largest = 0;
    for (int64_t i = 0; i < kSamples; ++i) {
      const T size = std::abs(plane(c)[i * (inputs - 1) / (kSamples - 1)]);
      if (size > largest && size <= std::numeric_limits<T>::max()) largest = size;
    }
    const int exponent = exponent_of(largest);
    return static_cast<T>(std::abs(exponent)) * power > T(std::numeric_limits<T>::max_exponent / 2) ? exponent : 0;
  }
  // Those elements.
  const T* elements(int64_t c) const {
    const int by = exponent(c);
    if (by == 0) return plane(c);
    convert(plane(c), inputs, std::ldexp(1.0, -by), scaled);
    return scaled;
  }
  // Sums (or means) of powers, or the largest elements.
  void join() const {
    for (int64_t c = 0; c < p.channels; ++c) raise(elements(c), inputs, largest_alone() ? T(1) : power, powers_of(c));
    if (largest_alone()) max_pool<T>(p, like_x(powers), like_y(sums), {});
    else avg_pool<T>(p, averaging(), like_x(powers), like_y(sums));
  }
  // Whether a sum of 0 is one of zeros, of a plane.
  bool zeros_tell(int64_t c) const { return none_vanished(plane(c), powers_of(c), inputs); }
  bool all_tell(int64_t c) const {
    return are_safe(sums_of(c), outputs, false) || (are_safe(sums_of(c), outputs, true) && zeros_tell(c));
  }
  // dx from weights, what each output gives to |x|^(power - 1) of the elements under it; then, of a plane, times those.
  void spread(const View<T>& dx) const { avg_pool_backward<T>(p, averaging(), like_y(weights), dx); }
  void times_powers(int64_t c, T* dx) const {
    raise(elements(c), inputs, power - 1, powers_of(c));
    times_signed(plane(c), powers_of(c), inputs, dx);
  }

  WindowBox<T> window(int64_t c, int64_t i) const {
    const PoolAxis* a = p.axis;
    return WindowBox<T>(a, x, plane(c), {i / a[2].out / a[1].out, i / a[2].out % a[1].out, i % a[2].out});
  }
  // The gradient of one window, added to a plane's.
  void window_backward(int64_t c, int64_t i, T dy, T* dx) const {
    const WindowBox<T> box = window(c, i);
    const LpNorm<T> whole = lp_window(box, norm);
    if (whole.largest == 0) return;
    const bool first = largest_alone();  // the first largest element takes all
    const T d = norm.mean && !first ? dy / static_cast<T>(box.box.size()) : dy;
    box.for_each([&](T v, int64_t index) {
      const T size = std::abs(v);
      if (v == 0 || (first && size != whole.largest && !std::isnan(v))) return false;
      dx[index] += std::copysign(first ? T(1) : std::pow(size / whole.largest / whole.root, power - 1), v) * d;
      return first;
    });
  }
};

// A plane once more, in double precision.
template <class T>
class WidePlane {
 public:
  // Memory: elements, a gradient, and what a group of one plane needs.
  static int64_t bytes(const PoolProblem& p) {
    return 2 * LpGroup<T>::inputs_of(p) * static_cast<int64_t>(sizeof(double)) + LpGroup<double>::bytes(p);
  }
  WidePlane(const LpGroup<T>& g, int64_t c, char* memory)
      : narrow_(g),
        c_(c),
        scale_(std::ldexp(1.0, exponent_of(largest_finite(g.plane(c), g.inputs)))),
        x_(reinterpret_cast<double*>(memory)),
        dx_(x_ + g.inputs),
        wide_(one_of(g.p), g.norm, {}, reinterpret_cast<char*>(dx_ + g.inputs), nullptr) {
    convert(g.plane(c), g.inputs, 1 / scale_, x_);
    wide_.x = wide_.like_x(x_);
    wide_.join();
    const bool zeros_tell = wide_.zeros_tell(0);
    for (int64_t i = 0; i < wide_.outputs; ++i)
      if (!is_safe(wide_.sums[i], zeros_tell)) wide_.sums[i] = kOpen;
  }

  void put_norms(T* y) const {
    std::copy_n(wide_.sums, wide_.outputs, wide_.weights);
    take_roots(wide_.weights, wide_.outputs, wide_.power);
    convert(wide_.weights, wide_.outputs, scale_, y);
    for_each_open([&](int64_t i) { y[i] = lp_window(narrow_.window(c_, i), narrow_.norm).value(); });
  }
  void put_gradient(const T* dy, T* dx) const {
    convert(dy, wide_.outputs, 1, wide_.weights);
    if (!take_weights(wide_.sums, wide_.outputs, wide_.power, wide_.weights)) {
      std::fill_n(wide_.sums, wide_.outputs, double{kOpen});
      std::fill_n(wide_.weights, wide_.outputs, 0.0);
    }
    wide_.spread(wide_.like_x(dx_));
    wide_.times_powers(0, dx_);
    convert(dx_, wide_.inputs, 1, dx);
    for_each_open([&](int64_t i) { narrow_.window_backward(c_, i, dy[i], dx); });
  }

 private:
  static constexpr int kOpen = -1;  // in place of a sum that does not tell

  static PoolProblem one_of(PoolProblem p) {
    p.channels = 1;
    return p;
  }
  template <class Visit>
  void for_each_open(Visit visit) const {
    for (int64_t i = 0; i < wide_.outputs; ++i)
      if (wide_.sums[i] < 0) visit(i);
  }

  const LpGroup<T>& narrow_;
  int64_t c_;
  double scale_;
  double *x_, *dx_;
  LpGroup<double> wide_;
};

// task(planes of x, their group, memory for one that is wide).
template <class T, class Task>
void for_each_lp_group(const PoolProblem& p, Norm norm, const View<const T>& x, Task task) {
  const int64_t wide = WidePlane<T>::bytes(p);
  for_each_group<T>(p, LpGroup<T>::bytes(p), wide, [&](const PlaneGroup& group) {
    task(LpGroup<T>(group.p, norm, group.of(x), group.memory + wide, group.memory), group, group.memory);
  });
}

}  // namespace

template <class T>
void lp_pool(const PoolProblem& problem, Norm norm, View<const T> x, View<T> y) {
  PoolProblem p = problem;
  auto some = [&](const PoolProblem& g, View<const T> from, View<T> to) { lp_pool(g, norm, from, to); };
  if (in_dense_planes(p, 0, some, x, y)) return;
  join_batch(p, x, y);
  for_each_lp_group<T>(p, norm, x, [&](const LpGroup<T>& g, const PlaneGroup& group, char* memory) {
    const View<T> to = group.of(y);
    g.join();
    for (int64_t c = 0; c < g.p.channels; ++c) {
      T *sums = g.sums_of(c), *plane = to.data + c * to.stride[1];
      if (!g.largest_alone() && !g.all_tell(c)) {
        WidePlane<T>(g, c, memory).put_norms(plane);
        continue;
      }
      if (!g.largest_alone()) take_roots(sums, g.outputs, g.power);
      if (const int by = g.exponent(c)) convert(sums, g.outputs, std::ldexp(1.0, by), plane);
      else std::copy_n(sums, g.outputs, plane);
    }
  });
}

template <class T>
void lp_pool_backward(const PoolProblem& problem, Norm norm, View<const T> dy, View<const T> x, View<T> dx) {
  PoolProblem p = problem;
  auto some = [&](const PoolProblem& g, View<const T> gradient, View<const T> from, View<T> to) {
    lp_pool_backward(g, norm, gradient, from, to);
  };
  if (in_dense_planes(p, 0, some, dy, x, dx)) return;
  join_batch(p, dy, x, dx);
  for_each_lp_group<T>(p, norm, x, [&](const LpGroup<T>& g, const PlaneGroup& group, char* memory) {
    const View<const T> from = group.of(dy);
    const View<T> to = group.of(dx);
    const auto told = [&](int64_t c) -> T& { return *g.sums_of(c); };  // if negative, as no sum is
    if (!g.largest_alone()) {
      g.join();
      for (int64_t c = 0; c < g.p.channels; ++c) {
        std::copy_n(from.data + c * from.stride[1], g.outputs, g.weights_of(c));
        if (g.all_tell(c) && take_weights(g.sums_of(c), g.outputs, g.power, g.weights_of(c))) told(c) = -1;
      }
      g.spread(to);
    }
    for (int64_t c = 0; c < g.p.channels; ++c) {
      const T* gradient = from.data + c * from.stride[1];
      T* plane = to.data + c * to.stride[1];
      if (g.largest_alone()) {
        std::fill_n(plane, g.inputs, T(0));
        for (int64_t i = 0; i < g.outputs; ++i) g.window_backward(c, i, gradient[i], plane);
      } else if (told(c) < 0) {
        g.times_powers(c, plane);
      } else {
        WidePlane<T>(g, c, memory).put_gradient(gradient, plane);
      }
    }
  });
}

#define FASTCONV_LP_POOL(T)                                                \
  template void lp_pool(const PoolProblem&, Norm, View<const T>, View<T>); \
  template void lp_pool_backward(const PoolProblem&, Norm, View<const T>, View<const T>, View<T>);
FASTCONV_LP_POOL(float)
FASTCONV_LP_POOL(double)

}  // namespace fastconv
