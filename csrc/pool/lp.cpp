// Norms of windows: powers of some planes, their sums by the average's kernels, and the roots. Sums that overflowed or
// lost something to underflow are made again window by window, scaled by the largest element.
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

// A group's planes, their powers and their outputs, dense.
template <class T>
struct LpGroup {
  const PlaneGroup& g;
  Norm norm;
  View<const T> x;
  int64_t inputs, outputs;
  T power;
  T *sums, *powers;

  static int64_t inputs_of(const PoolProblem& p) { return p.axis[0].in * p.axis[1].in * p.axis[2].in; }
  static int64_t outputs_of(const PoolProblem& p) { return p.axis[0].out * p.axis[1].out * p.axis[2].out; }
  // For `out` arrays of outputs and `in` of inputs.
  static int64_t bytes(const PoolProblem& p, int64_t out, int64_t in) {
    return (out * outputs_of(p) + in * inputs_of(p)) * static_cast<int64_t>(sizeof(T));
  }

  LpGroup(const PlaneGroup& group, Norm n, const View<const T>& all)
      : g(group),
        norm(n),
        x(group.of(all)),
        inputs(inputs_of(group.p)),
        outputs(outputs_of(group.p)),
        power(static_cast<T>(n.p)),
        sums(reinterpret_cast<T*>(group.memory)),
        powers(sums + group.p.channels * outputs) {}
  const T* plane(int64_t c) const { return x.data + c * x.stride[1]; }
  View<T> like_y(T* data) const {
    const PoolAxis* a = g.p.axis;
    return dense_view(data, g.p.channels, a[0].out, a[1].out, a[2].out);
  }
  View<T> like_x(T* data) const { return dense_view(data, g.p.channels, x.shape[2], x.shape[3], x.shape[4]); }

  // Sums (or means) of powers, or the largest elements.
  void join() const {
    for (int64_t c = 0; c < g.p.channels; ++c)
      raise(plane(c), inputs, std::isinf(power) ? T(1) : power, powers + c * inputs);
    if (std::isinf(power)) return max_pool<T>(g.p, like_x(powers), like_y(sums), {});
    avg_pool<T>(g.p, {false, 1}, like_x(powers), like_y(sums));
    divide_by_counts(sums);
  }
  // What only means have to do.
  void divide_by_counts(T* values) const {
    for (int64_t c = 0; norm.mean && c < g.p.channels; ++c)
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

// A plane's norms in place of its sums.
template <class T>
void finish_plane(const LpGroup<T>& g, int64_t c, T* sums) {
  if (std::isinf(g.power)) return;  // the largest elements are the norms
  if (are_safe(sums, g.outputs)) return take_roots(sums, g.outputs, g.power);
  for (typename LpGroup<T>::Windows windows(g, c); windows.next(); ++sums)
    if (are_safe(sums, 1)) take_roots(sums, 1, g.power);
    else *sums = lp_window(windows.window(), g.norm).value();
}

}  // namespace

template <class T>
void lp_pool(const PoolProblem& problem, Norm norm, View<const T> x, View<T> y) {
  PoolProblem p = problem;
  auto some = [&](const PoolProblem& g, View<const T> from, View<T> to) { lp_pool(g, norm, from, to); };
  if (in_dense_planes(p, 0, some, x, y)) return;
  join_batch(p, x, y);
  for_each_group<T>(p, LpGroup<T>::bytes(p, 1, 1), [&](const PlaneGroup& group) {
    const LpGroup<T> g(group, norm, x);
    const View<T> to = group.of(y);
    g.join();
    for (int64_t c = 0; c < group.p.channels; ++c) {
      T* sums = g.sums + c * g.outputs;
      finish_plane(g, c, sums);
      std::copy_n(sums, g.outputs, to.data + c * to.stride[1]);
    }
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

// Weights of a plane's outputs in place of dy; false if a sum does not tell.
template <class T>
bool weigh(const LpGroup<T>& g, int64_t c, T* dy) {
  const T* sums = g.sums + c * g.outputs;
  if (!are_safe(sums, g.outputs))
    for (typename LpGroup<T>::Windows windows(g, c); windows.next();) {
      const int64_t i = windows.output();
      if (are_safe(sums + i, 1)) continue;
      if (sums[i] != 0 || lp_window(windows.window(), g.norm).largest != 0) return false;
      g.sums[c * g.outputs + i] = 1;  // a window of zeros
      dy[i] = 0;
    }
  return take_weights(sums, g.outputs, g.power, dy);
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
  for_each_group<T>(p, LpGroup<T>::bytes(p, 2, 2), [&](const PlaneGroup& group) {
    const LpGroup<T> g(group, norm, x);
    const int64_t channels = group.p.channels;
    T *weights = g.powers + channels * g.inputs, *sizes = weights + channels * g.outputs;
    const View<const T> from = group.of(dy);
    const View<T> to = group.of(dx);
    g.join();
    for (int64_t c = 0; c < channels; ++c) {
      std::copy_n(from.data + c * from.stride[1], g.outputs, weights + c * g.outputs);
      const bool told = !std::isinf(g.power) && weigh(g, c, weights + c * g.outputs);
      g.sums[c * g.outputs] = told;  // in place of what is of no more use
    }
    g.divide_by_counts(weights);
    avg_pool_backward<T>(group.p, {false, 1}, g.like_y(weights), to);
    for (int64_t c = 0; c < channels; ++c) {
      T* plane = to.data + c * to.stride[1];
      if (g.sums[c * g.outputs] != 0) {
        raise(g.plane(c), g.inputs, g.power - 1, sizes);
        times_signed(g.plane(c), sizes, g.inputs, plane);
      } else {
        plane_backward(g, c, from.data + c * from.stride[1], plane);
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
