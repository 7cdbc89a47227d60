// Padding is an index map: this file alone knows what the padding modes mean.
#pragma once
#include <cstdint>

#include "fastconv/conv.hpp"

namespace fastconv {

inline int64_t floor_mod(int64_t a, int64_t n) {
  int64_t r = a % n;
  return r < 0 ? r + n : r;
}
inline int64_t floor_div(int64_t a, int64_t n) { return (a - floor_mod(a, n)) / n; }

// The input coordinate in [0, n) that stands at coordinate q of the endless padded axis, or -1 for a zero.
// Any distance from the input is fine: circular wraps and reflect bounces as often as needed.
inline int64_t map_coordinate(Mode mode, int64_t q, int64_t n) {
  if (q >= 0 && q < n) return q;
  switch (mode) {
    case Mode::zeros:
      return -1;
    case Mode::replicate:
      return q < 0 ? 0 : n - 1;
    case Mode::circular:
      return floor_mod(q, n);
    case Mode::reflect: {  // ... 2 1 | 0 1 2 | 1 0 ...: the edge stands once, period 2 (n - 1)
      if (n == 1) return 0;
      int64_t m = floor_mod(q, 2 * (n - 1));
      return m < n ? m : 2 * (n - 1) - m;
    }
    case Mode::symmetric: {  // ... 1 0 | 0 1 2 | 2 1 ...: the edge stands twice, period 2 n
      int64_t m = floor_mod(q, 2 * n);
      return m < n ? m : 2 * n - 1 - m;
    }
  }
  return -1;
}

}  // namespace fastconv
