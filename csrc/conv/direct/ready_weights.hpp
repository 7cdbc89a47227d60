// Weights made ready once for many forward calls, as the algorithms of those read them.
#pragma once
#include <memory>

#include "base/workspace.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

// What suits the kernel's shape, stride and dilation.
template <class T>
struct ReadyWeights {
  const T* transformed = nullptr;  // Winograd's transform,
  const T* large = nullptr;        // that for large tiles
  const T* rows = nullptr;         // packed for the direct algorithm,
  int64_t tile_rows = 0;           // in tiles of so many rows, or in vectors (0)
  int64_t elements = 0;
  Arena memory;

  T* reserve(int64_t n) { return reinterpret_cast<T*>(memory.reserve(Arena::rounded_bytes<T>(elements = n))); }
};

// Of the problem's sizes only the kernel's are looked at.
template <class T>
std::shared_ptr<const ReadyWeights<T>> make_ready(const ConvProblem& p, View<const T> w, Algorithm algorithm);

}  // namespace fastconv
