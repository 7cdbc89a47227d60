#include "conv/direct/pixels.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "conv/direct/panels.hpp"
#include "conv/direct/tail.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPackingRows = 160;  // reading x where it stands, across cache lines, costs them more than packing
constexpr int64_t kFarApart = 8192;    // bytes from channel to channel: then it costs any number of tiles but one
constexpr int64_t kEdgeBytes = 384 << 10;  // sums of tiles that end within a vector, in the L2 cache
constexpr int64_t kLargeBytes = 1 << 20;   // of an x that streams
constexpr int64_t kShallow = 128;          // sums this short write y faster than they read the block
constexpr int64_t kKeepingTiles = 4;   // of rows, which repay keeping a panel of x apart from the rest as it is read,
constexpr int64_t kCopyingTiles = 12;  // and copying one beforehand
constexpr int64_t kRowsBytes = 384 << 10;  // rows of `a` that pass by all panels before the next, in the L2 cache

// A panel of x side by side takes a few pages and lines of the L1 cache, and no load goes across a line.
template <class T>
bool keeps(const GatherSum<T>& s, const GatherPlan& plan) {
  return conv_kernels<T>().keeps && s.taps() == 1 && s.rows >= kKeepingTiles * plan.mr;
}
template <class T>
int64_t kept_bytes(const GatherSum<T>& s, const GatherPlan& plan, int64_t depth) {
  return keeps(s, plan)
             ? Arena::rounded_bytes<int32_t>(depth) + Arena::rounded_bytes<T>(depth * plan.nr * conv_kernels<T>().lanes)
             : 0;
}

// The outputs of some row tiles inside a box. A panel of the packed block stays in the L1 cache while all rows of `a`
// pass by; with shallow sums a row tile goes along the rows of y instead.
template <class T>
class Pixels {
 public:
  Pixels(const GatherSum<T>& sum, const GatherPlan& gather_plan, const Box& box, Range tiles)
      : s(sum),
        plan(gather_plan),
        block(s.axis, box, plan.expand, s.x, reads_past(s, box), alignment(s, gather_plan)),
        tail(s, box) {
    for (int64_t i = tiles.begin; i < tiles.end; ++i) row_tile.push_back(plan.row_tile(s.rows, i));
    if (tail.count()) block.leave_out(s.tail);
    row0 = row_tile.front().first;
    row_count = row_tile.back().first + row_tile.back().count - row0;
    panels = Panels(rules(), find_rows());
    plan_edges();
    place();
    takes_along = tail_has_panels();
  }

  void run(Range groups) {
    for (int64_t g = groups.begin; g < groups.end; ++g)
      for (int64_t c0 = 0; c0 < s.channels; c0 += channels) sum_channels(g, c0);
  }

 private:
  using RowTile = GatherPlan::RowTile;
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

  // Where to read x across cache lines costs more than to pack it, the bytes that its lines begin at a multiple of.
  static int64_t alignment(const GatherSum<T>& s, const GatherPlan& plan) {
    const ConvKernelsOf<T>& kernels = conv_kernels<T>();
    const bool far_apart = s.x.stride[1] * static_cast<int64_t>(sizeof(T)) % kFarApart == 0,
               kept = !kernels.keeps || s.taps() > 1 || std::min(plan.channels, s.channels) * s.taps() >= kShallow;
    const int64_t most = kept ? kPackingRows : kCopyingTiles * plan.mr;
    return (far_apart && s.rows > plan.mr) || s.rows >= most ? kernels.lanes * static_cast<int64_t>(sizeof(T)) : 1;
  }

  // Elements that tiles may read behind the last line: of one run of outputs none behind its last vector.
  static int64_t reads_past(const GatherSum<T>& s, const Box& box) {
    const int64_t* step = s.y.stride;
    const int64_t pixels = box.pixels(), line = box.extent(2), face = box.extent(1) * line,
                  lanes = conv_kernels<T>().lanes;
    const bool run = (s.rows > 1 || box.extent(1) == 1) && box.images() == 1 && !s.whole_w && step[4] == 1 &&
                     (step[3] == line || face == line) && (step[2] == face || pixels == face);
    return run ? round_up(pixels, lanes) - pixels : 2 * lanes;
  }

  // Scratch memory, and what is the same for all channels.
  void place() {
    const int64_t depth = channels * s.taps(), packed_bytes = Arena::rounded_bytes<T>(block.elements(channels)),
                  offset_bytes = Arena::rounded_bytes<int32_t>(depth),
                  edge_bytes = Arena::rounded_bytes<T>(edges.rows * edges.pitch + lanes),
                  kept_size = kept_bytes(s, plan, depth);
    char* memory = Arena::local().reserve(packed_bytes + 2 * offset_bytes + edge_bytes + kept_size +
                                          Tail<T>::bytes(tail.count(), depth, row_count));
    packed = reinterpret_cast<T*>(memory);
    offsets = reinterpret_cast<int32_t*>(memory += packed_bytes);
    a_offsets = reinterpret_cast<int32_t*>(memory += offset_bytes);
    edge = reinterpret_cast<T*>(memory += offset_bytes);
    memory += edge_bytes;
    kept = kept_size ? reinterpret_cast<T*>(memory) : nullptr;
    kept_offsets = reinterpret_cast<int32_t*>(memory) + kept_size / 4 - depth;
    tail.place(memory + kept_size, depth);
    block.offsets(channels, offsets);
    int32_t* a = a_offsets;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t tap : s.a_tap) *a++ = static_cast<int32_t>(c * s.a_channel + tap);
    block.clear(channels, packed);
    std::fill_n(edge, edges.rows * edges.pitch, T(0));  // columns that belong to no output are computed all the same
    t.packed = s.packed;
    t.lda = s.a_row;
    t.aoff = a_offsets;
    t.boff = offsets;
    t.b_ahead = streams(s, plan) ? kAheadBytes / static_cast<int64_t>(sizeof(T)) : 0;
    t.b_ahead_step = ahead_step();
    t.ldc = s.y.stride[1];
    t.low = s.low;
    t.high = s.high;
    t.dots_row = tail.count() * lanes;
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
    if (!shallow()) panel_by_panel(part);
    else
      for (const RowTile& rows : row_tile)
        for (const Panel& panel : panels.list) multiply(part, panel, rows);
    if (tail.count() && last) tail.store(s.bias ? s.bias + row : nullptr, s.y.data + row * s.y.stride[1], row_count);
  }

  // Of weights where they stand a panel that is narrower than others takes tiles of more rows, as many as fill the
  // registers.
  bool has_own_rows(const Panel& panel) const { return !s.packed && !tail.count() && panel.vectors < plan.nr; }
  // Rows [first, end) in tiles: those of the plan from `tile` on, or of `most` rows.
  struct RowCut {
    const RowTile* tile;
    int64_t first, end, most, tiles;
    RowTile operator[](int64_t i) const {
      const int64_t m = first + i * most;
      return tile ? tile[i] : RowTile{m, std::min(most, end - m)};
    }
  };
  __attribute__((noinline)) RowCut row_cut(const Panel& panel, const RowTile* tile, const RowTile* last) const {
    const int64_t first = tile->first, end = last->first + last->count,
                  most = std::min({kMaxRows, kernels.tallest, kernels.accumulators / panel.vectors});
    if (has_own_rows(panel)) return {nullptr, first, end, most, ceil_div(end - first, most)};
    return {tile, 0, 0, 0, last + 1 - tile};
  }

  int64_t ahead_step() const { return s.taps() == 1 ? block.channel_stride() : 0; }

  // Whether each pixel of the tail has a panel of full tiles to go along with.
  bool tail_has_panels() const {
    const int64_t wide = kernels.accumulators / kernels.rows, count = tail.count();
    return tail.suits_tiles() && count <= static_cast<int64_t>(panels.list.size()) &&
           std::all_of(panels.list.begin(), panels.list.begin() + count,
                       [&](const Panel& p) { return p.vectors == wide && p.pixels <= wide * lanes; });
  }

  // Rows that the L2 cache holds pass by all panels before the next ones do. Each of the first panels takes along a
  // pixel of the tail, if full tiles can.
  void panel_by_panel(const Part& part) {
    const int64_t most = std::max<int64_t>(1, kRowsBytes / static_cast<int64_t>(sizeof(T)) / (t.k * plan.mr));
    const RowTile* const end = row_tile.data() + row_tile.size();
    for (const RowTile* tile = row_tile.data(); tile < end; tile += most)
      for (const Panel& panel : panels.list) {
        const int64_t pixel = &panel - panels.list.data();
        const RowCut cut = row_cut(panel, tile, tile + std::min<int64_t>(most, end - tile) - 1);
        const bool keep = kept && cut.tiles >= kKeepingTiles;
        Part own = part;
        if (keep) start_keeping(panel, cut[0], cut.tiles, own);
        for (int64_t i = 0; i < cut.tiles; ++i) {
          const RowTile rows = cut[i];
          const auto [first, count] = rows;
          const bool along = takes_along && count == kernels.rows && !(keep && i == 0);
          if (block.in_place()) fetch_ahead(panel, i, own.b - part.b);
          t.dots = along && pixel < tail.count() ? tail.sums(first - row0, pixel) : nullptr;
          t.dots_b = tail.values(pixel);
          multiply(own, panel, rows);
          if (tail.count() && !along && &panel == &panels.list.back())
            tail.add(t.a, a_offsets, first - row0, count, part.c0 == 0);
          if (t.keep) read_kept(panel, own);
        }
        t.boff = offsets;
        t.b_ahead_step = ahead_step();
      }
  }

  // By the first of some tiles of rows, which is not one that takes a pixel along, or beforehand.
  void start_keeping(const Panel& panel, const RowTile& rows, int64_t tiles, Part& part) {
    const int64_t wide = panel.vectors * lanes;
    if (panel.vectors == kKeptVectors && panel.vectors * rows.count == kernels.accumulators) {
      t.keep = kept;
    } else if (tiles >= kCopyingTiles) {
      kernels.copy_tile(kept, wide, part.b + panel.position, block.channel_stride(), t.k, wide);
      read_kept(panel, part);
    }
  }
  __attribute__((noinline)) void read_kept(const Panel& panel, Part& part) {
    const int32_t wide = panel.vectors * static_cast<int32_t>(lanes);
    for (int32_t i = 0, at = 0; i < t.k; ++i, at += wide) kept_offsets[i] = at;
    part.b = kept - panel.position;
    t.boff = kept_offsets;
    t.b_ahead_step = 0;
    t.keep = nullptr;
  }

  // Of x where it stands, each row tile fetches one of the lines that the next panel takes of a channel. What is read
  // may be `moved`.
  void fetch_ahead(const Panel& panel, int64_t row_tile, int64_t moved) {
    const int64_t at = row_tile * 64 / static_cast<int64_t>(sizeof(T));
    const bool wanted = at <= panel.vectors * lanes && &panel != &panels.list.back();
    t.b_ahead = wanted ? (&panel)[1].position - panel.position + at - moved : 0;
    t.b_ahead_step = wanted ? block.channel_stride() : 0;
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

  auto tile(int64_t mr, int64_t vectors) const {
    return t.dots ? kernels.tile_and_pixel : kernels.tile[mr - 1][vectors - 1];
  }
  bool shallow() const { return !s.tail && s.packed && channels * s.taps() < kShallow; }

  // A single row of `a` goes down images.
  bool takes_images() const { return s.rows == 1 && block.box().extent(1) > 1 && !s.tail && is_direct(); }
  // Whether tiles can write y.
  bool is_direct() const { return (s.y.stride[4] == 1 || block.box().extent(2) == 1) && !s.whole_w; }

  // The rows of the box's outputs, but for the tail. Those that follow one another in the block and in y are one.
  Vector<PixelRow> find_rows() const {
    const Box& box = block.box();
    const int64_t n = box.extent(2);
    const bool joins = s.y.stride[4] == 1 && !s.whole_w && !s.tail && !takes_images();
    Vector<PixelRow> rows;
    rows.reserve(static_cast<size_t>(box.images() * box.extent(0) * box.extent(1)));
    for (int64_t i = 0; i < box.images(); ++i)
      for (int64_t d = 0; d < box.extent(0); ++d)
        for (int64_t h = 0; h < box.extent(1); ++h) {
          const int64_t count = n - (s.tail ? tail.in_row(box.begin[0] + d, box.begin[1] + h) : 0);
          const int64_t below = 2 * (box.begin[1] + h) + 1 < s.whole_h ? s.y.stride[3] / 2 : 0;
          const PixelRow row{block.position(i, d, h, 0),
                             (box.image0 + i) * s.y.stride[0] + (box.begin[0] + d) * s.y.stride[2] +
                                 (box.begin[1] + h) * s.y.stride[3] + box.begin[2] * s.y.stride[4],
                             count, below};
          if (joins && !rows.empty() && rows.back().joins(row)) rows.back().n += count;
          else if (count) rows.push_back(row);
        }
    return rows;
  }

  PanelRules rules() const {
    const Box& box = block.box();
    return {lanes,         plan.mr,       plan.nr,   channels * s.taps(), box.begin[2], box.extent(2),
            box.extent(1), s.y.stride[4], s.whole_w, shallow(),           is_direct(),  takes_images()};
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
    RowsTile<T> image{t, 0, pitch, s.y.stride[3]};
    for (int64_t r = 0; r < height; r += image.rows) {
      const int64_t left = height - r, tall = power_of_two_within(std::min<int64_t>(left, kImageRows));
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
      else if (row == 1) kernels.pack_transposed(own + g->at, pitch, y + g->y, step, 1, mr, g->length, g->length);
      else
        for (int64_t m = 0; m < mr; ++m)
          for (int64_t i = 0; i < g->length; ++i) own[m * pitch + g->at + i] = y[g->y + m * row + i * step];
    }
    tile(mr, panel.vectors)(t);
    for (const Segment* g = begin; store && g != end; ++g) {
      if (s.whole_w) kernels.spread_zeros(y + g->y, row, own + g->at, pitch, mr, g->wide, g->below);
      else if (step == 1) kernels.copy_tile(y + g->y, row, own + g->at, pitch, mr, g->length);
      else if (row == 1) kernels.pack_transposed(y + g->y, step, own + g->at, pitch, 1, g->length, mr, mr);
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
  bool takes_along = false;
  T *packed = nullptr, *kept = nullptr, *edge = nullptr;
  int32_t *offsets = nullptr, *a_offsets = nullptr, *kept_offsets = nullptr;
  TileRun<T> t{};
};

}  // namespace

template <class T>
bool streams(const GatherSum<T>& s, const GatherPlan& plan) {
  return !plan.columns && s.taps() == 1 && s.rows <= plan.mr && s.y.stride[4] == 1 &&
         s.channels * s.plane() * static_cast<int64_t>(sizeof(T)) > kLargeBytes;
}

template <class T>
int64_t pixels_bytes(const GatherSum<T>& s, const GatherPlan& plan) {
  const int64_t depth = plan.channels * s.taps();
  return 2 * Arena::rounded_bytes<int32_t>(depth) + kept_bytes(s, plan, depth) +
         Arena::rounded_bytes<T>(conv_kernels<T>().lanes) +
         std::max(kEdgeBytes, Arena::rounded_bytes<T>(kMaxRows * kMaxVectors * conv_kernels<T>().lanes)) +
         Tail<T>::bytes(plan.images * s.tail, depth, s.rows);
}

template <class T>
void run_pixels(const GatherSum<T>& s, const GatherPlan& plan, const Box& box, Range groups, Range tiles) {
  if (tiles.begin < tiles.end) Pixels<T>(s, plan, box, tiles).run(groups);
}

#define FASTCONV_INSTANTIATE(T)                                          \
  template bool streams(const GatherSum<T>&, const GatherPlan&);         \
  template int64_t pixels_bytes(const GatherSum<T>&, const GatherPlan&); \
  template void run_pixels(const GatherSum<T>&, const GatherPlan&, const Box&, Range, Range);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
