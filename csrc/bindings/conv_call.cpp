#include "bindings/conv_call.hpp"

namespace fastconv {

void bad_rank(const char* name, const py::array& a, const Word& need) {
  value_error({name, " must have shape ", need, ", got ", shape_text(a)});
}

namespace {
const char* spatial_letters(int nd) { return nd == 1 ? "W" : nd == 2 ? "H, W" : "D, H, W"; }
}  // namespace

const char* kernel_letters(int nd) { return nd == 1 ? "kW" : nd == 2 ? "kH, kW" : "kD, kH, kW"; }

void read_image(ConvCall& c, const py::array& a, const char* name) {
  c.f64 = is_f64(a);
  c.lead = static_cast<int>(a.ndim()) - c.nd;
  if (c.lead != 1 && c.lead != 2)
    bad_rank(name, a, std::string("(N, C, ") + spatial_letters(c.nd) + ") or (C, " + spatial_letters(c.nd) + ")");
  c.p.mb = c.lead == 2 ? a.shape(0) : 1;
}

void require_weight_rank(const ConvCall& c, const py::array& w) {
  if (w.ndim() != c.nd + 2) bad_rank("weight", w, std::string("(O, C/groups, ") + kernel_letters(c.nd) + ")");
}

void read_steps(ConvCall& c, py::handle stride, py::handle dilation, py::handle groups) {
  int64_t s[3], d[3];
  parse_axes(stride, c.nd, 1, "stride", s);
  parse_axes(dilation, c.nd, 1, "dilation", d);
  for (int i = 0; i < c.nd; ++i) c.axes()[i].stride = s[i], c.axes()[i].dilation = d[i];
  c.p.groups = parse_int(groups, 1, "groups");
}

py::array optional_bias(py::handle h, const py::array& like, const char* like_name, int64_t channels) {
  if (h.is_none()) return py::reinterpret_borrow<py::array>(py::none());
  py::array b = input_array(h, "bias");
  require_same_dtype(like, like_name, b, "bias");
  if (b.ndim() != 1 || b.shape(0) != channels)
    value_error({"bias must have shape (", channels, ",), got ", shape_text(b)});
  return b;
}

void kernel_from_weight(ConvCall& c, const py::array& w) {
  for (int i = 0; i < c.nd; ++i) c.axes()[i].k = w.shape(2 + i);
}

void finish_output_sizes(ConvCall& c) {
  for (int i = 0; i < c.nd; ++i) c.axes()[i].out = conv_output_size(c.axes()[i]);
}

void finish_axes(ConvCall& c, py::handle padding, py::handle padding_mode) {
  parse_padding(padding, c.nd, c.axes());
  parse_modes(padding_mode, c.nd, c.axes());
  finish_output_sizes(c);
}

void require_channels(const ConvCall& c, int64_t input_channels, int64_t weight_channels) {
  if (weight_channels != 0 && input_channels == weight_channels * c.p.groups) return;
  if (weight_channels == 0 && input_channels == 0) return;
  value_error({"weight has ", weight_channels, " channels a group with groups=", c.p.groups, ", so input must have ",
               weight_channels * c.p.groups, " channels, but it has ", input_channels});
}

int output_shape(const ConvCall& c, int64_t channels, bool out_side, int64_t* shape) {
  int r = 0;
  if (c.lead == 2) shape[r++] = c.p.mb;
  shape[r++] = channels;
  for (int i = 0; i < c.nd; ++i) {
    const ConvAxis& a = c.p.axis[3 - c.nd + i];
    shape[r++] = out_side ? a.out : a.in;
  }
  return r;
}

void require_grad_output(const ConvCall& c, const py::array& g, int64_t channels, bool out_side) {
  int64_t want[5];
  int r = output_shape(c, channels, out_side, want);
  bool same = g.ndim() == r;
  for (int i = 0; same && i < r; ++i) same = g.shape(i) == want[i];
  if (same) return;
  value_error({"grad_output must have the shape of the output, ", shape_text(want, r), ", got ", shape_text(g)});
}

}  // namespace fastconv
