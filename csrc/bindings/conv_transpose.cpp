// Transposed convolution and its gradients, which are those of a convolution in another order.
#include <algorithm>

#include "base/checked.hpp"
#include "bindings/conv_call.hpp"

namespace fastconv {
namespace {

// The problem whose input gradient a transposed convolution is: its `in` is our output, its `out` our input.
void transposed_problem(ConvCall& c, const py::array& x, const py::array& w, py::handle stride, py::handle padding,
                        py::handle output_padding, py::handle groups, py::handle dilation, py::handle padding_mode) {
  require_same_dtype(x, "input", w, "weight");
  const int nd = c.nd;
  read_image(c, x, "input");
  if (w.ndim() != nd + 2) bad_rank("weight", w, std::string("(C, O/groups, ") + kernel_letters(nd) + ")");
  read_steps(c, stride, dilation, groups);
  c.p.oc = x.shape(c.lead - 1);
  if (w.shape(0) != c.p.oc) value_error({"weight is for ", w.shape(0), " input channels, but input has ", c.p.oc});
  c.p.ic = checked_mul(w.shape(1), c.p.groups, "groups");
  kernel_from_weight(c, w);
  int64_t extra[3];
  parse_axes(output_padding, nd, 0, "output_padding", extra);
  for (int i = 0; i < nd; ++i) {
    ConvAxis& a = c.axes()[i];
    a.out = x.shape(c.lead + i);
    if (extra[i] && extra[i] >= std::max(a.stride, a.dilation))
      value_error({"output_padding must be smaller than stride or dilation, got ", repr_text(output_padding)});
    a.in = checked_mul(a.out, a.stride, "stride");  // what 'same' pads for
  }
  parse_padding(padding, nd, c.axes());
  parse_modes(padding_mode, nd, c.axes());
  const bool same = PyUnicode_Check(padding.ptr()) && std::string(py::str(padding)).rfind("same", 0) == 0;
  for (int i = 0; i < nd; ++i) {
    ConvAxis& a = c.axes()[i];
    if (same) {
      if (extra[i]) value_error({"output_padding must be 0 with padding='same', got ", repr_text(output_padding)});
      continue;
    }
    if (a.out == 0) value_error({"input must not have a spatial axis of size 0, got ", shape_text(x)});
    int64_t grown = checked_add(checked_mul(a.out - 1, a.stride, "stride"),
                                checked_mul(a.dilation, a.k - 1, "dilation"), "dilation");
    a.in = checked_add(grown, checked_add(extra[i], 1, "output_padding"), "output_padding") -
           checked_add(a.pad_before, a.pad_after, "padding");
    if (a.in < 0)
      value_error({"padding of ", a.pad_before, " + ", a.pad_after, " takes more than the whole output of size ",
                   a.in + a.pad_before + a.pad_after});
  }
  validate(c.p);
}

py::array transpose_forward_py(int nd, py::handle input, py::handle weight, py::handle bias, py::handle stride,
                               py::handle padding, py::handle output_padding, py::handle groups, py::handle dilation,
                               py::handle padding_mode, py::handle flip, py::handle activation, py::handle algorithm,
                               py::handle out) {
  ConvCall c(nd, flip);
  py::array x = input_array(input, "input"), w = input_array(weight, "weight");
  transposed_problem(c, x, w, stride, padding, output_padding, groups, dilation, padding_mode);
  Activation act = parse_activation(activation);
  Algorithm alg = parse_algorithm(algorithm);
  py::array b = optional_bias(bias, x, "input", c.p.ic);
  int64_t shape[5];
  int rank = output_shape(c, c.p.ic, false, shape);
  py::array y = output_array(out, c.f64, shape, rank, "out", {&x, &w, b.is_none() ? nullptr : &b});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    conv_backward_input<T>(c.p, view_of<const T>(x, nd, c.lead), oriented(view_of<const T>(w, nd, 2), c.flip),
                           bias_view<T>(b), view_of<T>(y, nd, c.lead), act, alg);
  });
  return y;
}

py::tuple transpose_backward_py(int nd, py::handle grad_output, py::handle input, py::handle weight, py::handle stride,
                                py::handle padding, py::handle output_padding, py::handle groups, py::handle dilation,
                                py::handle padding_mode, py::handle flip, bool need_input, bool need_weight,
                                bool need_bias, py::handle algorithm) {
  ConvCall c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), x = input_array(input, "input"),
            w = input_array(weight, "weight");
  transposed_problem(c, x, w, stride, padding, output_padding, groups, dilation, padding_mode);
  return gradients(c, true, g, x, w, {need_input, need_weight, need_bias}, parse_algorithm(algorithm));
}

}  // namespace

void register_conv_transpose(py::handle module) {
  static PyMethodDef methods[] = {
      method<transpose_forward_py>("conv_transpose"),
      method<transpose_backward_py>("conv_transpose_backward"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
