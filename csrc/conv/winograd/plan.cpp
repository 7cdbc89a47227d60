#include <algorithm>

#include "base/parallel.hpp"
#include "conv/winograd/layout.hpp"

namespace fastconv {
namespace {

constexpr int64_t kCacheBytes = 1200 << 10;  // transformed input and products of a block
constexpr int64_t kOwnBytes = 448 << 10;     // transformed weights of a task, in the L2 cache beside its inputs;
constexpr int64_t kPartsBytes = 768 << 10;   // of all parts of a kernel
constexpr int64_t kLeastTiles = 64;          // of a block: the transformed weights are read once for each
constexpr int64_t kMostBytes = 12 << 20;     // transformed input of a block, whatever the number of channels
constexpr int64_t kFewTiles = 8;             // reading transformed weights takes longer than transforming them
constexpr int64_t kRowsAtOnce = 64;          // of products
constexpr int64_t kFarBytes = 5 << 20;       // of transformed weights: two blocks rather make them twice
constexpr int64_t kVectorsApart = 2;         // of rows: at least so many a thread, where rows are split
constexpr int64_t kMostCopies = 4;           // of the transformed weights, one a thread,
constexpr int64_t kCopiesBytes = 16 << 20;   // of all of them,
constexpr int64_t kCopiesTiles = 32;         // and tiles for each

int64_t cut(int64_t n, int64_t most) { return ceil_div(n, ceil_div(n, std::max<int64_t>(1, std::min(n, most)))); }

template <class T>
class Planner {
 public:
  explicit Planner(const WinogradSum<T>& s) : s_(s) {}

  WinogradPlan plan() {
    plan_.threads = threads_for(2.0 * static_cast<double>(s_.images * s_.groups * s_.rows) * s_.channels *
                                s_.shape.products() * deep_ * s_.axis[1].outputs * s_.axis[2].outputs);
    if (plan_.threads > 1 && !s_.u && s_.groups == 1) keep_apart();
    cut_blocks(most_tiles());
    share_out();
    place_weights();
    plan_.workspace_bytes = WinogradSizes<T>(s_, plan_).total();
    return plan_;
  }

 private:
  // No thread is to read weights that another transforms: where caches are apart, lines that both have had are slow to
  // write again. Either each transforms all weights or, of few tiles, those of its own rows and all of the source.
  void keep_apart() {
    const int64_t pairs = s_.rows * s_.shape.slices, threads = plan_.threads;
    if (threads <= kMostCopies && all_ >= threads * kCopiesTiles && 2 * all_ > 3 * pairs &&
        threads * winograd_weight_size(s_) <= kCopiesBytes / kItem)
      plan_.copies = plan_.threads;
    else plan_.splits_rows = vectors_ >= kVectorsApart * threads && all_ < 4 * pairs;
  }

  int sharing() const { return plan_.splits_rows ? 1 : plan_.threads; }  // the blocks

  int64_t most_tiles() const {
    const int64_t least = std::clamp<int64_t>(kMostBytes / kItem / (planes_ * channels_), 1,
                                              s_.spreads() ? 2 * kLeastTiles : kLeastTiles);
    const int64_t most = std::max(least, kCacheBytes / kItem / (planes_ * (channels_ + kRowsAtOnce)));
    const bool shares = sharing() > 1 && all_ >= sharing() * (plan_.copies > 1 ? kCopiesTiles : kLeastTiles);
    return shares && !s_.spreads() ? std::min(most, ceil_div(all_, sharing())) : most;
  }

  // Whole rows of outputs. Where blocks add to the same lines, they depend on one image alone, and are large; two for
  // two threads.
  void cut_blocks(int64_t most) {
    plan_.across = s_.spreads() ? across_ : std::min(across_, round_up(cut(across_, most), s_.shape.step[2]));
    plan_.parts[2] = ceil_div(across_, plan_.across);
    plan_.parts[1] = even_parts(down_, std::max<int64_t>(1, most / plan_.across), s_.spreads() ? 2 : sharing());
    if (s_.spreads() && plan_.parts[1] == 1 && down_ * across_ > kLeastTiles)
      plan_.parts[1] = std::min<int64_t>(2, down_);
    plan_.down = ceil_div(down_, plan_.parts[1]);
    plan_.image_parts = s_.images;
    if (plan_.across == across_ && plan_.down == down_ && deep_ == 1)
      plan_.image_parts = even_parts(s_.images, std::max<int64_t>(1, most / (down_ * across_)), sharing());
    plan_.images = ceil_div(s_.images, plan_.image_parts);
    if (s_.shape.slices > 1) plan_.deep = cut(deep_, ceil_div(deep_, ceil_div(sharing(), plan_.blocks())));
    plan_.parts[0] = ceil_div(deep_, plan_.deep);
  }

  void share_out() {
    if (plan_.blocks() < plan_.copies) plan_.copies = 1;
    plan_.group_parts = std::min(s_.groups, ceil_div(sharing(), plan_.blocks()));
    plan_.row_parts = plan_.splits_rows
                          ? plan_.threads
                          : std::min(vectors_, ceil_div(plan_.threads, plan_.blocks() * plan_.group_parts));
  }

  // Where weights are transformed, and how many are at hand at a time.
  void place_weights() {
    const int64_t lanes = conv_kernels<T>().lanes, parts = s_.shape.parts();
    const bool flat = s_.axis[0].taps() == 1;
    const int64_t few = vectors_ * winograd_weight_vector(s_, s_.channels) * kItem < kFarBytes ? 1 : 2;
    plan_.transforms_weights = flat && plan_.blocks() * plan_.deep <= few && (!s_.u || all_ <= kFewTiles);
    if (plan_.transforms_weights) plan_.copies = 1;
    // Half as many rows leave more of that cache to the sums, where one register tile has them all.
    const bool half = plan_.transforms_weights && lanes * winograd_kernels<T>().vectors >= kRowsAtOnce / 2;
    const int64_t rows = half ? kRowsAtOnce / 2 : kRowsAtOnce;
    plan_.chunk = cut(ceil_div(vectors_, plan_.row_parts), ceil_div(rows, lanes * s_.shape.results()));
    // The parts of a kernel are summed for so many channels at a time, whatever the number of threads and images.
    plan_.depth = s_.channels;
    if (plan_.transforms_weights || (flat && parts > 1)) {
      const int64_t bytes_of_row = parts > 1 ? kPartsBytes / kRowsAtOnce : kOwnBytes / rows;
      const int64_t depth = bytes_of_row / kItem / (planes_ * s_.shape.slices / s_.shape.results());
      plan_.depth = std::min(s_.channels, round_up(depth, lanes));
    }
  }

  static constexpr int64_t kItem = sizeof(T);
  const WinogradSum<T>& s_;
  WinogradPlan plan_;
  const int64_t vectors_ = ceil_div(s_.rows, conv_kernels<T>().lanes), planes_ = s_.shape.planes(),
                channels_ = s_.shape.slices * s_.channels / s_.shape.results();
  const int64_t deep_ = s_.axis[0].outputs, down_ = s_.shape.tiles(1, s_.axis[1].outputs),
                across_ = s_.shape.tiles(2, s_.axis[2].outputs), all_ = s_.images * deep_ * down_ * across_;
};

}  // namespace

template <class T>
WinogradPlan plan_winograd(const WinogradSum<T>& s) {
  return Planner<T>(s).plan();
}

template WinogradPlan plan_winograd(const WinogradSum<float>&);
template WinogradPlan plan_winograd(const WinogradSum<double>&);

}  // namespace fastconv
