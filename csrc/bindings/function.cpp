#include "bindings/function.hpp"

#include <new>
#include <stdexcept>

namespace fastconv {

bool truth(py::handle h) {
  const int is = PyObject_IsTrue(h.ptr());
  if (is < 0) throw py::error_already_set();
  return is;
}

void refuse_count(size_t wanted, Py_ssize_t got) { type_error({wanted, " arguments are needed, got ", got}); }

void set_error() {
  try {
    throw;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::logic_error& error) {  // the core's: sizes and values that do not fit
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

void add_methods(py::handle module, PyMethodDef* methods) {
  if (PyModule_AddFunctions(module.ptr(), methods)) throw py::error_already_set();
}

}  // namespace fastconv
