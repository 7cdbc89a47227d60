// Three by three neighbouring taps, compiled once per rung.
#include "kernels/depthwise/squares.hpp"

#include "kernels/depthwise/squares_dots.hpp"
#include "kernels/depthwise/squares_few_dots.hpp"
#include "kernels/depthwise/squares_few_halved.hpp"
#include "kernels/depthwise/squares_few_rows.hpp"
#include "kernels/depthwise/squares_larger.hpp"
#include "kernels/depthwise/squares_small.hpp"
#include "kernels/depthwise/squares_small_halved.hpp"
#include "kernels/depthwise/squares_spread.hpp"
#include "kernels/depthwise/squares_sums.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

namespace {

template <class T>
constexpr SquareKernelsOf<T> make_kernels() {
#if defined(__AVX2__)
  constexpr bool kFloat = sizeof(T) == 4;
  SquareKernelsOf<T> k{kMovesLanes, {}, {larger_rows<T, 5>}, {}, nullptr, {}, {}, nullptr};
  if constexpr (kMovesLanes) {
    k.rows[0] = rows<T, 1>, k.rows[1] = rows<T, 2>, k.dots[0] = dots<T, 1>, k.dots[1] = dots<T, 2>;
    k.spread = spread<T>;
    if constexpr (kFloat) {
      k.larger[1] = larger_rows<T, 7>;
      k.small[0] = small_rows<T, 3>, k.small[1] = small_rows<T, 5>, k.small[2] = small_rows<T, 7>;
    }
  } else {
    k.rows[0] = rows_of_few<T>, k.rows[1] = halved_rows<T>, k.dots[0] = plain_dots<T, 1>, k.dots[1] = plain_dots<T, 2>;
    k.spread = spread_by_rows<T>;
    if constexpr (kFloat) k.small[0] = small_lines<T>, k.small_dots[0] = plain_dots<T, 1>;
  }
  if constexpr (kFloat) k.small_halved = small_halved_rows<T>, k.small_dots[1] = small_halved_dots<T>;
#if defined(__AVX512F__)
  if constexpr (kFloat) k.small_dots[0] = small_dots;
#endif
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
