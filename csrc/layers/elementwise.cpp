#include <algorithm>
#include <cmath>

#include "layers/layers.hpp"
#include "layers/stretch.hpp"

namespace fastconv {
namespace {

// Steele, Lea and Flood's splitmix64: unlike keys for neighbouring stretches and seeds.
DropoutKey key_of(uint64_t seed, int64_t stretch) {
  uint64_t z = seed + (static_cast<uint64_t>(stretch) + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z ^= z >> 31;
  return {static_cast<uint32_t>(z), static_cast<uint32_t>(z >> 32)};
}

}  // namespace

template <class T>
void relu_grad(T* g, const T* y, int64_t n) {
  over_stretches(n, 3 * sizeof(T),
                 [&](int64_t i, int64_t count, int64_t) { layer_functions<T>().relu_grad(g + i, y + i, count); });
}

template <class T>
void relu_grad(T* g, const T* y, int64_t mb, int64_t channels, int64_t length, T* sums) {
  const double size = static_cast<double>(mb) * static_cast<double>(channels) * static_cast<double>(length);
  const int threads = threads_for(3 * sizeof(T) * size);
  const int64_t parts = threads > 1 ? std::min<int64_t>(channels, 4 * threads) : 1;  // of few, for memory's order
  parallel_tasks(parts, threads, [&](int64_t part) {
    const int64_t c0 = part * channels / parts, c1 = (part + 1) * channels / parts;
    Vector<double> totals(static_cast<size_t>(c1 - c0));
    for (int64_t n = 0; n < mb; ++n)
      for (int64_t c = c0; c < c1; ++c) {
        const int64_t row = (n * channels + c) * length;
        totals[static_cast<size_t>(c - c0)] += layer_functions<T>().relu_grad(g + row, y + row, length);
      }
    std::copy(totals.begin(), totals.end(), sums + c0);
  });
}

template <class T>
void dropout(const T* x, T* y, int64_t n, uint64_t seed, double p) {
  constexpr double words = 4294967296.0;
  const auto threshold = static_cast<uint32_t>(std::min(std::round(p * words), words - 1));
  const T scale = static_cast<T>(words / (words - threshold));
  over_stretches(n, 4 * sizeof(T), [&](int64_t i, int64_t count, int64_t stretch) {
    layer_functions<T>().dropout(x + i, y + i, count, key_of(seed, stretch), threshold, scale);
  });
}

template <class T>
void sgd_step(T* w, const T* g, T* velocity, int64_t n, const SgdRule<T>& rule) {
  over_stretches(n, 5 * sizeof(T), [&](int64_t i, int64_t count, int64_t) {
    layer_functions<T>().sgd(w + i, g + i, velocity ? velocity + i : nullptr, count, rule);
  });
}

template <class T>
void adam_step(T* w, const T* g, T* mean, T* square, int64_t n, const AdamRule<T>& rule) {
  over_stretches(n, 7 * sizeof(T), [&](int64_t i, int64_t count, int64_t) {
    layer_functions<T>().adam(w + i, g + i, mean + i, square + i, count, rule);
  });
}

#define FASTCONV_LAYERS(T)                                              \
  template void relu_grad(T*, const T*, int64_t);                       \
  template void relu_grad(T*, const T*, int64_t, int64_t, int64_t, T*); \
  template void dropout(const T*, T*, int64_t, uint64_t, double);       \
  template void sgd_step(T*, const T*, T*, int64_t, const SgdRule<T>&); \
  template void adam_step(T*, const T*, T*, T*, int64_t, const AdamRule<T>&);
FASTCONV_LAYERS(float)
FASTCONV_LAYERS(double)

}  // namespace fastconv
