// fastconv._core: one register_* a family, nothing else.
#include <stdexcept>

#include "bindings/function.hpp"
#include "fastconv/runtime.hpp"

namespace fastconv {

void register_runtime(py::handle module);
void register_conv(py::handle module);
void register_conv_transpose(py::handle module);
void register_packed_conv(py::handle module);
void register_explain(py::handle module);
void register_pool(py::handle module);
void register_unpool(py::handle module);
void register_pad(py::handle module);
void register_layers(py::handle module);
void register_filter(py::handle module);

namespace {

int fill(PyObject* module) {
  try {
    isa_name();  // a processor or a FASTCONV_ISA that cannot work fails here, at import
    for (auto add : {register_runtime, register_conv, register_conv_transpose, register_packed_conv, register_explain,
                     register_pool, register_unpool, register_pad, register_layers, register_filter})
      add(module);
    return 0;
  } catch (const std::runtime_error& error) {
    PyErr_SetString(PyExc_ImportError, error.what());
  } catch (...) {
    set_error();
  }
  return -1;
}

}  // namespace
}  // namespace fastconv

PyMODINIT_FUNC PyInit__core() {
  static PyModuleDef_Slot slots[] = {
      {Py_mod_exec, reinterpret_cast<void*>(fastconv::fill)},
#ifdef Py_mod_multiple_interpreters
      {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
      {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
      {0, nullptr},
  };
  static PyModuleDef definition = {
      PyModuleDef_HEAD_INIT,
      "_core",
      "Compiled core of fastconv. Use the functions of the fastconv package, which document it.",
      0,
      nullptr,
      slots,
      nullptr,
      nullptr,
      nullptr,
  };
  return PyModuleDef_Init(&definition);
}
