// The kernels of one rung of the instruction-set ladder, reached through one table of function pointers.
// Each family of kernels (kernels/<family>.cpp) fills in one struct of pointers, declared in kernels/<family>.hpp.
#pragma once

namespace fastconv {

struct ConvKernels;
struct PoolKernels;
struct WinogradKernels;
struct FftKernels;
struct LayerKernels;
struct DepthwiseKernels;
struct SquareKernels;
struct LaneKernels;
struct FilterKernels;

struct KernelTable {
  const char* isa;
  const ConvKernels* conv;
  const PoolKernels* pool;
  const WinogradKernels* winograd;
  const FftKernels* fft;
  const LayerKernels* layers;
  const DepthwiseKernels* depthwise;
  const SquareKernels* squares;
  const LaneKernels* lanes;
  const FilterKernels* filter;
};

// The table in use: the best rung this processor has, or the one that FASTCONV_ISA names.
const KernelTable& kernels();

}  // namespace fastconv
