// Kernels of one tap: planes times numbers, and products of planes (kernels/depthwise/depthwise.hpp).
#pragma once
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/masked.hpp"
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// f(first element, vectors) for some vectors at a time, then one by one, the last of which may be short.
template <class T, class Many, class One>
FASTCONV_INLINE void by_vectors(int64_t n, Many many, One one) {
  constexpr int64_t VL = kLanes<T>;
  int64_t i = 0;
  for (; i + 4 * VL <= n; i += 4 * VL) many(i);
  for (; i < n; i += VL) one(i, RowPart<T>(n - i));
}

template <class T>
void scale(const ScaledPlanes<T>& s) {
  constexpr int64_t VL = kLanes<T>;
  for (int64_t g = 0; g < s.groups; ++g)
    for (int64_t r = 0; r < s.rows; ++r) {
      const T *x = s.x + g * s.x_group, *w = s.w + g * s.w_group + r * s.w_row;
      T* const y = s.y + g * s.y_group + r * s.y_row;
      const Vec<T> init = splat(s.bias ? s.bias[(g * s.rows + r) * s.bias_step] : T(0)), first = splat(*w);
      const auto sum = [&](auto& acc, auto at) FASTCONV_LAMBDA {
        int u = 0;
        for (Vec<T>& v : acc) v = init + first * at(x, u++);
        for (int64_t c = 1; c < s.channels; ++c) {
          const Vec<T> tap = splat(w[c * s.w_channel]);
          u = 0;
          for (Vec<T>& v : acc) v += tap * at(x + c * s.x_channel, u++);
        }
        if (s.clamp) clamp_all(s.low, s.high, acc);
      };
      by_vectors<T>(
          s.n,
          [&](int64_t i) FASTCONV_LAMBDA {
            Vec<T> acc[4];
            sum(acc, [&](const T* p, int u) FASTCONV_LAMBDA { return load(p + i + u * VL); });
#pragma GCC unroll 4
            for (int u = 0; u < 4; ++u) store(y + i + u * VL, acc[u]);
          },
          [&](int64_t i, const RowPart<T>& some) FASTCONV_LAMBDA {
            Vec<T> acc[1];
            sum(acc, [&](const T* p, int) FASTCONV_LAMBDA { return some.load_from(p + i); });
            some.store_to(y + i, acc[0]);
          });
    }
}

template <class T>
void plane_dots(const PlaneDots<T>& s) {
  constexpr int64_t VL = kLanes<T>;
  T* sums = s.sums;
  for (int64_t g = 0; g < s.groups; ++g)
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t c = 0; c < s.channels; ++c, sums += VL) {
        const T *x = s.x + g * s.x_group + c * s.x_channel, *dy = s.dy + g * s.dy_group + r * s.dy_row;
        Vec<T> acc[4] = {};
        by_vectors<T>(
            s.n,
            [&](int64_t i) FASTCONV_LAMBDA {
#pragma GCC unroll 4
              for (int u = 0; u < 4; ++u) acc[u] += load(x + i + u * VL) * load(dy + i + u * VL);
            },
            [&](int64_t i, const RowPart<T>& some)
                FASTCONV_LAMBDA { acc[0] += some.load_from(x + i) * some.load_from(dy + i); });
        store(sums, load(sums) + ((acc[0] + acc[1]) + (acc[2] + acc[3])));
      }
}

}  // namespace
}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
