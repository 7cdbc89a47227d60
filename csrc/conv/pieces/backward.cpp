#include "conv/pieces/backward.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/index_map.hpp"

namespace fastconv {
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

// A padded position that is read: input i, by output o under tap t.
struct Read {
  int64_t i, t, o;
};

// By inputs, or first by taps.
void sort_reads(Read* begin, Read* end, bool by_taps) {
  std::sort(begin, end, [by_taps](const Read& x, const Read& y) {
    return by_taps && x.t != y.t ? x.t < y.t : x.i != y.i ? x.i < y.i : x.o < y.o;
  });
}

// All of them, by inputs.
Vector<Read> padding_reads(const ConvAxis& a) {
  Vector<Read> reads;
  if (a.mode == Mode::zeros) return reads;
  for (int64_t t = 0; t < a.k; ++t) {
    const int64_t first = t * a.dilation - a.pad_before;
    const auto add = [&](int64_t o) { reads.push_back({map_coordinate(a.mode, first + o * a.stride, a.in), t, o}); };
    for (int64_t o = 0; o < a.out && first + o * a.stride < 0; ++o) add(o);
    for (int64_t o = a.out - 1; o >= 0 && first + o * a.stride >= a.in; --o) add(o);
  }
  sort_reads(reads.data(), reads.data() + reads.size(), false);
  return reads;
}

// The inputs of some reads, by table: for each of the taps that matter, and each input, the outputs.
Piece padding_piece(const ConvAxis& a, Read* begin, Read* end) {
  Piece piece;
  piece.adds = true;
  piece.begin = begin->i;
  AxisMap& map = piece.map;
  map.outputs = end[-1].i + 1 - piece.begin;
  map.in = a.out;
  map.offset.clear();
  map.start.push_back(0);
  sort_reads(begin, end, true);
  for (const Read* r = begin; r < end;) {
    const int64_t t = r->t;
    piece.taps.push_back(t);
    map.offset.push_back(0);
    for (int64_t i = 0; i < map.outputs; ++i) {
      for (; r < end && r->t == t && r->i == piece.begin + i; ++r) map.source.push_back(r->o);
      map.start.push_back(static_cast<int64_t>(map.source.size()));
    }
  }
  return piece;
}

// What padding adds: inputs that are also read from padded positions. Such inputs lie near the ends of an axis: one
// piece each, where the gap between them is worth while.
Vector<Piece> padding_pieces(const ConvAxis& a) {
  Vector<Read> reads = padding_reads(a);
  if (reads.empty()) return {};
  Read *const begin = reads.data(), *const end = begin + reads.size(), *cut = begin;
  int64_t gap = 8;
  for (Read* r = begin + 1; r < end; ++r)
    if (r->i - r[-1].i > gap) cut = r, gap = r->i - r[-1].i;
  Vector<Piece> pieces;
  if (cut > begin) pieces.push_back(padding_piece(a, begin, cut));
  pieces.push_back(padding_piece(a, cut, end));
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
