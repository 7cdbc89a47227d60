// The handle of a convolution.
#pragma once
#include "capi/call.hpp"
#include "fastconv/conv.hpp"

struct fastconv_conv {
  fastconv::ConvProblem problem;
  int spatial_dims;
  int dtype;
  fastconv::Activation activation;
  fastconv::Algorithm algorithm;
  int threads;          // that a call with a workspace may use
  size_t workspace[3];  // bytes it needs, by direction

  using Shape = fastconv::capi::Shape;
  Shape input() const { return spatial(problem.mb, problem.ic, &fastconv::ConvAxis::in); }
  Shape output() const { return spatial(problem.mb, problem.oc, &fastconv::ConvAxis::out); }
  Shape weight() const { return spatial(problem.oc, problem.ic / problem.groups, &fastconv::ConvAxis::k); }
  Shape columns() const { return {{problem.mb, problem.ic * problem.taps(), 1, 1, problem.out_pixels()}, 3}; }

 private:
  Shape spatial(int64_t n, int64_t c, int64_t fastconv::ConvAxis::*size) const {
    return fastconv::capi::with_spatial(spatial_dims, n, c, problem.axis[0].*size, problem.axis[1].*size,
                                        problem.axis[2].*size);
  }
};

namespace fastconv::capi {
inline Shape vector_shape(int64_t n) { return {{n, 1, 1, 1, 1}, 1}; }
}  // namespace fastconv::capi
