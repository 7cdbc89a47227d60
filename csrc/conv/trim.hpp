// Taps at the ends of an axis that meet nothing but zeros, as all but one of 3x3 taps on a single pixel do.
#pragma once
#include <algorithm>

#include "fastconv/conv.hpp"

namespace fastconv {

// The problem without such taps; of the weights `w` is left a view of the others.
template <class T>
ConvProblem without_dead_taps(ConvProblem p, View<T>& w) {
  for (int i = 0; i < 3; ++i) {
    ConvAxis& a = p.axis[i];
    const auto leave_out = [&](int64_t& pad) {
      pad = std::max<int64_t>(0, pad - a.dilation);
      --a.k;
      --w.shape[2 + i];
    };
    if (a.mode != Mode::zeros || a.out == 0) continue;
    while (a.k > 1 && a.pad_before >= a.dilation && (a.out - 1) * a.stride < a.pad_before) {
      if (w.data) w.data += w.stride[2 + i];
      leave_out(a.pad_before);
    }
    while (a.k > 1 && (a.k - 1) * a.dilation - a.pad_before >= a.in) leave_out(a.pad_after);
  }
  return p;
}

}  // namespace fastconv
