#include "conv/depthwise/line_rows.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {
namespace {

// Rows, long and short ones, that are no power of two apart: eight of them do not meet in one set of the L1 cache.
constexpr int64_t kLong = 1008, kShort = 112;
constexpr int64_t kLeastRows = 16;

}  // namespace

LineRows::LineRows(const Piece& h_line, const Piece& w_line) {
  const AxisMap &down = h_line.map, &map = w_line.map;
  if (down.tabulated() || down.outputs != 1 || down.in != 1 || down.taps() != 1 || down.offset[0] != 0) return;
  if (map.tabulated() || map.taps() == 0 || w_line.step != 1) return;
  const auto [low, high] = std::minmax_element(map.offset.begin(), map.offset.end());
  begin = ceil_div(std::max<int64_t>(0, -*low), map.stride);
  const int64_t reach = map.in - 1 - *high,
                outputs = std::min(map.outputs, reach < 0 ? 0 : reach / map.stride + 1) - begin;
  row = outputs >= kLeastRows * kLong ? kLong : kShort;
  if (outputs < kLeastRows * row) return;
  rows = outputs / row;
  first = begin * map.stride + *low;
  h = h_line;
  h.step = h.map.stride = 1;  // whatever a single output's are
  h.map.outputs = h.map.in = rows;
  w = w_line;
  w.begin = 0;
  w.map.outputs = row;
  w.map.mode = Mode::zeros;
  w.map.in = (row - 1) * map.stride + *high - *low + 1;
  for (int64_t& offset : w.map.offset) offset -= *low;
}

}  // namespace fastconv
