#include "conv/depthwise/planes.hpp"

#include <algorithm>
#include <numeric>

#include "base/checked.hpp"
#include "conv/index_map.hpp"
#include "kernels/depthwise/lanes.hpp"

namespace fastconv {
int64_t packed_row_size(const AxisMap& w, int64_t outputs, int64_t lanes) {
  const LayoutSize size = layout_size(w, outputs, false);
  return size.segments * round_up(round_up(outputs, lanes) + size.width - outputs,
                                  lanes);  // room for whole vectors behind the last column
}

AxisMap unstrided(const AxisMap& a) {
  AxisMap map = a;
  map.stride = 1;
  map.outputs = (a.outputs - 1) * a.stride + 1;
  return map;
}

AxisMap identity_axis(int64_t n) {
  AxisMap map;
  map.outputs = map.in = n;
  return map;
}

template <class T>
bool read_in_place(const AxisMap& w, int64_t step) {
  if (!depthwise_kernels<T>().reads_parts || step != 1 || w.stride != 1 || w.taps() == 0) return false;
  const auto [low, high] = std::minmax_element(w.offset.begin(), w.offset.end());
  return w.mode == Mode::zeros || (*low >= 0 && *high + w.outputs <= w.in);
}

// By insertion: most axes are in order already, from one end or the other.
Vector<int64_t> tap_order(const Vector<int64_t>& offset, int64_t stride) {
  Vector<int64_t> order(offset.size());
  const auto before = [&](int64_t a, int64_t b) {
    const int64_t at_a = offset[static_cast<size_t>(a)], at_b = offset[static_cast<size_t>(b)];
    const int64_t ra = floor_mod(at_a, stride), rb = floor_mod(at_b, stride);
    return ra != rb ? ra < rb : at_a < at_b;
  };
  const bool descends = !offset.empty() && offset.front() > offset.back();
  for (size_t n = 0; n < order.size(); ++n) {
    const int64_t tap = static_cast<int64_t>(descends ? order.size() - 1 - n : n);
    size_t i = n;
    for (; i > 0 && before(tap, order[i - 1]); --i) order[i] = order[i - 1];
    order[i] = tap;
  }
  return order;
}

template <class T>
PlaneLines<T>::PlaneLines(const AxisMap& h, Range rows, const AxisMap& w, Range columns, int64_t channels,
                          int64_t planes, const int64_t x_stride[3], bool in_place, const AxisMap* depth,
                          int64_t x_slice)
    : h_(make_layout(h, rows.begin, rows.end, false)),
      apart_(apart(h_)),
      w_map_(w),
      cut_(columns),
      in_place_(in_place),
      channels_(channels),
      planes_(planes),
      columns_(ceil_div(columns.size(), kernels_.lanes)),
      segment_(0),
      row_(round_up(w.in, kernels_.lanes)),
      channel_size_(0),
      x_channel_(x_stride[0]),
      x_row_(x_stride[1]),
      depth_(depth),
      x_slice_(x_slice) {
  if (in_place) return;
  w_ = make_layout(w, columns.begin, columns.end, false);
  row_ = packed_row_size(w, columns.size(), kernels_.lanes);
  segment_ = row_ / w_.segments;
  channel_size_ = h_.entries() * row_;
  runs_ = entry_runs(w_, segment_, x_stride[2]);
  for (int64_t e = 0; e < h_.entries(); ++e)
    if (const int64_t from = h_.source[static_cast<size_t>(e)]; from >= 0)
      lines_.push_back({static_cast<int32_t>(e * row_), from * x_row_});
}

template <class T>
int64_t PlaneLines<T>::apart(const AxisLayout& h) {
  int64_t n = 0;
  for (int32_t shift : h.shift) n = std::gcd<int64_t>(n, shift);
  return h.segments == 1 && n > 0 ? n : 1;
}

template <class T>
void PlaneLines<T>::clear(T* memory) const {
  if (in_place_) std::fill_n(memory, row_, T(0));
  for (int64_t c = 0; !in_place_ && c < planes_ * channels_; ++c, memory += channel_size_) {
    for (int64_t e = 0; e < h_.entries(); ++e)
      if (h_.source[static_cast<size_t>(e)] < 0) std::fill_n(memory + e * row_, row_, T(0));
    for (const PackLine& line : lines_) {
      int64_t done = 0;
      for (const PackRun& run : runs_) {
        std::fill(memory + line.dst + done, memory + line.dst + run.dst, T(0));
        done = run.dst + run.length;
      }
      std::fill(memory + line.dst + done, memory + line.dst + row_, T(0));
    }
  }
}

template <class T>
const T* PlaneLines<T>::channel(const T* x, int64_t c, int64_t slice) const {
  if (!depth_) return x + c * x_channel_;
  const int64_t taps = depth_->taps(), q = slice * depth_->stride + depth_->offset[static_cast<size_t>(c % taps)],
                at = map_coordinate(depth_->mode, q, depth_->in);
  return at < 0 ? nullptr : x + c / taps * x_channel_ + at * x_slice_;
}

template <class T>
void PlaneLines<T>::pack(const T* x, int64_t plane, T* memory, int64_t slice) {
  if (in_place_) return;
  PackChannel<T> c{nullptr,       nullptr,
                   lines_.data(), static_cast<int64_t>(lines_.size()),
                   runs_.data(),  static_cast<int64_t>(runs_.size()),
                   x_channel_};
  const auto pack_channels = [&](T* to, const T* from, int64_t step) {
    for (c.dst = to, c.src = from; c.dst < to + channels_ * channel_size_; c.dst += step * channel_size_) {
      if (from) conv_kernels<T>().pack(c), c.src += x_channel_;
      else std::fill_n(c.dst, channel_size_, T(0));
    }
  };
  if (!depth_) return pack_channels(memory + plane * channels_ * channel_size_, x, 1);
  const int64_t taps = depth_->taps();
  if (slots_.empty()) slots_.assign(static_cast<size_t>(taps), memory);
  const auto is_read = [&](const T* from) {
    for (int64_t t = 0; t < taps; ++t)
      if (channel(x, t, slice) == from) return true;
    return false;
  };
  for (int64_t t = 0; t < taps; ++t) {
    const T* const from = channel(x, t, slice);
    if (slot_of(from) < taps) continue;
    const auto free = std::find_if_not(slots_.begin(), slots_.end(), is_read);
    *free = from;
    pack_channels(memory + (free - slots_.begin()) * channel_size_, from, taps);
  }
}

template <class T>
void PlaneLines<T>::pack_neighbours(const T* x, int64_t count, T* memory) const {
  T* planes[kMostLanes];
  for (int64_t k = 0; k < count; ++k) planes[k] = memory + k * channel_size_;
  for (const PackLine& line : lines_)
    for (const PackRun& run : runs_) {
      const LaneStretch values{line.dst + run.dst, 1, run.length, 0};
      lane_kernels<T>().unpack({planes, count, &values, 1, x + line.src + run.src, run.step});
    }
}

template <class T>
ImageLines<T> PlaneLines<T>::lines(const T* x, int64_t plane, const T* memory, Vector<const T*>& table,
                                   int64_t slice) const {
  const int64_t entries = h_.entries();
  table.resize(static_cast<size_t>(channels_ * entries));
  const T** to = table.data();
  if (!in_place_) memory += plane * channels_ * channel_size_;
  for (int64_t c = 0; c < channels_; ++c) {
    const int64_t t = depth_ ? c % depth_->taps() : 0;
    const T* const from = in_place_ ? channel(x, c, slice)
                                    : memory + (depth_ ? c - t + slot_of(channel(x, t, slice)) : c) * channel_size_;
    for (int64_t q = 0; q < apart_; ++q)
      for (int64_t e = q; e < entries; e += apart_) {
        const int64_t line = in_place_ ? h_.source[static_cast<size_t>(e)] : e;
        *to++ = line < 0 || !from ? memory : from + line * (in_place_ ? x_row_ : row_);
      }
  }
  if (!in_place_) return {table.data(), row_, 0, row_ / kernels_.lanes - 1};
  const auto [low, high] = std::minmax_element(w_map_.offset.begin(), w_map_.offset.end());
  const int64_t first = *low + cut_.begin, lanes = kernels_.lanes;
  return {table.data(), w_map_.in, first < 0 ? ceil_div(-first, lanes) : 0,
          std::max<int64_t>(0, w_map_.in - *high - cut_.begin) / lanes};
}

template <class T>
void PlaneLines<T>::add_runs(int64_t c, int64_t tap, const Vector<int64_t>& order, Vector<TapRun>& runs) const {
  const size_t tap_at = static_cast<size_t>(tap);
  const int64_t x = in_place_ ? w_map_.offset[tap_at] + cut_.begin : w_.segment[tap_at] * segment_ + w_.shift[tap_at];
  for (size_t i = 0; i < order.size();) {
    const auto entry = [&](size_t at) {
      const size_t t = static_cast<size_t>(order[at]);
      return h_.segment[t] * h_.width + h_.shift[t] / apart_;
    };
    size_t n = 1;
    while (i + n < order.size() &&
           h_.segment[static_cast<size_t>(order[i + n])] == h_.segment[static_cast<size_t>(order[i])] &&
           entry(i + n) == entry(i) + static_cast<int64_t>(n))
      ++n;
    const int64_t below = static_cast<int64_t>(n), parts = ceil_div(below, kernels_.run_taps);
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = p * below / parts, end = (p + 1) * below / parts;
      runs.push_back({static_cast<int32_t>(c * h_.entries() + entry(i) + begin), static_cast<int32_t>(x),
                      static_cast<int32_t>(end - begin)});
    }
    i += n;
  }
}

template class PlaneLines<float>;
template class PlaneLines<double>;
template bool read_in_place<float>(const AxisMap&, int64_t);
template bool read_in_place<double>(const AxisMap&, int64_t);

}  // namespace fastconv
