// What the tests share: a count of checks, small random integers, and arrays between guard zones.
#pragma once
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "fastconv/tensor.hpp"

namespace fastconv_tests {

// Counts a check and prints `what` when it failed.
void check(bool ok, const std::string& what);

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t between(int64_t low, int64_t high) {  // the same on every platform, unlike the library's distributions
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  bool one_in(int64_t n) { return between(1, n) == 1; }

 private:
  std::mt19937_64 engine_;
};

// An array of any layout inside a buffer full of NaN: whoever reads a gap or beyond an end spoils the result, and
// whoever writes there is found by `intact`. Under AddressSanitizer the heap's own red zones stand at the ends.
template <class T>
class Guarded {
 public:
  // How the five axes lie in memory. `order` lists them from the outermost; `gap` elements follow each innermost one;
  // axis i runs backwards where bit i of `reversed` is set.
  struct Layout {
    int order[5] = {0, 1, 2, 3, 4};
    int64_t gap = 0;
    unsigned reversed = 0;

    static Layout random(Random& r) {
      Layout l;
      if (r.one_in(2)) return l;
      for (int i = 4; i > 0; --i) std::swap(l.order[i], l.order[r.between(0, i)]);
      l.gap = r.between(0, 2);
      l.reversed = static_cast<unsigned>(r.between(0, 31));
      return l;
    }
  };

  Guarded(const int64_t (&shape)[5], Layout layout = {}) {
    int64_t step = layout.gap + 1, first = kGuard;
    for (int i = 4; i >= 0; --i) {
      const int axis = layout.order[i];
      view_.shape[axis] = shape[axis];
      view_.stride[axis] = step;
      step *= shape[axis];
    }
    buffer_.assign(static_cast<size_t>(step + 2 * kGuard), poison());
    for (int axis = 0; axis < 5; ++axis)
      if (layout.reversed >> axis & 1 && shape[axis] > 0) {
        first += (shape[axis] - 1) * view_.stride[axis];
        view_.stride[axis] = -view_.stride[axis];
      }
    view_.data = buffer_.data() + first;
  }

  // Small integers, whose sums of products are exact.
  Guarded& fill(Random& r) {
    for_each([&](T& v) { v = static_cast<T>(r.between(-4, 4)); });
    return *this;
  }
  fastconv::View<T> view() { return view_; }
  fastconv::View<const T> view() const { return view_; }

  // The elements in the order of the axes.
  std::vector<T> values() {
    std::vector<T> all;
    for_each([&](T& v) { all.push_back(v); });
    return all;
  }
  bool intact() const {
    std::vector<T> copy = buffer_;
    const T* base = buffer_.data();
    visit(view_, [&](const T& v) { copy[static_cast<size_t>(&v - base)] = poison(); });
    const T expected = poison();
    for (const T& v : copy)
      if (std::memcmp(&v, &expected, sizeof(T))) return false;
    return true;
  }

 private:
  static T poison() {  // a NaN of a pattern of its own
    T v;
    std::memset(&v, 0xff, sizeof(T));
    return v;
  }

#if defined(__SANITIZE_ADDRESS__)
  static constexpr int64_t kGuard = 0;
#else
  static constexpr int64_t kGuard = 64;
#endif

  template <class F>
  static void visit(const fastconv::View<T>& v, F f) {
    const int64_t *n = v.shape, *s = v.stride;
    for (int64_t a = 0; a < n[0]; ++a)
      for (int64_t b = 0; b < n[1]; ++b)
        for (int64_t c = 0; c < n[2]; ++c)
          for (int64_t d = 0; d < n[3]; ++d)
            for (int64_t e = 0; e < n[4]; ++e) f(v.data[a * s[0] + b * s[1] + c * s[2] + d * s[3] + e * s[4]]);
  }
  template <class F>
  void for_each(F f) {
    visit(view_, f);
  }

  std::vector<T> buffer_;
  fastconv::View<T> view_;
};

template <class T>
double dot(const std::vector<T>& a, const std::vector<T>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

void test_conv(int64_t random_problems, uint64_t seed);
void test_pad(int64_t random_problems, uint64_t seed);
void test_pool(int64_t random_problems, uint64_t seed);
void test_filter(int64_t random_problems, uint64_t seed);

}  // namespace fastconv_tests
