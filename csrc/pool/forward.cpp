// Forward pooling: planes cut into strips of rows for the row kernels, or windows as long runs.
#include "pool/direct.hpp"
#include "pool/divisor.hpp"
#include "pool/pixels.hpp"
#include "pool/planes.hpp"
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

template <class T>
void run_strips(const Pooling<T>& c) {
  const PoolProblem& p = c.p;
  const bool marked = c.index.data;
  const int64_t columns = outputs_within(p.axis[2], kPoolSpan);
  BlockGrid grid{p.mb * p.channels, p.axis[0].out, p.axis[1].out, p.axis[2].out, 1, columns};
  cut_rows(grid, grid.heights, bytes_moved<T>(p));
  const bool runs = p.starts_step == 0 && (!marked || c.index.stride[1] == c.y.stride[1]);
  const PoolFunctions<T>& f = pool_functions<T>();
  const PoolStripFunction<T> kernel = !c.max ? f.sum : marked ? f.max_index : f.max;
  share_out(grid.size(), bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    Division<T> division(c, columns);
    PoolAxis axes[3] = {p.axis[0], p.axis[1], p.axis[2]};
    PoolStrip<T> g{};
    g.axis = axes;
    g.scratch = Arena::local().reserve(kPoolScratch * static_cast<int64_t>(sizeof(T)));
    g.x_plane = c.x.stride[1];
    g.y_plane = c.y.stride[1];
    for (int64_t i = begin; i < end; i += g.planes) {
      const Block b = block_of(grid, i);
      g.planes = runs ? grid.alike(i, end, p.channels) : 1;
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
      auto place = [&](const auto& v) {
        return plane_of(p, v, b.plane) + b.d * v.stride[2] + b.h * v.stride[3] + b.w * v.stride[4];
      };
      g.y = place(c.y);
      g.y_row = c.y.stride[3];
      if (marked) g.index = place(c.index);
      kernel(g);
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
  const bool in_place = c.y.stride[1] == 1;
  const int64_t lanes = size > kPoolRun ? 1 : in_place ? kTogether : f.lanes;
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
      } else {
        kernel(x, c.x.stride[1], count, size, static_cast<T>(divisor), to);
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

// Views whose rows are dense, and whose planes are where one window is a plane or positions have rows of their own.
template <class T>
void run(Pooling<T> c) {
  const PoolAxis* a = c.p.axis;
  if (c.y.shape[0] * c.y.shape[1] * a[0].out * a[1].out * a[2].out == 0) return;
  if (is_whole(c.p)) return run_whole(c);
  const bool far = c.index.data && sizeof(T) == 4 && static_cast<double>(a[0].in) * a[1].in * a[2].in >= INT32_MAX;
  if (far || reach_bound(a[2], 1) > kPoolSpan) return run_direct(c);
  const double divisor = common_divisor(c.p, c.divisor);
  const bool scaled = is_power_of_two(divisor);
  if (!c.index.data && pool_tiles(c.p, c.x, c.y, c.max, !scaled, static_cast<T>(scaled ? 1 / divisor : divisor)))
    return;
  run_strips(c);
}

unsigned rows_of_x(const PoolProblem& p) { return !is_whole(p); }

}  // namespace

template <class T>
void max_pool(const PoolProblem& problem, View<const T> x, View<T> y, View<int64_t> indices) {
  PoolProblem p = normal_form(problem);
  join_batch(p, x, y, indices);
  if (max_pool_pixels(p, any_view(x), any_view(y), any_view(indices))) return;
  const bool alike = !indices.data || indices.stride[3] == y.stride[3];
  if (!in_dense_planes(p, rows_of_x(p) | (alike ? 6 : 0), max_pool<T>, x, y, indices))
    run<T>({p, x, y, indices, true, {}});
}

template <class T>
void avg_pool(const PoolProblem& problem, Averaging averaging, View<const T> x, View<T> y) {
  PoolProblem p = normal_form(problem);
  join_batch(p, x, y);
  if (avg_pool_pixels(p, divisor_of(averaging), any_view(x), any_view(y))) return;
  auto some = [&](const PoolProblem& g, View<const T> from, View<T> to) { avg_pool(g, averaging, from, to); };
  if (!in_dense_planes(p, rows_of_x(p) | 2, some, x, y)) run<T>({p, x, y, {}, false, divisor_of(averaging)});
}

#define FASTCONV_POOL_FORWARD(T)                                                     \
  template void max_pool(const PoolProblem&, View<const T>, View<T>, View<int64_t>); \
  template void avg_pool(const PoolProblem&, Averaging, View<const T>, View<T>);
FASTCONV_POOL_FORWARD(float)
FASTCONV_POOL_FORWARD(double)

}  // namespace fastconv
