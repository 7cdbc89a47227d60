// What the weight gradients of few channels a group begin with.
#pragma once
#include "base/parallel.hpp"
#include "conv/axis.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

template <class T>
class DepthwiseGradient {
 protected:
  DepthwiseGradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw)
      : p_(p),
        dy_(dy),
        x_(x),
        dw_(dw),
        h_(forward_axis(p.axis[1])),
        w_(forward_axis(p.axis[2])),
        channels_(p.ic / p.groups),
        rows_(p.oc / p.groups),
        threads_(threads_for(2 * p.macs())) {}

  const ConvProblem& p_;
  View<const T> dy_, x_;
  View<T> dw_;
  AxisMap h_, w_;
  int64_t channels_, rows_;  // of a group
  int threads_;
};

}  // namespace fastconv
