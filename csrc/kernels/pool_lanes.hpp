// Pools of small planes, a plane a lane: any windows at the price of two transposes.
#pragma once
#include "kernels/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct LanePools {
  static void max(const LanePlanes<T>& planes);
  static void max_index(const LanePlanes<T>& planes);
  static void sum(const LanePlanes<T>& planes);
  static void avg_grad(const LanePlanes<T>& planes);
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
