// Threads, build configuration, and arguments as the core sees them.
#include "fastconv/runtime.hpp"

#include "bindings/function.hpp"

namespace fastconv {
namespace {

py::object num_threads_py() { return py::int_(num_threads()); }
py::object set_thread_limit_py(int n) { return py::int_(set_thread_limit(n)); }
py::object isa_name_py() { return py::str(isa_name()); }
py::object threading_backend_py() { return py::str(threading_backend()); }

py::object as_array_py(py::handle input) { return any_array(input, "input"); }

py::object available_isas_py() {
  py::list names;
  for (const std::string& name : available_isas()) names.append(py::str(name));
  return names;
}

}  // namespace

void register_runtime(py::handle module) {
  static PyMethodDef methods[] = {
      method<num_threads_py>("num_threads"),
      method<set_num_threads>("set_num_threads"),
      method<set_thread_limit_py>("set_thread_limit"),
      method<isa_name_py>("isa_name"),
      method<available_isas_py>("available_isas"),
      method<threading_backend_py>("threading_backend"),
      method<as_array_py>("as_array"),
      {},
  };
  add_methods(module, methods);
  module.attr("version") = FASTCONV_VERSION;
  module.attr("compiler") = __VERSION__;
}

}  // namespace fastconv
