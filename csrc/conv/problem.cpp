// Names of the options and the checks every convolution problem passes.
#include <algorithm>
#include <utility>

#include "base/checked.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

const char* mode_name(Mode mode) {
  static const char* const names[] = {"zeros", "reflect", "replicate", "circular", "symmetric"};
  return names[static_cast<int>(mode)];
}
const char* activation_name(Activation activation) {
  static const char* const names[] = {"none", "relu", "leaky_relu", "relu6", "elu", "sigmoid", "tanh"};
  return names[static_cast<int>(activation)];
}
const char* algorithm_name(Algorithm algorithm) {
  static const char* const names[] = {"auto", "direct", "winograd", "fft", "depthwise", "reference"};
  return names[static_cast<int>(algorithm)];
}

namespace {

int64_t kernel_extent(const ConvAxis& a) {
  return checked_add(checked_mul(a.dilation, a.k - 1, "dilation"), 1, "dilation");
}
int64_t padded_size(const ConvAxis& a) {
  return checked_add(checked_add(a.in, a.pad_before, "padding"), a.pad_after, "padding");
}

}  // namespace

int64_t conv_output_size(const ConvAxis& a) {
  int64_t room = padded_size(a) - kernel_extent(a);
  return room < 0 ? 0 : room / a.stride + 1;
}

void validate(const ConvProblem& p) {
  auto fail = [](const std::string& message) { throw std::invalid_argument(message); };
  auto str = [](int64_t v) { return std::to_string(v); };
  if (p.groups < 1) fail("groups must be at least 1, got " + str(p.groups));
  const std::pair<const char*, int64_t> sizes[] = {{"batch", p.mb}, {"input channels", p.ic}, {"output channels", p.oc}};
  for (const auto& [name, size] : sizes)
    if (size < 0) fail(std::string(name) + " must not be negative, got " + str(size));
  if (p.ic % p.groups) fail("groups=" + str(p.groups) + " does not divide the " + str(p.ic) + " input channels");
  if (p.oc % p.groups) fail("groups=" + str(p.groups) + " does not divide the " + str(p.oc) + " output channels");
  static const char* const names[] = {"depth", "height", "width"};
  for (int i = 0; i < 3; ++i) {
    const ConvAxis& a = p.axis[i];
    std::string on = std::string(" on the ") + names[i] + " axis";
    if (a.in < 0 || a.out < 0) fail("sizes must not be negative, got input " + str(a.in) + " and output " + str(a.out) + on);
    if (a.k < 1) fail("weight: the kernel has size " + str(a.k) + on + "; it must be at least 1");
    if (a.stride < 1) fail("stride must be at least 1, got " + str(a.stride) + on);
    if (a.dilation < 1) fail("dilation must be at least 1, got " + str(a.dilation) + on);
    if (a.pad_before < 0 || a.pad_after < 0)
      fail("padding must not be negative, got (" + str(a.pad_before) + ", " + str(a.pad_after) + ")" + on);
    if (a.mode != Mode::zeros && a.in == 0 && (a.pad_before > 0 || a.pad_after > 0))
      fail(std::string("padding_mode='") + mode_name(a.mode) + "' needs at least one value to pad with, but input has size 0" + on);
    if (padded_size(a) < kernel_extent(a))
      fail("weight: the kernel spans " + str(kernel_extent(a)) + " (size " + str(a.k) + ", dilation " + str(a.dilation) +
           ") but the padded input has only " + str(padded_size(a)) + on);
    if (a.out > conv_output_size(a)) fail("output size " + str(a.out) + on + " exceeds the " + str(conv_output_size(a)) + " positions of the kernel");
  }
  auto check_bytes = [&](const char* what, int64_t n, int64_t c, int64_t ConvAxis::*size) {
    int64_t bytes = checked_mul(checked_mul(8, std::max<int64_t>(1, n), what), std::max<int64_t>(1, c), what);
    for (const ConvAxis& a : p.axis) bytes = checked_mul(bytes, std::max<int64_t>(1, a.*size), what);
  };
  check_bytes("input", p.mb, p.ic, &ConvAxis::in);
  check_bytes("weight", p.oc, p.ic / p.groups, &ConvAxis::k);
  check_bytes("output", p.mb, p.oc, &ConvAxis::out);
}

}  // namespace fastconv
