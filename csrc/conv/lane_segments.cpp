#include "conv/lane_segments.hpp"

#include <algorithm>
#include <utility>

#include "base/checked.hpp"

namespace fastconv {

LaneSegments::Alike::Alike(const LaneEntries& axis) : of(static_cast<size_t>(axis.outputs())) {
  for (int64_t o = 0; o < axis.outputs(); ++o) {
    Sources sources = axis.sources(o);
    const auto alike = std::find(kinds.begin(), kinds.end(), sources);
    of[static_cast<size_t>(o)] = static_cast<size_t>(alike - kinds.begin());
    if (alike == kinds.end()) kinds.push_back(std::move(sources));
  }
}

LaneSegments::LaneSegments(const LaneBox& box, const LaneLayout& x, int64_t rows, int64_t most)
    : d_(box.d),
      h_(box.h),
      w_(box.w),
      x_(x),
      extra_columns_(w_.extra_outputs()),
      of_row_(static_cast<size_t>(d_.outputs() * h_.outputs())) {
  const int64_t height = h_.outputs(), all = d_.outputs() * height;
  const Alike d(d_), h(h_);
  for (size_t& sums : of_row_) {
    const size_t r = static_cast<size_t>(&sums - of_row_.data()), n = h.of.size();
    sums = list_row(d, h, d.of[r / n], h.of[r % n]);
  }
  for (int64_t begin = 0, end; begin < all; begin = end) {
    end = std::min(rows < height ? round_up(begin + 1, height) : all,
                   begin + (rows < height ? rows : rows - rows % height));
    first_.push_back(static_cast<int64_t>(segments_.size()));
    row_.push_back(begin);
    // Of a volume some columns of all rows, whose inputs stay in the L1 cache from row to row, then the next.
    const int64_t together = d_.kernel() > 1 ? end - begin : 1;
    for (int64_t r = begin; r < end; r += together) add_rows({r, r + together}, most);
    for (int64_t r = begin; r < end; ++r)  // to what is there
      for (size_t i = 0; i < extra_columns_.size(); ++i)
        add(r, w_.number(extra_columns_[i]), extra_columns_[i], 1, sums_of(r).extras[i], true);
  }
  first_.push_back(static_cast<int64_t>(segments_.size()));
  row_.push_back(all);
}

size_t LaneSegments::list_row(const Alike& d, const Alike& h, size_t kind_d, size_t kind_h) {
  const auto alike =
      std::find_if(sums_.begin(), sums_.end(), [&](const Sums& s) { return s.d == kind_d && s.h == kind_h; });
  if (alike != sums_.end()) return static_cast<size_t>(alike - sums_.begin());
  Sums sums{kind_d, kind_h, {}, {}};
  const auto list = [&](const Vector<LaneEntries::Run>& w) { return list_runs(d.kinds[kind_d], h.kinds[kind_h], w); };
  for (int64_t q = 0; q < w_.period(); ++q) sums.residues.push_back(list(w_.runs(q)));
  for (int64_t column : extra_columns_) {
    Vector<LaneEntries::Run> extra;
    w_.for_each_extra(column, [&](const LaneEntries::Source& e) { extra.push_back({w_.place(e.tap), e.entry, 1}); });
    sums.extras.push_back(list(extra));
  }
  sums_.push_back(std::move(sums));
  return sums_.size() - 1;
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
      for (int64_t r = rows.begin; r < rows.end; ++r)
        add(r, begin, q + begin * period, part, sums_of(r).residues[static_cast<size_t>(q)], false);
    }
  }
}

void LaneSegments::add(int64_t row, int64_t number, int64_t column, int64_t outputs, Range runs, bool adds) {
  const int64_t x = d_.number(row / h_.outputs()) * x_.slice() + h_.number(row % h_.outputs()) * x_.row() + number;
  segments_.push_back({static_cast<int32_t>(x), static_cast<int32_t>(row * w_.outputs() + column),
                       static_cast<int32_t>(w_.period()), static_cast<int32_t>(runs.begin),
                       static_cast<int32_t>(runs.size()), static_cast<int16_t>(outputs), adds});
}

}  // namespace fastconv
