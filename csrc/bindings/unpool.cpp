// The inverse of maxima, and maxima of groups of channels.
#include "base/checked.hpp"
#include "bindings/pool_call.hpp"

namespace fastconv {
namespace {

// The unpooled size of each axis: the one that pooling would have come from, or what the caller says within a stride of
// it.
void read_unpooled(PoolCall& c, py::handle kernel_size, py::handle stride, py::handle padding, py::handle output_size) {
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

// The indices, which have the input's shape.
py::array input_positions(const PoolCall& c, py::handle indices) {
  int64_t shape[5];
  c.input_shape(shape);
  return index_array(indices, shape, c.rank(), true);
}

py::object max_unpool_py(int nd, py::handle input, py::handle indices, py::handle kernel_size, py::handle stride,
                         py::handle padding, py::handle output_size, py::handle out) {
  PoolCall c(nd, input);
  read_unpooled(c, kernel_size, stride, padding, output_size);
  py::array at = input_positions(c, indices);
  const View<const int64_t> index = view_of<const int64_t>(at, nd, c.lead);
  return pool_forward(c, false, out, [&](auto x, auto y, auto) { max_unpool(x, index, y); });
}
py::array max_unpool_backward_py(int nd, py::handle grad_output, py::handle input, py::handle indices,
                                 py::handle kernel_size, py::handle stride, py::handle padding, py::handle output_size,
                                 py::handle out) {
  PoolCall c(nd, input);
  read_unpooled(c, kernel_size, stride, padding, output_size);
  py::array at = input_positions(c, indices);
  const View<const int64_t> index = view_of<const int64_t>(at, nd, c.lead);
  return pool_backward(c, grad_output, py::none(), out,
                       [&](auto dy, auto, auto, auto dx) { max_unpool_backward(dy, index, dx); });
}

int64_t read_pieces(PoolCall& c, py::handle pieces_arg) {
  const int64_t pieces = parse_int(pieces_arg, 1, "pieces");
  if (c.p.channels % pieces) value_error({"pieces=", pieces, " does not divide the ", c.p.channels, " channels"});
  c.p.channels /= pieces;
  for (PoolAxis& a : c.p.axis) a.out = a.in;
  return pieces;
}
py::object channel_max_py(int nd, py::handle input, py::handle pieces_arg, py::handle return_indices, py::handle out) {
  PoolCall c(nd, input);
  const int64_t pieces = read_pieces(c, pieces_arg);
  return pool_forward(c, parse_bool(return_indices, "return_indices"), out,
                      [&](auto x, auto y, auto at) { channel_max_pool(pieces, x, y, at); });
}
py::array channel_max_backward_py(int nd, py::handle g, py::handle input, py::handle pieces_arg, py::handle indices,
                                  py::handle out) {
  PoolCall c(nd, input);
  const int64_t pieces = read_pieces(c, pieces_arg);
  return pool_backward(c, g, indices, out,
                       [&](auto dy, auto x, auto at, auto dx) { channel_max_pool_backward(pieces, dy, x, at, dx); });
}

}  // namespace

void register_unpool(py::handle module) {
  static PyMethodDef methods[] = {
      method<max_unpool_py>("max_unpool"),
      method<max_unpool_backward_py>("max_unpool_backward"),
      method<channel_max_py>("channel_max_pool"),
      method<channel_max_backward_py>("channel_max_pool_backward"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
