// Threads and build configuration.
#include "fastconv/runtime.hpp"

#include <pybind11/stl.h>

#include "bindings/array.hpp"

namespace fastconv {

void register_runtime(py::module_& m) {
  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads);
  m.def("set_thread_limit", &set_thread_limit);
  m.def("isa_name", &isa_name);
  m.def("available_isas", &available_isas);
  m.def("threading_backend", &threading_backend);
  m.attr("version") = FASTCONV_VERSION;
  m.attr("compiler") = __VERSION__;
}

}  // namespace fastconv
