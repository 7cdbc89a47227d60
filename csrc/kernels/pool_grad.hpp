// Input gradients of pools.
#pragma once
#include "kernels/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct PoolGrads {
  static void avg(const AvgGradStrip<T>& strip);
  static const int64_t* scatter(const T* const* dy, const int64_t* const* index, T* const* dx, int64_t outputs, int64_t size);
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
