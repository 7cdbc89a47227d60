// The kernels of an element type, of the rung in use.
#include "isa/table.hpp"
#include "kernels/conv.hpp"
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/depthwise/lanes.hpp"
#include "kernels/depthwise/squares.hpp"
#include "kernels/fft/fft.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {

#define FASTCONV_OF_BOTH_TYPES(Kernels, function, family) \
  template <>                                             \
  const Kernels<float>& function<float>() {               \
    return kernels().family->f32;                         \
  }                                                       \
  template <>                                             \
  const Kernels<double>& function<double>() {             \
    return kernels().family->f64;                         \
  }
FASTCONV_OF_BOTH_TYPES(ConvKernelsOf, conv_kernels, conv)
FASTCONV_OF_BOTH_TYPES(WinogradKernelsOf, winograd_kernels, winograd)
FASTCONV_OF_BOTH_TYPES(FftKernelsOf, fft_kernels, fft)
FASTCONV_OF_BOTH_TYPES(DepthwiseKernelsOf, depthwise_kernels, depthwise)
FASTCONV_OF_BOTH_TYPES(SquareKernelsOf, square_kernels, squares)
FASTCONV_OF_BOTH_TYPES(LaneKernelsOf, lane_kernels, lanes)

}  // namespace fastconv
