// What the core would do, told without doing it.
#include "bindings/conv_call.hpp"

namespace fastconv {
namespace {

py::dict explain_py(int nd, py::handle input_shape, py::handle weight_shape, py::handle stride, py::handle padding,
                    py::handle dilation, py::handle groups, py::handle padding_mode, py::handle direction, bool f64,
                    py::handle algorithm) {
  ConvCall c(nd, py::bool_(false));
  read_steps(c, stride, dilation, groups);
  py::tuple x = parse_shape(input_shape, "input_shape"), w = parse_shape(weight_shape, "weight_shape");
  if (static_cast<int>(py::len(w)) != nd + 2)
    value_error({"weight_shape must have ", nd + 2, " sizes, got ", repr_text(weight_shape)});
  const int lead = static_cast<int>(py::len(x)) - nd;
  if (lead != 1 && lead != 2)
    value_error({"input_shape must have ", nd + 2, " or ", nd + 1, " sizes, got ", repr_text(input_shape)});
  auto size = [&](const py::tuple& t, int i, const char* name) {
    return parse_int(t[static_cast<size_t>(i)], 0, name);
  };
  c.p.mb = lead == 2 ? size(x, 0, "input_shape") : 1;
  c.p.ic = size(x, lead - 1, "input_shape");
  c.p.oc = size(w, 0, "weight_shape");
  require_channels(c, c.p.ic, size(w, 1, "weight_shape"));
  for (int i = 0; i < nd; ++i)
    c.axes()[i].in = size(x, lead + i, "input_shape"), c.axes()[i].k = size(w, 2 + i, "weight_shape");
  finish_axes(c, padding, padding_mode);
  validate(c.p);
  Direction d = parse_direction(direction);
  Algorithm alg = parse_algorithm(algorithm);
  ConvPlan plan = f64 ? plan_conv<double>(c.p, d, alg) : plan_conv<float>(c.p, d, alg);
  py::list out_shape;
  if (lead == 2) out_shape.append(c.p.mb);
  out_shape.append(c.p.oc);
  for (int i = 0; i < nd; ++i) out_shape.append(c.axes()[i].out);
  py::dict r;
  r["algorithm"] = algorithm_name(plan.algorithm);
  r["kernel"] = plan.kernel;
  r["output_shape"] = py::tuple(out_shape);
  r["lanes"] = plan.lanes;
  r["mr"] = plan.mr;
  r["nr"] = plan.nr;
  r["block_channels"] = plan.block_channels;
  r["block_pixels"] = plan.block_pixels;
  r["workspace_bytes"] = plan.workspace_bytes;
  r["shared_bytes"] = plan.shared_bytes;
  r["threads"] = plan.threads;
  r["macs"] = plan.macs;
  r["bytes"] = plan.bytes;
  r["cost"] = plan.cost;
  return r;
}

}  // namespace

void register_explain(py::handle module) {
  static PyMethodDef methods[] = {
      method<explain_py>("explain"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
