#include "conv/winograd/spread.hpp"

#include <algorithm>
#include <utility>

#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kWholeBytes = 32 << 10;  // lines of a block that are written together

// The first place that is free in row r of tiles, taken until row `last`.
int64_t take_place(Vector<int64_t>& until, int64_t r, int64_t last) {
  size_t place = 0;
  while (place < until.size() && until[place] >= r) ++place;
  if (place == until.size()) until.push_back(last);
  else until[place] = last;
  return static_cast<int64_t>(place);
}

}  // namespace

// `whole`: elements of such lines.
SpreadLines::SpreadLines(const WinogradShape& shape, const AxisMap* const (&to)[2], int64_t parts, int64_t lanes,
                         int64_t whole)
    : columns(*to[1], shape, 2, 0, shape.tiles(2, to[1]->outputs), false, true),
      written_(static_cast<size_t>(to[0]->in)) {
  bool some = false;
  for (int32_t& column : columns.at) {
    some |= column < 0;
    column = static_cast<int32_t>((column < 0 ? columns.size() : column) * lanes);
  }
  pitch = (columns.size() + some) * lanes;
  head = tail = pitch;
  if (shape.taps == 3) find_inner(shape.side, lanes);
  blocks_.reserve(static_cast<size_t>(parts));
  for (int64_t i = 0; i < parts; ++i)
    blocks_.push_back(block_of(shape, *to[0], part(shape.tiles(1, to[0]->outputs), parts, i), whole));
}

const SpreadLines::Block& SpreadLines::block(int64_t begin) const {
  const Block* b = blocks_.data();
  while (b->begin != begin) ++b;
  return *b;
}

// Of tiles that overlap by two columns.
void SpreadLines::find_inner(int64_t side, int64_t lanes) {
  const int64_t tiles = static_cast<int64_t>(columns.at.size()) / side;
  Vector<char> seen(static_cast<size_t>(pitch / lanes));
  const auto at = [&](int64_t tile, int64_t i) { return columns.at[static_cast<size_t>(tile * side + i)]; };
  const auto mark = [&](int64_t tile) {
    for (int64_t i = 0; i < side; ++i) seen[static_cast<size_t>(at(tile, i) / lanes)] = true;
  };
  const auto is_first = [&](int64_t tile) {
    for (int64_t i = 2; i < side; ++i)
      if (at(tile, i) != at(1, 2) + ((tile - 1) * (side - 2) + i - 2) * lanes ||
          seen[static_cast<size_t>(at(tile, i) / lanes)])
        return false;
    return at(tile, side - 1) < columns.size() * lanes;
  };
  mark(0);
  for (inner = 1; inner < tiles && is_first(inner); ++inner) mark(inner);
  if (inner == 1) return;
  head = at(1, 2);
  tail = at(inner - 1, side - 1) + lanes;
}

// The lines of y that a block's patches read, each until the block's last row of tiles; those that an earlier block has
// written are kept.
Vector<SpreadLines::Line> SpreadLines::lines_of(const PatchLines& h, int64_t last) {
  Vector<Line> lines;
  lines.reserve(h.coordinate.size());
  for (int64_t line : h.coordinate) {
    char& seen = written_[static_cast<size_t>(line)];
    lines.push_back({line, seen ? static_cast<int64_t>(kept.size()) : -1, last, -1});
    if (seen) kept.push_back(line);
    seen = true;
  }
  return lines;
}

// Few lines stand one behind the other until the block's end; of more, each comes to the first free place. Lines and
// columns of a patch that are none of y's stand behind all.
SpreadLines::Block SpreadLines::block_of(const WinogradShape& shape, const AxisMap& to, Range tiles, int64_t most) {
  const PatchLines h(to, shape, 1, tiles.begin, tiles.end, false, true);
  const bool whole = h.size() * pitch <= most;
  Vector<Line> lines = lines_of(h, tiles.size() - 1);
  const int64_t all = static_cast<int64_t>(h.at.size()), side = shape.side;
  const auto line_at = [&](int64_t i) {
    const int32_t line = h.at[static_cast<size_t>(i)];
    return line < 0 ? nullptr : &lines[static_cast<size_t>(line)];
  };
  for (int64_t i = 0; i < all && !whole; ++i)
    if (Line* line = line_at(i)) line->last = i / side;
  Block block{tiles.begin, {}, Vector<unsigned>(static_cast<size_t>(tiles.size())), {}};
  Vector<int64_t> until;  // the last row of tiles that takes a place
  for (int64_t i = 0; i < all; ++i) {
    Line* const line = line_at(i);
    if (!line || line->at >= 0) continue;
    const int64_t r = i / side;
    block.fresh[static_cast<size_t>(r)] |= 1u << i % side;
    line->at = pitch * (whole ? line - lines.data() : take_place(until, r, line->last));
  }
  const int64_t none = pitch * (whole ? static_cast<int64_t>(lines.size()) : static_cast<int64_t>(until.size()));
  block.at.reserve(h.at.size());
  for (int64_t i = 0; i < all; ++i) {
    Line* const line = line_at(i);
    block.at.push_back(static_cast<int32_t>(line ? line->at : none));
    if (whole || !line || line->last != i / side) continue;
    block.ends.push_back(*line);
    line->last = -1;  // once
  }
  if (whole) block.ends = std::move(lines);
  return block;
}

template <class T>
WinogradSpread<T>::WinogradSpread(const WinogradSum<T>& s, const WinogradPlan& plan)
    : s_(s),
      lines_(s.shape, s.to, plan.parts[1], conv_kernels<T>().lanes, kWholeBytes / static_cast<int64_t>(sizeof(T))),
      slice_(static_cast<int64_t>(lines_.kept.size()) * lines_.columns.size()),
      channel_(s.axis[0].outputs * slice_) {}

template <class T>
void WinogradSpread<T>::add(const WinogradOutput<T>& job, const Box& box, int64_t image, int64_t channel,
                            int64_t slice) const {
  using Line = SpreadLines::Line;
  const SpreadLines::Block& block = lines_.block(box.begin[1]);
  const int64_t columns = lines_.columns.size(), pitch = lines_.pitch, side = s_.shape.side;
  WinogradOutput<T> kept = job;
  kept.y_channel = channel_;
  kept.y_row = columns;
  kept.y_step = 1;
  kept.y = kept_at + (image * s_.groups * s_.rows + channel) * channel_ + slice * slice_;
  const Line *end = block.ends.data(), *const ends = end + block.ends.size();
  for (int64_t r = 0; r < job.tiles.down; ++r) {
    winograd_kernels<T>()
        .of(s_.shape.taps, s_.shape.side)
        .spread({job.m, job.plane, job.tiles, r, block.at.data() + r * side, lines_.columns.at.data(), job.pixels,
                 block.fresh[static_cast<size_t>(r)], pitch, lines_.inner, lines_.head, lines_.tail});
    while (end != ends && end->last == r) {
      const Line& line = *end++;
      const WinogradOutput<T>& to = line.place < 0 ? job : kept;
      const auto row = [](const Line& l) { return l.place < 0 ? l.coordinate : l.place; };
      int64_t n = 1;
      if (to.y_row == columns * to.y_step && pitch == columns * conv_kernels<T>().lanes)
        for (; end != ends && end->last == r && end->at == line.at + n * pitch &&
               (end->place < 0) == (line.place < 0) && row(*end) == row(line) + n;
             ++end)
          ++n;  // lines that follow one another
      winograd_kernels<T>().scatter_pixels(to, to.y + row(line) * to.y_row, job.pixels + line.at, n * columns);
    }
  }
}

template <class T>
void WinogradSpread<T>::add_kept(int threads) const {
  const Vector<int64_t>& kept = lines_.kept;
  if (kept.empty()) return;
  const int64_t channels = s_.groups * s_.rows, columns = lines_.columns.size();
  const bool joined = s_.y.stride[3] == columns;
  parallel_tasks(s_.images * channels, threads, [&](int64_t i) {
    const T* from = kept_at + i * channel_;
    for (int64_t d = 0; d < s_.axis[0].outputs; ++d)
      for (size_t k = 0, n; k < kept.size(); k += n, from += static_cast<int64_t>(n) * columns) {
        for (n = 1; joined && k + n < kept.size() && kept[k + n] == kept[k] + static_cast<int64_t>(n);) ++n;
        T* y = s_.y.data + i / channels * s_.y.stride[0] + i % channels * s_.y.stride[1] + d * s_.y.stride[2] +
               kept[k] * s_.y.stride[3];
        if (s_.y.stride[4] == 1) add_elements(y, from, static_cast<int64_t>(n) * columns);
        else
          for (int64_t w = 0; w < columns; ++w) y[w * s_.y.stride[4]] += from[w];
      }
  });
}

template class WinogradSpread<float>;
template class WinogradSpread<double>;

}  // namespace fastconv
