#include <algorithm>

#include "base/checked.hpp"
#include "conv/direct/block.hpp"

namespace fastconv {
namespace {

// Sixteenths of cycles: of a run of a line, of an entry by windows, at a longer step, and in their table,
// with zeros; and channels that repay what else it takes.
constexpr int64_t kRunCost = 160, kEntryCost = 7, kStepCost = 3, kTableCost = 192, kLeastChannels = 16;

// All sources of an entry.
void sources_of(const AxisLayout& l, int64_t entry, Vector<int64_t>& out) {
  out.clear();
  if (l.source[static_cast<size_t>(entry)] >= 0) out.push_back(l.source[static_cast<size_t>(entry)]);
  for (const auto& e : l.extras)
    if (e.entry == entry) out.push_back(e.source);
}

}  // namespace

int64_t spread(int64_t elements) { return (ceil_div(elements, 16) | 1) * 16; }

int64_t block_channel_size(const AxisMap axes[3], int64_t images, const int64_t extent[3], const bool expand[3]) {
  int64_t n = images;
  for (int i = 0; i < 3; ++i) {
    LayoutSize s = layout_size(axes[i], extent[i], expand[i]);
    n = checked_mul(n, checked_mul(s.segments, s.width, "block"), "block");
  }
  return spread(n);
}

BlockShape::BlockShape(const AxisMap axes[3], const Box& box, const bool expand[3], const View<const char>& x,
                       int64_t bytes, int64_t past, int64_t alignment)
    : box_(box), x_(x), bytes_(bytes) {
  for (int i = 0; i < 3; ++i) layout_[i] = make_layout(axes[i], box.begin[i], box.end[i], expand[i]);
  const AxisLayout &d = layout_[0], &h = layout_[1], &w = layout_[2];
  image_ = d.width * h.width * w.width;
  plane_ = box.images() * image_;
  channel_stride_ = spread(plane_ * d.segments * h.segments * w.segments);
  tap_offset_.reserve(d.segment.size() * h.segment.size() * w.segment.size());
  for (size_t td = 0; td < d.segment.size(); ++td)
    for (size_t th = 0; th < h.segment.size(); ++th)
      for (size_t tw = 0; tw < w.segment.size(); ++tw) {
        int64_t segment = (w.segment[tw] * h.segments + h.segment[th]) * d.segments + d.segment[td];
        tap_offset_.push_back(
            static_cast<int32_t>(segment * plane_ + position(0, d.shift[td], h.shift[th], w.shift[tw])));
      }
  find_lines();
  in_place_ = stands_in_x(past, alignment);
  if (in_place_) channel_stride_ = x_.stride[1];
  else if (bytes == sizeof(float) && !has_pixels() && !copies_lines()) find_windows();
}

bool BlockShape::stands_in_x(int64_t past, int64_t alignment) const {
  if ((alignment > 1 && taps() != 1) || lines_.empty() || !empty_lines_.empty() || !gaps_.empty() ||
      !more_lines_.empty() || !more_runs_.empty())
    return false;
  if (runs_.size() != 1 || runs_[0].step != 1 || x_.stride[1] > INT32_MAX / std::max<int64_t>(1, x_.shape[1]))
    return false;
  for (const PackLine& line : lines_)
    if (line.src - lines_[0].src != line.dst) return false;
  int64_t end = 1;  // of x's memory
  for (int i = 0; i < 5; ++i) {
    if (x_.stride[i] < 0) return false;
    end += (x_.shape[i] - 1) * x_.stride[i];
  }
  const char* first = x_.data + (lines_[0].src + runs_[0].src) * bytes_;
  if ((reinterpret_cast<intptr_t>(first) | x_.stride[1] * bytes_) % alignment) return false;
  return lines_.back().src + runs_[0].src + runs_[0].length + (x_.shape[1] - 1) * x_.stride[1] + past <= end;
}

void BlockShape::find_lines() {
  const AxisLayout &d = layout_[0], &h = layout_[1], &w = layout_[2];
  const int64_t w_segment = h.segments * d.segments * plane_;
  runs_ = entry_runs(w, w_segment, x_.stride[4]);
  if (!w.extras.empty()) more_runs_ = extra_runs(w, w_segment, x_.stride[4]);
  const bool several = !d.extras.empty() || !h.extras.empty();
  lines_.reserve(static_cast<size_t>(h.segments * d.segments * box_.images() * d.width * h.width));
  Vector<int64_t> ds, hs;
  for (int64_t hseg = 0; hseg < h.segments; ++hseg)
    for (int64_t dseg = 0; dseg < d.segments; ++dseg)
      for (int64_t image = 0; image < box_.images(); ++image)
        for (int64_t i = 0; i < d.width; ++i)
          for (int64_t j = 0; j < h.width; ++j) {
            const int64_t de = dseg * d.width + i, he = hseg * h.width + j;
            const int64_t sd = d.source[static_cast<size_t>(de)], sh = h.source[static_cast<size_t>(he)];
            const int32_t dst = static_cast<int32_t>((hseg * d.segments + dseg) * plane_ + position(image, i, j, 0));
            if (sd < 0 || sh < 0) {
              empty_lines_.push_back(dst);
              continue;
            }
            const int64_t src = (box_.image0 + image) * x_.stride[0];
            lines_.push_back({dst, src + sd * x_.stride[2] + sh * x_.stride[3]});
            if (!several) continue;
            sources_of(d, de, ds);
            sources_of(h, he, hs);
            for (size_t a = 0; a < ds.size(); ++a)
              for (size_t b = 0; b < hs.size(); ++b)
                if (a + b > 0) more_lines_.push_back({dst, src + ds[a] * x_.stride[2] + hs[b] * x_.stride[3]});
          }
  for (int64_t s = 0; s < w.segments; ++s)
    for (int64_t i = 0, n; i < w.width; i += n) {
      const bool zero = w.source[static_cast<size_t>(s * w.width + i)] < 0;
      const Range inner = w.inner[static_cast<size_t>(s)];
      for (n = std::max<int64_t>(1, i < inner.begin ? 1 : inner.end - i);
           i + n < w.width && (w.source[static_cast<size_t>(s * w.width + i + n)] < 0) == zero;)
        ++n;
      if (zero) gaps_.push_back({static_cast<int32_t>(s * w_segment + i), static_cast<int32_t>(n), 0, 0});
    }
  if (runs_.size() == 1 && runs_[0].length == w.entries() && more_runs_.empty() && more_lines_.empty()) join_lines();
}

// Whole lines that follow one another in x and in the block are one, if that leaves lines of one length.
void BlockShape::join_lines() {
  const int64_t n = runs_[0].length;
  Vector<PackLine> joined;
  size_t length = 0;  // lines in one
  for (size_t i = 0, count; i < lines_.size(); i += count, length = count) {
    for (count = 1; i + count < lines_.size() && lines_[i + count].dst == lines_[i + count - 1].dst + n &&
                    lines_[i + count].src == lines_[i + count - 1].src + n * runs_[0].step;)
      ++count;
    if (i > 0 && count != length) return;
    joined.push_back(lines_[i]);
  }
  lines_ = std::move(joined);
  runs_[0].length = static_cast<int32_t>(n * static_cast<int64_t>(length));
}

// Packing by windows, where lines are so narrow and channels so many that the table repays.
void BlockShape::find_windows() {
  const ConvKernelsOf<float>& kernels = conv_kernels<float>();
  const int64_t lanes = kernels.lanes;
  int64_t most = 1 - lanes, entries = 0, step = 1;  // the last window's source
  for (int i : {0, 2, 3, 4}) {
    if (x_.stride[i] < 0) return;
    most += (x_.shape[i] - 1) * x_.stride[i];
  }
  for (const PackRun& run : runs_) entries += run.length, step = std::max(step, run.step);
  const int64_t runs = static_cast<int64_t>(runs_.size()), lines = static_cast<int64_t>(lines_.size()),
                gain = kRunCost * runs - std::max(kEntryCost, kStepCost * step) * entries;
  const bool apart = step > 1 && runs >= step && entries >= lanes * runs;  // runs that are packed together
  if (!kernels.pack_windows || x_.shape[1] < kLeastChannels || apart || most < 0 ||
      lines * gain * x_.shape[1] <= kTableCost * (lines * entries + channel_stride_))
    return;
  Vector<int64_t> source(static_cast<size_t>(channel_stride_), -1);
  for (const PackLine& line : lines_)
    for (const PackRun& run : runs_) {
      int64_t *to = source.data() + line.dst + run.dst, src = line.src + run.src;
      for (int64_t i = 0; i < run.length; ++i, src += run.step) to[i] = src;
    }
  for (int64_t first = 0; first < channel_stride_; first += lanes) {
    PackWindow* window = nullptr;
    for (int64_t i = 0; i < lanes; ++i) {
      const int64_t src = source[static_cast<size_t>(first + i)];
      if (src < 0) continue;
      if (!window || src < window->src || src >= window->src + lanes)
        window = &windows_.emplace_back(PackWindow{{}, std::min(src, most), -1});
      window->lane[i] = static_cast<int8_t>(src - window->src - 128);
    }
    if (window) window->dst = static_cast<int32_t>(first);
  }
}

void BlockShape::offsets(int64_t channels, int32_t* out) const {
  for (int64_t c = 0; c < channels; ++c)
    for (int32_t offset : tap_offset_) *out++ = static_cast<int32_t>(c * channel_stride_) + offset;
}

bool BlockShape::copies_lines() const {
  return static_cast<int64_t>(lines_.size()) <= box_.images() && runs_.size() == 1 && runs_[0].step == 1 &&
         more_runs_.empty() && more_lines_.empty();
}

void BlockShape::leave_out(int64_t pixels) {
  leaves_out_ = !in_place_ && taps() == 1 && x_.stride[1] != 1 && copies_lines() &&
                static_cast<int64_t>(lines_.size()) == box_.images() && runs_[0].length == image_;
  if (!leaves_out_) return;
  image_ -= pixels;
  plane_ = box_.images() * image_;
  channel_stride_ = spread(plane_);
  runs_[0].length = static_cast<int32_t>(image_);
  for (int64_t n = 0; n < box_.images(); ++n) lines_[static_cast<size_t>(n)].dst = static_cast<int32_t>(n * image_);
}

}  // namespace fastconv
