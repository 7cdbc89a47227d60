#pragma once
#include "pool/rows.hpp"

namespace fastconv {

// What outputs count, where windows may count differently: a factor an output of each axis.
template <class T>
struct AvgWeights {
  const PoolProblem& p;
  Averaging averaging;
  T scale = averaging.divisor ? T(1) / static_cast<T>(averaging.divisor) : T(1);  // of the width's
  T of(int axis, int64_t o) const {
    return averaging.divisor ? T(1) : T(1) / static_cast<T>(pool_divisor(p.axis[axis], o, averaging.count_include_pad));
  }
  template <class U = T>
  Vector<U> all(int axis) const {
    Vector<U> weights(static_cast<size_t>(p.axis[axis].out));
    for (int64_t o = 0; o < p.axis[axis].out; ++o)
      weights.data()[o] = static_cast<U>(axis == 2 ? scale * of(2, o) : of(axis, o));
    return weights;
  }
  // Of the outputs of the width that reach columns [first, last), and kSpare that are not there.
  static constexpr int64_t kSpare = 16;
  void list(int64_t first, int64_t last, T* to) const {
    const PoolAxis& w = p.axis[2];
    const PoolCover o = avg_grad_outputs(w, first, last);
    for (int64_t j = std::max<int64_t>(o.first, 0); j < std::min(o.last, w.out); ++j) *to++ = scale * of(2, j);
    std::fill_n(to, kSpare, T(0));
  }
};

}  // namespace fastconv
