#include "conv/fft.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/index_map.hpp"
#include "kernels/conv.hpp"
#include "kernels/fft.hpp"

namespace fastconv {
namespace {

constexpr int64_t kLeast = 16, kMost = 512;  // length of a transform
constexpr int64_t kMostLine = 1 << 16;
constexpr int64_t kSpectrumBytes = 2 << 20;   // of one tile, at most
constexpr int64_t kWorkspaceBytes = 5 << 20;  // of a thread, if more than one spectrum of each kind is to be kept
constexpr int64_t kSharedBytes = 16 << 20;    // transformed weights at a time
constexpr int64_t kPad = 128;                 // elements between spectra, which are powers of two apart otherwise
constexpr int64_t kLeastParts = 8;            // pieces of work a weight gradient is cut into for the threads' sake
// Taps that one term sums: tap[i] reads (o + shift[i]) * stride + base.
struct Phase {
  int64_t base = 0;
  Vector<int64_t> shift;
  Vector<size_t> tap;
  int64_t reach() const { return shift.back(); }
};

Vector<Phase> single_taps(const AxisMap& map) {
  Vector<Phase> phases;
  for (size_t t = 0; t < map.offset.size(); ++t) phases.push_back({map.offset[t], {0}, {t}});
  return phases;
}

// Taps of one residue of the stride, in runs that reach no further than most_reach.
Vector<Phase> runs_of_taps(const AxisMap& map, int64_t most_reach) {
  Vector<size_t> order(map.offset.size());
  for (size_t t = 0; t < order.size(); ++t) order[t] = t;
  auto key = [&](size_t t) { return std::make_pair(floor_mod(map.offset[t], map.stride), map.offset[t]); };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  Vector<Phase> phases;
  for (size_t t : order) {
    const int64_t off = map.offset[t];
    if (phases.empty() || floor_mod(off - phases.back().base, map.stride) ||
        (off - phases.back().base) / map.stride > most_reach)
      phases.push_back({off, {}, {}});
    phases.back().shift.push_back((off - phases.back().base) / map.stride);
    phases.back().tap.push_back(t);
  }
  return phases;
}

// An axis transformed with length n: how far a term may reach, and what that makes of it.
struct Cut {
  int64_t n, most_reach, reach = 0, phases = 0, extent = 0, tiles = 0;
  Cut(const AxisMap& map, int64_t length) : n(length) {
    const auto [low, high] = std::minmax_element(map.offset.begin(), map.offset.end());
    const int64_t whole = (*high - *low) / map.stride;
    most_reach = 4 * (whole + 1) <= 3 * n || map.taps() == 1 ? whole : n / 2;
    const auto runs = runs_of_taps(map, most_reach);
    phases = static_cast<int64_t>(runs.size());
    for (const Phase& p : runs) reach = std::max(reach, p.reach());
    tiles = ceil_div(map.outputs, n - reach);
    extent = ceil_div(map.outputs, tiles);
  }
};

int bits_of(int64_t n) {
  int bits = 0;
  while (int64_t(1) << bits < n) ++bits;
  return bits;
}

// Estimated cycles of the parts of the work, by complex vectors of a tile; fitted to measurements.
template <class T>
struct Costs {
  double transform, load, store, multiply, accumulate;
  Costs(int64_t rows, int64_t columns, bool line) {
    const double vectors = static_cast<double>(rows * columns) / conv_kernels<T>().lanes;
    const double megabytes = 2e-6 * static_cast<double>(rows * columns) * sizeof(T);
    const double miss = 1 + std::max(0.0, 0.15 * std::log2(4 * megabytes));  // several spectra share the L2 cache
    transform = vectors * miss * (3.3 * bits_of(rows * columns) + (line ? 12 : 8));
    load = 7 * vectors;
    store = 4 * vectors;
    multiply = 6 * vectors * miss;
    accumulate = 8 * vectors * miss;
  }
};

template <class T>
int64_t spectrum_size(const FftPlan& p) {
  return 2 * p.rows * p.columns + kPad;
}
// Entries of the offset tables of one part of a tile.
int64_t line_length(const FftPlan& p) { return p.line ? p.rows * p.columns : p.columns; }
int64_t table_bytes(const FftPlan& p) { return 2 * (p.rows + line_length(p)) * static_cast<int64_t>(sizeof(int64_t)); }

template <class T>
int64_t spectrum_bytes(const FftPlan& p) {
  return spectrum_size<T>(p) * static_cast<int64_t>(sizeof(T));
}

// The chunks of a plan whose tiles are given, its memory and its cost.
template <class T>
void complete_forward(const FftAxes& a, FftPlan& p) {
  const int64_t bytes = spectrum_bytes<T>(p),
                depth = p.line ? a.axis[0].outputs * a.axis[1].outputs : a.axis[0].outputs;
  p.term_chunk = std::max<int64_t>(1, std::min(p.terms, kWorkspaceBytes / bytes - 2));
  p.row_chunk = std::max<int64_t>(1, std::min(a.rows, kSharedBytes / (bytes * p.term_chunk)));
  if (p.row_chunk == a.rows && p.term_chunk == p.terms)
    p.group_chunk = std::max<int64_t>(1, std::min(a.groups, kSharedBytes / (bytes * p.terms * a.rows)));
  p.workspace_bytes = (p.term_chunk + 2) * bytes + table_bytes(p);
  p.shared_bytes = p.group_chunk * p.row_chunk * p.term_chunk * bytes;
  const Costs<T> c(p.rows, p.columns, p.line);
  const double terms = static_cast<double>(p.terms), rows = static_cast<double>(a.rows);
  const double pairs = static_cast<double>(p.line ? a.axis[0].outputs : depth) * p.pairs();
  const double x = terms * ceil_div(a.rows, p.row_chunk) * (c.load + c.transform);
  const double y = rows * ceil_div(p.terms, p.term_chunk) * (c.store + c.transform);
  p.cost = a.groups * (pairs * (x + y + rows * terms * c.multiply) + rows * terms * (c.load + c.transform));
}

// Tasks of a weight gradient, and the parts that each is cut into where there are few.
int64_t gradient_tasks(const FftAxes& a, const FftPlan& p) {
  return a.groups * ceil_div(a.rows, p.row_chunk) * ceil_div(p.terms, p.term_chunk);
}
int64_t work_items(const FftAxes& a, const FftPlan& p) { return a.images * a.axis[0].outputs * p.pairs(); }
int64_t gradient_parts(const FftAxes& a, const FftPlan& p) {
  return std::max<int64_t>(1, std::min(work_items(a, p) / 2, kLeastParts / gradient_tasks(a, p)));
}

template <class T>
void complete_gradient(const FftAxes& a, FftPlan& p) {
  const int64_t bytes = spectrum_bytes<T>(p), most = kWorkspaceBytes / bytes;
  auto fits = [&](int64_t rows, int64_t terms) { return 1 + rows + terms + rows * terms <= most; };
  p.row_chunk = p.term_chunk = 1;
  for (bool more = true; more;) {
    more = false;
    if (p.row_chunk < a.rows && fits(p.row_chunk + 1, p.term_chunk)) ++p.row_chunk, more = true;
    if (p.term_chunk < p.terms && fits(p.row_chunk, p.term_chunk + 1)) ++p.term_chunk, more = true;
  }
  p.workspace_bytes = (1 + p.row_chunk + p.term_chunk + p.row_chunk * p.term_chunk) * bytes + table_bytes(p);
  const int64_t parts = gradient_parts(a, p);
  p.shared_bytes = parts > 1 ? gradient_tasks(a, p) * parts * p.row_chunk * p.term_chunk * bytes : 0;
  const Costs<T> c(p.rows, p.columns, p.line);
  const double terms = static_cast<double>(p.terms), rows = static_cast<double>(a.rows);
  const double pairs = static_cast<double>(a.axis[0].outputs) * p.pairs();
  const double x = terms * ceil_div(a.rows, p.row_chunk) * (c.load + c.transform),
               dy = rows * ceil_div(p.terms, p.term_chunk) * (c.load + c.transform);
  p.cost = a.groups * (pairs * (x + dy + rows * terms * c.accumulate) + rows * terms * (c.transform + c.store));
}

// Twiddle factors of both axes and the twist, rounded from double.
template <class T>
class Tables {
 public:
  explicit Tables(const FftPlan& p) {
    fill(p.rows, rows_, shape_.rows);
    fill(p.columns, columns_, shape_.columns);
    shape_.twist = nullptr;
    if (p.line) fill_twist();
  }
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;
  const FftShape<T>& shape() const { return shape_; }

 private:
  struct Root {
    double re, im;
  };
  static Root root(int64_t j, int64_t n) {  // exp(-2 pi i j / n)
    const double angle = -2 * 3.14159265358979323846 * static_cast<double>(j) / static_cast<double>(n);
    return {std::cos(angle), std::sin(angle)};
  }
  static const std::array<Root, kMost>& roots() {
    static const std::array<Root, kMost> table = [] {
      std::array<Root, kMost> t{};
      for (int64_t j = 0; j < kMost; ++j) t[static_cast<size_t>(j)] = root(j, kMost);
      return t;
    }();
    return table;
  }

  void fill(int64_t n, Vector<T>& factors, FftLength<T>& f) {
    f.n = n;
    f.stages = 0;
    const int most = fft_kernels<T>().most_radix;
    for (int bits = bits_of(n); bits > 0;) {
      const int take = std::min(bits, most == 8 && bits != 4 ? 3 : 2);
      f.radix[f.stages++] = 1 << take;
      bits -= take;
    }
    Vector<size_t> start;
    int64_t length = n;
    for (int s = 0; s < f.stages; length /= f.radix[s++]) {
      start.push_back(factors.size());
      for (int64_t j = 0; j < length / f.radix[s]; ++j)
        for (int64_t r = 1; r < f.radix[s]; ++r) {
          const Root w = roots()[static_cast<size_t>(j * r * (kMost / length))];
          factors.push_back(static_cast<T>(w.re));
          factors.push_back(static_cast<T>(w.im));
        }
    }
    for (int s = 0; s < f.stages; ++s) f.twiddle[s] = factors.data() + start[static_cast<size_t>(s)];
  }

  // Element (r, c): w^(k c) with k the frequency that the first pass leaves in row r, w the root of order rows *
  // columns.
  void fill_twist() {
    const int64_t rows = shape_.rows.n, columns = shape_.columns.n, n = rows * columns, lanes = conv_kernels<T>().lanes;
    Vector<Root> low, high;  // w^j = high[j / rows] * low[j % rows]
    for (int64_t j = 0; j < rows; ++j) low.push_back(root(j, n));
    for (int64_t j = 0; j < columns; ++j) high.push_back(root(j, columns));
    twist_.resize(static_cast<size_t>(2 * n));
    for (int64_t r = 0; r < rows; ++r) {
      int64_t k = 0, weight = 1, block = rows, at = r;
      for (int s = 0; s < shape_.rows.stages; ++s) {
        block /= shape_.rows.radix[s];
        k += at / block * weight;
        at %= block;
        weight *= shape_.rows.radix[s];
      }
      for (int64_t c = 0; c < columns; ++c) {
        const Root a = high[static_cast<size_t>(k * c / rows)], b = low[static_cast<size_t>(k * c % rows)];
        T* to = twist_.data() + (c / lanes * rows + r) * 2 * lanes + c % lanes;
        to[0] = static_cast<T>(a.re * b.re - a.im * b.im);
        to[lanes] = static_cast<T>(a.re * b.im + a.im * b.re);
      }
    }
    shape_.twist = twist_.data();
  }

  Vector<T> rows_, columns_, twist_;
  FftShape<T> shape_;
};

// What forward and weight gradient share: the tiles, the terms, and how tiles are loaded.
template <class T>
class Tiles {
 public:
  Tiles(const FftAxes& axes, const FftPlan& p) : a(axes), plan(p), tables_(p) {
    phase[0] = single_taps(a.axis[0]);
    phase[1] = p.line ? single_taps(a.axis[1]) : runs_of_taps(a.axis[1], p.most_reach[0]);
    phase[2] = runs_of_taps(a.axis[2], p.most_reach[1]);
  }

  const FftAxes& a;
  const FftPlan& plan;
  const FftKernelsOf<T>& kernels = fft_kernels<T>();
  Vector<Phase> phase[3];

  int64_t size() const { return spectrum_size<T>(plan); }
  const FftShape<T>& shape() const { return tables_.shape(); }
  int64_t items() const { return work_items(a, plan); }

  // Two tiles of outputs of one image and depth.
  struct Pair {
    int64_t image, depth, count;
    int64_t begin[2][2], extent[2][2];  // [which][axis]
  };
  Pair pair(int64_t item) const {
    Pair p{};
    const int64_t tiles = plan.tiles[0] * plan.tiles[1], t0 = item % plan.pairs() * 2;
    item /= plan.pairs();
    p.depth = item % a.axis[0].outputs;
    p.image = item / a.axis[0].outputs;
    p.count = std::min<int64_t>(2, tiles - t0);
    for (int64_t i = 0; i < p.count; ++i) {
      const int64_t at[2] = {(t0 + i) / plan.tiles[1], (t0 + i) % plan.tiles[1]};
      for (int axis = 0; axis < 2; ++axis) {
        p.begin[i][axis] = at[axis] * plan.extent[axis];
        p.extent[i][axis] = std::min(plan.extent[axis], a.axis[1 + axis].outputs - p.begin[i][axis]);
      }
    }
    return p;
  }

  struct Term {
    const Phase *d, *h, *w;
    int64_t channel;
  };
  Term term(int64_t q) const {
    const int64_t c = q % a.channels, i = q / a.channels, nw = static_cast<int64_t>(phase[2].size()),
                  nh = static_cast<int64_t>(phase[1].size());
    return {&phase[0][static_cast<size_t>(i / (nw * nh))], &phase[1][static_cast<size_t>(i / nw % nh)],
            &phase[2][static_cast<size_t>(i % nw)], c};
  }

  // The offsets that a load reads, kept from one load to the next.
  struct Lines {
    int64_t *row, *column;
    int64_t begin, end, first, step;
  };
  // The memory of a task: a tile, further spectra behind it, and the offsets of both parts of a tile.
  struct Scratch {
    T* tile;
    Lines lines[2];
    explicit Scratch(const FftPlan& p) {
      char* memory = Arena::local().reserve(p.workspace_bytes);
      tile = reinterpret_cast<T*>(memory);
      int64_t* table = reinterpret_cast<int64_t*>(memory + p.workspace_bytes - table_bytes(p));
      for (Lines& l : lines) {
        l = {table, table + p.rows, 0, 0, 0, 1};
        table = l.column + line_length(p);
      }
    }
  };

  // Transforms of terms [q0, q1) of x, group g, behind the pair.
  void transform_x(const Pair& p, int64_t g, int64_t q0, int64_t q1, View<const T> x, Scratch& s, T* spectra) const {
    const Phase *h = nullptr, *w = nullptr;
    for (int64_t q = q0; q < q1; ++q, spectra += size()) {
      const Term t = term(q);
      const T* src[2] = {nullptr, nullptr};
      for (int64_t i = 0; i < p.count; ++i) {
        if (t.h != h || t.w != w) find_lines(p, i, t, x, s.lines[i]);
        const int64_t d = map_coordinate(a.axis[0].mode, p.depth * a.axis[0].stride + t.d->base, a.axis[0].in);
        const int64_t v =
            plan.line ? map_coordinate(a.axis[1].mode, p.begin[i][0] * a.axis[1].stride + t.h->base, a.axis[1].in) : 0;
        if (d >= 0 && v >= 0)
          src[i] = x.data + p.image * x.stride[0] + (g * a.channels + t.channel) * x.stride[1] + d * x.stride[2] +
                   v * x.stride[3];
      }
      h = t.h;
      w = t.w;
      transform(s, src, plan.columns, spectra);
    }
  }

  // Transform of one channel of outputs, zeros beyond the tiles.
  void transform_dy(const Pair& p, int64_t channel, View<const T> dy, Scratch& s, T* spectrum) const {
    const T* src[2] = {nullptr, nullptr};
    int64_t columns = 0;
    for (int64_t i = 0; i < p.count; ++i) {
      Lines& l = s.lines[i];
      clear_rows(l);
      for (int64_t r = 0; r < p.extent[i][0] && !plan.line; ++r) l.row[r] = r * dy.stride[3];
      l.begin = 0;
      l.end = p.extent[i][1];
      std::fill(l.column + l.end, l.column + line_length(plan), kFftZero);
      l.first = 0;
      l.step = dy.stride[4];
      src[i] = dy.data + p.image * dy.stride[0] + channel * dy.stride[1] + p.depth * dy.stride[2] +
               p.begin[i][0] * dy.stride[3] + p.begin[i][1] * dy.stride[4];
      columns = std::max(columns, p.extent[i][1]);
    }
    transform(s, src, live(columns), spectrum);
  }

  // Transform of the weights of a term.
  void transform_weights(const FftWeights<const T>& w, int64_t g, int64_t m, int64_t q, Scratch& s, T* spectrum) const {
    const Term t = term(q);
    Lines& l = s.lines[0];
    clear_rows(l);
    std::fill_n(l.column, line_length(plan), kFftZero);
    for (size_t i = 0; i < t.h->tap.size() && !plan.line; ++i) l.row[t.h->shift[i]] = w.tap[1][t.h->tap[i]];
    for (size_t i = 0; i < t.w->tap.size(); ++i) l.column[t.w->shift[i]] = w.tap[2][t.w->tap[i]];
    l.begin = l.end = 0;
    const T* src[2] = {w.data + weight_offset(w, g, m, t), nullptr};
    transform(s, src, live(t.w->reach() + 1), spectrum);
  }
  // Of what the axes that are not transformed decide.
  template <class W>
  int64_t weight_offset(const FftWeights<W>& w, int64_t g, int64_t m, const Term& t) const {
    return g * w.group + m * w.row + t.channel * w.channel + w.tap[0][t.d->tap[0]] +
           (plan.line ? w.tap[1][t.h->tap[0]] : 0);
  }

 private:
  void clear_rows(Lines& l) const { std::fill_n(l.row, plan.rows, plan.line ? 0 : kFftZero); }
  int64_t live(int64_t columns) const { return std::min(columns, plan.columns); }

  // Coordinates of entries [0, count) behind outputs from `begin`, times the source's step: those that lie in the
  // source as a run, all others by table.
  static void find_run(const AxisMap& map, int64_t base, int64_t begin, int64_t count, int64_t step, int64_t* table,
                       int64_t size, int64_t& run_begin, int64_t& run_end) {
    const int64_t at = begin * map.stride + base;  // the coordinate of entry 0
    run_begin = std::min(count, at >= 0 ? 0 : ceil_div(-at, map.stride));
    run_end = std::max(run_begin, std::min(count, at < map.in ? ceil_div(map.in - at, map.stride) : 0));
    for (int64_t i = run_begin > 0 ? 0 : run_end; i < size; i = i + 1 == run_begin ? run_end : i + 1) {
      const int64_t q = i < count ? map_coordinate(map.mode, at + i * map.stride, map.in) : -1;
      table[i] = q < 0 ? kFftZero : q * step;
    }
  }

  void find_lines(const Pair& p, int64_t i, const Term& t, const View<const T>& x, Lines& l) const {
    clear_rows(l);
    if (!plan.line) {
      const AxisMap& map = a.axis[1];
      int64_t begin, end;
      find_run(map, t.h->base, p.begin[i][0], p.extent[i][0] + t.h->reach(), x.stride[3], l.row, plan.rows, begin, end);
      for (int64_t r = begin; r < end; ++r) l.row[r] = ((p.begin[i][0] + r) * map.stride + t.h->base) * x.stride[3];
    }
    const AxisMap& map = a.axis[2];
    find_run(map, t.w->base, p.begin[i][1], p.extent[i][1] + t.w->reach(), x.stride[4], l.column, line_length(plan),
             l.begin, l.end);
    l.first = ((p.begin[i][1] + l.begin) * map.stride + t.w->base) * x.stride[4];
    l.step = map.stride * x.stride[4];
  }

  void transform(Scratch& s, const T* const src[2], int64_t columns, T* spectrum) const {
    for (int part = 0; part < 2; ++part) {
      const Lines& l = s.lines[part];
      FftLoad<T> job{};
      job.tile = s.tile;
      job.part = part;
      job.rows = plan.rows;
      job.columns = columns;
      job.src = src[part];
      job.row = l.row;
      job.column = l.column;
      job.column_step = plan.line ? plan.columns : 0;
      job.begin = l.begin;
      job.end = l.end;
      job.first = l.first;
      job.step = l.step;
      kernels.load(job);
    }
    kernels.forward(shape(), s.tile, spectrum, columns);
  }

  Tables<T> tables_;
};

template <class T>
class Forward {
 public:
  Forward(const FftSum<T>& sum, const FftPlan& p) : s(sum), plan(p), tiles(sum.of, p) {}

  void run() const {
    const FftAxes& a = s.of;
    for (int64_t g = 0; g < a.groups; g += plan.group_chunk)
      for (int64_t m = 0; m < a.rows; m += plan.row_chunk)
        for (int64_t q = 0; q < plan.terms; q += plan.term_chunk)
          run_chunk({g, std::min(plan.group_chunk, a.groups - g), m, std::min(plan.row_chunk, a.rows - m), q,
                     std::min(plan.term_chunk, plan.terms - q)});
  }

 private:
  struct Chunk {
    int64_t g0, groups, m0, rows, q0, terms;
  };

  void run_chunk(const Chunk& c) const {
    const int64_t size = tiles.size();
    T* weights = reinterpret_cast<T*>(Arena::shared().reserve(plan.shared_bytes));
    parallel_tasks(c.groups * c.rows * c.terms, plan.threads, [&](int64_t i) {
      typename Tiles<T>::Scratch scratch(plan);
      tiles.transform_weights(s.w, c.g0 + i / (c.rows * c.terms), c.m0 + i / c.terms % c.rows, c.q0 + i % c.terms,
                              scratch, weights + i * size);
    });
    // Few tiles: the rows are shared out too, though each share transforms x anew.
    const int64_t items = tiles.items() * c.groups;
    const int64_t parts = plan.threads > 1 ? std::min(c.rows, ceil_div(2 * plan.threads, items)) : 1;
    parallel_tasks(items * parts, plan.threads, [&](int64_t i) {
      const int64_t part = i % parts, g = i / parts % c.groups;
      run_pair(c, g, part * c.rows / parts, (part + 1) * c.rows / parts, tiles.pair(i / parts / c.groups),
               weights + g * c.rows * c.terms * size);
    });
  }

  void run_pair(const Chunk& c, int64_t g, int64_t m0, int64_t m1, const typename Tiles<T>::Pair& pair,
                const T* weights) const {
    const int64_t size = tiles.size();
    typename Tiles<T>::Scratch scratch(plan);
    T *acc = scratch.tile + size, *x = acc + size;
    tiles.transform_x(pair, c.g0 + g, c.q0, c.q0 + c.terms, s.x, scratch, x);
    for (int64_t m = m0; m < m1; ++m) {
      const FftMultiply<T> product{acc,
                                   x,
                                   weights + m * c.terms * size,
                                   c.terms,
                                   size,
                                   size,
                                   plan.rows * plan.columns / conv_kernels<T>().lanes,
                                   false};
      tiles.kernels.multiply(product);
      const int64_t columns = std::min(plan.columns, std::max(pair.extent[0][1], pair.extent[1][1]));
      tiles.kernels.inverse(tiles.shape(), acc, scratch.tile, columns);
      for (int i = 0; i < pair.count; ++i) store(c, (c.g0 + g) * s.of.rows + c.m0 + m, pair, i, scratch.tile);
    }
  }

  void store(const Chunk& c, int64_t channel, const typename Tiles<T>::Pair& pair, int i, const T* tile) const {
    const View<T>& y = s.y;
    FftStore<T> job{};
    job.tile = tile;
    job.part = i;
    job.tile_rows = plan.rows;
    job.tile_columns = plan.columns;
    job.y = y.data + pair.image * y.stride[0] + channel * y.stride[1] + pair.depth * y.stride[2] +
            pair.begin[i][0] * y.stride[3] + pair.begin[i][1] * y.stride[4];
    job.y_row = plan.line ? plan.columns * y.stride[4] : y.stride[3];
    job.y_step = y.stride[4];
    job.rows = plan.line ? plan.rows : pair.extent[i][0];
    job.columns = pair.extent[i][1];
    job.column_step = plan.line ? plan.columns : 0;
    job.scale = T(1) / static_cast<T>(plan.rows * plan.columns);
    job.accumulate = c.q0 > 0;
    job.bias = s.bias && !job.accumulate ? s.bias + channel : nullptr;
    job.clamp = s.clamp && c.q0 + c.terms == plan.terms;
    job.low = s.low;
    job.high = s.high;
    tiles.kernels.store(job);
  }

  const FftSum<T>& s;
  const FftPlan& plan;
  const Tiles<T> tiles;
};

// Sums of spectra of some output channels times some terms. As many parts of the tiles as keep the threads busy are
// summed apart; their number depends on the problem alone.
template <class T>
class Gradient {
 public:
  Gradient(const FftAxes& axes, View<const T> dy_, View<const T> x_, const FftWeights<T>& dw_, const FftPlan& p)
      : a(axes), dy(dy_), x(x_), dw(dw_), plan(p), tiles(axes, p) {
    row_chunks = ceil_div(a.rows, plan.row_chunk);
    term_chunks = ceil_div(plan.terms, plan.term_chunk);
    tasks = gradient_tasks(a, plan);
    parts = gradient_parts(a, plan);
  }

  void run() const {
    const int64_t sums = plan.row_chunk * plan.term_chunk * tiles.size();
    T* shared =
        parts > 1
            ? reinterpret_cast<T*>(Arena::shared().reserve(tasks * parts * sums * static_cast<int64_t>(sizeof(T))))
            : nullptr;
    parallel_tasks(tasks * parts, plan.threads, [&](int64_t i) {
      const int64_t part = i % parts;
      Memory memory(*this);
      if (shared) memory.sums = shared + i * sums;
      const Task task = at(i / parts);
      accumulate(task, part * tiles.items() / parts, (part + 1) * tiles.items() / parts, memory);
      if (!shared) finish(task, memory);
    });
    if (!shared) return;
    parallel_tasks(tasks, plan.threads, [&](int64_t i) {
      Memory memory(*this);
      memory.sums = shared + i * parts * sums;
      for (int64_t part = 1; part < parts; ++part)
        for (int64_t j = 0; j < sums; ++j) memory.sums[j] += memory.sums[part * sums + j];
      finish(at(i), memory);
    });
  }

 private:
  struct Task {
    int64_t g, m0, rows, q0, terms;
  };
  Task at(int64_t i) const {
    const int64_t m = i / term_chunks % row_chunks * plan.row_chunk, q = i % term_chunks * plan.term_chunk;
    return {i / (row_chunks * term_chunks), m, std::min(plan.row_chunk, a.rows - m), q,
            std::min(plan.term_chunk, plan.terms - q)};
  }

  struct Memory {
    typename Tiles<T>::Scratch scratch;
    T *u, *z, *sums;
    explicit Memory(const Gradient& of) : scratch(of.plan) {
      const int64_t size = of.tiles.size();
      u = scratch.tile + size;
      z = u + of.plan.row_chunk * size;
      sums = z + of.plan.term_chunk * size;
    }
  };

  void accumulate(const Task& t, int64_t begin, int64_t end, Memory& memory) const {
    const int64_t size = tiles.size();
    for (int64_t item = begin; item < end; ++item) {
      const auto pair = tiles.pair(item);
      tiles.transform_x(pair, t.g, t.q0, t.q0 + t.terms, x, memory.scratch, memory.z);
      for (int64_t m = 0; m < t.rows; ++m)
        tiles.transform_dy(pair, t.g * a.rows + t.m0 + m, dy, memory.scratch, memory.u + m * size);
      for (int64_t m = 0; m < t.rows; ++m)
        for (int64_t q = 0; q < t.terms; ++q) {
          const FftMultiply<T> product{
              memory.sums + (m * plan.term_chunk + q) * size,     memory.z + q * size, memory.u + m * size, 1, 0, 0,
              plan.rows * plan.columns / conv_kernels<T>().lanes, item > begin};
          tiles.kernels.multiply(product);
        }
    }
  }

  // The sums of a task, transformed back, into dw.
  void finish(const Task& t, const Memory& memory) const {
    const int64_t lanes = conv_kernels<T>().lanes;
    const T scale = T(1) / static_cast<T>(plan.rows * plan.columns);
    for (int64_t m = 0; m < t.rows; ++m)
      for (int64_t q = 0; q < t.terms; ++q) {
        const auto term = tiles.term(t.q0 + q);
        const int64_t columns = std::min(plan.columns, term.w->reach() + 1);
        tiles.kernels.inverse(tiles.shape(), memory.sums + (m * plan.term_chunk + q) * tiles.size(),
                              memory.scratch.tile, columns);
        T* to = dw.data + tiles.weight_offset(dw, t.g, t.m0 + m, term);
        for (size_t i = 0; i < term.h->tap.size(); ++i)
          for (size_t j = 0; j < term.w->tap.size(); ++j) {
            const int64_t w = term.w->shift[j], r = plan.line ? w / plan.columns : term.h->shift[i],
                          c = w % plan.columns;
            to[(plan.line ? 0 : dw.tap[1][term.h->tap[i]]) + dw.tap[2][term.w->tap[j]]] =
                scale * memory.scratch.tile[(c / lanes * plan.rows + r) * 2 * lanes + c % lanes];
          }
      }
  }

  const FftAxes& a;
  View<const T> dy, x;
  const FftWeights<T>& dw;
  const FftPlan& plan;
  const Tiles<T> tiles;
  int64_t row_chunks, term_chunks, tasks, parts;
};

}  // namespace

std::string FftPlan::kernel() const {
  return (line ? "line " + std::to_string(rows * columns)
               : "plane " + std::to_string(rows) + "x" + std::to_string(columns));
}

template <class T>
FftPlan plan_fft(const FftAxes& a, bool gradient) {
  FftPlan best;
  if (a.channels * a.rows == 0) return best;
  for (const AxisMap& map : a.axis)
    if (map.tabulated() || map.taps() == 0) return best;
  const int64_t most = kSpectrumBytes / static_cast<int64_t>(2 * sizeof(T)) / (gradient ? 2 : 1);
  auto consider = [&](bool line, int64_t rows, int64_t columns, const Cut* h, const Cut& w) {
    FftPlan p;
    p.line = line;
    p.rows = rows;
    p.columns = columns;
    p.most_reach[1] = w.most_reach;
    p.reach[1] = w.reach;
    p.extent[1] = w.extent;
    p.tiles[1] = w.tiles;
    p.tiles[0] = a.axis[1].outputs;
    if (h) p.most_reach[0] = h->most_reach, p.reach[0] = h->reach, p.extent[0] = h->extent, p.tiles[0] = h->tiles;
    p.terms = a.channels * a.axis[0].taps() * (h ? h->phases : a.axis[1].taps()) * w.phases;
    if (gradient) complete_gradient<T>(a, p);
    else complete_forward<T>(a, p);
    if (p.cost < best.cost) best = p;
  };
  Vector<Cut> down, across;
  for (int64_t n = kLeast; n <= kMost; n *= 2) {
    down.emplace_back(a.axis[1], n);
    across.emplace_back(a.axis[2], n);
  }
  for (const Cut& h : down)
    for (const Cut& w : across)
      if (h.n * w.n <= most) consider(false, h.n, w.n, &h, w);
  for (int64_t n = kLeast * kLeast; n <= std::min(most, kMostLine); n *= 2) {
    const int64_t columns = int64_t(1) << bits_of(n) / 2;
    if (n / columns <= kMost) consider(true, n / columns, columns, nullptr, Cut(a.axis[2], n));
  }
  best.threads = threads_for(best.cost * static_cast<double>(a.images) * 2 * conv_kernels<T>().lanes);
  return best;
}

template <class T>
FftPlan choose_fft(Algorithm algorithm, const FftAxes& a, bool gradient) {
  if (algorithm == Algorithm::fft) return plan_fft<T>(a, gradient);
  const FftPlan plan = plan_fft<T>(a, gradient);
  double macs = static_cast<double>(a.groups * a.rows) * static_cast<double>(a.channels);
  for (const AxisMap& map : a.axis) macs *= static_cast<double>(map.taps()) * static_cast<double>(map.outputs);
  const double direct =
      macs / (2 * conv_kernels<T>().lanes * std::min(0.85, 0.17 * static_cast<double>(a.rows) + 0.14));
  return plan.cost < 0.7 * direct ? plan : FftPlan{};
}

void describe_fft(const FftPlan& part, double images, bool main, ConvPlan& plan) {
  plan.workspace_bytes = std::max(plan.workspace_bytes, part.workspace_bytes);
  plan.shared_bytes = std::max(plan.shared_bytes, part.shared_bytes);
  plan.cost += images * part.cost;
  if (!main) return;
  plan.algorithm = Algorithm::fft;
  plan.kernel = part.kernel();
  plan.mr = plan.nr = 1;
  plan.block_channels = part.term_chunk;
  plan.block_pixels = 2 * part.extent[0] * part.extent[1];
  plan.threads = part.threads;
}

template <class T>
void run_fft(const FftSum<T>& s, const FftPlan& plan) {
  Forward<T>(s, plan).run();
}

template <class T>
void run_fft_gradient(const FftAxes& axes, View<const T> dy, View<const T> x, const FftWeights<T>& dw,
                      const FftPlan& plan) {
  Gradient<T>(axes, dy, x, dw, plan).run();
}

#define FASTCONV_INSTANTIATE(T)                                    \
  template FftPlan plan_fft<T>(const FftAxes&, bool);              \
  template FftPlan choose_fft<T>(Algorithm, const FftAxes&, bool); \
  template void run_fft(const FftSum<T>&, const FftPlan&);         \
  template void run_fft_gradient(const FftAxes&, View<const T>, View<const T>, const FftWeights<T>&, const FftPlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
