// What the core would do, told without doing it.
#include "bindings/conv_call.hpp"

namespace fastconv {
namespace {

// The problem of an input and a weight of these shapes.
void problem_of_shapes(ConvCall& c, py::handle input_shape, py::handle weight_shape) {
  const int nd = c.nd;
  py::tuple x = parse_shape(input_shape, "input_shape"), w = parse_shape(weight_shape, "weight_shape");
  if (static_cast<int>(py::len(w)) != nd + 2)
    value_error({"weight_shape must have ", nd + 2, " sizes, got ", repr_text(weight_shape)});
  c.lead = static_cast<int>(py::len(x)) - nd;
  if (c.lead != 1 && c.lead != 2)
    value_error({"input_shape must have ", nd + 2, " or ", nd + 1, " sizes, got ", repr_text(input_shape)});
  const auto size = [](const py::tuple& t, int i, const char* name) {
    return parse_int(t[static_cast<size_t>(i)], 0, name);
  };
  c.p.mb = c.lead == 2 ? size(x, 0, "input_shape") : 1;
  c.p.ic = size(x, c.lead - 1, "input_shape");
  c.p.oc = size(w, 0, "weight_shape");
  require_channels(c, c.p.ic, size(w, 1, "weight_shape"));
  for (int i = 0; i < nd; ++i)
    c.axes()[i].in = size(x, c.lead + i, "input_shape"), c.axes()[i].k = size(w, 2 + i, "weight_shape");
}

py::dict as_dict(const ConvPlan& plan, const py::tuple& output_shape) {
  py::dict r;
  r["algorithm"] = algorithm_name(plan.algorithm);
  r["kernel"] = plan.kernel;
  r["output_shape"] = output_shape;
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

py::dict explain_py(int nd, py::handle input_shape, py::handle weight_shape, py::handle stride, py::handle padding,
                    py::handle dilation, py::handle groups, py::handle padding_mode, py::handle direction, bool f64,
                    py::handle algorithm) {
  ConvCall c(nd, py::bool_(false));
  read_steps(c, stride, dilation, groups);
  problem_of_shapes(c, input_shape, weight_shape);
  finish_axes(c, padding, padding_mode);
  validate(c.p);
  const Direction d = parse_direction(direction);
  const Algorithm chosen = parse_algorithm(algorithm);
  const ConvPlan plan = f64 ? plan_conv<double>(c.p, d, chosen) : plan_conv<float>(c.p, d, chosen);
  int64_t shape[5];
  const int rank = output_shape(c, c.p.oc, true, shape);
  py::tuple sizes(static_cast<size_t>(rank));
  for (int i = 0; i < rank; ++i) sizes[static_cast<size_t>(i)] = shape[i];
  return as_dict(plan, sizes);
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
