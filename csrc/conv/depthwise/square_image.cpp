#include "conv/depthwise/square_image.hpp"

#include <algorithm>
#include <utility>

#include "base/workspace.hpp"
#include "conv/index_map.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPlaneBytes = 64 << 10;  // of a plane that is no strips: with its outputs in the L2 cache
constexpr int64_t kWide = 256;             // columns of outputs that are many blocks
constexpr int64_t kMoreRows = 32;          // of a strip where lines are long
constexpr int64_t kManyRows = 128;         // where products outweigh what is read
constexpr int64_t kFewRows = 8;         // of long lines in memory, whose streams the processor follows if they are few
constexpr int64_t kOfMemory = 1 << 21;  // elements

// What stands under the middle tap of the first output.
int64_t middle(const AxisMap& a) { return *std::min_element(a.offset.begin(), a.offset.end()) + a.taps() / 2; }

// From the first output's to the last one's, and one element.
int64_t span(const AxisMap& a, int64_t outputs) { return a.stride * (outputs - 1) + 1; }

// Whether the middle taps of all outputs are within the source.
bool within(const AxisMap& a) { return middle(a) >= 0 && middle(a) + span(a, a.outputs) <= a.in; }

// Whether that is all it takes to read lines where they stand: larger squares find no neighbours by their index, nor do
// outputs two apart where registers are few.
bool reads_in_place(const AxisMap& a) {
  const int64_t half = a.taps() / 2;
  const bool apart = a.mode != Mode::zeros && (middle(a) < half || middle(a) + span(a, a.outputs) + half > a.in);
  return within(a) && (!apart || (half == 1 && (a.stride == 1 || square_kernels<float>().many_registers)));
}
// Of the lines for so many rows of outputs.
template <class T>
int64_t packed_bytes(const AxisMap& w, int64_t channels, int64_t rows) {
  return Arena::rounded_bytes<T>(channels * (span(w, rows) + w.taps() - 1) *
                                 packed_row_size(unstrided(w), span(w, w.outputs), depthwise_kernels<T>().lanes));
}

// Groups whose lines are packed at a time, so many bytes of each: where their channels are neighbours in memory, a
// cache line of those, or what is left of it in the L2 cache.
template <class T>
int64_t most_together(int64_t bytes) {
  constexpr int64_t kTogether = 384 << 10;
  return std::clamp<int64_t>(kTogether / bytes, 1, depthwise_kernels<T>().lanes);
}
template <class T>
int64_t groups_together(const View<const T>& x, int64_t channels, int64_t groups, int64_t bytes) {
  const bool pays = channels == 1 && x.stride[1] == 1 && x.stride[4] > 1 && 2 * groups > depthwise_kernels<T>().lanes;
  return pays ? std::min(groups, most_together<T>(bytes)) : 1;
}

// What stands at a source that padding finds, or nothing; elements from `column`.
void find(int64_t& element, bool& has, int64_t source, int64_t column) {
  has = source >= 0;
  element = has ? source - column : 0;
}

}  // namespace

bool squares_in_place(const AxisMap& h, const AxisMap& w, int64_t step) {
  return reads_in_place(h) && reads_in_place(w) && step == 1;
}

template <class T>
int64_t square_strip(const AxisMap& h, const AxisMap& w, int64_t elements) {
  if (h.taps() > 3) return std::min(h.outputs, kManyRows);
  if (h.outputs * w.outputs * static_cast<int64_t>(sizeof(T)) <= kPlaneBytes) return h.outputs;
  return std::min(h.outputs, w.outputs <= kWide ? kSquareRows : elements > kOfMemory ? kFewRows : kMoreRows);
}
// In long lines two blocks of columns, in short ones some lines, more of them where it comes from memory. No one else
// does it, since blocks of columns are gone down.
int64_t square_ahead(const AxisMap& w, int64_t strip, int64_t row, int64_t elements) {
  constexpr int64_t kAhead = 128, kOfLong = 1 << 18, kOfShort = 1 << 16;
  const bool wide = w.outputs > kWide;
  if (elements <= (wide ? kOfLong : kOfShort)) return 0;
  return wide ? kAhead : std::min(strip, elements < kOfMemory ? kFewRows : kMoreRows) * row;
}

template <class T>
int64_t most_packed_bytes(const AxisMap& w, int64_t channels, int64_t slices, int64_t rows) {
  const int64_t bytes = slices * packed_bytes<T>(w, channels, rows);
  return channels == 1 ? bytes * most_together<T>(bytes) : bytes;
}

Vector<int64_t> tap_offsets(const AxisMap& h, const AxisMap& w, const int64_t* h_tap, const int64_t* w_tap) {
  Vector<int64_t> taps;
  const Vector<int64_t> across = tap_order(w.offset, 1);
  for (int64_t i : tap_order(h.offset, 1))
    for (int64_t k : across) taps.push_back(h_tap[i] + w_tap[k]);
  return taps;
}

template <class T>
SquareImage<T>::SquareImage(const AxisMap& h, const AxisMap& w, const View<const T>& x, int64_t channels,
                            int64_t groups, int64_t rows, int64_t slices)
    : h_(h),
      w_(w),
      x_(x),
      channels_(channels),
      groups_(groups),
      half_(h.taps() / 2),
      in_place_(squares_in_place(h, w, x.stride[4])),
      packed_from_(static_cast<size_t>(slices)) {
  lines_.width = w.outputs;
  lines_.row = x.stride[3];
  lines_.left = -1;
  lines_.right = span(w, w.outputs);
  lines_.has_left = lines_.has_right = true;
  if (!in_place_) {
    const int64_t bytes = slices * fastconv::packed_bytes<T>(w, channels, rows);
    together_ = groups_together(x, channels, groups, bytes);
    packed_bytes_ = together_ * bytes;
    return;
  }
  const int64_t column = middle(w);
  find(lines_.left, lines_.has_left, map_coordinate(w.mode, column - 1, w.in), column);
  find(lines_.right, lines_.has_right, map_coordinate(w.mode, column + lines_.right, w.in), column);
}

template <class T>
void SquareImage<T>::take(Range rows, T* memory) {
  if (rows_.begin == rows.begin && rows_.end == rows.end) return;
  rows_ = rows;
  lines_.rows = rows.size();
  if (in_place_) return;
  const int64_t stride[3] = {x_.stride[1], x_.stride[3], x_.stride[4]};
  if (!every_h_) every_h_ = unstrided(h_), every_w_ = unstrided(w_);
  packed_.emplace(*every_h_, unstrided(rows, h_.stride), *every_w_, unstrided(Range{0, w_.outputs}, w_.stride),
                  channels_, together_, stride, false);
  lines_.row = packed_->row();
  memory_ = memory;
  for (const T*& from : packed_from_) {
    packed_->clear(memory);
    memory += packed_->elements();
    from = nullptr;
  }
}

template <class T>
void SquareImage<T>::read(const T* x, int64_t g, int64_t place) {
  from_ = x + g * channels_ * x_.stride[1];
  if (in_place_) return;
  const int64_t before = g % together_;  // groups that are packed with it
  const T* const first = from_ - before * x_.stride[1];
  T* const memory = memory_ + place * packed_->elements();
  group_ = memory + before * channel_step();
  if (std::exchange(packed_from_[static_cast<size_t>(place)], first) == first) return;
  if (together_ == 1) packed_->pack(first, 0, memory);
  else packed_->pack_neighbours(first, std::min(together_, groups_ - (g - before)), memory);
}

template <class T>
SquareLines<T> SquareImage<T>::channel(int64_t c) const {
  SquareLines<T> l = lines_;
  if (!in_place_) {
    l.above = group_ + c * channel_step() + (half_ - 1) * l.row + half_;
    l.x = l.above + l.row;
    l.below = l.x + span(h_, l.rows) * l.row;
    return l;
  }
  const T* const top = from_ + c * channel_step() + middle(w_);
  const int64_t first = middle(h_) + h_.stride * rows_.begin, above = map_coordinate(h_.mode, first - 1, h_.in),
                below = map_coordinate(h_.mode, first + span(h_, l.rows), h_.in);
  l.x = top + first * l.row;
  l.above = above < 0 ? nullptr : top + above * l.row;
  l.below = below < 0 ? nullptr : top + below * l.row;
  return l;
}

template <class T>
void SquareImage<T>::reach(SquareRows<T>& b) const {
  const int64_t first = middle(h_) + rows_.begin;
  b.before = in_place_ ? std::min(half_, first) : half_;
  b.after = in_place_ ? std::min(half_, h_.in - first - rows_.size()) : half_;
  b.first = in_place_ ? -middle(w_) : -half_;
  b.end = in_place_ ? w_.in - middle(w_) : w_.outputs + half_;
}

#define FASTCONV_INSTANTIATE(T)                                                     \
  template int64_t square_strip<T>(const AxisMap&, const AxisMap&, int64_t);        \
  template int64_t most_packed_bytes<T>(const AxisMap&, int64_t, int64_t, int64_t); \
  template class SquareImage<T>;
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
