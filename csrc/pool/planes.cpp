#include "pool/planes.hpp"

#include "kernels/conv.hpp"

namespace fastconv {
namespace {

bool suits(const AnyView& v) {
  const View<char>& view = v.view;
  if (!view.data || view.size() == 0) return true;
  return v.rows_suffice ? view.stride[4] == 1 || view.shape[4] == 1 : plane_box(view, view.data).dense();
}
int64_t plane_size(const AnyView& v) { return v.view.shape[2] * v.view.shape[3] * v.view.shape[4]; }
int64_t plane_bytes(const AnyView& v) { return round_up(plane_size(v) * v.bytes, 8); }

// Some planes of a view to dense memory, or back from it.
template <class T>
void move_planes(const AnyView& any, T* dense, bool back) {
  const View<T> v = any.as<T>();
  const int64_t size = plane_size(any), channels = v.shape[1];
  if (v.stride[1] != 1 || channels < 2) {
    for (int64_t c = 0; c < channels; ++c, dense += size) {
      const Box<T> plane = plane_box(v, v.data + c * v.stride[1]);
      if (back) copy_out(dense, plane);
      else copy_in(plane, 0, size, dense);
    }
    return;
  }
  // A few pixels at a time: what a cache line holds is used while it is in the L1 cache.
  constexpr int64_t kPixels = 32 / sizeof(T);
  const auto transpose = conv_kernels<T>().pack_transposed;
  const int64_t step = v.stride[4];
  Box<T> pixels = plane_box(v, v.data);
  for (int a = 1; a >= 0 && (pixels.shape[a] == 1 || pixels.step[a] == pixels.shape[2] * step); --a)
    pixels.shape[2] *= pixels.shape[a], pixels.shape[a] = 1;  // rows one behind the other are one
  pixels.for_rows(0, size, [&](T* row, int64_t n) {
    for (int64_t i = 0; i < n; i += kPixels) {
      const int64_t pixels = std::min(kPixels, n - i);
      if (back) transpose(row + i * step, step, dense + i, size, 1, pixels, channels, channels);
      else transpose(dense + i, size, row + i * step, step, 1, channels, pixels, pixels);
    }
    dense += n;
  });
}
void move_planes(const AnyView& any, char* dense, bool back) {
  if (any.bytes == 4) move_planes(any, reinterpret_cast<float*>(dense), back);
  else move_planes(any, reinterpret_cast<double*>(dense), back);  // positions too, whose bits are moved only
}

// Where such planes stand, or their copy.
AnyView planes_at(const AnyView& v, int64_t n, int64_t c, int64_t channels, char* copy) {
  AnyView some = v;
  if (v.view.data) some.view.data += (n * v.view.stride[0] + c * v.view.stride[1]) * v.bytes;
  some.view.shape[0] = 1, some.view.shape[1] = channels;
  if (!copy) return some;
  some.view.data = copy;
  for (int64_t axis = 4, step = 1; axis >= 0; --axis) some.view.stride[axis] = step, step *= some.view.shape[axis];
  return some;
}

}  // namespace

bool in_dense_planes(const PoolProblem& p, AnyView* views, int count, PlanesTask task, void* context) {
  constexpr int64_t kBytes = 1 << 18, kLine = 16;  // of copies at a time, but of as many planes as a cache line holds,
  constexpr int64_t kMost = 1 << 25;               // unless they are huge
  int64_t each = 0;
  double bytes = 0;
  for (int i = 0; i < count; ++i)
    if (!suits(views[i])) {
      each += plane_bytes(views[i]);
      bytes += static_cast<double>(views[i].view.size() * views[i].bytes);
    }
  if (each == 0) return false;
  const int64_t some = std::max<int64_t>(1, std::min(std::max(kLine, kBytes / each / kLine * kLine), kMost / each));
  const int64_t channels = std::min(p.channels, some), groups = ceil_div(p.channels, channels);
  share_out(p.mb * groups, 2 * bytes, [&](int64_t begin, int64_t end) {
    const ScratchMemory<char> memory(channels * each);
    for (int64_t i = begin; i < end; ++i) {
      PoolProblem g = p;
      const int64_t n = i / groups, c = i % groups * channels;
      g.mb = 1;
      g.channels = std::min(channels, p.channels - c);
      for (PoolAxis& a : g.axis) a = of_plane(a, (n * p.channels + c) * p.starts_step);
      AnyView some_of[4];
      char* next = memory.data();
      for (int j = 0; j < count; ++j) {
        char* copy = suits(views[j]) ? nullptr : next;
        some_of[j] = planes_at(views[j], n, c, g.channels, copy);
        if (!copy) continue;
        next += g.channels * plane_bytes(views[j]);
        if (!views[j].written) move_planes(planes_at(views[j], n, c, g.channels, nullptr), copy, false);
      }
      task(context, g, some_of);
      for (int j = 0; j < count; ++j)
        if (views[j].written && !suits(views[j]))
          move_planes(planes_at(views[j], n, c, g.channels, nullptr), some_of[j].view.data, true);
    }
  });
  return true;
}

}  // namespace fastconv
