#include "conv/columns.hpp"

#include <algorithm>

#include "base/checked.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPanelBytes = 32 << 10;  // a panel of weights lives in the L1 cache while all pixels pass by
constexpr int64_t kSumBytes = 640 << 10;   // sums of a block in the L2 cache

template <class T>
struct Columns {
  const GatherSum<T>& s;
  const GatherPlan& plan;
  const Box& b;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  int64_t width;  // of a pixel's sums

  // Neighbouring pixels of one row: a register tile.
  struct Tile {
    int64_t position, pixel, count;
  };
  // A row of y, or several that follow one another.
  struct Run {
    int64_t y, pixel, count;
  };

  Vector<Run> rows(bool join) const {
    Vector<Run> runs;
    const int64_t n = b.extent(2);
    int64_t pixel = 0;
    for (int64_t i = b.image0; i < b.image1; ++i)
      for (int64_t d = b.begin[0]; d < b.end[0]; ++d)
        for (int64_t h = b.begin[1]; h < b.end[1]; ++h, pixel += n) {
          const int64_t y = i * s.y.stride[0] + d * s.y.stride[2] + h * s.y.stride[3] + b.begin[2] * s.y.stride[4];
          if (join && !runs.empty() && runs.back().y + runs.back().count * s.y.stride[4] == y) runs.back().count += n;
          else runs.push_back({y, pixel, n});
        }
    return runs;
  }

  Vector<Tile> tiles(const Block<T>& block) const {
    Vector<Tile> all;
    const int64_t n = b.extent(2), count = ceil_div(n, plan.mr);
    int64_t pixel = 0;
    for (int64_t i = 0; i < b.images(); ++i)
      for (int64_t d = 0; d < b.extent(0); ++d)
        for (int64_t h = 0; h < b.extent(1); ++h, pixel += n)
          for (int64_t t = 0; t < count; ++t) {
            const int64_t w = t * n / count;
            all.push_back({block.position(i, d, h, w), pixel + w, (t + 1) * n / count - w});
          }
    return all;
  }

  // Channels [m0, m1) of the sums, and y.
  void load(const Vector<Run>& runs, const T* y, int64_t count, T* sums) const {
    for (const Run& r : runs)
      kernels.pack_transposed(sums + r.pixel * width, width, y + r.y, s.y.stride[1], s.y.stride[4], r.count, count, count);
  }
  void store(const Vector<Run>& runs, const T* sums, int64_t count, T* y) const {
    const int64_t step = s.y.stride[4];
    for (const Run& r : runs) {
      const T* from = sums + r.pixel * width;
      if (step == 1) kernels.pack_transposed(y + r.y, s.y.stride[1], from, width, 1, count, r.count, r.count);
      else
        for (int64_t m = 0; m < count; ++m)
          for (int64_t i = 0; i < r.count; ++i) y[r.y + m * s.y.stride[1] + i * step] = from[i * width + m];
    }
  }

  void run(int64_t g0, int64_t g1, int64_t tile0, int64_t tile1) {
    const Block<T> block(s.axis, b, plan.expand, s.x);
    const int64_t cb = std::min(plan.channels, s.channels), taps = s.taps(), pixels = b.pixels(), padded = round_up(s.rows, plan.row_unit);
    const int64_t packed_bytes = Arena::rounded_bytes<T>(block.elements(cb)), offset_bytes = Arena::rounded_bytes<int32_t>(cb * taps);
    char* memory = Arena::local().reserve(packed_bytes + columns_bytes(s, plan, pixels));
    T* packed = reinterpret_cast<T*>(memory);
    int32_t* offsets = reinterpret_cast<int32_t*>(memory += packed_bytes);
    T* bias = reinterpret_cast<T*>(memory += offset_bytes);
    T* sums = bias + padded;
    block.offsets(cb, offsets);
    block.clear(cb, packed);

    const int64_t m0 = plan.row_tile(s.rows, tile0).first;
    const auto last = plan.row_tile(s.rows, tile1 - 1);
    width = last.first + last.count - m0;
    const int64_t count = std::min(last.first + last.count, s.rows) - m0;
    const Vector<Tile> all = tiles(block);
    const Vector<Run> runs = rows(true);
    TileRun<T> t{};
    t.boff = offsets;
    t.low = s.low;
    t.high = s.high;
    t.ldc = width;
    for (int64_t g = g0; g < g1; ++g) {
      T* y = s.y.data + (g * s.rows + m0) * s.y.stride[1];
      if (s.accumulate) load(runs, y, count, sums);
      if (s.bias) std::copy_n(s.bias + g * s.rows, s.rows, bias), std::fill(bias + s.rows, bias + padded, T(0));
      for (int64_t c0 = 0; c0 < s.channels; c0 += cb) {
        const int64_t channels = std::min(cb, s.channels - c0);
        const T* x = block.pack(kernels, g * s.x_group + s.x_first + c0, channels, packed);
        t.k = channels * taps;
        t.accumulate = s.accumulate || c0 > 0;
        t.clamp = s.clamp && c0 + channels >= s.channels;
        for (int64_t i = tile0; i < tile1; ++i) {
          const auto [m, wide] = plan.row_tile(s.rows, i);
          t.a = s.a + g * s.a_group + m * s.a_row + (s.packed ? c0 * taps * wide : c0 * s.a_channel + s.a_tap[0]);
          t.lda = s.packed ? wide : s.a_channel;
          t.bias = s.bias ? bias + m : nullptr;
          const auto* kernel = kernels.columns_tile;
          const int64_t vectors = wide / kernels.lanes;
          for (const Tile& tile : all) {
            t.b = x + tile.position;
            t.c = sums + tile.pixel * width + m - m0;
            kernel[tile.count - 1][vectors - 1](t);
          }
        }
      }
      store(runs, sums, count, y);
    }
  }
};

}  // namespace

ColumnsTile choose_columns_tile(int64_t n, int64_t vectors, int accumulators, int widest) {
  ColumnsTile best{1, 1, -1};
  for (int nr = 1; nr <= widest; ++nr) {
    const int64_t panels = ceil_div(vectors, nr), most = std::min<int64_t>(kMaxColumnsRows, accumulators / nr), across = ceil_div(n, most);
    auto cycles = [](int64_t m, int64_t v) { return std::max({static_cast<double>(m * v) / 2, static_cast<double>(m + v + 1) / 2, 4.5}) + 0.3; };
    const int64_t m = n / across, v = vectors / panels, taller = n % across, wider = vectors % panels;
    const double all = static_cast<double>((across - taller) * (panels - wider)) * cycles(m, v) + static_cast<double>(taller * (panels - wider)) * cycles(m + 1, v) +
                       static_cast<double>((across - taller) * wider) * cycles(m, v + 1) + static_cast<double>(taller * wider) * cycles(m + 1, v + 1);
    if (best.cycles < 0 || all < best.cycles) best = {static_cast<int>(ceil_div(n, across)), nr, all};
  }
  return best;
}

template <class T>
double choose_columns(const GatherSum<T>& s, GatherPlan& plan) {
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const ColumnsTile tile = choose_columns_tile(s.axis[2].outputs, ceil_div(s.rows, kernels.lanes), kernels.accumulators, kernels.vectors);
  plan.columns = true;
  plan.row_unit = kernels.lanes;
  plan.mr = tile.mr;
  plan.nr = tile.nr;
  return tile.cycles * static_cast<double>(s.groups * s.images * s.axis[0].outputs * s.axis[1].outputs) * static_cast<double>(s.channels * s.taps());
}

template <class T>
int64_t columns_channels(const GatherSum<T>& s, const GatherPlan& plan) {
  return std::max<int64_t>(1, kPanelBytes / static_cast<int64_t>(sizeof(T)) / (plan.nr * plan.row_unit * s.taps()));
}

template <class T>
int64_t columns_pixels(const GatherSum<T>& s) {
  return std::max<int64_t>(64, kSumBytes / static_cast<int64_t>(sizeof(T)) / round_up(s.rows, conv_kernels<T>().lanes));
}

template <class T>
int64_t columns_bytes(const GatherSum<T>& s, const GatherPlan& plan, int64_t pixels) {
  return Arena::rounded_bytes<int32_t>(plan.channels * s.taps()) + Arena::rounded_bytes<T>((pixels + 1) * round_up(s.rows, plan.row_unit));
}

template <class T>
void run_columns(const GatherSum<T>& s, const GatherPlan& plan, const Box& box, int64_t g0, int64_t g1, int64_t tile0, int64_t tile1) {
  if (tile0 < tile1) Columns<T>{s, plan, box, conv_kernels<T>(), 0}.run(g0, g1, tile0, tile1);
}

#define FASTCONV_INSTANTIATE(T)                                                                \
  template double choose_columns(const GatherSum<T>&, GatherPlan&);                            \
  template int64_t columns_channels(const GatherSum<T>&, const GatherPlan&);                   \
  template int64_t columns_pixels(const GatherSum<T>&);                                        \
  template int64_t columns_bytes(const GatherSum<T>&, const GatherPlan&, int64_t);             \
  template void run_columns(const GatherSum<T>&, const GatherPlan&, const Box&, int64_t, int64_t, int64_t, int64_t);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
