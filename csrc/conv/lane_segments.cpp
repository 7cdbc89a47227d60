#include "conv/lane_segments.hpp"

#include <algorithm>
#include <utility>

#include "base/checked.hpp"

namespace fastconv {

LaneSegments::LaneSegments(const LaneEntries& h, const LaneEntries& w, int64_t channels, Image image, int64_t rows,
                           int64_t most)
    : h_(h), w_(w), channels_(channels), image_(image), extra_columns_(w.extra_outputs()) {
  for (int64_t begin = 0; begin < h.outputs(); begin += rows) {
    const int64_t end = std::min(h.outputs(), begin + rows);
    first_.push_back(static_cast<int64_t>(segments_.size()));
    for (int64_t r = begin; r < end; ++r) add_row(r, most);
    for (int64_t r = begin; r < end && !extra_columns_.empty(); ++r) add_extras(r);  // to what is there
  }
  first_.push_back(static_cast<int64_t>(segments_.size()));
}

const LaneSegments::Sums& LaneSegments::sums_of(int64_t row) {
  auto h = h_.sources(row);
  const auto alike = std::find_if(sums_.begin(), sums_.end(), [&](const Sums& s) { return s.h == h; });
  if (alike != sums_.end()) return *alike;
  Sums sums;
  for (int64_t q = 0; q < w_.period(); ++q) sums.residues.push_back(list_runs(h, w_.runs(q)));
  for (int64_t column : extra_columns_) {
    Vector<LaneEntries::Run> extra;
    w_.for_each_extra(column, [&](const LaneEntries::Source& e) { extra.push_back({w_.place(e.tap), e.entry, 1}); });
    sums.extras.push_back(list_runs(h, extra));
  }
  sums.h = std::move(h);
  sums_.push_back(std::move(sums));
  return sums_.back();
}

// The runs of rows that sum `h`, for columns that sum `w`.
Range LaneSegments::list_runs(const Vector<LaneEntries::Source>& h, const Vector<LaneEntries::Run>& w) {
  const int64_t first = static_cast<int64_t>(runs_.size()), kernel_w = w_.kernel(),
                kernel_size = h_.kernel() * kernel_w;
  for (int64_t c = 0; c < channels_; ++c)
    for (const LaneEntries::Source& u : h)
      for (const LaneEntries::Run& v : w)
        runs_.push_back({static_cast<int32_t>(c * image_.size + u.entry * image_.row + v.entry),
                         static_cast<int32_t>(c * kernel_size + u.tap * kernel_w + v.place),
                         static_cast<int32_t>(v.taps)});
  return {first, static_cast<int64_t>(runs_.size())};
}

void LaneSegments::add_row(int64_t row, int64_t most) {
  const Sums& sums = sums_of(row);
  const int64_t period = w_.period(), width = w_.outputs();
  for (int64_t q = 0; q < std::min(period, width); ++q) {
    const int64_t n = ceil_div(width - q, period), part = lane_outputs(n, most);
    for (int64_t i = 0; i < n; i += part) {
      const int64_t begin = std::min(i, n - part);
      add(row, begin, q + begin * period, part, sums.residues[static_cast<size_t>(q)], false);
    }
  }
}
void LaneSegments::add_extras(int64_t row) {
  const Sums& sums = sums_of(row);
  for (size_t i = 0; i < extra_columns_.size(); ++i)
    add(row, w_.number(extra_columns_[i]), extra_columns_[i], 1, sums.extras[i], true);
}

void LaneSegments::add(int64_t row, int64_t number, int64_t column, int64_t outputs, Range runs, bool adds) {
  segments_.push_back({static_cast<int32_t>(h_.number(row) * image_.row + number),
                       static_cast<int32_t>(row * w_.outputs() + column), static_cast<int32_t>(w_.period()),
                       static_cast<int32_t>(runs.begin), static_cast<int32_t>(runs.size()),
                       static_cast<int16_t>(outputs), adds});
}

}  // namespace fastconv
