#include "conv/winograd_patches.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {

PatchLines::PatchLines(const AxisMap& axis, int64_t first, int64_t count) {
  const int64_t low = first * axis.stride + axis.offset.front();
  begin = std::clamp<int64_t>(low, 0, axis.in);
  end = std::clamp<int64_t>(low + count, begin, axis.in);
  at.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t source = map_coordinate(axis.mode, low + i, axis.in);
    int64_t position = source < 0 ? -1 : source - begin;
    if (source >= 0 && (source < begin || source >= end)) {
      const auto known = std::find(more.begin(), more.end(), source);
      position = end - begin + (known - more.begin());
      if (known == more.end()) more.push_back(source);
    }
    at.push_back(static_cast<int32_t>(position));
  }
}

template <class T>
int64_t WinogradPatchesOf<T>::pixel_elements(const int64_t extent[3]) {
  constexpr int64_t margin = kWinogradIn - kWinogradOut;
  return (extent[1] + margin) * (extent[2] + margin) * conv_kernels<T>().lanes;
}

// pixels[h][w][lane]
template <class T>
void WinogradPatchesOf<T>::make_pixels(const T* image, int64_t channels, const PatchLines& h, const PatchLines& w, T* pixels) const {
  const int64_t lanes = conv_kernels<T>().lanes, columns = w.end - w.begin, rows = h.end - h.begin;
  WinogradPixels<T> line{};
  line.channels = channels;
  line.channel_stride = x.stride[1];
  line.step = x.stride[4];
  const auto copy = [&](int64_t row, int64_t column, int64_t count, int64_t to) {
    line.src = image + row * x.stride[3] + column * x.stride[4];
    line.count = count;
    line.pixels = pixels + to * lanes;
    winograd_kernels<T>().pixels(line);
  };
  const auto copy_row = [&](int64_t row, int64_t to) {
    copy(row, w.begin, columns, to);
    for (size_t i = 0; i < w.more.size(); ++i) copy(row, w.more[i], 1, to + columns + static_cast<int64_t>(i));
  };
  if (w.more.empty() && rows > 0 && x.stride[3] == columns * x.stride[4]) copy(h.begin, w.begin, columns * rows, 0);
  else
    for (int64_t i = 0; i < rows; ++i) copy_row(h.begin + i, i * w.size());
  for (size_t i = 0; i < h.more.size(); ++i) copy_row(h.more[i], (rows + static_cast<int64_t>(i)) * w.size());
}

template <class T>
void WinogradPatchesOf<T>::transform(const Box& box, int64_t c0, int64_t channels, T* pixels, T* v, int64_t plane, int64_t vector) const {
  const int64_t margin = lines - kWinogradOut;
  const int64_t lanes = conv_kernels<T>().lanes, down = ceil_div(box.extent(1), kWinogradOut), across = ceil_div(box.extent(2), kWinogradOut);
  PatchLines h(axis[1], box.begin[1], down * kWinogradOut + margin);
  const PatchLines w(axis[2], box.begin[2], across * kWinogradOut + margin);
  const int64_t d = map_coordinate(axis[0].mode, box.begin[0] * axis[0].stride + axis[0].offset[0], axis[0].in);
  if (d < 0) std::fill(h.at.begin(), h.at.end(), -1);
  const auto make_patches = lines == kWinogradIn ? winograd_kernels<T>().source_patches : winograd_kernels<T>().gradient_patches;
  WinogradPatches<T> job{};
  job.src = pixels;
  job.row = h.at.data();
  job.column = w.at.data();
  job.pitch = w.size() * lanes;
  job.down = down;
  job.across = across;
  job.plane = plane;
  job.tile = lanes;
  for (int64_t c = 0; c < channels; c += lanes)
    for (int64_t n = 0; n < box.images(); ++n) {
      const T* image = x.data + (box.image0 + n) * x.stride[0] + (c0 + c) * x.stride[1] + std::max<int64_t>(0, d) * x.stride[2];
      make_pixels(image, std::min(lanes, channels - c), h, w, pixels);
      job.v = v + c / lanes * vector + n * down * across * lanes;
      make_patches(job);
    }
}

template struct WinogradPatchesOf<float>;
template struct WinogradPatchesOf<double>;

}  // namespace fastconv
