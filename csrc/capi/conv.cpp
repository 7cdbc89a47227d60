#include "capi/conv.hpp"

#include "conv/workspace_size.hpp"
#include "fastconv/runtime.hpp"

using namespace fastconv;
using namespace fastconv::capi;

namespace {

ConvProblem problem_of(const fastconv_conv_desc& d, int nd) {
  ConvProblem p;
  p.mb = d.batch, p.groups = d.groups, p.ic = d.in_channels, p.oc = d.out_channels;
  for (int i = 0; i < nd; ++i) {
    ConvAxis& a = p.axis[3 - nd + i];
    a.in = d.input[i], a.k = d.kernel[i];
    a.stride = d.stride[i], a.dilation = d.dilation[i];
    a.pad_before = d.pad_before[i], a.pad_after = d.pad_after[i];
    a.mode = enumerator(d.mode[i], Mode::symmetric, "mode");
    require_at_least(d.output[i], -1, "output");
    a.out = 0;
  }
  validate(p);
  for (int i = 0; i < nd; ++i) {
    ConvAxis& a = p.axis[3 - nd + i];
    a.out = d.output[i] < 0 ? conv_output_size(a) : d.output[i];
  }
  validate(p);
  return p;
}

fastconv_status copy_shape(const fastconv_conv* conv, Shape (fastconv_conv::*which)() const, int64_t* shape) {
  return guarded([&] {
    require_pointer(conv, "conv");
    require_pointer(shape, "shape");
    const Shape s = (conv->*which)();
    for (int i = 0; i < s.rank; ++i) shape[i] = s.n[s.axis(i)];
  });
}

}  // namespace

extern "C" {

fastconv_status fastconv_conv_desc_init(fastconv_conv_desc* desc, size_t struct_size) {
  return guarded([&] {
    fastconv_conv_desc d{};
    d.spatial_dims = 2;
    d.batch = d.groups = d.in_channels = d.out_channels = 1;
    for (int i = 0; i < 3; ++i) d.input[i] = d.kernel[i] = d.stride[i] = d.dilation[i] = 1, d.output[i] = -1;
    write_defaults(desc, struct_size, d);
  });
}

fastconv_status fastconv_conv_create(const fastconv_conv_desc* desc, fastconv_conv** conv) {
  return guarded([&] {
    require_pointer(conv, "conv");
    *conv = nullptr;
    const fastconv_conv_desc& d = checked_desc(desc);
    fastconv_conv c{};
    c.spatial_dims = checked_spatial_dims(d.spatial_dims);
    c.dtype = d.dtype;
    c.activation = enumerator(d.activation, Activation::tanh, "activation");
    c.algorithm = enumerator(d.algorithm, Algorithm::reference, "algorithm");
    c.problem = problem_of(d, c.spatial_dims);
    c.threads = num_threads();
    with_type(c.dtype, [&](auto t) {
      for (int i = 0; i < 3; ++i)
        c.workspace[i] = static_cast<size_t>(
            conv_workspace_size<decltype(t)>(c.problem, static_cast<Direction>(i), c.algorithm, c.threads));
    });
    *conv = new fastconv_conv(c);
  });
}
void fastconv_conv_free(fastconv_conv* conv) { delete conv; }

fastconv_status fastconv_conv_input_shape(const fastconv_conv* conv, int64_t shape[5]) {
  return copy_shape(conv, &fastconv_conv::input, shape);
}
fastconv_status fastconv_conv_weight_shape(const fastconv_conv* conv, int64_t shape[5]) {
  return copy_shape(conv, &fastconv_conv::weight, shape);
}
fastconv_status fastconv_conv_output_shape(const fastconv_conv* conv, int64_t shape[5]) {
  return copy_shape(conv, &fastconv_conv::output, shape);
}

fastconv_status fastconv_conv_workspace_size(const fastconv_conv* conv, int direction, size_t* size) {
  return guarded([&] {
    require_pointer(conv, "conv");
    require_pointer(size, "size");
    *size = conv->workspace[static_cast<int>(enumerator(direction, Direction::backward_weight, "direction"))];
  });
}

fastconv_status fastconv_conv_forward(const fastconv_conv* conv, const fastconv_array* x, const fastconv_array* w,
                                      const fastconv_array* bias, const fastconv_array* y, void* workspace,
                                      size_t workspace_size) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    const auto vx = input<T>(x, conv->input(), "x"), vw = input<T>(w, conv->weight(), "w");
    const auto vb = optional_input<T>(bias, vector_shape(conv->problem.oc), "bias");
    const auto vy = output<T>(y, conv->output(), "y");
    const Lent lent(conv, Direction::forward, workspace, workspace_size);
    conv_forward<T>(conv->problem, vx, vw, vb, vy, conv->activation, conv->algorithm);
  });
}

fastconv_status fastconv_conv_backward_input(const fastconv_conv* conv, const fastconv_array* dy,
                                             const fastconv_array* w, const fastconv_array* dx, void* workspace,
                                             size_t workspace_size) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    const auto vy = input<T>(dy, conv->output(), "dy"), vw = input<T>(w, conv->weight(), "w");
    const auto vx = output<T>(dx, conv->input(), "dx");
    const Lent lent(conv, Direction::backward_input, workspace, workspace_size);
    conv_backward_input<T>(conv->problem, vy, vw, {}, vx, Activation::none, conv->algorithm);
  });
}

fastconv_status fastconv_conv_backward_weight(const fastconv_conv* conv, const fastconv_array* dy,
                                              const fastconv_array* x, const fastconv_array* dw, void* workspace,
                                              size_t workspace_size) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    const auto vy = input<T>(dy, conv->output(), "dy"), vx = input<T>(x, conv->input(), "x");
    const auto vw = output<T>(dw, conv->weight(), "dw");
    const Lent lent(conv, Direction::backward_weight, workspace, workspace_size);
    conv_backward_weight<T>(conv->problem, vy, vx, vw, conv->algorithm);
  });
}

fastconv_status fastconv_conv_backward_bias(const fastconv_conv* conv, const fastconv_array* dy,
                                            const fastconv_array* db) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    const auto vy = input<T>(dy, conv->output(), "dy");
    conv_backward_bias<T>(vy, output<T>(db, vector_shape(conv->problem.oc), "db"));
  });
}

fastconv_status fastconv_conv_transpose(const fastconv_conv* conv, const fastconv_array* from, const fastconv_array* w,
                                        const fastconv_array* bias, const fastconv_array* to, void* workspace,
                                        size_t workspace_size) {
  return on(conv, [&](auto t) {
    using T = decltype(t);
    const auto vy = input<T>(from, conv->output(), "from"), vw = input<T>(w, conv->weight(), "w");
    const auto vb = optional_input<T>(bias, vector_shape(conv->problem.ic), "bias");
    const auto vx = output<T>(to, conv->input(), "to");
    const Lent lent(conv, Direction::backward_input, workspace, workspace_size);
    conv_backward_input<T>(conv->problem, vy, vw, vb, vx, conv->activation, conv->algorithm);
  });
}

fastconv_status fastconv_transpose_size(int64_t from, int64_t kernel, int64_t stride, int64_t dilation,
                                        int64_t pad_before, int64_t pad_after, int64_t output_padding, int64_t* to) {
  return guarded([&] {
    require_pointer(to, "to");
    require_at_least(from, 1, "from");
    require_at_least(kernel, 1, "kernel");
    require_at_least(stride, 1, "stride");
    require_at_least(dilation, 1, "dilation");
    require_at_least(pad_before, 0, "pad_before");
    require_at_least(pad_after, 0, "pad_after");
    require_at_least(output_padding, 0, "output_padding");
    const int64_t reach =
        checked_add(checked_mul(from - 1, stride, "stride"), checked_mul(dilation, kernel - 1, "dilation"), "kernel");
    const int64_t size = checked_add(reach, checked_add(output_padding, 1, "output_padding"), "output_padding") -
                         checked_add(pad_before, pad_after, "padding");
    if (size < 0) invalid({"padding (", pad_before, ", ", pad_after, ") leaves nothing of the output"});
    *to = size;
  });
}

}  // extern "C"
