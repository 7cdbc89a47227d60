// Forward and input gradient are both correlations: of x with the weights, and of dy with their transpose. This is the
// way from a problem to sums for the engines (conv/gather.hpp, conv/winograd.hpp).
#pragma once
#include <memory>

#include "base/workspace.hpp"
#include "fastconv/conv.hpp"

namespace fastconv {

// Weights as the algorithms of a forward call read them, where these may suit the kernel's shape, stride and dilation.
template <class T>
struct ReadyWeights {
  const T* transformed = nullptr;  // Winograd's transform
  const T* rows = nullptr;         // packed for the direct algorithm,
  int64_t tile_rows = 0;           // in tiles of so many rows, or in vectors (0)
  int64_t elements = 0;
  Arena memory;

  const T* reserve(int64_t n) {
    return reinterpret_cast<const T*>(memory.reserve(Arena::rounded_bytes<T>(elements = n)));
  }
};
template <class T>
std::shared_ptr<const ReadyWeights<T>> make_ready(const ConvProblem& p, View<const T> w, Algorithm algorithm);

// `ready`: what is at hand of w, or null.
template <class T>
void correlate_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y,
                       Activation activation, Algorithm algorithm, const ReadyWeights<T>* ready = nullptr);
template <class T>
void correlate_backward(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
                        Activation activation, Algorithm algorithm);

// What a call would do.
template <class T>
ConvPlan plan_correlation(const ConvProblem& p, Direction direction, Algorithm algorithm);

}  // namespace fastconv
