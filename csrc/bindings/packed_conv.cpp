// Convolutions whose weights are packed once. Python holds them as capsules.
#include <limits>
#include <memory>
#include <tuple>

#include "base/checked.hpp"
#include "bindings/conv_call.hpp"

namespace fastconv {
namespace {

// Weights and options of a layer, packed once.
class PackedConv {
 public:
  PackedConv(int nd, py::handle weight, py::handle bias, py::handle stride, py::handle padding, py::handle dilation,
             py::handle groups, py::handle padding_mode, py::handle flip, py::handle activation, py::handle algorithm)
      : call_(nd, flip),
        padding_(py::reinterpret_borrow<py::object>(padding)),
        activation_(parse_activation(activation)) {
    py::array w = input_array(weight, "weight");
    require_weight_rank(call_, w);
    call_.f64 = is_f64(w);
    read_steps(call_, stride, dilation, groups);
    call_.p.oc = w.shape(0);
    call_.p.ic = checked_mul(w.shape(1), call_.p.groups, "groups");
    kernel_from_weight(call_, w);
    for (int i = 0; i < nd; ++i) call_.axes()[i].in = std::numeric_limits<int32_t>::max();  // any size will do here
    finish_axes(call_, padding_, padding_mode);
    ConvProblem check = call_.p;
    for (ConvAxis& a : check.axis) {
      a.in = checked_add(checked_mul(a.dilation, a.k - 1, "dilation"), 1, "dilation");
      a.out = 1;
    }
    validate(check);
    py::array b = optional_bias(bias, w, "weight", call_.p.oc);
    Algorithm alg = parse_algorithm(algorithm);
    run_released(call_.f64, [&](auto zero) {
      using T = decltype(zero);
      std::get<std::unique_ptr<PackedWeights<T>>>(weights_) = std::make_unique<PackedWeights<T>>(
          call_.p, oriented(view_of<const T>(w, call_.nd, 2), call_.flip), bias_view<T>(b), alg);
    });
  }

  py::array operator()(py::handle input, py::handle out) const {
    ConvCall c = call_;
    py::array x = input_array(input, "input");
    if (is_f64(x) != c.f64)
      type_error({"input has dtype ", (is_f64(x) ? "float64" : "float32"), ", but the weight was packed as ",
                  (c.f64 ? "float64" : "float32")});
    read_image(c, x, "input");
    require_channels(c, x.shape(c.lead - 1), c.p.ic / c.p.groups);
    for (int i = 0; i < c.nd; ++i) c.axes()[i].in = x.shape(c.lead + i);
    parse_padding(padding_, c.nd, c.axes());
    finish_output_sizes(c);
    validate(c.p);
    int64_t shape[5];
    int rank = output_shape(c, c.p.oc, true, shape);
    py::array y = output_array(out, c.f64, shape, rank, "out", {&x});
    run_released(c.f64, [&](auto zero) {
      using T = decltype(zero);
      conv_forward_packed<T>(c.p, view_of<const T>(x, c.nd, c.lead),
                             *std::get<std::unique_ptr<PackedWeights<T>>>(weights_), view_of<T>(y, c.nd, c.lead),
                             activation_);
    });
    return y;
  }

  int64_t bytes() const {
    const auto& f = std::get<0>(weights_);
    return f ? f->bytes() : std::get<1>(weights_)->bytes();
  }

  static constexpr const char* kName = "fastconv.PackedConv";
  static const PackedConv& of(py::handle capsule) {
    void* packed = PyCapsule_GetPointer(capsule.ptr(), kName);
    if (!packed) throw py::error_already_set();
    return *static_cast<const PackedConv*>(packed);
  }
  static void destroy(PyObject* capsule) { delete &of(capsule); }

 private:
  ConvCall call_;
  py::object padding_;  // names depend on the size of the input
  Activation activation_;
  std::tuple<std::unique_ptr<PackedWeights<float>>, std::unique_ptr<PackedWeights<double>>> weights_;
};

py::object pack_py(int nd, py::handle weight, py::handle bias, py::handle stride, py::handle padding,
                   py::handle dilation, py::handle groups, py::handle padding_mode, py::handle flip,
                   py::handle activation, py::handle algorithm) {
  auto packed = std::make_unique<PackedConv>(nd, weight, bias, stride, padding, dilation, groups, padding_mode, flip,
                                             activation, algorithm);
  auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(packed.get(), PackedConv::kName, PackedConv::destroy));
  if (!capsule) throw py::error_already_set();
  packed.release();
  return capsule;
}

py::array packed_forward_py(py::handle packed, py::handle input, py::handle out) {
  return PackedConv::of(packed)(input, out);
}

py::object packed_bytes_py(py::handle packed) { return py::int_(PackedConv::of(packed).bytes()); }

}  // namespace

void register_packed_conv(py::handle module) {
  static PyMethodDef methods[] = {
      method<pack_py>("pack"),
      method<packed_forward_py>("packed_forward"),
      method<packed_bytes_py>("packed_bytes"),
      {},
  };
  add_methods(module, methods);
}

}  // namespace fastconv
