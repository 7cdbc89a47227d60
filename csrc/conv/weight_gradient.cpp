// The weight gradient of the packed direct algorithm:
//
//   dw[o, c, t] = sum_{n, p} dy[n, o, p] * (source of x[n, c] at (p, t))
//
// Two register tiles share the work. Mostly its columns are output channels, dy being transposed, and its rows any
// channels and taps: these are broadcast value by value, so that x is read where it stands, whatever its strides, or if
// there is padding from a padded copy. Where there are few of either, dot products along the pixels, with dy as it is.
// Every element is one sum in the order of the pixels, however the work is cut; only where there are too few elements
// to keep the threads busy is that sum cut into parts, and their number depends on the problem alone.
#include "conv/weight_gradient.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/depthwise_weight.hpp"
#include "conv/fft.hpp"
#include "conv/sum_parts.hpp"
#include "conv/winograd_weight.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kSumBytes = 384 << 10;    // partial sums of a task
constexpr int64_t kBlockBytes = 384 << 10;  // x
constexpr int64_t kPanelBytes = 32 << 10;   // transposed dy, in the L1 cache
constexpr int64_t kMostPixels = 4096;       // of a block
constexpr int64_t kDotPixels = 1024;       // of dy's rows that stay in the L1 cache for dots with all channels and taps
constexpr int64_t kPartPixels = 256;       // of a part of the sum, at least
constexpr int64_t kSpacedBytes = 4 << 20;  // of x, copied without what a stride passes over
constexpr int64_t kPieces = 4;             // of a task, in which the parts are added

// Elements from dw's first to its (c, t), for each c in [0, channels) and tap t.
template <class T>
Vector<int64_t> weight_positions(const View<T>& dw, int64_t channels) {
  Vector<int64_t> at;
  at.reserve(static_cast<size_t>(channels * dw.shape[2] * dw.shape[3] * dw.shape[4]));
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t a = 0; a < dw.shape[2]; ++a)
      for (int64_t b = 0; b < dw.shape[3]; ++b)
        for (int64_t e = 0; e < dw.shape[4]; ++e)
          at.push_back(c * dw.stride[1] + a * dw.stride[2] + b * dw.stride[3] + e * dw.stride[4]);
  return at;
}

template <class T>
struct WeightGradient {
  const ConvProblem p;
  View<const T> dy, x;
  View<T> dw;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();

  AxisMap axis[3];          // as dots pack them: behind every output one entry a tap, or fewer if taps share them
  AxisMap plane[3];         // all coordinates from the first that is read to the last
  int64_t oc, ic;           // of a group
  int64_t taps;             // of a channel
  bool inside = true;       // no tap is outside x
  bool dots;                // which tile
  const bool turned;        // dw is transposed: sums stand in its order
  int64_t group_count = 1;  // groups, a task
  int64_t width;     // columns of the sums kept for one row: output channels (padded), or lanes * output channels
  int64_t channels;  // of x, a task
  int64_t outputs;   // output channels, a task
  int64_t images = 1, extent[3] = {1, 1, 1};  // of a block
  int64_t parts = 1;                          // of the sum over pixels
  int threads;
  const bool expand[3] = {false, false, false};

  WeightGradient(const ConvProblem& problem, View<const T> dy_, View<const T> x_, View<T> dw_, bool turned_ = false)
      : p(problem), dy(dy_), x(x_), dw(dw_), turned(turned_) {
    for (int i = 0; i < 3; ++i) {
      plane[i] = axis[i] = forward_axis(p.axis[i]);
      plane[i].offset.resize(1);
      plane[i].stride = 1;
      plane[i].outputs = span(i, axis[i].outputs);
      inside &= plane[i].offset[0] >= 0 && plane[i].offset[0] + plane[i].outputs <= axis[i].in;
    }
    oc = p.oc / p.groups;
    ic = p.ic / p.groups;
    taps = p.taps();
    const int64_t lanes = kernels.lanes, item = static_cast<int64_t>(sizeof(T));
    const double pixels_of_all = static_cast<double>(p.mb * p.out_pixels());
    dots = cycles(true, pixels_of_all) < cycles(false, pixels_of_all);
    threads = threads_for(2 * p.macs());
    outputs = dots ? std::min<int64_t>(oc, 64) : std::min<int64_t>(round_up(oc, lanes), 1024 / item);
    while (dots && outputs > 4 && outputs * ic * taps * lanes > kSumBytes / item) outputs = ceil_div(outputs, 2);
    width = dots ? outputs * lanes : outputs;
    channels = std::max<int64_t>(1, std::min(ic, kSumBytes / item / (taps * width)));
    channels = ceil_div(ic, ceil_div(ic, channels));

    // Parts of the sum where tasks are few, each large enough to be worth its own sums. A block is no more than a part.
    const int64_t all = p.mb * p.out_pixels();
    parts = parts_of_sums(tasks(), all / kPartPixels, 2 * p.macs() / static_cast<double>(tasks()));
    const int64_t pixels =
        std::max<int64_t>(1, std::min<int64_t>(ceil_div(all, parts), dots && joined_rows() ? 1024 : kMostPixels));
    auto fits = [&](int64_t n, const int64_t* e) {
      return n * e[0] * e[1] * e[2] <= pixels && block_elements(n, e) * channels <= kBlockBytes / item;
    };
    extent[2] = std::min(p.axis[2].out, pixels);
    while (extent[2] > 16 && !fits(1, extent)) extent[2] = ceil_div(extent[2], 2);
    for (int i : {1, 0}) {
      if (i == 0 && extent[1] < p.axis[1].out) break;
      while (extent[i] < p.axis[i].out) {
        int64_t more[3] = {extent[0], extent[1], extent[2]};
        ++more[i];
        if (!fits(1, more)) break;
        ++extent[i];
      }
    }
    if (extent[0] == p.axis[0].out && extent[1] == p.axis[1].out && extent[2] == p.axis[2].out)
      while (images < p.mb && fits(images + 1, extent)) ++images;
    parts = std::min(parts, blocks());
    // From here on the cuts are for the threads' sake, and change no sum.
    while (parts == 1 && threads > 1 && tasks() < 2 * threads && (channels > 8 || (channels > 1 && taps > 8)))
      channels = ceil_div(channels, 2);
    if (channels == ic && outputs >= oc) {
      group_count = std::max<int64_t>(1, std::min(p.groups, kSumBytes / item / sum_elements()));
      if (threads > 1) group_count = std::min(group_count, ceil_div(p.groups, 4 * threads));
      if (parts > 1) group_count = 1;
    }
  }

  // Coordinates from the first that n outputs read to the last.
  int64_t span(int i, int64_t n) const {
    return (std::max<int64_t>(n, 1) - 1) * axis[i].stride + axis[i].offset.back() - axis[i].offset[0] + 1;
  }
  void spans(const int64_t* e, int64_t (&n)[3]) const {
    for (int i = 0; i < 3; ++i) n[i] = span(i, e[i]);
  }
  // What a block takes of the cache, a channel. Of x itself nothing but the lines that are read.
  int64_t block_elements(int64_t n, const int64_t* e) const {
    if (dots) return block_channel_size(axis, n, e, expand);
    if (inside && taps == 1) return n * e[0] * e[1] * e[2] * std::min<int64_t>(axis[2].stride, 16);
    int64_t all[3];
    spans(e, all);
    return n * all[0] * all[1] * all[2];
  }

  // Rows of outputs that follow one another behind every tap.
  bool joined_rows() const { return taps == 1 && p.axis[1].stride == 1 && p.axis[2].stride == 1; }

  // Estimated cycles of a group for so many pixels: the products, by how well they fill the vectors and the tile, what
  // dy takes to be read or transposed, and storing the sums.
  double cycles(bool with_dots, double pixels) const {
    const double sums = static_cast<double>(oc * ic * taps), lanes = kernels.lanes;
    if (with_dots) {
      const double plane = static_cast<double>(p.axis[1].out * p.axis[2].out),
                   row = joined_rows() ? plane : static_cast<double>(p.axis[2].out);
      const double steps = static_cast<double>(p.axis[1].stride) * static_cast<double>(p.axis[2].stride);
      const double residues = static_cast<double>(ic) * (steps - 1);
      const double calls = pixels / std::min<double>(plane, kDotPixels / 2);
      return sums * (pixels / row * (0.65 * std::ceil(row / lanes) + 0.33) + 4 * calls + 8) + 0.3 * residues * pixels;
    }
    const double fill = static_cast<double>(oc) / static_cast<double>(round_up(oc, kernels.lanes));
    return sums * (pixels / (2 * lanes * (oc > kernels.lanes ? 0.95 : 0.65)) + (turned ? 2 : 12) / lanes) / fill +
           0.27 * pixels * static_cast<double>(oc);
  }
  double cost(int64_t n) const { return p.groups * cycles(dots, static_cast<double>(n * p.out_pixels())); }

  int64_t tasks() const { return ceil_div(p.groups, group_count) * ceil_div(oc, outputs) * ceil_div(ic, channels); }
  int64_t cuts(int i) const { return ceil_div(p.axis[i].out, extent[i]); }
  int64_t blocks() const { return ceil_div(p.mb, images) * cuts(0) * cuts(1) * cuts(2); }
  int64_t sum_elements() const { return channels * taps * width; }

  Box box(int64_t i) const {
    Box b{};
    for (int a : {2, 1, 0}) {
      b.begin[a] = i % cuts(a) * extent[a];
      b.end[a] = std::min(p.axis[a].out, b.begin[a] + extent[a]);
      i /= cuts(a);
    }
    b.image0 = i * images;
    b.image1 = std::min(p.mb, b.image0 + images);
    return b;
  }

  // What one task sums: in each group of g, output channels o times channels c (both within the group).
  struct Task {
    Range g, o, c;
  };
  Task task(int64_t i) const {
    const int64_t co = ceil_div(oc, outputs), cc = ceil_div(ic, channels);
    const int64_t o = i % co, c = i / co % cc;
    const int64_t g = i / (co * cc) * group_count;
    return {{g, std::min(p.groups, g + group_count)},
            {o * outputs, std::min(oc, (o + 1) * outputs)},
            {c * channels, std::min(ic, (c + 1) * channels)}};
  }

  void run() const {
    const int64_t n = tasks(), size = group_count * sum_elements();
    if (parts == 1) {
      parallel_tasks(n, threads, [&](int64_t i) {
        Scratch s(*this);
        accumulate(task(i), {0, blocks()}, s);
        write(task(i), s.sums);
      });
      return;
    }
    T* partial = reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(n * parts * size)));
    const auto sum = [&](int64_t i, int64_t k) {
      Scratch s(*this);
      s.sums = partial + (i * parts + k) * size;
      accumulate(task(i), part(blocks(), parts, k), s);
    };
    const auto finish = [&](int64_t i, int64_t k) { add_parts(task(i), k, partial + i * parts * size); };
    sum_parts(n, parts, kPieces, threads, sum, finish);
  }

  // Piece k of a task of one group whose parts' sums stand one behind the other: some outputs of dots, else channels.
  void add_parts(Task t, int64_t k, T* sums) const {
    Range& range = dots ? t.o : t.c;
    const int64_t each = taps * (dots ? t.c.size() * kernels.lanes : width);
    const Range own = part(range.size(), kPieces, k);
    sums += own.begin * each;
    const PackLine line{0, 0};
    const PackRun run{0, static_cast<int32_t>(own.size() * each), 0, 1};
    for (int64_t i = 1; i < parts; ++i)
      kernels.pack_add({sums, sums + i * group_count * sum_elements(), &line, 1, &run, 1});
    range = {range.begin + own.begin, range.begin + own.end};
    write(t, sums);
  }

  // Images, outputs and strides of a block. Of two as large one may stand in x, the other at the border be a copy.
  using Made = std::array<int64_t, 9>;

  // The scratch memory of one task.
  struct Sizes {
    int64_t sums, block, panel, pixels, rows;  // bytes
    int64_t total() const { return sums + block + panel + pixels + rows; }
  };
  Sizes sizes() const {
    const int64_t pixels = images * extent[0] * extent[1] * extent[2];
    int64_t all[3];
    spans(extent, all);
    const int64_t entries =
        dots ? block_channel_size(axis, images, extent, expand) : block_channel_size(plane, images, all, expand);
    return {Arena::rounded_bytes<T>(group_count * sum_elements()),
            Arena::rounded_bytes<T>(entries * channels + Block<T>::kSlack),
            Arena::rounded_bytes<T>(dots ? kMaxDotRows * pixels : kPanelBytes / static_cast<int64_t>(sizeof(T))),
            Arena::rounded_bytes<int32_t>(dots ? 0 : pixels), Arena::rounded_bytes<int32_t>(channels * taps)};
  }
  int64_t scratch_bytes() const { return sizes().total(); }
  struct Scratch {
    T *sums, *block, *panel;
    int32_t *pixels, *rows;  // offsets of a block's outputs, and of channels and taps,
    mutable Made made{};     // for such blocks
    explicit Scratch(const WeightGradient& w) {
      const Sizes n = w.sizes();
      char* m = Arena::local().reserve(n.total());
      sums = reinterpret_cast<T*>(m);
      block = reinterpret_cast<T*>(m += n.sums);
      panel = reinterpret_cast<T*>(m += n.block);
      pixels = reinterpret_cast<int32_t*>(m += n.panel);
      rows = reinterpret_cast<int32_t*>(m + n.pixels);
    }
  };

  void accumulate(const Task& t, Range some, const Scratch& s) const {
    for (int64_t i = some.begin; i < some.end; ++i)
      if (dots) accumulate_dots(t, box(i), i == some.begin, s);
      else accumulate_outer(t, box(i), i == some.begin, s);
  }
  T* sums_of(const Task& t, int64_t g, const Scratch& s) const { return s.sums + (g - t.g.begin) * sum_elements(); }

  const T* dy_row(int64_t n, int64_t o, int64_t d, int64_t h, int64_t w) const {
    return dy.data + n * dy.stride[0] + o * dy.stride[1] + d * dy.stride[2] + h * dy.stride[3] + w * dy.stride[4];
  }

  // Where a block's channels are, with the strides of its images, channels and axes: in x, or in a padded copy.
  struct Source {
    const T* first;
    int64_t image, channel, step[3];
  };
  bool reachable(int64_t n) const {  // by offsets of 32 bits
    int64_t reach = (n - 1) * std::abs(x.stride[0]);
    for (int i = 1; i < 5; ++i) reach += (x.shape[i] - 1) * std::abs(x.stride[i]);
    return reach <= INT32_MAX;
  }

  void accumulate_outer(const Task& t, const Box& b, bool first, const Scratch& s) const {
    if (inside && reachable(b.images())) {
      Source source{x.data + b.image0 * x.stride[0], x.stride[0], x.stride[1], {x.stride[2], x.stride[3], x.stride[4]}};
      for (int i = 0; i < 3; ++i) source.first += (axis[i].offset[0] + b.begin[i] * axis[i].stride) * source.step[i];
      make_offsets(t, b, source, s);
      for (int64_t g = t.g.begin; g < t.g.end; ++g)
        add_outer(g, t, b, source.first + (g * ic + t.c.begin) * x.stride[1], first, s);
      return;
    }
    Box around = b;
    for (int i = 0; i < 3; ++i) {
      around.begin[i] = b.begin[i] * axis[i].stride;
      around.end[i] = around.begin[i] + span(i, b.extent(i));
    }
    const Block<T> block(plane, around, expand, x, 0);
    block.clear(t.c.size(), s.block);
    const int64_t line = block.width(2), face = block.width(1) * line;
    make_offsets(t, b, {nullptr, block.width(0) * face, block.channel_stride(), {face, line, 1}}, s);
    for (int64_t g = t.g.begin; g < t.g.end; ++g)
      add_outer(g, t, b, block.pack(kernels, g * ic + t.c.begin, t.c.size(), s.block), first, s);
  }

  void make_offsets(const Task& t, const Box& b, const Source& x, const Scratch& s) const {
    const int64_t* n = x.step;
    const Made made{b.images(), b.extent(0), b.extent(1), b.extent(2), x.image, x.channel, n[0], n[1], n[2]};
    if (made == s.made) return;
    s.made = made;
    int32_t* to = s.rows;
    for (int64_t c = 0; c < t.c.size(); ++c)
      for (int64_t i : axis[0].offset)
        for (int64_t j : axis[1].offset)
          for (int64_t k : axis[2].offset)
            *to++ = static_cast<int32_t>(c * x.channel + (i - axis[0].offset[0]) * n[0] +
                                         (j - axis[1].offset[0]) * n[1] + (k - axis[2].offset[0]) * n[2]);
    to = s.pixels;
    const int64_t step = axis[2].stride * n[2];
    for (int64_t i = 0; i < b.images(); ++i)
      for (int64_t d = 0; d < b.extent(0); ++d)
        for (int64_t h = 0; h < b.extent(1); ++h) {
          int64_t at = i * x.image + d * axis[0].stride * n[0] + h * axis[1].stride * n[1];
          for (int64_t w = 0; w < b.extent(2); ++w, at += step) *to++ = static_cast<int32_t>(at);
        }
  }

  // sums[(c * taps + t) * row + o]
  struct Sums {
    T* first;
    int64_t row;
  };
  bool in_dw() const { return !dots && turned && parts == 1 && oc % kernels.lanes == 0 && dw.stride[0] == 1; }
  void add_outer(int64_t g, const Task& t, const Box& b, const T* a, bool first, const Scratch& s) const {
    const int64_t pixels = b.pixels(), lanes = kernels.lanes, rows = t.c.size() * taps;
    const int64_t vectors = ceil_div(t.o.size(), lanes), panels = ceil_div(vectors, widest());
    const Sums sums =
        in_dw() ? Sums{dw.data + t.c.begin * dw.stride[1] + t.o.begin, dw.stride[1]} : Sums{sums_of(t, g, s), width};
    OuterTile<T> tile{};
    tile.a = a;
    tile.ldc = sums.row;
    tile.ahead_stride = dy.stride[1];
    for (int64_t k = 0; k < panels; ++k) {
      const Range v = part(vectors, panels, k),
                  o{t.o.begin + v.begin * lanes, std::min(t.o.end, t.o.begin + v.end * lanes)};
      const int64_t nr = v.size() * lanes, tiles = ceil_div(rows, tallest(v.size())), most = panel_pixels(nr);
      tile.b = s.panel;
      for (int64_t q = 0; q < pixels; q += tile.pixels) {
        tile.pixels = std::min(most, pixels - q);
        tile.pixel = s.pixels + q;
        tile.accumulate = !first || q > 0;
        transpose_dy(b, {q, q + tile.pixels}, {g * oc + o.begin, g * oc + o.end}, nr, s.panel);
        const bool more = q + tile.pixels < pixels;
        const T* next = more ? dy_at(b, q + tile.pixels, g * oc + o.begin) : dy_at(b, 0, g * oc + o.end);
        const int64_t lines = more || k + 1 < panels ? o.size() : 0;
        Range m{0, 0}, ahead{0, 0};
        for (int64_t i = 0; i < tiles; ++i) {  // nearly equal ones
          m = {m.end, (i + 1) * rows / tiles};
          ahead = {ahead.end, (i + 1) * lines / tiles};
          tile.ahead = next + ahead.begin * dy.stride[1];
          tile.ahead_rows = ahead.size();
          tile.row = s.rows + m.begin;
          tile.c = sums.first + m.begin * sums.row + v.begin * lanes;
          kernels.outer[m.size() - 1][v.size() - 1](tile);
        }
      }
    }
  }
  int64_t widest() const { return std::min({kMaxOuterVectors, kernels.vectors, kernels.accumulators / kernels.rows}); }
  int64_t tallest(int64_t vectors) const { return std::min<int64_t>(kMaxOuterRows, kernels.accumulators / vectors); }
  int64_t panel_pixels(int64_t nr) const {
    return std::max<int64_t>(16, kPanelBytes / static_cast<int64_t>(sizeof(T)) / nr / 16 * 16);
  }

  const T* dy_at(const Box& b, int64_t q, int64_t o) const {
    const int64_t w = q % b.extent(2), h = q / b.extent(2) % b.extent(1),
                  d = q / b.extent(2) / b.extent(1) % b.extent(0);
    return dy_row(b.image0 + q / b.extent(2) / b.extent(1) / b.extent(0), o, b.begin[0] + d, b.begin[1] + h,
                  b.begin[2] + w);
  }

  // panel[i * nr + o] = dy at the i-th of some pixels of the box; lines that follow one another are one.
  void transpose_dy(const Box& b, Range some, Range o, int64_t nr, T* panel) const {
    int64_t n = b.extent(2), height = b.extent(1), depth = b.extent(0);
    if (dy.stride[3] == n * dy.stride[4]) n *= height, height = 1;
    if (height == 1 && dy.stride[2] == n * dy.stride[4]) n *= depth, depth = 1;
    for (int64_t q = some.begin, count; q < some.end; q += count, panel += count * nr) {
      const int64_t line = q / n, w = q % n;
      count = std::min(n - w, some.end - q);
      const T* from = dy_row(b.image0 + line / height / depth, o.begin, b.begin[0] + line / height % depth,
                             b.begin[1] + line % height, b.begin[2] + w);
      kernels.pack_transposed(panel, nr, from, dy.stride[1], dy.stride[4], count, o.size(), nr);
    }
  }

  void accumulate_dots(const Task& t, const Box& b, bool first, const Scratch& s) const {
    const Block<T> block(axis, b, expand, x, 0);
    block.clear(t.c.size(), s.block);
    for (int64_t g = t.g.begin; g < t.g.end; ++g)
      add_dots(g, t, block, block.pack(kernels, g * ic + t.c.begin, t.c.size(), s.block), first, s);
  }

  // Rows of one image at a time: all of a plane where they follow one another in the block without gaps, as one row.
  void add_dots(int64_t g, const Task& t, const Block<T>& block, const T* packed, bool first, const Scratch& s) const {
    const Box& b = block.box();
    const int64_t n = b.extent(2), all = b.extent(1);
    const bool joined = block.width(2) == n && all > 1;
    const int64_t most = joined ? all : std::max<int64_t>(1, kDotPixels / n);
    block.offsets(t.c.size(), s.rows);
    for (int64_t i = 0; i < b.images(); ++i)
      for (int64_t d = 0; d < b.extent(0); ++d)
        for (int64_t h = 0; h < all; h += most) {
          const auto dy_of = [&](int64_t image, int64_t row) {
            return dy_row(b.image0 + image, g * oc + t.o.begin, b.begin[0] + d, b.begin[1] + row, b.begin[2]);
          };
          DotTile<T> tile{};
          tile.accumulate = !first || i + d + h > 0;
          tile.rows = std::min(most, all - h);
          tile.pixels = n;
          tile.a = dy_of(i, h);
          tile.b = packed + block.position(i, d, h, 0);
          tile.b_row = block.width(2);
          tile.c = sums_of(t, g, s);
          multiply_dots(tile, t, joined, h + most < all ? dy_of(i, h + most) : dy_of(i + 1, 0), s);
        }
  }

  // sums[((o * channels + c) * taps + t) * lanes + lane], behind which come the rows of dy at `next`. Where rows are
  // one, dy follows, by way of a copy if it must.
  void multiply_dots(DotTile<T> tile, const Task& t, bool joined, const T* next, const Scratch& s) const {
    const int64_t lanes = kernels.lanes, depth = t.c.size() * taps, n = tile.pixels, height = tile.rows;
    const bool copied = dy.stride[4] != 1 || (joined && dy.stride[3] != n);
    const T* dy_rows = tile.a;
    if (joined) tile.pixels = n * height, tile.rows = 1;
    tile.lda = copied ? height * n : dy.stride[1];
    tile.a_row = copied ? n : dy.stride[3];
    tile.ldc = depth * lanes;
    for (int64_t left = t.o.size(), tall; left > 0; left -= tall) {
      tall = dot_rows(left);
      tile.a = copied ? s.panel : dy_rows;
      if (copied) copy_rows(dy_rows, tall, height, n, s.panel);
      dy_rows += tall * dy.stride[1];
      const int64_t most = std::min<int64_t>(kMaxVectors, kernels.accumulators / tall),
                    ahead = (left > tall ? dy_rows : next) - tile.a;
      for (int64_t u = 0, k = 0, wide; u < depth; u += wide, ++k, tile.c += wide * lanes) {
        wide = power_of_two_within(std::min(most, depth - u));
        tile.boff = s.rows + u;
        tile.ahead = copied || k >= std::min(kDotsAhead, tall) ? 0 : ahead + k * dy.stride[1];
        kernels.dot[tall - 1][wide - 1](tile);
      }
      tile.c += (tall - 1) * tile.ldc;
    }
  }

  // Rows of dy, of some output channels, one behind the other.
  void copy_rows(const T* from, int64_t tall, int64_t height, int64_t n, T* to) const {
    for (int64_t o = 0; o < tall; ++o)
      for (int64_t r = 0; r < height; ++r)
        for (int64_t w = 0; w < n; ++w) *to++ = from[o * dy.stride[1] + r * dy.stride[3] + w * dy.stride[4]];
  }

  // Of a tile where n are left: six, but not of eight, or a power of two.
  int64_t dot_rows(int64_t n) const {
    return kernels.dot[kMaxDotRows - 1][0] && n >= kMaxDotRows && n != 8 ? kMaxDotRows
                                                                         : power_of_two_within(std::min<int64_t>(4, n));
  }

  // The sums of a task into dw.
  void write(const Task& t, T* all_sums) const {
    if (in_dw()) return;
    for (int64_t g = t.g.begin; g < t.g.end; ++g) {
      T* sums = all_sums + (g - t.g.begin) * sum_elements();
      const Range o{g * oc + t.o.begin, g * oc + t.o.end};
      if (dots) store_dots(sums, o, t.c);
      else store_weight_sums(sums, width, o, t.c, dw);
    }
  }
  void store_dots(T* sums, Range o, Range c) const {
    const Vector<int64_t> at = weight_positions(dw, c.size());
    depthwise_kernels<T>().lane_sums(sums, sums, o.size() * static_cast<int64_t>(at.size()));
    for (int64_t m = o.begin; m < o.end; ++m)
      for (int64_t i : at) dw.data[m * dw.stride[0] + c.begin * dw.stride[1] + i] = *sums++;
  }
};

// 1x1 kernels without padding: x and dy may take each other's place, and the sums then stand in the order of dw. Of x
// that is what a stride leaves of it, pixel by pixel.
ConvProblem turned(const ConvProblem& p) {
  ConvProblem q = p;
  std::swap(q.oc, q.ic);
  for (ConvAxis& a : q.axis) a.in = a.out, a.stride = 1;
  return q;
}
bool is_spaced(const ConvProblem& p) { return p.axis[0].stride > 1 || p.axis[1].stride > 1 || p.axis[2].stride > 1; }
int64_t spaced_elements(const ConvProblem& p) { return is_spaced(p) ? p.mb * p.ic * p.out_pixels() : 0; }

template <class T>
bool better_turned(const ConvProblem& p) {
  bool can = p.groups == 1 && spaced_elements(p) * static_cast<int64_t>(sizeof(T)) <= kSpacedBytes;
  for (const ConvAxis& a : p.axis) can &= a.k == 1 && a.pad_before + a.pad_after == 0;
  return can &&
         WeightGradient<T>(turned(p), {}, {}, {}, true).cost(p.mb) + 0.25 * static_cast<double>(spaced_elements(p)) <
             WeightGradient<T>(p, {}, {}, {}).cost(p.mb);
}

// The pixels of x that are read, of one channel of one image after the other, at `to`.
template <class T>
View<const T> without_spaces(const ConvProblem& p, const View<const T>& x, T* to) {
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  Vector<PackLine> lines;
  for (int64_t i = 0; i < d.out; ++i)
    for (int64_t j = 0; j < h.out; ++j)
      lines.push_back(
          {static_cast<int32_t>((i * h.out + j) * w.out), i * d.stride * x.stride[2] + j * h.stride * x.stride[3]});
  const PackRun run{0, static_cast<int32_t>(w.out), 0, w.stride * x.stride[4]};
  const int64_t plane = p.out_pixels();
  parallel_tasks(p.mb * p.ic, threads_for(static_cast<double>(spaced_elements(p))), [&](int64_t i) {
    const T* from = x.data + i / p.ic * x.stride[0] + i % p.ic * x.stride[1];
    conv_kernels<T>().pack({to + i * plane, from, lines.data(), static_cast<int64_t>(lines.size()), &run, 1});
  });
  View<const T> dense{to, {p.mb, p.ic, d.out, h.out, w.out}, {p.ic * plane, plane, h.out * w.out, w.out, 1}};
  return dense;
}

template <class T>
void run_direct(const ConvProblem& p, const View<const T>& dy, View<const T> x, View<T> dw) {
  if (!better_turned<T>(p)) return WeightGradient<T>(p, dy, x, dw).run();
  const ScratchMemory<T> dense(spaced_elements(p));
  if (is_spaced(p)) x = without_spaces(p, x, dense.data());
  std::swap(dw.shape[0], dw.shape[1]);
  std::swap(dw.stride[0], dw.stride[1]);
  WeightGradient<T>(turned(p), x, dy, dw, true).run();
}

template <class T>
FftWeights<T> fft_weights(const ConvProblem& p, const View<T>& dw) {
  FftWeights<T> w{dw.data, p.oc / p.groups * dw.stride[0], dw.stride[0], dw.stride[1], {}};
  for (int i = 0; i < 3; ++i)
    for (int64_t t = 0; t < p.axis[i].k; ++t) w.tap[i].push_back(t * dw.stride[2 + i]);
  return w;
}

}  // namespace

template <class T>
void store_weight_sums(const T* sums, int64_t width, Range outputs, Range channels, View<T> dw) {
  const Vector<int64_t> at = weight_positions(dw, channels.size());
  const int64_t depth = static_cast<int64_t>(at.size());
  T* base = dw.data + outputs.begin * dw.stride[0] + channels.begin * dw.stride[1];
  if (dw.stride[0] == 1 && depth == channels.size())
    return conv_kernels<T>().copy_tile(base, dw.stride[1], sums, width, depth, outputs.size());
  bool dense = true;
  for (int64_t i = 0; i < depth; ++i) dense &= at[static_cast<size_t>(i)] == i;
  if (dense) return conv_kernels<T>().pack_transposed(base, dw.stride[0], sums, width, 1, outputs.size(), depth, depth);
  for (int64_t o = 0; o < outputs.size(); ++o)
    for (int64_t i = 0; i < depth; ++i) base[o * dw.stride[0] + at[static_cast<size_t>(i)]] = sums[i * width + o];
}

template <class T>
void weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw, Algorithm algorithm) {
  if (p.oc * p.ic == 0) return;
  if (may_use_fft(p, algorithm)) {
    const FftAxes axes = fft_axes(p);
    if (const FftPlan plan = choose_fft<T>(algorithm, axes, true, direct_weight_cost<T>(p, 1)); plan.applies())
      return run_fft_gradient(axes, dy, x, fft_weights(p, dw), plan);
  }
  if (p.mb * p.out_pixels() > 0) {
    if (use_winograd_weight<T>(p, algorithm)) return winograd_weight_gradient(p, dy, x, dw);
    if (use_depthwise_weight<T>(p, algorithm)) return depthwise_weight_gradient(p, dy, x, dw);
    return run_direct(p, dy, x, dw);
  }
  for (int64_t o = 0; o < dw.shape[0]; ++o)
    for (int64_t c = 0; c < dw.shape[1]; ++c)
      for (int64_t d = 0; d < dw.shape[2]; ++d)
        for (int64_t h = 0; h < dw.shape[3]; ++h)
          for (int64_t w = 0; w < dw.shape[4]; ++w)
            dw.data[o * dw.stride[0] + c * dw.stride[1] + d * dw.stride[2] + h * dw.stride[3] + w * dw.stride[4]] = 0;
}

template <class T>
double direct_weight_cost(const ConvProblem& p, int64_t images) {
  return WeightGradient<T>(p, {}, {}, {}).cost(images);
}

template <class T>
ConvPlan plan_weight_gradient(const ConvProblem& p, Algorithm algorithm) {
  if (use_winograd_weight<T>(p, algorithm)) return plan_winograd_weight<T>(p);
  if (may_use_fft(p, algorithm))
    if (const FftPlan part = choose_fft<T>(algorithm, fft_axes(p), true, direct_weight_cost<T>(p, 1)); part.applies())
      return describe_fft(part, static_cast<double>(p.mb));
  if (use_depthwise_weight<T>(p, algorithm)) return plan_depthwise_weight<T>(p);
  const bool turns = better_turned<T>(p);
  const WeightGradient<T> w(turns ? turned(p) : p, {}, {}, {}, turns);
  ConvPlan plan;
  plan.kernel = w.dots ? "dots" : "outer";
  plan.mr = static_cast<int>(w.dots ? w.dot_rows(w.outputs) : w.tallest(w.widest()));
  plan.nr = static_cast<int>(w.dots ? w.kernels.vectors : w.widest()) * w.kernels.lanes;
  plan.block_channels = w.channels;
  plan.block_pixels = w.images * w.extent[0] * w.extent[1] * w.extent[2];
  plan.workspace_bytes = w.scratch_bytes();
  plan.shared_bytes = w.parts > 1 ? w.tasks() * w.parts * w.sum_elements() * static_cast<int64_t>(sizeof(T)) : 0;
  if (turns) plan.shared_bytes += spaced_elements(p) * static_cast<int64_t>(sizeof(T));
  plan.threads = static_cast<int>(std::min<int64_t>(w.threads, w.tasks() * w.parts));
  plan.cost = w.cost(p.mb);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                        \
  template void store_weight_sums(const T*, int64_t, Range, Range, View<T>);                           \
  template double direct_weight_cost<T>(const ConvProblem&, int64_t);                                  \
  template void weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>, Algorithm); \
  template ConvPlan plan_weight_gradient<T>(const ConvProblem&, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
