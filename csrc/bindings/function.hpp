// Functions of the module as CPython calls them: every argument by position, none left out, and C++'s exceptions turned
// into Python's. pybind11's functions have names, defaults and overloads besides, which the Python modules see to: a
// kilobyte each, and a tenth of a microsecond a call.
#pragma once
#include <type_traits>
#include <utility>

#include "bindings/args.hpp"

namespace fastconv {

bool truth(py::handle h);

// An argument as its function declares it; TypeError for what is none.
template <class A>
A argument(py::handle h) {
  if constexpr (std::is_same_v<A, bool>) return truth(h);
  else if constexpr (std::is_floating_point_v<A>) return parse_number(h, "a number");
  else if constexpr (std::is_integral_v<A>) return static_cast<A>(parse_int(h, 0, "a number"));
  else return h;
}

[[noreturn]] void refuse_count(size_t wanted, Py_ssize_t got);

// Makes the exception that is being handled Python's error.
void set_error();

template <auto f>
struct Function;

template <class R, class... A, R (*f)(A...)>
struct Function<f> {
  static PyObject* call(PyObject*, PyObject* const* given, Py_ssize_t n) {
    try {
      if (n != sizeof...(A)) refuse_count(sizeof...(A), n);
      return apply(given, std::index_sequence_for<A...>{}).release().ptr();
    } catch (...) {
      set_error();
      return nullptr;
    }
  }

 private:
  template <size_t... i>
  static py::object apply([[maybe_unused]] PyObject* const* given, std::index_sequence<i...>) {
    if constexpr (std::is_void_v<R>) {
      f(argument<A>(given[i])...);
      return py::none();
    } else {
      return f(argument<A>(given[i])...);
    }
  }
};

template <auto f>
PyMethodDef method(const char* name) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Function<f>::call)), METH_FASTCALL,
          nullptr};
}

// `methods` ends with an empty one, and stays where it is for as long as the module lives.
void add_methods(py::handle module, PyMethodDef* methods);

}  // namespace fastconv
