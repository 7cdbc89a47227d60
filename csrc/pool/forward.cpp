// Forward pooling: every output row is one call of a row kernel.
#include "pool/halve.hpp"
#include "pool/lanes.hpp"
#include "pool/lp.hpp"
#include "pool/rows.hpp"
#include "pool/strip.hpp"

namespace fastconv {
namespace {

// What divides the outputs: nothing, a number, or the elements in the window.
struct Divisor {
  enum Kind { none, fixed, counted } kind = none;
  int64_t fixed_value = 1;
  bool with_padding = false;
};

// y (and indices, where they have data) by `kernel`; then after(rows, segment) for what no kernel does.
template <class T, class After>
void run(const PoolProblem& problem, View<const T> x, View<T> y, View<int64_t> indices, Divisor divisor,
         PoolRowFunction<T> kernel, After after) {
  PoolProblem p = normal_form(problem);
  merge_whole_axes(p, x);
  const RowPlan plan = plan_rows(p, indices.data != nullptr, sizeof(T));
  const int64_t line = plan.scratch_bytes, bytes = line + (plan.outputs + kPoolSlack) * static_cast<int64_t>(sizeof(T));
  const T* end = end_of(x);
  const int64_t grid[5] = {p.mb, p.channels, p.axis[0].out, p.axis[1].out, p.axis[2].out};
  for_each_row(grid, plan, bytes, bytes_moved<T>(p), [&](const RowPlace& at, char* scratch) {
    const int64_t lists = (at.n * p.channels + at.c) * p.starts_step;
    const PoolAxis depth = of_plane(p.axis[0], lists), height = of_plane(p.axis[1], lists),
                   width = of_plane(p.axis[2], lists);
    const T* plane = x.data + at.n * x.stride[0] + at.c * x.stride[1];
    const PoolRows<T> rows = rows_under(depth, height, x, plane, end, at.d, at.h);
    T* divisors = reinterpret_cast<T*>(scratch + line);
    auto place = [&](const auto& v) {
      return at.n * v.stride[0] + at.c * v.stride[1] + at.d * v.stride[2] + at.h * v.stride[3] + at.first * v.stride[4];
    };
    PoolSegment<T> segment;
    segment.axis = &width;
    segment.walk = plan.walk;
    segment.first = at.first;
    segment.last = at.last;
    segment.y = y.data + place(y);
    segment.y_step = y.stride[4];
    segment.index = indices.data ? indices.data + place(indices) : nullptr;
    segment.index_step = indices.stride[4];
    segment.divisor = divisor.kind == Divisor::none ? nullptr : divisors;
    segment.area = 1;
    segment.scratch = scratch;
    if (divisor.kind == Divisor::counted)
      segment.area = static_cast<T>(pool_divisor(depth, at.d, divisor.with_padding)) *
                     static_cast<T>(pool_divisor(height, at.h, divisor.with_padding));
    if (divisor.kind != Divisor::none && at.fresh)
      for (int64_t o = at.first; o < at.last; ++o)
        divisors[o - at.first] = static_cast<T>(
            divisor.kind == Divisor::fixed ? divisor.fixed_value : pool_divisor(width, o, divisor.with_padding));
    if (divisor.kind != Divisor::none && at.fresh) std::fill_n(divisors + (at.last - at.first), kPoolSlack, T(1));
    if (kernel) kernel(rows, segment);
    after(rows, segment);
  });
}

inline int64_t divisor_of(const Divisor& divisor, const PoolAxis& a, int axis, int64_t o) {
  if (divisor.kind == Divisor::fixed) return axis == 2 ? divisor.fixed_value : 1;
  return pool_divisor(a, o, divisor.with_padding);
}

// Whole planes, where kernels are there for them and the memory is dense.
template <class T>
bool run_planes(const PoolProblem& problem, const View<const T>& x, const View<T>& y, const View<int64_t>& indices, Divisor divisor,
                LanePoolFunction<T> lanes, PoolStripFunction<T> strip) {
  const PoolProblem p = normal_form(problem);
  if (!is_dense(y) || (indices.data && !is_dense(indices))) return false;
  auto divide = [&](auto& tables) {
    if (divisor.kind != Divisor::none) tables.divide(p, [&](int i, int64_t o) { return divisor_of(divisor, p.axis[i], i, o); });
  };
  if (suits_lanes(p)) {
    if (!is_dense(x)) return false;
    LaneTables<T> tables(p);
    divide(tables);
    run_lanes<T>(p, tables, lanes, x, {}, y, indices, divisor.kind != Divisor::none, T(1));
    return true;
  }
  const bool listable = divisor.kind == Divisor::none || p.axis[2].out <= kPoolSpan;  // the row's divisors
  if (!suits_strips(p) || x.stride[4] != 1 || !listable) return false;
  StripTables<T> tables(p);
  divide(tables);
  run_strips(p, tables, strip, x, y, indices);
  return true;
}

template <class T>
void run(const PoolProblem& p, View<const T> x, View<T> y, View<int64_t> indices, Divisor divisor,
         PoolRowFunction<T> kernel) {
  run(p, x, y, indices, divisor, kernel, [](const PoolRows<T>&, const PoolSegment<T>&) {});
}

}  // namespace

template <class T>
void max_pool(const PoolProblem& p, View<const T> x, View<T> y, View<int64_t> indices) {
  if (!indices.data && max_pool_halving(p, x, y)) return;
  const PoolFunctions<T>& f = pool_functions<T>();
  const bool marked = indices.data != nullptr;
  if (run_planes(p, x, y, indices, {}, marked ? f.lane_max_index : f.lane_max, marked ? f.strip_max_index : f.strip_max)) return;
  run(p, x, y, indices, {}, marked ? f.max_index : f.max);
}

template <class T>
void avg_pool(const PoolProblem& p, Averaging averaging, View<const T> x, View<T> y) {
  Divisor divisor{averaging.divisor ? Divisor::fixed : Divisor::counted, averaging.divisor, averaging.count_include_pad};
  const PoolFunctions<T>& f = pool_functions<T>();
  if (run_planes(p, x, y, {}, divisor, f.lane_sum, f.strip_sum)) return;
  run(p, x, y, {}, divisor, f.sum);
}

template <class T>
void lp_pool(const PoolProblem& p, Norm norm, View<const T> x, View<T> y) {
  const PoolFunctions<T>& f = pool_functions<T>();
  if (std::isinf(norm.p)) return run(p, x, y, {}, {}, f.max_magnitude);
  const bool ones = norm.p == 1, squares = norm.p == 2;
  const Divisor divisor{ones && norm.mean ? Divisor::counted : Divisor::none};
  const PoolRowFunction<T> kernel = ones ? f.sum_magnitude : squares ? f.sum_squares : nullptr;
  run(p, x, y, {}, divisor, kernel, [=](const PoolRows<T>& rows, const PoolSegment<T>& g) {
    for (int64_t o = g.first; o < g.last; ++o) {
      T& result = g.y[(o - g.first) * g.y_step];
      if (ones && std::isfinite(result)) continue;
      const PoolWindow w = pool_window(*g.axis, o);
      if (squares && is_safe_square_sum(result))
        result = std::sqrt(norm.mean ? result / static_cast<T>(rows.planes * rows.rows * w.count) : result);
      else
        result = lp_window(rows, w, g.axis->dilation, norm).value();
    }
  });
}

#define FASTCONV_POOL_FORWARD(T)                                                          \
  template void max_pool(const PoolProblem&, View<const T>, View<T>, View<int64_t>);      \
  template void avg_pool(const PoolProblem&, Averaging, View<const T>, View<T>);          \
  template void lp_pool(const PoolProblem&, Norm, View<const T>, View<T>);
FASTCONV_POOL_FORWARD(float)
FASTCONV_POOL_FORWARD(double)

}  // namespace fastconv
