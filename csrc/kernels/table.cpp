// The one symbol that a rung exports.
#include "isa/table.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

const ConvKernels& conv_kernels();
const PoolKernels& pool_kernels();
const WinogradKernels& winograd_kernels();
const FftKernels& fft_kernels();
const LayerKernels& layer_kernels();
const DepthwiseKernels& depthwise_kernels();
const SquareKernels& square_kernels();
const LaneKernels& lane_kernels();
const FilterKernels& filter_kernels();

const KernelTable& kernel_table() {
  static const KernelTable table = {FASTCONV_ISA_NAME, &conv_kernels(),  &pool_kernels(),      &winograd_kernels(),
                                    &fft_kernels(),    &layer_kernels(), &depthwise_kernels(), &square_kernels(),
                                    &lane_kernels(),   &filter_kernels()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
