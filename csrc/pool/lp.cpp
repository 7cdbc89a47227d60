// Norms of windows: powers of some planes, their sums by the average's kernels, and the roots. Sums that overflowed or
// lost something to underflow are made again window by window, scaled by the largest element.
#include <limits>

#include "pool/direct.hpp"
#include "pool/elements.hpp"

namespace fastconv {
namespace {

// norm = largest * root, root = (sum (|x| / largest)^p (/ count))^(1/p).
template <class T>
struct LpNorm {
  T largest;
  T root;
  T value() const { return largest == 0 || std::isinf(largest) ? largest : largest * root; }
};

template <class T>
LpNorm<T> lp_window(const WindowBox<T>& window, Norm norm) {
  LpNorm<T> result{0, 1};
  window.for_each([&](T x, int64_t) {
    if (std::isnan(x) || std::abs(x) > result.largest) result.largest = std::abs(x);
    return false;
  });
  if (!(result.largest > 0) || std::isinf(norm.p)) return result;
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

// visit(window, output) for all outputs of a plane, whose windows lie in the plane `x` of `view`.
template <class T, class Visit>
void for_windows(const PoolProblem& p, const View<const T>& view, const T* x, Visit visit) {
  int64_t i = 0;
  for (int64_t d = 0; d < p.axis[0].out; ++d)
    for (int64_t h = 0; h < p.axis[1].out; ++h)
      for (int64_t w = 0; w < p.axis[2].out; ++w, ++i) visit(WindowBox<T>(p.axis, view, x, {d, h, w}), i);
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

  static int64_t elements(const PoolProblem& p) {
    int64_t in = 1, out = 1;
    for (const PoolAxis& a : p.axis) in *= a.in, out *= a.out;
    return in + out;
  }
  static int64_t bytes(const PoolProblem& p) { return elements(p) * static_cast<int64_t>(sizeof(T)); }

  LpGroup(const PlaneGroup& group, Norm n, const View<const T>& all)
      : g(group), norm(n), x(group.of(all)), inputs(x.shape[2] * x.shape[3] * x.shape[4]), power(static_cast<T>(n.p)) {
    outputs = elements(g.p) - inputs;
    sums = reinterpret_cast<T*>(g.memory);
    powers = sums + g.p.channels * outputs;
  }
  const T* plane(int64_t c) const { return x.data + c * x.stride[1]; }
  View<T> all_sums() const { return dense_view(sums, g.p.channels, g.p.axis[0].out, g.p.axis[1].out, g.p.axis[2].out); }

  // Sums of powers, or the largest elements.
  void join() const {
    for (int64_t c = 0; c < g.p.channels; ++c) {
      T* to = powers + c * inputs;
      raise(dense_plane(plane_box(x, plane(c)), to), inputs, std::isinf(power) ? T(1) : power, to);
    }
    const View<const T> from = dense_view(powers, g.p.channels, x.shape[2], x.shape[3], x.shape[4]);
    if (std::isinf(power)) return max_pool<T>(g.p, from, all_sums(), {});
    avg_pool<T>(g.p, {false, 1}, from, all_sums());
    if (norm.mean) divide_by_counts(sums);
  }
  void divide_by_counts(T* values) const {
    for (int64_t c = 0; c < g.p.channels; ++c)
      for_windows(g.p, x, plane(c), [&](const WindowBox<T>& window, int64_t i) {
        values[c * outputs + i] /= static_cast<T>(window.box.size());
      });
  }
};

}  // namespace

template <class T>
void lp_pool(const PoolProblem& problem, Norm norm, View<const T> x, View<T> y) {
  PoolProblem p = problem;
  if (is_even(p, x) && is_even(p, y)) join_batch(p);
  for_each_group<T>(p, LpGroup<T>::bytes(p), [&](const PlaneGroup& group) {
    const LpGroup<T> g(group, norm, x);
    const View<T> to = group.of(y);
    g.join();
    for (int64_t c = 0; c < group.p.channels; ++c) {
      T* sums = g.sums + c * g.outputs;
      if (!std::isinf(g.power) && !take_roots(sums, g.outputs, g.power))
        for_windows(group.p, g.x, g.plane(c), [&](const WindowBox<T>& window, int64_t i) {
          if (!take_roots(sums + i, 1, g.power)) sums[i] = lp_window(window, norm).value();
        });
      copy_out(sums, plane_box(to, to.data + c * to.stride[1]));
    }
  });
}

namespace {

// The gradient of one plane, window by window.
template <class T>
void plane_backward(const LpGroup<T>& g, const T* x, const T* dy, T* dx) {
  const T power = g.power - 1;
  std::fill_n(dx, g.inputs, T(0));
  for_windows(g.g.p, g.x, x, [&](const WindowBox<T>& window, int64_t i) {
    const LpNorm<T> whole = lp_window(window, g.norm);
    if (whole.largest == 0) return;
    const T d = g.norm.mean && !std::isinf(power) ? dy[i] / static_cast<T>(window.box.size()) : dy[i];
    window.for_each([&](T v, int64_t index) {
      if (v == 0) return false;
      const T size = std::abs(v);
      if (std::isinf(power)) {  // the first largest element takes all
        if (size != whole.largest && !std::isnan(v)) return false;
        dx[index] += v < 0 ? -d : d;
        return true;
      }
      const T slope = std::pow(size / whole.largest / whole.root, power);
      dx[index] += v < 0 ? -d * slope : d * slope;
      return false;
    });
  });
}

// take_weights for a plane some of whose windows hold zeros alone.
template <class T>
bool weigh(const LpGroup<T>& g, const T* x, const T* sums, T* dy) {
  bool told = true;
  for_windows(g.g.p, g.x, x, [&](const WindowBox<T>& window, int64_t i) {
    if (sums[i] == 0 && lp_window(window, g.norm).largest == 0) dy[i] = 0;
    else told = told && take_weights(sums + i, 1, g.power, dy + i);
  });
  return told;
}

}  // namespace

template <class T>
void lp_pool_backward(const PoolProblem& problem, Norm norm, View<const T> dy, View<const T> x, View<T> dx) {
  PoolProblem p = problem;
  if (is_even(p, dy) && is_even(p, x) && is_even(p, dx)) join_batch(p);
  const bool direct = plane_box(dx, dx.data).dense();
  for_each_group<T>(p, 2 * LpGroup<T>::bytes(p), [&](const PlaneGroup& group) {
    const LpGroup<T> g(group, norm, x);
    const int64_t channels = group.p.channels;
    const View<const T> from = group.of(dy);
    const View<T> weights = dense_view(g.powers + channels * g.inputs, channels, dy.shape[2], dy.shape[3], dy.shape[4]);
    T* copy = weights.data + weights.size();
    const View<T> result = group.of(dx),
                  to = direct ? result : dense_view(g.powers, channels, dx.shape[2], dx.shape[3], dx.shape[4]);
    auto read_dy = [&](int64_t c) {
      T* plane = weights.data + c * g.outputs;
      copy_in(plane_box(from, from.data + c * from.stride[1]), 0, g.outputs, plane);
      return plane;
    };
    Vector<char> told(static_cast<size_t>(channels), false);
    if (!std::isinf(g.power)) {
      g.join();
      for (int64_t c = 0; c < channels; ++c) {
        T* sums = g.sums + c * g.outputs;
        told[static_cast<size_t>(c)] =
            take_weights(sums, g.outputs, g.power, read_dy(c)) || weigh(g, g.plane(c), sums, read_dy(c));
      }
      if (norm.mean) g.divide_by_counts(weights.data);
      avg_pool_backward<T>(group.p, {false, 1}, weights, to);
    }
    for (int64_t c = 0; c < channels; ++c) {
      T* plane = to.data + c * to.stride[1];
      if (told[static_cast<size_t>(c)])
        times_powers(dense_plane(plane_box(g.x, g.plane(c)), copy + c * g.inputs), g.inputs, g.power - 1, plane);
      else plane_backward(g, g.plane(c), read_dy(c), plane);
      if (!direct) copy_out(plane, plane_box(result, result.data + c * result.stride[1]));
    }
  });
}

#define FASTCONV_LP_POOL(T)                                                \
  template void lp_pool(const PoolProblem&, Norm, View<const T>, View<T>); \
  template void lp_pool_backward(const PoolProblem&, Norm, View<const T>, View<const T>, View<T>);
FASTCONV_LP_POOL(float)
FASTCONV_LP_POOL(double)

}  // namespace fastconv
