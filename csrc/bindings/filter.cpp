// Filters of planes: Python arguments -> problem -> the core. Arrays of any number of axes, the last two of which are a
// plane.
#include "fastconv/filter.hpp"

#include <cstring>

#include "bindings/function.hpp"

namespace fastconv {
namespace {

py::array dense_array(py::handle h, const char* name) {
  py::array a = input_array(h, name);
  if (a.flags() & py::array::c_style) return a;
  return py::array::ensure(a, py::array::c_style);
}

Filter parse_filter(py::handle h) {
  static const struct {
    const char* name;
    Filter filter;
  } all[] = {
      {"weigh", Filter::weigh}, {"mean", Filter::mean}, {"maximum", Filter::maximum}, {"minimum", Filter::minimum}};
  if (const char* text = PyUnicode_Check(h.ptr()) ? PyUnicode_AsUTF8(h.ptr()) : nullptr)
    for (const auto& entry : all)
      if (!std::strcmp(text, entry.name)) return entry.filter;
  value_error({"filter must be 'weigh', 'mean', 'maximum' or 'minimum', got ", repr_text(h)});
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

py::array filter_axes_py(py::handle input, py::handle kind, py::handle height, py::handle width,
                         py::handle height_before, py::handle width_before, py::handle height_mode,
                         py::handle width_mode, py::handle height_value, py::handle width_value) {
  Planes planes(input);
  const Filter filter = parse_filter(kind);
  const Taps taps[2] = {{height, planes.x, filter == Filter::weigh, planes.p.axis[0], "height"},
                        {width, planes.x, filter == Filter::weigh, planes.p.axis[1], "width"}};
  planes.set_ends(0, height_before, height_mode, height_value);
  planes.set_ends(1, width_before, width_mode, width_value);
  const void *x = planes.x.data(), *wh = taps[0].weights, *ww = taps[1].weights;
  void* y = planes.y.mutable_data();
  run_released(is_f64(planes.x), [&](auto zero) {
    using T = decltype(zero);
    filter_axes<T>(planes.p, filter, static_cast<const T*>(x), static_cast<const T*>(wh), static_cast<const T*>(ww),
                   static_cast<T*>(y));
  });
  return planes.y;
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
  const void *x = planes.x.data(), *weights = w.data();
  void* y = planes.y.mutable_data();
  run_released(is_f64(planes.x), [&](auto zero) {
    using T = decltype(zero);
    filter_taps<T>(planes.p, static_cast<const T*>(x), static_cast<const T*>(weights), static_cast<T*>(y));
  });
  return planes.y;
}

}  // namespace

void register_filter(py::handle module) {
  static PyMethodDef methods[] = {
      method<filter_axes_py>("filter_axes"),
      method<filter_taps_py>("filter_taps"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
