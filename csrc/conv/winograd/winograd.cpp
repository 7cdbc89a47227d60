#include "conv/winograd/winograd.hpp"

#include <algorithm>
#include <atomic>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/winograd/patches.hpp"
#include "conv/winograd/slices.hpp"
#include "conv/winograd/spread.hpp"
#include "kernels/winograd/winograd.hpp"

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

template <class T>
int64_t lanes() {
  return conv_kernels<T>().lanes;
}

template <class T>
int64_t all_channels(const WinogradSum<T>& s) {
  return s.shape.slices * s.channels;
}

// Elements of all transformed values of a vector of rows.
template <class T>
int64_t weight_vector(const WinogradSum<T>& s, int64_t channels) {
  return s.shape.planes() * winograd_weight_plane<T>(s.shape.slices * channels);
}

// v[plane][slice][vector of channels][tile][lane], m[plane][vector of rows][phase][tile][lane]
template <class T>
struct Layout {
  int64_t v_vector, v_slice, v_plane, m_vector, m_plane;
  Layout(const WinogradSum<T>& s, const WinogradPlan& plan) {
    v_vector = m_vector = plan.images * plan.down * plan.across * lanes<T>();
    v_slice = ceil_div(s.channels, lanes<T>()) * v_vector;
    v_plane = plane_stride<T>(s.shape.slices / s.shape.results() * v_slice);
    m_plane = plane_stride<T>(plan.chunk * s.shape.results() * m_vector);
  }
};

// The taps of each of four parts, and whether all of them lie side by side.
template <class T>
void find_taps(const WinogradSum<T>& s, WinogradPartWeights<T>& job) {
  const int64_t all = s.shape.along * s.shape.along;
  int64_t last = INT64_MIN;
  job.first = INT64_MAX;
  for (int64_t t = 0; t < kWinogradTaps; ++t) {
    const int64_t p = t / 9, i = s.part_tap[0][p / 2][t % 9 / 3], j = s.part_tap[1][p % 2][t % 3];
    const bool none = i == kNoTap || j == kNoTap;
    job.tap[p][t % 9] = none ? kNoTap : i + j;
    if (!none) job.first = std::min(job.first, i + j), last = std::max(last, i + j);
  }
  job.dense = last - job.first == all - 1 ? all : 0;
}

// The transformed weights of one vector of rows and channels [c0, c1): u[plane][slice][channel][lane].
template <class T>
void transform_rows(const WinogradSum<T>& s, int64_t g, int64_t r, int64_t c0, int64_t c1, T* u) {
  const int64_t row = r * lanes<T>(), rows = std::min(lanes<T>(), s.rows - row), part = (c1 - c0) * lanes<T>();
  const int64_t plane = winograd_weight_plane<T>(s.shape.slices * (c1 - c0));
  for (int64_t slice : s.slice) {
    const T* w = s.w + g * s.w_group + row * s.w_row + c0 * s.w_channel + slice;
    if (s.shape.strip) {
      winograd_kernels<T>().strip_weights({w + s.tap[0], rows, s.w_row, c1 - c0, s.w_channel, s.shape.along,
                                           s.tap[1] - s.tap[0], u, plane, part, s.shape.taps});
    } else if (s.shape.split > 1) {
      const bool uneven = s.shape.uneven() && s.shape.lack[0] * s.shape.lack[1] == 25;
      WinogradPartWeights<T> job{w,  rows, s.w_row, c1 - c0, s.w_channel,       0,     0,
                                 {}, u,    plane,   part,    s.shape.taps == 3, uneven};
      find_taps(s, job);
      winograd_kernels<T>().part_weights(job);
    } else {
      WinogradWeights<T> job{w, rows, s.w_row, c1 - c0, s.w_channel, {}, u, plane, s.shape.taps};
      std::copy_n(s.tap, s.shape.taps * s.shape.taps, job.tap);
      winograd_kernels<T>().of(s.shape.taps, s.shape.side).weights(job);
    }
    u += s.shape.parts() * part;
  }
}

// Sizes in bytes of a task's scratch memory.
template <class T>
struct Sizes {
  int64_t v, m, u, pixels;
  Sizes(const WinogradSum<T>& s, const WinogradPlan& plan) {
    const Layout<T> layout(s, plan);
    const int64_t phases = s.shape.phases ? 2 : 1, rows = s.shape.out(1),
                  columns = phases * round_up(plan.across, s.shape.step[2]) * s.shape.out(2);
    v = Arena::rounded_bytes<T>(s.shape.planes() * layout.v_plane);
    m = Arena::rounded_bytes<T>(s.shape.planes() * layout.m_plane);
    const int64_t own = plan.chunk * weight_vector(s, plan.depth);
    u = Arena::rounded_bytes<T>(plan.transforms_weights ? own : 0);
    pixels = Arena::rounded_bytes<T>(
        std::max(WinogradPatchesOf<T>::pixel_elements(s.shape, plan.down, plan.across), rows * columns * lanes<T>()));
  }
  int64_t total() const { return v + m + u + pixels; }
};

template <class T>
struct Tiles {
  const WinogradSum<T>& s;
  const WinogradPlan& plan;
  const WinogradSpread<T>* spread;  // or null
  const T* const all_u;             // the transformed weights, if tasks do not make their own
  const Layout<T> layout{s, plan};
  const int64_t lanes = conv_kernels<T>().lanes;
  const WinogradKernelsOf<T>& kernels = winograd_kernels<T>();

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

  // A block of some groups, and part `part` of the rows. The box counts images, outputs along the depth, and tiles.
  void run(const Box& box, Range groups, int64_t part) const {
    const Scratch scratch(Sizes<T>(s, plan));
    const WinogradPatchesOf<T> source(s.shape, s.spreads(), s.axis, s.x, box);
    const WinogradBlock block(s.shape, s.axis, box);
    clear_short(block, scratch.m);
    const int64_t vectors = ceil_div(s.rows, lanes), end = (part + 1) * vectors / plan.row_parts;
    Slices slices(s.axis[0], s.shape.sources());
    for (int64_t g = groups.begin; g < groups.end; ++g) {
      slices.clear();
      for (int64_t o = box.begin[0]; o < box.end[0]; ++o) {
        slices.fetch(o, [&](int64_t slice, int64_t place) {
          source.transform(slice, g * s.channels, s.channels, scratch.pixels, scratch.v + place * layout.v_slice,
                           layout.v_plane, layout.v_vector, layout.v_slice);
        });
        for (int64_t r = part * vectors / plan.row_parts; r < end; r += plan.chunk) {
          const int64_t n = std::min(plan.chunk, end - r);
          for (int64_t c = 0; c < s.channels; c += plan.depth)
            multiply(block, g, {r, r + n}, {c, std::min(s.channels, c + plan.depth)}, slices.places(), scratch);
          for (int64_t i = 0; i < n; ++i) transform_output(box, block, o, g, r, i, scratch);
        }
      }
    }
  }

 private:
  // The values that short tiles and phases of fewer taps do not have are zeros, once and for all.
  void clear_short(const WinogradBlock& block, T* m) const {
    const int64_t phases = s.shape.results();
    for (int64_t i = 0; i < s.shape.planes(); ++i, m += layout.m_plane) {
      const Range own = block.in_plane(i);
      const unsigned missing = phases > 1 ? s.shape.missing(i) : 0;
      if (own.size() == block.all() && !missing) continue;
      for (int64_t r = 0; r < plan.chunk * phases; ++r) {
        T* tile = m + r * layout.m_vector;
        const bool none = missing >> r % phases & 1;
        std::fill_n(tile, (none ? block.all() : own.begin) * lanes, T(0));
        std::fill(tile + own.end * lanes, tile + block.all() * lanes, T(0));
      }
    }
  }

  // All products of some vectors of rows with some channels: of vectors of rows at once or, one by one, of the phases
  // that have a value in a plane.
  void multiply(const WinogradBlock& block, int64_t g, Range rows, Range channels, const Vector<int64_t>& place,
                const Scratch& scratch) const {
    const bool own = plan.transforms_weights, phases = s.shape.phases;
    const int64_t held = own ? channels.size() : s.channels, c0 = own ? 0 : channels.begin;
    const int64_t u_plane = winograd_weight_plane<T>(s.shape.slices * held), u_vector = weight_vector(s, held);
    if (own)
      for (int64_t r = rows.begin; r < rows.end; ++r)
        transform_rows(s, g, r, channels.begin, channels.end, scratch.u + (r - rows.begin) * u_vector);
    const T* u = (own ? scratch.u : all_u + (g * ceil_div(s.rows, lanes) + rows.begin) * u_vector) + c0 * lanes;
    const int64_t results = s.shape.results();
    WinogradProducts<T> job{};
    job.vectors = rows.size();
    job.u_vector = u_vector;
    job.v_vector = layout.v_vector;
    job.m_vector = layout.m_vector;
    for (int64_t r = 0; r < (phases ? rows.size() : 1); ++r, u += u_vector)
      for (int64_t i = 0; i < s.shape.planes(); ++i) {
        const Range tiles = block.in_plane(i);
        const unsigned missing = s.shape.missing(i);
        T* const m = scratch.m + i * layout.m_plane + r * results * layout.m_vector;
        if (phases) {
          const int64_t apart = missing & 2 ? 2 : 1;
          job.vectors = results / apart / (missing & 4 ? 2 : 1);
          job.u_vector = apart * held * lanes;
          job.m_vector = apart * layout.m_vector;
        }
        job.accumulate = channels.begin > 0;
        job.tiles = tiles.size();
        job.m = m + tiles.begin * lanes;
        const T* v = scratch.v + i * layout.v_plane + channels.begin / lanes * layout.v_vector + tiles.begin * lanes;
        multiply_slices(job, u + i * u_plane, results * held * lanes, v, place, phases ? 0 : missing, channels.size());
        if (!job.accumulate) std::fill_n(m, (phases ? results : rows.size()) * layout.m_vector, T(0));
      }
  }

  // A plane's products of all slices that are there, `u_slice` elements of weights each. Those side by side are
  // multiplied at once, where no vector of channels has lanes to spare.
  void multiply_slices(WinogradProducts<T>& job, const T* u, int64_t u_slice, const T* v, const Vector<int64_t>& place,
                       unsigned missing, int64_t channels) const {
    const bool joins = channels == s.channels && s.channels % lanes == 0 && !s.shape.phases;
    const auto absent = [&](size_t t) { return place[t] < 0 || (missing >> t % kWinogradParts & 1); };
    for (size_t t = 0, n; t < place.size(); t += n) {
      n = 1;
      if (absent(t)) continue;
      while (joins && t + n < place.size() && place[t + n] == place[t] + static_cast<int64_t>(n) && !absent(t + n)) ++n;
      job.channels = static_cast<int64_t>(n) * channels;
      job.u = u + static_cast<int64_t>(t) * u_slice;
      job.v = v + place[t] * layout.v_slice;
      kernels.products(job);
      job.accumulate = true;
    }
  }

  // Vector r + i of rows, the i-th of those multiplied.
  void transform_output(const Box& box, const WinogradBlock& block, int64_t o, int64_t g, int64_t r, int64_t i,
                        const Scratch& scratch) const {
    WinogradOutput<T> job{};
    const int64_t phases = s.shape.phases ? 2 : 1;
    const int64_t row = (r + i) * lanes, column = phases * s.shape.first(2, box.begin[2]);
    job.plane = layout.m_plane;
    job.tile_row = phases * box.begin[1];
    job.row_apart = phases * s.shape.step[1];
    job.column_apart = phases * s.shape.step[2];
    job.channels = std::min(lanes, s.rows - row);
    job.y_channel = s.y.stride[1];
    job.y_row = s.y.stride[3];
    job.y_step = s.y.stride[4];
    job.rows = s.y.shape[3];
    job.columns = std::min(s.y.shape[4], phases * s.shape.first(2, round_up(box.end[2], s.shape.step[2]))) - column;
    alignas(64) T bias[16] = {};
    if (s.bias) std::copy_n(s.bias + g * s.rows + row, job.channels, bias);
    job.bias = s.bias ? bias : nullptr;
    job.clamp = s.clamp;
    job.low = s.low;
    job.high = s.high;
    job.pixels = scratch.pixels;
    job.vertical = s.shape.strip == 1;
    job.outputs = static_cast<int>(s.shape.out(s.shape.strip));
    const auto output = s.shape.strip ? kernels.strip_output : kernels.of(s.shape.taps, s.shape.side).output;
    for (int64_t n = 0; n < box.images(); ++n) {
      job.m = scratch.m + i * s.shape.results() * layout.m_vector;
      job.tiles = block.of_image(n);
      job.tiles.phases = s.shape.phases;
      for (int p = 0; s.shape.phases && p < kWinogradParts; ++p)
        job.tiles.phase[p / 2][p % 2] = (((p / 2 ^ s.flip[0]) * 2) + (p % 2 ^ s.flip[1])) * layout.m_vector / lanes;
      job.y = s.y.data + (box.image0 + n) * s.y.stride[0] + (g * s.rows + row) * s.y.stride[1] + o * s.y.stride[2] +
              column * s.y.stride[4];
      if (spread) spread->add(job, box, box.image0 + n, g * s.rows + row, o);
      else output(job);
    }
  }
};

}  // namespace

template <class T>
int64_t winograd_weight_size(const WinogradSum<T>& s) {
  return checked_mul(s.groups * ceil_div(s.rows, lanes<T>()), weight_vector(s, s.channels), "weight");
}

template <class T>
void winograd_weights(const WinogradSum<T>& s, int threads, T* u) {
  const int64_t vectors = ceil_div(s.rows, lanes<T>()), size = weight_vector(s, s.channels);
  const int64_t all = s.groups * vectors, parts = std::min<int64_t>(all, threads);  // as of plans that split rows
  parallel_tasks(parts, threads, [&](int64_t i) {
    const Range own = part(all, parts, i);
    for (int64_t v = own.begin; v < own.end; ++v)
      transform_rows(s, v / vectors, v % vectors, 0, s.channels, u + v * size);
  });
}

namespace {

// No thread is to read weights that another transforms: where caches are apart, lines that both have had are slow to
// write again. Either each transforms all weights or, of few tiles, those of its own rows and all of the source.
template <class T>
void keep_apart(const WinogradSum<T>& s, int64_t all_tiles, WinogradPlan& plan) {
  const int64_t pairs = s.rows * s.shape.slices, threads = plan.threads;
  if (threads <= kMostCopies && all_tiles >= threads * kCopiesTiles && 2 * all_tiles > 3 * pairs &&
      threads * winograd_weight_size(s) <= kCopiesBytes / static_cast<int64_t>(sizeof(T)))
    plan.copies = plan.threads;
  else plan.splits_rows = ceil_div(s.rows, lanes<T>()) >= kVectorsApart * threads && all_tiles < 4 * pairs;
}

}  // namespace

template <class T>
WinogradPlan plan_winograd(const WinogradSum<T>& s) {
  WinogradPlan plan;
  const int64_t item = static_cast<int64_t>(sizeof(T)), vectors = ceil_div(s.rows, lanes<T>());
  const int64_t channels = all_channels(s) / s.shape.results(), planes = s.shape.planes();
  const auto cut = [](int64_t n, int64_t most) {
    return ceil_div(n, ceil_div(n, std::max<int64_t>(1, std::min(n, most))));
  };
  const int64_t deep = s.axis[0].outputs;
  const int64_t down = s.shape.tiles(1, s.axis[1].outputs), across = s.shape.tiles(2, s.axis[2].outputs);
  plan.threads = threads_for(2.0 * static_cast<double>(s.images * s.groups * s.rows) * s.channels * s.shape.products() *
                             deep * s.axis[1].outputs * s.axis[2].outputs);
  const int64_t least =
      std::clamp<int64_t>(kMostBytes / item / (planes * channels), 1, s.spreads() ? 2 * kLeastTiles : kLeastTiles);
  int64_t most = std::max(least, kCacheBytes / item / (planes * (channels + kRowsAtOnce)));
  const int64_t all = s.images * deep * down * across;
  if (plan.threads > 1 && !s.u && s.groups == 1) keep_apart(s, all, plan);
  const int sharing = plan.splits_rows ? 1 : plan.threads;  // the blocks
  if (sharing > 1 && all >= sharing * (plan.copies > 1 ? kCopiesTiles : kLeastTiles) && !s.spreads())
    most = std::min(most, ceil_div(all, sharing));
  // Whole rows of outputs. Where blocks add to the same lines, they depend on one image alone, and are large; two for
  // two threads.
  plan.across = s.spreads() ? across : std::min(across, round_up(cut(across, most), s.shape.step[2]));
  plan.parts[2] = ceil_div(across, plan.across);
  plan.parts[1] = even_parts(down, std::max<int64_t>(1, most / plan.across), s.spreads() ? 2 : sharing);
  if (s.spreads() && plan.parts[1] == 1 && down * across > kLeastTiles) plan.parts[1] = std::min<int64_t>(2, down);
  plan.down = ceil_div(down, plan.parts[1]);
  if (plan.across == across && plan.down == down && deep == 1)
    plan.image_parts = even_parts(s.images, std::max<int64_t>(1, most / (down * across)), sharing);
  else plan.image_parts = s.images;
  plan.images = ceil_div(s.images, plan.image_parts);
  if (s.shape.slices > 1) plan.deep = cut(deep, ceil_div(deep, ceil_div(sharing, plan.blocks())));
  plan.parts[0] = ceil_div(deep, plan.deep);
  if (plan.blocks() < plan.copies) plan.copies = 1;
  plan.group_parts = std::min(s.groups, ceil_div(sharing, plan.blocks()));
  plan.row_parts =
      plan.splits_rows ? plan.threads : std::min(vectors, ceil_div(plan.threads, plan.blocks() * plan.group_parts));
  const bool flat = s.axis[0].taps() == 1;
  const int64_t few = vectors * weight_vector(s, s.channels) * item < kFarBytes ? 1 : 2;
  plan.transforms_weights = flat && plan.blocks() * plan.deep <= few && (!s.u || all <= kFewTiles);
  if (plan.transforms_weights) plan.copies = 1;
  // Half as many rows leave more of that cache to the sums, where one register tile has them all.
  const bool half = plan.transforms_weights && lanes<T>() * winograd_kernels<T>().vectors >= kRowsAtOnce / 2;
  const int64_t rows = half ? kRowsAtOnce / 2 : kRowsAtOnce;
  plan.chunk = cut(ceil_div(vectors, plan.row_parts), ceil_div(rows, lanes<T>() * s.shape.results()));
  // The parts of a kernel are summed for so many channels at a time, whatever the number of threads and images.
  plan.depth = s.channels;
  if (plan.transforms_weights || (flat && s.shape.parts() > 1))
    plan.depth = std::min(s.channels, round_up((s.shape.parts() > 1 ? kPartsBytes / kRowsAtOnce : kOwnBytes / rows) /
                                                   item / (planes * s.shape.slices / s.shape.results()),
                                               lanes<T>()));
  plan.workspace_bytes = Sizes<T>(s, plan).total();
  return plan;
}

template <class T>
void run_winograd(const WinogradSum<T>& s, const WinogradPlan& plan, T* u, const WinogradSpread<T>* spread) {
  const int64_t all[3] = {s.axis[0].outputs, s.shape.tiles(1, s.axis[1].outputs), s.shape.tiles(2, s.axis[2].outputs)};
  const int64_t unit[3] = {1, 1, s.shape.step[2]};
  const auto run_one = [&](const Tiles<T>& tiles, int64_t task) {
    Box box{};
    const int64_t rows = task % plan.row_parts;
    task /= plan.row_parts;
    const Range groups = part(s.groups, plan.group_parts, task % plan.group_parts);
    task /= plan.group_parts;
    for (int i : {2, 1, 0}) {
      const Range own = part(ceil_div(all[i], unit[i]), plan.parts[i], task % plan.parts[i]);
      box.begin[i] = own.begin * unit[i];
      box.end[i] = std::min(all[i], own.end * unit[i]);
      task /= plan.parts[i];
    }
    const Range images = part(s.images, plan.image_parts, task);
    box.image0 = images.begin;
    box.image1 = images.end;
    tiles.run(box, groups, rows);
  };
  const int64_t tasks = plan.blocks() * plan.group_parts * plan.row_parts;
  if (plan.copies > 1) {
    const int64_t size = winograd_weight_size(s);
    std::atomic<int64_t> next{plan.copies};
    parallel_tasks(plan.copies, plan.threads, [&](int64_t copy) {
      const Tiles<T> tiles{s, plan, spread, u + copy * size};
      if (copy < tasks) winograd_weights(s, 1, u + copy * size);
      for (int64_t i = copy; i < tasks; i = next.fetch_add(1, std::memory_order_relaxed)) run_one(tiles, i);
    });
  } else {
    if (u) winograd_weights(s, plan.threads, u);
    const Tiles<T> tiles{s, plan, spread, u ? u : s.u};
    // The rows are a task's last digit.
    parallel_tasks_apart(tasks, plan.splits_rows ? plan.row_parts : tasks, plan.threads,
                         [&](int64_t task) { run_one(tiles, task); });
  }
  if (spread) spread->add_kept(plan.threads);
}

#define FASTCONV_INSTANTIATE(T)                                   \
  template int64_t winograd_weight_size(const WinogradSum<T>&);   \
  template void winograd_weights(const WinogradSum<T>&, int, T*); \
  template WinogradPlan plan_winograd(const WinogradSum<T>&);     \
  template void run_winograd(const WinogradSum<T>&, const WinogradPlan&, T*, const WinogradSpread<T>*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
