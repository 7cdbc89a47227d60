// Planes side by side in memory, as those of channels last are: vectors lie along them, so that windows of any kind
// and planes of any size fill them.
#pragma once
#include "kernels/pool/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct PoolPixelTable {
  static const PoolPixelFunctions functions;
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
