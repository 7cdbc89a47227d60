#include "bindings/args.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {
namespace {

[[noreturn]] void bad(const char* name, const Word& need, py::handle got) {
  value_error({name, " must be ", need, ", got ", repr_text(got)});
}
[[noreturn]] void bad_type(const char* name, const Word& need, py::handle got) {
  type_error({name, " must be ", need, ", got ", repr_text(got)});
}

// An array without axes is a number, not a sequence.
bool is_array(py::handle h) { return py::isinstance<py::array>(h) && py::reinterpret_borrow<py::array>(h).ndim() > 0; }

bool is_index(py::handle h) { return PyLong_Check(h.ptr()) || (PyIndex_Check(h.ptr()) && !is_array(h)); }

// The text of a str argument, or nullptr; also for one that UTF-8 cannot write, which is no name of anything.
const char* text_of(py::handle h) {
  if (!PyUnicode_Check(h.ptr())) return nullptr;
  const char* text = PyUnicode_AsUTF8(h.ptr());
  if (!text) PyErr_Clear();
  return text;
}

}  // namespace

bool is_sequence(py::handle h) {
  return !PyLong_CheckExact(h.ptr()) && (PyTuple_Check(h.ptr()) || PyList_Check(h.ptr()) || is_array(h));
}

void refuse(const char* name, const char* need, py::handle got) {
  py::error_already_set cause;
  if (!cause.matches(PyExc_Exception)) throw cause;
  const std::string text = std::string(name) + " must be " + need + ", got " + repr_text(got);
  py::raise_from(cause, PyExc_TypeError, text.c_str());
  throw py::error_already_set();
}

double parse_number(py::handle h, const char* name) {
  const double v = PyFloat_AsDouble(h.ptr());
  if (v == -1.0 && PyErr_Occurred()) refuse(name, "a number", h);
  return v;
}

int64_t parse_int(py::handle h, int64_t least, const char* name) {
  if (!is_index(h) || PyBool_Check(h.ptr())) bad_type(name, "an integer", h);
  auto number = py::reinterpret_steal<py::object>(PyNumber_Index(h.ptr()));
  if (!number) refuse(name, "an integer", h);
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow) bad(name, "an integer of at most 63 bits", h);
  if (v < least) bad(name, least == 1 ? "at least 1" : least == 0 ? "at least 0" : "larger", h);
  return v;
}

bool parse_bool(py::handle h, const char* name) {
  py::detail::make_caster<bool> truth;
  if (!truth.load(h, /*convert=*/false)) bad_type(name, "True or False", h);
  return static_cast<bool>(truth);
}

py::tuple tuple_of(py::handle h, const char* name, const char* need) {
  if (!PySequence_Check(h.ptr())) bad_type(name, need, h);  // a set has no order
  auto items = py::reinterpret_steal<py::tuple>(PySequence_Tuple(h.ptr()));
  if (!items) refuse(name, need, h);
  return items;
}

py::tuple parse_shape(py::handle h, const char* name) { return tuple_of(h, name, "a sequence of sizes"); }

void parse_axes(py::handle h, int nd, int64_t least, const char* name, int64_t* values) {
  const auto need = [nd] { return "an integer or one per axis (" + std::to_string(nd) + ")"; };
  if (!is_sequence(h)) {
    if (!is_index(h)) bad_type(name, need(), h);
    std::fill_n(values, nd, parse_int(h, least, name));
    return;
  }
  py::tuple seq = parse_shape(h, name);
  if (static_cast<int>(seq.size()) != nd) bad(name, need(), h);
  for (int i = 0; i < nd; ++i) {
    py::object item = seq[static_cast<size_t>(i)];
    values[i] = parse_int(item, least, name);
  }
}

namespace {

// What a name of a padding means for an axis. False if it is none.
bool named_padding(const char* name, ConvAxis& a) {
  const auto is = [name](const char* other) { return !std::strcmp(name, other); };
  const int64_t reach = checked_mul(a.dilation, a.k - 1, "dilation");
  if (is("valid")) a.pad_before = a.pad_after = 0;
  else if (is("full")) a.pad_before = a.pad_after = reach;
  else if (is("causal")) a.pad_before = reach, a.pad_after = 0;
  else if (is("same") || is("same_lower")) {  // out = ceil(in / stride); the odd element goes to one end
    const int64_t out = a.in / a.stride + (a.in % a.stride != 0);
    const int64_t last = checked_add(checked_mul(out - 1, a.stride, "stride"), reach + 1, "dilation");
    const int64_t total = std::max<int64_t>(last - a.in, 0);
    a.pad_before = is("same") ? total / 2 : total - total / 2;
    a.pad_after = total - a.pad_before;
  } else return false;
  return true;
}

}  // namespace

void parse_padding(py::handle h, int nd, ConvAxis* axes) {
  const char* need =
      "an integer, one per axis, a (before, after) pair per axis, or one of 'valid', 'same', 'same_lower', 'full', "
      "'causal'";
  if (const char* text = text_of(h)) {
    if (nd > 1 && !std::strcmp(text, "causal")) bad("padding", "'causal' only in one dimension", h);
    for (int i = 0; i < nd; ++i)
      if (!named_padding(text, axes[i])) bad("padding", need, h);
    return;
  }
  if (!is_sequence(h)) {
    if (!is_index(h)) bad_type("padding", need, h);
    const int64_t v = parse_int(h, 0, "padding");
    for (int i = 0; i < nd; ++i) axes[i].pad_before = axes[i].pad_after = v;
    return;
  }
  py::tuple seq = parse_shape(h, "padding");
  if (static_cast<int>(seq.size()) != nd) bad("padding", need, h);
  for (int i = 0; i < nd; ++i) {
    py::object item = seq[static_cast<size_t>(i)];
    int64_t pair[2];
    if (is_sequence(item)) {
      if (PySequence_Size(item.ptr()) != 2) bad("padding", need, h);
      parse_axes(item, 2, 0, "padding", pair);
    } else {
      pair[0] = pair[1] = parse_int(item, 0, "padding");
    }
    axes[i].pad_before = pair[0];
    axes[i].pad_after = pair[1];
  }
}

namespace {

template <class E, size_t N, class NameOf>
E parse_name(py::handle h, const char* argument, const char* need, const E (&all)[N], NameOf name_of) {
  const char* text = text_of(h);
  if (!text) bad_type(argument, need, h);
  for (const E& e : all)
    if (!std::strcmp(text, name_of(e))) return e;
  bad(argument, need, h);
}

}  // namespace

Mode parse_mode(py::handle h, const char* name) {
  struct Entry {
    const char* name;
    Mode mode;
  };
  static const Entry entries[] = {
      {"zeros", Mode::zeros},       {"reflect", Mode::reflect},     {"replicate", Mode::replicate},
      {"circular", Mode::circular}, {"symmetric", Mode::symmetric}, {"constant", Mode::zeros},
      {"edge", Mode::replicate},    {"wrap", Mode::circular},
  };
  return parse_name(h, name, "one of 'zeros', 'reflect', 'replicate', 'circular', 'symmetric'", entries,
                    [](const Entry& e) { return e.name; })
      .mode;
}

void parse_modes(py::handle h, int nd, ConvAxis* axes) {
  if (!is_sequence(h)) {
    Mode m = parse_mode(h, "padding_mode");
    for (int i = 0; i < nd; ++i) axes[i].mode = m;
    return;
  }
  py::tuple seq = parse_shape(h, "padding_mode");
  if (static_cast<int>(seq.size()) != nd)
    bad("padding_mode", "one name or one per axis (" + std::to_string(nd) + ")", h);
  for (int i = 0; i < nd; ++i) {
    py::object item = seq[static_cast<size_t>(i)];
    axes[i].mode = parse_mode(item, "padding_mode");
  }
}

Activation parse_activation(py::handle h) {
  if (h.is_none()) return Activation::none;
  static const Activation all[] = {Activation::none, Activation::relu,    Activation::leaky_relu, Activation::relu6,
                                   Activation::elu,  Activation::sigmoid, Activation::tanh};
  return parse_name(h, "activation", "None or one of 'relu', 'leaky_relu', 'relu6', 'elu', 'sigmoid', 'tanh'", all,
                    activation_name);
}

Algorithm parse_algorithm(py::handle h) {
  static const Algorithm all[] = {Algorithm::automatic, Algorithm::direct,    Algorithm::winograd,
                                  Algorithm::fft,       Algorithm::depthwise, Algorithm::reference};
  return parse_name(h, "algorithm", "one of 'auto', 'direct', 'winograd', 'fft', 'depthwise', 'reference'", all,
                    algorithm_name);
}

Direction parse_direction(py::handle h) {
  static const Direction all[] = {Direction::forward, Direction::backward_input, Direction::backward_weight};
  return parse_name(h, "direction", "one of 'forward', 'grad_input', 'grad_weight'", all, [](Direction d) {
    return d == Direction::forward ? "forward" : d == Direction::backward_input ? "grad_input" : "grad_weight";
  });
}

Filter parse_filter(py::handle h) {
  static const Filter all[] = {Filter::weigh, Filter::mean, Filter::maximum, Filter::minimum};
  return parse_name(h, "filter", "one of 'weigh', 'mean', 'maximum', 'minimum'", all, [](Filter f) {
    static const char* const names[] = {"weigh", "mean", "maximum", "minimum"};
    return names[static_cast<int>(f)];
  });
}

}  // namespace fastconv
