// Pools of dense planes, straight from the input.
#pragma once
#include "kernels/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct StripPools {
  static void max(const PoolStrip<T>& strip);
  static void max_index(const PoolStrip<T>& strip);
  static void sum(const PoolStrip<T>& strip);
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
