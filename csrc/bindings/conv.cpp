// Convolution and its gradients: Python arguments -> problem and views -> the core.
#include "base/checked.hpp"
#include "bindings/conv_call.hpp"

namespace fastconv {
namespace {

// The problem of input and weight, whose dtypes and shapes must agree.
void conv_problem(ConvCall& c, const py::array& x, const py::array& w, py::handle stride, py::handle padding,
                  py::handle dilation, py::handle groups, py::handle padding_mode) {
  require_same_dtype(x, "input", w, "weight");
  read_image(c, x, "input");
  require_weight_rank(c, w);
  read_steps(c, stride, dilation, groups);
  c.p.ic = x.shape(c.lead - 1);
  c.p.oc = w.shape(0);
  require_channels(c, c.p.ic, w.shape(1));
  for (int i = 0; i < c.nd; ++i) c.axes()[i].in = x.shape(c.lead + i);
  kernel_from_weight(c, w);
  finish_axes(c, padding, padding_mode);
  validate(c.p);
}

py::array conv_forward_py(int nd, py::handle input, py::handle weight, py::handle bias, py::handle stride,
                          py::handle padding, py::handle dilation, py::handle groups, py::handle padding_mode,
                          py::handle flip, py::handle activation, py::handle algorithm, py::handle out) {
  ConvCall c(nd, flip);
  py::array x = input_array(input, "input"), w = input_array(weight, "weight");
  conv_problem(c, x, w, stride, padding, dilation, groups, padding_mode);
  Activation act = parse_activation(activation);
  Algorithm alg = parse_algorithm(algorithm);
  py::array b = optional_bias(bias, x, "input", c.p.oc);
  int64_t shape[5];
  int rank = output_shape(c, c.p.oc, true, shape);
  py::array y = output_array(out, c.f64, shape, rank, "out", {&x, &w, b.is_none() ? nullptr : &b});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    conv_forward<T>(c.p, view_of<const T>(x, nd, c.lead), oriented(view_of<const T>(w, nd, 2), c.flip), bias_view<T>(b),
                    view_of<T>(y, nd, c.lead), act, alg);
  });
  return y;
}

py::array grad_input_py(int nd, py::handle grad_output, py::handle weight, py::handle input_size, py::handle stride,
                        py::handle padding, py::handle dilation, py::handle groups, py::handle padding_mode,
                        py::handle flip, py::handle algorithm, py::handle out) {
  ConvCall c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), w = input_array(weight, "weight");
  require_same_dtype(g, "grad_output", w, "weight");
  read_image(c, g, "grad_output");
  require_weight_rank(c, w);
  read_steps(c, stride, dilation, groups);
  // input_size: the whole shape of the input, or its spatial part alone.
  py::tuple size = parse_shape(input_size, "input_size");
  int given = static_cast<int>(py::len(size));
  if (given != nd && given != nd + c.lead)
    value_error({"input_size must be the input's shape (", nd + c.lead, " sizes) or its spatial part (", nd, "), got ",
                 repr_text(input_size)});
  int64_t sizes[5];
  for (int i = 0; i < given; ++i) sizes[i] = parse_int(size[static_cast<size_t>(i)], 0, "input_size");
  c.p.oc = w.shape(0);
  c.p.ic = checked_mul(w.shape(1), c.p.groups, "groups");
  if (given != nd) {
    if (c.lead == 2 && sizes[0] != c.p.mb)
      value_error({"input_size has batch ", sizes[0], " but grad_output has ", c.p.mb});
    require_channels(c, sizes[c.lead - 1], w.shape(1));
  }
  for (int i = 0; i < nd; ++i) c.axes()[i].in = sizes[given - nd + i];
  kernel_from_weight(c, w);
  finish_axes(c, padding, padding_mode);
  Algorithm alg = parse_algorithm(algorithm);
  validate(c.p);
  require_grad_output(c, g, c.p.oc, true);
  int64_t shape[5];
  int rank = output_shape(c, c.p.ic, false, shape);
  py::array dx = output_array(out, c.f64, shape, rank, "out", {&g, &w});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    conv_backward_input<T>(c.p, view_of<const T>(g, nd, c.lead), oriented(view_of<const T>(w, nd, 2), c.flip),
                           View<const T>{}, view_of<T>(dx, nd, c.lead), Activation::none, alg);
  });
  return dx;
}

py::array grad_weight_py(int nd, py::handle grad_output, py::handle input, py::handle kernel_size, py::handle stride,
                         py::handle padding, py::handle dilation, py::handle groups, py::handle padding_mode,
                         py::handle flip, py::handle algorithm, py::handle out) {
  ConvCall c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), x = input_array(input, "input");
  require_same_dtype(g, "grad_output", x, "input");
  read_image(c, x, "input");
  read_steps(c, stride, dilation, groups);
  c.p.ic = x.shape(c.lead - 1);
  if (g.ndim() != x.ndim()) bad_rank("grad_output", g, "of the rank of input, " + shape_text(x));
  c.p.oc = g.shape(c.lead - 1);
  int64_t k[3];
  parse_axes(kernel_size, nd, 1, "kernel_size", k);
  for (int i = 0; i < nd; ++i) c.axes()[i].k = k[i], c.axes()[i].in = x.shape(c.lead + i);
  finish_axes(c, padding, padding_mode);
  Algorithm alg = parse_algorithm(algorithm);
  validate(c.p);
  require_grad_output(c, g, c.p.oc, true);
  int64_t shape[5] = {c.p.oc, c.p.ic / c.p.groups};
  for (int i = 0; i < nd; ++i) shape[2 + i] = k[i];
  py::array dw = output_array(out, c.f64, shape, nd + 2, "out", {&g, &x});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    conv_backward_weight<T>(c.p, view_of<const T>(g, nd, c.lead), view_of<const T>(x, nd, c.lead),
                            oriented(view_of<T>(dw, nd, 2), c.flip), alg);
  });
  return dw;
}

py::array grad_bias_py(int nd, py::handle grad_output, py::handle out) {
  ConvCall c(nd, py::bool_(false));
  py::array g = input_array(grad_output, "grad_output");
  read_image(c, g, "grad_output");
  int64_t shape[1] = {g.shape(c.lead - 1)};
  py::array db = output_array(out, c.f64, shape, 1, "out", {&g});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    View<T> v;
    v.data = static_cast<T*>(db.mutable_data());
    v.shape[0] = db.shape(0);
    v.stride[0] = db.strides(0) / static_cast<int64_t>(sizeof(T));
    conv_backward_bias<T>(view_of<const T>(g, nd, c.lead), v);
  });
  return db;
}

// A new array of the shape and dtype of `a`, or None.
py::array new_like(const py::array& a, bool needed) {
  if (!needed) return py::reinterpret_borrow<py::array>(py::none());
  return output_array(py::none(), is_f64(a), reinterpret_cast<const int64_t*>(a.shape()), static_cast<int>(a.ndim()),
                      "out");
}

py::tuple backward_py(int nd, py::handle grad_output, py::handle input, py::handle weight, py::handle stride,
                      py::handle padding, py::handle dilation, py::handle groups, py::handle padding_mode,
                      py::handle flip, bool need_input, bool need_weight, bool need_bias, py::handle algorithm) {
  ConvCall c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), x = input_array(input, "input"),
            w = input_array(weight, "weight");
  conv_problem(c, x, w, stride, padding, dilation, groups, padding_mode);
  return gradients(c, false, g, x, w, {need_input, need_weight, need_bias}, parse_algorithm(algorithm));
}

}  // namespace

py::tuple gradients(const ConvCall& c, bool transposed, const py::array& g, const py::array& x, const py::array& w,
                    const Needs& needs, Algorithm algorithm) {
  require_same_dtype(x, "input", g, "grad_output");
  require_grad_output(c, g, transposed ? c.p.ic : c.p.oc, !transposed);
  py::array dx = new_like(x, needs.input), dw = new_like(w, needs.weight);
  py::object db = py::none();
  if (needs.bias) db = grad_bias_py(c.nd, g, py::none());
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    const auto gv = view_of<const T>(g, c.nd, c.lead), xv = view_of<const T>(x, c.nd, c.lead),
               wv = oriented(view_of<const T>(w, c.nd, 2), c.flip);
    if (needs.input)
      (transposed ? conv_forward<T> : conv_backward_input<T>)(c.p, gv, wv, View<const T>{},
                                                              view_of<T>(dx, c.nd, c.lead), Activation::none,
                                                              algorithm);
    if (needs.weight)
      conv_backward_weight<T>(c.p, transposed ? xv : gv, transposed ? gv : xv,
                              oriented(view_of<T>(dw, c.nd, 2), c.flip), algorithm);
  });
  return py::make_tuple(dx, dw, db);
}

void register_conv(py::handle module) {
  static PyMethodDef methods[] = {
      method<conv_forward_py>("conv_forward"),    method<grad_input_py>("conv_grad_input"),
      method<grad_weight_py>("conv_grad_weight"), method<grad_bias_py>("conv_grad_bias"),
      method<backward_py>("conv_backward"),       {},  // the end
  };
  add_methods(module, methods);
}

}  // namespace fastconv
