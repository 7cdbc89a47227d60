#include "conv/direct/tail.hpp"

#include <algorithm>

#include "base/range.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kTailDepth = 256;       // of the sums that a tail's dot products repay;
constexpr int64_t kDenseTailDepth = 96;   // of one tap
constexpr int64_t kTailPlane = 256;       // pixels of an image of which a vector more or less is worth it;
constexpr int64_t kDenseTailPlane = 512;  // where no tap goes along the width, lest its rows have gaps
constexpr int64_t kChains = 8;            // sums of a tile that do not wait for each other

}  // namespace

template <class T>
int64_t tail_pixels(const GatherSum<T>& s) {
  const int64_t lanes = conv_kernels<T>().lanes, plane = s.plane(), left = plane % lanes;
  return left <= lanes / 4 && plane / lanes * conv_kernels<T>().rows >= kChains &&
                 plane <= (s.axis[2].taps() == 1 ? kDenseTailPlane : kTailPlane) &&
                 s.channels * s.taps() >= (s.taps() == 1 ? kDenseTailDepth : kTailDepth)
             ? left
             : 0;
}

template <class T>
Tail<T>::Tail(const GatherSum<T>& s, const Box& box) : s_(s), box_(box) {
  const int64_t h = s.axis[1].outputs, w = s.axis[2].outputs;
  for (int64_t p = s.plane() - s.tail; p < s.plane(); ++p) {
    const int64_t at[3] = {p / (h * w), p / w % h, p % w};
    bool inside = true;
    for (int i = 0; i < 3; ++i) inside &= at[i] >= box.begin[i] && at[i] < box.end[i];
    if (inside) pixels_.push_back({at[0], at[1], at[2]});
  }
  for (int64_t n = box.image0; n < box.image1; ++n)
    for (const Pixel& p : pixels_)
      y_.push_back(n * s.y.stride[0] + p.d * s.y.stride[2] + p.h * s.y.stride[3] + p.w * s.y.stride[4]);
}

template <class T>
void Tail<T>::gather(const Block<T>& block, int64_t c0, const T* b, const int32_t* offsets, int64_t depth) {
  T* value = values_;
  depth_ = depth;
  for (int64_t n = 0; n < box_.images(); ++n)
    for (size_t i = 0; i < pixels_.size(); ++i) {
      if (block.leaves_out()) {
        const T* from = block.left_out(c0, n) + i;
        for (int64_t k = 0; k < depth; ++k) *value++ = from[k * s_.x.stride[1]];
        continue;
      }
      const Pixel& p = pixels_[i];
      const T* from = b + block.position(n, p.d - box_.begin[0], p.h - box_.begin[1], p.w - box_.begin[2]);
      for (int64_t k = 0; k < depth; ++k) *value++ = from[offsets[k]];
    }
}

template <class T>
void Tail<T>::add(const T* a, const int32_t* offsets, int64_t m0, int64_t rows, bool first) const {
  int32_t at[kMaxVectors];
  for (int i = 0; i < kMaxVectors; ++i) at[i] = static_cast<int32_t>(i * depth_);
  DotTile<T> t{};
  t.rows = 1;
  t.pixels = depth_;
  t.lda = dense_ ? s_.a_row : depth_;
  t.boff = at;
  t.accumulate = !first;
  t.ldc = count() * kernels_.lanes;
  const int64_t few = power_of_two_within(std::min<int64_t>(kernels_.vectors, count()));
  for (int64_t m = 0, tall; m < rows; m += tall) {
    tall = power_of_two_within(std::min({kTall, rows - m, kernels_.accumulators / few}));
    t.a = dense_ ? a + m * s_.a_row : rows_;
    for (int64_t i = 0; i < tall && !dense_; ++i)
      for (int64_t k = 0; k < depth_; ++k) rows_[i * depth_ + k] = a[(m + i) * s_.a_row + offsets[k]];
    const int64_t most = std::min<int64_t>(kernels_.vectors, kernels_.accumulators / tall);
    for (int64_t i = 0, n; i < count(); i += n) {
      n = power_of_two_within(std::min(most, count() - i));
      t.b = values(i);
      t.c = sums(m0 + m, i);
      kernels_.dot[tall - 1][n - 1](t);
    }
  }
}

template <class T>
void Tail<T>::store(const T* bias, T* y, int64_t rows) const {
  depthwise_kernels<T>().lane_sums(sums_, sums_, rows * count());
  const T* sum = sums_;
  for (int64_t m = 0; m < rows; ++m, y += s_.y.stride[1])
    for (int64_t at : y_) {
      const T value = *sum++ + (bias ? bias[m] : T(0));
      y[at] = !s_.clamp ? value : value < s_.low ? s_.low : value > s_.high ? s_.high : value;
    }
}

template class Tail<float>;
template class Tail<double>;
template int64_t tail_pixels(const GatherSum<float>&);
template int64_t tail_pixels(const GatherSum<double>&);

}  // namespace fastconv
