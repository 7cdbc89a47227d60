#include "conv/pieces.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/index_map.hpp"

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

namespace {

// Inputs i = residue, residue + stride, ...: there the adjoint of zero padding is a correlation with the taps that meet
// this residue, i = o * stride + t * dilation - pad  <=>  o = (i + pad - t * dilation) / stride.
Piece residue_piece(const ConvAxis& a, int64_t residue) {
  Piece piece;
  piece.begin = residue;
  piece.step = a.stride;
  piece.map.outputs = ceil_div(a.in - residue, a.stride);
  piece.map.in = a.out;
  piece.map.offset.clear();
  for (int64_t t = 0; t < a.k; ++t) {
    const int64_t at = piece.begin + a.pad_before - t * a.dilation;
    if (floor_mod(at, a.stride)) continue;
    piece.taps.push_back(t);
    piece.map.offset.push_back((at - floor_mod(at, a.stride)) / a.stride);
  }
  return piece;
}

// What padding adds: inputs that are also read from padded positions, by table of the (output, tap) pairs that do so.
// Such inputs lie near the ends of an axis: one piece each, with the taps that matter there alone.
Vector<Piece> padding_pieces(const ConvAxis& a) {
  struct Read {
    int64_t i, t, o;
  };
  Vector<Read> reads;
  if (a.mode != Mode::zeros)
    for (int64_t t = 0; t < a.k; ++t) {
      const int64_t first = t * a.dilation - a.pad_before;
      auto add = [&](int64_t o) { reads.push_back({map_coordinate(a.mode, first + o * a.stride, a.in), t, o}); };
      for (int64_t o = 0; o < a.out && first + o * a.stride < 0; ++o) add(o);
      for (int64_t o = a.out - 1; o >= 0 && first + o * a.stride >= a.in; --o) add(o);
    }
  std::sort(reads.begin(), reads.end(), [](const Read& x, const Read& y) {
    return x.i != y.i ? x.i < y.i : x.t != y.t ? x.t < y.t : x.o < y.o;
  });
  size_t cut = 0;  // the widest gap between them, if it is one worth while
  int64_t gap = 8;
  for (size_t r = 1; r < reads.size(); ++r)
    if (reads[r].i - reads[r - 1].i > gap) cut = r, gap = reads[r].i - reads[r - 1].i;

  Vector<Piece> pieces;
  auto add = [&](size_t first, size_t last) {
    if (first == last) return;
    Piece piece;
    piece.adds = true;
    piece.begin = reads[first].i;
    piece.map.outputs = reads[last - 1].i + 1 - piece.begin;
    piece.map.in = a.out;
    Vector<int64_t> place(static_cast<size_t>(a.k), -1);  // of a tap among those in use
    for (size_t r = first; r < last; ++r) place[static_cast<size_t>(reads[r].t)] = 0;
    for (int64_t t = 0; t < a.k; ++t)
      if (place[static_cast<size_t>(t)] == 0) {
        place[static_cast<size_t>(t)] = static_cast<int64_t>(piece.taps.size());
        piece.taps.push_back(t);
      }
    piece.map.offset.assign(piece.taps.size(), 0);
    Vector<Vector<int64_t>> cells(static_cast<size_t>(piece.map.outputs) * piece.taps.size());
    for (size_t r = first; r < last; ++r)
      cells[static_cast<size_t>(place[static_cast<size_t>(reads[r].t)] * piece.map.outputs + reads[r].i - piece.begin)]
          .push_back(reads[r].o);
    piece.map.start.push_back(0);
    for (const auto& cell : cells) {
      piece.map.source.insert(piece.map.source.end(), cell.begin(), cell.end());
      piece.map.start.push_back(static_cast<int64_t>(piece.map.source.size()));
    }
    pieces.push_back(std::move(piece));
  };
  add(0, cut);
  add(cut, reads.size());
  return pieces;
}

// Pieces of unit step as one: all sources of each output and tap, in the order of the pieces.
Piece joined(const ConvAxis& a, const Vector<Piece>& pieces) {
  Piece whole;
  whole.taps = all_taps(a.k);
  AxisMap& map = whole.map;
  map.outputs = a.in;
  map.in = a.out;
  map.offset.assign(static_cast<size_t>(a.k), 0);
  map.start.push_back(0);
  for (int64_t t = 0; t < a.k; ++t)
    for (int64_t i = 0; i < a.in; ++i) {
      for (const Piece& piece : pieces) {
        const auto at = std::lower_bound(piece.taps.begin(), piece.taps.end(), t);
        if (at == piece.taps.end() || *at != t || i < piece.begin || i - piece.begin >= piece.map.outputs) continue;
        piece.map.each_source(at - piece.taps.begin(), i - piece.begin, [&map](int64_t o) { map.source.push_back(o); });
      }
      map.start.push_back(static_cast<int64_t>(map.source.size()));
    }
  return whole;
}

}  // namespace

bool circulates(const ConvAxis& a) { return a.mode == Mode::circular && a.stride == 1 && a.in == a.out; }

BackwardPieces backward_pieces(const ConvAxis& a) {
  BackwardPieces p;
  if (circulates(a)) {
    p.set.push_back(residue_piece(a, 0));
    p.set[0].map.mode = Mode::circular;
    return p;
  }
  for (int64_t r = 0; r < std::min(a.stride, a.in); ++r) p.set.push_back(residue_piece(a, r));
  p.add = padding_pieces(a);
  return p;
}

Vector<Piece> all_pieces(const ConvAxis& a, const BackwardPieces& p) {
  Vector<Piece> all = p.set;
  all.insert(all.end(), p.add.begin(), p.add.end());
  if (a.stride == 1 && !p.add.empty()) all.assign(1, joined(a, all));
  return all;
}

}  // namespace fastconv
