#include "conv/direct/columns.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPanelBytes = 64 << 10;       // a panel of weights, read vector after vector while all pixels pass by
constexpr int64_t kSmallPanelBytes = 32 << 10;  // in the L1 cache, where the weights of a small image were not packed
constexpr int64_t kSmallPlane = 64;             // pixels of all images
constexpr int64_t kPartsDepth = 96;  // channels of weights that were not packed, where a panel is parts of cache lines:
                                     // if far apart they meet in the caches, and the next panel wants the other parts
constexpr int64_t kSumBytes = 640 << 10;  // sums of a block in the L2 cache

// The sums of one box, and where they are kept.
template <class T>
class Columns {
 public:
  // The pixels of `turns` sums may take turns: this one's are then every second from `turn` on, in rows of as many of
  // each.
  Columns(const GatherSum<T>& s, const GatherPlan& plan, const Box& box, int64_t tile0, int64_t tile1,
          int64_t turns = 1, int64_t turn = 0)
      : s_(s),
        plan_(plan),
        box_(box),
        block_(s.axis, box, plan.expand, s.x, 0),
        tile0_(tile0),
        tile1_(tile1),
        channels_(std::min(plan.channels, s.channels)),
        turns_(turns),
        turn_(turn) {
    m0_ = plan.row_tile(s.rows, tile0).first;
    const auto last = plan.row_tile(s.rows, tile1 - 1);
    width_ = last.first + last.count - m0_;
    count_ = std::min(last.first + last.count, s.rows) - m0_;
  }

  int64_t bytes() const { return packed_bytes() + columns_bytes(s_, plan_, 0); }
  int64_t sum_bytes() const { return turns_ * Arena::rounded_bytes<T>(box_.pixels() * width_); }
  // `row`: pixels from one row to the next.
  void place(char* memory, char* sums, int64_t row) {
    find_tiles(row);
    packed_ = reinterpret_cast<T*>(memory);
    offsets_ = reinterpret_cast<int32_t*>(memory += packed_bytes());
    bias_ = reinterpret_cast<T*>(memory += Arena::rounded_bytes<int32_t>(channels_ * s_.taps()));
    panel_ = reinterpret_cast<T*>(memory + Arena::rounded_bytes<T>(round_up(s_.rows, plan_.row_unit)));
    sums_ = reinterpret_cast<T*>(sums);
    block_.offsets(channels_, offsets_);
    block_.clear(channels_, packed_);
  }

  void sum(int64_t g) {
    const int64_t taps = s_.taps(), padded = round_up(s_.rows, plan_.row_unit);
    if (s_.accumulate) load(g);
    if (s_.bias) std::copy_n(s_.bias + g * s_.rows, s_.rows, bias_), std::fill(bias_ + s_.rows, bias_ + padded, T(0));
    TileRun<T> t{};
    t.boff = offsets_;
    t.low = s_.low;
    t.high = s_.high;
    t.a_vector = s_.packed ? kernels_.lanes * s_.a_row : kernels_.lanes;
    t.ldc = turns_ * width_;
    for (int64_t c0 = 0; c0 < s_.channels; c0 += channels_) {
      const int64_t channels = std::min(channels_, s_.channels - c0);
      const T* x = block_.pack(kernels_, g * s_.x_group + s_.x_first + c0, channels, packed_);
      t.k = channels * taps;
      t.accumulate = s_.accumulate || c0 > 0;
      t.clamp = s_.clamp && c0 + channels >= s_.channels;
      for (int64_t i = tile0_; i < tile1_; ++i) {
        t.a = panel(g, c0, i);
        const T* next = i + 1 < tile1_ ? panel(g, c0, i + 1) : panel(g, c0 + channels, tile0_);
        multiply(t, x, plan_.row_tile(s_.rows, i), next);
      }
    }
  }

  // Rows of n outputs.
  void store(int64_t g, int64_t n) const {
    const int64_t step = s_.y.stride[4] / turns_;
    for (const Run& r : rows(n)) {
      const T* from = sums_ + r.pixel * width_;
      T* y = this->y(g) + r.y;
      if (step == 1) kernels_.pack_transposed(y, s_.y.stride[1], from, width_, 1, count_, r.count, r.count);
      else if (s_.y.stride[1] == 1) kernels_.copy_tile(y, step, from, width_, r.count, count_);
      else
        for (int64_t m = 0; m < count_; ++m)
          for (int64_t i = 0; i < r.count; ++i) y[m * s_.y.stride[1] + i * step] = from[i * width_ + m];
    }
  }

 private:
  // Neighbouring pixels of one row: a register tile.
  struct Tile {
    int64_t position, pixel, count;
  };
  // A row of y, or several that follow one another.
  struct Run {
    int64_t y, pixel, count;
  };

  // The weights of row tile i for the channels from c0 on.
  const T* panel(int64_t g, int64_t c0, int64_t i) const {
    return s_.a + g * s_.a_group + plan_.row_tile(s_.rows, i).first * s_.a_row +
           (s_.packed ? c0 * s_.taps() * kernels_.lanes : c0 * s_.a_channel + s_.a_tap[0]);
  }

  // All pixels of one panel. Of weights that were not packed each tile fetches one of the lines that make up a row of
  // the next panel; the first one aligns them for the others, which would read across cache lines, or
  // from lines that meet in the cache. A panel that ends within a vector is copied: it may be memory's end.
  void multiply(TileRun<T>& t, const T* x, GatherPlan::RowTile rows, const T* next) const {
    constexpr int64_t kLine = 64 / sizeof(T);
    const auto [m, wide] = rows;
    const bool aligns = !s_.packed && tiles_.size() > 1 && (kernels_.keeps || reinterpret_cast<uintptr_t>(s_.a) % 64);
    int64_t lines = s_.packed ? 0 : wide / kLine + 1;
    t.lda = s_.packed ? kernels_.lanes : s_.a_channel;
    t.bias = s_.bias ? bias_ + m : nullptr;
    t.keep = aligns ? panel_ : nullptr;
    if (!s_.packed && m + wide > s_.rows) {
      kernels_.copy_tile(panel_, wide, t.a, t.lda, t.k, s_.rows - m);
      t.a = panel_, t.lda = wide, t.keep = nullptr;
    }
    for (const Tile& tile : tiles_) {
      t.a_ahead = lines > 0 ? next + (lines - 1) * kLine : t.a;
      t.a_ahead_step = lines-- > 0 ? s_.a_channel : 0;
      t.b = x + tile.position;
      t.c = sums_ + (tile.pixel * turns_ + turn_) * width_ + m - m0_;
      kernels_.columns_tile[tile.count - 1][wide / kernels_.lanes - 1](t);
      if (t.keep) t.a = panel_, t.lda = wide, t.keep = nullptr;
    }
  }
  int64_t packed_bytes() const { return Arena::rounded_bytes<T>(block_.elements(channels_)); }
  T* y(int64_t g) const { return s_.y.data + (g * s_.rows + m0_) * s_.y.stride[1]; }

  Vector<Run> rows(int64_t n) const {
    Vector<Run> runs;
    const int64_t step = s_.y.stride[4] / turns_;
    int64_t pixel = 0;
    for (int64_t i = box_.image0; i < box_.image1; ++i)
      for (int64_t d = box_.begin[0]; d < box_.end[0]; ++d)
        for (int64_t h = box_.begin[1]; h < box_.end[1]; ++h, pixel += turns_ * box_.extent(2)) {
          const int64_t y =
              i * s_.y.stride[0] + d * s_.y.stride[2] + h * s_.y.stride[3] + box_.begin[2] * s_.y.stride[4];
          const bool joins = !runs.empty() && runs.back().y + runs.back().count * step == y &&
                             runs.back().pixel + runs.back().count == pixel;
          if (joins) runs.back().count += n;
          else runs.push_back({y, pixel, n});
        }
    return runs;
  }

  void find_tiles(int64_t row) {
    // Lines that follow one another are one.
    const bool joined = row == box_.extent(2) && block_.width(2) == row;
    const int64_t lines = joined ? 1 : box_.extent(1), n = joined ? box_.extent(1) * row : box_.extent(2),
                  count = ceil_div(n, plan_.mr);
    int64_t pixel = 0;
    for (int64_t i = 0; i < box_.images(); ++i)
      for (int64_t d = 0; d < box_.extent(0); ++d)
        for (int64_t h = 0; h < lines; ++h, pixel += joined ? n : row)
          for (int64_t t = 0; t < count; ++t) {
            const int64_t w = t * n / count;
            tiles_.push_back({block_.position(i, d, h, w), pixel + w, (t + 1) * n / count - w});
          }
  }

  void load(int64_t g) const {
    for (const Run& r : rows(box_.extent(2)))
      kernels_.pack_transposed(sums_ + r.pixel * width_, width_, y(g) + r.y, s_.y.stride[1], s_.y.stride[4], r.count,
                               count_, count_);
  }

  const GatherSum<T>& s_;
  const GatherPlan& plan_;
  const Box box_;
  const Block<T> block_;
  const ConvKernelsOf<T>& kernels_ = conv_kernels<T>();
  const int64_t tile0_, tile1_, channels_, turns_, turn_;
  int64_t m0_, width_, count_;  // rows of `a`: the first, and how many with and without those that fill the last vector
  Vector<Tile> tiles_;
  T *packed_ = nullptr, *bias_ = nullptr, *panel_ = nullptr, *sums_ = nullptr;
  int32_t* offsets_ = nullptr;
};

}  // namespace

ColumnsTile choose_columns_tile(int64_t n, int64_t vectors, int accumulators, int widest, int tallest) {
  ColumnsTile best{1, 1, -1};
  for (int nr = 1; nr <= widest; ++nr) {
    const int64_t panels = ceil_div(vectors, nr), most = std::min({kMaxColumnsRows, tallest, accumulators / nr}),
                  across = ceil_div(n, most);
    auto cycles = [](int64_t m, int64_t v) {
      return std::max({static_cast<double>(m * v) / 2, static_cast<double>(m + v + 1) / 2, 4.5}) + 0.3;
    };
    const int64_t m = n / across, v = vectors / panels, taller = n % across, wider = vectors % panels;
    const double all = static_cast<double>((across - taller) * (panels - wider)) * cycles(m, v) +
                       static_cast<double>(taller * (panels - wider)) * cycles(m + 1, v) +
                       static_cast<double>((across - taller) * wider) * cycles(m, v + 1) +
                       static_cast<double>(taller * wider) * cycles(m + 1, v + 1);
    if (best.cycles < 0 || all < best.cycles) best = {static_cast<int>(ceil_div(n, across)), nr, all};
  }
  return best;
}

namespace {

// Outputs that follow one another in a block.
template <class T>
int64_t line_outputs(const GatherSum<T>& s) {
  const int64_t n = s.axis[2].outputs;
  return layout_size(s.axis[2], n, false).width == n ? n * s.axis[1].outputs : n;
}

}  // namespace

template <class T>
double choose_columns(const GatherSum<T>& s, GatherPlan& plan) {
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const ColumnsTile tile = choose_columns_tile(line_outputs(s), ceil_div(s.rows, kernels.lanes), kernels.accumulators,
                                               kernels.vectors, kernels.tallest);
  plan.columns = true;
  plan.row_unit = kernels.lanes;
  plan.mr = tile.mr;
  plan.nr = tile.nr;
  const int64_t lines = s.images * s.plane() / line_outputs(s);
  return tile.cycles * static_cast<double>(s.groups * lines) * static_cast<double>(s.channels * s.taps());
}

template <class T>
int64_t columns_channels(const GatherSum<T>& s, const GatherPlan& plan) {
  const bool small = !s.packed && s.images * s.plane() <= kSmallPlane;
  if (!s.packed && conv_kernels<T>().keeps) return kPartsDepth;
  const int64_t room = (small ? kSmallPanelBytes : kPanelBytes) / static_cast<int64_t>(sizeof(T));
  return std::max<int64_t>(1, room / (plan.nr * plan.row_unit * s.taps()));
}

template <class T>
int64_t columns_pixels(const GatherSum<T>& s) {
  return std::max<int64_t>(64, kSumBytes / static_cast<int64_t>(sizeof(T)) / round_up(s.rows, conv_kernels<T>().lanes));
}

template <class T>
int64_t columns_bytes(const GatherSum<T>& s, const GatherPlan& plan, int64_t pixels) {
  return Arena::rounded_bytes<int32_t>(plan.channels * s.taps()) +
         Arena::rounded_bytes<T>(round_up(s.rows, plan.row_unit)) +
         (s.packed ? 0 : Arena::rounded_bytes<T>(plan.channels * plan.nr * plan.row_unit)) +
         Arena::rounded_bytes<T>(pixels * round_up(s.rows, plan.row_unit));
}

template <class T>
void run_columns(const GatherSum<T>& s, const GatherPlan& plan, const Box& box, int64_t g0, int64_t g1, int64_t tile0,
                 int64_t tile1) {
  if (tile0 >= tile1) return;
  Columns<T> columns(s, plan, box, tile0, tile1);
  char* memory = Arena::local().reserve(columns.bytes() + columns.sum_bytes());
  columns.place(memory, memory + columns.bytes(), box.extent(2));
  for (int64_t g = g0; g < g1; ++g) {
    columns.sum(g);
    columns.store(g, box.extent(2));
  }
}

template <class T>
void run_columns_pair(const GatherSum<T> (&s)[2], const GatherPlan (&plan)[2], const Box& box, int64_t g0, int64_t g1,
                      int64_t tile0, int64_t tile1) {
  if (tile0 >= tile1) return;
  Box odd_box = box;
  odd_box.end[2] = s[1].axis[2].outputs;
  Columns<T> even(s[0], plan[0], box, tile0, tile1, 2, 0), odd(s[1], plan[1], odd_box, tile0, tile1, 2, 1);
  char* memory = Arena::local().reserve(even.bytes() + odd.bytes() + even.sum_bytes());
  char* sums = memory + even.bytes() + odd.bytes();
  even.place(memory, sums, box.extent(2));
  odd.place(memory + even.bytes(), sums, box.extent(2));
  for (int64_t g = g0; g < g1; ++g) {
    even.sum(g);
    odd.sum(g);
    even.store(g, box.extent(2) + odd_box.extent(2));
  }
}

#define FASTCONV_INSTANTIATE(T)                                                                                      \
  template double choose_columns(const GatherSum<T>&, GatherPlan&);                                                  \
  template int64_t columns_channels(const GatherSum<T>&, const GatherPlan&);                                         \
  template int64_t columns_pixels(const GatherSum<T>&);                                                              \
  template int64_t columns_bytes(const GatherSum<T>&, const GatherPlan&, int64_t);                                   \
  template void run_columns(const GatherSum<T>&, const GatherPlan&, const Box&, int64_t, int64_t, int64_t, int64_t); \
  template void run_columns_pair(const GatherSum<T>(&)[2], const GatherPlan(&)[2], const Box&, int64_t, int64_t,     \
                                 int64_t, int64_t);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
