// What the calls of convolutions share: arguments -> problem, arrays -> views, and the shapes that must agree.
#pragma once
#include "bindings/function.hpp"

namespace fastconv {

// Everything of a call but its arrays. `lead` is 2 for batched, 1 for unbatched input.
struct ConvCall {
  int nd;
  bool flip;
  bool f64 = false;
  int lead = 2;
  ConvProblem p;
  ConvAxis* axes() { return p.axis + 3 - nd; }
  ConvCall(int nd_, py::handle flip_) : nd(nd_), flip(parse_bool(flip_, "flip")) {}
};

[[noreturn]] void bad_rank(const char* name, const py::array& a, const Word& need);
const char* kernel_letters(int nd);  // "kH, kW"

// The dtype, the leading axes and the batch, which are those of one array.
void read_image(ConvCall& c, const py::array& a, const char* name);
void require_weight_rank(const ConvCall& c, const py::array& w);

// Sizes and steps, in this order: padding by name needs all others.
void read_steps(ConvCall& c, py::handle stride, py::handle dilation, py::handle groups);
void kernel_from_weight(ConvCall& c, const py::array& w);
void finish_output_sizes(ConvCall& c);
void finish_axes(ConvCall& c, py::handle padding, py::handle padding_mode);

void require_channels(const ConvCall& c, int64_t input_channels, int64_t weight_channels);
// Writes the shape of the problem's output or input and returns its rank.
int output_shape(const ConvCall& c, int64_t channels, bool out_side, int64_t* shape);
// grad_output must have exactly the shape the forward call gives.
void require_grad_output(const ConvCall& c, const py::array& g, int64_t channels, bool out_side);

// None, or an array of the dtype of `like`, which the caller knows as `like_name`.
py::array optional_bias(py::handle h, const py::array& like, const char* like_name, int64_t channels);

// Which gradients are wanted.
struct Needs {
  bool input, weight, bias;
};

// A tuple of the three, None for what is not needed, of a convolution or of a transposed one: then the problem is that
// of the convolution which goes the other way, from our output to our input.
py::tuple gradients(const ConvCall& c, bool transposed, const py::array& g, const py::array& x, const py::array& w,
                    const Needs& needs, Algorithm algorithm);

template <class T>
View<const T> bias_view(const py::array& bias) {
  View<const T> v;
  if (bias.ptr() && !bias.is_none()) {
    v.data = static_cast<const T*>(bias.data());
    v.shape[0] = bias.shape(0);
    v.stride[0] = bias.strides(0) / static_cast<int64_t>(sizeof(T));
  }
  return v;
}

// The weight's kernel axes reversed, for the true convolution.
template <class T>
View<T> oriented(View<T> w, bool flip) {
  if (flip)
    for (int i = 2; i < 5; ++i) {
      w.data += (w.shape[i] - 1) * w.stride[i];
      w.stride[i] = -w.stride[i];
    }
  return w;
}

}  // namespace fastconv
