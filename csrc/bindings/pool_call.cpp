#include "bindings/pool_call.hpp"

#include "base/checked.hpp"

namespace fastconv {
namespace {

[[noreturn]] void bad_shape(const char* name, const py::array& a, const std::string& need) {
  value_error({name, " must have shape ", need, ", got ", shape_text(a)});
}

}  // namespace

void require_shape(const py::array& a, const int64_t* shape, int rank, const char* name, const char* of) {
  bool same = a.ndim() == rank;
  for (int i = 0; same && i < rank; ++i) same = a.shape(i) == shape[i];
  if (!same) bad_shape(name, a, shape_text(shape, rank) + of);
}

py::array index_array(py::handle h, const int64_t* shape, int rank, bool needed) {
  if (h.is_none() && !needed) return py::reinterpret_borrow<py::array>(h);
  py::array a = any_array(h, "indices");
  if (a.dtype().kind() != 'i' || a.itemsize() != 8 || a.dtype().byteorder() == '>')
    type_error({"indices must be an int64 array, got dtype ", dtype_text(a)});
  require_shape(a, shape, rank, "indices", "");
  bool addressable = reinterpret_cast<uintptr_t>(a.data()) % 8 == 0;
  for (int i = 0; i < rank; ++i) addressable = addressable && (a.strides(i) % 8 == 0 || a.shape(i) <= 1);
  if (!addressable) a = py::reinterpret_borrow<py::array>(py::module_::import("numpy").attr("array")(a));
  return a;
}

py::array new_indices(const int64_t* shape, int rank) {
  return py::array(py::dtype::of<int64_t>(), std::vector<py::ssize_t>(shape, shape + rank));
}

PoolCall::PoolCall(int axes, py::handle input) : nd(axes), x(input_array(input, "input")) {
  f64 = is_f64(x);
  lead = static_cast<int>(x.ndim()) - nd;
  if (lead != 1 && lead != 2) {
    const char* names = nd == 0 ? "" : nd == 1 ? ", W" : nd == 2 ? ", H, W" : ", D, H, W";
    bad_shape("input", x, std::string("(N, C") + names + ") or (C" + names + ")");
  }
  p.mb = lead == 2 ? x.shape(0) : 1;
  p.channels = x.shape(lead - 1);
  for (int i = 0; i < nd; ++i) axis(i).in = x.shape(lead + i);
}

void PoolCall::input_shape(int64_t* shape) const {
  for (int i = 0; i < rank(); ++i) shape[i] = x.shape(i);
}

void PoolCall::output_shape(int64_t* shape) {
  int r = 0;
  if (lead == 2) shape[r++] = p.mb;
  shape[r++] = p.channels;
  for (int i = 0; i < nd; ++i) shape[r++] = axis(i).out;
}

void PoolCall::regular(py::handle kernel_size, py::handle stride, py::handle padding, py::handle dilation,
                       py::handle ceil_mode) {
  const bool ceil = parse_bool(ceil_mode, "ceil_mode");
  int64_t k[3], s[3], d[3] = {1, 1, 1};
  parse_axes(kernel_size, nd, 1, "kernel_size", k);
  if (stride.is_none()) std::copy(k, k + nd, s);
  else parse_axes(stride, nd, 1, "stride", s);
  if (dilation) parse_axes(dilation, nd, 1, "dilation", d);
  ConvAxis pads[3];
  for (int i = 0; i < nd; ++i)
    pads[i].in = axis(i).in, pads[i].k = k[i], pads[i].stride = s[i], pads[i].dilation = d[i];
  parse_padding(padding, nd, pads);
  for (int i = 0; i < nd; ++i) {
    PoolAxis& a = axis(i);
    a.k = k[i];
    a.stride = s[i];
    a.dilation = d[i];
    a.pad_before = pads[i].pad_before;
    a.pad_after = pads[i].pad_after;
    a.out = pool_output_size(a, ceil);
  }
  validate(p);
}

void PoolCall::read_output_size(py::handle output_size) {
  int64_t size[3];
  if (!is_sequence(output_size)) {
    for (int i = 0; i < nd; ++i)
      size[i] = output_size.is_none() ? axis(i).in : parse_int(output_size, 0, "output_size");
  } else {
    py::tuple seq = parse_shape(output_size, "output_size");
    if (static_cast<int>(py::len(seq)) != nd)
      value_error({"output_size must be an integer or one per axis (", nd, "), got ", repr_text(output_size)});
    for (int i = 0; i < nd; ++i) {
      py::object item = seq[static_cast<size_t>(i)];
      size[i] = item.is_none() ? axis(i).in : parse_int(item, 0, "output_size");
    }
  }
  for (int i = 0; i < nd; ++i) axis(i).out = size[i];
}

void PoolCall::adaptive(py::handle output_size) {
  read_output_size(output_size);
  for (int i = 0; i < nd; ++i) axis(i).windows = PoolWindows::adaptive;
  validate(p);
}

std::vector<int64_t> PoolCall::fractional(py::handle kernel_size, py::handle output_size, py::handle samples) {
  int64_t k[3];
  parse_axes(kernel_size, nd, 1, "kernel_size", k);
  read_output_size(output_size);
  for (int i = 0; i < nd; ++i) axis(i).k = k[i], axis(i).windows = PoolWindows::listed;
  validate(p);
  py::array s = input_array(samples, "samples");
  require_same_dtype(x, "input", s, "samples");
  const int64_t shape[3] = {p.mb, p.channels, nd};
  require_shape(s, shape, 3, "samples", "");
  s = py::reinterpret_borrow<py::array>(py::module_::import("numpy").attr("ascontiguousarray")(s));
  auto starts = [&](auto zero) {
    using T = decltype(zero);
    const T* values = static_cast<const T*>(s.data());
    for (py::ssize_t i = 0; i < s.size(); ++i)
      if (!(values[i] >= 0 && values[i] < 1))
        value_error({"samples must be in [0, 1), got ", std::to_string(values[i])});
    return fractional_starts<T>(p, nd, values);
  };
  return f64 ? starts(double{}) : starts(float{});
}

}  // namespace fastconv
