// Forward pooling: planes cut into strips of rows for the row kernels, or windows as long runs.
#include "pool/direct.hpp"
#include "pool/divisor.hpp"
#include "pool/rows.hpp"
#include "pool/tiles.hpp"

namespace fastconv {
namespace {

template <class T>
struct Pooling {
  PoolProblem p;
  View<const T> x;
  View<T> y;
  View<int64_t> index;  // null data: not wanted
  bool max;
  Divisor divisor;
};

bool is_power_of_two(double v) {
  int exponent;
  return std::frexp(v, &exponent) == 0.5;
}

// The divisors of a strip's outputs.
template <class T>
class Division {
 public:
  static constexpr int64_t kSpare = 16;

  Division(const Pooling<T>& c, int64_t columns) : axis_(c.p.axis[2]), with_padding_(c.divisor.with_padding) {
    const double value = common_divisor(c.p, c.divisor);
    counted_ = value == 0;
    if (is_power_of_two(value)) scale_ = static_cast<T>(1 / value);
    else list_.assign(static_cast<size_t>(counted_ ? columns + kSpare : kSpare), static_cast<T>(value));
  }
  void put(PoolStrip<T>& g) {
    g.scale = scale_;
    g.counted = counted_;
    g.count_include_pad = with_padding_;
    g.divisors = list_.empty() ? nullptr : list_.data();
    if (!counted_ || (first_ == g.first && last_ == g.last)) return;
    first_ = g.first;
    last_ = g.last;
    for (int64_t o = first_; o < last_; ++o)
      list_[static_cast<size_t>(o - first_)] = static_cast<T>(pool_divisor(axis_, o, with_padding_));
  }

 private:
  PoolAxis axis_;
  bool with_padding_, counted_ = false;
  T scale_ = 1;
  int64_t first_ = 0, last_ = 0;  // outputs that are listed
  Vector<T> list_;
};

// What an output's sum is divided by.
double divisor_of(const Divisor& divisor, const PoolAxis* axes, const int64_t (&at)[3]) {
  if (divisor.kind != Divisor::counted) return static_cast<double>(divisor.fixed_value);
  double count = 1;
  for (int i = 0; i < 3; ++i) count *= static_cast<double>(pool_divisor(axes[i], at[i], divisor.with_padding));
  return count;
}

// The most outputs of a row that reach over `span` columns.
int64_t outputs_within(const PoolAxis& w, int64_t span) {
  if (reach_bound(w, w.out) <= span) return std::min(w.out, span);
  const int64_t step = reach_bound(w, 2) - reach_bound(w, 1);
  return std::max<int64_t>(1, std::min(w.out, (span - reach_bound(w, 1)) / std::max<int64_t>(1, step) + 1));
}

// How outputs are cut into strips. Input that is not dense along the width is copied before
// (staged) and outputs that are not are copied after (not packed), some rows at a time.
template <class T>
struct StripPlan {
  static constexpr int64_t kStaged = 1 << 16;  // elements that are copied at a time
  bool marked, staged, packed, runs;           // runs: whole planes, some at a time
  int64_t columns, box = 0, out = 0;           // elements of a row, of the staged input and of the staged output
  BlockGrid grid;

  explicit StripPlan(const Pooling<T>& c) : marked(c.index.data != nullptr) {
    const PoolProblem& p = c.p;
    const PoolAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
    staged = c.x.stride[4] != 1 && w.in > 1;
    packed =
        (c.y.stride[4] == 1 || w.out == 1) &&
        (!marked || ((c.index.stride[4] == 1 || w.out == 1) && (c.index.stride[3] == c.y.stride[3] || h.out == 1)));
    const double row_box = static_cast<double>(reach_bound(d, 1)) * static_cast<double>(reach_bound(h, 1));
    const auto narrow = staged ? static_cast<int64_t>(16 * kStaged / row_box) : kPoolSpan;
    columns = outputs_within(w, std::min(kPoolSpan, std::max(reach_bound(w, 1), narrow)));
    const int64_t box_row = reach_bound(d, 1) * reach_bound(w, columns),
                  box_step = std::max<int64_t>(1, reach_bound(h, 2) - reach_bound(h, 1));
    int64_t most = staged ? (kStaged / box_row - reach_bound(h, 1)) / box_step + 1 : h.out;
    if (!packed) most = std::min(most, kStaged / columns);
    grid = {p.mb * p.channels, d.out, h.out, w.out, 1, columns};
    cut_rows(grid, most, bytes_moved<T>(p));
    runs = packed && !staged && p.starts_step == 0 && (!marked || c.index.stride[1] == c.y.stride[1]) &&
           grid.whole_planes();
    constexpr int64_t kLine = 16;  // whole cache lines: behind them stand 64-bit positions
    if (staged) box = round_up(box_row * reach_bound(h, grid.rows) + kPoolSlack, kLine);
    if (!packed) out = round_up(grid.rows * columns + kPoolSlack, kLine);
  }
  int64_t bytes() const {
    return (kPoolScratch + box + out) * static_cast<int64_t>(sizeof(T)) + (marked ? out * 8 : 0);
  }
};

// The input of a strip's windows, copied to `to`.
template <class T>
void stage_strip(const Pooling<T>& c, const Block& b, T* to, PoolStrip<T>& g) {
  const PoolReach rd = pool_reach(g.axis[0], b.d),
                  rh{pool_reach(g.axis[1], b.h).first, pool_reach(g.axis[1], b.h_end - 1).last},
                  rw{pool_reach(g.axis[2], b.w).first, pool_reach(g.axis[2], b.w_end - 1).last};
  Box<const T> from =
      plane_box(c.x, g.x + rd.first * c.x.stride[2] + rh.first * c.x.stride[3] + rw.first * c.x.stride[4]);
  from.shape[0] = rd.last - rd.first, from.shape[1] = rh.last - rh.first, from.shape[2] = rw.last - rw.first;
  copy_in(from, 0, from.size(), to);
  g.row_step = from.shape[2];
  g.plane_step = g.row_step * from.shape[1];
  g.x = to - (rd.first * g.plane_step + rh.first * g.row_step + rw.first);
}

template <class T>
void run_strips(const Pooling<T>& c) {
  const PoolProblem& p = c.p;
  const StripPlan<T> plan(c);
  const PoolFunctions<T>& f = pool_functions<T>();
  const PoolStripFunction<T> kernel = !c.max ? f.sum : plan.marked ? f.max_index : f.max;
  share_out(plan.grid.size(), bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    int64_t* staged_index = reinterpret_cast<int64_t*>(Arena::local().reserve(plan.bytes()));
    T* staged_y = reinterpret_cast<T*>(staged_index + (plan.marked ? plan.out : 0));
    T* staged_x = staged_y + plan.out;
    Division<T> division(c, plan.columns);
    PoolAxis axes[3] = {p.axis[0], p.axis[1], p.axis[2]};
    PoolStrip<T> g{};
    g.axis = axes;
    g.scratch = staged_x + plan.box;
    g.x_plane = c.x.stride[1];
    g.y_plane = c.y.stride[1];
    for (int64_t i = begin; i < end; i += g.planes) {
      const Block b = block_of(plan.grid, i);
      g.planes = plan.runs ? std::min(end - i, p.channels - b.plane % p.channels) : 1;
      if (p.starts_step > 0)
        for (int a = 0; a < 3; ++a) axes[a] = of_plane(p.axis[a], b.plane * p.starts_step);
      g.depth = b.d;
      g.first_row = b.h;
      g.last_row = b.h_end;
      g.first = b.w;
      g.last = b.w_end;
      division.put(g);
      g.x = plane_of(p, c.x, b.plane);
      g.plane_step = c.x.stride[2];
      g.row_step = c.x.stride[3];
      if (plan.staged) stage_strip(c, b, staged_x, g);
      auto place = [&](const auto& v) {
        return plane_of(p, v, b.plane) + b.d * v.stride[2] + b.h * v.stride[3] + b.w * v.stride[4];
      };
      g.y = plan.packed ? place(c.y) : staged_y;
      g.y_row = plan.packed ? c.y.stride[3] : b.w_end - b.w;
      if (plan.marked) g.index = plan.packed ? place(c.index) : staged_index;
      kernel(g);
      if (plan.packed) continue;
      auto unstage = [&](const auto& v, const auto* from) {
        auto to = plane_box(v, place(v));
        to.shape[0] = 1, to.shape[1] = b.h_end - b.h, to.shape[2] = b.w_end - b.w;
        copy_out(from, to);
      };
      unstage(c.y, staged_y);
      if (plan.marked) unstage(c.index, staged_index);
    }
  });
}

// One window a plane: many planes at a time where they are small.
template <class T>
void run_whole(Pooling<T> c) {
  constexpr int64_t kTogether = 256;  // of a call
  PoolProblem& p = c.p;
  const PoolFunctions<T>& f = pool_functions<T>();
  const PoolRunsFunction<T> kernel = c.max ? f.max_runs : f.sum_runs;
  const int64_t size = p.axis[0].in * p.axis[1].in * p.axis[2].in, zero[3] = {};
  const bool dense = plane_box(c.x, c.x.data).dense(), in_place = c.y.stride[1] == 1;
  const int64_t lanes = size > kPoolRun ? 1 : dense && in_place ? kTogether : f.lanes;
  const int64_t groups = ceil_div(p.channels, lanes);
  const double divisor = divisor_of(c.divisor, p.axis, zero);
  share_out(p.mb * groups, bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    T* scratch = reinterpret_cast<T*>(Arena::local().reserve(RunJoiner<T>::kScratch * static_cast<int64_t>(sizeof(T))));
    const RunJoiner<T> joiner(kernel, c.max, scratch);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / groups, first = i % groups * lanes, count = std::min(lanes, p.channels - first);
      const T* x = c.x.data + n * c.x.stride[0] + first * c.x.stride[1];
      T* y = c.y.data + n * c.y.stride[0] + first * c.y.stride[1];
      T results[RunJoiner<T>::kMostLanes], *to = in_place ? y : results;
      if (size > kPoolRun) {
        *to = static_cast<T>(joiner.add(joiner.neutral(), plane_box(c.x, x)) / divisor);
      } else if (dense) {
        kernel(x, c.x.stride[1], count, size, static_cast<T>(divisor), to);
      } else {
        for (int64_t l = 0; l < count; ++l)
          copy_in(plane_box(c.x, x + l * c.x.stride[1]), 0, size, scratch + l * kPoolRun);
        kernel(scratch, kPoolRun, count, size, static_cast<T>(divisor), to);
      }
      for (int64_t l = 0; to != y && l < count; ++l) y[l * c.y.stride[1]] = results[l];
      for (int64_t l = 0; c.index.data && l < count; ++l)
        c.index.data[n * c.index.stride[0] + (first + l) * c.index.stride[1]] =
            WindowBox<T>(p.axis, c.x, x + l * c.x.stride[1], zero).find(to[l]);
    }
  });
}

template <class T>
void run_direct(const Pooling<T>& c) {
  const PoolFunctions<T>& f = pool_functions<T>();
  const int64_t depths = c.p.axis[0].out, heights = c.p.axis[1].out, rows = depths * heights;
  share_out(c.p.mb * c.p.channels * rows, 16 * bytes_moved<T>(c.p), [&](int64_t begin, int64_t end) {
    T* scratch = reinterpret_cast<T*>(Arena::local().reserve(RunJoiner<T>::kScratch * static_cast<int64_t>(sizeof(T))));
    const RunJoiner<T> joiner(c.max ? f.max_runs : f.sum_runs, c.max, scratch);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t plane = i / rows;
      PoolAxis axes[3];
      for (int a = 0; a < 3; ++a) axes[a] = of_plane(c.p.axis[a], plane * c.p.starts_step);
      for (int64_t w = 0; w < c.p.axis[2].out; ++w) {
        const int64_t at[3] = {i % rows / heights, i % heights, w};
        auto place = [&](const auto& v) {
          return plane_of(c.p, v, plane) + at[0] * v.stride[2] + at[1] * v.stride[3] + at[2] * v.stride[4];
        };
        const WindowBox<T> window(axes, c.x, plane_of(c.p, c.x, plane), at);
        T* y = place(c.y);
        *y = static_cast<T>(joiner.add(joiner.neutral(), window.box) / divisor_of(c.divisor, axes, at));
        if (c.index.data) *place(c.index) = window.find(*y);
      }
    }
  });
}

template <class T>
void run(Pooling<T> c) {
  c.p = normal_form(c.p);
  const PoolAxis* a = c.p.axis;
  if (c.y.shape[0] * c.y.shape[1] * a[0].out * a[1].out * a[2].out == 0) return;
  if (is_even(c.p, c.x) && is_even(c.p, c.y) && is_even(c.p, c.index)) join_batch(c.p);
  if (is_whole(a[0]) && is_whole(a[1]) && is_whole(a[2])) return run_whole(c);
  const bool far = c.index.data && sizeof(T) == 4 && static_cast<double>(a[0].in) * a[1].in * a[2].in >= INT32_MAX;
  if (far || reach_bound(a[2], 1) > kPoolSpan) return run_direct(c);
  const double divisor = common_divisor(c.p, c.divisor);
  const bool scaled = is_power_of_two(divisor);
  if (!c.index.data && pool_tiles(c.p, c.x, c.y, c.max, !scaled, static_cast<T>(scaled ? 1 / divisor : divisor)))
    return;
  run_strips(c);
}

}  // namespace

template <class T>
void max_pool(const PoolProblem& p, View<const T> x, View<T> y, View<int64_t> indices) {
  run<T>({p, x, y, indices, true, {}});
}

template <class T>
void avg_pool(const PoolProblem& p, Averaging averaging, View<const T> x, View<T> y) {
  run<T>({p, x, y, {}, false, divisor_of(averaging)});
}

#define FASTCONV_POOL_FORWARD(T)                                                     \
  template void max_pool(const PoolProblem&, View<const T>, View<T>, View<int64_t>); \
  template void avg_pool(const PoolProblem&, Averaging, View<const T>, View<T>);
FASTCONV_POOL_FORWARD(float)
FASTCONV_POOL_FORWARD(double)

}  // namespace fastconv
