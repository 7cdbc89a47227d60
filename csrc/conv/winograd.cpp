#include "conv/winograd.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/block.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPlanes = kWinogradPlanes, kOut = kWinogradOut;
constexpr int64_t kTransformedBytes = 1200 << 10;  // transformed input of a block

// Rows of a register tile: all tiles of a problem have the same number, the last ones idle in part.
template <class T>
int64_t tile_rows(int64_t rows) {
  const int64_t most = conv_kernels<T>().rows;
  return ceil_div(rows, ceil_div(rows, most));
}

template <class T>
struct Layout {
  int64_t tiles, v_row, v_plane, m_row, m_plane;
  Layout(const WinogradSum<T>& s, const WinogradPlan& plan) {
    tiles = plan.images * plan.down * plan.across;
    v_row = round_up(tiles, conv_kernels<T>().lanes);
    v_plane = plane_stride(s.channels * v_row + conv_kernels<T>().lanes);  // the last channel's last vector may overhang
    m_row = round_up(tiles, conv_kernels<T>().lanes) + kMaxVectors * conv_kernels<T>().lanes;
    m_plane = plane_stride(plan.mr * m_row);
  }
  int64_t v_elements() const { return kPlanes * v_plane + (kMaxVectors + 1) * conv_kernels<T>().lanes; }
  int64_t m_elements() const { return kPlanes * m_plane; }
};

// The transformed weights of one register tile: u[plane][row][channel].
template <class T>
void transform_tile(const WinogradSum<T>& s, int64_t g, int64_t i, int64_t mr, T* u) {
  WinogradWeights<T> job{};
  job.channels = s.channels;
  job.channel_stride = s.w_channel;
  std::copy_n(s.tap, 9, job.tap);
  job.plane = mr * s.channels;
  for (int64_t m = i * mr; m < std::min(s.rows, (i + 1) * mr); ++m) {
    job.w = s.w + g * s.w_group + m * s.w_row;
    job.u = u + (m - i * mr) * s.channels;
    winograd_kernels<T>().weights(job);
  }
}

template <class T>
struct Tiles {
  const WinogradSum<T>& s;
  const WinogradPlan& plan;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const WinogradKernelsOf<T>& transforms = winograd_kernels<T>();

  // One (d, tile rows, tile columns, images) block of all groups, and part `part` of the rows.
  void run(const Box& box, int64_t part) const {
    static const bool expand[3] = {false, false, false};
    const Block<T> block(s.axis, box, expand, s.x);
    const Layout<T> layout(s, plan);
    const int64_t down = ceil_div(box.extent(1), kOut), across = ceil_div(box.extent(2), kOut);
    const int64_t tiles = box.images() * down * across;
    const int64_t slack = 6 * kernels.lanes;  // a row of patches may be read a vector of patches too far
    const int64_t u_tile = kPlanes * plan.mr * s.channels;
    const int64_t bytes[] = {Arena::rounded_bytes<T>(block.elements(s.channels) + slack), Arena::rounded_bytes<T>(layout.v_elements()),
                             Arena::rounded_bytes<T>(layout.m_elements()), Arena::rounded_bytes<int32_t>(2 * s.channels),
                             Arena::rounded_bytes<T>(s.u ? 0 : u_tile)};
    char* memory = Arena::local().reserve(bytes[0] + bytes[1] + bytes[2] + bytes[3] + bytes[4]);
    T* b = reinterpret_cast<T*>(memory);
    T* v = reinterpret_cast<T*>(memory + bytes[0]);
    T* m = reinterpret_cast<T*>(memory + bytes[0] + bytes[1]);
    int32_t* boff = reinterpret_cast<int32_t*>(memory + bytes[0] + bytes[1] + bytes[2]);
    int32_t* aoff = boff + s.channels;
    T* own = reinterpret_cast<T*>(memory + bytes[0] + bytes[1] + bytes[2] + bytes[3]);
    for (int64_t c = 0; c < s.channels; ++c) boff[c] = static_cast<int32_t>(c * layout.v_row), aoff[c] = static_cast<int32_t>(c);
    block.clear(s.channels, b);
    std::fill_n(b + block.elements(s.channels), slack, T(0));
    std::fill_n(v + kPlanes * layout.v_plane, (kMaxVectors + 1) * kernels.lanes, T(0));

    for (int64_t g = 0; g < s.groups; ++g) {
      block.pack(kernels, g * s.channels, s.channels, b);
      transform_input(block, layout, down, across, b, v);
      const int64_t row_tiles = ceil_div(s.rows, plan.mr);
      for (int64_t i = part * row_tiles / plan.row_parts; i < (part + 1) * row_tiles / plan.row_parts; ++i) {
        const int64_t mr = std::min<int64_t>(plan.mr, s.rows - i * plan.mr);
        if (!s.u) transform_tile(s, g, i, plan.mr, own);
        multiply(s.u ? s.u + (g * row_tiles + i) * u_tile : own, mr, layout, tiles, boff, aoff, v, m);
        for (int64_t r = 0; r < mr; ++r) transform_output(block.box(), g * s.rows + i * plan.mr + r, down, across, m + r * layout.m_row, layout.m_plane);
      }
    }
  }

 private:
  void transform_input(const Block<T>& block, const Layout<T>& layout, int64_t down, int64_t across, const T* b, T* v) const {
    WinogradInput<T> job{};
    job.pitch = block.width(2);
    job.down = down;
    job.across = across;
    job.plane = layout.v_plane;
    for (int64_t c = 0; c < s.channels; ++c)
      for (int64_t n = 0; n < block.box().images(); ++n) {
        job.src = b + c * block.channel_stride() + block.position(n, 0, 0, 0);
        job.v = v + c * layout.v_row + n * down * across;
        job.row = n == 0 ? layout.v_row : 0;
        transforms.input(job);
      }
  }

  void multiply(const T* u, int64_t mr, const Layout<T>& layout, int64_t tiles, const int32_t* boff, const int32_t* aoff, const T* v, T* m) const {
    TileRun<T> t{};
    t.k = s.channels;
    t.lda = s.channels;
    t.aoff = aoff;
    t.boff = boff;
    t.ldc = layout.m_row;
    const int64_t vectors = ceil_div(tiles, kernels.lanes), widest = std::min<int64_t>(kMaxVectors, kernels.accumulators / mr);
    const int64_t panels = ceil_div(vectors, widest), wide = ceil_div(vectors, panels), wides = vectors - panels * (wide - 1);
    for (int64_t i = 0; i < kPlanes; ++i) {
      t.a = u + i * plan.mr * s.channels;
      t.b = v + i * layout.v_plane;
      t.c = m + i * layout.m_plane;
      t.pixels = wides * wide * kernels.lanes;
      kernels.tile[mr - 1][wide - 1](t);
      if (wides == panels) continue;
      t.b += t.pixels;
      t.c += t.pixels;
      t.pixels = vectors * kernels.lanes - t.pixels;
      kernels.tile[mr - 1][wide - 2](t);
    }
  }

  void transform_output(const Box& box, int64_t channel, int64_t down, int64_t across, const T* m, int64_t plane) const {
    WinogradOutput<T> job{};
    job.plane = plane;
    job.across = across;
    job.y_row = s.y.stride[3];
    job.y_step = s.y.stride[4];
    job.rows = std::min(box.extent(1), s.axis[1].outputs - box.begin[1]);
    job.columns = std::min(box.extent(2), s.axis[2].outputs - box.begin[2]);
    job.bias = s.bias ? s.bias + channel : nullptr;
    job.clamp = s.clamp;
    job.low = s.low;
    job.high = s.high;
    for (int64_t n = 0; n < box.images(); ++n) {
      job.m = m + n * down * across;
      job.y = s.y.data + (box.image0 + n) * s.y.stride[0] + channel * s.y.stride[1] + box.begin[0] * s.y.stride[2] + box.begin[1] * s.y.stride[3] +
              box.begin[2] * s.y.stride[4];
      transforms.output(job);
    }
  }
};

}  // namespace

template <class T>
int64_t winograd_weight_size(int64_t groups, int64_t rows, int64_t channels) {
  const int64_t mr = tile_rows<T>(rows);
  return checked_mul(groups * ceil_div(rows, mr) * mr, kPlanes * channels, "weight");
}

template <class T>
void winograd_weights(const WinogradSum<T>& s, int threads, T* u) {
  const int64_t mr = tile_rows<T>(s.rows), row_tiles = ceil_div(s.rows, mr);
  parallel_tasks(s.groups * row_tiles, threads, [&](int64_t task) {
    transform_tile(s, task / row_tiles, task % row_tiles, mr, u + task * kPlanes * mr * s.channels);
  });
}

template <class T>
WinogradPlan plan_winograd(const WinogradSum<T>& s) {
  WinogradPlan plan;
  const int64_t lanes = conv_kernels<T>().lanes, item = static_cast<int64_t>(sizeof(T));
  plan.mr = static_cast<int>(tile_rows<T>(s.rows));
  const int64_t down = ceil_div(s.axis[1].outputs, kOut), across = ceil_div(s.axis[2].outputs, kOut);
  plan.threads = threads_for(2.0 * static_cast<double>(s.images * s.groups * s.rows) * s.channels * 9 * s.axis[0].outputs * s.axis[1].outputs * s.axis[2].outputs);
  // Tiles of a block: as many as keep the transformed input in the L2 cache, and three vectors of them at least.
  const int64_t least = 3 * lanes;
  int64_t most = std::max(least, kTransformedBytes / item / (kPlanes * s.channels));
  const int64_t all = s.images * s.axis[0].outputs * down * across;
  if (plan.threads > 1 && all >= plan.threads * least) most = std::min(most, ceil_div(all, plan.threads));
  plan.across = std::min(across, most);
  plan.across = ceil_div(across, ceil_div(across, plan.across));
  plan.down = std::max<int64_t>(1, std::min(down, most / plan.across));
  plan.down = ceil_div(down, ceil_div(down, plan.down));
  if (plan.across == across && plan.down == down)
    plan.images = s.axis[0].outputs == 1 ? std::max<int64_t>(1, std::min(s.images, most / (down * across))) : 1;
  plan.blocks = ceil_div(s.images, plan.images) * s.axis[0].outputs * ceil_div(down, plan.down) * ceil_div(across, plan.across);
  if (plan.blocks < plan.threads) plan.row_parts = std::min<int64_t>(ceil_div(s.rows, plan.mr), ceil_div(plan.threads, plan.blocks));
  const Layout<T> layout(s, plan);
  const int64_t extent[3] = {1, plan.down * kOut, plan.across * kOut};
  static const bool expand[3] = {false, false, false};
  plan.workspace_bytes = item * (block_channel_size(s.axis, plan.images, extent, expand) * s.channels + layout.v_elements() + layout.m_elements() + kPlanes * plan.mr * s.channels);
  return plan;
}

template <class T>
void run_winograd(const WinogradSum<T>& s, const WinogradPlan& plan) {
  const int64_t parts[3] = {s.axis[0].outputs, ceil_div(s.axis[1].outputs, plan.down * kOut), ceil_div(s.axis[2].outputs, plan.across * kOut)};
  const int64_t extent[3] = {1, plan.down * kOut, plan.across * kOut};
  const Tiles<T> tiles{s, plan};
  parallel_tasks(plan.blocks * plan.row_parts, plan.threads, [&](int64_t task) {
    Box box{};
    const int64_t part = task % plan.row_parts;
    task /= plan.row_parts;
    for (int i : {2, 1, 0}) {
      // Whole tiles: outputs behind the last are computed and dropped.
      box.begin[i] = task % parts[i] * extent[i];
      box.end[i] = std::min(i == 0 ? s.axis[0].outputs : round_up(s.axis[i].outputs, kOut), box.begin[i] + extent[i]);
      task /= parts[i];
    }
    box.image0 = task * plan.images;
    box.image1 = std::min(s.images, box.image0 + plan.images);
    tiles.run(box, part);
  });
}

template <class T>
double winograd_cost(int64_t groups, int64_t rows, int64_t channels, const int64_t outputs[3], bool weights_ready) {
  const double lanes = conv_kernels<T>().lanes;
  const int64_t down = ceil_div(outputs[1], kOut), across = ceil_div(outputs[2], kOut);
  const double vectors = std::max(1.0, static_cast<double>(down * across) / lanes);
  const double strips = static_cast<double>(down) * static_cast<double>(ceil_div(across, conv_kernels<T>().lanes));
  const double pairs = static_cast<double>(rows) * static_cast<double>(channels);
  double cost = 36 * pairs * vectors / 2 * 1.15 + 360 * channels * strips + 260 * rows * strips;
  cost *= static_cast<double>(outputs[0]);
  if (!weights_ready) cost += pairs * (8 + 160 / lanes);
  return groups * cost;
}

#define FASTCONV_INSTANTIATE(T)                                                                                                      \
  template int64_t winograd_weight_size<T>(int64_t, int64_t, int64_t);                                                               \
  template void winograd_weights(const WinogradSum<T>&, int, T*);                                                                    \
  template WinogradPlan plan_winograd(const WinogradSum<T>&);                                                                        \
  template void run_winograd(const WinogradSum<T>&, const WinogradPlan&);                                                            \
  template double winograd_cost<T>(int64_t, int64_t, int64_t, const int64_t[3], bool);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
