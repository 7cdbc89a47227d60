#include "pool/planes.hpp"

#include "kernels/conv.hpp"

namespace fastconv {
namespace {

bool suits(PlaneLayout layout, const AnyView& v) {
  const View<char>& view = v.view;
  if (v.internal) return false;
  if (!view.data || view.size() == 0) return true;
  if (layout == PlaneLayout::pixels) return view.stride[1] == 1;
  return v.rows_suffice ? view.stride[4] == 1 || view.shape[4] == 1 : plane_box(view, view.data).dense();
}
int64_t plane_size(const AnyView& v) { return v.view.shape[2] * v.view.shape[3] * v.view.shape[4]; }
int64_t plane_bytes(const AnyView& v) { return round_up(plane_size(v) * v.bytes, 8); }

// The first plane; rows one behind the other are one.
template <class T>
Box<T> joined_rows(const View<T>& v) {
  Box<T> box = plane_box(v, v.data);
  for (int a = 1; a >= 0 && (box.shape[a] == 1 || box.step[a] == box.shape[2] * box.step[2]); --a)
    box.shape[2] *= box.shape[a], box.shape[a] = 1;
  return box;
}

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
  joined_rows(v).for_rows(0, size, [&](T* row, int64_t n) {
    for (int64_t i = 0; i < n; i += kPixels) {
      const int64_t pixels = std::min(kPixels, n - i);
      if (back) transpose(row + i * step, step, dense + i, size, 1, pixels, channels, channels);
      else transpose(dense + i, size, row + i * step, step, 1, channels, pixels, pixels);
    }
    dense += n;
  });
}
// Likewise of planes whose rows are dense, to planes side by side.
template <class T>
void move_pixels(const AnyView& any, T* pixel, bool back) {
  const View<T> v = any.as<T>();
  const int64_t channels = v.shape[1];
  const auto transpose = conv_kernels<T>().pack_transposed;
  joined_rows(v).for_rows(0, plane_size(any), [&](T* row, int64_t n) {
    if (back) transpose(row, v.stride[1], pixel, channels, 1, channels, n, n);
    else transpose(pixel, channels, row, v.stride[1], v.stride[4], n, channels, channels);
    pixel += n * channels;
  });
}
template <class T>
void move_image(PlaneLayout layout, const AnyView& any, char* copy, bool back) {
  if (layout == PlaneLayout::pixels) move_pixels(any, reinterpret_cast<T*>(copy), back);
  else move_planes(any, reinterpret_cast<T*>(copy), back);
}
void move(PlaneLayout layout, AnyView any, char* copy, bool back) {
  const auto function = any.bytes == 4 ? move_image<float> : move_image<double>;  // positions too: bits are moved only
  for (int64_t n = 0; n < any.view.shape[0]; ++n) {
    function(layout, any, copy, back);
    any.view.data += any.view.stride[0] * any.bytes;
    copy += any.view.shape[1] * plane_size(any) * any.bytes;
  }
}

// Where such planes stand, or their copy.
struct PlaneBox {
  int64_t n, images, c, channels;
};
AnyView planes_at(PlaneLayout layout, const AnyView& v, const PlaneBox& b, char* copy) {
  AnyView some = v;
  if (v.view.data) some.view.data += (b.n * v.view.stride[0] + b.c * v.view.stride[1]) * v.bytes;
  some.view.shape[0] = b.images, some.view.shape[1] = b.channels;
  if (!copy) return some;
  some.view.data = copy;
  constexpr int kInwards[2][5] = {{4, 3, 2, 1, 0}, {1, 4, 3, 2, 0}};
  int64_t step = 1;
  for (int axis : kInwards[layout == PlaneLayout::pixels]) some.view.stride[axis] = step, step *= some.view.shape[axis];
  return some;
}

// Bytes of the copies: of one plane of each view that does not suit, and of all planes.
struct CopiedBytes {
  int64_t each = 0;
  double all = 0;
  CopiedBytes(PlaneLayout layout, const AnyView* views, int count) {
    for (int i = 0; i < count; ++i)
      if (!suits(layout, views[i])) {
        each += plane_bytes(views[i]);
        all += static_cast<double>(views[i].view.size() * views[i].bytes);
      }
  }
};

// What is read before a task, and written behind it, between a view's planes and their copy.
void move_box(PlaneLayout layout, const AnyView& v, const PlaneBox& box, char* copy, bool back) {
  if (copy && !v.internal && v.written == back) move(layout, planes_at(layout, v, box, nullptr), copy, back);
}
void run_box(PlaneLayout layout, const PoolProblem& p, const AnyView* views, int count, const PlaneBox& box,
             char* memory, PlanesTask task, void* context) {
  PoolProblem g = p;
  g.mb = box.images, g.channels = box.channels;
  for (PoolAxis& a : g.axis) a = of_plane(a, (box.n * p.channels + box.c) * p.starts_step);
  AnyView some[5];
  char* copy[5];
  for (int i = 0; i < count; ++i) {
    copy[i] = suits(layout, views[i]) ? nullptr : memory;
    if (copy[i]) memory += box.images * box.channels * plane_bytes(views[i]);
    some[i] = planes_at(layout, views[i], box, copy[i]);
    move_box(layout, views[i], box, copy[i], false);
  }
  task(context, g, some);
  for (int i = 0; i < count; ++i) move_box(layout, views[i], box, copy[i], true);
}

}  // namespace

bool in_layout(PlaneLayout layout, const PoolProblem& p, AnyView* views, int count, PlanesTask task, void* context) {
  // Of copies at a time, but of as many planes as a cache line holds, unless they are huge.
  const int64_t most = layout == PlaneLayout::pixels ? 1 << 19 : 1 << 18, line = 16, huge = 1 << 25;
  const CopiedBytes bytes(layout, views, count);
  if (bytes.each == 0) return false;
  const int64_t some =
      std::max<int64_t>(1, std::min(std::max(line, most / bytes.each / line * line), huge / bytes.each));
  const int64_t channels = std::min(p.channels, some), groups = ceil_div(p.channels, channels);
  const int64_t images = std::max<int64_t>(1, std::min(p.mb, some / p.channels));
  share_out(ceil_div(p.mb, images) * groups, 2 * bytes.all, [&](int64_t begin, int64_t end) {
    const ScratchMemory<char> memory(images * channels * bytes.each);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / groups * images, c = i % groups * channels;
      const PlaneBox box{n, std::min(images, p.mb - n), c, std::min(channels, p.channels - c)};
      run_box(layout, p, views, count, box, memory.data(), task, context);
    }
  });
  return true;
}

}  // namespace fastconv
