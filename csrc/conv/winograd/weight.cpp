// With y = A^T [(G w G^T) * (B^T d B)] A for each tile of outputs and its patch d of x, the gradient of w is
//
//   dw[o, c] = G^T [ sum over tiles of (A dy[o] A^T) * (B^T d[c] B) ] G:
//
// for each of the 36 values of a transformed tile one product of matrices, (outputs x tiles) times (tiles x channels).
// A task sums some output channels times some input channels, of one slice of taps, over all tiles or one part of them.
// Its tiles come in blocks: x and dy are transposed, so that a vector holds the channels of a pixel, transformed, and
// multiplied: vectors of output channels times input channels one by one.
//
// Every sum runs over the tiles in order, however the work is cut; only where there are too few sums to keep the
// threads busy are the tiles cut into parts, and their number depends on the problem alone.
#include "conv/winograd/weight.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/sum_parts.hpp"
#include "conv/weight/gradient.hpp"
#include "conv/weight/store.hpp"
#include "conv/winograd/patches.hpp"
#include "conv/winograd/winograd.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace {

// A task's sums, and its block's transformed x and dy. The more of them, the fewer transforms: only a plane at a time
// is to stay in the L2 cache. Of few tiles, sums are hardly more than written and read again.
constexpr int64_t kSumBytes = 2304 << 10, kSumBytesOfFew = 576 << 10;
constexpr int64_t kFewTiles = 8;
constexpr double kLeastTiles = 4;           // of a block, to which others cost as much
constexpr int64_t kLeastChannels = 6;       // of a group, of x and of dy
constexpr double kLeastProducts = 1 << 20;  // of a plane of outputs: smaller sums of integers are to be exact
constexpr int64_t kPatchBytes = 2400 << 10;
constexpr int64_t kSharedBytes = 6 << 20;  // sums of all parts
constexpr int64_t kStoredChannels = 64;    // of x, transformed back at once
constexpr double kGroup = 3000;            // cycles of another group's task, whatever it sums
constexpr double kPromise = 1.15;          // of the direct cost

template <class T>
struct WinogradWeight {
  const ConvProblem& p;
  View<const T> dy, x;
  View<T> dw;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const WinogradKernelsOf<T>& transforms = winograd_kernels<T>();

  AxisMap axis[3];
  WinogradShape shape;
  int64_t oc, ic;                // of a group
  int64_t planes;                // of sums and of x, all parts of a strip's kernel
  int64_t outputs, channels;     // of a task
  int64_t images, down, across;  // tiles of a block
  int64_t parts;                 // of the sum over tiles
  int threads;

  // With the tiles that cost less, of two images: the choice is not to depend on the batch, and what a call pays once
  // counts for less than in a batch of one.
  explicit WinogradWeight(const ConvProblem& problem, View<const T> dy_ = {}, View<const T> x_ = {}, View<T> dw_ = {})
      : p(problem),
        dy(dy_),
        x(x_),
        dw(dw_),
        axis{forward_axis(p.axis[0]), forward_axis(p.axis[1]), forward_axis(p.axis[2])} {
    shape = winograd_shape(axis[0], axis[1], axis[2]);
    oc = p.oc / p.groups;
    ic = p.ic / p.groups;
    threads = threads_for(2 * p.macs());
    cut_blocks();
    if (!fits_large_tiles<T>(shape)) return;
    const double small = cost(2);
    shape.side = kWinogradLargeIn;
    cut_blocks();
    if (cost(2) < small) return;
    shape.side = kWinogradIn;
    cut_blocks();
  }

  void cut_blocks() {
    images = parts = 1;
    planes = shape.planes() * shape.parts();
    const int64_t lanes = kernels.lanes, item = static_cast<int64_t>(sizeof(T));
    // The transforms of a task are repaid by the other side's channels: a square of sums is best.
    const bool few = p.mb * tiles_of(0) * tiles_of(1) * tiles_of(2) <= kFewTiles;
    const int64_t sums = (few ? kSumBytesOfFew : kSumBytes) / item / planes;
    int64_t side = lanes;
    while ((side + lanes) * (side + lanes) <= sums) side += lanes;
    outputs = std::max(side, sums / std::min(ic, side) / lanes * lanes);
    outputs = round_up(ceil_div(oc, ceil_div(oc, outputs)), lanes);
    channels = std::max(lanes, sums / outputs / lanes * lanes);
    channels = std::min(ic, round_up(ceil_div(ic, ceil_div(ic, channels)), lanes));

    const int64_t most =
        std::max<int64_t>(8, kPatchBytes / item / (shape.planes() * outputs + planes * round_up(channels, lanes)));
    const auto cut = [](int64_t n, int64_t limit) { return ceil_div(n, ceil_div(n, std::min(n, limit))); };
    across = std::min(tiles_of(2), round_up(cut(tiles_of(2), most), shape.step[2]));  // whole rows of inputs
    down = cut(tiles_of(1), std::max<int64_t>(1, most / across));
    if (across == tiles_of(2) && down == tiles_of(1) && p.axis[0].out == 1)
      images = cut(p.mb, std::max<int64_t>(1, most / (down * across)));
    if (tasks() < 4)
      parts = std::max<int64_t>(
          1, std::min<int64_t>({ceil_div(4, tasks()), blocks() < 16 ? 2 : 4, blocks(),
                                kSharedBytes / item / (tasks() * sum_elements()),
                                static_cast<int64_t>(2 * p.macs() / static_cast<double>(tasks()) / 1e7)}));
  }

  // As many tasks for each thread, where they are of fewer outputs and tiles are few: each transforms x anew, but no
  // sums cross between caches. Else, tasks enough. Changes no sum; the choice of the algorithm comes before.
  void share_out() {
    const int64_t whole = outputs, cuts = ceil_div(oc, outputs), lanes = kernels.lanes;
    const bool few = p.mb * tiles_of(0) * tiles_of(1) * tiles_of(2) < 4 * oc;
    for (int64_t n = cuts; few && n <= 2 * cuts && tasks() % threads != 0; ++n)
      outputs = round_up(ceil_div(oc, n), lanes);
    if (few && tasks() % threads != 0) outputs = whole;
    const auto uneven = [&] { return tasks() * parts < 4 * threads && tasks() * parts % threads != 0; };
    for (int64_t n = cuts; uneven() && outputs > lanes; ++n) outputs = round_up(ceil_div(oc, n), lanes);
    for (int64_t n = ceil_div(ic, channels); uneven() && channels > lanes; ++n)
      channels = round_up(ceil_div(ic, n), lanes);
  }

  // Of an axis: tiles, or along the depth outputs; those of a block; and blocks.
  int64_t tiles_of(int i) const { return i == 0 ? p.axis[0].out : shape.tiles(i, p.axis[i].out); }
  int64_t extent(int i) const { return i == 0 ? 1 : i == 1 ? down : across; }
  int64_t cuts(int i) const { return ceil_div(tiles_of(i), extent(i)); }
  int64_t deep() const { return shape.slices / shape.parts(); }  // taps along the depth
  int64_t blocks() const { return ceil_div(p.mb, images) * cuts(0) * cuts(1) * cuts(2); }
  int64_t tasks() const { return p.groups * deep() * ceil_div(oc, outputs) * ceil_div(ic, channels); }
  int64_t tiles() const { return images * down * across; }

  // sums[plane][vector of outputs][channel][lane], patches[plane][vector of channels][tile][lane]
  int64_t sum_vector() const { return round_up(channels, kernels.lanes) * kernels.lanes; }
  int64_t sum_plane() const { return plane_stride<T>(outputs / kernels.lanes * sum_vector()); }
  int64_t sum_elements() const { return planes * sum_plane(); }
  int64_t x_plane() const { return plane_stride<T>(round_up(channels, kernels.lanes) * tiles()); }
  int64_t dy_plane() const { return plane_stride<T>(outputs * tiles()); }

  Box box(int64_t i) const {
    Box b{};
    for (int a : {2, 1, 0}) {
      b.begin[a] = i % cuts(a) * extent(a);
      b.end[a] = std::min(tiles_of(a), b.begin[a] + extent(a));
      i /= cuts(a);
    }
    b.image0 = i * images;
    b.image1 = std::min(p.mb, b.image0 + images);
    return b;
  }

  // Estimated cycles: the products, the transforms of x and dy (once for each block of the other's channels), and the
  // transform of the sums, and what any call pays.
  double cost(int64_t n) const {
    const double all_tiles = static_cast<double>(n) * p.axis[0].out * tiles_of(1) * tiles_of(2);
    const double rows = static_cast<double>(ic), vectors = static_cast<double>(ceil_div(oc, kernels.lanes)),
                 x_vectors = static_cast<double>(ceil_div(ic, kernels.lanes));
    const double points = shape.strip
                              ? static_cast<double>(planes) * tiles_of(1) * tiles_of(2)
                              : static_cast<double>(shape.points(1, p.axis[1].out) * shape.points(2, p.axis[2].out));
    const double products = static_cast<double>(n) * p.axis[0].out * points * rows * vectors / 2 *
                            (shape.strip ? 1.6 : 1.2) * std::max(1.0, kLeastTiles / static_cast<double>(tiles())),
                 n_parts = static_cast<double>(shape.parts());
    const double size = shape.large() ? 2 : 1;
    const double source = shape.strip ? 40 + 25 * n_parts : 250 * size * n_parts,
                 gradient = shape.strip ? 60 : 200 * size;
    const double transforms = source * x_vectors * ceil_div(oc, outputs) + gradient * vectors * ceil_div(ic, channels);
    const double sums = (shape.strip ? 45 : shape.split > 1 ? 150 : shape.large() ? 420 : 190) * n_parts;
    const double groups = static_cast<double>(p.groups * deep());
    return groups * (products + transforms * all_tiles + sums * rows * vectors) + kGroup * (groups - 1) + 4000;
  }

  struct Task {
    int64_t group, slice;
    Range o, c;  // within the group
  };
  Task task(int64_t i) const {
    const int64_t co = ceil_div(oc, outputs), cc = ceil_div(ic, channels);
    const int64_t o = i % co * outputs, c = i / co % cc * channels;
    i /= co * cc;
    return {i / deep(), i % deep(), {o, std::min(oc, o + outputs)}, {c, std::min(ic, c + channels)}};
  }

  // The scratch memory of one task.
  struct Sizes {
    int64_t sums, x_patches, dy_patches, pixels, stored;  // bytes
    int64_t total() const { return sums + x_patches + dy_patches + pixels + stored; }
  };
  Sizes sizes() const {
    return {Arena::rounded_bytes<T>(parts == 1 ? sum_elements() : 0), Arena::rounded_bytes<T>(planes * x_plane()),
            Arena::rounded_bytes<T>(shape.planes() * dy_plane()),
            Arena::rounded_bytes<T>(WinogradPatchesOf<T>::pixel_elements(shape, down, across)),
            Arena::rounded_bytes<T>(p.axis[1].k * p.axis[2].k * kStoredChannels * outputs)};
  }
  struct Scratch {
    T *sums, *x_patches, *dy_patches, *pixels, *stored;
    explicit Scratch(const WinogradWeight& w) {
      const Sizes n = w.sizes();
      char* m = Arena::local().reserve(n.total());
      sums = reinterpret_cast<T*>(m);
      x_patches = reinterpret_cast<T*>(m += n.sums);
      dy_patches = reinterpret_cast<T*>(m += n.x_patches);
      pixels = reinterpret_cast<T*>(m += n.dy_patches);
      stored = reinterpret_cast<T*>(m + n.pixels);
    }
  };

  void run() const {
    const int64_t n = tasks();
    if (parts == 1) {
      parallel_tasks(n, threads, [&](int64_t i) {
        const Scratch s(*this);
        accumulate(task(i), {0, blocks()}, s, s.sums);
        for (int64_t c = 0; c < channels; c += kStoredChannels) store(task(i), c, s, s.sums);
      });
      return;
    }
    T* partial = reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(n * parts * sum_elements())));
    const auto sum = [&](int64_t i, int64_t k) {
      accumulate(task(i), part(blocks(), parts, k), Scratch(*this), partial + (i * parts + k) * sum_elements());
    };
    const auto finish = [&](int64_t i, int64_t chunk) {
      store(task(i), chunk * kStoredChannels, Scratch(*this), partial + i * parts * sum_elements());
    };
    sum_parts(n, parts, ceil_div(channels, kStoredChannels), threads, sum, finish);
  }

  void accumulate(const Task& t, Range some, const Scratch& s, T* sums) const {
    const AxisMap own[3] = {itself(p.axis[0].out), itself(p.axis[1].out), itself(p.axis[2].out)}, &depth = axis[0];
    bool first = true;
    for (int64_t i = some.begin; i < some.end; ++i) {
      const Box b = box(i);
      const int64_t o = b.begin[0];
      const int64_t at = o * depth.stride + depth.offset[static_cast<size_t>(t.slice)];
      const int64_t d = map_coordinate(depth.mode, at, depth.in);
      if (d < 0) continue;
      const WinogradPatchesOf<T> source(shape, false, axis, x, b), gradient(shape, true, own, dy, b);
      const int64_t vector = tiles(b) * kernels.lanes;
      source.transform(d, t.group * ic + t.c.begin, t.c.size(), s.pixels, s.x_patches, x_plane(), vector,
                       shape.planes() * x_plane());
      gradient.transform(o, t.group * oc + t.o.begin, t.o.size(), s.pixels, s.dy_patches, dy_plane(), vector);
      multiply(t, b, first, s, sums);
      first = false;
    }
    if (first) std::fill_n(sums, sum_elements(), T(0));
  }

  // Outputs that read dy where they are.
  static AxisMap itself(int64_t n) {
    AxisMap a;
    a.outputs = a.in = n;
    return a;
  }

  static int64_t tiles(const Box& b) { return b.images() * b.extent(1) * b.extent(2); }

  void multiply(const Task& t, const Box& b, bool first, const Scratch& s, T* sums) const {
    const WinogradBlock block(shape, axis, b);
    WinogradTileSums<T> job{};
    job.accumulate = !first;
    job.vectors = ceil_div(t.o.size(), kernels.lanes);
    job.g_vector = job.v_vector = block.all() * kernels.lanes;
    job.channels = t.c.size();
    job.s_vector = sum_vector();
    for (int64_t plane = 0; plane < planes; ++plane) {
      const int64_t of_part = plane % shape.planes();
      const bool none = shape.missing(of_part) >> plane / shape.planes() & 1;  // zeros
      if (none && !first) continue;
      const Range own = none ? Range{} : block.in_plane(of_part);
      job.tiles = own.size();
      job.g = s.dy_patches + of_part * dy_plane() + own.begin * kernels.lanes;
      job.v = s.x_patches + plane * x_plane() + own.begin * kernels.lanes;
      job.s = sums + plane * sum_plane();
      transforms.tile_sums(job);
    }
  }

  // Some channels' sums, of all parts, into dw.
  void store(const Task& t, int64_t c, const Scratch& s, const T* sums) const {
    const int64_t lanes = kernels.lanes;
    WinogradSums<T> job{};
    job.parts = parts;
    job.part = sum_elements();
    job.channels = std::min(kStoredChannels, t.c.size() - c);
    if (job.channels <= 0) return;
    job.plane = sum_plane();
    const int64_t split = shape.split, k = p.axis[2].k;
    job.row = split * outputs;
    job.down = k * job.row;
    job.channel = p.axis[1].k * k * outputs;
    job.part_taps = shape.taps;
    const auto weight_sums = shape.strip ? transforms.strip_sums : transforms.of(shape.taps, shape.side).weight_sums;
    for (int64_t o = 0; o < t.o.size(); o += lanes)
      for (int64_t part = 0; part < shape.parts(); ++part) {
        job.s = sums + part * shape.planes() * sum_plane() + o / lanes * sum_vector() + c * lanes;
        const int64_t i = shape.strip ? 0 : part / split, j = shape.strip ? part * shape.taps : part % split;
        job.w = s.stored + (i * k + j) * outputs + o;
        job.tall = ceil_div(k - i, split);
        job.wide = ceil_div(k - j, split);
        job.taps = shape.along - part * shape.taps;
        weight_sums(job);
      }
    const int64_t o = t.group * oc;
    View<T> slice = dw;
    slice.data += t.slice * dw.stride[2];
    slice.shape[2] = 1;
    store_weight_sums<T>(s.stored, outputs, {o + t.o.begin, o + t.o.end}, {t.c.begin + c, t.c.begin + c + job.channels},
                         slice);
  }
};

WinogradShape shape_of(const ConvProblem& p) {
  return winograd_shape(forward_axis(p.axis[0]), forward_axis(p.axis[1]), forward_axis(p.axis[2]));
}

}  // namespace

template <class T>
bool use_winograd_weight(const ConvProblem& p, Algorithm algorithm) {
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::winograd) return false;
  const bool open = algorithm == Algorithm::automatic;
  if (open && std::min(p.oc, p.ic) / p.groups < kLeastChannels) return false;
  if (open && p.macs() < kLeastProducts * static_cast<double>(p.mb * p.axis[0].out)) return false;
  const WinogradShape shape = shape_of(p);
  if (!has_winograd<T>(shape) || (!shape.strip && !winograd_kernels<T>().of(shape.taps, shape.side).weight_sums))
    return false;
  return !open || WinogradWeight<T>(p).cost(p.mb) < kPromise * direct_weight_cost<T>(p, p.mb);
}

template <class T>
void winograd_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) {
  WinogradWeight<T> w(p, dy, x, dw);
  w.share_out();
  w.run();
}

template <class T>
ConvPlan plan_winograd_weight(const ConvProblem& p) {
  ConvPlan plan;
  WinogradWeight<T> w(p);
  w.share_out();
  plan.algorithm = Algorithm::winograd;
  static constexpr const char* strips[] = {"F(2, 7)", "F(3, 6)", "F(4, 5)", "F(5, 4)"};
  static constexpr const char* squares[] = {"F(2x2, 5x5)", "F(3x3, 4x4)", "F(4x4, 5x5)", "F(5x5, 4x4)"};
  static constexpr const char* strided[] = {"4 F(2x2, 5x5)", "4 F(3x3, 4x4)"};
  plan.kernel = w.shape.large() && w.shape.taps == 3 ? "F(3x3, 6x6)"
                                                     : (w.shape.strip       ? strips
                                                        : w.shape.split > 1 ? strided
                                                                            : squares)[w.shape.taps - 2];
  plan.mr = w.transforms.tiles;
  plan.nr = static_cast<int>(std::min<int64_t>(w.outputs, w.transforms.vectors * w.kernels.lanes));
  plan.block_channels = w.channels;
  plan.block_pixels = w.tiles() * w.shape.out(1) * w.shape.out(2);
  plan.workspace_bytes = w.sizes().total();
  plan.shared_bytes = w.parts > 1 ? w.tasks() * w.parts * w.sum_elements() * static_cast<int64_t>(sizeof(T)) : 0;
  plan.threads = static_cast<int>(std::min<int64_t>(w.threads, w.tasks() * w.parts));
  plan.cost = w.cost(p.mb);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                      \
  template bool use_winograd_weight<T>(const ConvProblem&, Algorithm);                               \
  template void winograd_weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_winograd_weight<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
