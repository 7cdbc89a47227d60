// Pooling: Python arguments -> problem and views -> the core.
#include "fastconv/pool.hpp"

#include <cmath>

#include "base/checked.hpp"
#include "bindings/function.hpp"

namespace fastconv {
namespace {

[[noreturn]] void bad_shape(const char* name, const py::array& a, const std::string& need) {
  value_error({name, " must have shape ", need, ", got ", shape_text(a)});
}

void require_shape(const py::array& a, const int64_t* shape, int rank, const char* name, const char* of) {
  bool same = a.ndim() == rank;
  for (int i = 0; same && i < rank; ++i) same = a.shape(i) == shape[i];
  if (!same) bad_shape(name, a, shape_text(shape, rank) + of);
}

// Positions: an int64 array of the given shape; an empty handle for None where they may be left out.
py::array index_array(py::handle h, const int64_t* shape, int rank, bool needed = false) {
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

// One call: the input's place in (n, c, d, h, w), and the problem that grows as arguments are read.
struct Call {
  int nd;
  int lead = 2;
  bool f64 = false;
  py::array x;
  PoolProblem p;
  int rank() const { return lead + nd; }
  PoolAxis& axis(int i) { return p.axis[3 - nd + i]; }

  Call(int nd_, py::handle input, const char* name = "input") : nd(nd_), x(input_array(input, name)) {
    f64 = is_f64(x);
    lead = static_cast<int>(x.ndim()) - nd;
    if (lead != 1 && lead != 2) {
      const char* axes = nd == 0 ? "" : nd == 1 ? ", W" : nd == 2 ? ", H, W" : ", D, H, W";
      bad_shape(name, x, std::string("(N, C") + axes + ") or (C" + axes + ")");
    }
    p.mb = lead == 2 ? x.shape(0) : 1;
    p.channels = x.shape(lead - 1);
    for (int i = 0; i < nd; ++i) axis(i).in = x.shape(lead + i);
  }

  void input_shape(int64_t* shape) const {
    for (int i = 0; i < rank(); ++i) shape[i] = x.shape(i);
  }
  void output_shape(int64_t* shape) {
    int r = 0;
    if (lead == 2) shape[r++] = p.mb;
    shape[r++] = p.channels;
    for (int i = 0; i < nd; ++i) shape[r++] = axis(i).out;
  }

  // Windows of a fixed size, and so the output's size.
  void regular(py::handle kernel_size, py::handle stride, py::handle padding, py::handle dilation,
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

  // output_size: an int, or one per axis; None keeps the input's size.
  void read_output_size(py::handle output_size) {
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

  void adaptive(py::handle output_size) {
    read_output_size(output_size);
    for (int i = 0; i < nd; ++i) axis(i).windows = PoolWindows::adaptive;
    validate(p);
  }

  // Window starts by the samples (mb, channels, nd), contiguous, of the input's dtype; a batch axis of 1 when
  // unbatched.
  std::vector<int64_t> fractional(py::handle kernel_size, py::handle output_size, py::handle samples) {
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
};

// Runs a pool: reserves the output and, if wanted, the positions; f<T>(x, y, indices) does the work.
template <class F>
py::object forward(Call& c, bool return_indices, py::handle out, F f) {
  int64_t shape[5];
  c.output_shape(shape);
  py::array y = output_array(out, c.f64, shape, c.rank(), "out", {&c.x});
  py::array indices;
  if (return_indices) indices = new_indices(shape, c.rank());
  const View<int64_t> at = return_indices ? view_of<int64_t>(indices, c.nd, c.lead) : View<int64_t>{};
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    f(view_of<const T>(c.x, c.nd, c.lead), view_of<T>(y, c.nd, c.lead), at);
  });
  if (return_indices) return py::make_tuple(y, indices);
  return std::move(y);
}

// Likewise a gradient: f<T>(dy, x, indices, dx); `indices` has null data where None was given.
template <class F>
py::array backward(Call& c, py::handle grad_output, py::handle indices, py::handle out, F f) {
  int64_t shape[5], in_shape[5];
  c.output_shape(shape);
  c.input_shape(in_shape);
  py::array g = input_array(grad_output, "grad_output");
  require_same_dtype(c.x, "input", g, "grad_output");
  require_shape(g, shape, c.rank(), "grad_output", ", the output's");
  py::array at = index_array(indices, shape, c.rank());
  const View<const int64_t> index = at.is_none() ? View<const int64_t>{} : view_of<const int64_t>(at, c.nd, c.lead);
  py::array dx = output_array(out, c.f64, in_shape, c.rank(), "out", {&c.x, &g, at.is_none() ? nullptr : &at});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    f(view_of<const T>(g, c.nd, c.lead), view_of<const T>(c.x, c.nd, c.lead), index, view_of<T>(dx, c.nd, c.lead));
  });
  return dx;
}

py::object run_max(Call& c, py::handle return_indices, py::handle out) {
  return forward(c, parse_bool(return_indices, "return_indices"), out,
                 [&](auto x, auto y, auto at) { max_pool(c.p, x, y, at); });
}
py::array run_max_backward(Call& c, py::handle g, py::handle indices, py::handle out) {
  return backward(c, g, indices, out,
                  [&](auto dy, auto x, auto at, auto dx) { max_pool_backward(c.p, dy, x, at, dx); });
}
py::object run_avg(Call& c, Averaging averaging, py::handle out) {
  return forward(c, false, out, [&](auto x, auto y, auto) { avg_pool(c.p, averaging, x, y); });
}
py::array run_avg_backward(Call& c, Averaging averaging, py::handle g, py::handle out) {
  return backward(c, g, py::none(), out,
                  [&](auto dy, auto, auto, auto dx) { avg_pool_backward(c.p, averaging, dy, dx); });
}

py::object max_pool_py(int nd, py::handle input, py::handle kernel_size, py::handle stride, py::handle padding,
                       py::handle dilation, py::handle ceil_mode, py::handle return_indices, py::handle out) {
  Call c(nd, input);
  c.regular(kernel_size, stride, padding, dilation, ceil_mode);
  return run_max(c, return_indices, out);
}
py::array max_pool_backward_py(int nd, py::handle g, py::handle input, py::handle kernel_size, py::handle stride,
                               py::handle padding, py::handle dilation, py::handle ceil_mode, py::handle indices,
                               py::handle out) {
  Call c(nd, input);
  c.regular(kernel_size, stride, padding, dilation, ceil_mode);
  return run_max_backward(c, g, indices, out);
}

Averaging parse_averaging(py::handle count_include_pad, py::handle divisor) {
  return {parse_bool(count_include_pad, "count_include_pad"),
          divisor.is_none() ? 0 : parse_int(divisor, 1, "divisor_override")};
}
py::object avg_pool_py(int nd, py::handle input, py::handle kernel_size, py::handle stride, py::handle padding,
                       py::handle ceil_mode, py::handle count_include_pad, py::handle divisor, py::handle out) {
  Call c(nd, input);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return run_avg(c, parse_averaging(count_include_pad, divisor), out);
}
py::array avg_pool_backward_py(int nd, py::handle g, py::handle input, py::handle kernel_size, py::handle stride,
                               py::handle padding, py::handle ceil_mode, py::handle count_include_pad,
                               py::handle divisor, py::handle out) {
  Call c(nd, input);
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
  Call c(nd, input);
  const Norm norm = parse_norm(norm_type, mean);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return forward(c, false, out, [&](auto x, auto y, auto) { lp_pool(c.p, norm, x, y); });
}
py::array lp_pool_backward_py(int nd, py::handle g, py::handle input, py::handle norm_type, py::handle kernel_size,
                              py::handle stride, py::handle ceil_mode, py::handle mean, py::handle padding,
                              py::handle out) {
  Call c(nd, input);
  const Norm norm = parse_norm(norm_type, mean);
  c.regular(kernel_size, stride, padding, {}, ceil_mode);
  return backward(c, g, py::none(), out,
                  [&](auto dy, auto x, auto, auto dx) { lp_pool_backward(c.p, norm, dy, x, dx); });
}

py::object adaptive_avg_py(int nd, py::handle input, py::handle output_size, py::handle out) {
  Call c(nd, input);
  c.adaptive(output_size);
  return run_avg(c, {}, out);
}
py::array adaptive_avg_backward_py(int nd, py::handle g, py::handle input, py::handle output_size, py::handle out) {
  Call c(nd, input);
  c.adaptive(output_size);
  return run_avg_backward(c, {}, g, out);
}
py::object adaptive_max_py(int nd, py::handle input, py::handle output_size, py::handle return_indices,
                           py::handle out) {
  Call c(nd, input);
  c.adaptive(output_size);
  return run_max(c, return_indices, out);
}
py::array adaptive_max_backward_py(int nd, py::handle g, py::handle input, py::handle output_size, py::handle indices,
                                   py::handle out) {
  Call c(nd, input);
  c.adaptive(output_size);
  return run_max_backward(c, g, indices, out);
}

py::object fractional_max_py(int nd, py::handle input, py::handle kernel_size, py::handle output_size,
                             py::handle samples, py::handle return_indices, py::handle out) {
  Call c(nd, input);
  const auto starts = c.fractional(kernel_size, output_size, samples);
  return run_max(c, return_indices, out);
}
py::array fractional_max_backward_py(int nd, py::handle g, py::handle input, py::handle kernel_size,
                                     py::handle output_size, py::handle samples, py::handle indices, py::handle out) {
  Call c(nd, input);
  const auto starts = c.fractional(kernel_size, output_size, samples);
  return run_max_backward(c, g, indices, out);
}

// The unpooled size of each axis: the one that pooling would have come from, or what the caller says within a stride of
// it.
void read_unpooled(Call& c, py::handle kernel_size, py::handle stride, py::handle padding, py::handle output_size) {
  int64_t k[3], s[3], pad[3];
  parse_axes(kernel_size, c.nd, 1, "kernel_size", k);
  if (stride.is_none()) std::copy(k, k + c.nd, s);
  else parse_axes(stride, c.nd, 1, "stride", s);
  parse_axes(padding, c.nd, 0, "padding", pad);
  std::vector<int64_t> given;
  if (!output_size.is_none()) {
    py::tuple sizes = parse_shape(output_size, "output_size");
    const int n = static_cast<int>(py::len(sizes));
    if (n != c.nd && n != c.rank())
      value_error({"output_size must be the output's shape or its spatial part, got ", repr_text(output_size)});
    for (int i = n - c.nd; i < n; ++i) given.push_back(parse_int(sizes[static_cast<size_t>(i)], 0, "output_size"));
  }
  for (int i = 0; i < c.nd; ++i) {
    PoolAxis& a = c.axis(i);
    const int64_t usual = checked_add(checked_add(checked_mul(a.in - 1, s[i], "stride"), k[i], "kernel_size"),
                                      -checked_mul(2, pad[i], "padding"), "padding"),
                  least = std::max<int64_t>(0, checked_add(usual, 1 - s[i], "stride")),
                  most = checked_add(usual, s[i] - 1, "stride");
    a.out = given.empty() ? usual : given[static_cast<size_t>(i)];
    if (a.out < 0) value_error({"padding ", repr_text(padding), " leaves an output of size ", a.out});
    if (a.out < least || a.out > most)
      value_error({"output_size must be within the stride of ", usual, ": from ", least, " to ", most, " on axis ", i,
                   ", got ", repr_text(output_size)});
  }
}
py::object max_unpool_py(int nd, py::handle input, py::handle indices, py::handle kernel_size, py::handle stride,
                         py::handle padding, py::handle output_size, py::handle out) {
  Call c(nd, input);
  read_unpooled(c, kernel_size, stride, padding, output_size);
  int64_t shape[5];
  c.input_shape(shape);
  py::array at = index_array(indices, shape, c.rank(), true);
  const View<const int64_t> index = view_of<const int64_t>(at, nd, c.lead);
  return forward(c, false, out, [&](auto x, auto y, auto) { max_unpool(x, index, y); });
}
py::array max_unpool_backward_py(int nd, py::handle grad_output, py::handle input, py::handle indices,
                                 py::handle kernel_size, py::handle stride, py::handle padding, py::handle output_size,
                                 py::handle out) {
  Call c(nd, input);
  read_unpooled(c, kernel_size, stride, padding, output_size);
  int64_t shape[5];
  c.input_shape(shape);
  py::array at = index_array(indices, shape, c.rank(), true);
  const View<const int64_t> index = view_of<const int64_t>(at, nd, c.lead);
  return backward(c, grad_output, py::none(), out,
                  [&](auto dy, auto, auto, auto dx) { max_unpool_backward(dy, index, dx); });
}

int64_t read_pieces(Call& c, py::handle pieces_arg) {
  const int64_t pieces = parse_int(pieces_arg, 1, "pieces");
  if (c.p.channels % pieces) value_error({"pieces=", pieces, " does not divide the ", c.p.channels, " channels"});
  c.p.channels /= pieces;
  for (PoolAxis& a : c.p.axis) a.out = a.in;
  return pieces;
}
py::object channel_max_py(int nd, py::handle input, py::handle pieces_arg, py::handle return_indices, py::handle out) {
  Call c(nd, input);
  const int64_t pieces = read_pieces(c, pieces_arg);
  return forward(c, parse_bool(return_indices, "return_indices"), out,
                 [&](auto x, auto y, auto at) { channel_max_pool(pieces, x, y, at); });
}
py::array channel_max_backward_py(int nd, py::handle g, py::handle input, py::handle pieces_arg, py::handle indices,
                                  py::handle out) {
  Call c(nd, input);
  const int64_t pieces = read_pieces(c, pieces_arg);
  return backward(c, g, indices, out,
                  [&](auto dy, auto x, auto at, auto dx) { channel_max_pool_backward(pieces, dy, x, at, dx); });
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
      method<max_unpool_py>("max_unpool"),
      method<max_unpool_backward_py>("max_unpool_backward"),
      method<channel_max_py>("channel_max_pool"),
      method<channel_max_backward_py>("channel_max_pool_backward"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
