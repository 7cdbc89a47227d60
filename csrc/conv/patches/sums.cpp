#include "conv/patches/sums.hpp"

namespace fastconv {

template <class T>
void PatchSums::sum(const T* src, T init, T* dst) const {
  const int32_t* at = entries.data();
  for (size_t count = 0; count < elements.size(); ++count)
    for (int64_t n = elements[count]; n > 0; --n) {
      T total = init;
      for (const int32_t* const last = at + count; at != last;) total += src[*at++];
      dst[*at++] = total;
    }
  for (size_t i = 0; i < fills.size(); i += 2)
    for (int64_t x = 0; x < fills[i + 1]; ++x) dst[fills[i] + x * step] = init;
}
template void PatchSums::sum(const float*, float, float*) const;
template void PatchSums::sum(const double*, double, double*) const;

}  // namespace fastconv
