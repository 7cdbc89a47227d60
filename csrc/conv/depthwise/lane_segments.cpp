#include "conv/depthwise/lane_segments.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {

LaneSegments::Alike::Alike(const LaneEntries& axis) : of(static_cast<size_t>(axis.outputs())) {
  Sources sources;
  for (size_t& kind : of) {
    axis.list_sources(&kind - of.data(), sources);
    const auto alike = std::find(kinds.rbegin(), kinds.rend(), sources);
    kind = static_cast<size_t>(kinds.rend() - alike) - 1;
    if (alike != kinds.rend()) continue;
    kind = kinds.size();
    kinds.push_back(sources);
  }
}

LaneSegments::LaneSegments(const LaneBox& box, const LaneLayout& x, int64_t rows, int64_t most)
    : d_(box.d), h_(box.h), w_(box.w), x_(x), extra_columns_(w_.extra_outputs()) {
  const int64_t height = h_.outputs(), all = d_.outputs() * height, columns = ceil_div(w_.outputs(), w_.period());
  const Alike d(d_), h(h_);
  list_sums(d, h);
  of_row_.reserve(static_cast<size_t>(all));
  segments_.reserve(static_cast<size_t>(all * lists() * ceil_div(columns, lane_outputs(columns, most))));
  for (int64_t s = 0; s < d_.outputs(); ++s)
    for (int64_t r = 0; r < height; ++r)
      of_row_.push_back({(d.of[static_cast<size_t>(s)] * h.kinds.size() + h.of[static_cast<size_t>(r)]) *
                             static_cast<size_t>(lists()),
                         d_.number(s) * x_.slice() + h_.number(r) * x_.row()});
  for (int64_t begin = 0, end; begin < all; begin = end) {
    end = std::min(rows < height ? round_up(begin + 1, height) : all,
                   begin + (rows < height ? rows : rows - rows % height));
    parts_.push_back({begin, segments_.size()});
    // Of a volume some columns of all rows, whose inputs stay in the L1 cache from row to row, then the next.
    const int64_t together = d_.kernel() > 1 ? end - begin : 1;
    for (int64_t r = begin; r < end; r += together) add_rows({r, r + together}, most);
    for (int64_t r = begin; r < end; ++r)
      for (int64_t list = w_.period(); list < lists(); ++list) {
        const int64_t column = extra_columns_[static_cast<size_t>(list - w_.period())];
        add(r, w_.number(column), column, 1, list);
      }
  }
  parts_.push_back({all, segments_.size()});
}

void LaneSegments::list_sums(const Alike& d, const Alike& h) {
  Vector<Vector<LaneEntries::Run>> w(static_cast<size_t>(lists()));
  for (int64_t q = 0; q < w_.period(); ++q) w[static_cast<size_t>(q)] = w_.runs(q);
  for (size_t i = 0; i < extra_columns_.size(); ++i)
    w_.for_each_extra(extra_columns_[i], [&](const LaneEntries::Source& e) {
      w[static_cast<size_t>(w_.period()) + i].push_back({w_.place(e.tap), e.entry, 1});
    });
  for (const Sources& s : d.kinds)
    for (const Sources& u : h.kinds)
      for (const auto& v : w) sums_.push_back(list_runs(s, u, v));
}

// The runs of such rows, for columns that sum `w`.
Range LaneSegments::list_runs(const Sources& d, const Sources& h, const Vector<LaneEntries::Run>& w) {
  const int64_t first = static_cast<int64_t>(runs_.size());
  for (int64_t c = 0; c < x_.channels(); ++c)
    for (const LaneEntries::Source& s : d)
      for (const LaneEntries::Source& u : h)
        for (const LaneEntries::Run& v : w)
          runs_.push_back(
              {static_cast<int32_t>(c * x_.channel_size() + s.entry * x_.slice() + u.entry * x_.row() + v.entry),
               static_cast<int32_t>(((c * d_.kernel() + s.tap) * h_.kernel() + u.tap) * w_.kernel() + v.place),
               static_cast<int32_t>(v.taps)});
  return {first, static_cast<int64_t>(runs_.size())};
}

void LaneSegments::add_rows(Range rows, int64_t most) {
  const int64_t period = w_.period(), width = w_.outputs();
  for (int64_t q = 0; q < std::min(period, width); ++q) {
    const int64_t n = ceil_div(width - q, period), part = lane_outputs(n, most);
    for (int64_t i = 0; i < n; i += part) {
      const int64_t begin = std::min(i, n - part);
      for (int64_t r = rows.begin; r < rows.end; ++r) add(r, begin, q + begin * period, part, q);
    }
  }
}

void LaneSegments::add(int64_t row, int64_t number, int64_t column, int64_t outputs, int64_t list) {
  const Row& of = of_row_[static_cast<size_t>(row)];
  const Range runs = sums_[of.sums + static_cast<size_t>(list)];
  segments_.push_back({static_cast<int32_t>(of.x + number), static_cast<int32_t>(row * w_.outputs() + column),
                       static_cast<int32_t>(w_.period()), static_cast<int32_t>(runs.begin),
                       static_cast<int32_t>(runs.size()), static_cast<int16_t>(outputs), list >= w_.period()});
}

}  // namespace fastconv
