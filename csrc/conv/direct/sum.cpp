#include "conv/direct/sum.hpp"

#include "base/checked.hpp"
#include "base/parallel.hpp"

namespace fastconv {

template <class T>
GatherSum<T> direct_sum(const Operands<T>& c, const PieceBox& box) {
  GatherSum<T> s;
  for (int i = 0; i < 3; ++i) s.axis[i] = box[i].map;
  s.images = c.images();
  s.groups = c.rows.groups;
  s.channels = s.x_group = c.rows.channels;
  s.rows = c.rows.rows;
  s.x = c.x;
  s.y = c.y_of(box);
  s.accumulate = box.adds();
  s.bias = s.accumulate ? nullptr : c.first_bias();
  s.steps = box.w.step > 1;
  s.spreads = c.y.stride[4] == 1 && box.w.step == 2;
  s.whole_h = box.h.whole;
  s.whole_w = box.w.whole;
  s.clamp = c.clamps;
  s.low = c.low;
  s.high = c.high;
  return s;
}

template <class T>
void read_in_place(GatherSum<T>& s, const WeightRows<T>& rows, const TapBox& taps) {
  s.packed = s.packs = false;
  s.a = rows.w.data;
  s.a_row = rows.row_stride();
  s.a_group = rows.group_stride();
  s.a_channel = rows.channel_stride();
  s.a_tap = rows.tap_offsets(taps);
}

template <class T>
void read_packed(GatherSum<T>& s, int64_t taps, bool packs) {
  s.packed = true;
  s.packs = packs;
  s.a_row = s.channels * taps;
  s.a_channel = taps;
  s.a_tap = all_taps(taps);
}

template <class T>
void find_packed(GatherSum<T>& s, const GatherPlan& plan, const T* a) {
  s.a = a;
  s.a_group = round_up(s.rows, plan.row_unit) * s.a_row;
}

template <class T>
int64_t packed_elements(const GatherSum<T>& s, const GatherPlan& plan) {
  return s.groups * round_up(s.rows, plan.row_unit) * s.a_row;
}

template <class T>
void pack(GatherSum<T>& s, const GatherPlan& plan, const WeightRows<T>& rows, const TapBox& taps, T* a) {
  find_packed<T>(s, plan, a);
  const int threads =
      plan.splits_rows ? plan.threads : threads_for(4.0 * static_cast<double>(packed_elements(s, plan)));
  rows.pack(taps, s.x_first, s.channels, plan, threads, a);
}

template <class T>
bool better_in_place(const GatherSum<T>& s, const WeightRows<T>& rows, const TapBox& taps) {
  return rows.in_place(taps, static_cast<double>(s.images) * static_cast<double>(s.plane()), s.plane(), s.steps);
}

#define FASTCONV_INSTANTIATE(T)                                                                  \
  template GatherSum<T> direct_sum(const Operands<T>&, const PieceBox&);                         \
  template void read_in_place(GatherSum<T>&, const WeightRows<T>&, const TapBox&);               \
  template void read_packed(GatherSum<T>&, int64_t, bool);                                       \
  template void find_packed(GatherSum<T>&, const GatherPlan&, const T*);                         \
  template int64_t packed_elements(const GatherSum<T>&, const GatherPlan&);                      \
  template void pack(GatherSum<T>&, const GatherPlan&, const WeightRows<T>&, const TapBox&, T*); \
  template bool better_in_place(const GatherSum<T>&, const WeightRows<T>&, const TapBox&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
