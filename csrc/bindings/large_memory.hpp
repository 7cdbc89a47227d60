// Memory of results so large that malloc would have the system map and zero their pages anew in each call, which takes
// as long as many a convolution. It is kept for the next such result: the newest 128 MB at most, and only as long as
// the system does not need those pages.
#pragma once
#include <pybind11/pybind11.h>

namespace fastconv {
namespace py = pybind11;

// A capsule that owns memory for `bytes` bytes, which begin at large_data(): at a huge page. Null for fewer than 32 MB,
// and where the system gives none.
py::object large_memory(size_t bytes);
char* large_data(py::handle memory);

}  // namespace fastconv
