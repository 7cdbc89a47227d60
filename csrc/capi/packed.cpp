// Weights packed once.
#include "capi/conv.hpp"

using namespace fastconv;
using namespace fastconv::capi;

struct fastconv_packed {
  ConvProblem problem;
  int dtype;
  Algorithm algorithm;
  virtual ~fastconv_packed() = default;
  virtual size_t bytes() const = 0;
  fastconv_packed(const fastconv_conv& c) : problem(c.problem), dtype(c.dtype), algorithm(c.algorithm) {}

  bool fits(const fastconv_conv& c) const {
    const ConvProblem &p = problem, &q = c.problem;
    bool same = dtype == c.dtype && algorithm == c.algorithm && p.groups == q.groups && p.ic == q.ic && p.oc == q.oc;
    for (int i = 0; i < 3; ++i)
      same = same && p.axis[i].k == q.axis[i].k && p.axis[i].stride == q.axis[i].stride &&
             p.axis[i].dilation == q.axis[i].dilation;
    return same;
  }
};

namespace {

template <class T>
struct PackedOf final : fastconv_packed {
  PackedWeights<T> weights;
  PackedOf(const fastconv_conv& c, View<const T> w, View<const T> bias)
      : fastconv_packed(c), weights(c.problem, w, bias, c.algorithm) {}
  size_t bytes() const override { return static_cast<size_t>(weights.bytes()); }
};

}  // namespace

extern "C" {

fastconv_status fastconv_packed_create(const fastconv_conv* conv, const fastconv_array* w, const fastconv_array* bias,
                                       fastconv_packed** packed) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    require_pointer(packed, "packed");
    *packed = nullptr;
    const auto vw = input<T>(w, conv->weight(), "w");
    *packed = new PackedOf<T>(*conv, vw, optional_input<T>(bias, vector_shape(conv->problem.oc), "bias"));
  });
}
void fastconv_packed_free(fastconv_packed* packed) { delete packed; }

fastconv_status fastconv_packed_bytes(const fastconv_packed* packed, size_t* bytes) {
  return guarded([&] {
    require_pointer(packed, "packed");
    require_pointer(bytes, "bytes");
    *bytes = packed->bytes();
  });
}

fastconv_status fastconv_conv_forward_packed(const fastconv_conv* conv, const fastconv_array* x,
                                             const fastconv_packed* packed, const fastconv_array* y, void* workspace,
                                             size_t workspace_size) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    require_pointer(packed, "packed");
    if (!packed->fits(*conv))
      invalid({"packed: made for another dtype, algorithm, number of groups or channels, kernel, stride or dilation"});
    const auto vx = input<T>(x, conv->input(), "x");
    const auto vy = output<T>(y, conv->output(), "y");
    const Lent lent(conv, Direction::forward, workspace, workspace_size);
    conv_forward_packed<T>(conv->problem, vx, static_cast<const PackedOf<T>*>(packed)->weights, vy, conv->activation);
  });
}

}  // extern "C"
