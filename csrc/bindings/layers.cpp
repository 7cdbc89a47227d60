// Passes of a training step. The layers of fastconv.nn and the optimisers call them with arrays that they made
// themselves; what is checked here is what keeps memory safe.
#include "layers/layers.hpp"

#include <algorithm>

#include "bindings/function.hpp"

namespace fastconv {
namespace {

// The argument itself and never a copy of it: it may be written to.
py::array itself(py::handle h, const char* name) {
  py::array a = input_array(h, name);
  if (a.ptr() != h.ptr()) type_error({name, " must be an aligned numpy array, got ", repr_text(py::type::of(h))});
  return a;
}

// Where the elements of an array begin, of whichever type they are.
struct Elements {
  const void* data;
  template <class T>
  operator T*() const {
    return static_cast<T*>(const_cast<void*>(data));
  }
};

// The arrays of a call, all of the first one's type, float32 or float64. The caller holds them.
class Arrays {
 public:
  const py::array first;

  Arrays(py::handle h, const char* name) : first(itself(h, name)), name_(name) {}

  py::array another(py::handle h, const char* name) const {
    py::array a = itself(h, name);
    require_same_dtype(first, name_, a, name);
    return a;
  }

  // Elements in memory's order, as many as asked for; those that are to change are writeable.
  Elements read(py::handle h, const char* name, py::ssize_t size) const { return elements(h, name, size, false); }
  Elements write(py::handle h, const char* name, py::ssize_t size) const { return elements(h, name, size, true); }
  Elements read_any(py::handle h, const char* name, py::ssize_t size) const {
    return h.is_none() ? Elements{nullptr} : read(h, name, size);
  }
  Elements write_any(py::handle h, const char* name, py::ssize_t size) const {
    return h.is_none() ? Elements{nullptr} : write(h, name, size);
  }

  // f(0.0f) or f(0.0), whose type is that of the elements.
  template <class F>
  void run(F f) const {
    run_released(is_f64(first), f);
  }

 private:
  Elements elements(py::handle h, const char* name, py::ssize_t size, bool changes) const {
    const py::array a = another(h, name);
    if (a.size() != size || !(a.flags() & py::array::c_style) || (changes && !a.writeable()))
      value_error(
          {name, " must be writeable and hold ", size, " elements in memory's order, got shape ", shape_text(a)});
    return {a.data()};
  }

  const char* name_;
};

// ValueError unless both arrays have one shape and one order in memory, without gaps, and the first is writeable.
void require_alike(const py::array& a, const py::array& b, const char* names) {
  bool alike = a.ndim() == b.ndim();
  for (py::ssize_t i = 0; alike && i < a.ndim(); ++i)
    alike = a.shape(i) == b.shape(i) && (a.shape(i) == 1 || a.strides(i) == b.strides(i));
  if (!alike) value_error({names, " must have one shape and one order in memory"});
  std::vector<std::pair<py::ssize_t, py::ssize_t>> axes;
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) > 1) axes.emplace_back(a.strides(i), a.shape(i));
  std::sort(axes.begin(), axes.end());
  py::ssize_t span = a.itemsize();
  for (auto& [stride, length] : axes) {
    if (stride != span && a.size()) value_error({names, " must have no gaps in memory"});
    span *= length;
  }
  if (!a.writeable()) value_error({"the first of ", names, " is read-only"});
}

void relu_grad_py(py::handle grad, py::handle output, py::handle sums) {
  const Arrays arrays(grad, "grad");
  const py::array &g = arrays.first, y = arrays.another(output, "output");
  require_alike(g, y, "grad and output");
  const Elements to{g.data()}, from{y.data()};
  const py::ssize_t n = g.size();
  if (sums.is_none()) return arrays.run([&](auto zero) { relu_grad<decltype(zero)>(to, from, n); });
  if (g.ndim() < 2 || !(g.flags() & py::array::c_style))
    value_error({"grad must be (N, C, ...) in memory's order for the sums of channels, got shape ", shape_text(g)});
  const py::ssize_t mb = g.shape(0), channels = g.shape(1);
  const Elements sum = arrays.write(sums, "sums", channels);
  arrays.run([&](auto zero) {
    relu_grad<decltype(zero)>(to, from, mb, channels, mb && channels ? n / mb / channels : 0, sum);
  });
}

void dropout_py(py::handle input, py::handle out, uint64_t seed, double p) {
  const Arrays arrays(out, "out");
  const py::array &y = arrays.first, x = arrays.another(input, "input");
  require_alike(y, x, "out and input");
  const Elements to{y.data()}, from{x.data()};
  const py::ssize_t n = x.size();
  arrays.run([&](auto zero) { dropout<decltype(zero)>(from, to, n, seed, p); });
}

void transpose_py(py::handle input, py::handle out) {
  const Arrays arrays(input, "input");
  const py::array &x = arrays.first, y = arrays.another(out, "out");
  if (x.ndim() != 2 || y.ndim() != 2 || x.shape(0) != y.shape(1) || x.shape(1) != y.shape(0))
    value_error({"input ", shape_text(x), " must be a matrix, out ", shape_text(y), " shaped as its transpose"});
  const Elements from = arrays.read(x, "input", x.size()), to = arrays.write(y, "out", x.size());
  const py::ssize_t rows = x.shape(0), columns = x.shape(1);
  arrays.run([&](auto zero) { transpose<decltype(zero)>(from, to, rows, columns); });
}

void sgd_py(py::handle data, py::handle grad, py::handle velocity, double lr, double momentum, double weight_decay,
            bool nesterov) {
  const Arrays arrays(data, "data");
  const py::ssize_t n = arrays.first.size();
  const Elements w = arrays.write(data, "data", n), g = arrays.read(grad, "grad", n);
  const Elements v = arrays.write_any(velocity, "velocity", n);
  arrays.run([&](auto zero) {
    using T = decltype(zero);
    sgd_step<T>(w, g, v, n, {static_cast<T>(lr), static_cast<T>(momentum), static_cast<T>(weight_decay), nesterov});
  });
}

void adam_py(py::handle data, py::handle grad, py::handle mean, py::handle square, double beta1, double beta2,
             double eps, double weight_decay, double keep, double rate, double root) {
  const Arrays arrays(data, "data");
  const py::ssize_t n = arrays.first.size();
  const Elements w = arrays.write(data, "data", n), g = arrays.read(grad, "grad", n);
  const Elements m = arrays.write(mean, "mean", n), s = arrays.write(square, "square", n);
  arrays.run([&](auto zero) {
    using T = decltype(zero);
    auto number = [](double v) { return static_cast<T>(v); };
    adam_step<T>(
        w, g, m, s, n,
        {number(beta1), number(beta2), number(eps), number(weight_decay), number(keep), number(rate), number(root)});
  });
}

const py::array& rows_of_channels(const py::array& x) {
  if (x.ndim() != 3) value_error({"input must be (N, C, L), got shape ", shape_text(x)});
  return x;
}

void batch_norm_py(py::handle input, py::handle out, py::handle weight, py::handle bias, py::handle mean,
                   py::handle var, double eps, bool training, bool relu) {
  const Arrays arrays(input, "input");
  const py::array& x = rows_of_channels(arrays.first);
  const py::ssize_t mb = x.shape(0), c = x.shape(1), length = x.shape(2);
  const Elements from = arrays.read(x, "input", x.size()), to = arrays.write(out, "out", x.size());
  const Elements scale = arrays.read_any(weight, "weight", c), shift = arrays.read_any(bias, "bias", c);
  const Elements m = arrays.write(mean, "mean", c), v = arrays.write(var, "var", c);
  arrays.run([&](auto zero) {
    using T = decltype(zero);
    batch_norm<T>({mb, c, length, scale, shift, m, v, eps}, from, to, training, relu);
  });
}

void batch_norm_grad_py(py::handle grad, py::handle input, py::handle weight, py::handle mean, py::handle var,
                        double eps, py::handle grad_weight, py::handle grad_bias) {
  const Arrays arrays(input, "input");
  const py::array& x = rows_of_channels(arrays.first);
  const py::ssize_t mb = x.shape(0), c = x.shape(1), length = x.shape(2);
  const Elements from = arrays.read(x, "input", x.size()), g = arrays.write(grad, "grad", x.size());
  const Elements scale = arrays.read_any(weight, "weight", c);
  const Elements m = arrays.write(mean, "mean", c), v = arrays.write(var, "var", c);
  const Elements dw = arrays.write(grad_weight, "grad_weight", c), db = arrays.write(grad_bias, "grad_bias", c);
  arrays.run([&](auto zero) {
    using T = decltype(zero);
    batch_norm_grad<T>({mb, c, length, scale, nullptr, m, v, eps}, g, from, dw, db);
  });
}

}  // namespace

void register_layers(py::handle module) {
  static PyMethodDef methods[] = {
      method<relu_grad_py>("relu_grad"),
      method<dropout_py>("dropout"),
      method<transpose_py>("transpose"),
      method<sgd_py>("sgd_step"),
      method<adam_py>("adam_step"),
      method<batch_norm_py>("batch_norm"),
      method<batch_norm_grad_py>("batch_norm_grad"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
