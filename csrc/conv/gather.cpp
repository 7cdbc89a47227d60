#include "conv/gather.hpp"

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/columns.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBlockBytes = 288 << 10;  // a packed block lives in the L2 cache beside the rows of `a`
constexpr int64_t kPanelBytes =
    96 << 10;                      // of which a panel, read a few vectors at a time, may take this, twice if of one tap
constexpr int64_t kManyRows = 96;  // of `a`, for which all channels are packed at once if they fit
constexpr int64_t kPackingRows = 160;  // reading x where it stands, across cache lines, costs them more than packing
constexpr int64_t kFarApart = 8192;    // bytes: at such steps from channel to channel it costs any number of rows
constexpr double kStoreCost = 0.6;     // cycles to transpose an output of a columns tile
constexpr double kPixelTiles = 1.05;   // what the other tiles cost beside their products; with several taps
constexpr double kSplitLoads = 1.15;   // loads of vectors at a tap's shift too
constexpr int64_t kEdgeBytes = 384 << 10;  // sums of tiles that end within a vector, in the L2 cache
constexpr int64_t kTailDepth = 256;        // of the sums that a tail's dot products repay
constexpr int64_t kTailPlane = 256;        // pixels of an image of which a vector more or less is worth it;
constexpr int64_t kDenseTailPlane = 512;   // where no tap goes along the width, lest its rows have gaps
constexpr int64_t kStreamed = 8;           // channels at a time of a large x of which a single tile of rows is made
constexpr int64_t kStreamedPixels = 8192;  // long stretches of each
constexpr int64_t kLargeBytes = 1 << 20;   // of such an image
constexpr int64_t kShallow = 128;          // sums this short write y faster than they read the block
constexpr int64_t kOnePass = 256;          // terms of a sum that is stored once
constexpr int64_t kOneRunPixels = 128;     // of a block of all channels, at least
constexpr int64_t kRowsBytes = 384 << 10;  // rows of `a` that pass by all panels before the next, in the L2 cache

// Vectors that cover `rows` rows of n outputs whose starts are `pitch` apart, but for the last `tail`: row by row, or
// in one sweep over the gaps.
int64_t vectors(int64_t rows, int64_t n, int64_t pitch, int64_t tail, int64_t lanes) {
  return std::min(rows * ceil_div(n, lanes), ceil_div((rows - 1) * pitch + n - tail, lanes));
}

// Cycles of packing x into layouts of its axes.
template <class T>
double pack_cost(const GatherSum<T>& s, const LayoutSize (&l)[3], int lanes) {
  double lines = static_cast<double>(s.groups * s.images * s.channels * l[0].width * l[1].width);
  for (int i = 0; i < 3; ++i) lines *= static_cast<double>(l[i].segments);
  return lines * (8.0 + 2.5 * static_cast<double>(l[2].width) / lanes);
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
    if (l[1].width == n[1]) sweeps = vectors(n[0] * n[1], n[2], l[2].width, s.tail, lanes);
    else
      sweeps = (n[0] - 1) * vectors(n[1], n[2], l[2].width, 0, lanes) + vectors(n[1], n[2], l[2].width, s.tail, lanes);
    double all = static_cast<double>(s.images) * sweeps;
    if (!s.tail && l[2].width == n[2] && l[1].width == n[1] && l[0].width == n[0])
      all = static_cast<double>(ceil_div(s.images * n[0] * n[1] * n[2], lanes));
    // Rows that follow one another end within a vector once an image.
    const bool joined = l[2].width == n[2] && s.channels * s.taps() <= kOnePass;
    const double cost = s.groups * all * s.channels * s.taps() * row_tiles / 2 + pack_cost(s, l, lanes) +
                        (joined ? 0 : edge_cost(s, lanes));
    if (best < 0 || cost < best * 0.98) {
      best = cost;
      std::copy(expand, expand + 3, plan.expand);
    }
  }
  return best;
}

// The register tile for `rows` rows and `vectors` vectors of pixels: the one whose multiply-adds or loads, whichever
// take longer, add up to least over all tiles. Of `fixed` rows, unless that is 0.
template <class T>
void choose_tile(int64_t rows, double vectors, int64_t fixed, GatherPlan& plan) {
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  double best = -1;
  for (int nr = 1; nr <= kernels.vectors; ++nr) {
    const int most = std::min(kMaxRows, kernels.accumulators / nr);
    if (most < std::max<int64_t>(1, fixed)) break;
    const int64_t tiles = ceil_div(rows, fixed ? fixed : most), mr = ceil_div(rows, tiles);
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

// The tail's pixels within a box, and their sums so far.
template <class T>
class Tail {
  static constexpr int64_t kTall = kMaxDotRows;  // rows of a at a time

 public:
  Tail(const GatherSum<T>& s, const Box& box) : s_(s), box_(box) {
    const int64_t h = s.axis[1].outputs, w = s.axis[2].outputs;
    for (int64_t p = s.plane() - s.tail; p < s.plane(); ++p) {
      const int64_t at[3] = {p / (h * w), p / w % h, p % w};
      bool inside = true;
      for (int i = 0; i < 3; ++i) inside &= at[i] >= box.begin[i] && at[i] < box.end[i];
      if (inside) pixels_.push_back({at[0], at[1], at[2]});
    }
    for (int64_t n = box.image0; n < box.image1; ++n)
      for (const Pixel& p : pixels_)
        y_.push_back(n * s.y.stride[0] + p.d * s.y.stride[2] + p.h * s.y.stride[3] + p.w * s.y.stride[4]);
  }
  // Of each image's pixels in row (d, h), how many belong to the tail.
  int64_t in_row(int64_t d, int64_t h) const {
    return std::count_if(pixels_.begin(), pixels_.end(), [&](const Pixel& p) { return p.d == d && p.h == h; });
  }
  int64_t count() const { return box_.images() * static_cast<int64_t>(pixels_.size()); }
  static int64_t bytes(int64_t count, int64_t depth, int64_t rows) {
    return count ? Arena::rounded_bytes<T>((count + kTall) * depth) +
                       Arena::rounded_bytes<T>(count * rows * conv_kernels<T>().lanes)
                 : 0;
  }
  void place(char* memory, int64_t depth) {
    values_ = reinterpret_cast<T*>(memory);
    rows_ = values_ + count() * depth;
    sums_ = reinterpret_cast<T*>(memory + Arena::rounded_bytes<T>((count() + kTall) * depth));
  }

  // The values of the channels from c0 on, which are packed at b, `depth` of them at `offsets`.
  void gather(const Block<T>& block, int64_t c0, const T* b, const int32_t* offsets, int64_t depth) {
    T* value = values_;
    depth_ = depth;
    for (int64_t n = 0; n < box_.images(); ++n)
      for (size_t i = 0; i < pixels_.size(); ++i) {
        if (block.leaves_out()) {
          const T* from = block.left_out(c0, n) + i;
          for (int64_t k = 0; k < depth; ++k) *value++ = from[k * s_.x.stride[1]];
          continue;
        }
        const Pixel& p = pixels_[i];
        const T* from = b + block.position(n, p.d - box_.begin[0], p.h - box_.begin[1], p.w - box_.begin[2]);
        for (int64_t k = 0; k < depth; ++k) *value++ = from[offsets[k]];
      }
  }

  // Adds their products with rows [m0, m0 + rows) of a, whose terms stand at `offsets` from a.
  void add(const T* a, const int32_t* offsets, int64_t m0, int64_t rows, bool first) const {
    const bool dense = s_.rows_are_dense();
    int32_t at[kMaxVectors];
    for (int i = 0; i < kMaxVectors; ++i) at[i] = static_cast<int32_t>(i * depth_);
    DotTile<T> t{};
    t.rows = 1;
    t.pixels = depth_;
    t.lda = dense ? s_.a_row : depth_;
    t.boff = at;
    t.accumulate = !first;
    t.ldc = count() * kernels_.lanes;
    const int64_t few = power_of_two_within(std::min<int64_t>(kernels_.vectors, count()));
    for (int64_t m = 0, tall; m < rows; m += tall) {
      tall = power_of_two_within(std::min({kTall, rows - m, kernels_.accumulators / few}));
      t.a = dense ? a + m * s_.a_row : rows_;
      for (int64_t i = 0; i < tall && !dense; ++i)
        for (int64_t k = 0; k < depth_; ++k) rows_[i * depth_ + k] = a[(m + i) * s_.a_row + offsets[k]];
      const int64_t most = std::min<int64_t>(kernels_.vectors, kernels_.accumulators / tall);
      for (int64_t i = 0, n; i < count(); i += n) {
        n = power_of_two_within(std::min(most, count() - i));
        t.b = values_ + i * depth_;
        t.c = sums_ + ((m0 + m) * count() + i) * kernels_.lanes;
        kernels_.dot[tall - 1][n - 1](t);
      }
    }
  }

  // Some sums at a time: their lanes are added as vectors, all first lanes and all second ones and so on.
  void store(const T* bias, T* y, int64_t rows) const {
    constexpr int64_t kSums = 16;
    T lane[kSums * kSums] = {};
    const int64_t lanes = kernels_.lanes, all = rows * count();
    int64_t m = 0;
    auto to = y_.begin();
    for (int64_t i0 = 0; i0 < all; i0 += kSums) {
      const int64_t some = std::min(kSums, all - i0);
      kernels_.pack_transposed(lane, kSums, sums_ + i0 * lanes, lanes, 1, lanes, some, some);
      for (int64_t l = 1; l < lanes; ++l)
        for (int64_t i = 0; i < kSums; ++i) lane[i] += lane[l * kSums + i];
      for (int64_t i = 0; i < some; ++i) {
        T value = lane[i] + (bias ? bias[m] : T(0));
        if (s_.clamp) value = value < s_.low ? s_.low : value > s_.high ? s_.high : value;
        y[m * s_.y.stride[1] + *to] = value;
        if (++to == y_.end()) to = y_.begin(), ++m;
      }
    }
  }

 private:
  struct Pixel {
    int64_t d, h, w;
  };
  const GatherSum<T>& s_;
  const Box& box_;
  const ConvKernelsOf<T>& kernels_ = conv_kernels<T>();
  Vector<Pixel> pixels_;
  Vector<int64_t> y_;  // of each pixel of each image
  T *values_ = nullptr, *rows_ = nullptr, *sums_ = nullptr;
  int64_t depth_ = 0;
};

// A part of a box that one register tile covers, a panel of pixels for all rows of `a`.
struct Panel {
  enum Kind : int8_t {
    straight,  // consecutive pixels in the block and in y
    edged,     // anything else: computed into a buffer, from where segments are copied to y
    image,     // whole rows of an image, for a single row of `a`
  } kind;
  int8_t vectors;  // of the tile; a straight panel may be many tiles long
  int64_t position, pixels, y;
  int64_t height;                   // image rows, of image
  int64_t edge;                     // place among the edged panels' columns
  int32_t first_segment, segments;  // of edged
};
struct Segment {
  int64_t y;
  int32_t at, length;  // in the buffer
};
struct Panels {
  Vector<Panel> list;
  Vector<Segment> segments;
  int64_t edges = 0;  // columns of all edged panels
};

// Whether rows of `a` are so few and x so large that memory decides: long stretches of few channels come quickest.
template <class T>
bool streams(const GatherSum<T>& s, const GatherPlan& plan) {
  return !plan.columns && s.taps() == 1 && s.rows <= plan.mr && s.y.stride[4] == 1 &&
         s.channels * s.plane() * static_cast<int64_t>(sizeof(T)) > kLargeBytes;
}

// The outputs of some row tiles inside a box. A panel of the packed block stays in the L1 cache while all rows of `a`
// pass by; with shallow sums a row tile goes along the rows of y instead.
template <class T>
class Executor {
 public:
  Executor(const GatherSum<T>& sum, const GatherPlan& gather_plan, const Box& box, Range tiles)
      : s(sum), plan(gather_plan), block(s.axis, box, plan.expand, s.x, reads_aligned(s)), tail(s, box) {
    for (int64_t i = tiles.begin; i < tiles.end; ++i) row_tile.push_back(plan.row_tile(s.rows, i));
    if (tail.count()) block.leave_out(s.tail);
    row0 = row_tile.front().first;
    row_count = row_tile.back().first + row_tile.back().count - row0;
    make_panels();
    plan_edges();
    place();
  }

  void run(Range groups) {
    for (int64_t g = groups.begin; g < groups.end; ++g)
      for (int64_t c0 = 0; c0 < s.channels; c0 += channels) sum_channels(g, c0);
  }

 private:
  using RowTile = GatherPlan::RowTile;
  struct Row {
    int64_t position, y, n;
  };
  // Some channels of a group, the first of which are packed at b.
  struct Part {
    int64_t g, c0;
    const T* b;
    bool last;
  };
  // The buffer of the edged panels: rows `pitch` elements apart.
  struct Edges {
    bool keeps;  // the sums of all channels
    int64_t rows, pitch;
  };

  static bool reads_aligned(const GatherSum<T>& s) {
    const bool far_apart = s.x.stride[1] * static_cast<int64_t>(sizeof(T)) % kFarApart == 0;
    return far_apart || s.rows >= kPackingRows;
  }

  // Scratch memory, and what is the same for all channels.
  void place() {
    const int64_t taps = s.taps(), depth = channels * taps,
                  packed_bytes = Arena::rounded_bytes<T>(block.elements(channels)),
                  offset_bytes = Arena::rounded_bytes<int32_t>(depth),
                  edge_bytes = Arena::rounded_bytes<T>(edges.rows * edges.pitch);
    char* memory = Arena::local().reserve(packed_bytes + 2 * offset_bytes + edge_bytes +
                                          Tail<T>::bytes(tail.count(), depth, row_count));
    packed = reinterpret_cast<T*>(memory);
    offsets = reinterpret_cast<int32_t*>(memory += packed_bytes);
    a_offsets = reinterpret_cast<int32_t*>(memory += offset_bytes);
    edge = reinterpret_cast<T*>(memory += offset_bytes);
    tail.place(memory + edge_bytes, depth);
    block.offsets(channels, offsets);
    for (int64_t k = 0; k < depth; ++k)
      a_offsets[k] = static_cast<int32_t>(k / taps * s.a_channel + s.a_tap[static_cast<size_t>(k % taps)]);
    block.clear(channels, packed);
    std::fill_n(edge, edges.rows * edges.pitch, T(0));  // columns that belong to no output are computed all the same
    t.packed = s.packed;
    t.lda = s.a_row;
    t.aoff = a_offsets;
    t.boff = offsets;
    t.b_ahead = streams(s, plan) ? kAheadBytes / static_cast<int64_t>(sizeof(T)) : 0;
    t.ldc = s.y.stride[1];
    t.low = s.low;
    t.high = s.high;
  }

  // Channels [c0, c0 + channels) of group g, as far as there are any.
  void sum_channels(int64_t g, int64_t c0) {
    const int64_t some = std::min(channels, s.channels - c0), row = g * s.rows + row0;
    const bool last = c0 + some >= s.channels;
    t.k = some * s.taps();
    t.accumulate = s.accumulate || c0 > 0;
    t.clamp = s.clamp && last;
    const int64_t first = g * s.x_group + s.x_first + c0;
    const Part part{g, c0, block.pack(kernels, first, some, packed), last};
    if (tail.count()) tail.gather(block, first, part.b, offsets, t.k);
    if (s.tail || !shallow()) panel_by_panel(part);
    else
      for (const RowTile& rows : row_tile)
        for (const Panel& panel : panels.list) multiply(part, panel, rows);
    if (tail.count() && last) tail.store(s.bias ? s.bias + row : nullptr, s.y.data + row * s.y.stride[1], row_count);
  }

  // Rows that the L2 cache holds pass by all panels before the next ones do.
  void panel_by_panel(const Part& part) {
    const size_t tiles = row_tile.size(), most = static_cast<size_t>(std::max<int64_t>(
                                              1, kRowsBytes / static_cast<int64_t>(sizeof(T)) / (t.k * plan.mr)));
    for (size_t i0 = 0; i0 < tiles; i0 += most)
      for (const Panel& panel : panels.list)
        for (size_t i = i0; i < std::min(tiles, i0 + most); ++i) {
          multiply(part, panel, row_tile[i]);
          if (tail.count() && &panel == &panels.list.back())
            tail.add(t.a, a_offsets, row_tile[i].first - row0, row_tile[i].count, part.c0 == 0);
        }
  }

  void multiply(const Part& part, const Panel& panel, const RowTile& rows) {
    const int64_t m = rows.first, channel = part.g * s.rows + m;
    t.b = part.b + panel.position;
    t.pixels = panel.pixels;
    t.a = s.a + part.g * s.a_group + m * s.a_row + part.c0 * s.a_channel * (s.packed ? rows.count : 1);
    t.bias = s.bias ? s.bias + channel : nullptr;
    t.c = s.y.data + channel * s.y.stride[1] + panel.y;
    if (panel.kind == Panel::straight) tile(rows.count, panel.vectors)(t);
    else if (panel.kind == Panel::image) multiply_image(panel.height);
    else multiply_edged(part, panel, rows);
  }

  auto tile(int64_t mr, int64_t vectors) const { return kernels.tile[mr - 1][vectors - 1]; }
  bool shallow() const { return channels * s.taps() < kShallow; }
  static bool joined(const Row& a, const Row& b) { return b.position - a.position == a.n && b.y - a.y == a.n; }

  // Cuts [0, pixels) into panels of at most plan.nr vectors, of even width; calls f(begin, end).
  template <class F>
  void cut(int64_t pixels, F f) const {
    const int64_t vectors = ceil_div(pixels, lanes), count = ceil_div(vectors, plan.nr);
    for (int64_t i = 0; i < count; ++i)
      f(i * vectors / count * lanes, std::min(pixels, (i + 1) * vectors / count * lanes));
  }

  // Cycles of a vector's multiply-adds in a tile of so many: half a cycle each, if neither loads nor the latency of a
  // sum take longer.
  double vector_cost(int64_t vectors) const {
    const double v = static_cast<double>(vectors), mr = static_cast<double>(plan.mr);
    return std::max({mr * v, mr + v, 8.0}) / (2 * v);
  }

  // Are `across` vectors over the gaps between rows, in tiles as wide as may be, quicker than row by row? They are
  // copied once more.
  bool sweep_pays(int64_t across, int64_t rows, int64_t n) const {
    const int64_t one = ceil_div(n, lanes);
    const double depth = static_cast<double>(channels * s.taps());
    const double copies = 0.5 * plan.mr * static_cast<double>(rows * n) / depth;
    return static_cast<double>(across) * vector_cost(plan.nr) + copies <
           static_cast<double>(rows * one) * vector_cost(std::min<int64_t>(one, plan.nr));
  }

  // The rows of the box's outputs, but for the tail.
  Vector<Row> find_rows() const {
    const Box& box = block.box();
    const int64_t n = box.extent(2);
    Vector<Row> rows;
    rows.reserve(static_cast<size_t>(box.images() * box.extent(0) * box.extent(1)));
    for (int64_t i = 0; i < box.images(); ++i)
      for (int64_t d = 0; d < box.extent(0); ++d)
        for (int64_t h = 0; h < box.extent(1); ++h) {
          const int64_t count = n - (s.tail ? tail.in_row(box.begin[0] + d, box.begin[1] + h) : 0);
          if (count)
            rows.push_back({block.position(i, d, h, 0),
                            (box.image0 + i) * s.y.stride[0] + (box.begin[0] + d) * s.y.stride[2] +
                                (box.begin[1] + h) * s.y.stride[3] + box.begin[2] * s.y.stride[4],
                            count});
        }
    return rows;
  }

  void make_panels() {
    const int64_t n = block.box().extent(2), height = block.box().extent(1);
    const Vector<Row> rows = find_rows();
    if (rows.empty()) return;
    // Stretches of rows with less than a vector between them may be swept across; is that fewer vectors than row by
    // row?
    Vector<size_t> stretch{0};
    for (size_t r = 1; r < rows.size(); ++r)
      if (rows[r].position - rows[r - 1].position - rows[r - 1].n >= lanes) stretch.push_back(r);
    stretch.push_back(rows.size());
    int64_t across = 0;
    for (size_t i = 0; i + 1 < stretch.size(); ++i)
      across +=
          ceil_div(rows[stretch[i + 1] - 1].position + rows[stretch[i + 1] - 1].n - rows[stretch[i]].position, lanes);
    const bool sweep = sweep_pays(across, static_cast<int64_t>(rows.size()), n);
    const bool direct = s.y.stride[4] == 1 || n == 1;

    if (direct && s.rows == 1 && !s.tail) {
      for (size_t r = 0; r < rows.size(); r += static_cast<size_t>(height))
        panels.list.push_back({Panel::image, 1, rows[r].position, n, rows[r].y, height, 0, 0, 0});
    } else if (!sweep && direct) {
      add_straight(rows);
    } else {
      bool whole = direct;  // all rows follow one another, but for tails: no segments are needed
      for (size_t r = 1; r < rows.size(); ++r) whole &= joined(rows[r - 1], rows[r]) || rows[r - 1].n < n;
      if (whole) add_straight(rows);
      else add_edged(rows, stretch, sweep);
    }
  }

  // Rows that follow one another in the block and in y are one run: two panels, of tiles as wide as may be and of tiles
  // a vector narrower, where sums are shallow; else a panel a tile.
  void add_straight(const Vector<Row>& rows) {
    for (size_t r = 0, count; r < rows.size(); r += count) {
      for (count = 1; r + count < rows.size() && joined(rows[r + count - 1], rows[r + count]);) ++count;
      const int64_t pixels = rows[r + count - 1].position + rows[r + count - 1].n - rows[r].position;
      auto add = [&](int64_t p0, int64_t p1, int64_t vectors) {
        panels.list.push_back({Panel::straight, static_cast<int8_t>(vectors), rows[r].position + p0, p1 - p0,
                               rows[r].y + p0, 0, 0, 0, 0});
      };
      if (shallow()) {
        const int64_t all = ceil_div(pixels, lanes), tiles = ceil_div(all, plan.nr), wide = ceil_div(all, tiles);
        const int64_t end = std::min(pixels, (all - tiles * (wide - 1)) * wide * lanes);
        add(0, end, wide);
        if (end < pixels) add(end, pixels, wide - 1);
      } else {
        cut(pixels, [&](int64_t p0, int64_t p1) { add(p0, p1, ceil_div(p1 - p0, lanes)); });
      }
    }
  }

  void add_edged(const Vector<Row>& rows, const Vector<size_t>& stretch, bool sweep) {
    auto add = [&](size_t first, size_t last) {  // rows [first, last)
      const int64_t start = rows[first].position;
      cut(rows[last - 1].position + rows[last - 1].n - start, [&](int64_t p0, int64_t p1) {
        Panel panel{Panel::edged, static_cast<int8_t>(ceil_div(p1 - p0, lanes)), start + p0, p1 - p0, 0, 0,
                    panels.edges, static_cast<int32_t>(panels.segments.size()),  0};
        for (size_t r = first; r < last; ++r) {
          const int64_t begin = std::max(p0, rows[r].position - start),
                        end = std::min(p1, rows[r].position + rows[r].n - start);
          if (begin >= end) continue;
          panels.segments.push_back({rows[r].y + (begin - rows[r].position + start) * s.y.stride[4],
                                     static_cast<int32_t>(begin - p0), static_cast<int32_t>(end - begin)});
          ++panel.segments;
        }
        if (!panel.segments) return;
        panels.edges += panel.vectors * lanes;
        panels.list.push_back(panel);
      });
    };
    if (sweep)
      for (size_t i = 0; i + 1 < stretch.size(); ++i) add(stretch[i], stretch[i + 1]);
    else
      for (size_t r = 0; r < rows.size(); ++r) add(r, r + 1);
  }

  // Where channels come in several blocks, the buffer of the edged panels keeps the sums of all of them, so that y is
  // touched once, unless that would take too much of the L2 cache.
  void plan_edges() {
    const int64_t padded = round_up(row_count, kMaxRows);
    const bool keeps = channels < s.channels && panels.edges > 0 &&
                       padded * panels.edges * static_cast<int64_t>(sizeof(T)) <= kEdgeBytes;
    edges = keeps ? Edges{true, padded, panels.edges} : Edges{false, kMaxRows, kMaxVectors * lanes};
  }

  // One row of `a`: the tile's rows are rows of the image.
  void multiply_image(int64_t height) const {
    const int64_t nv = std::min<int64_t>(2, ceil_div(t.pixels, lanes)), pitch = block.width(2);
    const int64_t most = std::min<int64_t>(kMaxRows, kernels.accumulators / nv);
    RowsTile<T> image{t, 0, pitch, s.y.stride[3]};
    for (int64_t r = 0; r < height; r += image.rows) {
      const int64_t left = height - r, tall = power_of_two_within(std::min(left, most));
      image.rows = left / tall * tall;
      image.run.b = t.b + r * pitch;
      image.run.c = t.c + r * image.c_row;
      kernels.rows_tile[tall - 1][nv - 1](image);
    }
  }

  void multiply_edged(const Part& part, const Panel& panel, const RowTile& rows) {
    T *y = t.c, *own = edge + (edges.keeps ? (rows.first - row0) * edges.pitch + panel.edge : 0);
    const Segment *begin = panels.segments.data() + panel.first_segment, *end = begin + panel.segments;
    const bool load = t.accumulate && (part.c0 == 0 || !edges.keeps), store = part.last || !edges.keeps;
    const int64_t step = s.y.stride[4], row = s.y.stride[1], pitch = edges.pitch, mr = rows.count;
    t.c = own;
    t.ldc = pitch;
    for (const Segment* g = begin; load && g != end; ++g) {
      if (step == 1) kernels.copy_tile(own + g->at, pitch, y + g->y, row, mr, g->length);
      else
        for (int64_t m = 0; m < mr; ++m)
          for (int64_t i = 0; i < g->length; ++i) own[m * pitch + g->at + i] = y[g->y + m * row + i * step];
    }
    tile(mr, panel.vectors)(t);
    for (const Segment* g = begin; store && g != end; ++g) {
      if (step == 1) kernels.copy_tile(y + g->y, row, own + g->at, pitch, mr, g->length);
      else if (s.spreads) kernels.spread_tile(y + g->y, row, own + g->at, pitch, mr, g->length);
      else
        for (int64_t m = 0; m < mr; ++m)
          for (int64_t i = 0; i < g->length; ++i) y[g->y + m * row + i * step] = own[m * pitch + g->at + i];
    }
    t.ldc = row;
  }

  const GatherSum<T>& s;
  const GatherPlan& plan;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const int64_t lanes = kernels.lanes, channels = std::min(plan.channels, s.channels);
  Block<T> block;
  Tail<T> tail;
  Vector<RowTile> row_tile;
  int64_t row0 = 0, row_count = 0;
  Panels panels;
  Edges edges{};
  T *packed = nullptr, *edge = nullptr;
  int32_t *offsets = nullptr, *a_offsets = nullptr;
  TileRun<T> t{};
};

// An empty sum.
template <class T>
void fill_with_bias(const GatherSum<T>& s) {
  if (s.accumulate) return;
  const View<T>& y = s.y;
  const int64_t channels = s.groups * s.rows;
  parallel_tasks(s.images * channels,
                 threads_for(static_cast<double>(s.images * channels) * s.axis[1].outputs * s.axis[2].outputs),
                 [&](int64_t i) {
                   const T bias = s.bias ? s.bias[i % channels] : T(0);
                   const T value = !s.clamp ? bias : bias < s.low ? s.low : bias > s.high ? s.high : bias;
                   T* plane = y.data + i / channels * y.stride[0] + i % channels * y.stride[1];
                   for (int64_t d = 0; d < s.axis[0].outputs; ++d)
                     for (int64_t h = 0; h < s.axis[1].outputs; ++h) {
                       T* row = plane + d * y.stride[2] + h * y.stride[3];
                       if (y.stride[4] == 1) std::fill_n(row, s.axis[2].outputs, value);
                       else
                         for (int64_t w = 0; w < s.axis[2].outputs; ++w) row[w * y.stride[4]] = value;
                     }
                 });
}

// Enough channels at a time that adding to y is no burden.
template <class T>
int64_t least_channels(const GatherSum<T>& s) {
  return ceil_div(192, std::max<int64_t>(1, s.taps()));
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

// The tile and the layout, and whether vectors are pixels or channels of y.
template <class T>
GatherPlan choose_kernel(const GatherSum<T>& s) {
  const int lanes = conv_kernels<T>().lanes;
  GatherPlan pixels, columns;
  const double outputs = static_cast<double>(s.images) * (s.plane() - s.tail);
  choose_tile<T>(s.rows, std::ceil(outputs / lanes), s.packed_rows, pixels);
  pixels.cost = choose_layout(s, lanes, pixels.mr, pixels);
  if (s.tail || !columns_apply(s) || s.rows < lanes / 2) return pixels;
  LayoutSize l[3];
  for (int i = 0; i < 3; ++i) l[i] = layout_size(s.axis[i], s.axis[i].outputs, false);
  columns.cost = choose_columns(s, columns) + pack_cost(s, l, lanes) +
                 kStoreCost * outputs * static_cast<double>(s.groups * s.rows);
  return s.only_columns || columns.cost < pixels.cost * (s.taps() > 1 ? kSplitLoads : kPixelTiles) ? columns : pixels;
}

}  // namespace

template <class T>
int64_t tail_pixels(const GatherSum<T>& s) {
  const int64_t lanes = conv_kernels<T>().lanes, plane = s.plane(), left = plane % lanes;
  return left <= lanes / 4 && plane > lanes && plane <= (s.axis[2].taps() == 1 ? kDenseTailPlane : kTailPlane) &&
                 s.channels * s.taps() >= kTailDepth
             ? left
             : 0;
}

namespace {

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
                                                      : 4096;
  if (plan.threads == 1 || s.groups >= plan.threads || plan.splits_rows) return most;
  return std::min(most, std::max<int64_t>(plan.columns ? 64 : 192, s.images * s.plane() / plan.threads));
}

// Channels that a block is to hold at least.
template <class T>
int64_t wanted_channels(const GatherSum<T>& s, const GatherPlan& plan) {
  if (plan.columns) return std::min(s.channels, columns_channels(s, plan));
  if (streams(s, plan)) return std::min(s.channels, kStreamed);
  // All channels at once, even of fewer pixels, if panels of them fit: then y is written once and never read.
  const bool fit = s.channels <= panel_channels(s, plan) &&
                   s.channels * kOneRunPixels <= kBlockBytes / static_cast<int64_t>(sizeof(T));
  return s.taps() == 1 && s.rows >= kManyRows && fit ? s.channels : std::min(s.channels, least_channels(s));
}

// Elements of a block, a channel.
template <class T>
int64_t block_size(const GatherSum<T>& s, const GatherPlan& plan, int64_t images, const int64_t (&extent)[3]) {
  return std::max<int64_t>(1, block_channel_size(s.axis, images, extent, plan.expand));
}

// A block grows along w, then h, d and the images, while `channels` of it stay within the pixels wanted and the budget.
template <class T>
void grow_block(const GatherSum<T>& s, int64_t channels, GatherPlan& plan) {
  const int64_t n[3] = {s.axis[0].outputs, s.axis[1].outputs, s.axis[2].outputs}, pixels = wanted_pixels(s, plan);
  auto& extent = plan.extent;
  auto fits = [&](int64_t images, const int64_t(&e)[3]) {
    return channels * block_size(s, plan, images, e) <= kBlockBytes / static_cast<int64_t>(sizeof(T));
  };
  auto few = [&](int64_t images, const int64_t(&e)[3]) { return images * e[0] * e[1] * e[2] <= pixels; };
  extent[2] = std::min<int64_t>(n[2], 2048);
  while (extent[2] > 64 && !fits(1, extent)) extent[2] = ceil_div(extent[2], 2);
  for (int axis : {1, 0}) {
    if (axis == 0 && extent[1] < n[1]) break;
    while (extent[axis] < n[axis]) {
      int64_t more[3] = {extent[0], extent[1], extent[2]};
      ++more[axis];
      if (!few(1, more) || !fits(1, more)) break;
      ++extent[axis];
    }
    if (axis == 1 && extent[1] < n[1]) extent[1] -= extent[1] % (plan.lines = whole_lines(s, plan));
    extent[axis] = std::min(n[axis], plan.unit(axis) * ceil_div(plan.units(axis, n[axis]), plan.parts(axis, n[axis])));
  }
  if (extent[0] == n[0] && extent[1] == n[1] && extent[2] == n[2])
    while (plan.images < s.images && few(plan.images + 1, extent) && fits(plan.images + 1, extent)) ++plan.images;
  plan.images = ceil_div(s.images, plan.image_parts(s.images));
}

// Channels of a block of its size, at least `few`.
template <class T>
int64_t block_channels(const GatherSum<T>& s, int64_t few, const GatherPlan& plan) {
  const int64_t room = kBlockBytes / static_cast<int64_t>(sizeof(T)) / block_size(s, plan, plan.images, plan.extent);
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
  const int64_t depth = plan.channels * s.taps(), size = block_size(s, plan, plan.images, plan.extent),
                block = Arena::rounded_bytes<T>(plan.channels * size + Block<T>::kSlack);
  if (plan.columns) return block + columns_bytes(s, plan, plan.pixels());
  return block + 2 * Arena::rounded_bytes<int32_t>(depth) +
         std::max(kEdgeBytes, Arena::rounded_bytes<T>(kMaxRows * kMaxVectors * conv_kernels<T>().lanes)) +
         Tail<T>::bytes(plan.images * s.tail, depth, s.rows);
}

}  // namespace

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
    else if (tiles.begin < tiles.end) Executor<T>(s, plan, box, tiles).run(groups);
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
  template int64_t tail_pixels(const GatherSum<T>&);                \
  template GatherPlan plan_gather(const GatherSum<T>&);             \
  template void run_gather(const GatherSum<T>&, const GatherPlan&); \
  template bool plan_pair(GatherSum<T>(&)[2], GatherPlan(&)[2]);    \
  template void run_pair(const GatherSum<T>(&)[2], const GatherPlan(&)[2]);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
