#include "bindings/array.hpp"

#include "bindings/large_memory.hpp"

namespace fastconv {
namespace {

bool addressable(const py::array& a) {
  const auto item = a.itemsize();
  if (reinterpret_cast<uintptr_t>(a.data()) % static_cast<uintptr_t>(item)) return false;
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.strides(i) % item && a.shape(i) > 1) return false;
  return true;
}

bool is_real_float(const py::array& a) {
  const auto* d = py::detail::array_descriptor_proxy(py::detail::array_proxy(a.ptr())->descr);
  return (d->type_num == py::detail::npy_api::NPY_FLOAT_ || d->type_num == py::detail::npy_api::NPY_DOUBLE_) &&
         d->byteorder != '>';
}

py::module_ numpy() { return py::module_::import("numpy"); }

// An ndarray itself, and no subclass.
bool is_plain(py::handle h) {
  return Py_TYPE(h.ptr()) == reinterpret_cast<PyTypeObject*>(py::detail::npy_api::get().PyArray_Type_);
}

void refuse_mask(const py::array& a, const char* name) {
  if (!is_plain(a) && py::isinstance(a, numpy().attr("ma").attr("MaskedArray")))
    type_error({name, " is a masked array, and masks are not minded: pass its .data or .filled(value)"});
}

// Slow road: things that are not yet an ndarray, subclasses, and errors.
py::array convert(py::handle h, const char* name) {
  py::array array = any_array(h, name);
  if (!is_real_float(array))
    type_error({name, " has dtype ", dtype_text(array),
                "; float32 or float64 (native byte order) is needed, and nothing is cast silently"});
  if (!addressable(array))
    array = py::reinterpret_borrow<py::array>(numpy().attr("array")(array));  // misaligned fields
  return array;
}

// First and one-past-last byte an array can touch.
void extent(const py::array& a, const char*& lo, const char*& hi) {
  lo = hi = static_cast<const char*>(a.data());
  for (py::ssize_t i = 0; i < a.ndim(); ++i) {
    if (a.shape(i) == 0) {
      hi = lo;
      return;
    }
    auto reach = (a.shape(i) - 1) * a.strides(i);
    (reach < 0 ? lo : hi) += reach;
  }
  hi += a.itemsize();
}

bool overlaps_itself(const py::array& a) {
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) == 0) return false;
  // Sort axes by stride: each must step over everything the smaller ones span.
  std::vector<std::pair<py::ssize_t, py::ssize_t>> axes;
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) > 1) axes.emplace_back(std::abs(a.strides(i)), a.shape(i));
  std::sort(axes.begin(), axes.end());
  py::ssize_t span = a.itemsize();
  for (auto& [stride, length] : axes) {
    if (stride < span) return true;
    span = stride * (length - 1) + span;
  }
  return false;
}

py::object make_array(bool f64, const Py_intptr_t* shape, int rank, void* data) {
  auto& api = py::detail::npy_api::get();
  auto descr = api.PyArray_DescrFromType_(f64 ? py::detail::npy_api::NPY_DOUBLE_ : py::detail::npy_api::NPY_FLOAT_);
  const int flags = data ? py::detail::npy_api::NPY_ARRAY_WRITEABLE_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_ : 0;
  auto made = py::reinterpret_steal<py::object>(
      api.PyArray_NewFromDescr_(api.PyArray_Type_, descr, rank, shape, nullptr, data, flags, nullptr));
  if (!made) throw py::error_already_set();
  return made;
}

// Large arrays begin at a cache line, where numpy's begin 16 bytes behind one: vectors that are split between two lines
// cost the tiles up to a fifth of their speed, here and in the next layer.
py::array new_array(bool f64, const int64_t* shape, int rank) {
  constexpr int64_t kLine = 64, kLarge = 4096;
  const int64_t item = f64 ? 8 : 4;
  Py_intptr_t dims[8];
  int64_t bytes = item;
  for (int i = 0; i < rank; ++i) {
    dims[i] = static_cast<Py_intptr_t>(shape[i]);
    bytes *= shape[i];  // no overflow: the caller knows how large its result is
  }
  if (bytes < kLarge) return py::reinterpret_borrow<py::array>(make_array(f64, dims, rank, nullptr));
  py::object memory = large_memory(static_cast<size_t>(bytes));
  char* data;
  if (memory) {
    data = large_data(memory);
  } else {
    const Py_intptr_t room = (bytes + kLine) / item;
    memory = make_array(f64, &room, 1, nullptr);
    data = static_cast<char*>(py::reinterpret_borrow<py::array>(memory).mutable_data());
    data += -reinterpret_cast<uintptr_t>(data) % kLine;
  }
  py::object made = make_array(f64, dims, rank, data);
  py::detail::npy_api::get().PyArray_SetBaseObject_(made.ptr(), memory.release().ptr());
  return py::reinterpret_borrow<py::array>(made);
}

}  // namespace

void value_error(std::initializer_list<Word> words) { throw py::value_error(message(words)); }
void type_error(std::initializer_list<Word> words) { throw py::type_error(message(words)); }

std::string dtype_text(const py::array& a) { return py::str(a.dtype()).cast<std::string>(); }

std::string repr_text(py::handle h) {
  auto text = py::reinterpret_steal<py::object>(PyObject_Repr(h.ptr()));
  if (!text) {  // a broken __repr__ must not hide what is wrong with the argument
    PyErr_Clear();
    return std::string("an object of type ") + Py_TYPE(h.ptr())->tp_name;
  }
  const bool cut = PyUnicode_GetLength(text.ptr()) > 120;
  if (cut) text = py::reinterpret_steal<py::object>(PyUnicode_Substring(text.ptr(), 0, 117));
  auto bytes = py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "backslashreplace"));
  if (!bytes) throw py::error_already_set();
  return static_cast<std::string>(bytes) + (cut ? "..." : "");
}

std::string shape_text(const int64_t* shape, int rank) {
  std::string s = "(";
  for (int i = 0; i < rank; ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + (rank == 1 ? ",)" : ")");
}
std::string shape_text(const py::array& a) {
  return shape_text(reinterpret_cast<const int64_t*>(a.shape()), static_cast<int>(a.ndim()));
}

py::array any_array(py::handle h, const char* name) {
  py::object a = py::reinterpret_borrow<py::object>(h);
  if (!py::isinstance<py::array>(h)) {
    const std::string need = std::string(name) + " must be an array, got " + repr_text(py::type::of(h));
    try {
      if (py::hasattr(h, "__array__") || py::hasattr(h, "__array_interface__") || PyObject_CheckBuffer(h.ptr()))
        a = numpy().attr("asarray")(h);
      else if (py::hasattr(h, "__dlpack__")) a = numpy().attr("from_dlpack")(h);
      else type_error({need});
    } catch (py::error_already_set& cause) {
      if (!cause.matches(PyExc_Exception) || cause.matches(PyExc_MemoryError)) throw;
      const std::string text = need + ": " + static_cast<std::string>(py::str(cause.value()));
      py::raise_from(cause, PyExc_TypeError, text.c_str());
      throw py::error_already_set();
    }
  }
  py::array array = py::reinterpret_borrow<py::array>(a);
  refuse_mask(array, name);
  return array;
}

bool is_plain_array(py::handle h) { return is_plain(h) && is_real_float(py::reinterpret_borrow<py::array>(h)); }

py::array input_array(py::handle h, const char* name) {
  if (is_plain(h)) {
    py::array a = py::reinterpret_borrow<py::array>(h);
    if (is_real_float(a) && addressable(a)) return a;
  }
  return convert(h, name);
}

void require_same_dtype(const py::array& a, const char* a_name, const py::array& b, const char* b_name) {
  if (a.itemsize() == b.itemsize()) return;
  type_error({a_name, " and ", b_name, " must have one dtype, got ", dtype_text(a), " and ", dtype_text(b)});
}

py::array output_array(py::handle out, bool f64, const int64_t* shape, int rank, const char* name,
                       std::initializer_list<const py::array*> inputs) {
  if (out.is_none()) return new_array(f64, shape, rank);
  if (!py::isinstance<py::array>(out)) type_error({name, " must be a numpy array, got ", repr_text(py::type::of(out))});
  py::array a = py::reinterpret_borrow<py::array>(out);
  refuse_mask(a, name);
  if (!is_real_float(a) || is_f64(a) != f64)
    type_error({name, " has dtype ", dtype_text(a), ", but the result is ", (f64 ? "float64" : "float32")});
  bool fits = a.ndim() == rank;
  for (int i = 0; fits && i < rank; ++i) fits = a.shape(i) == shape[i];
  if (!fits) value_error({name, " has shape ", shape_text(a), ", but the result has shape ", shape_text(shape, rank)});
  if (!a.writeable()) value_error({name, " is read-only"});
  if (!addressable(a)) value_error({name, " is not aligned to its elements"});
  if (overlaps_itself(a))
    value_error({name, " has elements that share memory (strides ", repr_text(a.attr("strides")), ")"});
  const char *lo, *hi;
  extent(a, lo, hi);
  for (const py::array* input : inputs) {
    if (!input || !input->ptr()) continue;
    const char *ilo, *ihi;
    extent(*input, ilo, ihi);
    // Within each other's bounds; whether they meet is a question of strides, and so many steps find nearly all that do
    // not, such as halves of the channels of one batch.
    if (lo < ihi && ilo < hi && lo < hi && ilo < ihi &&
        numpy().attr("may_share_memory")(a, *input, py::arg("max_work") = 100000).cast<bool>())
      value_error({name, " shares memory with an input of the call"});
  }
  return a;
}

}  // namespace fastconv
