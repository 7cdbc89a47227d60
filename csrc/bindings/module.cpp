// fastconv._core: one register_* a family, nothing else.
#include <pybind11/pybind11.h>

#include "fastconv/runtime.hpp"

namespace py = pybind11;

namespace fastconv {
void register_runtime(py::module_& m);
void register_conv(py::module_& m);
void register_pool(py::module_& m);
void register_pad(py::module_& m);
void register_layers(py::module_& m);
void register_filter(py::module_& m);
}  // namespace fastconv

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Compiled core of fastconv. Use the functions of the fastconv package, which document it.";
  fastconv::isa_name();  // a processor or a FASTCONV_ISA that cannot work fails here, at import
  fastconv::register_runtime(m);
  fastconv::register_conv(m);
  fastconv::register_pool(m);
  fastconv::register_pad(m);
  fastconv::register_layers(m);
  fastconv::register_filter(m);
}
