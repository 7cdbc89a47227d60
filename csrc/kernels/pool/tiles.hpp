// Windows that lie side by side along the width, 2 or 4 columns each, as most networks have them: whole planes at a
// time, nothing but registers between the input and the output, both ways.
#pragma once
#include "kernels/pool/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct PoolTileTable {
  static const PoolTileFunctions<T> functions;
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
