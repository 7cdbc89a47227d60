#include "conv/winograd/piece.hpp"

#include <algorithm>
#include <utility>

#include "conv/strided_cost.hpp"

namespace fastconv {
namespace {

constexpr int64_t kKeptBytes = 1 << 20, kKeptOfBatch = 8 << 20;
// Transformed at a time, if there is but one group: at most; and by one thread what stays in the cache of the third
// level, if that is of rows enough to repay that the source is transformed anew.
constexpr int64_t kWeightBytes = 64 << 20, kCachedBytes = 9 << 20, kCachedRows = 128;
// Of what transforming weights takes, which reading the transformed ones does: they are several times as large, and
// come from beyond the L2 cache.
constexpr double kReadShare = 0.7;
// And of it what counts without a stride: the choice is one for any number of images, which transform weights once.
constexpr double kWeightShare = 0.6;
constexpr int64_t kFarBytes = 16 << 20;  // of a volume's transformed weights, all of which go through memory,
constexpr double kFarByte = 0.3;         // cycles of each
constexpr double kMeasured = 1.5;        // cycles of phases, an estimated one
// Pairs of rows and channels whose weights, where they are kept, are made ready for large tiles too: layers of more
// have smaller images, or take little time for that.
constexpr int64_t kMostReady = 256 * 256;

template <class T>
__attribute__((noinline)) double weight_cost(const Operands<T>& c, const WinogradShape& shape) {
  const View<const T>& w = c.rows.w;
  const bool all = w.shape[3] == shape.kernel(1) && w.shape[4] == shape.kernel(2);
  const double cost = winograd_weight_cost<T>(shape, c.rows.groups, c.rows.rows, c.rows.channels, all),
               bytes = static_cast<double>(shape.planes() * shape.slices * c.rows.rows * c.rows.channels) * sizeof(T);
  return shape.slices > shape.parts() && bytes > kFarBytes ? cost + kFarByte * bytes : cost;
}

// Of an image, without the weights.
template <class T>
__attribute__((noinline)) double image_cost(const Operands<T>& c, const PieceBox& box, const WinogradShape& shape) {
  const int64_t outputs[3] = {box.d.map.outputs, box.h.map.outputs, box.w.map.outputs};
  return winograd_cost<T>(shape, c.rows.groups, c.rows.rows, c.rows.channels, outputs);
}

// With tiles of the size that costs less, be the weights at hand or not: those change no bit. Neither does a batch,
// which pays for the weights once: hence they count for less.
template <class T>
WinogradShape shape_of(const Operands<T>& c, const PieceBox& box) {
  const WinogradShape shape = winograd_shape(box.d.map, box.h.map, box.w.map);
  if (!fits_large_tiles<T>(shape)) return shape;
  WinogradShape large = shape;
  large.side = kWinogradLargeIn;
  const auto cost = [&](const WinogradShape& s) { return image_cost(c, box, s) + 0.75 * weight_cost(c, s); };
  return cost(large) < cost(shape) ? large : shape;
}

// Of an image by the direct algorithm, in the same measure.
template <class T>
double direct_cost(const Operands<T>& c, const WinogradShape& shape, const int64_t (&outputs)[3], bool dense) {
  // Of all products that the vectors allow: with many registers columns reach nearly all of a stride.
  const double share = conv_kernels<T>().keeps ? 0.85 : dense ? 0.8 : shape.split > 1 ? 0.95 : 0.85;
  const WeightRows<T>& w = c.rows;
  const double all = static_cast<double>(w.groups * w.rows), per_cycle = 2 * conv_kernels<T>().lanes;
  if (!shape.phases)
    return shape.products() * all * w.channels * outputs[0] * outputs[1] * outputs[2] / (per_cycle * share);
  const double images = static_cast<double>(c.images()), lines = all * c.y.shape[2] * c.y.shape[3];
  const double products = all * static_cast<double>(w.w.shape[2] * w.w.shape[3] * w.w.shape[4]) *
                          static_cast<double>(c.x.size()) / (images * w.groups);
  return strided_pieces_cost(products / per_cycle, w.rows, lines, lines * c.y.shape[4], 4) / kMeasured;
}

// Of the four phases of a stride of two; `box` has the taps that any of them has.
WinogradShape phase_shape(const PieceBox& box) {
  WinogradShape shape;
  shape.phases = true;
  shape.split = 2;
  shape.along = static_cast<int64_t>(box.h.taps.size());
  shape.taps = static_cast<int>(box.h.map.taps());
  shape.slices = box.d.map.tabulated() ? 0 : box.d.map.taps() * shape.parts();
  if (shape.slices == 0) shape.taps = 0;
  return shape;
}

// Of all four phases the pieces of h and w. False where they are not all, or no phases.
bool join_phases(const BackwardPieces (&axis)[3], Piece (&both)[2]) {
  if (axis[0].set.size() != 1 || axis[1].set.size() != 2 || axis[2].set.size() != 2) return false;
  for (int i : {0, 1}) {
    const Piece &even = axis[i + 1].set[0], &odd = axis[i + 1].set[1];
    if (even.step != 2 || !winograd_phases(even.map, odd.map, both[i].map)) return false;
    both[i].taps = all_taps(even.map.taps() + odd.map.taps());
  }
  return both[0].taps.size() == both[1].taps.size();
}

// The taps of the longer phase of an axis and of the shorter one. Returns which of the two comes first.
int find_parts(const BackwardPieces& axis, const AxisMap& both, int64_t stride, int64_t (&tap)[2][3]) {
  const int flip = axis.set[0].taps.size() < axis.set[1].taps.size();
  for (int part : {0, 1}) {
    const Piece piece = ascending(axis.set[static_cast<size_t>(part ^ flip)]);
    std::fill_n(tap[part], 3, kNoTap);
    for (size_t t = 0; t < piece.taps.size(); ++t)
      tap[part][piece.map.offset[t] - both.offset[0]] = piece.taps[t] * stride;
  }
  return flip;
}

template <class T>
int64_t rows_at_once(const Operands<T>& c, const WinogradShape& shape, int threads) {
  const WeightRows<T>& w = c.rows;
  if (w.groups > 1 || c.transformed(shape.large())) return w.rows;
  const int64_t row_bytes = shape.planes() * shape.slices * w.channels * static_cast<int64_t>(sizeof(T));
  const int64_t cached = kCachedBytes / row_bytes;
  const int64_t most = threads > 1 || cached < kCachedRows ? kWeightBytes / row_bytes : cached;
  return std::min(w.rows, round_up(ceil_div(w.rows, ceil_div(w.rows, std::max<int64_t>(8, most))), 8));
}

}  // namespace

template <class T>
double WinogradPiece<T>::cost(const Operands<T>& c, const PieceBox& box) {
  return cost(c, box, shape_of(c, box));
}

template <class T>
double WinogradPiece<T>::cost(const Operands<T>& c, const PieceBox& box, const WinogradShape& shape) {
  const bool asked = c.algorithm == Algorithm::winograd;
  const WeightRows<T>& w = c.rows;
  if (!(asked || c.algorithm == Algorithm::automatic) || !has_winograd<T>(shape) || w.channels == 0) return -1;
  const int64_t outputs[3] = {box.d.map.outputs, box.h.map.outputs, box.w.map.outputs};
  if (!asked && !large_enough_for_winograd<T>(shape, w.rows, w.channels, w.groups * outputs[1] * outputs[2])) return -1;
  const bool dense = shape.split == 1 && box.w.step == 1;
  const bool read = c.transformed(shape.large());
  const double weights = weight_cost(c, shape), image = image_cost(c, box, shape);
  const double share = read ? kReadShare : dense ? kWeightShare : 1;
  const bool pays = image + share * weights < direct_cost(c, shape, outputs, dense);
  return asked || pays ? image + (read ? kReadShare : 1) * weights : -1;
}

// Every element of y is to be read by some output: where these are fewer than taps are apart, or than could be, some
// may not be.
template <class T>
bool WinogradPiece<T>::spreads(const Operands<T>& c, const PieceBox& box) {
  const WinogradShape shape = shape_of(c, box);
  for (int i : {1, 2})
    if (const AxisMap& map = box[i].map;
        map.outputs < shape.step[i] || map.outputs + map.offset.back() < map.in || map.offset.front() > 0)
      return false;
  return !shape.strip && shape.split == 1 && winograd_kernels<T>().of(shape.taps, shape.side).spread &&
         !c.first_bias() && cost(c, box, shape) >= 0;
}

template <class T>
int64_t WinogradPiece<T>::images_at_once() const {
  const int64_t bytes = kept_bytes() / sum_.images;
  const bool little = bytes <= kKeptBytes || 8 * bytes <= c_.y.shape[2] * c_.y.shape[3] * c_.y.shape[4] * sum_.rows *
                                                              static_cast<int64_t>(sizeof(T));
  return !little ? 0 : bytes == 0 ? sum_.images : std::clamp<int64_t>(kKeptOfBatch / bytes, 1, sum_.images);
}

template <class T>
bool WinogradPiece<T>::find_phases(const Operands<T>& c, const BackwardPieces (&axis)[3], Piece (&both)[2]) {
  if (!join_phases(axis, both)) return false;
  const PieceBox box{axis[0].set[0], both[0], both[1]};
  return cost(c, box, phase_shape(box)) >= 0;
}

template <class T>
double WinogradPiece<T>::strided_cost(const Operands<T>& c, const BackwardPieces (&axis)[3]) {
  Piece both[2];
  if (join_phases(axis, both)) {
    const PieceBox box{axis[0].set[0], both[0], both[1]};
    if (const double cost = WinogradPiece<T>::cost(c, box, phase_shape(box)); cost >= 0) return cost * kMeasured;
  }
  double all = 0;
  for (const Piece& d : axis[0].set)
    for (const Piece& h : axis[1].set)
      for (const Piece& w : axis[2].set) {
        const PieceBox box{d, h, w};
        if (box.taps() == 0) continue;
        const double cost = WinogradPiece<T>::cost(c, box);
        if (cost < 0) return -1;
        all += cost * kMeasured;
      }
  return all;
}

template <class T>
WinogradPiece<T>::WinogradPiece(const Operands<T>& c, const PieceBox& box, const BackwardPieces (&axis)[3]) : c_(c) {
  sum_.shape = phase_shape(box);
  const Piece d = ascending(box.d);
  sum_.axis[0] = d.map;
  sum_.slice = c_.tap_offsets(0, d);
  for (int i : {0, 1}) {
    sum_.axis[i + 1] = box[i + 1].map;
    sum_.flip[i] = find_parts(axis[i + 1], box[i + 1].map, c_.rows.w.stride[3 + i], sum_.part_tap[i]);
    if (sum_.part_tap[i][1][0] == kNoTap) sum_.shape.lack[i] = 0;
  }
  sum_.y = c_.y;
  sum_.y.data += box.d.begin * c_.y.stride[2];
  start();
}

template <class T>
WinogradPiece<T>::WinogradPiece(const Operands<T>& c, const PieceBox& box, bool spreads) : c_(c) {
  Vector<int64_t> tap[3];
  for (int i = 0; i < 3; ++i) {
    Piece piece = ascending(box[i]);
    tap[i] = c_.tap_offsets(i, piece);
    sum_.axis[i] = std::move(piece.map);
  }
  sum_.slice = std::move(tap[0]);
  int64_t* to = sum_.tap;
  for (int64_t i : tap[1])
    for (int64_t j : tap[2]) *to++ = i + j;
  for (int i : {0, 1})
    for (size_t t = 0; t < 6; ++t) sum_.part_tap[i][t % 2][t / 2] = t < tap[i + 1].size() ? tap[i + 1][t] : kNoTap;
  sum_.shape = shape_of(c_, box);
  sum_.y = spreads ? c_.y : c_.y_of(box);
  for (int i = 1; spreads && i < 3; ++i) {
    sum_.to[i - 1] = &box[i].map;
    sum_.axis[i] = {};
    sum_.axis[i].outputs = sum_.axis[i].in = box[i].map.outputs;
  }
  start();
}

template <class T>
void WinogradPiece<T>::start() {
  const WeightRows<T>& w = c_.rows;
  sum_.images = c_.images();
  sum_.groups = w.groups;
  sum_.channels = w.channels;
  sum_.rows = rows_at_once_ = w.rows;
  sum_.x = c_.x;
  sum_.w = w.w.data;
  sum_.w_group = w.group_stride();
  sum_.w_row = w.row_stride();
  sum_.w_channel = w.channel_stride();
  sum_.bias = c_.first_bias();
  sum_.clamp = c_.clamps;
  sum_.low = c_.low;
  sum_.high = c_.high;
  plan();
  if (const int64_t rows = rows_at_once(c_, sum_.shape, plan_.threads); weight_bytes() > 0 && rows < w.rows) {
    sum_.rows = rows_at_once_ = rows;
    plan();
  }
  if (sum_.spreads()) spread_.emplace(sum_, plan_);
}

template <class T>
void WinogradPiece<T>::plan() {
  sum_.u = c_.transformed(sum_.shape.large());
  plan_ = plan_winograd(sum_);
}

template <class T>
bool WinogradPiece<T>::next() {
  first_row_ += sum_.rows;
  if (first_row_ >= c_.rows.rows) return false;
  sum_.y.data += sum_.rows * sum_.y.stride[1];
  sum_.w += sum_.rows * sum_.w_row;
  if (sum_.bias) sum_.bias += sum_.rows;
  sum_.rows = std::min(rows_at_once_, c_.rows.rows - first_row_);
  plan();
  return true;
}

template <class T>
void WinogradPiece<T>::run() {
  do run_rows();
  while (next());
}

// The weights are transformed once for all blocks, or, where there is but one, by the tasks as they come to them.
template <class T>
void WinogradPiece<T>::run_rows() {
  const int64_t weights = weight_bytes();
  char* const memory = Arena::shared().reserve(weights + kept_bytes());
  if (spread_) spread_->kept_at = reinterpret_cast<T*>(memory + weights);
  run_winograd(sum_, plan_, weights ? reinterpret_cast<T*>(memory) : nullptr, spread_ ? &*spread_ : nullptr);
}

template <class T>
void WinogradPiece<T>::make_ready(ReadyWeights<T>& to) {
  sum_.rows = c_.rows.rows;
  const bool fits = fits_large_tiles<T>(sum_.shape),
             both = fits && sum_.groups * sum_.rows * sum_.channels <= kMostReady;
  if (fits) sum_.shape.side = kWinogradIn;
  const int64_t size = weight_elements();
  if (both) sum_.shape.side = kWinogradLargeIn;
  T* u = to.reserve(both ? size + weight_elements() : size);
  if (both) winograd_weights(sum_, 1, u + size), to.large = u + size;
  if (both) sum_.shape.side = kWinogradIn;
  winograd_weights(sum_, 1, u);
  (sum_.shape.large() ? to.large : to.transformed) = u;
}

template <class T>
ConvPlan WinogradPiece<T>::describe() const {
  const WeightRows<T>& w = c_.rows;
  const int64_t outputs[3] = {sum_.axis[0].outputs, sum_.axis[1].outputs, sum_.axis[2].outputs};
  ConvPlan plan;
  plan.algorithm = Algorithm::winograd;
  plan.kernel = winograd_name(sum_.shape);
  plan.mr = winograd_kernels<T>().tiles;
  plan.nr = winograd_kernels<T>().vectors * conv_kernels<T>().lanes;
  plan.block_channels = sum_.channels;
  plan.block_pixels = plan_.images * plan_.deep * plan_.down * plan_.across * sum_.shape.out(1) * sum_.shape.out(2);
  plan.workspace_bytes = plan_.workspace_bytes;
  plan.shared_bytes = weight_bytes();
  if (spread_) plan.shared_bytes += kept_bytes() / sum_.images * images_at_once();
  plan.threads = plan_.threads;
  plan.cost = static_cast<double>(sum_.images) * winograd_cost<T>(sum_.shape, w.groups, w.rows, w.channels, outputs) +
              weight_cost(c_, sum_.shape);
  return plan;
}

template class WinogradPiece<float>;
template class WinogradPiece<double>;

}  // namespace fastconv
