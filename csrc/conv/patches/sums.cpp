#include "conv/patches/sums.hpp"

namespace fastconv {

// In each element's sum the width's places come first, as in those of lines.
void PatchSums::list(const PatchPlaces& deep, const PatchPlaces& high, const PatchPlaces& wide, const int64_t* stride) {
  int32_t* to = entries.data();
  // Of a line that meets `lines` of patches, those that have `patches` in all.
  const auto list_line = [&](int64_t y, int64_t z, int64_t lines, int64_t patches) {
    for (int64_t x = 0; x < wide.size(); ++x) {
      if (lines * wide.count(x) != patches) continue;
      for (const int64_t* i = wide.of(x); i != wide.of(x + 1); ++i)
        for (const int64_t* j = deep.of(y); j != deep.of(y + 1); ++j)
          for (const int64_t* k = high.of(z); k != high.of(z + 1); ++k) *to++ = static_cast<int32_t>(*i + *j + *k);
      *to++ = static_cast<int32_t>(y * stride[0] + z * stride[1] + x * stride[2]);
      ++elements[static_cast<size_t>(patches)];
    }
  };
  for (int64_t patches = 0; patches < static_cast<int64_t>(elements.size()); ++patches)
    for (int64_t y = 0; y < deep.size(); ++y)
      for (int64_t z = 0; z < high.size(); ++z)
        if (const int64_t lines = deep.count(y) * high.count(z); lines && patches % lines == 0)
          list_line(y, z, lines, patches);
}

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
