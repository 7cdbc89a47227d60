// Filters of planes against the formula, exactly, in arrays of exactly their size.
#include <algorithm>

#include "check.hpp"
#include "fastconv/filter.hpp"

namespace fastconv_tests {
namespace {

using namespace fastconv;

// The coordinate that stands at q, step by step; -1 for a value of the caller's.
int64_t mapped(Mode mode, int64_t q, int64_t n) {
  while (q < 0 || q >= n) {
    if (mode == Mode::zeros) return -1;
    if (mode == Mode::replicate) q = q < 0 ? 0 : n - 1;
    else if (mode == Mode::circular) q += q < 0 ? n : -n;
    else if (mode == Mode::symmetric) q = q < 0 ? -1 - q : 2 * n - 1 - q;
    else q = n == 1 ? 0 : q < 0 ? -q : 2 * (n - 1) - q;
  }
  return q;
}

// One axis of planes (outer, n, inner).
template <class T>
std::vector<T> along(const std::vector<T>& x, const FilterAxis& a, int64_t inner, Filter filter,
                     const std::vector<T>& weights, T value) {
  std::vector<T> y(x.size());
  const int64_t n = a.in;
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    const int64_t place = i / inner % n, origin = i - place * inner;
    T result{};
    for (int64_t t = 0; t < a.size; ++t) {
      const int64_t q = mapped(a.mode, place + t - a.before, n);
      const T v = q < 0 ? value : x[static_cast<size_t>(origin + q * inner)];
      if (filter == Filter::weigh) result += weights[static_cast<size_t>(t)] * v;
      else if (t == 0) result = v;
      else
        result = filter == Filter::mean      ? result + v
                 : filter == Filter::maximum ? std::max(result, v)
                                             : std::min(result, v);
    }
    y[static_cast<size_t>(i)] = result;
  }
  return y;
}

FilterProblem random_problem(Random& r) {
  FilterProblem p;
  p.planes = r.between(0, 3);
  for (FilterAxis& a : p.axis) {
    a.in = r.between(1, r.one_in(8) ? 600 : 40);
    a.size = r.one_in(3) ? 1 : r.between(1, r.one_in(4) ? 70 : 9);
    a.before = r.between(0, a.size - 1);
    a.mode = static_cast<Mode>(r.between(0, 4));
    a.value = static_cast<double>(r.between(-3, 3));
  }
  return p;
}

template <class T>
std::vector<T> numbers(int64_t count, Random& r) {
  std::vector<T> v(static_cast<size_t>(count));
  for (T& e : v) e = static_cast<T>(r.between(-4, 4));
  return v;
}

template <class T>
void test_axes(const FilterProblem& p, Random& r) {
  const FilterAxis &h = p.axis[0], &w = p.axis[1];
  const std::vector<T> x = numbers<T>(p.planes * h.in * w.in, r);
  std::vector<T> weights[2] = {numbers<T>(h.size, r), numbers<T>(w.size, r)}, y(x.size());
  for (int i = 0; i < 2; ++i)
    if (p.axis[i].size == 1) weights[i][0] = 1;
  for (const Filter f : {Filter::weigh, Filter::mean, Filter::maximum, Filter::minimum}) {
    filter_axes<T>(p, f, x.data(), weights[0].data(), weights[1].data(), y.data());
    std::vector<T> expected =
        along(along(x, h, w.in, f, weights[0], static_cast<T>(h.value)), w, 1, f, weights[1], static_cast<T>(w.value));
    if (f == Filter::mean)
      for (T& e : expected) e /= static_cast<T>(h.size) * static_cast<T>(w.size);
    check(y == expected, "filter_axes is not what its formula says");
  }
}

template <class T>
void test_taps(FilterProblem p, Random& r) {
  for (FilterAxis& a : p.axis) a.size = std::min<int64_t>(a.size, 7), a.before = std::min(a.before, a.size - 1);
  const FilterAxis &h = p.axis[0], &w = p.axis[1];
  const std::vector<T> x = numbers<T>(p.planes * h.in * w.in, r), weights = numbers<T>(h.size * w.size, r);
  std::vector<T> y(x.size()), expected(x.size());
  filter_taps<T>(p, x.data(), weights.data(), y.data());
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    const int64_t column = i % w.in, row = i / w.in % h.in, plane = i - row * w.in - column;
    for (int64_t t = 0; t < h.size * w.size; ++t) {
      const int64_t a = mapped(h.mode, row + t / w.size - h.before, h.in),
                    b = mapped(w.mode, column + t % w.size - w.before, w.in);
      const T v = a < 0   ? static_cast<T>(h.value)
                  : b < 0 ? static_cast<T>(w.value)
                          : x[static_cast<size_t>(plane + a * w.in + b)];
      expected[static_cast<size_t>(i)] += weights[static_cast<size_t>(t)] * v;
    }
  }
  check(y == expected, "filter_taps is not what its formula says");
}

}  // namespace

void test_filter(int64_t random_problems, uint64_t seed) {
  Random r(seed);
  for (int64_t i = 0; i < random_problems; ++i) {
    const FilterProblem p = random_problem(r);
    test_axes<float>(p, r);
    test_axes<double>(p, r);
    test_taps<float>(p, r);
    test_taps<double>(p, r);
  }
}

}  // namespace fastconv_tests
