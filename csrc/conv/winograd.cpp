#include "conv/winograd.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/winograd_patches.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPlanes = kWinogradPlanes, kOut = kWinogradOut;
constexpr int64_t kCacheBytes = 1200 << 10;  // transformed input and products of a block
constexpr int64_t kOwnBytes = 768 << 10;     // transformed weights of a task
constexpr int64_t kLeastTiles = 64;          // of a block: the transformed weights are read once for each
constexpr int64_t kMostBytes = 6 << 20;      // transformed input of a block, whatever the number of channels
constexpr int64_t kFewTiles = 8;             // reading transformed weights takes longer than transforming them
constexpr int64_t kRowsAtOnce = 64;          // of products
constexpr int64_t kFewBlocks = 8;            // a thread: an odd one keeps the others waiting

template <class T>
int64_t lanes() {
  return conv_kernels<T>().lanes;
}

// v[plane][vector of channels][tile][lane], m[plane][vector of rows][tile][lane]
template <class T>
struct Layout {
  int64_t v_vector, v_plane, m_vector, m_plane;
  Layout(const WinogradSum<T>& s, const WinogradPlan& plan) {
    v_vector = m_vector = plan.images * plan.down * plan.across * lanes<T>();
    v_plane = plane_stride<T>(ceil_div(s.channels, lanes<T>()) * v_vector);
    m_plane = plane_stride<T>(plan.chunk * m_vector);
  }
};

// The transformed weights of one vector of rows and channels [c0, c1): u[plane][channel][lane].
template <class T>
void transform_rows(const WinogradSum<T>& s, int64_t g, int64_t r, int64_t c0, int64_t c1, T* u) {
  WinogradWeights<T> job{};
  job.w = s.w + g * s.w_group + r * lanes<T>() * s.w_row + c0 * s.w_channel;
  job.rows = std::min(lanes<T>(), s.rows - r * lanes<T>());
  job.row_stride = s.w_row;
  job.channels = c1 - c0;
  job.channel_stride = s.w_channel;
  std::copy_n(s.tap, 9, job.tap);
  job.u = u;
  job.plane = winograd_weight_plane<T>(job.channels);
  winograd_kernels<T>().weights(job);
}

// Sizes in bytes of a task's scratch memory.
template <class T>
struct Sizes {
  int64_t v, m, u, pixels;
  Sizes(const WinogradSum<T>& s, const WinogradPlan& plan) {
    const Layout<T> layout(s, plan);
    const int64_t extent[3] = {1, plan.down * kOut, plan.across * kOut};
    v = Arena::rounded_bytes<T>(kPlanes * layout.v_plane);
    m = Arena::rounded_bytes<T>(kPlanes * layout.m_plane);
    u = Arena::rounded_bytes<T>(plan.transforms_weights ? plan.chunk * winograd_weight_vector<T>(plan.depth) : 0);
    pixels = Arena::rounded_bytes<T>(std::max(WinogradPatchesOf<T>::pixel_elements(extent), kOut * plan.across * kOut * lanes<T>()));
  }
  int64_t total() const { return v + m + u + pixels; }
};

template <class T>
struct Tiles {
  const WinogradSum<T>& s;
  const WinogradPlan& plan;
  const Layout<T> layout{s, plan};
  const int64_t lanes = conv_kernels<T>().lanes;
  const WinogradKernelsOf<T>& kernels = winograd_kernels<T>();
  const WinogradPatchesOf<T> source{s.axis, s.x, kWinogradIn};

  struct Scratch {
    T *v, *m, *u, *pixels;
    explicit Scratch(const Sizes<T>& n) {
      char* memory = Arena::local().reserve(n.total());
      v = reinterpret_cast<T*>(memory);
      m = reinterpret_cast<T*>(memory += n.v);
      u = reinterpret_cast<T*>(memory += n.m);
      pixels = reinterpret_cast<T*>(memory + n.u);
    }
  };

  // One (d, tile rows, tile columns, images) block of all groups, and part `part` of the rows.
  void run(const Box& box, int64_t part) const {
    const Scratch scratch(Sizes<T>(s, plan));
    const int64_t vectors = ceil_div(s.rows, lanes), end = (part + 1) * vectors / plan.row_parts;
    for (int64_t g = 0; g < s.groups; ++g) {
      source.transform(box, g * s.channels, s.channels, scratch.pixels, scratch.v, layout.v_plane, layout.v_vector);
      for (int64_t r = part * vectors / plan.row_parts; r < end; r += plan.chunk) {
        const int64_t n = std::min(plan.chunk, end - r);
        for (int64_t c = 0; c < s.channels; c += plan.depth)
          multiply(box, g, {r, r + n}, {c, std::min(s.channels, c + plan.depth)}, scratch);
        for (int64_t i = 0; i < n; ++i)
          transform_output(box, g, r + i, scratch.m + i * layout.m_vector, scratch.pixels);
      }
    }
  }

 private:
  int64_t down(const Box& b) const { return ceil_div(b.extent(1), kOut); }
  int64_t across(const Box& b) const { return ceil_div(b.extent(2), kOut); }

  // All products of some vectors of rows with some channels.
  void multiply(const Box& box, int64_t g, Range rows, Range channels, const Scratch& scratch) const {
    const int64_t u_plane = winograd_weight_plane<T>(channels.size()), u_vector = winograd_weight_vector<T>(channels.size());
    const T* u = plan.transforms_weights ? scratch.u : s.u + (g * ceil_div(s.rows, lanes) + rows.begin) * u_vector;
    if (plan.transforms_weights)
      for (int64_t r = rows.begin; r < rows.end; ++r)
        transform_rows(s, g, r, channels.begin, channels.end, scratch.u + (r - rows.begin) * u_vector);
    WinogradProducts<T> job{};
    job.accumulate = channels.begin > 0;
    job.vectors = rows.size();
    job.u_vector = u_vector;
    job.channels = channels.size();
    job.v_vector = layout.v_vector;
    job.tiles = box.images() * down(box) * across(box);
    job.m_vector = layout.m_vector;
    for (int64_t i = 0; i < kPlanes; ++i) {
      job.u = u + i * u_plane;
      job.v = scratch.v + i * layout.v_plane + channels.begin / lanes * layout.v_vector;
      job.m = scratch.m + i * layout.m_plane;
      kernels.products(job);
    }
  }

  void transform_output(const Box& box, int64_t g, int64_t vector, const T* m, T* pixels) const {
    WinogradOutput<T> job{};
    const int64_t row = vector * lanes;
    job.plane = layout.m_plane;
    job.across = across(box);
    job.channels = std::min(lanes, s.rows - row);
    job.y_channel = s.y.stride[1];
    job.y_row = s.y.stride[3];
    job.y_step = s.y.stride[4];
    job.rows = std::min(box.extent(1), s.axis[1].outputs - box.begin[1]);
    job.columns = std::min(box.extent(2), s.axis[2].outputs - box.begin[2]);
    alignas(64) T bias[16] = {};
    if (s.bias) std::copy_n(s.bias + g * s.rows + row, job.channels, bias);
    job.bias = s.bias ? bias : nullptr;
    job.clamp = s.clamp;
    job.low = s.low;
    job.high = s.high;
    job.pixels = pixels;
    for (int64_t n = 0; n < box.images(); ++n) {
      job.m = m + n * down(box) * across(box) * lanes;
      job.y = s.y.data + (box.image0 + n) * s.y.stride[0] + (g * s.rows + row) * s.y.stride[1] +
              box.begin[0] * s.y.stride[2] + box.begin[1] * s.y.stride[3] + box.begin[2] * s.y.stride[4];
      kernels.output(job);
    }
  }
};

}  // namespace

template <class T>
int64_t winograd_weight_size(int64_t groups, int64_t rows, int64_t channels) {
  return checked_mul(groups * ceil_div(rows, lanes<T>()), winograd_weight_vector<T>(channels), "weight");
}

template <class T>
void winograd_weights(const WinogradSum<T>& s, int threads, T* u) {
  const int64_t vectors = ceil_div(s.rows, lanes<T>());
  parallel_tasks(s.groups * vectors, threads, [&](int64_t task) {
    transform_rows(s, task / vectors, task % vectors, 0, s.channels, u + task * winograd_weight_vector<T>(s.channels));
  });
}

template <class T>
WinogradPlan plan_winograd(const WinogradSum<T>& s, bool whole_weights) {
  WinogradPlan plan;
  const int64_t item = static_cast<int64_t>(sizeof(T)), vectors = ceil_div(s.rows, lanes<T>());
  const auto cut = [](int64_t n, int64_t most) {
    return ceil_div(n, ceil_div(n, std::max<int64_t>(1, std::min(n, most))));
  };
  const int64_t down = ceil_div(s.axis[1].outputs, kOut), across = ceil_div(s.axis[2].outputs, kOut);
  plan.threads = threads_for(2.0 * static_cast<double>(s.images * s.groups * s.rows) * s.channels * 9 *
                             s.axis[0].outputs * s.axis[1].outputs * s.axis[2].outputs);
  const int64_t least = std::clamp<int64_t>(kMostBytes / item / (kPlanes * s.channels), 1, kLeastTiles);
  int64_t most = std::max(least, kCacheBytes / item / (kPlanes * (s.channels + kRowsAtOnce)));
  const int64_t all = s.images * s.axis[0].outputs * down * across;
  if (plan.threads > 1 && all >= plan.threads * kLeastTiles) most = std::min(most, ceil_div(all, plan.threads));
  plan.across = cut(across, most);
  plan.down = cut(down, most / plan.across);
  if (const int64_t blocks = ceil_div(down, plan.down); blocks > 1 && blocks < kFewBlocks * plan.threads)
    plan.down = ceil_div(down, std::min(down, round_up(blocks, plan.threads)));
  if (plan.across == across && plan.down == down && s.axis[0].outputs == 1)
    plan.images = cut(s.images, most / (down * across));
  plan.blocks =
      ceil_div(s.images, plan.images) * s.axis[0].outputs * ceil_div(down, plan.down) * ceil_div(across, plan.across);
  if (plan.blocks < plan.threads) plan.row_parts = std::min(vectors, ceil_div(plan.threads, plan.blocks));
  plan.transforms_weights = !whole_weights && plan.blocks == 1 && (!s.u || all <= kFewTiles);
  plan.chunk = std::min(ceil_div(vectors, plan.row_parts), ceil_div(kRowsAtOnce, lanes<T>()));
  plan.depth = s.channels;
  if (plan.transforms_weights)
    plan.depth = std::min(s.channels, round_up(kOwnBytes / item / (kPlanes * plan.chunk * lanes<T>()), lanes<T>()));
  plan.workspace_bytes = Sizes<T>(s, plan).total();
  return plan;
}

template <class T>
void run_winograd(const WinogradSum<T>& s, const WinogradPlan& plan) {
  // Blocks of even size, so that threads end together. Whole tiles: outputs behind the last are computed and dropped.
  const int64_t unit[3] = {1, kOut, kOut}, most[3] = {1, plan.down, plan.across};
  int64_t units[3], parts[3];
  for (int i = 0; i < 3; ++i) units[i] = ceil_div(s.axis[i].outputs, unit[i]), parts[i] = ceil_div(units[i], most[i]);
  const Tiles<T> tiles{s, plan};
  parallel_tasks(plan.blocks * plan.row_parts, plan.threads, [&](int64_t task) {
    Box box{};
    const int64_t rows = task % plan.row_parts;
    task /= plan.row_parts;
    for (int i : {2, 1, 0}) {
      const Range own = part(units[i], parts[i], task % parts[i]);
      box.begin[i] = own.begin * unit[i];
      box.end[i] = own.end * unit[i];
      task /= parts[i];
    }
    box.image0 = task * plan.images;
    box.image1 = std::min(s.images, box.image0 + plan.images);
    tiles.run(box, rows);
  });
}

template <class T>
double winograd_cost(int64_t groups, int64_t rows, int64_t channels, const int64_t outputs[3], bool weights_ready) {
  const double lanes = conv_kernels<T>().lanes,
               tiles = static_cast<double>(ceil_div(outputs[1], kOut) * ceil_div(outputs[2], kOut));
  const double row_vectors = static_cast<double>(ceil_div(rows, conv_kernels<T>().lanes)),
               channel_vectors = ceil_div(channels, conv_kernels<T>().lanes);
  double cost = kPlanes * row_vectors * channels * tiles / 2 * 1.15 + 200 * (row_vectors + channel_vectors) * tiles;
  cost *= static_cast<double>(outputs[0]);
  if (!weights_ready) cost += (static_cast<double>(rows) * channels) * (2 + 100 / lanes);
  return groups * cost;
}

#define FASTCONV_INSTANTIATE(T)                                           \
  template int64_t winograd_weight_size<T>(int64_t, int64_t, int64_t);    \
  template void winograd_weights(const WinogradSum<T>&, int, T*);         \
  template WinogradPlan plan_winograd(const WinogradSum<T>&, bool);            \
  template void run_winograd(const WinogradSum<T>&, const WinogradPlan&); \
  template double winograd_cost<T>(int64_t, int64_t, int64_t, const int64_t[3], bool);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
