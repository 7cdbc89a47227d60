#include "conv/direct/gather.hpp"

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/direct/columns.hpp"
#include "conv/direct/pixels.hpp"
#include "conv/fill.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBlockBytes = 288 << 10;  // a packed block lives in the L2 cache beside the rows of `a`
constexpr int64_t kDeepBlockBytes = 576 << 10;
constexpr int64_t kPanelBytes =
    96 << 10;  // of which a panel, read a few vectors at a time, may take this, twice if of one tap
template <class T>
constexpr int64_t kManyRows = sizeof(T) == 8 ? 64
                                             : 96;  // of `a`, for which all channels are packed at once if they fit
constexpr double kStoreCost = 0.6;                  // cycles to transpose an output of a columns tile
constexpr int64_t kMostColumnsBytes = 1 << 20;      // in the L2 cache, if only that y is laid out so asks for columns
constexpr double kTransposeCost = 2;                // of another tile, where y's channels are neighbours
constexpr double kPixelTiles = 1.05;       // what the other tiles cost beside their products; with several taps
constexpr double kKeptTiles = 0.95;        // the same of panels that are kept apart
constexpr double kWholeRows = 1.05;        // the same of short sums whose rows are whole lines of the cache
constexpr double kSplitLoads = 1.15;       // loads of vectors at a tap's shift too
constexpr double kPartsOfLines = 2;        // or of weights that they would read so;
constexpr double kInPlace = 1.22;          // and, of small images, where rows are read in place,
constexpr double kWeightCost = 0.5;        // unless they are packed: a weight
constexpr int64_t kStreamed = 8;           // channels at a time of a large x of which a single tile of rows is made
constexpr int64_t kStreamedPixels = 8192;  // long stretches of each
constexpr int64_t kLeastBytes = 768;  // of a sum's terms at a time: more lines of x evict each other from the L1 cache
constexpr int64_t kOnePass = 256;     // terms of a sum that is stored once
constexpr int64_t kLargePlane = 256;  // pixels of an image that may be read alone
constexpr int64_t kOneRunPixels = 128;  // of a block of all channels, at least

// Vectors that cover `rows` rows of n outputs whose starts are `pitch` apart, but for the last `tail`: row by row, or
// in one sweep over the gaps.
int64_t vectors(int64_t rows, int64_t n, int64_t pitch, int64_t tail, int64_t lanes) {
  return std::min(rows * ceil_div(n, lanes), ceil_div((rows - 1) * pitch + n - tail, lanes));
}

// Whether outputs of an axis are its inputs, one by one.
bool is_whole(const AxisMap& a) {
  return !a.tabulated() && a.taps() == 1 && a.stride == 1 && a.offset[0] == 0 && a.outputs == a.in;
}

// Cycles of packing x into layouts of its axes, whole lines that follow one another being one: as measured, less the
// loads that an expanded axis keeps within a line.
template <class T>
double pack_cost(const GatherSum<T>& s, const LayoutSize (&l)[3], int lanes) {
  double lines = static_cast<double>(s.groups * s.images * s.channels), width = 1;
  bool joins = true;
  for (int i : {2, 1, 0}) {
    joins = joins && (i == 2 || l[i].segments == 1);  // those of an expanded axis begin and end with zeros
    (joins ? width : lines) *= static_cast<double>(l[i].width);
    lines *= static_cast<double>(l[i].segments);
    joins = joins && is_whole(s.axis[i]);
  }
  return lines * (2.5 + 2.5 * width / lanes);
}

// Cycles of copying between y and the edges of tiles that end within a vector, once or twice for each run of channels.
template <class T>
double edge_cost(const GatherSum<T>& s, int lanes) {
  const int64_t plane = s.axis[0].outputs * s.axis[1].outputs * s.axis[2].outputs;
  const bool dense = s.taps() == 1 && (s.images == 1 || plane % lanes == 0);
  if (dense || s.axis[2].outputs % lanes == 0) return 0;
  const double passes = 2 * std::ceil(static_cast<double>(s.channels * s.taps()) / kOnePass) - 1;
  return 0.25 * passes * static_cast<double>(s.images * plane) * static_cast<double>(s.groups * s.rows);
}

// Layouts trade entries to pack against vectors to multiply: an expanded axis is packed once a tap, but has no gaps.
template <class T>
double choose_layout(const GatherSum<T>& s, int lanes, GatherPlan& plan) {
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  const double rows = static_cast<double>(s.rows);
  LayoutSize sizes[3][2];
  for (int i = 0; i < 3; ++i)
    for (bool expand : {false, true}) sizes[i][expand] = layout_size(s.axis[i], n[i], expand);
  double best = -1;
  for (int e = 0; e <= 3; ++e) {
    bool expand[3] = {e >= 3, e >= 2, e >= 1};
    LayoutSize l[3];
    bool changes = e == 0;
    for (int i = 0; i < 3; ++i) {
      l[i] = sizes[i][expand[i]];
      changes |= expand[i] && l[i].width != sizes[i][0].width;
    }
    if (!changes) continue;
    int64_t sweeps;  // vectors of one image
    if (l[1].width == n[1]) sweeps = vectors(n[0] * n[1], n[2], l[2].width, s.tail, lanes);
    else
      sweeps = (n[0] - 1) * vectors(n[1], n[2], l[2].width, 0, lanes) + vectors(n[1], n[2], l[2].width, s.tail, lanes);
    double all = static_cast<double>(s.images) * sweeps;
    if (!s.tail && l[2].width == n[2] && l[1].width == n[1] && l[0].width == n[0])
      all = static_cast<double>(ceil_div(s.images * n[0] * n[1] * n[2], lanes));
    // Rows that follow one another end within a vector once an image. So does a long one that is alone; short ones of
    // several images are better side by side.
    const bool alone = n[0] * n[1] == 1 && n[2] >= plan.nr * lanes;
    const bool joined = (l[2].width == n[2] || alone) && s.channels * s.taps() <= kOnePass;
    const double cost =
        s.groups * all * s.channels * s.taps() * rows / 2 + pack_cost(s, l, lanes) + (joined ? 0 : edge_cost(s, lanes));
    if (best < 0 || cost < best * 0.98) {
      best = cost;
      std::copy(expand, expand + 3, plan.expand);
    }
  }
  return best;
}

// Rows of y that begin and end with a vector but do not follow one another in the layout, each a call of a tile's: how
// many, or 0.
template <class T>
double runs_apart(const GatherSum<T>& s) {
  const int64_t width = s.axis[2].outputs;
  const bool apart = width % conv_kernels<T>().lanes == 0 && layout_size(s.axis[2], width, false).width != width;
  return apart ? static_cast<double>(s.images * s.axis[0].outputs * s.axis[1].outputs) : 0;
}

template <class T>
double outputs(const GatherSum<T>& s) {
  return static_cast<double>(s.images * s.plane()) * static_cast<double>(s.groups * s.rows);
}

// The register tile for `rows` rows and all vectors of pixels that takes least time. Of `fixed` rows, unless that is 0.
template <class T>
void choose_tile(const GatherSum<T>& s, int64_t fixed, GatherPlan& plan) {
  constexpr double kCall = 100;  // cycles, with which lines of x come from the L2 cache again
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const double pixels = static_cast<double>(s.images) * (s.plane() - s.tail), apart = s.tail ? 0 : runs_apart(s),
               runs = std::max(1.0, apart), vectors = std::ceil(pixels / runs / kernels.lanes),
               call = apart > 0 ? kCall / static_cast<double>(s.channels * s.taps()) : 0;
  double best = -1;
  for (int nr = 1; nr <= kernels.vectors; ++nr) {
    const int most = std::min({kMaxRows, kernels.tallest, kernels.accumulators / nr});
    if (most < std::max<int64_t>(1, fixed)) break;
    const int64_t tiles = ceil_div(s.rows, fixed ? fixed : most), mr = ceil_div(s.rows, tiles);
    // Panels share the vectors out evenly, so their number costs loads of `a`, not idle vectors.
    const double panels = std::ceil(vectors / nr), all = static_cast<double>(tiles),
                 height = apart > 0 ? static_cast<double>(s.rows) / all : static_cast<double>(mr);
    const double cost = all * runs * (panels * tile_cycles(height, vectors / panels) + call);
    if (best < 0 || cost < best) {
      best = cost;
      plan.mr = static_cast<int>(mr);
      plan.nr = nr;
    }
  }
}

// Enough channels at a time that adding to y is no burden.
template <class T>
int64_t least_channels(const GatherSum<T>& s) {
  return ceil_div(kLeastBytes / static_cast<int64_t>(sizeof(T)), std::max<int64_t>(1, s.taps()));
}

// Elements of a block of so many channels: of a deep sum of one tap, whose panels are read once for many rows, more.
template <class T>
int64_t most_elements(const GatherSum<T>& s, const GatherPlan& plan, int64_t channels) {
  const bool deep = s.taps() == 1 && !plan.columns && channels > least_channels(s);
  return (deep ? kDeepBlockBytes : kBlockBytes) / static_cast<int64_t>(sizeof(T));
}

// Channels of which a panel takes its share of the cache.
template <class T>
int64_t panel_channels(const GatherSum<T>& s, const GatherPlan& plan) {
  const int64_t most = plan.nr * conv_kernels<T>().lanes;
  int64_t entries = 1, run = 1;  // pixels that follow one another without gaps, from the last axis on
  for (int i : {2, 1, 0}) {
    const LayoutSize l = layout_size(s.axis[i], s.axis[i].outputs, plan.expand[i]);
    const bool joins = run > 0 && l.width == s.axis[i].outputs;
    run = joins ? run * l.width : 0;
    entries =
        joins ? entries * l.segments * l.width
              : entries * l.segments * (l.width - s.axis[i].outputs + (i == 2 ? std::min(most, s.axis[i].outputs) : 1));
  }
  if (run > most) entries = entries / run * most;
  const int64_t room = (s.taps() == 1 ? 2 : 1) * kPanelBytes / static_cast<int64_t>(sizeof(T));
  return std::max(room / std::max<int64_t>(1, entries), least_channels(s));
}

// Lines that end with a vector where they follow one another without gaps, for blocks of one thread to be cut at.
template <class T>
int64_t whole_lines(const GatherSum<T>& s, const GatherPlan& plan) {
  const int64_t width = s.axis[2].outputs, lanes = conv_kernels<T>().lanes;
  int64_t lines = 1;
  while (lines * width % lanes) ++lines;
  const bool joined = plan.extent[2] == width && layout_size(s.axis[2], width, plan.expand[2]).width == width;
  return joined && !plan.columns && plan.threads == 1 && lines <= plan.extent[1] ? lines : 1;
}

// Vectors along pixels: the tile and the layout.
template <class T>
GatherPlan choose_pixels(const GatherSum<T>& s) {
  GatherPlan plan;
  // Full tiles with a tail, whose pixels they take along, and of weights where they stand, whose narrow panels have
  // tiles of their own.
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const int64_t full = kernels.accumulators / std::min(kernels.vectors, kKeptVectors);
  const bool stand = !s.packed && s.taps() == 1;
  choose_tile(s, s.tail ? kernels.rows : stand ? std::min(s.rows, full) : s.packed_rows, plan);
  plan.cost = choose_layout(s, kernels.lanes, plan);
  return plan;
}
// Or along channels of y.
template <class T>
GatherPlan choose_columns(const GatherSum<T>& s) {
  GatherPlan plan;
  LayoutSize l[3];
  for (int i = 0; i < 3; ++i) l[i] = layout_size(s.axis[i], s.axis[i].outputs, false);
  plan.cost = choose_columns(s, plan) + pack_cost(s, l, conv_kernels<T>().lanes) + kStoreCost * outputs(s);
  return plan;
}
// What tiles along pixels cost beside their products, of what columns do.
template <class T>
double beside_columns(const GatherSum<T>& s) {
  const bool keeps = conv_kernels<T>().keeps;
  if (keeps && !s.packed && s.plane() <= kKeptPlane) return kPartsOfLines;
  if (s.taps() == 1) return keeps ? kKeptTiles : kPixelTiles;
  const bool whole = s.axis[2].outputs * static_cast<int64_t>(sizeof(T)) % 64 == 0 && s.channels * s.taps() <= kOnePass;
  return whole ? kWholeRows : kSplitLoads;
}

template <class T>
GatherPlan choose_kernel(const GatherSum<T>& s) {
  const GatherPlan pixels = choose_pixels(s);
  if (s.tail || s.taps() == 0 || !columns_apply(s) || s.rows < conv_kernels<T>().lanes / 2) return pixels;
  GatherPlan columns = choose_columns(s);
  const double other = beside_columns(s);
  if (s.only_columns || columns.cost < pixels.cost * other) return columns;
  // Weights that were packed before fit tiles that know nothing of y's layout. No more does a cost: algorithms are
  // chosen by it.
  const bool neighbours = s.y.stride[1] == 1 && s.y.stride[4] != 1 && (s.packs || !s.packed) &&
                          columns_bytes(s, columns, columns_pixels(s)) <= kMostColumnsBytes;
  const double transposes = neighbours ? kTransposeCost * outputs(s) : 0;
  const bool transposed = columns.cost < pixels.cost * other + transposes;
  columns.cost = pixels.cost;
  return transposed ? columns : pixels;
}

// Whether GatherPlan::splits_rows is quicker: to pack an entry of x takes a quarter as long as to fetch one of `a` from
// another thread's cache.
template <class T>
bool shares_rows(const GatherSum<T>& s, const GatherPlan& plan) {
  if (plan.threads < 2 || !s.packs || s.groups > 1) return false;
  const int64_t tiles = plan.row_tiles(s.rows), most = ceil_div(tiles, plan.threads);
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  const bool even = 8 * most * plan.threads <= 9 * tiles;
  return even && s.images * block_channel_size(s.axis, 1, n, plan.expand) < 4 * s.rows * s.taps();
}

// Pixels of a block: enough that streaming the rows of `a` past it is cheap; more where there is little to stream.
template <class T>
int64_t wanted_pixels(const GatherSum<T>& s, const GatherPlan& plan) {
  const int64_t most = plan.columns                   ? columns_pixels(s)
                       : streams(s, plan)             ? kStreamedPixels
                       : s.channels * s.taps() >= 256 ? 768
                                                      : 12288;
  if (plan.threads == 1 || s.groups >= plan.threads || plan.splits_rows) return most;
  return std::min(most, std::max<int64_t>(plan.columns ? 64 : 192, s.images * s.plane() / plan.threads));
}

// Channels that a block is to hold at least.
template <class T>
int64_t wanted_channels(const GatherSum<T>& s, const GatherPlan& plan) {
  if (plan.columns) return std::min(s.channels, columns_channels(s, plan));
  if (streams(s, plan)) return std::min(s.channels, kStreamed);
  // All channels at once, even of fewer pixels, if panels of them fit: then y is written once and never read.
  const bool fit =
      s.channels <= panel_channels(s, plan) && s.channels * kOneRunPixels <= most_elements(s, plan, s.channels);
  return s.taps() == 1 && s.rows >= kManyRows<T> && fit ? s.channels : std::min(s.channels, least_channels(s));
}

// Elements of a block, a channel.
template <class T>
int64_t block_size(const GatherSum<T>& s, const GatherPlan& plan, int64_t images, const int64_t (&extent)[3]) {
  return std::max<int64_t>(1, block_channel_size(s.axis, images, extent, plan.expand));
}

// Whether an image may be read where it stands, as several at a time are not, and has so many pixels that little is
// lost at its end.
template <class T>
bool stands_alone(const GatherSum<T>& s) {
  return s.channels >= s.rows && s.plane() >= kLargePlane && std::all_of(s.axis, s.axis + 3, is_whole);
}

// A block grows along w, then h, d and the images, while `channels` of it stay within the pixels wanted and the budget.
template <class T>
void grow_block(const GatherSum<T>& s, int64_t channels, GatherPlan& plan) {
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs}, pixels = wanted_pixels(s, plan);
  auto& extent = plan.extent;
  auto fits = [&](int64_t images, const int64_t(&e)[3]) {
    return channels * block_size(s, plan, images, e) <= most_elements(s, plan, channels);
  };
  auto few = [&](int64_t images, const int64_t(&e)[3]) { return images * e[0] * e[1] * e[2] <= pixels; };
  extent[2] = std::min<int64_t>(n[2], 2048);
  while (extent[2] > 64 && !fits(1, extent)) extent[2] = ceil_div(extent[2], 2);
  for (int axis : {1, 0}) {
    if (axis == 0 && extent[1] < n[1]) break;
    extent[axis] = largest(1, n[axis], [&](int64_t more) {
      int64_t e[3] = {extent[0], extent[1], extent[2]};
      e[axis] = more;
      return few(1, e) && fits(1, e);
    });
    if (axis == 1 && extent[1] < n[1]) extent[1] -= extent[1] % (plan.lines = whole_lines(s, plan));
    extent[axis] = std::min(n[axis], plan.unit(axis) * ceil_div(plan.units(axis, n[axis]), plan.parts(axis, n[axis])));
  }
  if (extent[0] == n[0] && extent[1] == n[1] && extent[2] == n[2])
    plan.images = stands_alone(s)
                      ? 1
                      : largest(1, s.images, [&](int64_t more) { return few(more, extent) && fits(more, extent); });
  plan.images = ceil_div(s.images, plan.image_parts(s.images));
}

// Channels of a block of its size, at least `few`.
template <class T>
int64_t block_channels(const GatherSum<T>& s, int64_t few, const GatherPlan& plan) {
  const int64_t room = most_elements(s, plan, few) / block_size(s, plan, plan.images, plan.extent);
  const int64_t more = !plan.columns ? panel_channels(s, plan) : s.packed ? 2 * few : few;
  const bool all = !plan.columns && ceil_div(s.rows, plan.mr) <= 2;  // that there is room for
  if (!streams(s, plan)) few = all ? room : std::max(few, std::min(room, more));
  int64_t channels = std::max<int64_t>(1, std::min(few, s.channels));
  if (channels < s.channels) channels = ceil_div(s.channels, ceil_div(s.channels, channels));
  // With a tail whole vectors, so that a term has its lane however they are cut.
  return s.tail ? std::min<int64_t>(s.channels, round_up(channels, conv_kernels<T>().lanes)) : channels;
}

// Rows and groups are cut where there are too few blocks for the threads.
template <class T>
void cut_for_threads(const GatherSum<T>& s, GatherPlan& plan) {
  int64_t boxes = plan.image_parts(s.images);
  for (int i = 0; i < 3; ++i) boxes *= plan.parts(i, s.axis[i].outputs);
  if (plan.splits_rows) plan.row_parts = plan.threads;
  if (plan.splits_rows || plan.threads == 1) return;
  plan.group_parts = std::min<int64_t>(s.groups, ceil_div(4 * plan.threads, boxes));
  const int64_t tasks = boxes * plan.group_parts;
  if (tasks < 2 * plan.threads)
    plan.row_parts = std::min<int64_t>(plan.row_tiles(s.rows), ceil_div(plan.threads, tasks));
}

template <class T>
int64_t workspace_bytes(const GatherSum<T>& s, const GatherPlan& plan) {
  const int64_t size = block_size(s, plan, plan.images, plan.extent);
  return Arena::rounded_bytes<T>(plan.channels * size + Block<T>::kSlack) +
         (plan.columns ? columns_bytes(s, plan, plan.pixels()) : pixels_bytes(s, plan));
}

}  // namespace

template <class T>
bool columns_repay_packing(const GatherSum<T>& s) {
  const GatherPlan pixels = choose_pixels(s);
  if (s.rows < conv_kernels<T>().lanes) return false;
  const double weights = static_cast<double>(s.groups * s.rows) * static_cast<double>(s.channels * s.taps());
  return choose_columns(s).cost + kWeightCost * weights < kInPlace * pixels.cost;
}

double tile_cycles(double rows, double vectors) {
  constexpr double kChain = 4;  // latency of a sum
  const double multiply = rows * vectors / 2 + 0.3, loads = (rows + 2 + 1.6 * vectors) / 2;
  return std::max({multiply, loads, kChain}) + 0.05 * loads;
}

template <class T>
GatherPlan plan_gather(const GatherSum<T>& s) {
  GatherPlan plan = choose_kernel(s);
  plan.threads = threads_for(2 * s.macs());
  plan.splits_rows = shares_rows(s, plan);
  const int64_t channels = wanted_channels(s, plan);
  grow_block(s, channels, plan);
  plan.channels = block_channels(s, channels, plan);
  cut_for_threads(s, plan);
  plan.workspace_bytes = workspace_bytes(s, plan);
  return plan;
}

namespace {

// Calls f(box, groups, tiles) for all parts of a plan.
template <class T, class F>
void for_each_box(const GatherSum<T>& s, const GatherPlan& plan, F f) {
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs};
  const int64_t parts[3] = {plan.parts(0, n[0]), plan.parts(1, n[1]), plan.parts(2, n[2])};
  const int64_t image_parts = plan.image_parts(s.images);
  const int64_t tiles = plan.row_tiles(s.rows);
  const auto run_one = [&](int64_t task) {
    auto next = [&task](int64_t of) {
      int64_t i = task % of;
      task /= of;
      return i;
    };
    const int64_t row = next(plan.row_parts), group = next(plan.group_parts);
    Box box{};
    for (int i : {2, 1, 0}) {
      const Range own = part(plan.units(i, n[i]), parts[i], next(parts[i]));
      box.begin[i] = own.begin * plan.unit(i);
      box.end[i] = std::min(n[i], own.end * plan.unit(i));
    }
    const Range images = part(s.images, image_parts, task);
    box.image0 = images.begin;
    box.image1 = images.end;
    f(box, part(s.groups, plan.group_parts, group), part(tiles, plan.row_parts, row));
  };
  const int64_t tasks = image_parts * parts[0] * parts[1] * parts[2] * plan.group_parts * plan.row_parts;
  // The rows are a task's last digit.
  parallel_tasks_apart(tasks, plan.splits_rows ? plan.row_parts : tasks, plan.threads, run_one);
}

}  // namespace

template <class T>
void run_gather(const GatherSum<T>& s, const GatherPlan& plan) {
  if (s.channels * s.taps() == 0) return fill_with_bias(s);
  for_each_box(s, plan, [&](const Box& box, Range groups, Range tiles) {
    if (plan.columns) run_columns(s, plan, box, groups.begin, groups.end, tiles.begin, tiles.end);
    else run_pixels(s, plan, box, groups, tiles);
  });
}

template <class T>
bool plan_pair(GatherSum<T> (&s)[2], GatherPlan (&plan)[2]) {
  for (int i : {0, 1}) plan[i] = plan_gather(s[i]);
  if (!plan[0].columns && !plan[1].columns) return false;
  for (int i : {0, 1}) {
    if (plan[i].columns) continue;
    s[i].only_columns = true;
    plan[i] = plan_gather(s[i]);
  }
  const int64_t channels = plan[1].channels;
  const bool less =
      plan[1].extent[0] * plan[1].extent[1] * plan[1].images < plan[0].extent[0] * plan[0].extent[1] * plan[0].images;
  if (less) std::copy_n(plan[1].extent, 2, plan[0].extent), plan[0].images = plan[1].images;
  const bool whole = plan[0].extent[2] == s[0].axis[2].outputs && plan[1].extent[2] == s[1].axis[2].outputs;
  plan[1] = plan[0];
  plan[1].channels = channels;
  plan[1].extent[2] = s[1].axis[2].outputs;
  return whole && plan[0].columns;
}

template <class T>
void run_pair(const GatherSum<T> (&s)[2], const GatherPlan (&plan)[2]) {
  for_each_box(s[0], plan[0], [&](const Box& box, Range groups, Range tiles) {
    run_columns_pair(s, plan, box, groups.begin, groups.end, tiles.begin, tiles.end);
  });
}

#define FASTCONV_INSTANTIATE(T)                                     \
  template bool columns_repay_packing(const GatherSum<T>&);         \
  template GatherPlan plan_gather(const GatherSum<T>&);             \
  template void run_gather(const GatherSum<T>&, const GatherPlan&); \
  template bool plan_pair(GatherSum<T>(&)[2], GatherPlan(&)[2]);    \
  template void run_pair(const GatherSum<T>(&)[2], const GatherPlan(&)[2]);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
