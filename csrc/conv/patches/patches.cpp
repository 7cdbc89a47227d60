#include "conv/patches/patches.hpp"

#include "base/parallel.hpp"
#include "conv/correlation.hpp"
#include "conv/direct/block.hpp"
#include "conv/patches/plan.hpp"
#include "conv/pieces/operands.hpp"

namespace fastconv {
namespace {

constexpr int64_t kOutputs = 8;      // whose weights are read along lines side by side
constexpr int64_t kCollides = 4096;  // bytes: lines at multiples of it share a set of the L1 cache

template <class T>
class PatchSum {
 public:
  PatchSum(const Patches& plan, const View<const T>& dy, const View<const T>& w, const View<const T>& bias,
           const View<T>& dx)
      : s_(plan), dy_(dy), w_(w), bias_(bias), dx_(dx) {
    one_by_one_ = plan.adds_one_by_one(dx.shape + 2, dx.stride + 2);
    if (one_by_one_ && plan.once()) plan.find_sums(plan.whole(), dx.stride + 2, once_);
  }

  void run() const {
    const ScratchMemory<T> memory(s_.shared());
    T* const weights = memory.data();
    const T* w = side_by_side(weights + s_.weights());
    if (s_.deep) return sum_deep(w, weights + s_.p.oc * s_.ic * s_.p.taps());
    const int64_t own = s_.rows() * s_.oc, least = ceil_div(s_.threads, s_.chunks_at_once()),
                  turns = s_.parts > 1 ? s_.p.mb : std::max(ceil_div(s_.p.mb, s_.images), std::min(s_.p.mb, least));
    for (int64_t first = 0, some; first < s_.chunks(); first += some) {
      some = std::min(s_.chunks_at_once(), s_.chunks() - first);
      for (int64_t i = 0; i < some; ++i) pack(w, first + i, weights + i * own);
      parallel_tasks(some * turns * s_.parts, s_.threads, [&](int64_t i) {
        const int64_t at = i / s_.parts / turns, chunk = first + at;
        const Range images = part(s_.p.mb, turns, i / s_.parts % turns);
        sum({s_.channels_of(chunk), s_.group_of(chunk), images.begin, images.size()},
            part(s_.axis[s_.cut].out, s_.parts, i % s_.parts), weights + at * own);
      });
    }
  }

 private:
  struct Channels {  // of dx
    Range own;       // of a group
    int64_t group, image, images;
  };

  // w[o * rows + row] of all outputs and rows, the rows being channels and taps.
  const T* side_by_side(T* own) const {
    const View<const T>& w = w_;
    bool stand = true;
    for (int64_t i = 4, step = 1; i >= 0; step *= w.shape[i--]) stand &= w.stride[i] == step || w.shape[i] == 1;
    if (stand) return w.data;
    copy_side_by_side(w, own);
    return own;
  }
  // a[k * mr + m] tile by tile.
  void pack(const T* w, int64_t chunk, T* a) const {
    const Range own = s_.channels_of(chunk);
    const int64_t taps = s_.p.taps(), rows = own.size() * taps;
    w += (s_.group_of(chunk) * s_.oc * s_.ic + own.begin) * taps;
    for (int64_t o = 0; o < s_.oc; o += kOutputs)
      for (int64_t m = 0; m < rows; m += s_.mr) {
        const int64_t tall = std::min<int64_t>(s_.mr, rows - m);
        kernels_.copy_tile(a + m * s_.oc + o * tall, tall, w + o * s_.ic * taps + m, s_.ic * taps,
                           std::min(kOutputs, s_.oc - o), tall);
      }
  }

  // What outputs [own.begin, own.end) of the cut axis complete.
  void sum(const Channels& c, Range own, const T* a) const {
    const Patches::Memory at = s_.memory();
    char* memory = Arena::local().reserve(at.end);
    const PatchAxis& across = s_.axis[s_.cut];
    PatchPart part = s_.whole();
    part.first = std::max<int64_t>(0, own.begin - across.carried());
    for (int64_t o = part.first, end; o < own.end; o = end) {
      end = std::min(own.end, o + s_.strip);
      part.window[s_.cut] = s_.window(part.first, across.first_open(own.begin), o, end);
      T* patches = reinterpret_cast<T*>(memory + at.patches);
      multiply(c, {o, end}, a, memory, patches + part.place(o, s_.kept) * s_.line);
      add(c, part, patches, memory);
    }
  }

  // By a pointwise gradient of its own.
  void sum_deep(const T* w, T* patches) const {
    for (int64_t i = 0; i < s_.chunks(); ++i)
      for (int64_t n = 0; n < s_.p.mb; n += s_.images)
        for (int64_t o = 0; o < s_.axis[s_.cut].out; o += s_.strip)
          sum_deep({s_.channels_of(i), s_.group_of(i), n, std::min(s_.images, s_.p.mb - n)},
                   {o, std::min(s_.axis[s_.cut].out, o + s_.strip)}, w, patches);
  }
  // Some images, from c's on, and outputs of the cut axis.
  void sum_deep(const Channels& c, Range outputs, const T* w, T* patches) const {
    const int64_t taps = s_.p.taps(), rows = c.own.size() * taps, some = c.images;
    View<const T> row_weights = imagined_view<T>(s_.oc, s_.ic * taps, 1, 1, 1);
    row_weights.data = w + (c.group * s_.oc * s_.ic + c.own.begin) * taps;
    row_weights.shape[1] = rows;
    View<const T> from = dy_;
    from.data += c.image * dy_.stride[0] + c.group * s_.oc * dy_.stride[1] + outputs.begin * dy_.stride[2 + s_.cut];
    from.shape[0] = some;
    from.shape[1] = s_.oc;
    from.shape[2 + s_.cut] = outputs.size();
    View<T> to = imagined_view<T>(some, rows, from.shape[2], from.shape[3], from.shape[4]);
    to.data = patches;
    to.stride[1] = s_.plane;
    to.stride[0] = rows * s_.plane;
    correlate<T>(s_.product(c.own.size(), some, outputs.size()), Direction::backward_input, from, row_weights, {}, to,
                 Activation::none, Algorithm::direct);
    PatchPart part = s_.whole();
    part.first = outputs.begin;
    part.window[s_.cut] = s_.window(outputs.begin, 0, outputs.begin, outputs.end);
    const int threads = threads_for(4.0 * static_cast<double>(some * rows * s_.plane));
    const int64_t cuts = std::min<int64_t>(c.own.size(), 4 * threads - 3);
    parallel_tasks(some * cuts, threads, [&](int64_t i) {
      const Range own = fastconv::part(c.own.size(), cuts, i % cuts);
      add({{c.own.begin + own.begin, c.own.begin + own.end}, c.group, c.image + i / cuts, 1}, part,
          patches + (i / cuts * c.own.size() + own.begin) * taps * s_.plane, Arena::local().reserve(s_.memory().end));
    });
  }

  // Patches of some outputs of the cut axis.
  void multiply(const Channels& c, Range outputs, const T* a, char* memory, T* patches) const {
    Box box{c.image, c.image + c.images, {0, 0, 0}, {s_.axis[0].out, s_.axis[1].out, s_.axis[2].out}};
    box.begin[s_.cut] = outputs.begin;
    box.end[s_.cut] = outputs.end;
    const bool expand[3] = {};
    const int64_t lanes = kernels_.lanes, pixels = box.pixels(), vectors = ceil_div(pixels, lanes);
    const Block<T> block(s_.map, box, expand, dy_, vectors * lanes - pixels);
    T* const copy = reinterpret_cast<T*>(memory);
    block.clear(s_.oc, copy);
    const T* dy = block.pack(kernels_, c.group * s_.oc, s_.oc, copy);
    auto* const offsets = reinterpret_cast<int32_t*>(memory + s_.memory().offsets);
    block.offsets(s_.oc, offsets);
    const int64_t panels = ceil_div(vectors, s_.nr), rows = c.own.size() * s_.p.taps();
    // Channels of dy that meet in the cache are kept side by side for the tiles behind the first. With few registers,
    // whose tiles would read them more often, all channels are, and by tiles that keep nothing they are copied.
    const bool collide = block.in_place() && block.channel_stride() * s_.size % kCollides == 0;
    int64_t width = 0;  // of the panel that is kept
    TileRun<T> t{};
    t.k = s_.oc;
    t.packed = true;
    t.ldc = s_.plane;
    t.b_ahead_step = block.channel_stride();
    for (int64_t i = 0; i < panels; ++i) {
      const Range v = part(vectors, panels, i);
      const bool apart = rows > s_.mr && (kernels_.keeps ? block.in_place() : collide),
                 keeps = apart && v.size() == kKeptVectors && s_.mr >= kKeptRows;
      const T* panel = dy + v.begin * lanes;
      if (apart && width != v.size() * lanes) {
        width = v.size() * lanes;
        for (int64_t k = 0; k < s_.oc; ++k) offsets[s_.oc + k] = static_cast<int32_t>(k * width);
      }
      t.pixels = std::min(v.end * lanes, pixels) - v.begin * lanes;
      t.a = a;
      t.b = panel;
      t.boff = offsets;
      t.keep = keeps ? copy : nullptr;
      t.kept = nullptr;
      if (collide && apart && !keeps && kernels_.keeps) {
        kernels_.copy_tile(copy, width, panel, block.channel_stride(), s_.oc, t.pixels);
        t.b = copy, t.boff = offsets + s_.oc;
      }
      for (int64_t m = 0, ahead = 2 * v.size(), tall; m < rows; m += tall, ++ahead, t.a += tall * s_.oc) {
        tall = std::min<int64_t>(s_.mr, rows - m);
        t.b_ahead = panel - t.b + (ahead < 3 * v.size() ? ahead * lanes : 0);  // a line of the panel after the next one
        t.c = patches + m * s_.plane + v.begin * lanes;
        kernels_.tile[tall - 1][v.size() - 1](t);
        if (t.keep && kernels_.keeps) t.b = copy, t.boff = offsets + s_.oc;
        else if (t.keep) t.kept = copy;
        t.keep = nullptr;
      }
    }
  }

  // What the lines of a window share.
  struct Lines {
    int64_t n, pitch;        // elements, and those of a residue's line
    PatchPlaces deep, high;  // of slices and of their lines
    Vector<LineTap> taps;    // of the residues, one behind the other,
    Vector<int64_t> end;     // and where those of each end
    PatchZip zipped;
  };
  Lines find_lines(const PatchPart& part) const {
    const int64_t n = part.window[2].elements.size(), s = s_.axis[2].stride;
    Lines l{n, ceil_div(n, s), s_.find_places(part, 0), s_.find_places(part, 1), {}, {}, {}};
    for (int64_t b = 0; b < std::min(s, n); ++b) {
      s_.add_taps(part.window[2], b, l.taps);
      l.end.push_back(static_cast<int64_t>(l.taps.size()));
    }
    if (!bias_.data) l.zipped = s_.zip(l.taps, n);
    return l;
  }
  // Elements from line `next` on, if lines follow one another: they set right what those before write beyond their
  // ends.
  int64_t room(const Lines& l, int64_t next) const {
    return dx_.stride[3] == l.n && dx_.stride[4] == 1 ? (l.high.size() - next) * l.n : 0;
  }

  // The elements of a window.
  void add(const Channels& some, const PatchPart& part, const T* patches, char* memory) const {
    if (one_by_one_) {
      PatchSums own;
      if (!s_.once()) s_.find_sums(part, dx_.stride + 2, own);
      return add_one_by_one(s_.once() ? once_ : own, some, part, patches);
    }
    const Lines l = find_lines(part);
    auto* const places = reinterpret_cast<int64_t*>(memory + s_.memory().places);
    T* const line = reinterpret_cast<T*>(memory + s_.memory().line);
    LinesSum<T> sum{};
    sum.rows = places;
    T* const first = first_of(part);
    // Channel after channel: lines of dx that follow one another come as the processor expects them.
    for (int64_t i = 0; i < some.images; ++i)
      for (int64_t c = 0; c < some.own.size(); ++c) {
        const int64_t channel = some.group * s_.ic + some.own.begin + c;
        sum.src = patches + c * s_.p.taps() * s_.plane + i * s_.p.out_pixels();
        sum.init = init_of(channel);
        add_channel(l, sum, places, line, first + (some.image + i) * dx_.stride[0] + channel * dx_.stride[1]);
      }
  }
  // No -0: lanes may add zeros.
  T init_of(int64_t channel) const { return bias_.data ? bias_.data[channel * bias_.stride[0]] + T(0) : T(0); }
  // The first element of a window, of the first channel.
  T* first_of(const PatchPart& part) const {
    T* first = dx_.data;
    for (int i = 0; i < 3; ++i) first += part.window[i].elements.begin * dx_.stride[2 + i];
    return first;
  }
  void add_channel(const Lines& l, LinesSum<T>& sum, int64_t* places, T* line, T* dx) const {
    for (int64_t y = 0; y < l.deep.size(); ++y, dx += dx_.stride[2]) {
      const int64_t *first = l.deep.of(y), *last = l.deep.of(y + 1);
      const int64_t whole = l.zipped.end && last - first == 1 ? l.high.single() : 0;
      if (whole) zip_lines(l, dx, sum.src + *first, l.high.of(0), whole, room(l, whole));
      for (int64_t z = whole; z < l.high.size(); ++z) {
        T* const to = dx + z * dx_.stride[3];
        sum.row_count = 0;
        for (const int64_t* i = first; i != last; ++i)
          for (const int64_t* j = l.high.of(z); j != l.high.of(z + 1); ++j) places[sum.row_count++] = *i + *j;
        if (l.zipped.end && sum.row_count == 1) zip_lines(l, to, sum.src, places, 1, room(l, z + 1));
        else sum_line(l, sum, line, to, room(l, z + 1));
      }
    }
  }
  // A line, residue by residue.
  void sum_line(const Lines& l, LinesSum<T>& sum, T* line, T* to, int64_t behind) const {
    const int64_t s = s_.axis[2].stride;
    const bool direct = s == 1 && dx_.stride[4] == 1;
    sum.dst = direct ? to : line;
    sum.taps = l.taps.data();
    for (size_t b = 0; b < l.end.size(); ++b, sum.taps += sum.tap_count, sum.dst += l.pitch) {
      sum.tap_count = l.taps.data() + l.end[b] - sum.taps;
      sum.n = ceil_div(l.n - static_cast<int64_t>(b), s);
      kernels_.add_lines(sum);
    }
    if (!direct) zip(line, l.pitch, l.n, to, behind);
  }
  // Lines whose elements meet one tap each.
  void zip_lines(const Lines& l, T* to, const T* src, const int64_t* row, int64_t lines, int64_t behind) const {
    const int64_t head = l.zipped.head, step = dx_.stride[4], middle = l.zipped.end - head;
    const T* from = src + l.taps[static_cast<size_t>(head)].src;
    const bool more = step != 1 || middle < l.n;
    if (step == 1)
      kernels_.zip_lines(
          {to + head, dx_.stride[3], from, row, lines, s_.plane, s_.axis[2].stride, middle, more ? 0 : behind});
    for (int64_t i = 0; i < lines && more; ++i, to += dx_.stride[3]) {
      if (step != 1) zip(from + row[i], s_.plane, middle, to + head * step, 0);
      for (int64_t x = 0; x < head; ++x) to[x * step] = src[row[i] + l.taps[static_cast<size_t>(x)].src];
      for (int64_t x = l.zipped.end; x < l.n; ++x) to[x * step] = T(0);
    }
  }
  // The same element by element, of lines too short for vectors.
  void add_one_by_one(const PatchSums& sums, const Channels& some, const PatchPart& part, const T* patches) const {
    T* const first = first_of(part);
    for (int64_t i = 0; i < some.images; ++i)
      for (int64_t c = 0; c < some.own.size(); ++c) {
        const int64_t channel = some.group * s_.ic + some.own.begin + c;
        sums.sum(patches + c * s_.p.taps() * s_.plane + i * s_.p.out_pixels(), init_of(channel),
                 first + (some.image + i) * dx_.stride[0] + channel * dx_.stride[1]);
      }
  }
  // A line of dx from those of its residues.
  void zip(const T* from, int64_t pitch, int64_t n, T* to, int64_t room) const {
    const int64_t s = s_.axis[2].stride, step = dx_.stride[4], row = 0;
    if (step == 1) return kernels_.zip_lines({to, n, from, &row, 1, pitch, s, n, room});
    for (int64_t x = 0; x < n; ++x) to[x * step] = from[x % s * pitch + x / s];
  }

  const Patches& s_;
  bool one_by_one_;
  PatchSums once_;  // of all windows, if they are the same
  const View<const T>&dy_, &w_, &bias_;
  const View<T>& dx_;
  const ConvKernelsOf<T>& kernels_ = conv_kernels<T>();
};

void describe(const Patches& s, const PatchMachine& machine, ConvPlan& plan) {
  plan.algorithm = Algorithm::direct;
  plan.kernel = "patches";
  plan.mr = s.mr;
  plan.nr = s.nr * machine.lanes;
  plan.block_channels = s.oc;
  plan.block_pixels = s.images * s.strip * s.line;
  plan.threads = s.threads;
  plan.cost = patches_cost(s.p, machine) * static_cast<double>(s.p.mb);
}

}  // namespace

template <class T>
void run_patches(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx) {
  const Patches plan(p, patch_machine<T>());
  PatchSum<T>(plan, dy, w, bias, dx).run();
}

template <class T>
ConvPlan plan_patches(const ConvProblem& p) {
  const Patches s(p, patch_machine<T>());
  ConvPlan plan;
  if (s.deep) {
    plan = plan_correlation<T>(s.product(s.channels, s.images, s.strip), Direction::backward_input, Algorithm::direct);
    plan.cost *= static_cast<double>(s.chunks() * p.mb * s.axis[s.cut].out) / static_cast<double>(s.images * s.strip);
  } else {
    describe(s, patch_machine<T>(), plan);
  }
  plan.workspace_bytes = std::max(plan.workspace_bytes, s.memory().end + s.places_bytes());
  plan.shared_bytes += Arena::rounded_bytes<T>(s.shared());
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                        \
  template void run_patches(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_patches<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
