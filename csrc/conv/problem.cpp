// Names of the options and the checks every convolution problem passes.
#include <algorithm>
#include <utility>

#include "base/checked.hpp"
#include "base/message.hpp"
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
  if (p.groups < 1) invalid({"groups must be at least 1, got ", p.groups});
  const std::pair<const char*, int64_t> sizes[] = {
      {"batch", p.mb}, {"input channels", p.ic}, {"output channels", p.oc}};
  for (const auto& [name, size] : sizes)
    if (size < 0) invalid({name, " must not be negative, got ", size});
  if (p.ic % p.groups) invalid({"groups=", p.groups, " does not divide the ", p.ic, " input channels"});
  if (p.oc % p.groups) invalid({"groups=", p.groups, " does not divide the ", p.oc, " output channels"});
  static const char* const names[] = {" on the depth axis", " on the height axis", " on the width axis"};
  for (int i = 0; i < 3; ++i) {
    const ConvAxis& a = p.axis[i];
    const char* on = names[i];
    if (a.in < 0 || a.out < 0) invalid({"sizes must not be negative, got input ", a.in, " and output ", a.out, on});
    if (a.k < 1) invalid({"weight: the kernel has size ", a.k, on, "; it must be at least 1"});
    if (a.stride < 1) invalid({"stride must be at least 1, got ", a.stride, on});
    if (a.dilation < 1) invalid({"dilation must be at least 1, got ", a.dilation, on});
    if (a.pad_before < 0 || a.pad_after < 0)
      invalid({"padding must not be negative, got (", a.pad_before, ", ", a.pad_after, ")", on});
    if (a.mode != Mode::zeros && a.in == 0 && (a.pad_before > 0 || a.pad_after > 0))
      invalid(
          {"padding_mode='", mode_name(a.mode), "' needs at least one value to pad with, but input has size 0", on});
    if (padded_size(a) < kernel_extent(a))
      invalid({"weight: the kernel spans ", kernel_extent(a), " (size ", a.k, ", dilation ", a.dilation,
               ") but the padded input has only ", padded_size(a), on});
    if (a.out > conv_output_size(a))
      invalid({"output size ", a.out, on, " exceeds the ", conv_output_size(a), " positions of the kernel"});
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
