#include "conv/fft/plan.hpp"

#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/fft/taps.hpp"

namespace fastconv {
namespace {

constexpr int64_t kMostLine = 1 << 18;
constexpr int64_t kSpectrumBytes = 4 << 20;   // of one tile, at most
constexpr int64_t kWorkspaceBytes = 5 << 20;  // of a thread, if more than one spectrum of each kind is to be kept
constexpr int64_t kBatchBytes = 7 << 20;      // of a thread, if the steps of a volume are summed in batches
constexpr int64_t kMostBatch = 8;
constexpr int64_t kSharedBytes = 16 << 20;  // transformed weights at a time
constexpr int64_t kLeastParts = 8;          // pieces of work a weight gradient is cut into for the threads' sake

// An axis transformed with length n: how far a term may reach, and what that makes of it.
struct Cut {
  int64_t n, most_reach, reach = 0, phases = 0, extent = 0, tiles = 0;
  Cut(const AxisMap& map, const FftTaps& t, int64_t length) : n(length) {
    const int64_t whole = t.span() / t.stride, outputs = map.outputs;
    // The zeros around all of the input may be the same: the last outputs read those before it. All taps have a place.
    if (map.mode == Mode::zeros && t.stride == 1 && n >= outputs && n > whole && n + t.low >= map.in &&
        n + std::max<int64_t>(0, -t.low) >= outputs + whole) {
      most_reach = reach = whole;
      phases = tiles = 1;
      extent = outputs;
      return;
    }
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

// All that may be of use: longer ones which neither save terms nor transform less are not.
Vector<Cut> cuts(const AxisMap& map, const FftTaps& t) {
  Vector<Cut> list;
  for (int64_t n = kFftLeast; n <= kFftMost; n += kFftLeast) {
    if (kFftMost % n != 0 && kFftMixed % n != 0) continue;
    const Cut cut(map, t, n);
    if (list.empty() || cut.phases < list.back().phases || cut.tiles * n < list.back().tiles * list.back().n)
      list.push_back(cut);
  }
  return list;
}

// Estimated cycles of the parts of the work, by complex vectors of a tile; fitted to measurements.
struct Costs {
  double transform, load, store, multiply, accumulate;
  Costs(FftElement element, const FftPlan& p) {
    const double points = static_cast<double>(p.rows * p.columns), kept = static_cast<double>(p.kept * p.columns),
                 each = 1.0 / static_cast<double>(element.lanes);
    const double megabytes = 2e-6 * kept * static_cast<double>(element.bytes);
    const double miss = 1 + std::max(0.0, 0.15 * std::log2(4 * megabytes));  // several spectra share the L2 cache
    const double passes = (static_cast<double>(p.rows * p.width) + kept) / 2;
    transform = passes * each * miss * (3.3 * std::log2(points) + (p.line ? 12 : p.real ? 18 : 8)) + (p.line ? 0 : 250);
    load = (p.real ? 3.5 : 7) * points * each;
    store = 4 * points * each;
    multiply = 6 * kept * each * miss;
    accumulate = 8 * kept * each * miss;
  }
};

// The share of so many bytes that comes from beyond the L2 cache, again and again.
double beyond_cache(double bytes) { return bytes > 8e5 ? 1 - 8e5 / bytes : 0; }

// Planes of x whose spectra are kept while the outputs of the first axis pass, so many steps at a time: each is
// transformed once.
int64_t planes_kept(const FftAxes& a, int64_t taps, int64_t steps = 1) {
  const int64_t step = FftTaps(a.axis[0]).step;
  return a.axis[0].outputs > 1 && step <= 2 ? (taps - 1) * step + 1 + (steps - 1) * a.axis[0].stride : taps * steps;
}
// Planes of x that are transformed for all pairs of tiles and some taps of the first axis.
double planes_transformed(const FftAxes& a, const FftPlan& p, int64_t taps) {
  const AxisMap& map = a.axis[0];
  const int64_t step = FftTaps(map).step;
  auto planes = [&](int64_t depths) {
    const double all = static_cast<double>(depths) * static_cast<double>(taps);
    const int64_t distinct = (depths - 1) * map.stride + (taps - 1) * step + 1;
    return step <= 2 ? std::min(all, static_cast<double>(std::min(distinct, map.in))) : all;
  };
  return static_cast<double>(p.pairs() - 1) * planes(p.depths) + planes(p.sweep(p.pairs() - 1));
}

// The chunks of a plan whose tiles are given, and its memory.
void chunk_forward(FftElement element, const FftAxes& a, FftPlan& p) {
  const int64_t bytes = p.spectrum() * element.bytes, inner = p.terms / a.axis[0].taps(),
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
  p.workspace_bytes = spectra(p.batch) * bytes + p.table_bytes();
  p.shared_bytes = p.group_chunk * p.row_chunk * chunk * bytes;
}

double forward_cost(FftElement element, const FftAxes& a, const FftPlan& p) {
  const Costs c(element, p);
  const int64_t bytes = p.spectrum() * element.bytes, inner = p.terms / a.axis[0].taps(),
                chunk = p.depth_chunk * p.inner_chunk;
  const double steps = static_cast<double>(p.steps());
  const double terms = static_cast<double>(p.terms), rows = static_cast<double>(a.rows);
  const double far = beyond_cache(static_cast<double>(p.row_chunk * chunk * bytes));  // of the transformed weights
  const double chunks = static_cast<double>(ceil_div(a.axis[0].taps(), p.depth_chunk) * ceil_div(inner, p.inner_chunk));
  const double x =
      static_cast<double>(inner * ceil_div(a.rows, p.row_chunk) * ceil_div(a.axis[0].taps(), p.depth_chunk)) *
      planes_transformed(a, p, p.depth_chunk) * (c.load + c.transform);
  const double y = rows * chunks * (c.store + c.transform);
  // Spectra of a volume come from beyond the L2 cache, once a batch.
  const double batch_bytes = static_cast<double>((p.planes * p.inner_chunk + chunk) * bytes);
  const double stream =
      p.depth_chunk > 1 && batch_bytes > kFftCacheBytes ? rows * chunks * batch_bytes / p.batch / 10 : 0;
  return a.groups * (x + steps * (y + rows * terms * c.multiply * (1 + 0.5 * far) + stream) +
                     rows * terms * (c.load * (1 + 1.5 * far) + c.transform));
}

void chunk_gradient(FftElement element, const FftAxes& a, FftPlan& p) {
  const int64_t bytes = p.spectrum() * element.bytes, inner = p.terms / a.axis[0].taps(),
                most = kWorkspaceBytes / bytes;
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
  p.workspace_bytes = needs(p.row_chunk, p.inner_chunk, p.depth_chunk) * bytes + p.table_bytes();
  p.tasks = a.groups * ceil_div(a.rows, p.row_chunk) * ceil_div(a.axis[0].taps(), p.depth_chunk) *
            ceil_div(inner, p.inner_chunk);
  p.parts = power_of_two_within(std::max<int64_t>(1, std::min(a.images * p.steps() / 2, kLeastParts / p.tasks)));
  p.shared_bytes = p.parts > 1 ? p.tasks * p.parts * p.row_chunk * p.depth_chunk * p.inner_chunk * bytes : 0;
}

double gradient_cost(FftElement element, const FftAxes& a, const FftPlan& p) {
  const Costs c(element, p);
  const int64_t bytes = p.spectrum() * element.bytes, inner = p.terms / a.axis[0].taps();
  const double steps = static_cast<double>(p.steps());
  const double terms = static_cast<double>(p.terms), rows = static_cast<double>(a.rows);
  const int64_t depth_chunks = ceil_div(a.axis[0].taps(), p.depth_chunk),
                chunks = depth_chunks * ceil_div(inner, p.inner_chunk);
  const double x = static_cast<double>(inner * ceil_div(a.rows, p.row_chunk) * depth_chunks) *
                   planes_transformed(a, p, p.depth_chunk) * (c.load + c.transform);
  const double dy = steps * rows * static_cast<double>(chunks) * (c.load + c.transform);
  const double far = beyond_cache(static_cast<double>(p.row_chunk * p.depth_chunk * p.inner_chunk * bytes));
  // What is cut into parts is written and read once more, from beyond the L2 cache.
  return a.groups * (x + dy + steps * rows * terms * (c.accumulate * (1 + 1.5 * far) + 60) +
                     rows * terms * (c.transform + c.store)) +
         0.1 * static_cast<double>(p.shared_bytes) / static_cast<double>(std::max<int64_t>(a.images, 1));
}

// A plan's tiles of both axes, or of lines that are cut along the width alone.
FftPlan tiled(const FftAxes& a, int64_t rows, int64_t columns, const Cut* h, const Cut& w) {
  FftPlan p;
  p.line = !h;
  p.rows = p.kept = rows;
  p.columns = p.width = columns;
  p.most_reach[1] = w.most_reach;
  p.reach[1] = w.reach;
  p.extent[1] = w.extent;
  p.tiles[1] = w.tiles;
  p.tiles[0] = a.axis[1].outputs;
  p.depths = a.axis[0].outputs;
  if (h) p.most_reach[0] = h->most_reach, p.reach[0] = h->reach, p.extent[0] = h->extent, p.tiles[0] = h->tiles;
  p.terms = a.channels * a.axis[0].taps() * (h ? h->phases : a.axis[1].taps()) * w.phases;
  return p;
}

// The rest of it: by complex transforms or, where there are such, by real ones.
void complete(FftElement element, const FftAxes& a, bool gradient, bool real, FftPlan& p) {
  p.real = real;
  if (real) p.kept = round_up(p.rows / 2 + 1, element.lanes);
  if (real) p.width = round_up(p.columns / 2, element.lanes);
  (gradient ? chunk_gradient : chunk_forward)(element, a, p);
  p.cost = (gradient ? gradient_cost : forward_cost)(element, a, p);
}

FftPlan plan_fft(FftElement element, const FftAxes& a, bool gradient) {
  FftPlan best;
  if (a.channels * a.rows == 0) return best;
  for (const AxisMap& map : a.axis)
    if (map.tabulated() || map.taps() == 0 || map.outputs == 0 || !evenly_apart(map)) return best;
  const int64_t most = kSpectrumBytes / (2 * element.bytes) / (gradient ? 2 : 1);
  const FftTaps h_taps(a.axis[1]), w_taps(a.axis[2]);
  const auto consider = [&](const FftPlan& tiles) {
    for (bool real : {false, true}) {
      FftPlan p = tiles;
      if (real && p.line) continue;
      complete(element, a, gradient, real, p);
      if (p.cost < best.cost) best = p;
    }
  };
  const Vector<Cut> across = cuts(a.axis[2], w_taps);
  for (const Cut& h : cuts(a.axis[1], h_taps))
    for (const Cut& w : across)
      if (h.n * w.n <= most) consider(tiled(a, h.n, w.n, &h, w));
  for (int64_t n = kFftLeast * kFftLeast; n <= std::min(most, kMostLine); n *= 2) {
    const int64_t columns = int64_t(1) << static_cast<int>(std::log2(n)) / 2;
    if (n / columns <= kFftMost) consider(tiled(a, n / columns, columns, nullptr, Cut(a.axis[2], w_taps, n)));
  }
  best.threads = threads_for(best.cost * static_cast<double>(a.images) * 2 * static_cast<double>(element.lanes));
  return best;
}

}  // namespace

std::string FftPlan::kernel() const {
  return (line ? "line " + std::to_string(rows * columns)
               : "plane " + std::to_string(rows) + "x" + std::to_string(columns) + (real ? ", real" : ""));
}

FftAxes fft_axes(const ConvProblem& p) {
  return {{forward_axis(p.axis[0]), forward_axis(p.axis[1]), forward_axis(p.axis[2])},
          p.mb,
          p.groups,
          p.ic / p.groups,
          p.oc / p.groups};
}

FftPlan choose_fft(FftElement element, Algorithm algorithm, const FftAxes& a, bool gradient, double least_direct) {
  const FftPlan plan = plan_fft(element, a, gradient);
  if (algorithm == Algorithm::fft) return plan;
  double macs = static_cast<double>(a.groups * a.rows) * static_cast<double>(a.channels);
  for (const AxisMap& map : a.axis) macs *= static_cast<double>(map.taps()) * static_cast<double>(map.outputs);
  const double share = a.rows > 1 ? std::min(0.85, 0.17 * static_cast<double>(a.rows) + 0.14) : gradient ? 0.36 : 0.45;
  const double direct = std::max(least_direct, macs / (static_cast<double>(2 * element.lanes) * share));
  return plan.cost < 0.78 * direct ? plan : FftPlan{};
}

ConvPlan describe_fft(const FftPlan& part, double images) {
  ConvPlan plan;
  plan.algorithm = Algorithm::fft;
  plan.kernel = part.kernel();
  plan.mr = plan.nr = 1;
  plan.block_channels = part.depth_chunk * part.inner_chunk;
  plan.block_pixels = part.together() * part.extent[0] * part.extent[1];
  plan.workspace_bytes = part.workspace_bytes;
  plan.shared_bytes = part.shared_bytes;
  plan.threads = part.threads;
  plan.cost = images * part.cost;
  return plan;
}

}  // namespace fastconv
