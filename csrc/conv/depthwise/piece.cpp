#include "conv/depthwise/piece.hpp"

#include <algorithm>

#include "kernels/conv.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {
namespace {

void append(Vector<int64_t>& to, const Vector<int64_t>& from) { to.insert(to.end(), from.begin(), from.end()); }

// The view of a line as an image: each row `columns` elements long, neighbouring outputs `step` elements apart.
template <class T>
View<T> rows_of(const LineRows& line, View<T> view, int64_t first, int64_t step, int64_t columns) {
  view.data = moved(view.data, first * view.stride[4]);
  view.shape[3] = line.rows;
  view.stride[3] = line.row * step * view.stride[4];
  view.shape[4] = columns;
  return view;
}

}  // namespace

template <class T>
bool DepthwisePiece<T>::suits(const Operands<T>& c, const PieceBox& box, const Piece* odd, bool folds) {
  if (c.algorithm != Algorithm::automatic && c.algorithm != Algorithm::depthwise) return false;
  const AxisMap &d = box.d.map, &h = box.h.map, &w = box.w.map;
  if (c.rows.channels * d.taps() * h.taps() == 0 || d.tabulated() || h.tabulated() || w.tabulated() ||
      box.w.step != (odd ? 2 : 1))
    return false;
  const int64_t taps = d.taps() * h.taps() * (w.taps() + (odd ? odd->map.taps() : 0));
  if (c.algorithm == Algorithm::depthwise) return c.rows.channels * taps <= kMostDepthwiseTaps;
  if (odd)
    return depthwise_pays<T>({c.rows.channels, c.rows.rows, taps, h.taps(), h.outputs, w.outputs, 1, false,
                              !is_plane(d), (w.taps() > 0) + (odd->map.taps() > 0), false, c.rows.groups});
  const bool squares = sums_squares<T>(d, h, w, c.rows.channels, 1);
  return depthwise_pays<T>({c.rows.channels, c.rows.rows, taps, c.rows.w.shape[3], h.outputs * box.h.step, w.outputs,
                            w.stride, squares, !is_plane(d), 0, folds});
}

template <class T>
DepthwisePiece<T>::DepthwisePiece(const Operands<T>& c, const PieceBox& box, const Piece* odd)
    : DepthwisePiece(c, c.x, c.y_of(box), box, odd) {
  line_end_ = box.w.map.outputs;
}

template <class T>
DepthwisePiece<T>::DepthwisePiece(const Operands<T>& c, const LineRows& line, const PieceBox& box)
    : DepthwisePiece(c, rows_of(line, c.x, line.first, box.w.map.stride, line.w.map.in),
                     rows_of(line, c.y_of(box), line.begin, 1, line.row), {box.d, line.h, line.w}, nullptr) {
  line_begin_ = line.begin;
  line_end_ = line.end();
}

template <class T>
DepthwisePiece<T>::DepthwisePiece(const Operands<T>& c, const View<const T>& x, const View<T>& y, const PieceBox& box,
                                  const Piece* odd) {
  const Piece &h = box.h, &w = box.w;
  sum_.images = c.images();
  sum_.groups = c.rows.groups;
  sum_.channels = c.rows.channels;
  sum_.rows = c.rows.rows;
  sum_.d = box.d.map;
  sum_.h = h.map;
  sum_.w = w.map;
  sum_.x = x;
  sum_.y = y;
  sum_.phase.assign(w.taps.size(), 0);
  sum_.weights = c.rows.w.data;
  sum_.w_group = c.rows.group_stride();
  sum_.w_row = c.rows.row_stride();
  sum_.w_channel = c.rows.channel_stride();
  sum_.d_tap = c.tap_offsets(0, box.d);
  const int64_t first = sum_.d_tap[0];
  sum_.weights = moved(sum_.weights, first);
  for (int64_t& t : sum_.d_tap) t -= first;
  sum_.h_tap = c.tap_offsets(1, h);
  sum_.w_tap = c.tap_offsets(2, w);
  if (odd) {  // stored in turn with the other
    sum_.phases = 2;
    append(sum_.w.offset, odd->map.offset);
    sum_.phase.resize(w.taps.size() + odd->taps.size(), 1);
    append(sum_.w_tap, c.tap_offsets(2, *odd));
    sum_.y.stride[4] = c.y.stride[4];
    sum_.y.shape[4] = c.y.shape[4];
  }
  const auto turns = [](const Piece& p) {
    return p.taps.size() > 1 && (p.taps[1] - p.taps[0]) * (p.map.offset[1] - p.map.offset[0]) < 0;
  };
  sum_.turns = turns(h) && turns(w);
  sum_.bias = c.first_bias();
  sum_.clamp = c.clamps;
  sum_.low = c.low;
  sum_.high = c.high;
  plan_ = plan_depthwise(sum_);
}

template <class T>
DepthwisePiece<T> DepthwisePiece<T>::with_fold(const AxisFold& h, const AxisFold& w) const {
  DepthwisePiece piece = *this;
  piece.sum_.h_fold = h;
  piece.sum_.w_fold = w;
  return piece;
}

template <class T>
ConvPlan DepthwisePiece<T>::describe() {
  ConvPlan plan;
  plan.algorithm = Algorithm::depthwise;
  plan.kernel = plan_.in_place ? "image rows" : "packed image rows";
  plan.mr = static_cast<int>(std::min<int64_t>(depthwise_kernels<T>().rows, sum_.h.outputs));
  plan.nr = conv_kernels<T>().lanes;
  plan.block_channels = sum_.lines();
  plan.block_pixels = plan_.planes * std::min(plan_.strip, sum_.h.outputs) * sum_.w.outputs;
  sum_.x.stride[4] = 2;  // a caller's elements may be apart: then planes are packed
  plan.workspace_bytes = std::max(plan_.workspace_bytes, plan_depthwise(sum_).workspace_bytes);
  plan.threads = plan_.threads;
  plan.cost = plan_.cost;
  return plan;
}

template class DepthwisePiece<float>;
template class DepthwisePiece<double>;

}  // namespace fastconv
