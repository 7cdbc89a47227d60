#include "conv/direct/block.hpp"

#include <algorithm>

namespace fastconv {
namespace {

constexpr int64_t kFarBytes = 512 << 10;  // of an x in steps, which the processor does not fetch by itself
constexpr int64_t kAhead = 4 << 10;       // bytes that are fetched ahead, of a channel of more; or the next channel
constexpr int64_t kFillElements = 32;     // written in the time that a short stretch of zeros takes

}  // namespace

template <class T>
void Block<T>::clear(int64_t channels, T* dst) const {
  if (in_place_) return;
  const AxisLayout &d = layout_[0], &h = layout_[1], &w = layout_[2];
  const int64_t w_segment = h.segments * d.segments * plane_, used = w.segments * w_segment;
  const size_t fills = empty_lines_.size() * static_cast<size_t>(w.segments) + lines_.size() * gaps_.size();
  if (channel_stride_ < kFillElements * static_cast<int64_t>(fills)) {
    std::fill_n(dst, channels * channel_stride_ + kSlack, T(0));
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    T* channel = dst + c * channel_stride_;
    for (int32_t line : empty_lines_)
      for (int64_t s = 0; s < w.segments; ++s) std::fill_n(channel + line + s * w_segment, w.width, T(0));
    if (!gaps_.empty())
      for (const PackLine& line : lines_)
        for (const PackRun& gap : gaps_) std::fill_n(channel + line.dst + gap.dst, gap.length, T(0));
    std::fill_n(channel + used, channel_stride_ - used, T(0));
  }
  std::fill_n(dst + channels * channel_stride_, kSlack, T(0));
}

// The entries of `runs_`, where the channels lie next to each other in x: squares are transposed. A few pixels at a
// time, so that what is read is contiguous and what is written stays in the first-level cache until its lines are full.
template <class T>
void Block<T>::pack_pixels(const ConvKernelsOf<T>& kernels, int64_t c0, int64_t channels, T* dst) const {
  constexpr int64_t kPixels = 32 / sizeof(T);
  for (const PackLine& line : lines_)
    for (const PackRun& run : runs_)
      for (int64_t i = 0; i < run.length; i += kPixels) {
        const int64_t n = std::min<int64_t>(kPixels, run.length - i);
        kernels.pack_transposed(dst + line.dst + run.dst + i, channel_stride_,
                                x() + line.src + run.src + i * run.step + c0, run.step, 1, channels, n, n);
      }
}

template <class T>
void Block<T>::copy_lines(const ConvKernelsOf<T>& kernels, int64_t c0, int64_t channels, T* dst) const {
  for (const PackLine& line : lines_)
    kernels.copy_tile(dst + line.dst + runs_[0].dst, channel_stride_, x() + c0 * x_.stride[1] + line.src + runs_[0].src,
                      x_.stride[1], channels, runs_[0].length);
}

template <class T>
const T* Block<T>::pack(const ConvKernelsOf<T>& kernels, int64_t c0, int64_t channels, T* dst) const {
  if (in_place_) return x() + c0 * x_.stride[1] + lines_[0].src + runs_[0].src;
  const bool pixels = has_pixels();
  if (pixels) pack_pixels(kernels, c0, channels, dst);
  else if (copies_lines()) return copy_lines(kernels, c0, channels, dst), dst;
  else if (!windows_.empty()) {
    const PackWindow* const first = windows_.data();
    kernels.pack_windows(
        {dst, channel_stride_, x() + c0 * x_.stride[1], x_.stride[1], channels, first, first + windows_.size()});
  }
  PackChannel<T> job{};
  auto with = [&job](auto kernel, const Vector<PackLine>& lines, const Vector<PackRun>& runs) {
    job.lines = lines.data();
    job.line_count = static_cast<int64_t>(lines.size());
    job.runs = runs.data();
    job.run_count = static_cast<int64_t>(runs.size());
    if (job.line_count && job.run_count) kernel(job);
  };
  const int64_t all = x_.shape[0] * x_.shape[1] * x_.stride[1] * static_cast<int64_t>(sizeof(T));
  const int64_t some = kAhead / static_cast<int64_t>(sizeof(T)),
                reach = lines_.empty() ? 0 : lines_.back().src - lines_[0].src;
  job.ahead = all <= kFarBytes ? 0 : reach > 4 * some ? some : x_.stride[1];
  for (int64_t c = 0; c < channels; ++c) {
    job.dst = dst + c * channel_stride_;
    job.src = x() + (c0 + c) * x_.stride[1];
    if (!pixels && windows_.empty()) with(kernels.pack, lines_, runs_);
    if (!more_runs_.empty()) with(kernels.pack_add, lines_, more_runs_);
    if (more_lines_.empty()) continue;
    with(kernels.pack_add, more_lines_, runs_);
    if (!more_runs_.empty()) with(kernels.pack_add, more_lines_, more_runs_);
  }
  return dst;
}

template class Block<float>;
template class Block<double>;

}  // namespace fastconv
