#include "isa/table.hpp"
#include "kernels/conv.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/depthwise_lanes.hpp"
#include "kernels/depthwise_squares.hpp"
#include "kernels/fft.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {

template <>
const ConvKernelsOf<float>& conv_kernels<float>() {
  return kernels().conv->f32;
}
template <>
const ConvKernelsOf<double>& conv_kernels<double>() {
  return kernels().conv->f64;
}

template <>
const WinogradKernelsOf<float>& winograd_kernels<float>() {
  return kernels().winograd->f32;
}
template <>
const WinogradKernelsOf<double>& winograd_kernels<double>() {
  return kernels().winograd->f64;
}

template <>
const FftKernelsOf<float>& fft_kernels<float>() {
  return kernels().fft->f32;
}
template <>
const FftKernelsOf<double>& fft_kernels<double>() {
  return kernels().fft->f64;
}

template <>
const DepthwiseKernelsOf<float>& depthwise_kernels<float>() {
  return kernels().depthwise->f32;
}
template <>
const DepthwiseKernelsOf<double>& depthwise_kernels<double>() {
  return kernels().depthwise->f64;
}

template <>
const SquareKernelsOf<float>& square_kernels<float>() {
  return kernels().squares->f32;
}
template <>
const SquareKernelsOf<double>& square_kernels<double>() {
  return kernels().squares->f64;
}

template <>
const LaneKernelsOf<float>& lane_kernels<float>() {
  return kernels().lanes->f32;
}
template <>
const LaneKernelsOf<double>& lane_kernels<double>() {
  return kernels().lanes->f64;
}

}  // namespace fastconv
