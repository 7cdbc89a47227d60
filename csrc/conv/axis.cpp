#include "conv/axis.hpp"

#include <algorithm>
#include <numeric>

#include "base/checked.hpp"
#include "conv/index_map.hpp"

namespace fastconv {

AxisMap forward_axis(const ConvAxis& axis) {
  AxisMap map{axis.out, axis.in, axis.stride, axis.mode, Vector<int64_t>(static_cast<size_t>(axis.k)), {}, {}};
  for (int64_t t = 0; t < axis.k; ++t) map.offset[static_cast<size_t>(t)] = t * axis.dilation - axis.pad_before;
  return map;
}

Range live_taps(const AxisMap& map, int64_t begin, int64_t end) {
  Range live{0, map.taps()};
  if (map.mode != Mode::zeros || map.tabulated()) return live;
  // Offsets go up or down.
  const auto meets = [&](int64_t t) {
    const int64_t offset = map.offset[static_cast<size_t>(t)];
    return (end - 1) * map.stride + offset >= 0 && begin * map.stride + offset < map.in;
  };
  while (live.begin < live.end && !meets(live.begin)) ++live.begin;
  while (live.begin < live.end && !meets(live.end - 1)) --live.end;
  return live;
}

bool evenly_apart(const AxisMap& map) {
  const int64_t n = map.taps(), *offset = map.offset.data(), step = n > 1 ? offset[1] - offset[0] : 1;
  bool even = step != 0;
  for (int64_t t = 1; t < n; ++t) even &= offset[t] - offset[t - 1] == step;
  return even;
}

namespace {

struct SharedShape {
  int64_t low, segments, reach;  // smallest offset, residues in use, largest shift
};

SharedShape shape_of(const AxisMap& map) {
  auto [lo, hi] = std::minmax_element(map.offset.begin(), map.offset.end());
  SharedShape s{*lo, 0, (*hi - *lo) / map.stride};
  if (map.stride <= 64) {
    uint64_t residues = 0;
    for (int64_t off : map.offset) residues |= uint64_t{1} << ((off - s.low) % map.stride);
    s.segments = __builtin_popcountll(residues);
    return s;
  }
  if (map.taps() > 1 && evenly_apart(map)) {  // residues take turns
    s.segments = std::min(map.taps(), map.stride / std::gcd(map.offset[1] - map.offset[0], map.stride));
    return s;
  }
  Vector<int64_t> residues;
  for (int64_t off : map.offset) residues.push_back((off - s.low) % map.stride);
  std::sort(residues.begin(), residues.end());
  s.segments = std::unique(residues.begin(), residues.end()) - residues.begin();
  return s;
}

// Of no segments where the layout is none, or an expanded one is smaller.
SharedShape shared_shape(const AxisMap& map, int64_t outputs, bool expand) {
  if (map.offset.empty() || map.tabulated() || expand) return {};
  const SharedShape s = shape_of(map);
  return s.segments * (outputs + s.reach) < map.taps() * outputs || map.taps() == 1 ? s : SharedShape{};
}

// The sources first, first + stride, ... of n entries; returns those within the input, which are found without a look
// at each.
Range fill_sources(const AxisMap& map, int64_t first, int64_t n, int64_t* source) {
  const int64_t begin = std::clamp<int64_t>(ceil_div(-std::min<int64_t>(first, 0), map.stride), 0, n);
  const int64_t end = std::clamp<int64_t>(ceil_div(std::max<int64_t>(map.in - first, 0), map.stride), begin, n);
  for (int64_t i = 0; i < begin; ++i) source[i] = map_coordinate(map.mode, first + i * map.stride, map.in);
  const int64_t step = map.stride;  // in a register: what is stored cannot change it
  int64_t at = first + begin * step;
  for (int64_t* s = source + begin; s != source + end; ++s, at += step) *s = at;
  for (int64_t i = end; i < n; ++i) source[i] = map_coordinate(map.mode, first + i * map.stride, map.in);
  return {begin, end};
}

// Segment and shift of each tap in a shared layout; returns the smallest offset that each segment stands for.
Vector<int64_t> share_segments(const AxisMap& map, const SharedShape& shared, AxisLayout& l) {
  const bool even = evenly_apart(map);
  Vector<int64_t> first;  // in order of first use
  for (int64_t t = 0; t < map.taps(); ++t) {
    const int64_t u = map.offset[static_cast<size_t>(t)] - shared.low, own = shared.low + u % map.stride;
    auto at = even && t >= l.segments ? first.begin() + t % l.segments : std::find(first.begin(), first.end(), own);
    if (at == first.end()) at = first.insert(at, own);
    l.segment[static_cast<size_t>(t)] = static_cast<int32_t>(at - first.begin());
    l.shift[static_cast<size_t>(t)] = static_cast<int32_t>(u / map.stride);
  }
  return first;
}

void fill_from_table(const AxisMap& map, int64_t begin, AxisLayout& l) {
  for (int64_t t = 0; t < l.segments; ++t) {
    l.inner.push_back({0, 0});
    for (int64_t i = 0; i < l.width; ++i) {
      const int64_t entry = t * l.width + i;
      int64_t& first = l.source[static_cast<size_t>(entry)];
      first = -1;
      map.each_source(t, begin + i, [&](int64_t at) {
        if (first < 0) first = at;
        else l.extras.push_back({entry, at});
      });
    }
  }
}

}  // namespace

LayoutSize layout_size(const AxisMap& map, int64_t outputs, bool expand) {
  const SharedShape s = shared_shape(map, outputs, expand);
  return s.segments ? LayoutSize{s.segments, outputs + s.reach} : LayoutSize{map.taps(), outputs};
}

AxisLayout make_layout(const AxisMap& map, int64_t begin, int64_t end, bool expand) {
  AxisLayout l;
  const SharedShape shared = shared_shape(map, end - begin, expand);
  l.outputs = end - begin;
  l.segments = shared.segments ? shared.segments : map.taps();
  l.width = l.outputs + shared.reach;
  l.step = map.stride;
  l.segment.resize(map.offset.size());
  l.shift.resize(map.offset.size());
  l.source.resize(static_cast<size_t>(l.entries()));
  l.inner.reserve(static_cast<size_t>(l.segments));
  Vector<int64_t> own;
  if (shared.segments) own = share_segments(map, shared, l);
  else std::iota(l.segment.begin(), l.segment.end(), 0);
  if (map.tabulated()) {
    fill_from_table(map, begin, l);
    return l;
  }
  int64_t* source = l.source.data();
  for (int64_t first : shared.segments ? own : map.offset) {
    l.inner.push_back(fill_sources(map, begin * map.stride + first, l.width, source));
    source += l.width;
  }
  return l;
}

Vector<PackRun> entry_runs(const AxisLayout& layout, int64_t segment_stride, int64_t source_stride) {
  Vector<PackRun> runs;
  runs.reserve(static_cast<size_t>(layout.segments));
  for (int64_t s = 0; s < layout.segments; ++s) {
    const int64_t* source = layout.source.data() + s * layout.width;
    const Range inner = layout.inner[static_cast<size_t>(s)];
    for (int64_t i = 0; i < layout.width;) {
      if (source[i] < 0) {
        ++i;
        continue;
      }
      int64_t n = 1, step = 1;
      if (i + 1 < layout.width && source[i + 1] >= 0) {
        step = source[i + 1] - source[i];
        do {
          ++n;
          if (step == layout.step && i + n > inner.begin) n = std::max(n, inner.end - i);
        } while (i + n < layout.width && source[i + n] >= 0 && source[i + n] - source[i + n - 1] == step);
      }
      runs.push_back({static_cast<int32_t>(s * segment_stride + i), static_cast<int32_t>(n), source[i] * source_stride,
                      n == 1 ? 1 : step * source_stride});
      i += n;
    }
  }
  return runs;
}

Vector<PackRun> extra_runs(const AxisLayout& layout, int64_t segment_stride, int64_t source_stride) {
  Vector<PackRun> runs;
  for (const auto& e : layout.extras)
    runs.push_back({static_cast<int32_t>(e.entry / layout.width * segment_stride + e.entry % layout.width), 1,
                    e.source * source_stride, 1});
  return runs;
}

}  // namespace fastconv
