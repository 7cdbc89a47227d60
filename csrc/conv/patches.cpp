#include "conv/patches.hpp"

#include "base/parallel.hpp"
#include "conv/block.hpp"
#include "conv/correlation.hpp"
#include "conv/operands.hpp"
#include "conv/patches_plan.hpp"

namespace fastconv {
namespace {

constexpr int64_t kCollides = 4096;  // bytes: lines at multiples of it share a set of the L1 cache

template <class T>
class PatchSum {
 public:
  PatchSum(const Patches& plan, const View<const T>& dy, const View<const T>& w, const View<const T>& bias,
           const View<T>& dx)
      : s_(plan), dy_(dy), w_(w), bias_(bias), dx_(dx) {}

  void run() const {
    const ScratchMemory<T> memory(s_.shared());
    T* const weights = memory.data();
    const T* w = side_by_side(weights + s_.weights());
    if (s_.deep) return sum_deep(w, weights + s_.p.oc * s_.ic * s_.p.taps());
    for (int64_t i = 0; i < s_.chunks(); ++i) pack(w, i, weights + i * s_.rows() * s_.oc);
    const int64_t turns = ceil_div(s_.p.mb, s_.images);
    parallel_tasks(s_.chunk_parts * turns * s_.parts, s_.threads, [&](int64_t i) {
      sum(part(s_.chunks(), s_.chunk_parts, i / s_.parts / turns), part(s_.p.mb, turns, i / s_.parts % turns),
          part(s_.axis[s_.cut].out, s_.parts, i % s_.parts), weights);
    });
  }

 private:
  struct Channels {  // of dx
    Range own;       // of a group
    int64_t group, image;
  };
  // Which patches meet the elements of a window: the same for all channels and images.
  struct Places {
    PatchWindow window[3];
    PatchPlaces deep, high;
    Vector<LineTap> taps;  // residue after residue,
    Vector<int64_t> end;   // which end here
    bool stand;            // see Patches::stands
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
    for (int64_t m = 0, tall; m < rows; m += tall, a += tall * s_.oc) {
      tall = std::min<int64_t>(s_.mr, rows - m);
      kernels_.copy_tile(a, tall, w + m, s_.ic * taps, s_.oc, tall);
    }
  }

  // What outputs [own.begin, own.end) of the cut axis complete, of some chunks and images.
  void sum(Range chunks, Range images, Range own, const T* weights) const {
    const Patches::Memory at = s_.memory();
    char* memory = Arena::local().reserve(at.end);
    T* const patches = reinterpret_cast<T*>(memory + at.patches);
    const PatchAxis& across = s_.axis[s_.cut];
    PatchPart part = s_.whole();
    part.first = std::max<int64_t>(0, own.begin - across.carried());
    for (int64_t o = part.first, end; o < own.end; o = end) {
      end = std::min(own.end, o + s_.strip);
      part.window[s_.cut] = s_.window(part.first, across.first_open(own.begin), o, end);
      Box box{images.begin, images.end, {0, 0, 0}, {s_.axis[0].out, s_.axis[1].out, s_.axis[2].out}};
      box.begin[s_.cut] = o;
      box.end[s_.cut] = end;
      const bool expand[3] = {};
      const int64_t pixels = box.pixels();
      const Block<T> block(s_.map, box, expand, dy_, round_up(pixels, kernels_.lanes) - pixels);
      block.clear(s_.oc, reinterpret_cast<T*>(memory));
      const Places places = find_places(part);
      for (int64_t i = chunks.begin; i < chunks.end; ++i) {
        Channels c{s_.channels_of(i), s_.group_of(i), images.begin};
        multiply(c, block, weights + i * s_.rows() * s_.oc, memory, patches + part.place(o, s_.kept) * s_.line);
        for (const T* from = patches; c.image < images.end; ++c.image, from += s_.kept * s_.line)
          add(c, places, from, memory);
      }
    }
  }

  // By a pointwise gradient of its own.
  void sum_deep(const T* w, T* patches) const {
    for (int64_t i = 0; i < s_.chunks(); ++i)
      for (int64_t n = 0; n < s_.p.mb; n += s_.images)
        for (int64_t o = 0; o < s_.axis[s_.cut].out; o += s_.strip)
          sum_deep({s_.channels_of(i), s_.group_of(i), n}, {o, std::min(s_.axis[s_.cut].out, o + s_.strip)}, w,
                   patches);
  }
  // Some images, from c's on, and outputs of the cut axis.
  void sum_deep(const Channels& c, Range outputs, const T* w, T* patches) const {
    const int64_t taps = s_.p.taps(), rows = c.own.size() * taps, some = std::min(s_.images, s_.p.mb - c.image);
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
    correlate_backward<T>(s_.product(c.own.size(), some, outputs.size()), from, row_weights, {}, to, Activation::none,
                          Algorithm::direct);
    PatchPart part = s_.whole();
    part.first = outputs.begin;
    part.window[s_.cut] = s_.window(outputs.begin, 0, outputs.begin, outputs.end);
    const Places places = find_places(part);
    const int threads = threads_for(4.0 * static_cast<double>(some * rows * s_.plane));
    const int64_t cuts = std::min<int64_t>(c.own.size(), 4 * threads - 3);
    parallel_tasks(some * cuts, threads, [&](int64_t i) {
      const Range own = fastconv::part(c.own.size(), cuts, i % cuts);
      add({{c.own.begin + own.begin, c.own.begin + own.end}, c.group, c.image + i / cuts}, places,
          patches + (i / cuts * c.own.size() + own.begin) * taps * s_.plane, Arena::local().reserve(s_.memory().end));
    });
  }

  // Patches of a block of outputs.
  void multiply(const Channels& c, const Block<T>& block, const T* a, char* memory, T* patches) const {
    const int64_t lanes = kernels_.lanes, pixels = block.box().pixels(), vectors = ceil_div(pixels, lanes);
    T* const copy = reinterpret_cast<T*>(memory);
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

  Places find_places(const PatchPart& part) const {
    Places at{{part.window[0], part.window[1], part.window[2]},
              s_.find_places(part, 0),
              s_.find_places(part, 1),
              {},
              {},
              false};
    const int64_t n = at.window[2].elements.size(), residues = std::min(s_.axis[2].stride, n);
    for (int64_t b = 0; b < residues; ++b) {
      s_.add_taps(at.window[2], b, at.taps);
      at.end.push_back(static_cast<int64_t>(at.taps.size()));
    }
    at.stand = !bias_.data && s_.stands(at.taps, n);
    return at;
  }

  // The elements of a window.
  void add(const Channels& some, const Places& at, const T* patches, char* memory) const {
    const auto& [d, h, w] = at.window;
    const auto& [window, deep, high, taps, end, stand] = at;
    const int64_t n = w.elements.size(), s = s_.axis[2].stride, residues = std::min(s, n), pitch = ceil_div(n, s);
    const bool direct = s == 1 && dx_.stride[4] == 1;
    auto* const places = reinterpret_cast<int64_t*>(memory + s_.memory().places);
    T* const line = reinterpret_cast<T*>(memory + s_.memory().line);
    LinesSum<T> sum{};
    sum.rows = places;
    // Lines that follow one another set right what those before write beyond their ends.
    const bool follow = dx_.stride[3] == n && dx_.stride[4] == 1;
    const auto room = [&, follow](int64_t next) { return follow ? (h.elements.size() - next) * n : 0; };
    // Channel after channel: lines of dx that follow one another come as the processor expects them.
    for (int64_t c = 0; c < some.own.size(); ++c) {
      const int64_t channel = some.group * s_.ic + some.own.begin + c;
      sum.src = patches + c * s_.p.taps() * s_.plane;
      sum.init = bias_.data ? bias_.data[channel * bias_.stride[0]] + T(0) : T(0);  // no -0: lanes may add zeros
      const auto line_of = [&](int64_t y, int64_t z) {
        return dx_.data + some.image * dx_.stride[0] + channel * dx_.stride[1] +
               (d.elements.begin + y) * dx_.stride[2] + (h.elements.begin + z) * dx_.stride[3] +
               w.elements.begin * dx_.stride[4];
      };
      for (int64_t y = 0; y < d.elements.size(); ++y) {
        const int64_t *first = deep.of(y), *last = deep.of(y + 1);
        const int64_t whole = stand && dx_.stride[4] == 1 && last - first == 1 ? high.single() : 0;
        if (whole)
          kernels_.zip_lines({line_of(y, 0), dx_.stride[3], sum.src + *first + taps[0].src, high.of(0), whole, s_.plane,
                              s, n, room(whole)});
        for (int64_t z = whole; z < h.elements.size(); ++z) {
          T* const to = line_of(y, z);
          sum.row_count = 0;
          for (const int64_t* i = first; i != last; ++i)
            for (const int64_t* j = high.of(z); j != high.of(z + 1); ++j) places[sum.row_count++] = *i + *j;
          if (stand && sum.row_count == 1) {
            zip(sum.src + *places + taps[0].src, s_.plane, n, to, room(z + 1));
            continue;
          }
          sum.dst = direct ? to : line;
          sum.taps = taps.data();
          for (int64_t b = 0; b < residues; ++b, sum.taps += sum.tap_count, sum.dst += pitch) {
            sum.tap_count = taps.data() + end[static_cast<size_t>(b)] - sum.taps;
            sum.n = ceil_div(n - b, s);
            kernels_.add_lines(sum);
          }
          if (!direct) zip(line, pitch, n, to, room(z + 1));
        }
      }
    }
  }
  // A line of dx from those of its residues.
  void zip(const T* from, int64_t pitch, int64_t n, T* to, int64_t room) const {
    const int64_t s = s_.axis[2].stride, step = dx_.stride[4], row = 0;
    if (step == 1) return kernels_.zip_lines({to, n, from, &row, 1, pitch, s, n, room});
    for (int64_t x = 0; x < n; ++x) to[x * step] = from[x % s * pitch + x / s];
  }

  const Patches& s_;
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
