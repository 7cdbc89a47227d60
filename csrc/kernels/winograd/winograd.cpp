// Winograd's algorithm (Lavin and Gray, arXiv:1509.09308): F(4x4, 3x3), F(5x5, 2x2), F(6x6, 3x3), F(5x5, 4x4),
// F(4x4, 5x5) and strips, a vector holding one value of many channels.
#include "kernels/winograd/winograd.hpp"

#include "isa/table.hpp"
#include "kernels/winograd/outputs.hpp"
#include "kernels/winograd/patches.hpp"
#include "kernels/winograd/products.hpp"
#include "kernels/winograd/strips.hpp"
#include "kernels/winograd/weights.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

template <class T, int R, int P>
constexpr WinogradTapKernels<T> of_taps() {
  // Large squares of all taps share kernels where that costs little.
  constexpr bool large = P == kWinogradLargeIn;
  constexpr int N = large ? kLargeMostOut : P + 1 - R, kTaps = large && R > 3 ? 5 : R,
                kOut = kSharesOutputs<T> ? N : P + 1 - R;
  if constexpr (R == 2 && sizeof(T) == 8)
    return {patches<T, P, P>, weights<T, R, P>, output<T, N, P>, nullptr, nullptr, nullptr};
  else
    return {patches<T, P, P>, weights<T, kTaps, P>, output<T, kOut, P>,
            patches<T, N, P>, spread<T, P>,         weight_sums<T, kTaps, P>};
}
template <class T>
constexpr WinogradKernelsOf<T> make_kernels() {
  // The oldest rung has squares of three taps in float32; others are not worth their code.
  if constexpr (kSmallCode && sizeof(T) == 8) return {};
  else if constexpr (kSmallCode)
    return {most_tiles(kVectors<T>),
            kVectors<T>,
            pixels<T>,
            products<T>,
            tile_sums<T>,
            scatter_pixels<T>,
            nullptr,
            nullptr,
            nullptr,
            nullptr,
            nullptr,
            {},
            of_taps<T, 3, 6>(),
            {},
            {},
            {}};
  else
    return {most_tiles(kVectors<T>), kVectors<T>,        pixels<T>,          products<T>,        tile_sums<T>,
            scatter_pixels<T>,       part_weights<T>,    strip_weights<T>,   strip_patches<T>,   strip_outputs<T>,
            strip_sums<T>,           of_taps<T, 2, 6>(), of_taps<T, 3, 6>(), of_taps<T, 4, 8>(), of_taps<T, 5, 8>(),
            of_taps<T, 3, 8>()};
}

}  // namespace

const WinogradKernels& winograd_kernels() {
  static constexpr WinogradKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
