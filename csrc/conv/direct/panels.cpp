#include "conv/direct/panels.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {
namespace {

// Cuts [0, pixels) into panels of at most nr vectors, of even width; calls f(begin, end).
template <class F>
void cut(const PanelRules& rules, int64_t pixels, F f) {
  const int64_t vectors = ceil_div(pixels, rules.lanes), count = ceil_div(vectors, rules.nr);
  for (int64_t i = 0; i < count; ++i)
    f(i * vectors / count * rules.lanes, std::min(pixels, (i + 1) * vectors / count * rules.lanes));
}

// Cycles of a vector's multiply-adds in a tile of so many: half a cycle each, if neither loads nor the latency of a sum
// take longer.
double vector_cost(const PanelRules& rules, int64_t vectors) {
  const double v = static_cast<double>(vectors), mr = static_cast<double>(rules.mr);
  return std::max({mr * v, mr + v, 8.0}) / (2 * v);
}

// Cycles of rows one by one, those that follow one another in the block and in y being one.
double cost_one_by_one(const PanelRules& rules, const Vector<PixelRow>& rows) {
  double cost = 0;
  for (size_t r = 0, count; r < rows.size(); r += count) {
    int64_t n = rows[r].n;
    for (count = 1; r + count < rows.size() && rows[r + count - 1].joins(rows[r + count]); ++count)
      n += rows[r + count].n;
    const int64_t vectors = ceil_div(n, rules.lanes);
    cost += static_cast<double>(vectors) * vector_cost(rules, std::min(vectors, rules.nr));
  }
  return cost;
}

// Of `across` vectors over the gaps between rows, in tiles as wide as may be, which are copied once more.
double cost_swept(const PanelRules& rules, int64_t across, const Vector<PixelRow>& rows) {
  double pixels = 0;
  for (const PixelRow& row : rows) pixels += static_cast<double>(row.n);
  return static_cast<double>(across) * vector_cost(rules, rules.nr) +
         0.5 * static_cast<double>(rules.mr) * pixels / static_cast<double>(rules.depth);
}

}  // namespace

Panels::Panels(const PanelRules& rules, const Vector<PixelRow>& rows) {
  if (rows.empty()) return;
  // Stretches of rows with less than a vector between them may be swept across.
  Vector<size_t> stretch{0};
  for (size_t r = 1; r < rows.size(); ++r)
    if (rows[r].position - rows[r - 1].position - rows[r - 1].n >= rules.lanes) stretch.push_back(r);
  stretch.push_back(rows.size());
  int64_t across = 0;
  for (size_t i = 0; i + 1 < stretch.size(); ++i) {
    const PixelRow& last = rows[stretch[i + 1] - 1];
    across += ceil_div(last.position + last.n - rows[stretch[i]].position, rules.lanes);
  }
  if (rules.images) {
    for (size_t r = 0; r < rows.size(); r += static_cast<size_t>(rules.height))
      list.push_back({Panel::image, 1, rows[r].position, rules.columns, rows[r].y, rules.height, 0, 0, 0});
    return;
  }
  if (cost_swept(rules, across, rows) < cost_one_by_one(rules, rows))
    for (size_t i = 0; i + 1 < stretch.size(); ++i) add_edged(rules, &rows[stretch[i]], stretch[i + 1] - stretch[i]);
  else if (rules.direct) add_straight(rules, rows);
  else
    for (const PixelRow& row : rows) add_edged(rules, &row, 1);
}

// Rows that follow one another in the block and in y are one run: two panels, of tiles as wide as may be and of tiles a
// vector narrower, where sums are shallow; else a panel a tile.
void Panels::add_straight(const PanelRules& rules, const Vector<PixelRow>& rows) {
  const int64_t lanes = rules.lanes;
  for (size_t r = 0, count; r < rows.size(); r += count) {
    for (count = 1; r + count < rows.size() && rows[r + count - 1].joins(rows[r + count]);) ++count;
    const int64_t pixels = rows[r + count - 1].position + rows[r + count - 1].n - rows[r].position;
    auto add = [&](int64_t p0, int64_t p1, int64_t vectors) {
      list.push_back(
          {Panel::straight, static_cast<int8_t>(vectors), rows[r].position + p0, p1 - p0, rows[r].y + p0, 0, 0, 0, 0});
    };
    if (rules.shallow) {
      const int64_t all = ceil_div(pixels, lanes), tiles = ceil_div(all, rules.nr), wide = ceil_div(all, tiles);
      const int64_t end = std::min(pixels, (all - tiles * (wide - 1)) * wide * lanes);
      add(0, end, wide);
      if (end < pixels) add(end, pixels, wide - 1);
    } else {
      cut(rules, pixels, [&](int64_t p0, int64_t p1) { add(p0, p1, ceil_div(p1 - p0, lanes)); });
    }
  }
}

// Of `count` rows, and what is between them.
void Panels::add_edged(const PanelRules& rules, const PixelRow* rows, size_t count) {
  const int64_t start = rows->position;
  const PixelRow *next = rows, *end = rows + count;  // next: the first that a panel meets
  cut(rules, end[-1].position + end[-1].n - start, [&](int64_t p0, int64_t p1) {
    Panel panel{Panel::edged,
                static_cast<int8_t>(ceil_div(p1 - p0, rules.lanes)),
                start + p0,
                p1 - p0,
                0,
                0,
                edges,
                static_cast<int32_t>(segments.size()),
                0};
    while (next->position + next->n <= start + p0) ++next;
    for (const PixelRow* row = next; row < end && row->position < start + p1; ++row) {
      const int64_t from = std::max(p0, row->position - start), to = std::min(p1, row->position + row->n - start),
                    column = from - row->position + start;
      segments.push_back({row->y + column * rules.step, static_cast<int32_t>(from - p0),
                          static_cast<int32_t>(to - from),
                          std::min(2 * (to - from), rules.whole_w - 2 * (rules.column + column)), row->below});
      ++panel.segments;
    }
    if (!panel.segments) return;
    edges += panel.vectors * rules.lanes;
    list.push_back(panel);
  });
}

}  // namespace fastconv
