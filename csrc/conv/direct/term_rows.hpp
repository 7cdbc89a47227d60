// The values of an image, of a plane or of a row of weights as terms of sums.
#pragma once
#include <algorithm>

#include "base/range.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

// Axes of both views that follow one another without gaps become one; false if more than three remain. From axis 2 on.
template <class X, class Y>
bool join_values(View<X>& x, View<Y>& y) {
  int at = 4;
  const auto set = [&x, &y](int to, int64_t n, int64_t x_step, int64_t y_step) {
    x.shape[to] = y.shape[to] = n;
    x.stride[to] = x_step;
    y.stride[to] = y_step;
  };
  for (int i = 3; i > 0; --i) {
    if (x.shape[i] == 1) continue;
    const int64_t n = x.shape[at];
    if (n == 1) set(at, x.shape[i], x.stride[i], y.stride[i]);
    else if (x.stride[i] == n * x.stride[at] && y.stride[i] == n * y.stride[at])
      set(at, n * x.shape[i], x.stride[at], y.stride[at]);
    else if (--at > 1) set(at, x.shape[i], x.stride[i], y.stride[i]);
    else return false;
  }
  while (--at > 1) set(at, 1, 0, 0);
  return true;
}

constexpr int64_t kMostRowStep = INT32_MAX / 4;  // of rows where they stand

// Rows of values, as those of images, planes or weights, along axis 0: side by side where they stand, or copied.
template <class T>
struct TermRows {
  View<const T> v;
  bool in_place;

  explicit TermRows(const View<const T>& view) : v(view) {
    View<const T> same = v;
    const bool joined = join_values(v, same);
    in_place = joined && v.shape[2] * v.shape[3] == 1 && (v.shape[4] == 1 || v.stride[4] == 1) &&
               std::abs(v.stride[0]) <= kMostRowStep;
    if (!joined) v = view;
  }
  void copy(int64_t row, Range terms, T* to) const {
    int64_t at[5] = {row, 0, 0, 0, 0}, i = terms.begin;
    for (int a = 4; a > 0; --a) at[a] = i % v.shape[a], i /= v.shape[a];
    for (int64_t left = terms.size(), n; left > 0; left -= n) {
      n = std::min(v.shape[4] - at[4], left);
      const T* from = v.data;
      for (int a = 0; a < 5; ++a) from += at[a] * v.stride[a];
      for (int64_t k = 0; k < n; ++k) *to++ = from[k * v.stride[4]];
      at[4] = 0;
      for (int a = 3; a > 0 && ++at[a] == v.shape[a]; --a) at[a] = 0;
    }
  }
  // Terms of rows [row, row + count), `step` elements apart.
  const T* find(int64_t row, int64_t count, Range terms, T* room, int64_t& step) const {
    step = in_place ? v.stride[0] : terms.size();
    if (in_place) return v.data + row * step + terms.begin;
    for (int64_t i = 0; i < count; ++i) copy(row + i, terms, room + i * step);
    return room;
  }
};

}  // namespace fastconv
