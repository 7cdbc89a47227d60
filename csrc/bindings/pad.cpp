// pad, pad_backward, unfold and fold: Python arguments -> problem and views -> the core.
#include "fastconv/pad.hpp"

#include <algorithm>
#include <limits>

#include "base/checked.hpp"
#include "bindings/function.hpp"

namespace fastconv {
namespace {

constexpr int kMaxRank = 8;

struct Shape {
  int rank = 0;
  int64_t size[kMaxRank];
};

Shape make_shape(int rank, const char* name, py::handle given) {
  if (rank > kMaxRank) value_error({name, " must have at most ", kMaxRank, " axes, got ", repr_text(given)});
  Shape s;
  s.rank = rank;
  return s;
}

Shape shape_of(const py::array& a, const char* name) {
  Shape s = make_shape(static_cast<int>(a.ndim()), name, a.attr("shape"));
  for (int i = 0; i < s.rank; ++i) s.size[i] = a.shape(i);
  return s;
}

Shape parse_shape(py::handle h, const char* name) {
  py::tuple t = tuple_of(h, name, "a shape");
  Shape s = make_shape(static_cast<int>(py::len(t)), name, h);
  for (int i = 0; i < s.rank; ++i) s.size[i] = parse_int(t[static_cast<size_t>(i)], 0, name);
  return s;
}

std::string text(const Shape& s) { return shape_text(s.size, s.rank); }

void require_shape(const py::array& a, const Shape& want, const char* name) {
  if (a.ndim() == want.rank && std::equal(want.size, want.size + want.rank, a.shape())) return;
  value_error({name, " must have shape ", text(want), ", got ", shape_text(a)});
}

// The last five axes of an array are a View; those before them are walked one index at a time.
int leading(const py::array& a) { return std::max(0, static_cast<int>(a.ndim()) - 5); }

// `pad` in PyTorch's order, pairs from the last axis back, and the shape it gives.
PadProblem parse_pad(py::handle pad, py::handle mode, const Shape& in, Shape& out) {
  py::tuple amounts = tuple_of(pad, "pad", "a flat sequence of (before, after) amounts, last axis first");
  const int axes = static_cast<int>(py::len(amounts) / 2);
  if (py::len(amounts) % 2) value_error({"pad must have an even number of amounts, got ", repr_text(pad)});
  if (axes > in.rank || axes > 5)
    value_error({"pad has amounts for ", axes, " axes, but the input has shape ", text(in),
                 " and at most its last five can be padded"});
  const Mode m = parse_mode(mode, "mode");
  PadProblem p;
  out = in;
  for (int i = 0; i < std::min(in.rank, 5); ++i) {
    PadAxis& a = p.axis[4 - i];
    a.in = in.size[in.rank - 1 - i];
    if (i >= axes) continue;
    constexpr int64_t any = std::numeric_limits<int64_t>::min();
    a.before = parse_int(amounts[static_cast<size_t>(2 * i)], any, "pad");
    a.after = parse_int(amounts[static_cast<size_t>(2 * i + 1)], any, "pad");
    if (a.before || a.after) a.mode = m;
  }
  validate(p);
  for (int i = 0; i < axes; ++i) out.size[out.rank - 1 - i] = p.axis[4 - i].out();
  return p;
}

// A view of the last five axes at entry `index` of the leading ones, counted in C order.
template <class T>
View<T> view_at(const py::array& a, int64_t index) {
  const int rank = static_cast<int>(a.ndim()), lead = leading(a);
  View<T> v;
  v.data = const_cast<T*>(static_cast<const T*>(a.data()));
  for (int i = lead; i < rank; ++i) {
    v.shape[5 - rank + i] = a.shape(i);
    v.stride[5 - rank + i] = a.strides(i) / static_cast<int64_t>(sizeof(T));
  }
  for (int i = lead - 1; i >= 0; --i) {
    v.data += index % a.shape(i) * (a.strides(i) / static_cast<int64_t>(sizeof(T)));
    index /= a.shape(i);
  }
  return v;
}

// Entries of the leading axes; none of an array without elements.
int64_t entries(const py::array& a) {
  int64_t n = a.size() > 0 ? 1 : 0;
  for (int i = 0; i < leading(a); ++i) n *= a.shape(i);
  return n;
}

py::array pad_py(py::handle input, py::handle pad_amounts, py::handle mode, py::handle fill, py::handle out) {
  py::array x = input_array(input, "input");
  const double value = parse_number(fill, "value");
  Shape in = shape_of(x, "input"), result;
  const PadProblem p = parse_pad(pad_amounts, mode, in, result);
  if (parse_mode(mode, "mode") != Mode::zeros && value != 0)
    value_error(
        {"value is for mode='constant' alone, got value=", std::to_string(value), " with mode=", repr_text(mode)});
  py::array y = output_array(out, is_f64(x), result.size, result.rank, "out", {&x});
  run_released(is_f64(x), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < entries(y); ++i) pad<T>(p, view_at<const T>(x, i), static_cast<T>(value), view_at<T>(y, i));
  });
  return y;
}

py::array pad_backward_py(py::handle grad_output, py::handle input_shape, py::handle pad_amounts, py::handle mode,
                          py::handle out) {
  py::array g = input_array(grad_output, "grad_output");
  Shape in = parse_shape(input_shape, "input"), result;
  const PadProblem p = parse_pad(pad_amounts, mode, in, result);
  require_shape(g, result, "grad_output");
  py::array dx = output_array(out, is_f64(g), in.size, in.rank, "out", {&g});
  run_released(is_f64(g), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < entries(dx); ++i) pad_backward<T>(p, view_at<const T>(g, i), view_at<T>(dx, i));
  });
  return dx;
}

struct Windows {
  int nd;
  ConvProblem p;

  ConvAxis* axes() { return p.axis + 3 - nd; }
  int64_t rows() const { return checked_mul(p.ic, taps(), "kernel_size"); }
  int64_t taps() const {
    int64_t n = 1;
    for (const ConvAxis& a : p.axis) n = checked_mul(n, a.k, "kernel_size");
    return n;
  }
  void set_batch(const Shape& s, int lead) {
    p.mb = lead == 2 ? s.size[0] : 1;
    p.ic = p.oc = s.size[lead - 1];
  }
  void set_sizes(const int64_t* in) {
    for (int i = 0; i < nd; ++i) axes()[i].in = in[i];
  }
  // Needs the sizes of the input.
  void set_options(py::handle kernel_size, py::handle dilation, py::handle padding, py::handle stride,
                   py::handle padding_mode) {
    int64_t k[3], d[3], s[3];
    parse_axes(kernel_size, nd, 1, "kernel_size", k);
    parse_axes(dilation, nd, 1, "dilation", d);
    parse_axes(stride, nd, 1, "stride", s);
    for (int i = 0; i < nd; ++i) axes()[i].k = k[i], axes()[i].dilation = d[i], axes()[i].stride = s[i];
    parse_padding(padding, nd, axes());
    parse_modes(padding_mode, nd, axes());
    for (int i = 0; i < nd; ++i) {
      ConvAxis& a = axes()[i];
      a.out = conv_output_size(a);
      if (a.out == 0)
        value_error({"kernel_size ", a.k, " with dilation ", a.dilation, " spans more than the padded size ",
                     a.in + a.pad_before + a.pad_after, " of the input"});
    }
    validate(p);
    taps();
  }
  Shape columns_shape(int lead) const {
    Shape s;
    s.rank = lead + 1;
    s.size[0] = p.mb;
    s.size[lead - 1] = rows();
    s.size[lead] = p.out_pixels();
    return s;
  }
  Shape input_shape(int lead) {
    Shape s;
    s.rank = lead + nd;
    s.size[0] = p.mb;
    s.size[lead - 1] = p.ic;
    for (int i = 0; i < nd; ++i) s.size[lead + i] = axes()[i].in;
    return s;
  }
};

// Batched arrays have `spatial` + 2 axes, unbatched ones one less.
int leading_axes(const py::array& a, int spatial, const char* name) {
  const int lead = static_cast<int>(a.ndim()) - spatial;
  if (lead == 1 || lead == 2) return lead;
  value_error(
      {name, " must have ", spatial + 1, " axes, or ", spatial + 2, " with a batch, got shape ", shape_text(a)});
}

py::array unfold_py(int nd, py::handle input, py::handle kernel_size, py::handle dilation, py::handle padding,
                    py::handle stride, py::handle padding_mode, py::handle out) {
  py::array x = input_array(input, "input");
  const int lead = leading_axes(x, nd, "input");
  const Shape in = shape_of(x, "input");
  Windows w{nd, {}};
  w.set_batch(in, lead);
  w.set_sizes(in.size + lead);
  w.set_options(kernel_size, dilation, padding, stride, padding_mode);
  const Shape result = w.columns_shape(lead);
  py::array y = output_array(out, is_f64(x), result.size, result.rank, "out", {&x});
  run_released(is_f64(x), [&](auto zero) {
    using T = decltype(zero);
    unfold<T>(w.p, view_of<const T>(x, nd, lead), view_of<T>(y, 1, lead));
  });
  return y;
}

py::array fold_py(int nd, py::handle input, py::handle output_size, py::handle kernel_size, py::handle dilation,
                  py::handle padding, py::handle stride, py::handle padding_mode, py::handle out) {
  py::array x = input_array(input, "input");
  const int lead = leading_axes(x, 1, "input");
  Windows w{nd, {}};
  int64_t size[3];
  parse_axes(output_size, nd, 0, "output_size", size);
  w.set_batch(shape_of(x, "input"), lead);
  w.set_sizes(size);
  w.set_options(kernel_size, dilation, padding, stride, padding_mode);
  const int64_t rows = w.p.ic;
  if (rows % w.taps())
    value_error({"input has ", rows, " rows, which is no multiple of the ", w.taps(),
                 " taps of kernel_size=", repr_text(kernel_size)});
  w.p.ic = w.p.oc = rows / w.taps();
  require_shape(x, w.columns_shape(lead), "input");
  const Shape result = w.input_shape(lead);
  py::array y = output_array(out, is_f64(x), result.size, result.rank, "out", {&x});
  run_released(is_f64(x), [&](auto zero) {
    using T = decltype(zero);
    fold<T>(w.p, view_of<const T>(x, 1, lead), view_of<T>(y, nd, lead));
  });
  return y;
}

}  // namespace

void register_pad(py::handle module) {
  static PyMethodDef methods[] = {
      method<pad_py>("pad"),
      method<pad_backward_py>("pad_backward"),
      method<unfold_py>("unfold"),
      method<fold_py>("fold"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
