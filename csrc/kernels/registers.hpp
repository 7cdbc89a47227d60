// How many sums a tile of products keeps in registers, beside some vectors of one factor and a broadcast value of the
// other. Without fused multiply-add a product needs a register too.
#pragma once
#include "kernels/vec.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

#if FASTCONV_VEC_REGISTERS == 32
constexpr int kMostSums = 24;
#elif defined(__FMA__)
constexpr int kMostSums = 12;
#else
constexpr int kMostSums = 8;
#endif
// float64's: as quick where sums are deep, and half as much code.
template <class T>
constexpr int kSums = sizeof(T) == 8 && kMostSums > 16 ? 16 : kMostSums;
template <class T>
constexpr int kTallest = kSmallCode       ? 4
                         : sizeof(T) == 8 ? 8
                                          : 16;  // rows of a tile at most

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
