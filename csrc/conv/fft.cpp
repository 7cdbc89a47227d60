#include "conv/fft.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/index_map.hpp"
#include "kernels/conv.hpp"
#include "kernels/fft.hpp"

namespace fastconv {
namespace {

constexpr int64_t kLeast = 16, kMost = 1024;  // length of a transform
constexpr int64_t kMostLine = 1 << 18;
constexpr int64_t kSpectrumBytes = 4 << 20;   // of one tile, at most
constexpr int64_t kWorkspaceBytes = 5 << 20;  // of a thread, if more than one spectrum of each kind is to be kept
constexpr int64_t kBatchBytes = 7 << 20;      // of a thread, if the steps of a volume are summed in batches
constexpr int64_t kMostBatch = 8;
constexpr int64_t kCacheBytes = 1 << 20;    // of spectra that are multiplied at a time
constexpr int64_t kSharedBytes = 16 << 20;  // transformed weights at a time
constexpr int64_t kPad = 128;               // elements between spectra, which are powers of two apart otherwise
constexpr int64_t kLeastParts = 8;          // pieces of work a weight gradient is cut into for the threads' sake

// Taps that one term sums: tap + i * tap_step reads (o + i * shift) * stride + base, i < count.
struct Phase {
  int64_t base, count, shift, tap, tap_step;
  int64_t reach() const { return (count - 1) * shift; }
};

// The taps of an axis in ascending order, `step` apart. Those of one residue of the stride are `classes` taps and
// `shift` outputs apart.
struct Taps {
  int64_t count, low, step, stride, first, direction, classes, shift;
  explicit Taps(const AxisMap& map) : count(map.taps()), stride(map.stride) {
    const int64_t a = map.offset.front(), b = map.offset.back();
    low = std::min(a, b);
    step = count > 1 ? std::abs(map.offset[1] - a) : stride;
    first = a <= b ? 0 : count - 1;
    direction = a <= b ? 1 : -1;
    const int64_t common = std::gcd(step, stride);
    classes = std::min(count, stride / common);
    shift = step / common;
  }
  int64_t span() const { return (count - 1) * step; }
  int64_t of_class(int64_t c) const { return (count - c + classes - 1) / classes; }
  // Runs of at most `most_reach` that the n taps of a class are cut into, and the taps of the longest.
  int64_t runs(int64_t n, int64_t most_reach) const { return ceil_div(n, most_reach / shift + 1); }
  int64_t longest(int64_t n, int64_t most_reach) const { return ceil_div(n, runs(n, most_reach)); }
};

bool evenly_spaced(const AxisMap& map) {
  const int64_t n = map.taps(), *offset = map.offset.data(), step = n > 1 ? offset[1] - offset[0] : 1;
  bool even = step != 0;
  for (int64_t t = 1; t < n; ++t) even &= offset[t] - offset[t - 1] == step;
  return even;
}

Vector<Phase> runs_of_taps(const Taps& t, int64_t most_reach) {
  Vector<Phase> phases;
  for (int64_t c = 0; c < t.classes; ++c) {
    const int64_t n = t.of_class(c), longest = t.longest(n, most_reach);
    for (int64_t i = 0; i < n; i += longest) {
      const int64_t at = c + i * t.classes;
      phases.push_back({t.low + at * t.step, std::min(longest, n - i), t.shift, t.first + t.direction * at,
                        t.direction * t.classes});
    }
  }
  return phases;
}

// An axis transformed with length n: how far a term may reach, and what that makes of it.
struct Cut {
  int64_t n, most_reach, reach = 0, phases = 0, extent = 0, tiles = 0;
  Cut(const Taps& t, int64_t outputs, int64_t length) : n(length) {
    const int64_t whole = t.span() / t.stride;
    const bool fits = 4 * (whole + 1) <= 3 * n || whole + outputs <= n;
    most_reach = fits || t.count == 1 ? whole : n / 2;
    for (int64_t c = 0; c < t.classes; ++c) {
      const int64_t longest = t.longest(t.of_class(c), most_reach);
      phases += ceil_div(t.of_class(c), longest);
      reach = std::max(reach, (longest - 1) * t.shift);
    }
    tiles = ceil_div(outputs, n - reach);
    extent = ceil_div(outputs, tiles);
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

// Planes of x whose spectra are kept while the outputs of the first axis pass, so many steps at a time: each is
// transformed once.
int64_t planes_kept(const FftAxes& a, int64_t taps, int64_t steps = 1) {
  const int64_t step = Taps(a.axis[0]).step;
  return a.axis[0].outputs > 1 && step <= 2 ? (taps - 1) * step + 1 + (steps - 1) * a.axis[0].stride : taps * steps;
}
// Planes of x that are transformed for all pairs of tiles and some taps of the first axis.
double planes_transformed(const FftAxes& a, const FftPlan& p, int64_t taps) {
  const AxisMap& map = a.axis[0];
  const int64_t step = Taps(map).step;
  auto planes = [&](int64_t depths) {
    const double all = static_cast<double>(depths) * static_cast<double>(taps);
    const int64_t distinct = (depths - 1) * map.stride + (taps - 1) * step + 1;
    return step <= 2 ? std::min(all, static_cast<double>(std::min(distinct, map.in))) : all;
  };
  return static_cast<double>(p.pairs() - 1) * planes(p.depths) + planes(p.sweep(p.pairs() - 1));
}

// The chunks of a plan whose tiles are given, its memory and its cost.
template <class T>
void complete_forward(const FftAxes& a, FftPlan& p) {
  const int64_t bytes = spectrum_bytes<T>(p), inner = p.terms / a.axis[0].taps(),
                most = std::max<int64_t>(1, kWorkspaceBytes / bytes - 2);
  p.inner_chunk = std::min(inner, most);
  p.depth_chunk = 1;
  while (p.depth_chunk < a.axis[0].taps() && planes_kept(a, p.depth_chunk + 1) * inner <= most) ++p.depth_chunk;
  const int64_t chunk = p.depth_chunk * p.inner_chunk;
  p.row_chunk = std::max<int64_t>(1, std::min(a.rows, kSharedBytes / (bytes * chunk)));
  if (p.row_chunk == a.rows && chunk == p.terms)
    p.group_chunk = std::max<int64_t>(1, std::min(a.groups, kSharedBytes / (bytes * p.terms * a.rows)));
  auto spectra = [&](int64_t steps) { return planes_kept(a, p.depth_chunk, steps) * p.inner_chunk + steps + 1; };
  while (p.depth_chunk > 1 && p.batch < std::min(kMostBatch, p.depths) && spectra(p.batch + 1) * bytes <= kBatchBytes)
    ++p.batch;
  p.planes = planes_kept(a, p.depth_chunk, p.batch);
  p.workspace_bytes = spectra(p.batch) * bytes + table_bytes(p);
  p.shared_bytes = p.group_chunk * p.row_chunk * chunk * bytes;
  const Costs<T> c(p.rows, p.columns, p.line);
  const double steps = static_cast<double>(p.steps());
  const double terms = static_cast<double>(p.terms), rows = static_cast<double>(a.rows);
  const double chunks = static_cast<double>(ceil_div(a.axis[0].taps(), p.depth_chunk) * ceil_div(inner, p.inner_chunk));
  const double x =
      static_cast<double>(inner * ceil_div(a.rows, p.row_chunk) * ceil_div(a.axis[0].taps(), p.depth_chunk)) *
      planes_transformed(a, p, p.depth_chunk) * (c.load + c.transform);
  const double y = rows * chunks * (c.store + c.transform);
  // Spectra of a volume come from beyond the L2 cache, once a batch.
  const double batch_bytes = static_cast<double>((p.planes * p.inner_chunk + chunk) * bytes);
  const double stream = p.depth_chunk > 1 && batch_bytes > kCacheBytes ? rows * chunks * batch_bytes / p.batch / 10 : 0;
  p.cost = a.groups * (x + steps * (y + rows * terms * c.multiply + stream) + rows * terms * (c.load + c.transform));
}

// Tasks of a weight gradient, and the parts that each is cut into where there are few.
int64_t gradient_tasks(const FftAxes& a, const FftPlan& p) {
  const int64_t taps = a.axis[0].taps();
  return a.groups * ceil_div(a.rows, p.row_chunk) * ceil_div(taps, p.depth_chunk) *
         ceil_div(p.terms / taps, p.inner_chunk);
}
int64_t work_items(const FftAxes& a, const FftPlan& p) { return a.images * p.steps(); }
int64_t gradient_parts(const FftAxes& a, const FftPlan& p) {
  return std::max<int64_t>(1, std::min(work_items(a, p) / 2, kLeastParts / gradient_tasks(a, p)));
}

template <class T>
void complete_gradient(const FftAxes& a, FftPlan& p) {
  const int64_t bytes = spectrum_bytes<T>(p), inner = p.terms / a.axis[0].taps(), most = kWorkspaceBytes / bytes;
  auto needs = [&](int64_t rows, int64_t terms, int64_t depth) {
    return 1 + rows + planes_kept(a, depth) * terms + rows * depth * terms;
  };
  auto grow = [&](int64_t& n, int64_t limit) {
    if (n == limit) return false;
    if (++n, needs(p.row_chunk, p.inner_chunk, p.depth_chunk) <= most) return true;
    --n;
    return false;
  };
  p.row_chunk = p.inner_chunk = p.depth_chunk = 1;
  for (bool more = true; more;) {
    more = grow(p.row_chunk, a.rows);
    more |= p.inner_chunk < inner ? grow(p.inner_chunk, inner) : grow(p.depth_chunk, a.axis[0].taps());
  }
  p.planes = planes_kept(a, p.depth_chunk);
  p.workspace_bytes = needs(p.row_chunk, p.inner_chunk, p.depth_chunk) * bytes + table_bytes(p);
  const int64_t parts = gradient_parts(a, p);
  p.shared_bytes = parts > 1 ? gradient_tasks(a, p) * parts * p.row_chunk * p.depth_chunk * p.inner_chunk * bytes : 0;
  const Costs<T> c(p.rows, p.columns, p.line);
  const double steps = static_cast<double>(p.steps());
  const double terms = static_cast<double>(p.terms), rows = static_cast<double>(a.rows);
  const int64_t depth_chunks = ceil_div(a.axis[0].taps(), p.depth_chunk),
                chunks = depth_chunks * ceil_div(inner, p.inner_chunk);
  const double x = static_cast<double>(inner * ceil_div(a.rows, p.row_chunk) * depth_chunks) *
                   planes_transformed(a, p, p.depth_chunk) * (c.load + c.transform);
  const double dy = steps * rows * static_cast<double>(chunks) * (c.load + c.transform);
  p.cost = a.groups * (x + dy + steps * rows * terms * c.accumulate + rows * terms * (c.transform + c.store));
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
    const int bits = bits_of(rows);
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
      T* to = twist_.data() + r * 2 * lanes;
      for (int64_t c = 0, j = 0; c < columns; c += lanes, to += rows * 2 * lanes)
        for (int64_t l = 0; l < lanes; ++l, j += k) {
          const Root a = high[static_cast<size_t>(j >> bits)], b = low[static_cast<size_t>(j & (rows - 1))];
          to[l] = static_cast<T>(a.re * b.re - a.im * b.im);
          to[lanes + l] = static_cast<T>(a.re * b.im + a.im * b.re);
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
    phase[0] = runs_of_taps(Taps(a.axis[0]), 0);
    phase[1] = runs_of_taps(Taps(a.axis[1]), p.most_reach[0]);
    phase[2] = runs_of_taps(Taps(a.axis[2]), p.most_reach[1]);
  }

  const FftAxes& a;
  const FftPlan& plan;
  const FftKernelsOf<T>& kernels = fft_kernels<T>();
  Vector<Phase> phase[3];

  int64_t size() const { return spectrum_size<T>(plan); }
  int64_t vectors() const { return plan.rows * plan.columns / conv_kernels<T>().lanes; }
  const FftShape<T>& shape() const { return tables_.shape(); }
  int64_t taps() const { return a.axis[0].taps(); }
  int64_t inner() const { return plan.terms / taps(); }

  // Two tiles of outputs of one image, side by side at each depth (place on the first axis); or the last tile, if their
  // number is odd, at depths `shift` apart.
  struct Pair {
    int64_t image, count, depths, shift;
    int64_t begin[2][2], extent[2][2];  // [which][axis]
    int64_t depth(int64_t which, int64_t step) const { return step + which * shift; }
  };
  Pair pair(int64_t image, int64_t i) const {
    Pair p{};
    const int64_t tiles = plan.tiles[0] * plan.tiles[1];
    p.image = image;
    p.depths = plan.sweep(i);
    p.shift = 2 * i + 1 < tiles ? 0 : p.depths;
    p.count = p.shift < plan.depths ? 2 : 1;
    for (int64_t which = 0; which < p.count; ++which) {
      const int64_t t = p.shift ? 2 * i : 2 * i + which, at[2] = {t / plan.tiles[1], t % plan.tiles[1]};
      for (int axis = 0; axis < 2; ++axis) {
        p.begin[which][axis] = at[axis] * plan.extent[axis];
        p.extent[which][axis] = std::min(plan.extent[axis], a.axis[1 + axis].outputs - p.begin[which][axis]);
      }
    }
    return p;
  }
  // The plane that tile `which` reads where the first reads plane v, before padding.
  int64_t source_plane(const Pair& p, int64_t which, int64_t v) const {
    return map_coordinate(a.axis[0].mode, v + which * p.shift * a.axis[0].stride, a.axis[0].in);
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

  // Terms of one row: taps [d0, d0 + depths) of the first axis, and of each the inner terms [i0, i0 + terms).
  struct Terms {
    int64_t d0, depths, i0, terms;
    int64_t size() const { return depths * terms; }
    bool first() const { return d0 == 0 && i0 == 0; }
  };
  // Of chunk i of all terms, in order.
  Terms terms(int64_t i) const {
    const int64_t chunks = ceil_div(inner(), plan.inner_chunk), d = i / chunks * plan.depth_chunk,
                  t = i % chunks * plan.inner_chunk;
    return {d, std::min(plan.depth_chunk, taps() - d), t, std::min(plan.inner_chunk, inner() - t)};
  }
  int64_t term_chunks() const { return ceil_div(taps(), plan.depth_chunk) * ceil_div(inner(), plan.inner_chunk); }
  bool last(const Terms& t) const { return t.d0 + t.depths == taps() && t.i0 + t.terms == inner(); }

  // Spectra of planes of x, the latest in use, of one pair of tiles, group and chunk of terms.
  class Planes {
   public:
    Planes(const Tiles& of_, const Pair& pair_, int64_t g_, const Terms& terms_, View<const T> x_, Scratch& scratch_,
           T* spectra_)
        : of(of_), pair(pair_), g(g_), terms(terms_), x(x_), scratch(scratch_), spectra(spectra_) {
      held.assign(static_cast<size_t>(of.plan.planes), {INT64_MIN, -1});
    }

    // at[i * depths + d]: the terms behind tap d0 + d of the outputs of step i, null where it reads zeros
    Vector<const T*> at;

    void move_to(int64_t step, int64_t steps) {
      at.resize(static_cast<size_t>(steps * terms.depths));
      auto source = [&](size_t i) {
        const int64_t d = static_cast<int64_t>(i), tap = terms.d0 + d % terms.depths;
        return (step + d / terms.depths) * of.a.axis[0].stride + of.phase[0][static_cast<size_t>(tap)].base;
      };
      for (size_t i = 0; i < at.size(); ++i) at[i] = find(source(i), step);
      for (size_t i = 0; i < at.size(); ++i)
        if (!at[i] && !(at[i] = find(source(i), step))) at[i] = make(source(i), step);
    }

   private:
    struct Plane {
      int64_t source, used;
    };
    T* spectrum(const Plane* p) const { return spectra + (p - held.data()) * terms.terms * of.size(); }
    const T* find(int64_t v, int64_t step) {
      auto p = std::find_if(held.begin(), held.end(), [&](const Plane& q) { return q.source == v; });
      if (p == held.end()) return nullptr;
      p->used = step;
      return spectrum(&*p);
    }
    const T* make(int64_t v, int64_t step) {
      bool live = false;
      for (int64_t i = 0; i < pair.count; ++i) live |= of.source_plane(pair, i, v) >= 0;
      if (!live) return nullptr;
      auto p =
          std::min_element(held.begin(), held.end(), [](const Plane& q, const Plane& r) { return q.used < r.used; });
      *p = {v, step};
      of.transform_x(pair, g, v, terms.i0, terms.i0 + terms.terms, x, scratch, spectrum(&*p));
      return spectrum(&*p);
    }

    const Tiles& of;
    const Pair& pair;
    int64_t g;
    Terms terms;
    View<const T> x;
    Scratch& scratch;
    T* spectra;
    Vector<Plane> held;
  };

  // Transforms of inner terms [i0, i1) of plane `depth` of x (before padding), group g, behind the pair.
  void transform_x(const Pair& p, int64_t g, int64_t depth, int64_t i0, int64_t i1, View<const T> x, Scratch& s,
                   T* spectra) const {
    const Phase *h = nullptr, *w = nullptr;
    for (int64_t q = i0; q < i1; ++q, spectra += size()) {
      const Term t = term(q);
      const T* src[2] = {nullptr, nullptr};
      for (int64_t i = 0; i < p.count; ++i) {
        if (t.h != h || t.w != w) find_lines(p, i, t, x, s.lines[i]);
        const int64_t v =
            plan.line ? map_coordinate(a.axis[1].mode, p.begin[i][0] * a.axis[1].stride + t.h->base, a.axis[1].in) : 0;
        const int64_t d = source_plane(p, i, depth);
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
  void transform_dy(const Pair& p, int64_t step, int64_t channel, View<const T> dy, Scratch& s, T* spectrum) const {
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
      if (p.depth(i, step) < plan.depths)
        src[i] = dy.data + p.image * dy.stride[0] + channel * dy.stride[1] + p.depth(i, step) * dy.stride[2] +
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
    for (int64_t i = 0; i < t.h->count && !plan.line; ++i) l.row[i * t.h->shift] = tap(w, 1, *t.h, i);
    for (int64_t i = 0; i < t.w->count; ++i) l.column[i * t.w->shift] = tap(w, 2, *t.w, i);
    l.begin = l.end = 0;
    const T* src[2] = {w.data + weight_offset(w, g, m, t), nullptr};
    transform(s, src, live(t.w->reach() + 1), spectrum);
  }
  // Of what the axes that are not transformed decide.
  template <class W>
  int64_t weight_offset(const FftWeights<W>& w, int64_t g, int64_t m, const Term& t) const {
    return g * w.group + m * w.row + t.channel * w.channel + tap(w, 0, *t.d, 0) + (plan.line ? tap(w, 1, *t.h, 0) : 0);
  }
  template <class W>
  static int64_t tap(const FftWeights<W>& w, int axis, const Phase& p, int64_t i) {
    return w.tap[axis][static_cast<size_t>(p.tap + i * p.tap_step)];
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
        for (int64_t i = 0; i < tiles.term_chunks(); ++i)
          run_chunk(
              {g, std::min(plan.group_chunk, a.groups - g), m, std::min(plan.row_chunk, a.rows - m), tiles.terms(i)});
  }

 private:
  struct Chunk {
    int64_t g0, groups, m0, rows;
    typename Tiles<T>::Terms terms;
  };

  void run_chunk(const Chunk& c) const {
    const int64_t size = tiles.size(), terms = c.terms.size();
    T* weights = reinterpret_cast<T*>(Arena::shared().reserve(plan.shared_bytes));
    parallel_tasks(c.groups * c.rows * terms, plan.threads, [&](int64_t i) {
      typename Tiles<T>::Scratch scratch(plan);
      const int64_t q = (c.terms.d0 + i % terms / c.terms.terms) * tiles.inner() + c.terms.i0 + i % c.terms.terms;
      tiles.transform_weights(s.w, c.g0 + i / (c.rows * terms), c.m0 + i / terms % c.rows, q, scratch,
                              weights + i * size);
    });
    // Few tiles: the depths are shared out too, and then the rows, though each share transforms x anew.
    const int64_t items = s.of.images * plan.pairs() * c.groups;
    const bool share = plan.threads > 1;
    const int64_t runs = share ? std::min(plan.depths, ceil_div(2 * plan.threads, items)) : 1;
    const int64_t parts = share ? std::min(c.rows, ceil_div(2 * plan.threads, items * runs)) : 1;
    parallel_tasks(items * runs * parts, plan.threads, [&](int64_t i) {
      const int64_t part = i % parts, run = i / parts % runs, item = i / parts / runs, g = item % c.groups;
      const auto pair = tiles.pair(item / c.groups / plan.pairs(), item / c.groups % plan.pairs());
      run_pair(c, g, {part * c.rows / parts, (part + 1) * c.rows / parts},
               {run * pair.depths / runs, (run + 1) * pair.depths / runs}, pair, weights + g * c.rows * terms * size);
    });
  }

  struct Range {
    int64_t begin, end;
  };

  void run_pair(const Chunk& c, int64_t g, Range rows, Range steps, const typename Tiles<T>::Pair& pair,
                const T* weights) const {
    const int64_t size = tiles.size();
    typename Tiles<T>::Scratch scratch(plan);
    T* acc = scratch.tile + size;
    typename Tiles<T>::Planes planes(tiles, pair, c.g0 + g, c.terms, s.x, scratch, acc + plan.batch * size);
    const int64_t columns = std::min(plan.columns, std::max(pair.extent[0][1], pair.extent[1][1]));
    for (int64_t first = steps.begin; first < steps.end; first += plan.batch) {
      const int64_t n = std::min(plan.batch, steps.end - first);
      planes.move_to(first, n);
      for (int64_t m = rows.begin; m < rows.end; ++m) {
        multiply(c.terms, planes.at, weights + m * c.terms.size() * size, n, acc);
        for (int64_t i = 0; i < n; ++i) {
          tiles.kernels.inverse(tiles.shape(), acc + i * size, scratch.tile, columns);
          for (int which = 0; which < pair.count; ++which)
            if (const int64_t depth = pair.depth(which, first + i); depth < plan.depths)
              store(c, (c.g0 + g) * s.of.rows + c.m0 + m, pair, depth, which, scratch.tile);
        }
      }
    }
  }

  // Sums of products for n steps, so many frequencies at a time that what the steps share stays in the cache.
  void multiply(const typename Tiles<T>::Terms& terms, const Vector<const T*>& planes, const T* weights, int64_t n,
                T* acc) const {
    constexpr int64_t kWide = 4;
    const int64_t size = tiles.size(), vectors = tiles.vectors(), vector = 2 * conv_kernels<T>().lanes;
    const int64_t bytes = (plan.planes * terms.terms + terms.size()) * vector * static_cast<int64_t>(sizeof(T));
    const int64_t most = n == 1 ? vectors : std::min(vectors, std::max(kWide, kCacheBytes / bytes / kWide * kWide));
    Vector<const T*> x(static_cast<size_t>(terms.size())), k(x.size());
    for (int64_t v = 0; v < vectors; v += most)
      for (int64_t i = 0; i < n; ++i) {
        size_t live = 0;
        for (int64_t q = 0; q < terms.size(); ++q)
          if (const T* plane = planes[static_cast<size_t>(i * terms.depths + q / terms.terms)]) {
            x[live] = plane + q % terms.terms * size + v * vector;
            k[live++] = weights + q * size + v * vector;
          }
        tiles.kernels.multiply({acc + i * size + v * vector, x.data(), k.data(), static_cast<int64_t>(live),
                                std::min(most, vectors - v), false});
      }
  }

  void store(const Chunk& c, int64_t channel, const typename Tiles<T>::Pair& pair, int64_t depth, int i,
             const T* tile) const {
    const View<T>& y = s.y;
    FftStore<T> job{};
    job.tile = tile;
    job.part = i;
    job.tile_rows = plan.rows;
    job.tile_columns = plan.columns;
    job.y = y.data + pair.image * y.stride[0] + channel * y.stride[1] + depth * y.stride[2] +
            pair.begin[i][0] * y.stride[3] + pair.begin[i][1] * y.stride[4];
    job.y_row = plan.line ? plan.columns * y.stride[4] : y.stride[3];
    job.y_step = y.stride[4];
    job.rows = plan.line ? plan.rows : pair.extent[i][0];
    job.columns = pair.extent[i][1];
    job.column_step = plan.line ? plan.columns : 0;
    job.scale = T(1) / static_cast<T>(plan.rows * plan.columns);
    job.accumulate = !c.terms.first();
    job.bias = s.bias && !job.accumulate ? s.bias + channel : nullptr;
    job.clamp = s.clamp && tiles.last(c.terms);
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
    tasks = gradient_tasks(a, plan);
    items = work_items(a, plan);
    parts = gradient_parts(a, plan);
  }

  void run() const {
    const int64_t sums = plan.row_chunk * plan.depth_chunk * plan.inner_chunk * tiles.size();
    T* shared =
        parts > 1
            ? reinterpret_cast<T*>(Arena::shared().reserve(tasks * parts * sums * static_cast<int64_t>(sizeof(T))))
            : nullptr;
    parallel_tasks(tasks * parts, plan.threads, [&](int64_t i) {
      const int64_t part = i % parts;
      Memory memory(*this);
      if (shared) memory.sums = shared + i * sums;
      const Task task = at(i / parts);
      accumulate(task, part * items / parts, (part + 1) * items / parts, memory);
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
    int64_t g, m0, rows;
    typename Tiles<T>::Terms terms;
  };
  Task at(int64_t i) const {
    const int64_t chunks = tiles.term_chunks(), m = i / chunks % row_chunks * plan.row_chunk;
    return {i / (row_chunks * chunks), m, std::min(plan.row_chunk, a.rows - m), tiles.terms(i % chunks)};
  }

  struct Memory {
    typename Tiles<T>::Scratch scratch;
    T *u, *z, *sums;
    explicit Memory(const Gradient& of) : scratch(of.plan) {
      const int64_t size = of.tiles.size();
      u = scratch.tile + size;
      z = u + of.plan.row_chunk * size;
      sums = z + of.plan.planes * of.plan.inner_chunk * size;
    }
  };

  T* sum(const Memory& memory, const Task& t, int64_t m, int64_t q) const {
    return memory.sums + (m * t.terms.size() + q) * tiles.size();
  }

  // Items are the steps of all pairs of tiles.
  void accumulate(const Task& t, int64_t begin, int64_t end, Memory& memory) const {
    std::fill_n(memory.sums, t.rows * t.terms.size() * tiles.size(), T(0));
    while (begin < end) {
      const int64_t at = begin % plan.steps(), i = std::min(at / plan.depths, plan.pairs() - 1),
                    step = at - i * plan.depths;
      const auto pair = tiles.pair(begin / plan.steps(), i);
      const int64_t n = std::min(pair.depths - step, end - begin);
      accumulate_pair(t, pair, step, step + n, memory);
      begin += n;
    }
  }

  void accumulate_pair(const Task& t, const typename Tiles<T>::Pair& pair, int64_t begin, int64_t end,
                       Memory& memory) const {
    const int64_t size = tiles.size();
    typename Tiles<T>::Planes planes(tiles, pair, t.g, t.terms, x, memory.scratch, memory.z);
    for (int64_t step = begin; step < end; ++step) {
      planes.move_to(step, 1);
      for (int64_t m = 0; m < t.rows; ++m)
        tiles.transform_dy(pair, step, t.g * a.rows + t.m0 + m, dy, memory.scratch, memory.u + m * size);
      for (int64_t m = 0; m < t.rows; ++m)
        for (int64_t q = 0; q < t.terms.size(); ++q) {
          const T *z = planes.at[static_cast<size_t>(q / t.terms.terms)], *u = memory.u + m * size;
          if (!z) continue;
          z += q % t.terms.terms * size;
          tiles.kernels.multiply({sum(memory, t, m, q), &z, &u, 1, tiles.vectors(), true});
        }
    }
  }

  // The sums of a task, transformed back, into dw.
  void finish(const Task& t, const Memory& memory) const {
    const int64_t lanes = conv_kernels<T>().lanes;
    const T scale = T(1) / static_cast<T>(plan.rows * plan.columns);
    for (int64_t m = 0; m < t.rows; ++m)
      for (int64_t q = 0; q < t.terms.size(); ++q) {
        const auto term = tiles.term((t.terms.d0 + q / t.terms.terms) * tiles.inner() + t.terms.i0 + q % t.terms.terms);
        const int64_t columns = std::min(plan.columns, term.w->reach() + 1);
        tiles.kernels.inverse(tiles.shape(), sum(memory, t, m, q), memory.scratch.tile, columns);
        T* to = dw.data + tiles.weight_offset(dw, t.g, t.m0 + m, term);
        for (int64_t i = 0; i < term.h->count; ++i)
          for (int64_t j = 0; j < term.w->count; ++j) {
            const int64_t w = j * term.w->shift, r = plan.line ? w / plan.columns : i * term.h->shift,
                          c = w % plan.columns;
            to[(plan.line ? 0 : tiles.tap(dw, 1, *term.h, i)) + tiles.tap(dw, 2, *term.w, j)] =
                scale * memory.scratch.tile[(c / lanes * plan.rows + r) * 2 * lanes + c % lanes];
          }
      }
  }

  const FftAxes& a;
  View<const T> dy, x;
  const FftWeights<T>& dw;
  const FftPlan& plan;
  const Tiles<T> tiles;
  int64_t row_chunks, tasks, items, parts;
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
    if (map.tabulated() || map.taps() == 0 || map.outputs == 0 || !evenly_spaced(map)) return best;
  const int64_t most = kSpectrumBytes / static_cast<int64_t>(2 * sizeof(T)) / (gradient ? 2 : 1);
  const Taps h_taps(a.axis[1]), w_taps(a.axis[2]);
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
    p.depths = a.axis[0].outputs;
    if (h) p.most_reach[0] = h->most_reach, p.reach[0] = h->reach, p.extent[0] = h->extent, p.tiles[0] = h->tiles;
    p.terms = a.channels * a.axis[0].taps() * (h ? h->phases : a.axis[1].taps()) * w.phases;
    if (gradient) complete_gradient<T>(a, p);
    else complete_forward<T>(a, p);
    if (p.cost < best.cost) best = p;
  };
  Vector<Cut> down, across;
  for (int64_t n = kLeast; n <= kMost; n *= 2) {
    down.emplace_back(h_taps, a.axis[1].outputs, n);
    across.emplace_back(w_taps, a.axis[2].outputs, n);
  }
  for (const Cut& h : down)
    for (const Cut& w : across)
      if (h.n * w.n <= most) consider(false, h.n, w.n, &h, w);
  for (int64_t n = kLeast * kLeast; n <= std::min(most, kMostLine); n *= 2) {
    const int64_t columns = int64_t(1) << bits_of(n) / 2;
    if (n / columns <= kMost) consider(true, n / columns, columns, nullptr, Cut(w_taps, a.axis[2].outputs, n));
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

ConvPlan describe_fft(const FftPlan& part, double images) {
  ConvPlan plan;
  plan.algorithm = Algorithm::fft;
  plan.kernel = part.kernel();
  plan.mr = plan.nr = 1;
  plan.block_channels = part.depth_chunk * part.inner_chunk;
  plan.block_pixels = 2 * part.extent[0] * part.extent[1];
  plan.workspace_bytes = part.workspace_bytes;
  plan.shared_bytes = part.shared_bytes;
  plan.threads = part.threads;
  plan.cost = images * part.cost;
  return plan;
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
