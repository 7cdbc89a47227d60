// What the bindings of all pools share: arguments -> problem, arrays -> views.
#pragma once
#include "bindings/function.hpp"
#include "fastconv/pool.hpp"

namespace fastconv {

// Positions: an int64 array of the given shape; an empty handle for None where they may be left out.
py::array index_array(py::handle h, const int64_t* shape, int rank, bool needed);
py::array new_indices(const int64_t* shape, int rank);
void require_shape(const py::array& a, const int64_t* shape, int rank, const char* name, const char* of);

// One call: the input's place in (n, c, d, h, w), and the problem that grows as arguments are read.
struct PoolCall {
  int nd;
  int lead = 2;
  bool f64 = false;
  py::array x;
  PoolProblem p;
  int rank() const { return lead + nd; }
  PoolAxis& axis(int i) { return p.axis[3 - nd + i]; }

  PoolCall(int nd, py::handle input);

  void input_shape(int64_t* shape) const;
  void output_shape(int64_t* shape);

  // Windows of a fixed size, and so the output's size.
  void regular(py::handle kernel_size, py::handle stride, py::handle padding, py::handle dilation,
               py::handle ceil_mode);

  // output_size: an int, or one per axis; None keeps the input's size.
  void read_output_size(py::handle output_size);

  void adaptive(py::handle output_size);

  // Window starts by the samples (mb, channels, nd), contiguous, of the input's dtype; a batch axis of 1 when
  // unbatched.
  std::vector<int64_t> fractional(py::handle kernel_size, py::handle output_size, py::handle samples);
};

// Runs a pool: reserves the output and, if wanted, the positions; f<T>(x, y, indices) does the work.
template <class F>
py::object pool_forward(PoolCall& c, bool return_indices, py::handle out, F f) {
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
py::array pool_backward(PoolCall& c, py::handle grad_output, py::handle indices, py::handle out, F f) {
  int64_t shape[5], in_shape[5];
  c.output_shape(shape);
  c.input_shape(in_shape);
  py::array g = input_array(grad_output, "grad_output");
  require_same_dtype(c.x, "input", g, "grad_output");
  require_shape(g, shape, c.rank(), "grad_output", ", the output's");
  py::array at = index_array(indices, shape, c.rank(), false);
  const View<const int64_t> index = at.is_none() ? View<const int64_t>{} : view_of<const int64_t>(at, c.nd, c.lead);
  py::array dx = output_array(out, c.f64, in_shape, c.rank(), "out", {&c.x, &g, at.is_none() ? nullptr : &at});
  run_released(c.f64, [&](auto zero) {
    using T = decltype(zero);
    f(view_of<const T>(g, c.nd, c.lead), view_of<const T>(c.x, c.nd, c.lead), index, view_of<T>(dx, c.nd, c.lead));
  });
  return dx;
}

}  // namespace fastconv
