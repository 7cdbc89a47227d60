// The input gradient of padded inputs, folded into that of the inputs: where Fourier transforms work on large tiles,
// the border is cheaper as part of them than by table.
#pragma once
#include "fastconv/conv.hpp"
#include "fastconv/pad.hpp"

namespace fastconv {

struct Fold {
  ConvProblem wide;  // of the padded input
  PadProblem pad;

  explicit Fold(const ConvProblem& p);

  template <class T>
  bool pays(Algorithm algorithm) const;
  template <class T>
  void run(View<const T> dy, View<const T> w, View<T> dx, Algorithm algorithm) const;
  template <class T>
  ConvPlan describe(Algorithm algorithm) const;

 private:
  bool widens() const;
  int64_t image_elements() const { return wide.ic * wide.axis[0].in * wide.axis[1].in * wide.axis[2].in; }
  template <class T>
  int64_t images_at_once() const;
};

}  // namespace fastconv
