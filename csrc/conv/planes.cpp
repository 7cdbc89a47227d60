#include "conv/planes.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/index_map.hpp"

namespace fastconv {
namespace {

// Zeros that every segment of a row begins and ends with: the end of one plane can be the beginning of the next.
int64_t shared_zeros(const AxisLayout& layout) {
  int64_t least = layout.width;
  for (int64_t s = 0; s < layout.segments; ++s) {
    const int64_t* source = layout.source.data() + s * layout.width;
    int64_t before = 0, behind = 0;
    while (before < layout.width && source[before] < 0) ++before;
    while (behind < layout.width && source[layout.width - 1 - behind] < 0) ++behind;
    least = std::min({least, before, behind});
  }
  return least;
}

// Room for whole vectors to be read behind the last column.
int64_t segment_size(int64_t reach, int64_t columns, int64_t step, int64_t lanes) {
  return round_up((columns - 1) * step + lanes + reach, lanes);
}

}  // namespace

NarrowRows narrow_rows(const AxisMap& map, int64_t lanes) {
  if (2 * map.outputs > lanes || map.taps() == 0) return {};
  const AxisLayout layout = make_layout(map, 0, map.outputs, false);
  const int64_t pitch = std::max(map.outputs, layout.width - shared_zeros(layout));
  const int64_t across = (lanes - map.outputs) / pitch + 1;
  return across > 1 ? NarrowRows{across, pitch} : NarrowRows{};
}

int64_t packed_row_size(const AxisMap& w, int64_t outputs, int64_t columns, NarrowRows narrow, int64_t lanes) {
  const LayoutSize size = layout_size(w, outputs, false);
  return size.segments * segment_size(size.width - outputs, narrow.across > 1 ? columns : ceil_div(outputs, lanes), narrow.step(lanes), lanes);
}

Vector<int64_t> height_order(const AxisMap& h) {
  Vector<int64_t> order(static_cast<size_t>(h.taps()));
  for (size_t t = 0; t < order.size(); ++t) order[t] = static_cast<int64_t>(t);
  const auto key = [&](int64_t t) {
    const int64_t offset = h.offset[static_cast<size_t>(t)];
    return std::pair<int64_t, int64_t>(floor_mod(offset, h.stride), offset);
  };
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return key(a) < key(b); });
  return order;
}

template <class T>
PackedPlanes<T>::PackedPlanes(const AxisMap& h, Cut rows, const AxisMap& w, Cut columns, int64_t channels, int64_t planes, NarrowRows narrow,
                              const int64_t x_stride[3])
    : h_(make_layout(h, rows.begin, rows.end, false)),
      w_(make_layout(w, columns.begin, columns.end, false)),
      channels_(channels),
      planes_(planes),
      across_(narrow.across),
      lanes_(depthwise_kernels<T>().lanes),
      step_(narrow.step(lanes_)),
      columns_(across_ > 1 ? ceil_div(planes, across_) : ceil_div(columns.size(), lanes_)),
      segment_(segment_size(w_.width - columns.size(), columns_, step_, lanes_)),
      row_(w_.segments * segment_),
      channel_size_(h_.entries() * row_),
      plane_size_(channels * channel_size_),
      x_channel_(x_stride[0]),
      runs_(entry_runs(w_, segment_, x_stride[2])) {
  for (int64_t k = 0; k < planes; ++k) place_.push_back(across_ > 1 ? k / across_ * step_ + k % across_ * narrow.pitch : k * plane_size_);
  for (int64_t e = 0; e < h_.entries(); ++e)
    if (const int64_t from = h_.source[static_cast<size_t>(e)]; from >= 0) lines_.push_back({static_cast<int32_t>(e * row_), from * x_stride[1]});
}

template <class T>
int64_t PackedPlanes<T>::elements() const {
  return across_ > 1 ? plane_size_ : planes_ * plane_size_;
}

template <class T>
void PackedPlanes<T>::clear(T* dst) const {
  if (across_ > 1) {
    std::fill_n(dst, plane_size_, T(0));
    return;
  }
  for (int64_t c = 0; c < planes_ * channels_; ++c, dst += channel_size_) {
    for (int64_t e = 0; e < h_.entries(); ++e)
      if (h_.source[static_cast<size_t>(e)] < 0) std::fill_n(dst + e * row_, row_, T(0));
    for (const PackLine& line : lines_) {
      int64_t done = 0;
      for (const PackRun& run : runs_) {
        std::fill(dst + line.dst + done, dst + line.dst + run.dst, T(0));
        done = run.dst + run.length;
      }
      std::fill(dst + line.dst + done, dst + line.dst + row_, T(0));
    }
  }
}

template <class T>
void PackedPlanes<T>::pack(const DepthwiseKernelsOf<T>& kernels, const T* x, int64_t k, T* dst) const {
  PackChannel<T> c{dst + plane(k), x, lines_.data(), static_cast<int64_t>(lines_.size()), runs_.data(),
                   static_cast<int64_t>(runs_.size())};
  for (int64_t i = 0; i < channels_; ++i, c.dst += channel_size_, c.src += x_channel_) kernels.pack(c);
}

template <class T>
void PackedPlanes<T>::add_runs(int64_t c, int64_t tap, const Vector<int64_t>& order, int64_t most, Vector<TapRun>& runs) const {
  const int64_t first = c * channel_size_ + w_.segment[static_cast<size_t>(tap)] * segment_ + w_.shift[static_cast<size_t>(tap)];
  for (size_t i = 0; i < order.size();) {
    const auto entry = [&](size_t at) {
      const size_t t = static_cast<size_t>(order[at]);
      return h_.segment[t] * h_.width + h_.shift[t];
    };
    size_t n = 1;
    while (i + n < order.size() && h_.segment[static_cast<size_t>(order[i + n])] == h_.segment[static_cast<size_t>(order[i])] &&
           entry(i + n) == entry(i) + static_cast<int64_t>(n))
      ++n;
    const int64_t below = static_cast<int64_t>(n), parts = ceil_div(below, most);
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = p * below / parts, end = (p + 1) * below / parts;
      runs.push_back({static_cast<int32_t>(first + (entry(i) + begin) * row_), static_cast<int32_t>(end - begin)});
    }
    i += n;
  }
}

template class PackedPlanes<float>;
template class PackedPlanes<double>;

}  // namespace fastconv
