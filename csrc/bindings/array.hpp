// numpy arrays at the border: what may come in, views of it, and what goes out.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "base/message.hpp"
#include "bindings/unlocked.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {
namespace py = pybind11;

// Throw Python's errors.
[[noreturn]] void value_error(std::initializer_list<Word> words);
[[noreturn]] void type_error(std::initializer_list<Word> words);

// "(2, 3, 5)" for messages.
std::string shape_text(const int64_t* shape, int rank);
std::string shape_text(const py::array& a);
std::string dtype_text(const py::array& a);
std::string repr_text(py::handle h);

// The argument as numpy sees it, without a copy: an array, or what has __array__, the buffer protocol or DLPack.
// TypeError otherwise, and for a masked array, whose mask would be forgotten.
py::array any_array(py::handle h, const char* name);

// The argument as an array of float32 or float64 that the kernels can address: any strides, read-only too.
// TypeError for another dtype, and as above.
py::array input_array(py::handle h, const char* name);

// Whether it is an ndarray, and of no type derived from that, of float32 or float64.
bool is_plain_array(py::handle h);

inline bool is_f64(const py::array& a) { return a.itemsize() == 8; }

// TypeError unless both arrays have one dtype.
void require_same_dtype(const py::array& a, const char* a_name, const py::array& b, const char* b_name);

// `out` checked against what is needed (ValueError or TypeError), or a new array of that shape where it is None.
// `inputs` are the arrays the call reads: `out` may not share memory with them.
py::array output_array(py::handle out, bool f64, const int64_t* shape, int rank, const char* name,
                       std::initializer_list<const py::array*> inputs = {});

// A view with the last `nd` axes spatial. lead = 2: (n, c, spatial); lead = 1: (c, spatial); lead = 0: (spatial).
template <class T, class A>
View<T> view_of(A& a, int nd, int lead) {
  View<T> v;
  v.data = const_cast<T*>(static_cast<const T*>(a.data()));
  for (int i = 0; i < lead; ++i) {
    v.shape[2 - lead + i] = a.shape(i);
    v.stride[2 - lead + i] = a.strides(i) / static_cast<int64_t>(sizeof(T));
  }
  for (int i = 0; i < nd; ++i) {
    v.shape[5 - nd + i] = a.shape(lead + i);
    v.stride[5 - nd + i] = a.strides(lead + i) / static_cast<int64_t>(sizeof(T));
  }
  return v;
}

// Runs f<float> or f<double> with the GIL released. Arguments were converted with the GIL held; f touches no Python
// object.
template <class F>
void run_released(bool f64, F&& f) {
  const Unlocked unlocked;
  if (f64) f(double{});
  else f(float{});
}

}  // namespace fastconv
