#include "conv/depthwise/lane_planes.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/checked.hpp"
#include "conv/pieces/backward.hpp"

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
      source_(std::move(layout_.source)) {
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

void LaneEntries::list_sources(int64_t output, Vector<Source>& sources) const {
  sources.clear();
  const int64_t n = number(output), residue = output - n * period();
  for (size_t t = 0; t < axis_.tap.size(); ++t)
    if (const int64_t e = entry(t); axis_.residue[t] == residue && source_[static_cast<size_t>(e + n)] >= 0)
      sources.push_back({axis_.tap[t], e});
  for_each_extra(output, [&](const Source& s) { sources.push_back(s); });
}

Vector<int64_t> LaneEntries::extra_outputs() const {
  Vector<int64_t> all;
  for (const LaneAxis::Extra& e : axis_.extras)
    if (const int64_t at = e.output - cut_.begin; at >= 0 && at < cut_.size() && (all.empty() || all.back() != at))
      all.push_back(at);
  return all;
}

void add_stretches(const int64_t (&count)[4], const int64_t (&stride)[4], int64_t offset, int64_t first,
                   Vector<LaneStretch>& stretches) {
  int64_t n[4] = {1, 1, 1, 1}, s[4] = {0, 0, 0, 1};
  int at = 4;  // axes that are longer than one, joined where they can be: the innermost comes last
  for (int i = 3; i >= 0; --i) {
    if (count[i] == 1) continue;
    if (at < 4 && stride[i] == s[at] * n[at]) n[at] *= count[i];
    else --at, n[at] = count[i], s[at] = stride[i];
  }
  for (int64_t outer = 0; outer < n[0] * n[1] * n[2]; ++outer, first += n[3])
    stretches.push_back({offset + outer / n[2] / n[1] * s[0] + outer / n[2] % n[1] * s[1] + outer % n[2] * s[2], s[3],
                         static_cast<int32_t>(n[3]), static_cast<int32_t>(first)});
}

namespace {

// Entries that hold a source for the first time; for the others, those that do.
struct Firsts {
  Vector<int32_t> entry;   // of the sources from `low` on, -1 for none
  Vector<LaneCopy> again;  // runs of entries
  int64_t low = 0, count = 0;
  explicit Firsts(const Vector<int64_t>& source) {
    int64_t least = INT64_MAX, end = 0;
    for (int64_t s : source)
      if (s >= 0) least = std::min(least, s), end = std::max(end, s + 1), ++count;
    low = std::min(least, end);
    entry.assign(static_cast<size_t>(end - low), -1);
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] < 0) continue;
      int32_t& first = entry[static_cast<size_t>(source[i] - low)];
      if (first < 0) first = static_cast<int32_t>(i);
      else again.push_back({static_cast<int32_t>(i), first, 1});
    }
    count -= static_cast<int64_t>(again.size());
  }
  // f(source, entry)
  template <class F>
  void for_each(F f) const {
    for (size_t i = 0; i < entry.size(); ++i)
      if (entry[i] >= 0) f(low + static_cast<int64_t>(i), entry[i]);
  }
};

// The sources of a line from `low` on: as far apart as others that are read, or all from the first to the last.
Vector<LaneStretch> stretches_of(const Firsts& w, bool all) {
  Vector<LaneStretch> line;
  const int32_t n = static_cast<int32_t>(w.entry.size());
  if (all) line.push_back({0, 1, n, 0});
  for (int32_t i = 0; i < n && !all; ++i) {
    if (w.entry[static_cast<size_t>(i)] < 0) continue;
    LaneStretch* const last = line.empty() ? nullptr : &line.back();
    if (last && last->count == 1) last->step = i - last->offset;
    if (last && i == last->offset + last->count * last->step) ++last->count;
    else line.push_back({i, 1, 1, 0});
  }
  return line;
}

}  // namespace

LaneLayout::LaneLayout(const LaneBox& box, int64_t channels, const int64_t* x_stride, bool empty_lines, int64_t lanes)
    : channels_(channels),
      row_(box.w.count()),
      slice_(box.h.count() * row_),
      channel_size_(box.d.count() * slice_ + 1),
      x_channel_(x_stride[0]) {
  const Firsts d(box.d.source()), h(box.h.source()), w(box.w.source());
  const auto for_each_line = [&](auto f) {
    d.for_each([&](int64_t s, int64_t slice) {
      h.for_each([&](int64_t l, int64_t row) {
        f(s * x_stride[1] + l * x_stride[2] + w.low * x_stride[3], slice * slice_ + row * row_);
      });
    });
  };
  // Elements are transposed, `lanes` at a time, with those between them; lines join where that takes no transpose more.
  // Or they are moved one by one: few of many, or those of neighbouring channels.
  const auto list = [&](bool transposed) {
    const Vector<LaneStretch> line = stretches_of(w, transposed);
    stretches_.clear();
    place_.resize(static_cast<size_t>(d.count * h.count) * w.entry.size());  // but for gaps
    int32_t* to = place_.data();
    const int32_t nowhere = static_cast<int32_t>(channel_size_ - 1);
    for_each_line([&](int64_t offset, int64_t row) {
      for (const LaneStretch& s : line) {
        LaneStretch* last = stretches_.empty() ? nullptr : &stretches_.back();
        const int64_t at = offset + s.offset * x_stride[3];
        if (last && !transposed && s.count == 1 && last->count == 1) last->step = at - last->offset;
        int64_t gap = last ? at - last->offset - last->count * last->step : -1;
        const auto another = [&] { return !transposed || gap >= round_up(last->count, lanes) - last->count; };
        if (gap < 0 || !(transposed || s.count == 1) || (gap > 0 && another())) {
          stretches_.push_back(
              {at, transposed ? 1 : s.step * x_stride[3], 0, static_cast<int32_t>(to - place_.data())});
          last = &stretches_.back();
          gap = 0;
        }
        last->count += static_cast<int32_t>(gap) + s.count;
        if (gap > 0) {
          const int64_t before = to - place_.data();
          place_.resize(place_.size() + static_cast<size_t>(gap));
          to = std::fill_n(place_.data() + before, gap, nowhere);
        }
        const int32_t *entry = w.entry.data() + s.offset, first = static_cast<int32_t>(row);
        for (int32_t* const end = to + s.count; to < end; entry += s.step)
          *to++ = *entry < 0 ? nowhere : first + *entry;
      }
    });
    int64_t moved = 0;
    for (const LaneStretch& s : stretches_) moved += round_up(s.count, lanes);
    return moved;
  };
  constexpr int64_t kOneByOne = 3;  // takes as long as so many elements of a transpose
  if (x_stride[3] != 1 || x_stride[0] == 1 || list(true) > kOneByOne * d.count * h.count * w.count) list(false);
  const auto copy = [&](const LaneCopy& c, int64_t first, int64_t size) {
    copies_.push_back({static_cast<int32_t>(first + c.dst * size), static_cast<int32_t>(first + c.src * size),
                       static_cast<int32_t>(size)});
  };
  for_each_line([&](int64_t, int64_t row) {
    for (const LaneCopy& c : w.again) copy(c, row, 1);
  });
  d.for_each([&](int64_t, int64_t slice) {
    for (const LaneCopy& c : h.again) copy(c, slice * slice_, row_);
  });
  for (const LaneCopy& c : d.again) copy(c, 0, slice_);

  const auto zero = [&](int64_t from, int64_t n) {
    zeros_.push_back({static_cast<int32_t>(from), 0, static_cast<int32_t>(n)});
  };
  Vector<Range> empty;  // columns
  for (int64_t i = 0; i < row_; ++i) {
    if (box.w.source()[static_cast<size_t>(i)] >= 0) continue;
    if (empty.empty() || empty.back().end < i) empty.push_back({i, i});
    ++empty.back().end;
  }
  for (int64_t s = 0, row = 0; s < box.d.count(); ++s)
    for (int64_t l = 0; l < box.h.count(); ++l, row += row_) {
      if (box.d.source()[static_cast<size_t>(s)] >= 0 && box.h.source()[static_cast<size_t>(l)] >= 0)
        for (const Range& i : empty) zero(row + i.begin, i.size());
      else if (empty_lines) zero(row, row_);
    }
}

template <class T>
void LaneLayout::clear(T* dst) const {
  const int64_t lanes = depthwise_kernels<T>().lanes;
  for (int64_t c = 0; c < channels_; ++c, dst += channel_size_ * lanes)
    for (const LaneCopy& z : zeros_) std::fill_n(dst + z.dst * lanes, z.count * lanes, T(0));
}

template <class T>
void LaneLayout::pack(const T* const* planes, int64_t count, T* dst) const {
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

#define FASTCONV_INSTANTIATE(T)              \
  template void LaneLayout::clear(T*) const; \
  template void LaneLayout::pack(const T* const*, int64_t, T*) const;
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
