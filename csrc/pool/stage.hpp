// Boxes of planes between the caller's arrays and dense scratch memory.
#pragma once
#include <cstdint>
#include <cstring>

#include "fastconv/tensor.hpp"

namespace fastconv {

template <class T>
struct Box {
  T* data;
  int64_t shape[3], step[3];

  int64_t size() const { return shape[0] * shape[1] * shape[2]; }
  bool dense() const {
    return (step[2] == 1 || shape[2] == 1) && (step[1] == shape[2] || shape[1] == 1) &&
           (step[0] == shape[1] * shape[2] || shape[0] == 1);
  }
  // visit(row, n): elements [first, first + count) in the order of a dense box, row by row.
  template <class Visit>
  void for_rows(int64_t first, int64_t count, Visit visit) const {
    if (count == 0) return;  // of an empty box, whose rows cannot be counted
    int64_t w = first % shape[2], h = first / shape[2] % shape[1], d = first / shape[2] / shape[1];
    while (count > 0) {
      const int64_t n = shape[2] - w < count ? shape[2] - w : count;
      visit(data + d * step[0] + h * step[1] + w * step[2], n);
      count -= n;
      w = 0;
      if (++h == shape[1]) h = 0, ++d;
    }
  }
};

template <class T>
Box<T> plane_box(const View<T>& v, T* plane) {
  return {plane, {v.shape[2], v.shape[3], v.shape[4]}, {v.stride[2], v.stride[3], v.stride[4]}};
}

// Elements [first, first + count) to dense memory.
template <class T, class U>
void copy_in(const Box<T>& box, int64_t first, int64_t count, U* to) {
  if (box.dense()) return void(std::memcpy(to, box.data + first, static_cast<size_t>(count) * sizeof(U)));
  box.for_rows(first, count, [&](const U* from, int64_t n) {
    if (box.step[2] == 1) std::memcpy(to, from, static_cast<size_t>(n) * sizeof(U));
    else
      for (int64_t i = 0; i < n; ++i) to[i] = from[i * box.step[2]];
    to += n;
  });
}

template <class T>
void copy_out(const T* from, const Box<T>& box) {
  if (box.dense()) return void(std::memcpy(box.data, from, static_cast<size_t>(box.size()) * sizeof(T)));
  box.for_rows(0, box.size(), [&](T* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i * box.step[2]] = from[i];
    from += n;
  });
}

}  // namespace fastconv
