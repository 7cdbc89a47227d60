#include "conv/patches.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/block.hpp"
#include "conv/correlation.hpp"
#include "conv/depthwise.hpp"
#include "conv/fft.hpp"
#include "conv/operands.hpp"
#include "conv/strided_cost.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBytes = 384 << 10;        // of patches at a time, in the L2 cache, if they are of whole lines
constexpr int64_t kMostBytes = 4 << 20;      // of patches that are kept
constexpr int64_t kWeightBytes = 256 << 10;  // of some channels, beside them
constexpr int64_t kInputBytes = 1 << 20;     // of dy, where it must be copied
constexpr int64_t kDeepBytes = 1 << 20;      // of patches of deep sums at a time
constexpr int64_t kDeep = 128;               // channels of dy
constexpr int64_t kCollides = 4096;          // bytes: lines at multiples of it share a set of the L1 cache
constexpr int64_t kLeastChannels = 16;       // shorter sums do not repay adding their results up
constexpr int64_t kFew = 12;                 // channels of dx: more fill tiles of their own, and Winograd's
constexpr int64_t kSome = 32;                // the same with a stride
constexpr double kAdding = 0.3;              // channels of dy, a byte of a vector
// Without a stride, beside the tiles of few rows:
constexpr int64_t kBatchBytes = 320 << 10;  // of dx a batch may be in lanes, whose bits a single image has
constexpr int64_t kSquareChannels = 3;      // squares of three taps read dy again for each,
constexpr int64_t kSquareBytes = 6 << 20;   // and so much comes slowly

// An axis: output o meets element o * stride + t * dilation - pad_before with tap t.
struct PatchAxis : ConvAxis {
  explicit PatchAxis(const ConvAxis& a) : ConvAxis(a) {}
  // Outputs before `o` that the elements from first_open(o) on meet.
  int64_t carried() const { return (k - 1) * dilation / stride; }
  // The first element that output o or a later one meets.
  int64_t first_open(int64_t o) const { return o >= out ? in : std::clamp<int64_t>(o * stride - pad_before, 0, in); }
};

// Of an axis, outputs whose patches are at hand, and elements that they alone meet.
struct Window {
  Range outputs, elements;
  // Which of the outputs meets an element with tap t, counted from their first; -1: none.
  int64_t output(const PatchAxis& a, int64_t element, int64_t t) const {
    const int64_t at = element + a.pad_before - t * a.dilation - outputs.begin * a.stride;
    return at < 0 || at % a.stride || at / a.stride >= outputs.size() ? -1 : at / a.stride;
  }
};

// What a task is at: its window, and the first output of the cut axis whose patches it has.
struct Part {
  Window window[3];
  int64_t first = 0;
  int64_t place(int64_t output, int64_t kept) const { return (output - first) % kept; }
};

// Whether patches lie side by side.
bool are_apart(const ConvProblem& p) {
  return std::all_of(p.axis, p.axis + 3, [](const ConvAxis& a) { return a.stride == a.k && a.dilation == 1; });
}

// What there is to know of the kernels without knowing the type of an element.
struct Machine {
  int64_t size;
  int lanes, rows, vectors, accumulators;
};
template <class T>
Machine machine() {
  const ConvKernelsOf<T>& k = conv_kernels<T>();
  return {sizeof(T), k.lanes, k.rows, k.vectors, k.accumulators};
}

// How a gradient is cut up. None of it changes a bit of the result.
struct Patches {
  ConvProblem p;
  PatchAxis axis[3];
  AxisMap map[3];    // of outputs, each once
  int64_t size;      // bytes of an element
  int cut;           // the axis that images are cut across
  int64_t ic, oc;    // of a group
  int64_t line;      // outputs of a place on that axis
  int64_t channels;  // of dx, a task
  int64_t strip;     // outputs of the cut axis at a time,
  int64_t kept;      // and whose patches are kept: output o's at place o % kept of a part
  int64_t plane;     // elements of the patches of a channel and tap: an odd number of cache lines
  int mr, nr;        // register tile
  int threads;
  int64_t parts;  // of the cut axis, for the threads' sake
  // Patches that lie apart and are many or deep sums: an image's product is a pointwise gradient of its own.
  bool deep;
  int64_t images = 1;  // at a time

  Patches(const ConvProblem& problem, const Machine& m)
      : p(problem),
        axis{PatchAxis(p.axis[0]), PatchAxis(p.axis[1]), PatchAxis(p.axis[2])},
        cut(axis[0].out > 1   ? 0
            : axis[1].out > 1 ? 1
                              : 2),
        ic(p.ic / p.groups),
        oc(p.oc / p.groups),
        line(p.out_pixels() / axis[cut].out) {
    const int64_t out = axis[cut].out, carried = axis[cut].carried();
    size = m.size;
    for (int i = 0; i < 3; ++i) map[i].outputs = map[i].in = axis[i].out;
    deep = are_apart(p) && oc > kDeep;
    const int64_t few = deep ? ic : std::min(kWeightBytes / oc, kBytes / (carried + 1) / line) / (size * p.taps());
    channels = std::clamp<int64_t>(few, 1, ic);
    channels = ceil_div(ic, ceil_div(ic, channels));
    strip = (deep ? kDeepBytes / all_rows() : std::min(kBytes / rows(), kInputBytes / oc)) / (size * line);
    strip = std::clamp(strip, std::min(out, carried + 1), out);
    kept = strip < out ? round_up(strip + carried, strip) : out;
    mr = static_cast<int>(ceil_div(rows(), ceil_div(rows(), m.rows)));
    nr = std::min(m.vectors, m.accumulators / mr);
    threads = threads_for(2 * p.macs());
    const int64_t least = 4 * carried + 1;
    parts = p.mb * chunks() < 4 * threads ? std::min<int64_t>(threads, ceil_div(out, least)) : 1;
    if (cut == 2 && strip < out) {  // lines have no seam
      parts = std::max(parts, ceil_div(out, std::max(strip, least)));
      kept = strip = ceil_div(out, parts) + carried;
    }
    plane = (ceil_div(kept * line, 16) | 1) * 16;
    if (deep && strip == out) images = std::clamp<int64_t>(kDeepBytes / (all_rows() * plane * size), 1, p.mb);
  }
  // The product of deep sums.
  ConvProblem product(int64_t mb, int64_t outputs) const {
    ConvProblem q;
    q.mb = mb;
    q.groups = p.groups;
    q.ic = all_rows();
    q.oc = p.oc;
    for (int i = 0; i < 3; ++i) q.axis[i].in = q.axis[i].out = i == cut ? outputs : axis[i].out;
    return q;
  }

  int64_t all_rows() const { return p.ic * p.taps(); }
  int64_t rows() const { return channels * p.taps(); }
  // Channels of dx are done in chunks, each of one group.
  int64_t chunks() const { return p.groups * ceil_div(ic, channels); }
  int64_t group_of(int64_t chunk) const { return chunk / ceil_div(ic, channels); }
  Range channels_of(int64_t chunk) const { return part(ic, ceil_div(ic, channels), chunk % ceil_div(ic, channels)); }
  int64_t weights() const { return deep ? 0 : chunks() * rows() * oc; }
  // Shared scratch elements: weights, packed and, where they do not stand so, side by side, and patches of deep sums.
  int64_t shared() const { return weights() + p.oc * ic * p.taps() + (deep ? images * all_rows() * plane : 0); }
  int64_t line_elements() const { return axis[2].stride * ceil_div(axis[2].in, axis[2].stride); }

  // Scratch memory of a task, where its parts begin: a copy of dy's lines, patches, a line of dx, places and offsets.
  struct Memory {
    int64_t patches, line, places, offsets, end;  // bytes
  };
  Memory memory() const {
    const auto rounded = [](int64_t bytes) { return Arena::rounded_bytes<char>(bytes); };
    Memory m{};
    m.patches = deep ? 0 : rounded((oc * (ceil_div(strip * line, 16) | 1) * 16 + Block<double>::kSlack) * size);
    m.line = m.patches + (deep ? 0 : rounded(rows() * plane * size));
    m.places = m.line + rounded(line_elements() * size);
    m.offsets = m.places + rounded(axis[0].k * axis[1].k * static_cast<int64_t>(sizeof(int64_t)));
    m.end = m.offsets + rounded(2 * oc * static_cast<int64_t>(sizeof(int32_t)));
    return m;
  }

  // All outputs and elements.
  Part whole() const {
    Part all{};
    for (int i = 0; i < 3; ++i) all.window[i] = {{0, axis[i].out}, {0, axis[i].in}};
    return all;
  }
  // Of a strip's outputs [o, end) of the cut axis, in a part that completes elements from `opened` on.
  Window window(int64_t first, int64_t opened, int64_t o, int64_t end) const {
    const PatchAxis& a = axis[cut];
    return {{std::max(first, o - a.carried()), end}, {std::max(opened, a.first_open(o)), a.first_open(end)}};
  }
  // Where the patches stand that meet line (y, z) of dx by taps of the other axes; returns how many.
  int64_t find_places(const Part& part, int64_t y, int64_t z, int64_t* places) const {
    const auto& [d, h, w] = part.window;
    const auto place = [&](int i, int64_t output) {
      return i == cut ? part.place(part.window[i].outputs.begin + output, kept) : output;
    };
    int64_t count = 0;
    for (int64_t i = 0; i < axis[0].k; ++i) {
      const int64_t od = d.output(axis[0], y, i);
      if (od < 0) continue;
      for (int64_t j = 0; j < axis[1].k; ++j)
        if (const int64_t oh = h.output(axis[1], z, j); oh >= 0)
          places[count++] =
              (i * axis[1].k + j) * axis[2].k * plane + (place(0, od) * axis[1].out + place(1, oh)) * w.outputs.size();
    }
    return count;
  }
  // The taps along the width that elements of residue b meet.
  void add_taps(const Window& window, int64_t b, Vector<LineTap>& taps) const {
    const PatchAxis& w = axis[2];
    for (int64_t t = 0; t < w.k; ++t) {
      const int64_t at = window.elements.begin + b + w.pad_before - t * w.dilation - window.outputs.begin * w.stride;
      if (floor_mod(at, w.stride)) continue;
      const int64_t output = floor_div(at, w.stride);
      const LineTap tap{t * plane + output, -output, window.outputs.size() - output};
      if (tap.begin < ceil_div(window.elements.size(), w.stride) && tap.end > 0) taps.push_back(tap);
    }
  }
  // Whether each of a line's n elements meets one tap, its neighbour the next one.
  bool stands(const Vector<LineTap>& taps, int64_t n) const {
    const int64_t s = axis[2].stride;
    bool one = s > 1 && static_cast<int64_t>(taps.size()) == s;
    for (int64_t b = 0; one && b < s; ++b) {
      const LineTap& t = taps[static_cast<size_t>(b)];
      one &= t.src == taps[0].src + b * plane && t.begin <= 0 && t.end >= ceil_div(n - b, s);
    }
    return one;
  }
};

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
    parallel_tasks(s_.chunks() * s_.p.mb * s_.parts, s_.threads, [&](int64_t i) {
      const int64_t chunk = i / s_.parts / s_.p.mb;
      sum({s_.channels_of(chunk), s_.group_of(chunk), i / s_.parts % s_.p.mb},
          part(s_.axis[s_.cut].out, s_.parts, i % s_.parts), weights + chunk * s_.rows() * s_.oc);
    });
  }

 private:
  struct Channels {  // of dx
    Range own;       // of a group
    int64_t group, image;
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

  // What outputs [own.begin, own.end) of the cut axis complete.
  void sum(const Channels& c, Range own, const T* a) const {
    const Patches::Memory at = s_.memory();
    char* memory = Arena::local().reserve(at.end);
    const PatchAxis& across = s_.axis[s_.cut];
    Part part = s_.whole();
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
    const int64_t rows = s_.all_rows(), out = s_.axis[s_.cut].out, taps = s_.p.taps();
    View<const T> row_weights = imagined_view<T>(s_.p.oc, s_.ic * taps, 1, 1, 1);
    row_weights.data = w;
    for (int64_t n = 0; n < s_.p.mb; n += s_.images)
      for (int64_t o = 0; o < out; o += s_.strip) {
        const int64_t some = std::min(s_.images, s_.p.mb - n), end = std::min(out, o + s_.strip);
        View<const T> from = dy_;
        from.data += n * dy_.stride[0] + o * dy_.stride[2 + s_.cut];
        from.shape[0] = some;
        from.shape[2 + s_.cut] = end - o;
        View<T> to = imagined_view<T>(some, rows, from.shape[2], from.shape[3], from.shape[4]);
        to.data = patches;
        to.stride[1] = s_.plane;
        to.stride[0] = rows * s_.plane;
        correlate_backward<T>(s_.product(some, end - o), from, row_weights, {}, to, Activation::none,
                              Algorithm::direct);
        Part part = s_.whole();
        part.first = o;
        part.window[s_.cut] = s_.window(o, 0, o, end);
        const int threads = threads_for(4.0 * static_cast<double>(some * rows * s_.plane));
        const int64_t cuts = std::min<int64_t>(s_.ic, 4 * threads - 3);
        parallel_tasks(some * s_.p.groups * cuts, threads, [&](int64_t i) {
          const Range own = fastconv::part(s_.ic, cuts, i % cuts);
          add({own, i / cuts % s_.p.groups, n + i / cuts / s_.p.groups}, part,
              patches + (i / cuts * s_.ic + own.begin) * taps * s_.plane, Arena::local().reserve(s_.memory().end));
        });
      }
  }

  // Patches of some outputs of the cut axis.
  void multiply(const Channels& c, Range outputs, const T* a, char* memory, T* patches) const {
    Box box{c.image, c.image + 1, {0, 0, 0}, {s_.axis[0].out, s_.axis[1].out, s_.axis[2].out}};
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
    // Channels of dy that meet in the cache are kept side by side for the tiles behind the first.
    const bool collides = block.in_place() && block.channel_stride() * s_.size % kCollides == 0;
    int32_t* const kept_offsets = offsets + s_.oc;
    for (int64_t k = 0; k < s_.oc; ++k) kept_offsets[k] = static_cast<int32_t>(k * kKeptVectors * lanes);
    TileRun<T> t{};
    t.k = s_.oc;
    t.packed = true;
    t.ldc = s_.plane;
    for (int64_t i = 0; i < panels; ++i) {
      const Range v = part(vectors, panels, i);
      const bool keeps = collides && v.size() == kKeptVectors && rows > s_.mr;
      t.b = dy + v.begin * lanes;
      t.boff = offsets;
      t.pixels = std::min(v.end * lanes, pixels) - v.begin * lanes;
      t.a = a;
      for (int64_t m = 0, ahead = 2 * v.size(), tall; m < rows; m += tall, ++ahead, t.a += tall * s_.oc) {
        tall = std::min<int64_t>(s_.mr, rows - m);
        t.b_ahead = ahead < 3 * v.size() ? ahead * lanes : 0;  // a line of the panel after the next one
        t.c = patches + m * s_.plane + v.begin * lanes;
        t.keep = keeps && m == 0 ? copy : nullptr;
        kernels_.tile[tall - 1][v.size() - 1](t);
        if (keeps) t.b = copy, t.boff = kept_offsets, ahead = 3 * v.size();
      }
    }
  }

  // The elements of a window.
  void add(const Channels& some, const Part& part, const T* patches, char* memory) const {
    const auto& [d, h, w] = part.window;
    const int64_t n = w.elements.size(), s = s_.axis[2].stride, residues = std::min(s, n), pitch = ceil_div(n, s);
    Vector<LineTap> taps;
    Vector<int64_t> end;  // of a residue's
    for (int64_t b = 0; b < residues; ++b) {
      s_.add_taps(w, b, taps);
      end.push_back(static_cast<int64_t>(taps.size()));
    }
    const bool direct = s == 1 && dx_.stride[4] == 1, stand = !bias_.data && s_.stands(taps, n);
    auto* const places = reinterpret_cast<int64_t*>(memory + s_.memory().places);
    T* const line = reinterpret_cast<T*>(memory + s_.memory().line);
    LinesSum<T> sum{};
    sum.rows = places;
    for (int64_t y = d.elements.begin; y < d.elements.end; ++y)
      for (int64_t z = h.elements.begin; z < h.elements.end; ++z) {
        sum.row_count = s_.find_places(part, y, z, places);
        for (int64_t c = 0; c < some.own.size(); ++c) {
          const int64_t channel = some.group * s_.ic + some.own.begin + c;
          T* to = dx_.data + some.image * dx_.stride[0] + channel * dx_.stride[1] + y * dx_.stride[2] +
                  z * dx_.stride[3] + w.elements.begin * dx_.stride[4];
          sum.src = patches + c * s_.p.taps() * s_.plane;
          if (stand && sum.row_count == 1) {
            zip(sum.src + *places + taps[0].src, s_.plane, n, to);
            continue;
          }
          sum.init = bias_.data ? bias_.data[channel * bias_.stride[0]] + T(0) : T(0);  // no -0: lanes may add zeros
          sum.dst = direct ? to : line;
          sum.taps = taps.data();
          for (int64_t b = 0; b < residues; ++b, sum.taps += sum.tap_count, sum.dst += pitch) {
            sum.tap_count = taps.data() + end[static_cast<size_t>(b)] - sum.taps;
            sum.n = ceil_div(n - b, s);
            kernels_.add_lines(sum);
          }
          if (!direct) zip(line, pitch, n, to);
        }
      }
  }
  // A line of dx from those of its residues.
  void zip(const T* from, int64_t pitch, int64_t n, T* to) const {
    const int64_t s = s_.axis[2].stride, whole = n / s, step = dx_.stride[4];
    if (step == 1) kernels_.pack_transposed(to, s, from, pitch, 1, whole, s, s);
    for (int64_t x = step == 1 ? whole * s : 0; x < n; ++x) to[x * step] = from[x % s * pitch + x / s];
  }

  const Patches& s_;
  const View<const T>&dy_, &w_, &bias_;
  const View<T>& dx_;
  const ConvKernelsOf<T>& kernels_ = conv_kernels<T>();
};

// What adding makes of the cost of the products: as long as a vector is added, a sum could go on so many channels.
double with_adding(const ConvProblem& p, int64_t bytes) {
  return 1 + kAdding * static_cast<double>(bytes) / static_cast<double>(p.oc / p.groups);
}

// Elements of dx and lines of them, an image.
double elements(const ConvProblem& p) {
  return static_cast<double>(p.ic * p.axis[0].in) * static_cast<double>(p.axis[1].in * p.axis[2].in);
}
double lines(const ConvProblem& p) { return static_cast<double>(p.ic * p.axis[0].in * p.axis[1].in); }

// Of an image. What adding with a stride takes is fitted, as strided_pieces_cost is.
double cost(const ConvProblem& p, const Machine& m) {
  const double patches = static_cast<double>(p.ic / p.groups * p.taps() * p.out_pixels()) * p.groups,
               products = patches * static_cast<double>(p.oc / p.groups) / (2 * m.lanes);
  if (p.axis[2].stride == 1) return products * with_adding(p, m.lanes * m.size);
  return 1.4 * products + 14 * patches / m.lanes + 0.4 * elements(p) +
         55 * static_cast<double>(p.axis[2].stride) * lines(p) + 8000;
}

// Whether each axis keeps its size under three taps, or has one: squares read dy where it stands.
bool are_squares(const ConvProblem& p) {
  const auto keeps = [](const ConvAxis& a) {
    return a.k == 3 && a.dilation == 1 && a.pad_before == 1 && a.out == a.in;
  };
  return p.axis[0].in == 1 && p.axis[0].k == 1 && keeps(p.axis[1]) && keeps(p.axis[2]);
}

// Whether patches are quicker than the tiles whose rows are channels of dx, which they hardly fill, and which multiply
// by the zeros around dy as well unless a batch is in lanes. Small images' lines are added in parts of vectors, however
// short those are. Looks at one image alone.
bool beats_tiles(const ConvProblem& p, const Machine& m) {
  const int64_t ic = p.ic / p.groups, pixels = p.axis[0].in * p.axis[1].in * p.axis[2].in;
  if (ic <= kSquareChannels && are_squares(p)) return ic * p.oc / p.groups * pixels * m.size > kSquareBytes;
  const double tiles = 1.15 + 3.5 / static_cast<double>(ic);
  if (p.axis[0].in == 1 && ic * pixels * m.lanes * m.size <= kBatchBytes) return with_adding(p, 64) < tiles;
  return with_adding(p, m.lanes * m.size) * static_cast<double>(p.out_pixels()) < tiles * static_cast<double>(pixels);
}

// Whether they are quicker than a piece for each residue of a stride.
bool beats_pieces(const ConvProblem& p, const Machine& m) {
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  if (p.ic / p.groups > kSome && !are_apart(p)) return false;
  const double products = p.macs() / static_cast<double>(p.mb) / (2 * m.lanes);
  return cost(p, m) <
         strided_pieces_cost(products, p.ic / p.groups, lines(p), elements(p), d.stride * h.stride * w.stride);
}

bool suits(const ConvProblem& p, const Machine& machine) {
  if (p.taps() == 1 || p.mb * p.ic * p.oc * p.out_pixels() == 0) return false;
  for (const ConvAxis& a : p.axis)
    if (a.mode != Mode::zeros && a.pad_before + a.pad_after > 0) return false;
  const bool pays = p.axis[2].stride > 1
                        ? beats_pieces(p, machine)
                        : p.oc / p.groups >= kLeastChannels && p.ic / p.groups <= kFew && beats_tiles(p, machine);
  if (!pays) return false;
  const Patches s(p, machine);
  return s.rows() * s.plane * s.size <= kMostBytes;
}

// Whether a depthwise sum takes the two phases of a stride together.
template <class T>
bool is_depthwise(const ConvProblem& p, Algorithm algorithm) {
  const ConvAxis &h = p.axis[1], &w = p.axis[2];
  return algorithm == Algorithm::automatic && w.stride == 2 && p.oc / p.groups < kLeastChannels &&
         depthwise_pays<T>({p.groups, p.oc / p.groups, p.ic / p.groups, p.axis[0].k * ceil_div(h.k, h.stride) * w.k,
                            h.k, h.in, w.in, 1, false, !is_plane(p.axis[0])});
}

template <class T>
bool is_fourier(const ConvProblem& p, Algorithm algorithm) {
  if (p.axis[2].stride > 1 || !may_use_fft(p, algorithm)) return false;
  FftAxes axes = fft_axes(p);
  std::swap(axes.channels, axes.rows);
  const FftPlan plan = choose_fft<T>(algorithm, axes, false);
  return plan.applies() && plan.cost < cost(p, machine<T>());
}

void describe(const Patches& s, const Machine& machine, ConvPlan& plan) {
  plan.algorithm = Algorithm::direct;
  plan.kernel = "patches";
  plan.mr = s.mr;
  plan.nr = s.nr * machine.lanes;
  plan.block_channels = s.oc;
  plan.block_pixels = s.strip * s.line;
  plan.threads = s.threads;
  plan.cost = cost(s.p, machine) * static_cast<double>(s.p.mb);
}

}  // namespace

template <class T>
bool use_patches(const ConvProblem& p, Algorithm algorithm) {
  return (algorithm == Algorithm::automatic || algorithm == Algorithm::direct) && suits(p, machine<T>()) &&
         !is_fourier<T>(p, algorithm) && !is_depthwise<T>(p, algorithm);
}

template <class T>
void run_patches(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx) {
  const Patches plan(p, machine<T>());
  PatchSum<T>(plan, dy, w, bias, dx).run();
}

template <class T>
ConvPlan plan_patches(const ConvProblem& p) {
  const Patches s(p, machine<T>());
  ConvPlan plan;
  if (s.deep) {
    plan = plan_correlation<T>(s.product(s.images, s.strip), Direction::backward_input, Algorithm::direct);
    plan.cost *= static_cast<double>(p.mb * s.axis[s.cut].out) / static_cast<double>(s.images * s.strip);
  } else {
    describe(s, machine<T>(), plan);
  }
  plan.workspace_bytes = std::max(plan.workspace_bytes, s.memory().end);
  plan.shared_bytes += Arena::rounded_bytes<T>(s.shared());
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                        \
  template bool use_patches<T>(const ConvProblem&, Algorithm);                                         \
  template void run_patches(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_patches<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
