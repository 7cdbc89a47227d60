#include "pool/taps.hpp"

#include "pool/windows.hpp"

namespace fastconv {

AxisTaps inputs_of(const PoolAxis& a) {
  AxisTaps taps(a.out);
  for (int64_t o = 0; o < a.out; ++o) {
    const PoolWindow window = pool_window(a, o);
    for (int64_t t = 0; t < window.count; ++t) taps.at.push_back(window.start + t * a.dilation);
    taps.first.data()[o + 1] = static_cast<int64_t>(taps.at.size());
  }
  return taps;
}

AxisTaps outputs_of(const PoolAxis& a) {
  const AxisTaps inputs = inputs_of(a);
  AxisTaps taps(a.in + 1);
  taps.at.resize(inputs.at.size());
  int64_t* next = taps.first.data() + 1;  // of each input; in the end, where those of the next one begin
  for (int64_t i : inputs.at) ++next[i + 1];
  for (int64_t i = 0; i < a.in; ++i) next[i + 1] += next[i];
  for (int64_t o = 0; o < a.out; ++o)
    for (int64_t t = inputs.first.data()[o]; t < inputs.first.data()[o + 1]; ++t)
      taps.at.data()[next[inputs.at.data()[t]]++] = o;
  taps.places = a.in;
  return taps;
}

TapList::TapList(const AxisTaps& a, const AxisTaps& b, int64_t bytes) {
  auto product = [&](const Vector<double>& u, int64_t m, const Vector<double>& v, int64_t n) {
    const double p = (u.empty() ? 1.0 : u.data()[m]) * (v.empty() ? 1.0 : v.data()[n]);
    return bytes == 4 ? static_cast<double>(static_cast<float>(p)) : p;
  };
  for (int64_t i = 0; i < a.places; ++i)
    for (int64_t j = 0; j < b.places; ++j) {
      const auto first = static_cast<int64_t>(taps.size());
      for (int64_t s = a.first.data()[i]; s < a.first.data()[i + 1]; ++s)
        for (int64_t t = b.first.data()[j]; t < b.first.data()[j + 1]; ++t) {
          const int64_t m = a.at.data()[s], n = b.at.data()[t];
          const double weight = product(a.weight, m, b.weight, n);
          taps.push_back({m * a.at_step + n * b.at_step, m * a.position_step + n * b.position_step, weight,
                          static_cast<float>(weight)});
        }
      places.push_back({i * a.to_step + j * b.to_step, i * a.index_step + j * b.index_step, first,
                        static_cast<int64_t>(taps.size()) - first, product(a.divisor, i, b.divisor, j)});
    }
}

}  // namespace fastconv
