// Norms of windows: powers of some planes, their sums by the average's kernels, and the roots. A plane whose first
// elements are far from 1 is scaled by a power of two. Windows whose sums overflowed or lost something to underflow are
// joined again, their plane scaled by what is near the largest element of one of them: a few times, until there are
// none; what is left then, window by window.
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

// 2^exponent, which need not be in range itself: factors for scale().
struct PowerOfTwo {
  double half, rest;
  explicit PowerOfTwo(int exponent)
      : half(std::ldexp(1.0, exponent / 2)), rest(std::ldexp(1.0, exponent - exponent / 2)) {}
};
// Of the first elements of a plane where their powers might be out of range, and 0 otherwise.
template <class T>
int exponent_of(const T* x, int64_t n, T power) {
  T largest = 0;
  int exponent = 0;
  for (int64_t i = 0; i < n && i < 16; ++i) largest = std::max(largest, std::abs(x[i]));
  if (largest <= std::numeric_limits<T>::max()) std::frexp(largest, &exponent);
  return std::abs(static_cast<T>(exponent)) * power > std::numeric_limits<T>::max_exponent / 2 ? exponent : 0;
}

// A group's planes, their powers and their outputs, dense; and memory for one plane at a time.
template <class T>
struct LpGroup {
  const PlaneGroup& g;
  Norm norm;
  View<const T> x;
  int64_t inputs, outputs;
  T power;
  T *sums, *powers, *open, *scaled, *more;  // more: behind all others

  static int64_t inputs_of(const PoolProblem& p) { return p.axis[0].in * p.axis[1].in * p.axis[2].in; }
  static int64_t outputs_of(const PoolProblem& p) { return p.axis[0].out * p.axis[1].out * p.axis[2].out; }
  // With `more` arrays of outputs and of inputs.
  static int64_t bytes(const PoolProblem& p, int64_t more) {
    return (2 + more) * (outputs_of(p) + inputs_of(p)) * static_cast<int64_t>(sizeof(T));
  }

  LpGroup(const PlaneGroup& group, Norm n, const View<const T>& all)
      : g(group),
        norm(n),
        x(group.of(all)),
        inputs(inputs_of(group.p)),
        outputs(outputs_of(group.p)),
        power(static_cast<T>(n.p)),
        sums(reinterpret_cast<T*>(group.memory)),
        powers(sums + group.p.channels * outputs),
        open(powers + group.p.channels * inputs),
        scaled(open + outputs),
        more(scaled + inputs) {}
  const T* plane(int64_t c) const { return x.data + c * x.stride[1]; }
  // Of problem p: of the group's, or of one plane's.
  static __attribute__((noinline)) View<T> like_y(const PoolProblem& p, T* data) {
    return dense_view(data, p.channels, p.axis[0].out, p.axis[1].out, p.axis[2].out);
  }
  static __attribute__((noinline)) View<T> like_x(const PoolProblem& p, T* data) {
    return dense_view(data, p.channels, p.axis[0].in, p.axis[1].in, p.axis[2].in);
  }

  // By which a plane's elements are divided before they are raised.
  int exponent(int64_t c) const { return std::isinf(power) ? 0 : exponent_of(plane(c), inputs, power); }
  // Those elements.
  const T* elements(int64_t c, int exponent) const {
    const PowerOfTwo factor(-exponent);
    if (exponent == 0) return plane(c);
    scale(plane(c), inputs, static_cast<T>(factor.half), static_cast<T>(factor.rest), scaled);
    return scaled;
  }
  // Sums (or means) of powers, or the largest elements.
  void join() const {
    for (int64_t c = 0; c < g.p.channels; ++c)
      raise(elements(c, exponent(c)), inputs, std::isinf(power) ? T(1) : power, powers + c * inputs);
    if (std::isinf(power)) return find_largest(g.p, powers, sums);
    add_up(g.p, 0, powers, sums);
  }
  __attribute__((noinline)) void find_largest(const PoolProblem& p, T* sizes, T* largest) const {
    max_pool<T>(p, like_x(p, sizes), like_y(p, largest), {});
  }
  // Of the planes of p from the c-th on.
  __attribute__((noinline)) void add_up(const PoolProblem& p, int64_t c, T* from, T* to) const {
    avg_pool<T>(p, {false, 1}, like_x(p, from), like_y(p, to));
    divide_by_counts(p, c, to);
  }
  __attribute__((noinline)) void spread(const PoolProblem& p, int64_t c, T* weights, const View<T>& to) const {
    divide_by_counts(p, c, weights);
    avg_pool_backward<T>(p, {false, 1}, like_y(p, weights), to);
  }
  // What only means have to do.
  void divide_by_counts(const PoolProblem& p, int64_t c, T* values) const {
    for (const int64_t end = c + p.channels; norm.mean && c < end; ++c)
      for (Windows windows(*this, c); windows.next(); ++values) *values /= static_cast<T>(windows.window().box.size());
  }

  // The windows of a plane, one after the other.
  class Windows {
   public:
    Windows(const LpGroup& group, int64_t c) : g_(group), plane_(group.plane(c)) {}
    bool next() { return ++i_ < g_.outputs; }
    int64_t output() const { return i_; }
    __attribute__((noinline)) WindowBox<T> window() const {
      const PoolAxis* a = g_.g.p.axis;
      return WindowBox<T>(a, g_.x, plane_, {i_ / a[2].out / a[1].out, i_ / a[2].out % a[1].out, i_ % a[2].out});
    }

   private:
    const LpGroup& g_;
    const T* plane_;
    int64_t i_ = -1;
  };
};

// The windows of a plane whose sums do not tell: their largest elements stand in g.open, and 0 for others.
template <class T>
class OpenWindows {
 public:
  OpenWindows(const LpGroup<T>& g, int64_t c)
      : g_(g),
        c_(c),
        problem_(g.g.p),
        sums_(g.sums + c * g.outputs),
        powers_(g.powers + c * g.inputs),
        exponent_(g.exponent(c)) {
    problem_.channels = 1;
    raise(g.plane(c), g.inputs, T(1), powers_);
    g.find_largest(problem_, powers_, g.open);
  }
  const PoolProblem& problem() const { return problem_; }

  bool is_open(int64_t i) const { return g_.open[i] > 0 && g_.open[i] <= std::numeric_limits<T>::max(); }
  // Infinite norms, and those that are no number, are those elements, and stay.
  bool are_all_finite() const {
    int64_t i = 0;
    while (i < g_.outputs && g_.open[i] <= std::numeric_limits<T>::max()) ++i;
    return i == g_.outputs;
  }
  // Closes the windows that sums tell of, and leaves no other sums.
  void close() {
    left_ = 0;
    close_told(sums_, g_.open, g_.outputs);
    for (int64_t i = 0; i < g_.outputs; ++i)
      if (g_.open[i] > left_ && is_open(i)) left_ = g_.open[i];
  }
  bool any_left() const { return left_ > 0; }
  // Of what the sums are.
  const T* elements() const { return g_.elements(c_, exponent_); }
  void put_norms(T* y) const {
    const PowerOfTwo factor(exponent_);
    put_told(sums_, g_.outputs, static_cast<T>(factor.half), static_cast<T>(factor.rest), y);
  }
  // New sums, the largest element of an open window being scaled to about 1; false if that is of no use.
  bool join_again() {
    constexpr int kTimes = 8;
    const int last = exponent_;
    if (!any_left() || ++times_ > kTimes) return false;
    std::frexp(left_, &exponent_);
    if (exponent_ == last) return false;
    raise(elements(), g_.inputs, g_.power, powers_);
    g_.add_up(problem_, c_, powers_, sums_);
    return true;
  }

 private:
  const LpGroup<T>& g_;
  int64_t c_;
  PoolProblem problem_;
  T *sums_, *powers_, left_ = 0;
  int exponent_, times_ = 0;
};

// A plane's norms.
template <class T>
void find_norms(const LpGroup<T>& g, int64_t c, T* y) {
  T* sums = g.sums + c * g.outputs;
  if (std::isinf(g.power) || are_safe(sums, g.outputs)) {  // the largest elements are the norms
    const PowerOfTwo factor(g.exponent(c));
    if (!std::isinf(g.power)) take_roots(sums, g.outputs, g.power);
    if (factor.half == 1) std::copy_n(sums, g.outputs, y);
    else scale(sums, g.outputs, static_cast<T>(factor.half), static_cast<T>(factor.rest), y);
    return;
  }
  OpenWindows<T> windows(g, c);
  std::copy_n(g.open, g.outputs, y);
  do {
    windows.close();
    take_roots(sums, g.outputs, g.power);
    windows.put_norms(y);
  } while (windows.join_again());
  if (!windows.any_left()) return;
  for (typename LpGroup<T>::Windows all(g, c); all.next();)
    if (windows.is_open(all.output())) y[all.output()] = lp_window(all.window(), g.norm).value();
}

}  // namespace

template <class T>
void lp_pool(const PoolProblem& problem, Norm norm, View<const T> x, View<T> y) {
  PoolProblem p = problem;
  auto some = [&](const PoolProblem& g, View<const T> from, View<T> to) { lp_pool(g, norm, from, to); };
  if (in_dense_planes(p, 0, some, x, y)) return;
  join_batch(p, x, y);
  for_each_group<T>(p, LpGroup<T>::bytes(p, 0), [&](const PlaneGroup& group) {
    const LpGroup<T> g(group, norm, x);
    const View<T> to = group.of(y);
    g.join();
    for (int64_t c = 0; c < group.p.channels; ++c) find_norms(g, c, to.data + c * to.stride[1]);
  });
}

namespace {

// The gradient of one plane, window by window.
template <class T>
void plane_backward(const LpGroup<T>& g, int64_t c, const T* dy, T* dx) {
  const T power = g.power - 1;
  std::fill_n(dx, g.inputs, T(0));
  for (typename LpGroup<T>::Windows windows(g, c); windows.next(); ++dy) {
    const WindowBox<T> window = windows.window();
    const LpNorm<T> whole = lp_window(window, g.norm);
    if (whole.largest == 0) continue;
    const bool first = std::isinf(power);  // the first largest element takes all
    const T d = g.norm.mean && !first ? *dy / static_cast<T>(window.box.size()) : *dy;
    window.for_each([&](T v, int64_t index) {
      const T size = std::abs(v);
      if (v == 0 || (first && size != whole.largest && !std::isnan(v))) return false;
      dx[index] += std::copysign(first ? T(1) : std::pow(size / whole.largest / whole.root, power), v) * d;
      return first;
    });
  }
}

// The gradient of one plane as a sum of those of windows that are scaled alike; false if there are others.
template <class T>
bool scaled_backward(const LpGroup<T>& g, int64_t c, const T* dy, T* weights, T* part, T* dx) {
  if (std::isinf(g.power)) return false;
  T *sums = g.sums + c * g.outputs, *sizes = g.powers + c * g.inputs;
  OpenWindows<T> windows(g, c);
  if (!windows.are_all_finite()) return false;
  std::fill_n(dx, g.inputs, T(0));
  do {
    windows.close();
    for (int64_t i = 0; i < g.outputs; ++i) {
      const bool told = sums[i] > 0;
      weights[i] = told ? dy[i] : T(0);
      if (!told) sums[i] = 1;
    }
    if (!take_weights(sums, g.outputs, g.power, weights)) return false;
    g.spread(windows.problem(), c, weights, g.like_x(windows.problem(), part));
    raise(windows.elements(), g.inputs, g.power - 1, sizes);
    times_signed(g.plane(c), sizes, g.inputs, part);
    for (int64_t i = 0; i < g.inputs; ++i) dx[i] += part[i];
  } while (windows.join_again());
  return !windows.any_left();
}

}  // namespace

template <class T>
void lp_pool_backward(const PoolProblem& problem, Norm norm, View<const T> dy, View<const T> x, View<T> dx) {
  PoolProblem p = problem;
  auto some = [&](const PoolProblem& g, View<const T> gradient, View<const T> from, View<T> to) {
    lp_pool_backward(g, norm, gradient, from, to);
  };
  if (in_dense_planes(p, 0, some, dy, x, dx)) return;
  join_batch(p, dy, x, dx);
  for_each_group<T>(p, LpGroup<T>::bytes(p, 1), [&](const PlaneGroup& group) {
    const LpGroup<T> g(group, norm, x);
    const int64_t channels = group.p.channels;
    T *weights = g.more, *sizes = weights + channels * g.outputs;
    const View<const T> from = group.of(dy);
    const View<T> to = group.of(dx);
    const auto told = [&](int64_t c) -> T& { return g.sums[c * g.outputs]; };  // if negative, as no sum is
    g.join();
    for (int64_t c = 0; c < channels; ++c) {
      T *sums = g.sums + c * g.outputs, *some = weights + c * g.outputs;
      std::copy_n(from.data + c * from.stride[1], g.outputs, some);
      if (!std::isinf(g.power) && are_safe(sums, g.outputs) && take_weights(sums, g.outputs, g.power, some))
        told(c) = -1;
    }
    g.spread(group.p, 0, weights, to);
    for (int64_t c = 0; c < channels; ++c) {
      const T* gradient = from.data + c * from.stride[1];
      T* plane = to.data + c * to.stride[1];
      if (told(c) < 0) {
        raise(g.elements(c, g.exponent(c)), g.inputs, g.power - 1, sizes);
        times_signed(g.plane(c), sizes, g.inputs, plane);
      } else if (!scaled_backward(g, c, gradient, weights + c * g.outputs, sizes, plane)) {
        plane_backward(g, c, gradient, plane);
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
