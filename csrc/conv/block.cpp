#include "conv/block.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {
namespace {

// Channels a power of two of bytes apart would share one set of the L1 cache.
int64_t spread(int64_t elements) {
  elements = round_up(elements, 16);
  return elements % 256 == 0 ? elements + 16 : elements;
}

}  // namespace

int64_t block_channel_size(const AxisMap axes[3], int64_t images, const int64_t extent[3], const bool expand[3]) {
  int64_t n = images;
  for (int i = 0; i < 3; ++i) {
    LayoutSize s = layout_size(axes[i], extent[i], expand[i]);
    n = checked_mul(n, checked_mul(s.segments, s.width, "block"), "block");
  }
  return spread(n);
}

Block::Block(const AxisMap axes[3], const Box& box, const bool expand[3]) : box_(box) {
  for (int i = 0; i < 3; ++i) layout_[i] = make_layout(axes[i], box.begin[i], box.end[i], expand[i]);
  const AxisLayout &d = layout_[0], &h = layout_[1], &w = layout_[2];
  plane_ = box.images() * d.width * h.width * w.width;
  channel_stride_ = spread(plane_ * d.segments * h.segments * w.segments);
  tap_offset_.reserve(d.segment.size() * h.segment.size() * w.segment.size());
  for (size_t td = 0; td < d.segment.size(); ++td)
    for (size_t th = 0; th < h.segment.size(); ++th)
      for (size_t tw = 0; tw < w.segment.size(); ++tw) {
        int64_t segment = (w.segment[tw] * h.segments + h.segment[th]) * d.segments + d.segment[td];
        tap_offset_.push_back(static_cast<int32_t>(segment * plane_ + position(0, d.shift[td], h.shift[th], w.shift[tw])));
      }
}

void Block::offsets(int64_t channels, int32_t* out) const {
  for (int64_t c = 0; c < channels; ++c)
    for (int32_t offset : tap_offset_) *out++ = static_cast<int32_t>(c * channel_stride_) + offset;
}

template <class T>
void Block::pack(const ConvKernelsOf<T>& kernels, const View<const T>& x, int64_t c0, int64_t channels, T* dst) const {
  const AxisLayout &d = layout_[0], &h = layout_[1], &w = layout_[2];
  const LineRuns lines = line_runs(w, x.stride[4]);
  const LineRuns more = w.extras.empty() ? LineRuns{} : extra_runs(w, x.stride[4]);
  const int64_t w_segment = h.segments * d.segments * plane_;

  // Source rows beyond the first of each (d, h) entry: all pairs of the axes' sources but the first pair.
  auto sources_of = [](const AxisLayout& l, int64_t entry, std::vector<int64_t>& out) {
    out.clear();
    if (l.source[static_cast<size_t>(entry)] >= 0) out.push_back(l.source[static_cast<size_t>(entry)]);
    for (const auto& e : l.extras)
      if (e.entry == entry) out.push_back(e.source);
  };
  const bool several = !d.extras.empty() || !h.extras.empty();
  std::vector<int64_t> ds, hs;

  for (int64_t c = 0; c < channels; ++c) {
    T* channel = dst + c * channel_stride_;
    for (int64_t hseg = 0; hseg < h.segments; ++hseg)
      for (int64_t dseg = 0; dseg < d.segments; ++dseg)
        for (int64_t image = 0; image < box_.images(); ++image) {
          const T* xc = x.data + (box_.image0 + image) * x.stride[0] + (c0 + c) * x.stride[1];
          T* plane = channel + (hseg * d.segments + dseg) * plane_ + image * d.width * h.width * w.width;
          for (int64_t i = 0; i < d.width; ++i)
            for (int64_t j = 0; j < h.width; ++j) {
              T* line = plane + (i * h.width + j) * w.width;
              const int64_t de = dseg * d.width + i, he = hseg * h.width + j;
              const int64_t sd = d.source[static_cast<size_t>(de)], sh = h.source[static_cast<size_t>(he)];
              if (sd < 0 || sh < 0) {
                for (int64_t s = 0; s < w.segments; ++s) std::fill_n(line + s * w_segment, w.width, T(0));
                continue;
              }
              auto row = [&](int64_t a, int64_t b) { return xc + a * x.stride[2] + b * x.stride[3]; };
              auto pack_row = [&](auto kernel, const LineRuns& part, const T* src) {
                for (int64_t s = 0; s < w.segments; ++s) {
                  const int32_t first = part.first[static_cast<size_t>(s)], last = part.first[static_cast<size_t>(s + 1)];
                  if (first < last) kernel(line + s * w_segment, src, part.runs.data() + first, last - first);
                }
              };
              pack_row(kernels.pack_line, lines, row(sd, sh));
              if (!w.extras.empty()) pack_row(kernels.add_line, more, row(sd, sh));
              if (!several) continue;
              sources_of(d, de, ds);
              sources_of(h, he, hs);
              for (size_t a = 0; a < ds.size(); ++a)
                for (size_t b = 0; b < hs.size(); ++b) {
                  if (a + b == 0) continue;
                  pack_row(kernels.add_line, lines, row(ds[a], hs[b]));
                  if (!w.extras.empty()) pack_row(kernels.add_line, more, row(ds[a], hs[b]));
                }
            }
        }
  }
}

template void Block::pack(const ConvKernelsOf<float>&, const View<const float>&, int64_t, int64_t, float*) const;
template void Block::pack(const ConvKernelsOf<double>&, const View<const double>&, int64_t, int64_t, double*) const;

}  // namespace fastconv
