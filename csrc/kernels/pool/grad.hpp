// Input gradients of pools.
#pragma once
#include "kernels/pool/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct PoolGrads {
  static void avg(const AvgGradStrip<T>& strip);
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
