// Three by three neighbouring taps, compiled once per rung.
#include "kernels/depthwise_squares.hpp"

#include "kernels/depthwise_squares_dots.hpp"
#include "kernels/depthwise_squares_larger.hpp"
#include "kernels/depthwise_squares_small.hpp"
#include "kernels/depthwise_squares_spread.hpp"
#include "kernels/depthwise_squares_sums.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

namespace {

template <class T>
constexpr SquareKernelsOf<T> make_kernels() {
#if defined(__AVX2__)
  SquareKernelsOf<T> k{kMovesLanes, {rows<T, 1>, rows<T, 2>}, {}, {}, {nullptr, dots<T, 2>}, nullptr, spread<T>};
  if constexpr (kMovesLanes) k.dots[0] = dots<T, 1>;
  if constexpr (kMovesLanes && sizeof(T) == 4) {
    k.small[0] = small_rows<T, 3>, k.small[1] = small_rows<T, 5>, k.small[2] = small_rows<T, 7>;
#if defined(__AVX512F__)
    k.small_dots = small_dots;
#endif
  }
  if constexpr (kMovesLanes || sizeof(T) == 4) k.larger[0] = larger_rows<T, 5>;
  if constexpr (kMovesLanes && sizeof(T) == 4) k.larger[1] = larger_rows<T, 7>;
  return k;
#else
  return {};
#endif
}

}  // namespace

const SquareKernels& square_kernels() {
  static constexpr SquareKernels table = {make_kernels<float>(), make_kernels<double>()};
  return table;
}

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
