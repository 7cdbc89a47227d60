// conv and conv_transpose, forward and gradients: Python arguments -> problem and views -> the core.
#include "fastconv/conv.hpp"

#include <limits>
#include <memory>
#include <tuple>

#include "base/checked.hpp"
#include "bindings/function.hpp"

namespace fastconv {
namespace {

[[noreturn]] void bad_rank(const char* name, const py::array& a, const std::string& need) {
  value_error({name, " must have shape ", need, ", got ", shape_text(a)});
}

const char* spatial_letters(int nd) { return nd == 1 ? "W" : nd == 2 ? "H, W" : "D, H, W"; }
const char* kernel_letters(int nd) { return nd == 1 ? "kW" : nd == 2 ? "kH, kW" : "kD, kH, kW"; }

// Everything of a call but its arrays. `lead` is 2 for batched, 1 for unbatched input.
struct Call {
  int nd;
  bool flip;
  bool f64 = false;
  int lead = 2;
  ConvProblem p;
  ConvAxis* axes() { return p.axis + 3 - nd; }
  Call(int nd_, py::handle flip_) : nd(nd_), flip(parse_bool(flip_, "flip")) {}
};

int leading_axes(const Call& c, const py::array& a, const char* name) {
  if (a.ndim() == c.nd + 2) return 2;
  if (a.ndim() == c.nd + 1) return 1;
  bad_rank(name, a, std::string("(N, C, ") + spatial_letters(c.nd) + ") or (C, " + spatial_letters(c.nd) + ")");
}

void require_weight_rank(const Call& c, const py::array& w) {
  if (w.ndim() != c.nd + 2) bad_rank("weight", w, std::string("(O, C/groups, ") + kernel_letters(c.nd) + ")");
}

// stride, padding, dilation, groups, padding_mode; needs `in` and `k` of the axes for padding by name.
void read_steps(Call& c, py::handle stride, py::handle dilation, py::handle groups) {
  int64_t s[3], d[3];
  parse_axes(stride, c.nd, 1, "stride", s);
  parse_axes(dilation, c.nd, 1, "dilation", d);
  for (int i = 0; i < c.nd; ++i) c.axes()[i].stride = s[i], c.axes()[i].dilation = d[i];
  c.p.groups = parse_int(groups, 1, "groups");
}

// The weight's kernel axes reversed, for the true convolution.
template <class T>
View<T> oriented(View<T> w, bool flip) {
  if (flip)
    for (int i = 2; i < 5; ++i) {
      w.data += (w.shape[i] - 1) * w.stride[i];
      w.stride[i] = -w.stride[i];
    }
  return w;
}

void require_bias(const py::array& bias, int64_t channels) {
  if (bias.ndim() != 1 || bias.shape(0) != channels)
    value_error({"bias must have shape (", channels, ",), got ", shape_text(bias)});
}

template <class T>
View<const T> bias_view(const py::array& bias) {
  View<const T> v;
  if (bias.ptr() && !bias.is_none()) {
    v.data = static_cast<const T*>(bias.data());
    v.shape[0] = bias.shape(0);
    v.stride[0] = bias.strides(0) / static_cast<int64_t>(sizeof(T));
  }
  return v;
}

py::array optional_bias(py::handle h, const py::array& like, int64_t channels) {
  if (h.is_none()) return py::reinterpret_borrow<py::array>(py::none());
  py::array b = input_array(h, "bias");
  require_same_dtype(like, "input", b, "bias");
  require_bias(b, channels);
  return b;
}

void kernel_from_weight(Call& c, const py::array& w) {
  for (int i = 0; i < c.nd; ++i) c.axes()[i].k = w.shape(2 + i);
}

void finish_output_sizes(Call& c) {
  for (int i = 0; i < c.nd; ++i) c.axes()[i].out = conv_output_size(c.axes()[i]);
}

// What is left once the axes' lengths and kernels are known.
void finish_axes(Call& c, py::handle padding, py::handle padding_mode) {
  parse_padding(padding, c.nd, c.axes());
  parse_modes(padding_mode, c.nd, c.axes());
  finish_output_sizes(c);
}

void require_channels(const Call& c, int64_t input_channels, int64_t weight_channels) {
  if (weight_channels != 0 && input_channels == weight_channels * c.p.groups) return;
  if (weight_channels == 0 && input_channels == 0) return;
  value_error({"weight has ", weight_channels, " channels a group with groups=", c.p.groups, ", so input must have ",
               weight_channels * c.p.groups, " channels, but it has ", input_channels});
}

int output_shape(const Call& c, int64_t channels, bool out_side, int64_t* shape) {
  int r = 0;
  if (c.lead == 2) shape[r++] = c.p.mb;
  shape[r++] = channels;
  for (int i = 0; i < c.nd; ++i) {
    const ConvAxis& a = c.p.axis[3 - c.nd + i];
    shape[r++] = out_side ? a.out : a.in;
  }
  return r;
}

// grad_output must have exactly the shape the forward call gives.
void require_grad_output(const Call& c, const py::array& g, int64_t channels, bool out_side) {
  int64_t want[5];
  int r = output_shape(c, channels, out_side, want);
  bool same = g.ndim() == r;
  for (int i = 0; same && i < r; ++i) same = g.shape(i) == want[i];
  if (same) return;
  value_error({"grad_output must have the shape of the output, ", shape_text(want, r), ", got ", shape_text(g)});
}

py::array conv_forward_py(int nd, py::handle input, py::handle weight, py::handle bias, py::handle stride,
                          py::handle padding, py::handle dilation, py::handle groups, py::handle padding_mode,
                          py::handle flip, py::handle activation, py::handle algorithm, py::handle out) {
  Call c(nd, flip);
  py::array x = input_array(input, "input"), w = input_array(weight, "weight");
  require_same_dtype(x, "input", w, "weight");
  c.f64 = is_f64(x);
  c.lead = leading_axes(c, x, "input");
  require_weight_rank(c, w);
  read_steps(c, stride, dilation, groups);
  c.p.mb = c.lead == 2 ? x.shape(0) : 1;
  c.p.ic = x.shape(c.lead - 1);
  c.p.oc = w.shape(0);
  require_channels(c, c.p.ic, w.shape(1));
  for (int i = 0; i < nd; ++i) c.axes()[i].in = x.shape(c.lead + i);
  kernel_from_weight(c, w);
  finish_axes(c, padding, padding_mode);
  Activation act = parse_activation(activation);
  Algorithm alg = parse_algorithm(algorithm);
  validate(c.p);
  py::array b = optional_bias(bias, x, c.p.oc);
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
  Call c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), w = input_array(weight, "weight");
  require_same_dtype(g, "grad_output", w, "weight");
  c.f64 = is_f64(g);
  c.lead = leading_axes(c, g, "grad_output");
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
  c.p.mb = c.lead == 2 ? g.shape(0) : 1;
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
  Call c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), x = input_array(input, "input");
  require_same_dtype(g, "grad_output", x, "input");
  c.f64 = is_f64(x);
  c.lead = leading_axes(c, x, "input");
  read_steps(c, stride, dilation, groups);
  c.p.mb = c.lead == 2 ? x.shape(0) : 1;
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
  Call c(nd, py::bool_(false));
  py::array g = input_array(grad_output, "grad_output");
  c.lead = leading_axes(c, g, "grad_output");
  int64_t shape[1] = {g.shape(c.lead - 1)};
  py::array db = output_array(out, is_f64(g), shape, 1, "out", {&g});
  run_released(is_f64(g), [&](auto zero) {
    using T = decltype(zero);
    View<T> v;
    v.data = static_cast<T*>(db.mutable_data());
    v.shape[0] = db.shape(0);
    v.stride[0] = db.strides(0) / static_cast<int64_t>(sizeof(T));
    conv_backward_bias<T>(view_of<const T>(g, nd, c.lead), v);
  });
  return db;
}

// The problem whose input gradient a transposed convolution is: its `in` is our output, its `out` our input.
void transposed_problem(Call& c, const py::array& x, const py::array& w, py::handle stride, py::handle padding,
                        py::handle output_padding, py::handle groups, py::handle dilation, py::handle padding_mode) {
  const int nd = c.nd;
  c.lead = leading_axes(c, x, "input");
  if (w.ndim() != nd + 2) bad_rank("weight", w, std::string("(C, O/groups, ") + kernel_letters(nd) + ")");
  read_steps(c, stride, dilation, groups);
  c.p.mb = c.lead == 2 ? x.shape(0) : 1;
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
  Call c(nd, flip);
  py::array x = input_array(input, "input"), w = input_array(weight, "weight");
  require_same_dtype(x, "input", w, "weight");
  c.f64 = is_f64(x);
  transposed_problem(c, x, w, stride, padding, output_padding, groups, dilation, padding_mode);
  Activation act = parse_activation(activation);
  Algorithm alg = parse_algorithm(algorithm);
  py::array b = optional_bias(bias, x, c.p.ic);
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

// Gradients of the transposed convolution; its output gradient has the shape of our problem's input.
py::tuple transpose_backward_py(int nd, py::handle grad_output, py::handle input, py::handle weight, py::handle stride,
                                py::handle padding, py::handle output_padding, py::handle groups, py::handle dilation,
                                py::handle padding_mode, py::handle flip, bool need_input, bool need_weight,
                                bool need_bias, py::handle algorithm) {
  Call c(nd, flip);
  py::array g = input_array(grad_output, "grad_output"), x = input_array(input, "input"),
            w = input_array(weight, "weight");
  require_same_dtype(x, "input", w, "weight");
  require_same_dtype(x, "input", g, "grad_output");
  c.f64 = is_f64(x);
  transposed_problem(c, x, w, stride, padding, output_padding, groups, dilation, padding_mode);
  Algorithm alg = parse_algorithm(algorithm);
  require_grad_output(c, g, c.p.ic, false);
  py::object dx = py::none(), dw = py::none(), db = py::none();
  if (need_input) {
    int64_t shape[5];
    int r = output_shape(c, c.p.oc, true, shape);
    dx = output_array(py::none(), c.f64, shape, r, "out");
  }
  if (need_weight) {
    int64_t shape[5];
    for (int i = 0; i < nd + 2; ++i) shape[i] = w.shape(i);
    dw = output_array(py::none(), c.f64, shape, nd + 2, "out");
  }
  if (need_bias) db = grad_bias_py(nd, g, py::none());
  py::array ax = py::reinterpret_borrow<py::array>(dx), aw = py::reinterpret_borrow<py::array>(dw);
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    View<const T> gv = view_of<const T>(g, nd, c.lead);
    if (need_input)
      conv_forward<T>(c.p, gv, oriented(view_of<const T>(w, nd, 2), c.flip), View<const T>{},
                      view_of<T>(ax, nd, c.lead), Activation::none, alg);
    if (need_weight)
      conv_backward_weight<T>(c.p, view_of<const T>(x, nd, c.lead), gv, oriented(view_of<T>(aw, nd, 2), c.flip), alg);
  });
  return py::make_tuple(dx, dw, db);
}

// Weights and options of a layer, packed once.
class PackedConv {
 public:
  PackedConv(int nd, py::handle weight, py::handle bias, py::handle stride, py::handle padding, py::handle dilation,
             py::handle groups, py::handle padding_mode, py::handle flip, py::handle activation, py::handle algorithm)
      : call_(nd, flip),
        padding_(py::reinterpret_borrow<py::object>(padding)),
        activation_(parse_activation(activation)) {
    py::array w = input_array(weight, "weight");
    require_weight_rank(call_, w);
    call_.f64 = is_f64(w);
    read_steps(call_, stride, dilation, groups);
    call_.p.oc = w.shape(0);
    call_.p.ic = checked_mul(w.shape(1), call_.p.groups, "groups");
    kernel_from_weight(call_, w);
    for (int i = 0; i < nd; ++i) call_.axes()[i].in = std::numeric_limits<int32_t>::max();  // any size will do here
    finish_axes(call_, padding_, padding_mode);
    ConvProblem check = call_.p;
    for (ConvAxis& a : check.axis) {
      a.in = checked_add(checked_mul(a.dilation, a.k - 1, "dilation"), 1, "dilation");
      a.out = 1;
    }
    validate(check);
    py::array b = optional_bias(bias, w, call_.p.oc);
    Algorithm alg = parse_algorithm(algorithm);
    run_released(call_.f64, [&](auto zero) {
      using T = decltype(zero);
      std::get<std::unique_ptr<PackedWeights<T>>>(weights_) = std::make_unique<PackedWeights<T>>(
          call_.p, oriented(view_of<const T>(w, call_.nd, 2), call_.flip), bias_view<T>(b), alg);
    });
  }

  py::array operator()(py::handle input, py::handle out) const {
    Call c = call_;
    py::array x = input_array(input, "input");
    if (is_f64(x) != c.f64)
      type_error({"input has dtype ", (is_f64(x) ? "float64" : "float32"), ", but the weight was packed as ",
                  (c.f64 ? "float64" : "float32")});
    c.lead = leading_axes(c, x, "input");
    c.p.mb = c.lead == 2 ? x.shape(0) : 1;
    require_channels(c, x.shape(c.lead - 1), c.p.ic / c.p.groups);
    for (int i = 0; i < c.nd; ++i) c.axes()[i].in = x.shape(c.lead + i);
    parse_padding(padding_, c.nd, c.axes());
    finish_output_sizes(c);
    validate(c.p);
    int64_t shape[5];
    int rank = output_shape(c, c.p.oc, true, shape);
    py::array y = output_array(out, c.f64, shape, rank, "out", {&x});
    run_released(c.f64, [&](auto zero) {
      using T = decltype(zero);
      conv_forward_packed<T>(c.p, view_of<const T>(x, c.nd, c.lead),
                             *std::get<std::unique_ptr<PackedWeights<T>>>(weights_), view_of<T>(y, c.nd, c.lead),
                             activation_);
    });
    return y;
  }

  int64_t bytes() const {
    const auto& f = std::get<0>(weights_);
    return f ? f->bytes() : std::get<1>(weights_)->bytes();
  }

  // Python holds it as a capsule.
  static constexpr const char* kName = "fastconv.PackedConv";
  static const PackedConv& of(py::handle capsule) {
    void* packed = PyCapsule_GetPointer(capsule.ptr(), kName);
    if (!packed) throw py::error_already_set();
    return *static_cast<const PackedConv*>(packed);
  }
  static void destroy(PyObject* capsule) { delete &of(capsule); }

 private:
  Call call_;
  py::object padding_;  // names depend on the size of the input
  Activation activation_;
  std::tuple<std::unique_ptr<PackedWeights<float>>, std::unique_ptr<PackedWeights<double>>> weights_;
};

py::object pack_py(int nd, py::handle weight, py::handle bias, py::handle stride, py::handle padding,
                   py::handle dilation, py::handle groups, py::handle padding_mode, py::handle flip,
                   py::handle activation, py::handle algorithm) {
  auto packed = std::make_unique<PackedConv>(nd, weight, bias, stride, padding, dilation, groups, padding_mode, flip,
                                             activation, algorithm);
  auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(packed.get(), PackedConv::kName, PackedConv::destroy));
  if (!capsule) throw py::error_already_set();
  packed.release();
  return capsule;
}

py::array packed_forward_py(py::handle packed, py::handle input, py::handle out) {
  return PackedConv::of(packed)(input, out);
}

py::object packed_bytes_py(py::handle packed) { return py::int_(PackedConv::of(packed).bytes()); }

py::dict explain_py(int nd, py::handle input_shape, py::handle weight_shape, py::handle stride, py::handle padding,
                    py::handle dilation, py::handle groups, py::handle padding_mode, py::handle direction, bool f64,
                    py::handle algorithm) {
  Call c(nd, py::bool_(false));
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

void register_conv(py::handle module) {
  static PyMethodDef methods[] = {
      method<conv_forward_py>("conv_forward"),
      method<grad_input_py>("conv_grad_input"),
      method<grad_weight_py>("conv_grad_weight"),
      method<grad_bias_py>("conv_grad_bias"),
      method<transpose_forward_py>("conv_transpose"),
      method<transpose_backward_py>("conv_transpose_backward"),
      method<explain_py>("explain"),
      method<pack_py>("pack"),
      method<packed_forward_py>("packed_forward"),
      method<packed_bytes_py>("packed_bytes"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
