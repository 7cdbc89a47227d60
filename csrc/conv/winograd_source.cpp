#include "conv/winograd_source.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {
namespace {

const bool kShared[3] = {false, false, false};  // layouts of a block

// Coordinates that an axis' outputs read: the first, and the range of those that are there.
struct Reach {
  int64_t first, begin, end;
  Reach(const AxisMap& a, const Box& box, int i) : first(box.begin[i] * a.stride + a.offset.front()) {
    begin = std::clamp<int64_t>(first, 0, a.in);
    end = std::clamp<int64_t>((box.end[i] - 1) * a.stride + a.offset.back() + 1, begin, a.in);
  }
  int64_t size() const { return end - begin; }
};

}  // namespace

template <class T>
int64_t WinogradSource<T>::pixel_elements(const AxisMap axis[3], int64_t images, const int64_t extent[3]) {
  return block_channel_size(axis, images, extent, kShared) * conv_kernels<T>().lanes;
}

template <class T>
int64_t WinogradSource<T>::block_elements(const AxisMap axis[3], int64_t images, const int64_t extent[3]) {
  return pixel_elements(axis, images, extent) + Block<T>::kSlack;
}

// Zeros around the input are left to the transform; other padding, and what is given by table, needs a block.
template <class T>
bool WinogradSource<T>::reads_directly() const {
  return std::all_of(axis, axis + 3, [](const AxisMap& a) { return a.mode == Mode::zeros && !a.tabulated(); });
}

template <class T>
void WinogradSource<T>::transform_directly(const Box& box, int64_t c0, int64_t channels, T* pixels, T* v, int64_t plane,
                                           int64_t vector) const {
  const auto& kernels = winograd_kernels<T>();
  const int64_t lanes = conv_kernels<T>().lanes;
  const Reach d(axis[0], box, 0), h(axis[1], box, 1), w(axis[2], box, 2);
  WinogradPatches<T> job{};
  job.src = pixels;
  job.rows = d.size() > 0 ? h.size() : 0;
  job.columns = w.size();
  job.pitch = job.columns * lanes;
  job.top = h.begin - h.first;
  job.left = w.begin - w.first;
  job.down = ceil_div(box.extent(1), kWinogradOut);
  job.across = ceil_div(box.extent(2), kWinogradOut);
  job.plane = plane;
  job.tile = lanes;
  const bool consecutive = job.rows > 0 && x.stride[3] == job.columns * x.stride[4];
  const int64_t lines = consecutive ? 1 : job.rows;
  WinogradPixels<T> line{};
  line.channel_stride = x.stride[1];
  line.step = x.stride[4];
  line.count = consecutive ? job.columns * job.rows : job.columns;
  for (int64_t c = 0; c < channels; c += lanes) {
    line.channels = std::min(lanes, channels - c);
    for (int64_t n = 0; n < box.images(); ++n) {
      for (int64_t i = 0; i < lines; ++i) {
        line.src = x.data + (box.image0 + n) * x.stride[0] + (c0 + c) * x.stride[1] + d.begin * x.stride[2] +
                   (h.begin + i) * x.stride[3] + w.begin * x.stride[4];
        line.pixels = pixels + i * job.pitch;
        kernels.pixels(line);
      }
      job.v = v + c / lanes * vector + n * job.down * job.across * lanes;
      kernels.source_patches(job);
    }
  }
}

template <class T>
void WinogradSource<T>::transform(const Box& box, int64_t c0, int64_t channels, T* pixels, T* block_memory, T* v,
                                  int64_t plane, int64_t vector) const {
  if (reads_directly()) return transform_directly(box, c0, channels, pixels, v, plane, vector);
  const auto& kernels = winograd_kernels<T>();
  const int64_t lanes = conv_kernels<T>().lanes;
  const Block<T> block(axis, box, kShared, x);
  WinogradPatches<T> job{};
  job.rows = block.width(1);
  job.columns = block.width(2);
  job.pitch = job.columns * lanes;
  job.down = ceil_div(box.extent(1), kWinogradOut);
  job.across = ceil_div(box.extent(2), kWinogradOut);
  job.plane = plane;
  job.tile = lanes;
  WinogradPixels<T> line{};
  line.src = block_memory;
  line.channel_stride = block.channel_stride();
  line.step = 1;
  line.count = block.position(box.images(), 0, 0, 0);
  line.pixels = pixels;
  block.clear(lanes, block_memory);
  for (int64_t c = 0; c < channels; c += lanes) {
    line.channels = std::min(lanes, channels - c);
    block.pack(conv_kernels<T>(), c0 + c, line.channels, block_memory);
    kernels.pixels(line);
    for (int64_t n = 0; n < box.images(); ++n) {
      job.src = pixels + block.position(n, 0, 0, 0) * lanes;
      job.v = v + c / lanes * vector + n * job.down * job.across * lanes;
      kernels.source_patches(job);
    }
  }
}

template struct WinogradSource<float>;
template struct WinogradSource<double>;

}  // namespace fastconv
