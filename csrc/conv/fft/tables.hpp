// Twiddle factors of both axes of a tile and the twist between the passes of a line, rounded from double.
#pragma once
#include "base/workspace.hpp"
#include "conv/fft/plan.hpp"
#include "kernels/fft/fft.hpp"

namespace fastconv {

template <class T>
class FftTables {
 public:
  explicit FftTables(const FftPlan& p);
  FftTables(const FftTables&) = delete;
  FftTables& operator=(const FftTables&) = delete;
  const FftShape<T>& shape() const { return shape_; }

 private:
  void fill(int64_t n, Vector<T>& factors, FftLength<T>& f);
  void fill_twist();
  void fill_opposite(int64_t kept);
  int64_t frequency(int64_t row) const;  // that the first pass leaves in a row

  Vector<T> rows_, columns_, twist_;
  Vector<int32_t> opposite_;
  FftShape<T> shape_;
};

}  // namespace fastconv
