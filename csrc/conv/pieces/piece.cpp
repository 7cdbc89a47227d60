#include "conv/pieces/piece.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {

Vector<int64_t> all_taps(int64_t k) {
  Vector<int64_t> t(static_cast<size_t>(k));
  for (int64_t i = 0; i < k; ++i) t[static_cast<size_t>(i)] = i;
  return t;
}

Piece with_taps(const Piece& piece, int64_t t0, int64_t t1) {
  Piece part = piece;
  part.taps.assign(piece.taps.begin() + t0, piece.taps.begin() + t1);
  part.map.offset.assign(piece.map.offset.begin() + t0, piece.map.offset.begin() + t1);
  if (piece.map.tabulated())
    part.map.start.assign(piece.map.start.begin() + t0 * piece.map.outputs,
                          piece.map.start.begin() + t1 * piece.map.outputs + 1);
  return part;
}

Piece outputs_of(const Piece& piece, int64_t begin, int64_t end) {
  Piece part = piece;
  part.map.outputs = end - begin;
  part.begin += begin * piece.step;
  for (int64_t& offset : part.map.offset) offset += begin * piece.map.stride;
  return part;
}

Range live_outputs(const AxisMap& map, int64_t offset) {
  const int64_t begin = std::min(map.outputs, ceil_div(-std::min<int64_t>(offset, 0), map.stride)),
                end = ceil_div(std::max<int64_t>(map.in - offset, 0), map.stride);
  return {begin, std::clamp(end, begin, map.outputs)};
}

double live_share(const Piece& piece) {
  const AxisMap& map = piece.map;
  if (map.mode != Mode::zeros || map.tabulated()) return 1;
  int64_t live = 0;
  for (int64_t offset : map.offset) live += live_outputs(map, offset).size();
  return static_cast<double>(live) / static_cast<double>(std::max<int64_t>(1, map.outputs * map.taps()));
}

Vector<Piece> live_pieces(const Piece& piece, int64_t least) {
  Vector<Piece> parts;
  for (int64_t at = 0, end; at < piece.map.outputs; at = end) {
    end = piece.map.outputs;
    for (int64_t offset : piece.map.offset) {
      const Range live = live_outputs(piece.map, offset);
      for (int64_t edge : {live.begin, live.end})
        if (edge > at) end = std::min(end, edge);
    }
    end = std::min(std::max(end, at + least), piece.map.outputs);
    Piece part = outputs_of(piece, at, end);
    part.taps.clear();
    part.map.offset.clear();
    for (size_t t = 0; t < piece.taps.size(); ++t) {
      const Range live = live_outputs(piece.map, piece.map.offset[t]);
      if (live.begin >= end || live.end <= at) continue;
      part.taps.push_back(piece.taps[t]);
      part.map.offset.push_back(piece.map.offset[t] + at * piece.map.stride);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

Piece ascending(const Piece& piece) {
  Piece p = piece;
  if (p.map.offset.front() > p.map.offset.back()) {
    std::reverse(p.map.offset.begin(), p.map.offset.end());
    std::reverse(p.taps.begin(), p.taps.end());
  }
  return p;
}

Piece forward_piece(const ConvAxis& axis) { return {forward_axis(axis), 0, 1, all_taps(axis.k)}; }

}  // namespace fastconv
