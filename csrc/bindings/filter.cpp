// Filters of planes: Python arguments -> problem -> the core. Arrays of any number of axes, the last two of which are a
// plane.
#include "fastconv/filter.hpp"

#include <algorithm>

#include "bindings/function.hpp"

namespace fastconv {
namespace {

py::array dense_array(py::handle h, const char* name) {
  py::array a = input_array(h, name);
  if (a.flags() & py::array::c_style) return a;
  return py::array::ensure(a, py::array::c_style);
}

struct Planes {
  py::array x;
  FilterProblem p;
  py::array y;

  explicit Planes(py::handle input) : x(dense_array(input, "input")), y(look()) {}
  // Writes the sizes; a new array like x.
  py::array look() {
    const int rank = static_cast<int>(x.ndim());
    if (rank < 1 || rank > 8) value_error({"input must have one to eight axes, got shape ", shape_text(x)});
    int64_t shape[8];
    for (int i = 0; i < rank; ++i) {
      shape[i] = x.shape(i);
      if (i < rank - 2) p.planes *= shape[i];
      else p.axis[i - rank + 2].in = shape[i];
    }
    return output_array(py::none(), is_f64(x), shape, rank, "out");
  }
  void set_ends(int axis, py::handle before, py::handle mode, py::handle value) {
    FilterAxis& a = p.axis[axis];
    a.before = parse_int(before, 0, "before");
    a.mode = parse_mode(mode, "mode");
    a.value = parse_number(value, "value");
  }
};

// A size, or weights, whose number is the size.
struct Taps {
  py::object owner;
  const void* weights = nullptr;

  Taps(py::handle h, const py::array& x, bool weighed, FilterAxis& a, const char* name) {
    if (!weighed || PyLong_Check(h.ptr())) {
      a.size = parse_int(h, 1, name);
      if (weighed && a.size != 1) type_error({name, " must be weights, got ", repr_text(h)});
      return;
    }
    py::array w = dense_array(h, name);
    require_same_dtype(x, "input", w, name);
    a.size = w.size();
    weights = w.data();
    owner = std::move(w);
  }
};

// filter(x, y), in the type of the planes.
template <class F>
py::array run(const Planes& planes, F filter) {
  const void* x = planes.x.data();
  py::array y = planes.y;
  void* to = y.mutable_data();
  run_released(is_f64(planes.x), [&](auto zero) {
    using T = decltype(zero);
    filter(static_cast<const T*>(x), static_cast<T*>(to));
  });
  return y;
}

py::array run_axes(const Planes& planes, Filter filter, const void* height, const void* width) {
  return run(planes, [&](const auto* x, auto* y) {
    filter_axes(planes.p, filter, x, static_cast<decltype(x)>(height), static_cast<decltype(x)>(width), y);
  });
}

py::array run_taps(const Planes& planes, const py::array& kernel) {
  const void* weights = kernel.data();
  return run(planes, [&](const auto* x, auto* y) { filter_taps(planes.p, x, static_cast<decltype(x)>(weights), y); });
}

py::array filter_axes_py(py::handle input, py::handle kind, py::handle height, py::handle width,
                         py::handle height_before, py::handle width_before, py::handle height_mode,
                         py::handle width_mode, py::handle height_value, py::handle width_value) {
  Planes planes(input);
  const Filter filter = parse_filter(kind);
  const Taps taps[2] = {{height, planes.x, filter == Filter::weigh, planes.p.axis[0], "height"},
                        {width, planes.x, filter == Filter::weigh, planes.p.axis[1], "width"}};
  planes.set_ends(0, height_before, height_mode, height_value);
  planes.set_ends(1, width_before, width_mode, width_value);
  return run_axes(planes, filter, taps[0].weights, taps[1].weights);
}

py::array filter_taps_py(py::handle input, py::handle kernel, py::handle height_before, py::handle width_before,
                         py::handle height_mode, py::handle width_mode, py::handle value) {
  Planes planes(input);
  py::array w = dense_array(kernel, "kernel");
  require_same_dtype(planes.x, "input", w, "kernel");
  if (w.ndim() != 2) value_error({"kernel must have two axes, got shape ", shape_text(w)});
  for (int i = 0; i < 2; ++i) planes.p.axis[i].size = w.shape(i);
  planes.set_ends(0, height_before, height_mode, value);
  planes.set_ends(1, width_before, width_mode, value);
  return run_taps(planes, w);
}

// The common cases of ndimage without detours: one plane, and options that are as they are by default or much like
// that. What is not one of them is None.

constexpr int64_t kWidest = 1 << 16;  // lines that are kept whole, where they wrap around

bool is_plain_plane(py::handle h) {
  if (!is_plain_array(h)) return false;
  const auto a = py::reinterpret_borrow<py::array>(h);
  return a.ndim() == 2 && a.size() > 0 && a.shape(1) <= kWidest;
}

struct Ends {
  bool plain = false;
  Mode mode = Mode::zeros;
  double value = 0;
  int64_t before[2] = {0, 0};

  // Of a kernel of so many elements; `turned`: which convolves, and whose elements are in the opposite order.
  Ends(int64_t height, int64_t width, bool turned, py::handle mode_name, py::handle cval, py::handle origin) {
    if (mode_name.is_none() || !PyLong_CheckExact(origin.ptr())) return;
    if (PyFloat_CheckExact(cval.ptr())) value = PyFloat_AS_DOUBLE(cval.ptr());
    else if (int wide; !PyLong_CheckExact(cval.ptr()) || (value = PyLong_AsLongAndOverflow(cval.ptr(), &wide), wide))
      return;
    int overflow;
    const int64_t shift = PyLong_AsLongAndOverflow(origin.ptr(), &overflow), sizes[2] = {height, width};
    for (int i = 0; i < 2; ++i) {
      if (overflow || shift > sizes[i] || shift < -sizes[i]) return;
      before[i] = turned ? (sizes[i] - 1) / 2 - shift : sizes[i] / 2 + shift;
      if (before[i] < 0 || before[i] >= sizes[i]) return;
    }
    mode = parse_mode(mode_name, "mode");
    plain = true;
  }
  void set(FilterAxis& a, int64_t size, int i) const {
    a.size = size, a.before = before[i], a.mode = mode, a.value = value;
  }
};

py::object correlate_plane_py(py::handle input, py::handle kernel, bool turned, py::handle mode, py::handle cval,
                              py::handle origin) {
  constexpr int64_t kFewTaps = 9,  // a plane under so many is filtered tap by tap
      kSmall = 1024;               // elements of planes and kernels that a convolution would take longer to begin with
  if (!is_plain_plane(input) || !is_plain_plane(kernel)) return py::none();
  const auto x = py::reinterpret_borrow<py::array>(input), given = py::reinterpret_borrow<py::array>(kernel);
  if (given.size() > kFewTaps && std::max(x.size(), given.size()) > kSmall) return py::none();
  const Ends ends(given.shape(0), given.shape(1), turned, mode, cval, origin);
  if (!ends.plain) return py::none();
  Planes planes(input);
  py::array w = dense_array(kernel, "kernel");
  if (is_f64(w) && !is_f64(x)) w = py::array_t<float, py::array::c_style | py::array::forcecast>(w);
  if (is_f64(x) && !is_f64(w)) w = py::array_t<double, py::array::c_style | py::array::forcecast>(w);
  for (int i = 0; i < 2; ++i) ends.set(planes.p.axis[i], w.shape(i), i);
  return run_taps(planes, w);
}

py::object filter_box_py(py::handle input, py::handle kind, py::handle size, py::handle mode, py::handle cval,
                         py::handle origin) {
  if (!is_plain_plane(input)) return py::none();
  const int64_t n = parse_int(size, 1, "size");
  const Ends ends(n, n, false, mode, cval, origin);
  if (!ends.plain) return py::none();
  const Filter filter = parse_filter(kind);
  Planes planes(input);
  for (int i = 0; i < 2; ++i) ends.set(planes.p.axis[i], n, i);
  if (filter == Filter::mean) planes.p.axis[1].value *= static_cast<double>(n);  // there is a sum of them already
  return run_axes(planes, filter, nullptr, nullptr);
}

}  // namespace

void register_filter(py::handle module) {
  static PyMethodDef methods[] = {
      method<filter_axes_py>("filter_axes"),
      method<filter_taps_py>("filter_taps"),
      method<correlate_plane_py>("correlate_plane"),
      method<filter_box_py>("filter_box"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
