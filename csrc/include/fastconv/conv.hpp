// Convolution: problem in, result out.
//
// Shapes are oneDNN's: x (mb, ic, id, ih, iw), w (oc, ic/groups, kd, kh, kw), y (mb, oc, od, oh, ow). One- and
// two-dimensional problems leave the leading spatial axes at length 1. The operation is the cross-correlation of
// every network library; the true convolution is the same call on a weight view with its kernel axes reversed.
//
//   y[n, o, p] = bias[o] + sum_{c, t} w[o, c, t] * x[n, c, map(p * stride + t * dilation - pad_before)]
//
// where `map` sends a padded coordinate to an input coordinate, or to a zero, by the axis's padding mode.
// Functions throw std::invalid_argument for a bad problem, std::bad_alloc when scratch memory is not to be had.
// All are thread-safe; none keeps a pointer to the caller's memory. A problem that `validate` accepts is assumed: call
// it once before the functions below, which do not check again. Where the instruction set is chosen by FASTCONV_ISA,
// and is missing, the first call throws std::runtime_error.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fastconv/export.h"
#include "fastconv/tensor.hpp"

namespace fastconv {

enum class Mode : uint8_t { zeros, reflect, replicate, circular, symmetric };
enum class Activation : uint8_t { none, relu, leaky_relu, relu6, elu, sigmoid, tanh };
enum class Algorithm : uint8_t { automatic, direct, winograd, fft, depthwise, reference };

FASTCONV_API const char* mode_name(Mode mode);
FASTCONV_API const char* activation_name(Activation activation);
FASTCONV_API const char* algorithm_name(Algorithm algorithm);

struct ConvAxis {
  int64_t in = 1, out = 1, k = 1;
  int64_t stride = 1, dilation = 1;  // dilation 1 is dense
  int64_t pad_before = 0, pad_after = 0;
  Mode mode = Mode::zeros;
};

struct ConvProblem {
  int64_t mb = 1, groups = 1, ic = 1, oc = 1;  // ic, oc: all channels, groups together
  ConvAxis axis[3];                            // d, h, w

  int64_t taps() const { return axis[0].k * axis[1].k * axis[2].k; }
  int64_t out_pixels() const { return axis[0].out * axis[1].out * axis[2].out; }
  double macs() const {
    const auto number = [](int64_t n) { return static_cast<double>(n); };
    return number(mb) * number(oc) * number(ic / groups) * number(taps()) * number(out_pixels());
  }
};

// Positions a kernel has on an axis: floor((in + pad_before + pad_after - dilation * (k - 1) - 1) / stride) + 1,
// or 0 when the padded input is shorter than the kernel.
FASTCONV_API int64_t conv_output_size(const ConvAxis& axis);

// Throws std::invalid_argument if sizes do not fit one another, overflow, or if an empty axis is to be padded
// by a mode that needs values.
FASTCONV_API void validate(const ConvProblem& problem);

// y = act(conv(x, w) + bias). bias may have null data; it is (oc) on its axis 0. y is only written.
template <class T>
FASTCONV_API void conv_forward(const ConvProblem& problem, View<const T> x, View<const T> w, View<const T> bias,
                               View<T> y, Activation activation = Activation::none,
                               Algorithm algorithm = Algorithm::automatic);

// dx = the exact adjoint of conv_forward in x, applied to dy, in every padding mode. With a bias (ic on axis 0)
// and an activation it is the transposed convolution: dx = act(conv^T(dy, w) + bias).
template <class T>
FASTCONV_API void conv_backward_input(const ConvProblem& problem, View<const T> dy, View<const T> w, View<const T> bias,
                                      View<T> dx, Activation activation = Activation::none,
                                      Algorithm algorithm = Algorithm::automatic);

// dw = the exact adjoint of conv_forward in w, applied to dy.
template <class T>
FASTCONV_API void conv_backward_weight(const ConvProblem& problem, View<const T> dy, View<const T> x, View<T> dw,
                                       Algorithm algorithm = Algorithm::automatic);

// db[o] = sum of dy over images and positions.
template <class T>
FASTCONV_API void conv_backward_bias(View<const T> dy, View<T> db);

template <class T>
struct ReadyWeights;

// Weights made ready once for many forward calls: a contiguous copy, and what the kernel's shape, stride and dilation
// suit, their transform for Winograd's algorithm or their rows as the direct one reads them. Cheap to move, not to
// copy; const use is thread-safe.
template <class T>
class FASTCONV_API PackedWeights {
 public:
  // `problem` gives groups, channels, kernel, stride and dilation; its input and output sizes are not looked at.
  PackedWeights(const ConvProblem& problem, View<const T> w, View<const T> bias,
                Algorithm algorithm = Algorithm::automatic);

  View<const T> weights() const { return at(weights_, shape_); }
  View<const T> bias() const {
    const int64_t shape[5] = {static_cast<int64_t>(bias_.size()), 1, 1, 1, 1};
    return bias_.empty() ? View<const T>{} : at(bias_, shape);
  }
  const ReadyWeights<T>* ready() const { return ready_.get(); }
  Algorithm algorithm() const { return algorithm_; }
  int64_t bytes() const;

 private:
  static View<const T> at(const std::vector<T>& data, const int64_t* shape) {
    View<const T> v;
    v.data = data.data();
    int64_t step = 1;
    for (int i = 4; i >= 0; --i) v.shape[i] = shape[i], v.stride[i] = step, step *= shape[i];
    return v;
  }
  int64_t shape_[5];
  std::vector<T> weights_, bias_;
  std::shared_ptr<const ReadyWeights<T>> ready_;
  Algorithm algorithm_;
};
// y = act(conv(x, packed weights) + bias). The algorithm is chosen with the transform paid for, so that small images
// may be computed by another one than in conv_forward.
template <class T>
FASTCONV_API void conv_forward_packed(const ConvProblem& problem, View<const T> x, const PackedWeights<T>& packed,
                                      View<T> y, Activation activation = Activation::none);

enum class Direction : uint8_t { forward, backward_input, backward_weight };

// What a call would do: printable, made without running anything. The caller owns all of it.
struct ConvPlan {
  Algorithm algorithm = Algorithm::direct;
  std::string kernel;           // family: "packed", "reference", ...
  int lanes = 1;                // elements in a vector
  int mr = 0, nr = 0;           // register tile: rows, columns (elements)
  int64_t block_channels = 0;   // reduction channels packed at once
  int64_t block_pixels = 0;     // output pixels computed from one packed block
  int64_t workspace_bytes = 0;  // scratch memory of one thread
  int64_t shared_bytes = 0;     // scratch memory that threads share
  int threads = 1;
  double macs = 0;
  double bytes = 0;  // input, weight and output, each once
  double cost = 0;   // estimated cycles of one core
};
template <class T>
FASTCONV_API ConvPlan plan_conv(const ConvProblem& problem, Direction direction,
                                Algorithm algorithm = Algorithm::automatic);

}  // namespace fastconv
