#include "conv/gather.hpp"

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/parallel.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBlockBytes = 512 << 10;  // a packed block lives in the L2 cache beside the rows of `a`
constexpr int64_t kEdgeBytes = 16 << 10;    // tiles that cannot be stored directly go through a buffer in L1

// Vectors that cover `rows` rows of n outputs whose starts are `pitch` apart: row by row, or in one sweep over the gaps.
int64_t vectors(int64_t rows, int64_t n, int64_t pitch, int64_t lanes) {
  return std::min(rows * ceil_div(n, lanes), ceil_div((rows - 1) * pitch + n, lanes));
}

// Layouts trade entries to pack against vectors to multiply: an expanded axis is packed once a tap, but has no gaps.
template <class T>
double choose_layout(const GatherSum<T>& s, int lanes, int mr, GatherPlan& plan) {
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  const double row_tiles = static_cast<double>(ceil_div(s.rows, mr) * mr);
  double best = -1;
  for (int e = 0; e <= 3; ++e) {
    bool expand[3] = {e >= 3, e >= 2, e >= 1};
    LayoutSize l[3];
    bool changes = e == 0;
    for (int i = 0; i < 3; ++i) {
      l[i] = layout_size(s.axis[i], n[i], expand[i]);
      changes |= expand[i] && l[i].width != layout_size(s.axis[i], n[i], false).width;
    }
    if (!changes) continue;
    int64_t sweeps;  // vectors of one image
    if (l[1].width == n[1]) sweeps = vectors(n[0] * n[1], n[2], l[2].width, lanes);
    else sweeps = n[0] * vectors(n[1], n[2], l[2].width, lanes);
    double all = static_cast<double>(s.images) * sweeps;
    if (l[2].width == n[2] && l[1].width == n[1] && l[0].width == n[0])
      all = static_cast<double>(ceil_div(s.images * n[0] * n[1] * n[2], lanes));
    const double multiply = all * s.channels * s.taps() * row_tiles / 2;
    double lines = static_cast<double>(s.images) * s.channels;
    for (int i = 0; i < 3; ++i) lines *= static_cast<double>(l[i].segments);
    lines *= static_cast<double>(l[0].width * l[1].width);
    const double pack = lines * (8.0 + 2.5 * static_cast<double>(l[2].width) / lanes);
    const double cost = s.groups * (multiply + pack);
    if (best < 0 || cost < best * 0.98) {
      best = cost;
      std::copy(expand, expand + 3, plan.expand);
    }
  }
  return best;
}

// The register tile for `rows` rows and `vectors` vectors of pixels: the one whose multiply-adds or loads, whichever take
// longer, add up to least over all tiles.
void choose_tile(int64_t rows, double vectors, int accumulators, GatherPlan& plan) {
  double best = -1;
  for (int nr = 1; nr <= kMaxVectors; ++nr) {
    const int most = std::min(kMaxRows, accumulators / nr);
    if (most < 1) break;
    const int64_t tiles = ceil_div(rows, most), mr = ceil_div(rows, tiles);
    // Panels share the vectors out evenly, so their number costs loads of `a`, not idle vectors.
    const double panels = std::ceil(vectors / nr), height = static_cast<double>(mr);
    const double multiply = vectors * height / 2 + 0.3 * panels, loads = (panels * (height + 2) + 1.6 * vectors) / 2;
    const double chain = 4 * panels;  // latency of one accumulator
    const double cost = static_cast<double>(tiles) * (std::max({multiply, loads, chain}) + 0.05 * loads);
    if (best < 0 || cost < best) {
      best = cost;
      plan.mr = static_cast<int>(mr);
      plan.nr = nr;
    }
  }
}

template <class T>
struct Executor {
  const GatherSum<T>& s;
  const GatherPlan& plan;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();

  struct Row {
    int64_t position, y;
  };

  int64_t edge_pixels() const { return std::max<int64_t>(kEdgeBytes / static_cast<int64_t>(sizeof(T)) / kMaxRows, kMaxVectors * kernels.lanes); }

  // All outputs of groups [g0, g1) and row tiles [tile0, tile1) inside the box.
  void box(const Box& box, int64_t g0, int64_t g1, int64_t tile0, int64_t tile1) const {
    const Block<T> block(s.axis, box, plan.expand, s.x);
    const int64_t cb = std::min(plan.channels, std::max<int64_t>(1, s.channels)), taps = s.taps();
    const int64_t packed_bytes = Arena::rounded_bytes<T>(block.elements(cb)), offset_bytes = Arena::rounded_bytes<int32_t>(cb * taps + 1);
    char* memory = Arena::local().reserve(packed_bytes + 2 * offset_bytes + Arena::rounded_bytes<T>(kMaxRows * edge_pixels()));
    T* packed = reinterpret_cast<T*>(memory);
    int32_t* offsets = reinterpret_cast<int32_t*>(memory + packed_bytes);
    int32_t* a_offsets = reinterpret_cast<int32_t*>(memory + packed_bytes + offset_bytes);
    T* edge = reinterpret_cast<T*>(memory + packed_bytes + 2 * offset_bytes);
    block.offsets(cb, offsets);
    for (int64_t c = 0, k = 0; c < cb; ++c)
      for (int64_t t = 0; t < taps; ++t) a_offsets[k++] = static_cast<int32_t>(c * s.a_channel + s.a_tap[static_cast<size_t>(t)]);
    block.clear(cb, packed);

    const Sweep sweep = make_sweep(block);
    const int64_t row_tiles = ceil_div(s.rows, plan.mr), base = s.rows / row_tiles, extra = s.rows % row_tiles;
    for (int64_t g = g0; g < g1; ++g)
      for (int64_t c0 = 0; c0 == 0 || c0 < s.channels; c0 += cb) {
        const int64_t channels = std::min(cb, s.channels - c0);
        const T* b = block.pack(kernels, g * s.x_group + s.x_first + c0, channels, packed);
        const bool last = c0 + channels >= s.channels;
        for (int64_t i = tile0; i < tile1; ++i) {
          const int64_t m = i * base + std::min(i, extra), mr = base + (i < extra);
          const int64_t channel = g * s.rows + m;
          TileRun<T> t{};
          t.k = channels * taps;
          t.a = s.a + g * s.a_group + m * s.a_row + c0 * s.a_channel;
          t.lda = s.a_row;
          t.aoff = a_offsets;
          t.boff = offsets;
          t.bias = s.bias ? s.bias + channel : nullptr;
          t.accumulate = s.accumulate || c0 > 0;
          t.clamp = s.clamp && last;
          t.low = s.low;
          t.high = s.high;
          sweep_rows(t, mr, block, sweep, b, edge, s.y.data + channel * s.y.stride[1]);
        }
      }
  }

  // The box's rows of outputs: where they stand in the block and in y.
  bool near(const Row& a, const Row& b, int64_t n) const { return b.position - a.position - n < kernels.lanes; }
  struct Sweep {
    std::vector<Row> rows;
    int64_t n;        // outputs of a row
    bool across;      // tiles run across the gaps between rows: fewer vectors than row by row
    bool direct;      // tiles can be stored as they are
  };
  Sweep make_sweep(const Block<T>& block) const {
    const Box& box = block.box();
    Sweep sweep;
    sweep.n = box.extent(2);
    sweep.rows.reserve(static_cast<size_t>(box.images() * box.extent(0) * box.extent(1)));
    for (int64_t i = 0; i < box.images(); ++i)
      for (int64_t d = 0; d < box.extent(0); ++d)
        for (int64_t h = 0; h < box.extent(1); ++h)
          sweep.rows.push_back({block.position(i, d, h, 0), (box.image0 + i) * s.y.stride[0] + (box.begin[0] + d) * s.y.stride[2] +
                                                                (box.begin[1] + h) * s.y.stride[3] + box.begin[2] * s.y.stride[4]});
    int64_t vectors = 0;
    for (size_t r = 0, first = 0; r < sweep.rows.size(); ++r)
      if (r + 1 == sweep.rows.size() || !near(sweep.rows[r], sweep.rows[r + 1], sweep.n)) {
        vectors += ceil_div(sweep.rows[r].position + sweep.n - sweep.rows[first].position, kernels.lanes);
        first = r + 1;
      }
    sweep.across = vectors < static_cast<int64_t>(sweep.rows.size()) * ceil_div(sweep.n, kernels.lanes);
    sweep.direct = s.y.stride[4] == 1 || sweep.n == 1;
    return sweep;
  }

  void sweep_rows(TileRun<T> t, int64_t mr, const Block<T>& block, const Sweep& sweep, const T* b, T* edge, T* y) const {
    const auto& rows = sweep.rows;
    const int64_t n = sweep.n, count = static_cast<int64_t>(rows.size());
    if (s.rows == 1 && sweep.direct) {
      const int64_t height = block.box().extent(1);
      for (int64_t r = 0; r < count; r += height) {
        t.b = b + rows[r].position;
        t.c = y + rows[r].y;
        t.pixels = n;
        multiply_rows(t, height, block.width(2));
      }
      return;
    }
    if (sweep.direct && !sweep.across && n <= kernels.lanes && !joinable(rows, n)) return multiply_tall(t, mr, block, sweep, b, y);
    // Rows that follow one another in the block and in y are one run.
    for (int64_t r = 0; r < count;) {
      int64_t joined = 1;
      if (sweep.direct)
        while (r + joined < count && joined_rows(rows[r + joined - 1], rows[r + joined], n)) ++joined;
      if (sweep.direct && (!sweep.across || joined == count)) {
        t.b = b + rows[r].position;
        t.pixels = joined * n;
        t.c = y + rows[r].y;
        t.ldc = s.y.stride[1];
        multiply(mr, t);
        r += joined;
      } else {
        r += through_edge(t, mr, rows.data() + r, count - r, n, sweep.across, b, edge, y);
      }
    }
  }

  static bool joined_rows(const Row& a, const Row& b, int64_t n) { return b.position - a.position == n && b.y - a.y == n; }
  static bool joinable(const std::vector<Row>& rows, int64_t n) { return rows.size() > 1 && joined_rows(rows[0], rows[1], n); }

  // Image rows no longer than a vector, several to a tile.
  void multiply_tall(TileRun<T> t, int64_t mr, const Block<T>& block, const Sweep& sweep, const T* b, T* y) const {
    const int64_t height = block.box().extent(1), widest = mr == plan.mr ? plan.nr : std::min<int64_t>(kMaxVectors, kernels.accumulators / mr);
    t.pixels = sweep.n;
    t.ldc = s.y.stride[1];
    t.b_step = block.width(2);
    t.c_step = s.y.stride[3];
    for (size_t first = 0; first < sweep.rows.size(); first += static_cast<size_t>(height)) {
      const int64_t panels = ceil_div(height, widest);
      for (int64_t i = 0; i < panels; ++i) {
        const int64_t h0 = i * height / panels, tall = (i + 1) * height / panels - h0;
        t.b = b + sweep.rows[first].position + h0 * t.b_step;
        t.c = y + sweep.rows[first].y + h0 * t.c_step;
        (tall == 1 ? kernels.tile[mr - 1][0] : kernels.tall_tile[mr - 1][tall - 1])(t);
      }
    }
  }

  // One row of `a`: the tile's rows are rows of the image.
  void multiply_rows(const TileRun<T>& run, int64_t height, int64_t pitch) const {
    const int64_t nv = std::min<int64_t>(4, ceil_div(run.pixels, kernels.lanes));
    const int64_t most = std::min<int64_t>(kMaxRows, kernels.accumulators / nv);
    RowsTile<T> t{run, 0, pitch, s.y.stride[3]};
    for (int64_t r = 0; r < height; r += t.rows) {
      const int64_t left = height - r, tall = std::min(left, most);
      t.rows = left / tall * tall;
      t.run.b = run.b + r * pitch;
      t.run.c = run.c + r * t.c_row;
      kernels.rows_tile[tall - 1][nv - 1](t);
    }
  }

  // One run with tiles as wide as the rows of `a` allow, widths evened out.
  void multiply(int64_t mr, TileRun<T> t) const {
    const int64_t lanes = kernels.lanes, all = ceil_div(t.pixels, lanes);
    const int64_t widest = mr == plan.mr ? plan.nr : std::min<int64_t>(kMaxVectors, kernels.accumulators / mr);
    const int64_t panels = ceil_div(all, widest), wide = ceil_div(all, panels), wides = all - panels * (wide - 1);
    const int64_t pixels = t.pixels;
    t.pixels = std::min(pixels, wides * wide * lanes);
    kernels.tile[mr - 1][wide - 1](t);
    if (t.pixels == pixels) return;
    t.b += t.pixels;
    t.c += t.pixels;
    t.pixels = pixels - t.pixels;
    kernels.tile[mr - 1][wide - 2](t);
  }

  // Some rows (or part of one long row) by way of the edge buffer, gaps between rows computed and dropped.
  // Returns how many rows it did.
  int64_t through_edge(TileRun<T> t, int64_t mr, const Row* rows, int64_t count, int64_t n, bool across, const T* b, T* edge, T* y) const {
    const int64_t room = edge_pixels(), step = s.y.stride[4];
    int64_t done = 1;
    while (across && done < count && near(rows[done - 1], rows[done], n) && rows[done].position + n - rows[0].position <= room) ++done;
    for (int64_t w0 = 0; w0 < n; w0 += room) {  // more than one turn only for a single row
      const int64_t columns = std::min(room, n - w0);
      t.ldc = room;
      t.c = edge;
      t.b = b + rows[0].position + w0;
      t.pixels = rows[done - 1].position - rows[0].position + columns;
      // Rows a constant distance apart in y are copied together.
      auto each = [&](auto f) {
        for (int64_t r = 0; r < done;) {
          int64_t alike = 1;
          const int64_t apart = done > r + 1 ? rows[r + 1].y - rows[r].y : 0, pitch = done > r + 1 ? rows[r + 1].position - rows[r].position : 0;
          while (r + alike < done && rows[r + alike].y - rows[r + alike - 1].y == apart && rows[r + alike].position - rows[r + alike - 1].position == pitch)
            ++alike;
          for (int64_t m = 0; m < mr; ++m)
            f(y + m * s.y.stride[1] + rows[r].y + w0 * step, apart, edge + m * room + rows[r].position - rows[0].position, pitch, alike);
          r += alike;
        }
      };
      if (t.accumulate) {
        for (int64_t m = 0; m < mr; ++m) std::fill_n(edge + m * room, t.pixels, T(0));
        each([&](const T* from, int64_t ldf, T* to, int64_t ldt, int64_t count) {
          if (step == 1) return kernels.copy_tile(to, ldt, from, ldf, count, columns);
          for (int64_t r = 0; r < count; ++r)
            for (int64_t i = 0; i < columns; ++i) to[r * ldt + i] = from[r * ldf + i * step];
        });
      }
      multiply(mr, t);
      each([&](T* to, int64_t ldt, const T* from, int64_t ldf, int64_t count) {
        if (step == 1) return kernels.copy_tile(to, ldt, from, ldf, count, columns);
        for (int64_t r = 0; r < count; ++r)
          for (int64_t i = 0; i < columns; ++i) to[r * ldt + i * step] = from[r * ldf + i];
      });
    }
    return done;
  }
};

// An empty sum.
template <class T>
void fill_with_bias(const GatherSum<T>& s) {
  if (s.accumulate) return;
  const View<T>& y = s.y;
  const int64_t channels = s.groups * s.rows;
  parallel_tasks(s.images * channels, threads_for(static_cast<double>(s.images * channels) * s.axis[1].outputs * s.axis[2].outputs), [&](int64_t i) {
    const T bias = s.bias ? s.bias[i % channels] : T(0);
    const T value = !s.clamp ? bias : bias < s.low ? s.low : bias > s.high ? s.high : bias;
    T* plane = y.data + i / channels * y.stride[0] + i % channels * y.stride[1];
    for (int64_t d = 0; d < s.axis[0].outputs; ++d)
      for (int64_t h = 0; h < s.axis[1].outputs; ++h) {
        T* row = plane + d * y.stride[2] + h * y.stride[3];
        for (int64_t w = 0; w < s.axis[2].outputs; ++w) row[w * y.stride[4]] = value;
      }
  });
}

}  // namespace

template <class T>
GatherPlan plan_gather(const GatherSum<T>& s) {
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  GatherPlan plan;
  plan.threads = threads_for(2 * s.macs());
  const double columns = static_cast<double>(s.images) * s.axis[0].outputs * s.axis[1].outputs * s.axis[2].outputs;
  choose_tile(s.rows, std::ceil(columns / kernels.lanes), kernels.accumulators, plan);
  plan.cost = choose_layout(s, kernels.lanes, plan.mr, plan);

  const int64_t budget = kBlockBytes / static_cast<int64_t>(sizeof(T));
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  const int64_t depth = s.channels * s.taps();
  // Enough pixels that streaming the rows of `a` past a block is cheap; more where there is little to stream.
  int64_t pixels = depth >= 256 ? 768 : 4096;
  const double total = static_cast<double>(s.images) * n[0] * n[1] * n[2];
  if (plan.threads > 1 && s.groups < plan.threads)
    pixels = std::min<int64_t>(pixels, std::max<int64_t>(192, static_cast<int64_t>(total / (2 * plan.threads))));
  const int64_t few = std::min<int64_t>(s.channels, std::max<int64_t>(1, ceil_div(256, std::max<int64_t>(1, s.taps()))));

  auto channel_size = [&](int64_t images, const int64_t* extent) { return block_channel_size(s.axis, images, extent, plan.expand); };
  // A block grows along w, then h, d and the images, while it stays within the pixels wanted and the budget.
  int64_t* extent = plan.extent;
  extent[2] = std::min<int64_t>(n[2], 2048);
  while (extent[2] > 64 && few * channel_size(1, extent) > budget) extent[2] = ceil_div(extent[2], 2);
  for (int axis : {1, 0}) {
    if (axis == 0 && extent[1] < n[1]) break;
    while (extent[axis] < n[axis]) {
      int64_t more[3] = {extent[0], extent[1], extent[2]};
      ++more[axis];
      if (more[0] * more[1] * more[2] > pixels || few * channel_size(1, more) > budget) break;
      ++extent[axis];
    }
    extent[axis] = ceil_div(n[axis], ceil_div(n[axis], extent[axis]));  // blocks of even size
  }
  if (extent[0] == n[0] && extent[1] == n[1] && extent[2] == n[2])
    while (plan.images < s.images && (plan.images + 1) * extent[0] * extent[1] * extent[2] <= pixels &&
           few * channel_size(plan.images + 1, extent) <= budget)
      ++plan.images;
  const int64_t size = std::max<int64_t>(1, channel_size(plan.images, extent));
  plan.channels = std::max<int64_t>(1, std::min(s.channels, budget / size));
  // Weights read across their channels: the lines of so many stay in the L2 cache until all rows have read them.
  if (s.a_channel * static_cast<int64_t>(sizeof(T)) >= 2048 && s.a_row < 16) plan.channels = std::min<int64_t>(plan.channels, 256);
  if (plan.channels < s.channels) plan.channels = ceil_div(s.channels, ceil_div(s.channels, plan.channels));

  const int64_t boxes = ceil_div(s.images, plan.images) * ceil_div(n[0], extent[0]) * ceil_div(n[1], extent[1]) * ceil_div(n[2], extent[2]);
  if (plan.threads > 1) {
    plan.group_parts = std::min<int64_t>(s.groups, ceil_div(4 * plan.threads, boxes));
    const int64_t tasks = boxes * plan.group_parts;
    if (tasks < 2 * plan.threads) plan.row_parts = std::min<int64_t>(ceil_div(s.rows, plan.mr), ceil_div(plan.threads, tasks));
  }
  plan.workspace_bytes = Arena::rounded_bytes<T>(plan.channels * size + Block<T>::kSlack) +
                         2 * Arena::rounded_bytes<int32_t>(plan.channels * s.taps() + 1) + kEdgeBytes;
  return plan;
}

template <class T>
void run_gather(const GatherSum<T>& s, const GatherPlan& plan) {
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  if (s.channels * s.taps() == 0) return fill_with_bias(s);
  const int64_t parts[3] = {ceil_div(n[0], plan.extent[0]), ceil_div(n[1], plan.extent[1]), ceil_div(n[2], plan.extent[2])};
  const int64_t image_parts = ceil_div(s.images, plan.images);
  const int64_t tiles = ceil_div(s.rows, plan.mr);
  const Executor<T> executor{s, plan};
  parallel_tasks(image_parts * parts[0] * parts[1] * parts[2] * plan.group_parts * plan.row_parts, plan.threads, [&](int64_t task) {
    auto next = [&task](int64_t of) {
      int64_t i = task % of;
      task /= of;
      return i;
    };
    const int64_t row = next(plan.row_parts), group = next(plan.group_parts);
    Box box{};
    for (int i : {2, 1, 0}) {
      box.begin[i] = next(parts[i]) * plan.extent[i];
      box.end[i] = std::min(n[i], box.begin[i] + plan.extent[i]);
    }
    box.image0 = task * plan.images;
    box.image1 = std::min(s.images, box.image0 + plan.images);
    executor.box(box, group * s.groups / plan.group_parts, (group + 1) * s.groups / plan.group_parts, row * tiles / plan.row_parts,
                 (row + 1) * tiles / plan.row_parts);
  });
}

#define FASTCONV_INSTANTIATE(T)                        \
  template GatherPlan plan_gather(const GatherSum<T>&); \
  template void run_gather(const GatherSum<T>&, const GatherPlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
