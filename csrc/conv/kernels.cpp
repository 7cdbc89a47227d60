#include "kernels/conv.hpp"

#include "isa/table.hpp"

namespace fastconv {

template <>
const ConvKernelsOf<float>& conv_kernels<float>() {
  return kernels().conv->f32;
}
template <>
const ConvKernelsOf<double>& conv_kernels<double>() {
  return kernels().conv->f64;
}

}  // namespace fastconv
