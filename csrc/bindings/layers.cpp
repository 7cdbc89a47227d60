// Passes of a training step. The layers of fastconv.nn and the optimisers call them with arrays that they made
// themselves; what is checked here is what keeps memory safe.
#include "layers/layers.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "base/message.hpp"
#include "bindings/args.hpp"

namespace fastconv {
namespace {

// An array whose elements lie without gaps, in any order of axes, as `like` lies; writeable if it is to change.
template <class T>
T* dense(const py::array_t<T>& a, const char* name, py::ssize_t size, bool changes) {
  if (a.size() != size || (changes && !a.writeable()))
    throw py::value_error(
        message({name, " must be writeable and hold ", size, " elements, got shape ", shape_text(a)}));
  return const_cast<T*>(a.data());
}

// ValueError unless both arrays have one shape and one order in memory, without gaps.
template <class T>
void require_alike(const py::array_t<T>& a, const py::array_t<T>& b, const char* names) {
  bool alike = a.ndim() == b.ndim();
  for (py::ssize_t i = 0; alike && i < a.ndim(); ++i)
    alike = a.shape(i) == b.shape(i) && (a.shape(i) == 1 || a.strides(i) == b.strides(i));
  if (!alike) throw py::value_error(message({names, " must have one shape and one order in memory"}));
  std::vector<std::pair<py::ssize_t, py::ssize_t>> axes;
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) > 1) axes.emplace_back(a.strides(i), a.shape(i));
  std::sort(axes.begin(), axes.end());
  py::ssize_t span = a.itemsize();
  for (auto& [stride, length] : axes) {
    if (stride != span && a.size()) throw py::value_error(message({names, " must have no gaps in memory"}));
    span *= length;
  }
}

template <class T>
void relu_grad_py(py::array_t<T> grad, py::array_t<T> output, std::optional<py::array_t<T, py::array::c_style>> sums) {
  require_alike(grad, output, "grad and output");
  T* g = dense(grad, "grad", grad.size(), true);
  const T* y = output.data();
  const py::ssize_t n = grad.size();
  if (!sums) {
    py::gil_scoped_release release;
    return relu_grad(g, y, n);
  }
  if (grad.ndim() < 2 || !(grad.flags() & py::array::c_style))
    throw py::value_error("grad must be (N, C, ...) in memory's order for the sums of channels, got shape " +
                          shape_text(grad));
  const py::ssize_t mb = grad.shape(0), channels = grad.shape(1);
  T* to = dense<T>(*sums, "sums", channels, true);
  py::gil_scoped_release release;
  relu_grad(g, y, mb, channels, mb && channels ? n / mb / channels : 0, to);
}

template <class T>
void dropout_py(py::array_t<T> x, py::array_t<T> out, uint64_t seed, double p) {
  require_alike(x, out, "input and out");
  T* y = dense(out, "out", x.size(), true);
  const T* from = x.data();
  const py::ssize_t n = x.size();
  py::gil_scoped_release release;
  dropout(from, y, n, seed, p);
}

template <class T>
using Contiguous = py::array_t<T, py::array::c_style>;

template <class T>
void transpose_py(Contiguous<T> x, Contiguous<T> out) {
  if (x.ndim() != 2 || out.ndim() != 2 || x.shape(0) != out.shape(1) || x.shape(1) != out.shape(0))
    throw py::value_error("input " + shape_text(x) + " must be a matrix, out " + shape_text(out) +
                          " shaped as its transpose");
  T* y = dense<T>(out, "out", x.size(), true);
  const T* from = x.data();
  const py::ssize_t rows = x.shape(0), columns = x.shape(1);
  py::gil_scoped_release release;
  transpose(from, y, rows, columns);
}

template <class T>
void sgd_py(Contiguous<T> w, Contiguous<T> g, std::optional<Contiguous<T>> velocity, double lr, double momentum,
            double weight_decay, bool nesterov) {
  const py::ssize_t n = w.size();
  T *data = dense<T>(w, "data", n, true), *v = velocity ? dense<T>(*velocity, "velocity", n, true) : nullptr;
  const T* grad = dense<T>(g, "grad", n, false);
  py::gil_scoped_release release;
  sgd_step(data, grad, v, n,
           SgdRule<T>{static_cast<T>(lr), static_cast<T>(momentum), static_cast<T>(weight_decay), nesterov});
}

template <class T>
void adam_py(Contiguous<T> w, Contiguous<T> g, Contiguous<T> mean, Contiguous<T> square, double beta1, double beta2,
             double eps, double weight_decay, double keep, double rate, double root) {
  const py::ssize_t n = w.size();
  T *data = dense<T>(w, "data", n, true), *m = dense<T>(mean, "mean", n, true),
    *s = dense<T>(square, "square", n, true);
  const T* grad = dense<T>(g, "grad", n, false);
  auto number = [](double v) { return static_cast<T>(v); };
  const AdamRule<T> rule = {number(beta1), number(beta2), number(eps), number(weight_decay),
                            number(keep),  number(rate),  number(root)};
  py::gil_scoped_release release;
  adam_step(data, grad, m, s, n, rule);
}

template <class T>
BatchNorm<T> norm_of(const Contiguous<T>& x, const std::optional<Contiguous<T>>& weight,
                     const std::optional<Contiguous<T>>& bias, const Contiguous<T>& mean, const Contiguous<T>& var,
                     double eps) {
  if (x.ndim() != 3) throw py::value_error("input must be (N, C, L), got shape " + shape_text(x));
  const py::ssize_t c = x.shape(1);
  return {x.shape(0),
          c,
          x.shape(2),
          weight ? dense<T>(*weight, "weight", c, false) : nullptr,
          bias ? dense<T>(*bias, "bias", c, false) : nullptr,
          dense<T>(mean, "mean", c, true),
          dense<T>(var, "var", c, true),
          eps};
}

template <class T>
void batch_norm_py(Contiguous<T> x, Contiguous<T> out, std::optional<Contiguous<T>> weight,
                   std::optional<Contiguous<T>> bias, Contiguous<T> mean, Contiguous<T> var, double eps, bool training,
                   bool relu) {
  const BatchNorm<T> b = norm_of<T>(x, weight, bias, mean, var, eps);
  T* y = dense<T>(out, "out", x.size(), true);
  const T* from = x.data();
  py::gil_scoped_release release;
  batch_norm(b, from, y, training, relu);
}

template <class T>
void batch_norm_grad_py(Contiguous<T> grad, Contiguous<T> x, std::optional<Contiguous<T>> weight, Contiguous<T> mean,
                        Contiguous<T> var, double eps, Contiguous<T> grad_weight, Contiguous<T> grad_bias) {
  const BatchNorm<T> b = norm_of<T>(x, weight, std::nullopt, mean, var, eps);
  T *g = dense<T>(grad, "grad", x.size(), true), *dw = dense<T>(grad_weight, "grad_weight", b.channels, true);
  T* db = dense<T>(grad_bias, "grad_bias", b.channels, true);
  const T* from = x.data();
  py::gil_scoped_release release;
  batch_norm_grad(b, g, from, dw, db);
}

// Every function once an element type; an array of another type, or one that would have to be copied, fits none.
template <class T>
void define(py::module_& m) {
  auto exact = [](const char* name) { return py::arg(name).noconvert(); };
  m.def("relu_grad", &relu_grad_py<T>, exact("grad"), exact("output"), exact("sums").none(true) = py::none());
  m.def("dropout", &dropout_py<T>, exact("input"), exact("out"), py::arg("seed"), py::arg("p"));
  m.def("transpose", &transpose_py<T>, exact("input"), exact("out"));
  m.def("sgd_step", &sgd_py<T>, exact("data"), exact("grad"), exact("velocity").none(true), py::arg("lr"),
        py::arg("momentum"), py::arg("weight_decay"), py::arg("nesterov"));
  m.def("adam_step", &adam_py<T>, exact("data"), exact("grad"), exact("mean"), exact("square"), py::arg("beta1"),
        py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"), py::arg("keep"), py::arg("rate"), py::arg("root"));
  m.def("batch_norm", &batch_norm_py<T>, exact("input"), exact("out"), exact("weight").none(true),
        exact("bias").none(true), exact("mean"), exact("var"), py::arg("eps"), py::arg("training"), py::arg("relu"));
  m.def("batch_norm_grad", &batch_norm_grad_py<T>, exact("grad"), exact("input"), exact("weight").none(true),
        exact("mean"), exact("var"), py::arg("eps"), exact("grad_weight"), exact("grad_bias"));
}

}  // namespace

void register_layers(py::module_& m) {
  define<float>(m);
  define<double>(m);
}

}  // namespace fastconv
