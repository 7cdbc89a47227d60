#include "conv/fft/piece.hpp"

namespace fastconv {
namespace {

template <class T>
FftAxes fft_axes(const Operands<T>& c, const PieceBox& box) {
  return {{box.d.map, box.h.map, box.w.map}, c.images(), c.rows.groups, c.rows.channels, c.rows.rows};
}

}  // namespace

template <class T>
FftPlan plan_fft_piece(const Operands<T>& c, const PieceBox& box) {
  const double taps = box.taps(), rows = static_cast<double>(c.rows.groups * c.rows.rows);
  if (!may_use_fft(c.algorithm, taps, taps * box.outputs() * rows * static_cast<double>(c.rows.channels))) return {};
  return choose_fft<T>(c.algorithm, fft_axes(c, box), false);
}

template <class T>
FftPiece<T>::FftPiece(const Operands<T>& c, const PieceBox& box, const FftPlan& plan)
    : sum_{fft_axes(c, box),
           {c.rows.w.data, c.rows.group_stride(), c.rows.row_stride(), c.rows.channel_stride(), {}},
           c.x,
           c.y_of(box),
           c.first_bias(),
           c.clamps,
           c.low,
           c.high},
      plan_(plan) {
  for (int i = 0; i < 3; ++i) sum_.w.tap[i] = c.tap_offsets(i, box[i]);
}

#define FASTCONV_INSTANTIATE(T)                                         \
  template FftPlan plan_fft_piece(const Operands<T>&, const PieceBox&); \
  template class FftPiece<T>;
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
