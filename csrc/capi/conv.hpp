// The handle of a convolution, and what the calls that compute with it share.
#pragma once
#include "base/workspace.hpp"
#include "capi/call.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/runtime.hpp"

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

// The caller's memory for the length of a call, on no more threads than it was measured for; without any, nothing.
class Lent {
 public:
  Lent(const fastconv_conv* conv, Direction direction, void* memory, size_t size)
      : workspace_(memory, size),
        borrowing_(memory ? &workspace_ : nullptr),
        limited_(memory && num_threads() > conv->threads) {
    if (!memory && size) invalid({"workspace must not be null where workspace_size is ", size});
    if (memory && size < conv->workspace[static_cast<int>(direction)])
      throw WorkspaceTooSmall(size, conv->workspace[static_cast<int>(direction)]);
    if (limited_) previous_ = set_thread_limit(conv->threads);
  }
  ~Lent() {
    if (limited_) set_thread_limit(previous_);
  }
  Lent(const Lent&) = delete;

 private:
  Workspace workspace_;
  Borrowing borrowing_;
  bool limited_;
  int previous_ = 0;
};

// f(T{}) for a handle's element type.
template <class F>
fastconv_status on(const fastconv_conv* conv, F f) {
  return guarded([&] {
    require_pointer(conv, "conv");
    with_type(conv->dtype, f);
  });
}

}  // namespace fastconv::capi
