// Windows as long runs, without lines: whole planes, windows too wide for scratch memory, planes whose positions are
// not 32-bit. Runs are joined block by block, and what the blocks give for a double, so that the error does not grow
// with the length.
#pragma once
#include "pool/rows.hpp"

namespace fastconv {

template <class T>
class RunJoiner {
 public:
  static constexpr int64_t kMostLanes = 16;
  static constexpr int64_t kScratch = kMostLanes * kPoolRun;  // elements

  RunJoiner(PoolRunsFunction<T> runs, bool max, T* scratch)
      : runs_(runs), lanes_(pool_functions<T>().lanes), max_(max), scratch_(scratch) {}

  double neutral() const { return max_ ? -std::numeric_limits<double>::infinity() : 0; }
  double join(double a, double b) const { return !max_ ? a + b : b > a || b != b ? b : a; }

  // All elements of a box, in the order of a dense one.
  double add(double so_far, const Box<const T>& box) const {
    const int64_t size = box.size();
    for (int64_t at = 0; at < size;) {
      const int64_t n = std::min(kPoolRun, size - at),
                    count = n < kPoolRun ? 1 : std::min(lanes_, (size - at) / kPoolRun);
      const T* from = box.data + at;
      if (!box.dense()) copy_in(box, at, n * count, scratch_), from = scratch_;
      T results[kMostLanes];
      runs_(from, n, count, n, T(1), results);
      for (int64_t l = 0; l < count; ++l) so_far = join(so_far, results[l]);
      at += n * count;
    }
    return so_far;
  }

 private:
  PoolRunsFunction<T> runs_;
  int64_t lanes_;
  bool max_;
  T* scratch_;
};

// The window of an output, and the flat position of its first element.
template <class T>
struct WindowBox {
  Box<const T> box;
  int64_t first, index[3];  // and what a step on each axis adds

  WindowBox(const PoolAxis* axes, const View<const T>& x, const T* plane, const int64_t (&at)[3]) : first(0) {
    box.data = plane;
    for (int i = 0; i < 3; ++i) {
      const PoolWindow window = pool_window(axes[i], at[i]);
      const int64_t size = i == 0 ? x.shape[3] * x.shape[4] : i == 1 ? x.shape[4] : 1;
      box.data += window.start * x.stride[2 + i];
      box.shape[i] = window.count;
      box.step[i] = axes[i].dilation * x.stride[2 + i];
      first += window.start * size;
      index[i] = axes[i].dilation * size;
    }
  }
  // visit(x, position) for every element; true from it ends the visits.
  template <class Visit>
  void for_each(Visit visit) const {
    for (int64_t d = 0; d < box.shape[0]; ++d)
      for (int64_t h = 0; h < box.shape[1]; ++h)
        for (int64_t w = 0; w < box.shape[2]; ++w)
          if (visit(box.data[d * box.step[0] + h * box.step[1] + w * box.step[2]],
                    first + d * index[0] + h * index[1] + w * index[2]))
            return;
  }
  // Where v (or the first NaN) stands first.
  int64_t find(T v) const {
    int64_t at = 0;
    for_each([&](T e, int64_t i) {
      at = i;
      return e == v || (e != e && v != v);
    });
    return at;
  }
};

}  // namespace fastconv
