#include "conv/direct/batch_lanes.hpp"

#include <algorithm>

#include "base/parallel.hpp"
#include "base/range.hpp"

namespace fastconv {
namespace {

constexpr int64_t kInputBytes = 320 << 10;   // of a vector of images, some channels at a time, in the L2 cache
constexpr int64_t kOutputBytes = 320 << 10;  // beside its sums
constexpr int64_t kMostParts = 4;            // of these, each of which packs all inputs; of 1x1 kernels one
constexpr int64_t kMostTerms = 1 << 14;      // of all lists of taps
constexpr double kTile = 1.1;                // what tiles cost beside their products, at least,
constexpr double kNarrowTile = 1.6;          // those of a single vector,
constexpr double kTileShare = 0.85;          // and with few registers so much of what one by one would take,
constexpr double kCall = 12;                 // and cycles of a call of one
constexpr double kMove = 6, kMoveLine = 24;  // and of transposing a vector of x, and the fewest of a line of them
constexpr int64_t kLeastDepth = 64;          // shorter sums do not repay transposing their results

// Taps [begin, end) that meet the input, for outputs [first, first + count) of an axis or any of them.
struct Stretch {
  int64_t first, count, begin, end;
  int64_t taps() const { return end - begin; }
  bool same_taps(const Stretch& other) const { return begin == other.begin && end == other.end; }
};

Stretch stretch_of(const AxisMap& a, int64_t output) {
  const Range taps = live_taps(a, output, output + 1);
  return {output, 1, taps.begin, taps.end};
}

// Of all outputs, one by one.
Vector<Stretch> single_stretches(const AxisMap& a) {
  Vector<Stretch> all;
  for (int64_t o = 0; o < a.outputs; ++o) all.push_back(stretch_of(a, o));
  return all;
}

// Outputs in runs: of the same taps, or, near the ends, at most `most` that share a union of theirs.
Vector<Stretch> stretches(const AxisMap& a, int64_t most) {
  Vector<Stretch> all;
  for (int64_t o = 0; o < a.outputs; ++o) {
    const Stretch next = stretch_of(a, o);
    Stretch* last = all.empty() ? nullptr : &all.back();
    if (last && last->same_taps(next)) {
      ++last->count;
    } else if (last && last->count < most && last->end - last->begin < a.taps() && next.end - next.begin < a.taps() &&
               last->end > last->begin && next.end > next.begin) {
      ++last->count;
      last->begin = std::min(last->begin, next.begin);
      last->end = std::max(last->end, next.end);
    } else {
      all.push_back(next);
    }
  }
  return all;
}

double taps(const Vector<Stretch>& stretches) {
  int64_t all = 0;
  for (const Stretch& i : stretches) all += i.count * i.taps();
  return static_cast<double>(all);
}

// Images of one row, to one row: several vectors of them stand as the rows of one.
template <class T>
bool is_line(const GatherSum<T>& s) {
  return s.axis[0].in * s.axis[0].outputs * s.axis[1].in * s.axis[1].outputs == 1;
}

// xl[channel][column][slice][residue of the row][row / stride, zeros around][lane]
template <class T>
struct InputLayout {
  int64_t lanes = conv_kernels<T>().lanes, first = 0, rows, slice, column, channel;
  InputLayout(const GatherSum<T>& s, int64_t together) : rows(together) {
    const AxisMap& h = s.axis[1];
    if (!is_line(s)) {
      const auto [low, high] = std::minmax_element(h.offset.begin(), h.offset.end());
      first = std::min<int64_t>(0, floor_div(*low, h.stride));
      rows = std::max(ceil_div(h.in, h.stride), h.outputs + floor_div(*high, h.stride)) - first;
    }
    slice = (is_line(s) ? 1 : h.stride) * rows * lanes;
    column = s.axis[0].in * slice;
    channel = s.axis[2].in * column;
  }
  int64_t row(int64_t coordinate, int64_t stride) const {
    return (floor_mod(coordinate, stride) * rows + floor_div(coordinate, stride) - first) * lanes;
  }
};

template <class T>
struct BatchLanes {
  const GatherSum<T>& s;
  const BatchPlan& plan;
  const AxisMap &d = s.axis[0], &h = s.axis[1], &w = s.axis[2];
  const InputLayout<T> in{s, plan.together};
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const int64_t lanes = kernels.lanes;
  const Vector<Stretch> down = stretches(h, 2);
  const Vector<Stretch> deep = single_stretches(d), across = single_stretches(w);
  // The taps of stretches of all axes: terms [start, start + count) of the offsets.
  struct Terms {
    Stretch d, h, w;
    int64_t start, of_channel;
  };
  Vector<Terms> lists;
  Vector<int32_t> which;  // list of (slice, down, column)
  int64_t terms = 0;
  Vector<int32_t> aoff, boff;

  BatchLanes(const GatherSum<T>& sum, const BatchPlan& p) : s(sum), plan(p) {
    const size_t slice = down.size() * across.size();
    for (size_t u = 0; u < deep.size(); ++u) {
      const bool again = u > 0 && deep[u].same_taps(deep[u - 1]);
      for (size_t i = 0; i < slice && again; ++i) which.push_back(which[which.size() - slice]);
      for (size_t t = 0; t < down.size() && !again; ++t)
        for (size_t v = 0, first = lists.size(); v < across.size(); ++v)
          which.push_back(list_of(first, deep[u], down[t], across[v]));
    }
  }

  // Of lists from the first one of these slices and rows on.
  int32_t list_of(size_t first, const Stretch& u, const Stretch& t, const Stretch& v) {
    for (size_t at = lists.size(); at-- > first;)
      if (lists[at].w.same_taps(v)) return static_cast<int32_t>(at);
    const int64_t of_channel = u.taps() * t.taps() * v.taps();
    lists.push_back({u, t, v, terms, of_channel});
    terms += plan.channels * of_channel;
    return static_cast<int32_t>(lists.size()) - 1;
  }

  void make_offsets() {
    aoff.resize(static_cast<size_t>(terms));
    boff.resize(static_cast<size_t>(terms));
    const auto a_channel = static_cast<int32_t>(s.a_channel), b_channel = static_cast<int32_t>(in.channel);
    int32_t *a = aoff.data(), *b = boff.data();
    for (const Terms& list : lists) {
      const int64_t n = list.of_channel;
      const int32_t* end = a + plan.channels * n;
      for (int64_t td = list.d.begin; td < list.d.end; ++td)
        for (int64_t th = list.h.begin; th < list.h.end; ++th)
          for (int64_t tw = list.w.begin; tw < list.w.end; ++tw) {
            *a++ = static_cast<int32_t>(s.a_tap[static_cast<size_t>((td * h.taps() + th) * w.taps() + tw)]);
            *b++ = static_cast<int32_t>(d.offset[static_cast<size_t>(td)] * in.slice +
                                        in.row(h.offset[static_cast<size_t>(th)], h.stride) +
                                        w.offset[static_cast<size_t>(tw)] * in.column);
          }
      if (n == 0) continue;
      for (; a < end; ++a, ++b) *a = a[-n] + a_channel, *b = b[-n] + b_channel;  // of the next channel
    }
  }

  // Cycles of transposing x, vectors of y, multiply-adds of vectors for one row of `a`, of them those of a tap along
  // the height alone, and calls of tiles, for one vector of images.
  double moves() const {
    return static_cast<double>(s.channels * d.in * h.in) * std::max(w.in > 1 ? kMoveLine : 0, kMove * w.in);
  }
  double outputs() const { return static_cast<double>(s.rows * s.plane()); }
  double others() const { return taps(deep) * taps(across) * static_cast<double>(s.channels); }
  double products() const { return others() * taps(down); }
  double calls() const {
    int64_t parts = 0;
    for (const Stretch& i : down) parts += ceil_div(i.count * plan.together, plan.nr);
    return static_cast<double>(d.outputs * w.outputs * parts * ceil_div(s.rows, plan.mr) *
                               ceil_div(s.channels, plan.channels));
  }

  int64_t input_elements() const { return plan.channels * in.channel + kMaxVectors * lanes; }
  int64_t outputs_down() const { return d.outputs * h.outputs * plan.together; }
  int64_t row_elements() const { return outputs_down() * w.outputs * lanes; }  // of y
  int64_t output_elements() const {
    return ceil_div(ceil_div(s.rows, plan.mr), plan.row_parts) * plan.mr * row_elements();
  }

  // Images [n0, n0 + count) and part `part` of the rows, of every group.
  void run(int64_t n0, int64_t count, int64_t part) const {
    const int64_t tiles = ceil_div(s.rows, plan.mr);
    const Range own{part * tiles / plan.row_parts, (part + 1) * tiles / plan.row_parts};
    const int64_t input_bytes = Arena::rounded_bytes<T>(input_elements());
    char* memory = Arena::local().reserve(input_bytes + Arena::rounded_bytes<T>(output_elements()));
    T *x = reinterpret_cast<T*>(memory), *y = reinterpret_cast<T*>(memory + input_bytes);
    std::fill_n(x, input_elements(), T(0));
    const auto rows_of = [&](int64_t tile) { return Range{tile * s.rows / tiles, (tile + 1) * s.rows / tiles}; };
    const int64_t first = rows_of(own.begin).begin, end = rows_of(own.end - 1).end;
    for (int64_t g = 0; g < s.groups; ++g) {
      for (int64_t c = 0; c < s.channels; c += plan.channels) {
        const Range channels{c, std::min(s.channels, c + plan.channels)};
        load(n0, count, g, channels, x);
        for (int64_t i = own.begin; i < own.end; ++i)
          multiply(x, g, rows_of(i), channels, y + (rows_of(i).begin - first) * row_elements());
      }
      store(y, n0, count, g * s.rows + first, end - first);
    }
  }

 private:
  // f(slice, row, its images) for the rows of an image, or for the vectors that stand as them.
  template <class F>
  void for_each_row(int64_t slices, int64_t rows, int64_t n0, int64_t count, F f) const {
    const bool line = is_line(s);
    const int64_t n = line ? ceil_div(count, lanes) : rows;
    for (int64_t slice = 0; slice < slices; ++slice)
      for (int64_t i = 0; i < n; ++i)
        f(slice, i, line ? 0 : i, line ? n0 + i * lanes : n0, line ? std::min(lanes, count - i * lanes) : count);
  }

  // Columns of a row go together, or, where there is but one, channels.
  void load(int64_t n0, int64_t count, int64_t g, Range channels, T* x) const {
    const View<const T>& v = s.x;
    const T* from = v.data + (g * s.x_group + s.x_first + channels.begin) * v.stride[1];
    const bool narrow = w.in == 1;
    for_each_row(d.in, h.in, n0, count, [&](int64_t slice, int64_t i, int64_t row, int64_t n, int64_t images) {
      for (int64_t c = 0; c < (narrow ? 1 : channels.size()); ++c)
        kernels.pack_transposed(x + c * in.channel + slice * in.slice + in.row(i, is_line(s) ? 1 : h.stride),
                                narrow ? in.channel : in.column,
                                from + n * v.stride[0] + c * v.stride[1] + slice * v.stride[2] + row * v.stride[3],
                                v.stride[0], v.stride[narrow ? 1 : 4], narrow ? channels.size() : w.in, images, lanes);
    });
  }

  // y[m][column][row][lane]
  void multiply(const T* x, int64_t g, Range rows, Range channels, T* y) const {
    TileRun<T> t{};
    t.a = s.a + g * s.a_group + rows.begin * s.a_row + channels.begin * s.a_channel;
    t.lda = s.a_row;
    t.ldc = row_elements();
    t.bias = s.bias ? s.bias + g * s.rows + rows.begin : nullptr;
    t.accumulate = channels.begin > 0;
    t.clamp = s.clamp && channels.end == s.channels;
    t.low = s.low;
    t.high = s.high;
    const int32_t* list_at = which.data();
    for (int64_t u = 0, all_down = static_cast<int64_t>(down.size()); u < d.outputs * all_down; ++u)
      for (int64_t v = 0, slice = u / all_down; v < w.outputs; ++v) {
        const Stretch& rows_down = down[static_cast<size_t>(u % all_down)];
        const Terms& list = lists[static_cast<size_t>(*list_at++)];
        t.k = channels.size() * list.of_channel;
        t.aoff = aoff.data() + list.start;
        t.boff = boff.data() + list.start;
        const int64_t all = rows_down.count * plan.together, parts = ceil_div(all, plan.nr);
        for (int64_t p = 0; p < parts; ++p) {
          const int64_t row = rows_down.first + p * all / parts, n = rows_down.first + (p + 1) * all / parts - row;
          t.b = x + v * w.stride * in.column + slice * d.stride * in.slice + row * lanes;
          t.c = y + (v * outputs_down() + slice * h.outputs + row) * lanes;
          t.pixels = n * lanes;
          kernels.tile[rows.size() - 1][n - 1](t);
        }
      }
  }

  void store(const T* y, int64_t n0, int64_t count, int64_t channel, int64_t rows) const {
    const View<T>& v = s.y;
    const bool narrow = w.outputs == 1 && v.stride[1] == 1;
    const int64_t columns = narrow ? rows : w.outputs;
    for_each_row(
        d.outputs, h.outputs, n0, count, [&](int64_t slice, int64_t i, int64_t row, int64_t n, int64_t images) {
          for (int64_t m = 0; m < (narrow ? 1 : rows); ++m)
            kernels.pack_transposed(
                v.data + n * v.stride[0] + (channel + m) * v.stride[1] + slice * v.stride[2] + row * v.stride[3],
                v.stride[0], y + m * row_elements() + (slice * h.outputs + i) * lanes,
                narrow ? row_elements() : outputs_down() * lanes, 1, images, columns, columns);
        });
  }
};

bool plain(const AxisMap& a) {
  return a.mode == Mode::zeros && !a.tabulated() && a.taps() > 0 && a.in > 0 && a.outputs > 0;
}

// Of the rows, whose sums are in the cache.
template <class T>
int64_t output_parts(const GatherSum<T>& s) {
  const int64_t row = s.plane() * conv_kernels<T>().lanes * static_cast<int64_t>(sizeof(T));
  return ceil_div(s.rows * row, kOutputBytes);
}

template <class T>
bool applies(const GatherSum<T>& s) {
  const int64_t lanes = conv_kernels<T>().lanes, depth = s.channels * s.taps();
  return !s.accumulate && s.images >= lanes && s.y.stride[4] == 1 && depth >= kLeastDepth && plain(s.axis[0]) &&
         plain(s.axis[1]) && plain(s.axis[2]) && s.rows * s.a_row <= INT32_MAX &&
         output_parts(s) <= (s.taps() > 1 ? kMostParts : 1);
}

// The register tile that takes least time for all stretches of an image's rows, or for any number of those of `line`:
// its cycles for one channel and one tap of the other axes.
double choose_tile(const AxisMap& h, bool line, int64_t rows, int accumulators, int widest, int tallest,
                   BatchPlan& plan) {
  const Vector<Stretch> down = stretches(h, 2);
  double best = -1;
  for (int nr = 1; nr <= widest; ++nr) {
    const int64_t tiles = ceil_div(rows, std::min({kMaxRows, tallest, accumulators / nr})), mr = ceil_div(rows, tiles);
    double cost = 0;
    for (const Stretch& d : down) {
      const int64_t all = line ? kMaxVectors * nr : d.count, parts = ceil_div(all, nr);
      cost += static_cast<double>((d.end - d.begin) * parts * d.count) / static_cast<double>(all) *
              tile_cycles(static_cast<double>(mr), static_cast<double>(all) / static_cast<double>(parts));
    }
    cost *= static_cast<double>(tiles);
    if (best >= 0 && cost >= best) continue;
    best = cost;
    plan.mr = static_cast<int>(mr);
    plan.nr = nr;
  }
  return best;
}

}  // namespace

template <class T>
BatchPlan plan_batch_lanes(const GatherSum<T>& s) {
  BatchPlan plan;
  if (!applies(s)) return plan;
  const ConvKernelsOf<T>& kernels = conv_kernels<T>();
  const int64_t vectors = ceil_div(s.images, kernels.lanes);
  const double cycles =
      choose_tile(s.axis[1], is_line(s), s.rows, kernels.accumulators, kernels.vectors, kernels.tallest, plan);
  const int64_t tiles = ceil_div(s.rows, plan.mr);
  if (is_line(s)) plan.together = ceil_div(vectors, ceil_div(vectors, plan.nr));
  plan.channels =
      std::min(s.channels, kInputBytes / static_cast<int64_t>(sizeof(T)) / InputLayout<T>(s, plan.together).channel);
  if (plan.channels < 1) return plan;
  const BatchLanes<T> all(s, plan);
  const int64_t most = std::max<int64_t>(1, kMostTerms * plan.channels / std::max<int64_t>(1, all.terms)),
                terms = all.terms / plan.channels;  // of a channel
  plan.channels = std::min(plan.channels, most);
  if (plan.channels * s.taps() < kLeastDepth || terms > kMostTerms) return plan;
  plan.threads = threads_for(2 * s.macs());
  plan.row_parts = output_parts(s);
  if (vectors < 2 * plan.threads * plan.together)
    plan.row_parts = std::min<int64_t>(tiles, round_up(plan.row_parts, plan.threads));
  plan.workspace_bytes = Arena::rounded_bytes<T>(all.input_elements()) + Arena::rounded_bytes<T>(all.output_elements());
  const double tile = is_line(s) && plan.together == 1 ? kNarrowTile : kTile,
               products = all.products() * static_cast<double>(s.rows) / 2 * tile;
  plan.cost = static_cast<double>(s.groups * vectors) *
                  ((kernels.keeps ? std::max(products, kTileShare * all.others() * cycles) : products) +
                   kCall * all.calls() / static_cast<double>(plan.together) +
                   static_cast<double>(output_parts(s)) * all.moves() + 8 * all.outputs()) +
              4 * static_cast<double>(terms * plan.channels);
  return plan;
}

template <class T>
void run_batch_lanes(const GatherSum<T>& s, const BatchPlan& plan) {
  BatchLanes<T> all(s, plan);
  all.make_offsets();
  const int64_t most = conv_kernels<T>().lanes * plan.together;
  parallel_tasks(ceil_div(s.images, most) * plan.row_parts, plan.threads, [&](int64_t task) {
    const int64_t n0 = task / plan.row_parts * most;
    all.run(n0, std::min(most, s.images - n0), task % plan.row_parts);
  });
}

#define FASTCONV_INSTANTIATE(T)                             \
  template BatchPlan plan_batch_lanes(const GatherSum<T>&); \
  template void run_batch_lanes(const GatherSum<T>&, const BatchPlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
