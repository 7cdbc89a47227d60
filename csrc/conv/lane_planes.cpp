#include "conv/lane_planes.hpp"

#include <algorithm>
#include <tuple>

#include "conv/pieces.hpp"

namespace fastconv {

LaneAxis forward_lane_axis(const ConvAxis& a) {
  LaneAxis axis;
  axis.outputs = a.out;
  axis.kernel = a.k;
  axis.map = forward_axis(a);
  axis.tap = all_taps(a.k);
  axis.residue.assign(axis.tap.size(), 0);
  return axis;
}

LaneAxis backward_lane_axis(const ConvAxis& a) {
  LaneAxis axis;
  axis.outputs = a.in;
  axis.kernel = a.k;
  axis.map.offset.clear();
  axis.map.in = a.out;
  const BackwardPieces pieces = backward_pieces(a);
  for (const Piece& piece : pieces.set) {
    axis.period = piece.step;
    axis.map.mode = piece.map.mode;
    axis.map.outputs = std::max(piece.begin ? axis.map.outputs : 0, piece.map.outputs);
    axis.map.offset.insert(axis.map.offset.end(), piece.map.offset.begin(), piece.map.offset.end());
    axis.tap.insert(axis.tap.end(), piece.taps.begin(), piece.taps.end());
    axis.residue.insert(axis.residue.end(), piece.taps.size(), piece.begin);
  }
  for (const Piece& piece : pieces.add)
    for (int64_t o = 0; o < piece.map.outputs; ++o)
      for (size_t t = 0; t < piece.taps.size(); ++t)
        piece.map.each_source(static_cast<int64_t>(t), o, [&](int64_t source) {
          axis.extras.push_back({piece.begin + o, piece.taps[t], source});
        });
  const auto key = [](const LaneAxis::Extra& e) { return std::make_tuple(e.output, e.tap, e.source); };
  std::sort(axis.extras.begin(), axis.extras.end(),
            [&](const LaneAxis::Extra& x, const LaneAxis::Extra& y) { return key(x) < key(y); });
  return axis;
}

LaneEntries::LaneEntries(const LaneAxis& axis, Range cut)
    : axis_(axis),
      cut_(cut),
      layout_(make_layout(axis.map, cut.begin / axis.period, (cut.end + axis.period - 1) / axis.period, false)),
      source_(layout_.source) {
  for (const LaneAxis::Extra& e : axis.extras)
    if (e.output >= cut.begin && e.output < cut.end &&
        std::find(source_.begin(), source_.end(), e.source) == source_.end())
      source_.push_back(e.source);
  order_ = all_taps(axis.map.taps());
  const auto key = [&](int64_t t) {
    return std::pair<int64_t, int64_t>(axis_.residue[static_cast<size_t>(t)], entry(static_cast<size_t>(t)));
  };
  std::sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return key(a) < key(b); });
  place_.assign(static_cast<size_t>(axis.kernel), -1);
  int64_t next = 0;
  for (int64_t t : order_) place_[static_cast<size_t>(axis.tap[static_cast<size_t>(t)])] = next++;
  for (int64_t& place : place_)
    if (place < 0) place = next++;  // padding alone uses it, or nothing
}

Vector<LaneEntries::Run> LaneEntries::runs(int64_t residue) const {
  Vector<Run> all;
  for (size_t i = 0; i < order_.size(); ++i) {
    const size_t t = static_cast<size_t>(order_[i]);
    if (axis_.residue[t] != residue) continue;
    if (!all.empty() && all.back().entry + all.back().taps == entry(t)) ++all.back().taps;
    else all.push_back({static_cast<int64_t>(i), entry(t), 1});
  }
  return all;
}

Vector<LaneEntries::Source> LaneEntries::sources(int64_t output) const {
  Vector<Source> kept;
  for (size_t t = 0; t < axis_.tap.size(); ++t)
    if (axis_.residue[t] == output % axis_.period && source_[static_cast<size_t>(entry(t) + number(output))] >= 0)
      kept.push_back({axis_.tap[t], entry(t)});
  for_each_extra(output, [&](const Source& s) { kept.push_back(s); });
  return kept;
}

Vector<int64_t> LaneEntries::extra_outputs() const {
  Vector<int64_t> all;
  for (const LaneAxis::Extra& e : axis_.extras)
    if (const int64_t at = e.output - cut_.begin; at >= 0 && at < cut_.size() && (all.empty() || all.back() != at))
      all.push_back(at);
  return all;
}

void add_stretches(const int64_t (&count)[3], const int64_t (&stride)[3], int64_t offset, int64_t first,
                   Vector<LaneStretch>& stretches) {
  int64_t n[3] = {1, 1, 1}, s[3] = {0, 0, 1};
  int at = 3;  // axes that are longer than one, joined where they can be: the innermost comes last
  for (int i = 2; i >= 0; --i) {
    if (count[i] == 1) continue;
    if (at < 3 && stride[i] == s[at] * n[at]) n[at] *= count[i];
    else --at, n[at] = count[i], s[at] = stride[i];
  }
  for (int64_t a = 0; a < n[0]; ++a)
    for (int64_t b = 0; b < n[1]; ++b, first += n[2])
      stretches.push_back(
          {offset + a * s[0] + b * s[1], s[2], static_cast<int32_t>(n[2]), static_cast<int32_t>(first)});
}

namespace {

// Entries that hold a source for the first time; for the others, those that do.
struct Firsts {
  Vector<int64_t> entry;   // of each source, -1 for none
  Vector<LaneCopy> again;  // runs of entries
  int64_t low, high;       // sources in use, half open
  explicit Firsts(const Vector<int64_t>& source) {
    low = INT64_MAX, high = 0;
    for (int64_t s : source)
      if (s >= 0) low = std::min(low, s), high = std::max(high, s + 1);
    low = std::min(low, high);
    entry.assign(static_cast<size_t>(high - low), -1);
    for (size_t e = 0; e < source.size(); ++e) {
      if (source[e] < 0) continue;
      int64_t& first = entry[static_cast<size_t>(source[e] - low)];
      if (first < 0) first = static_cast<int64_t>(e);
      else again.push_back({static_cast<int32_t>(e), static_cast<int32_t>(first), 1});
    }
  }
};

}  // namespace

LaneLayout::LaneLayout(const LaneEntries& h, const LaneEntries& w, int64_t channels, const int64_t x_stride[3],
                       bool empty_lines)
    : channels_(channels), row_(w.count()), channel_size_(h.count() * row_ + 1), x_channel_(x_stride[0]) {
  const Firsts lines(h.source()), columns(w.source());
  const int64_t width = columns.high - columns.low, nowhere = channel_size_ - 1;
  for (int64_t l = lines.low; l < lines.high;) {
    const auto entry = [&](int64_t at) { return lines.entry[static_cast<size_t>(at - lines.low)]; };
    if (entry(l) < 0) {
      ++l;
      continue;
    }
    int64_t end = l + 1;
    while (end < lines.high && entry(end) >= 0) ++end;
    add_stretches({1, end - l, width}, {0, x_stride[1], x_stride[2]}, l * x_stride[1] + columns.low * x_stride[2],
                  static_cast<int64_t>(place_.size()), stretches_);
    place_.resize(place_.size() + static_cast<size_t>((end - l) * width));
    for (int32_t* to = place_.data() + place_.size() - (end - l) * width; l < end; ++l)
      for (int64_t e : columns.entry) *to++ = static_cast<int32_t>(e < 0 ? nowhere : entry(l) * row_ + e);
  }
  for (int64_t l = lines.low; l < lines.high; ++l)
    if (const int64_t e = lines.entry[static_cast<size_t>(l - lines.low)]; e >= 0)
      for (const LaneCopy& c : columns.again)
        copies_.push_back({static_cast<int32_t>(e * row_ + c.dst), static_cast<int32_t>(e * row_ + c.src), 1});
  for (const LaneCopy& c : lines.again)
    copies_.push_back(
        {static_cast<int32_t>(c.dst * row_), static_cast<int32_t>(c.src * row_), static_cast<int32_t>(row_)});
  const auto zero = [&](int64_t from, int64_t n) {
    if (n > 0) zeros_.push_back({static_cast<int32_t>(from), 0, static_cast<int32_t>(n)});
  };
  Vector<int64_t> empty;  // columns
  for (int64_t i = 0; i < row_; ++i)
    if (w.source()[static_cast<size_t>(i)] < 0) empty.push_back(i);
  for (int64_t e = 0; e < h.count(); ++e) {
    if (h.source()[static_cast<size_t>(e)] < 0) zero(e * row_, empty_lines ? row_ : 0);
    else
      for (int64_t i : empty) zero(e * row_ + i, 1);
  }
}

template <class T>
void LanePlanes<T>::clear(T* dst) const {
  const int64_t lanes = depthwise_kernels<T>().lanes;
  for (int64_t c = 0; c < channels_; ++c, dst += channel_size_ * lanes)
    for (const LaneCopy& z : zeros_) std::fill_n(dst + z.dst * lanes, z.count * lanes, T(0));
}

template <class T>
void LanePlanes<T>::pack(const T* const* planes, int64_t count, T* dst) const {
  const int64_t lanes = depthwise_kernels<T>().lanes;
  const T* from[64];
  LanePack<T> p{planes,
                count,
                stretches_.data(),
                static_cast<int64_t>(stretches_.size()),
                place_.data(),
                copies_.data(),
                static_cast<int64_t>(copies_.size()),
                dst};
  for (int64_t c = 0; c < channels_; ++c, p.dst += channel_size_ * lanes) {
    if (c > 0) {
      for (int64_t l = 0; l < lanes; ++l) from[l] = planes[l] + c * x_channel_;
      p.planes = from;
    }
    lane_kernels<T>().pack(p);
  }
}

template class LanePlanes<float>;
template class LanePlanes<double>;

}  // namespace fastconv
