// The functions of runs that kernels/pool/pool.hpp declares.
#pragma once
#include "kernels/pool/pool.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {

template <class T>
struct PoolRuns {
  static void max(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out);
  static void sum(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out);
  static void fill(const T* values, int64_t values_step, T factor, T* to, int64_t step, int64_t count, int64_t n);
};

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
