// Pools of windows: Python arguments -> problem and views -> the core.
#include "bindings/pool_call.hpp"

namespace fastconv {
namespace {

py::object run_max(PoolCall& c, py::handle return_indices, py::handle out) {
  return pool_forward(c, parse_bool(return_indices, "return_indices"), out,
                      [&](auto x, auto y, auto at) { max_pool(c.p, x, y, at); });
}
py::array run_max_backward(PoolCall& c, py::handle g, py::handle indices, py::handle out) {
  return pool_backward(c, g, indices, out,
                       [&](auto dy, auto x, auto at, auto dx) { max_pool_backward(c.p, dy, x, at, dx); });
}
py::object run_avg(PoolCall& c, Averaging averaging, py::handle out) {
  return pool_forward(c, false, out, [&](auto x, auto y, auto) { avg_pool(c.p, averaging, x, y); });
}
py::array run_avg_backward(PoolCall& c, Averaging averaging, py::handle g, py::handle out) {
  return pool_backward(c, g, py::none(), out,
                       [&](auto dy, auto, auto, auto dx) { avg_pool_backward(c.p, averaging, dy, dx); });
}

py::object max_pool_py(int nd, py::handle input, py::handle kernel_size, py::handle stride, py::handle padding,
                       py::handle dilation, py::handle ceil_mode, py::handle return_indices, py::handle out) {
  PoolCall c(nd, input);
  c.regular(kernel_size, stride, padding, dilation, ceil_mode);
  return run_max(c, return_indices, out);
}
py::array max_pool_backward_py(int nd, py::handle g, py::handle input, py::handle kernel_size, py::handle stride,
                               py::handle padding, py::handle dilation, py::handle ceil_mode, py::handle indices,
                               py::handle out) {
  PoolCall c(nd, input);
  c.regular(kernel_size, stride, padding, dilation, ceil_mode);
  return run_max_backward(c, g, indices, out);
}

Averaging parse_averaging(py::handle count_include_pad, py::handle divisor) {
  return {parse_bool(count_include_pad, "count_include_pad"),
          divisor.is_none() ? 0 : parse_int(divisor, 1, "divisor_override")};
}
py::object avg_pool_py(int nd, py::handle input, py::handle kernel_size, py::handle stride, py::handle padding,
                       py::handle ceil_mode, py::handle count_include_pad, py::handle divisor, py::handle out) {
  PoolCall c(nd, input);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return run_avg(c, parse_averaging(count_include_pad, divisor), out);
}
py::array avg_pool_backward_py(int nd, py::handle g, py::handle input, py::handle kernel_size, py::handle stride,
                               py::handle padding, py::handle ceil_mode, py::handle count_include_pad,
                               py::handle divisor, py::handle out) {
  PoolCall c(nd, input);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return run_avg_backward(c, parse_averaging(count_include_pad, divisor), g, out);
}

Norm parse_norm(py::handle norm_type, py::handle mean) {
  const double p = parse_number(norm_type, "norm_type");
  if (!(p > 0)) value_error({"norm_type must be larger than 0, got ", repr_text(norm_type)});
  return {p, parse_bool(mean, "mean")};
}
py::object lp_pool_py(int nd, py::handle input, py::handle norm_type, py::handle kernel_size, py::handle stride,
                      py::handle ceil_mode, py::handle mean, py::handle padding, py::handle out) {
  PoolCall c(nd, input);
  const Norm norm = parse_norm(norm_type, mean);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return pool_forward(c, false, out, [&](auto x, auto y, auto) { lp_pool(c.p, norm, x, y); });
}
py::array lp_pool_backward_py(int nd, py::handle g, py::handle input, py::handle norm_type, py::handle kernel_size,
                              py::handle stride, py::handle ceil_mode, py::handle mean, py::handle padding,
                              py::handle out) {
  PoolCall c(nd, input);
  const Norm norm = parse_norm(norm_type, mean);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return pool_backward(c, g, py::none(), out,
                       [&](auto dy, auto x, auto, auto dx) { lp_pool_backward(c.p, norm, dy, x, dx); });
}

py::object adaptive_avg_py(int nd, py::handle input, py::handle output_size, py::handle out) {
  PoolCall c(nd, input);
  c.adaptive(output_size);
  return run_avg(c, {}, out);
}
py::array adaptive_avg_backward_py(int nd, py::handle g, py::handle input, py::handle output_size, py::handle out) {
  PoolCall c(nd, input);
  c.adaptive(output_size);
  return run_avg_backward(c, {}, g, out);
}
py::object adaptive_max_py(int nd, py::handle input, py::handle output_size, py::handle return_indices,
                           py::handle out) {
  PoolCall c(nd, input);
  c.adaptive(output_size);
  return run_max(c, return_indices, out);
}
py::array adaptive_max_backward_py(int nd, py::handle g, py::handle input, py::handle output_size, py::handle indices,
                                   py::handle out) {
  PoolCall c(nd, input);
  c.adaptive(output_size);
  return run_max_backward(c, g, indices, out);
}

py::object fractional_max_py(int nd, py::handle input, py::handle kernel_size, py::handle output_size,
                             py::handle samples, py::handle return_indices, py::handle out) {
  PoolCall c(nd, input);
  const auto starts = c.fractional(kernel_size, output_size, samples);
  return run_max(c, return_indices, out);
}
py::array fractional_max_backward_py(int nd, py::handle g, py::handle input, py::handle kernel_size,
                                     py::handle output_size, py::handle samples, py::handle indices, py::handle out) {
  PoolCall c(nd, input);
  const auto starts = c.fractional(kernel_size, output_size, samples);
  return run_max_backward(c, g, indices, out);
}

}  // namespace

void register_pool(py::handle module) {
  static PyMethodDef methods[] = {
      method<max_pool_py>("max_pool"),
      method<max_pool_backward_py>("max_pool_backward"),
      method<avg_pool_py>("avg_pool"),
      method<avg_pool_backward_py>("avg_pool_backward"),
      method<lp_pool_py>("lp_pool"),
      method<lp_pool_backward_py>("lp_pool_backward"),
      method<adaptive_avg_py>("adaptive_avg_pool"),
      method<adaptive_avg_backward_py>("adaptive_avg_pool_backward"),
      method<adaptive_max_py>("adaptive_max_pool"),
      method<adaptive_max_backward_py>("adaptive_max_pool_backward"),
      method<fractional_max_py>("fractional_max_pool"),
      method<fractional_max_backward_py>("fractional_max_pool_backward"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
