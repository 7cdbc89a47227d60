// Gradients of pooling. Those of maxima and norms are scattered, block by block of the input, so that blocks can go to
// different threads and every element still adds its terms in the order of the outputs. That of an average is gathered
// row by row.
#include <string>
#include <vector>

#include "pool/halve.hpp"
#include "pool/lanes.hpp"
#include "pool/lp.hpp"
#include "pool/rows.hpp"

namespace fastconv {
namespace {

// The part of an input gradient's plane that one task owns: flat positions [first, last).
template <class T>
struct PlaneBlock {
  T* plane;
  const View<T>* view;
  int64_t first, last;
  bool packed;

  T& at(int64_t i) const {
    if (packed) return plane[i];
    const View<T>& v = *view;
    const int64_t w = i % v.shape[4], row = i / v.shape[4];
    return plane[row / v.shape[3] * v.stride[2] + row % v.shape[3] * v.stride[3] + w * v.stride[4]];
  }
  void add(int64_t i, T v) const {
    if (i >= first && i < last) at(i) += v;
  }
  void clear() const {
    if (packed) std::fill(plane + first, plane + last, T(0));
    else
      for (int64_t i = first; i < last; ++i) at(i) = 0;
  }
};

// The outputs of an axis whose windows reach into input elements [first, last).
PoolCover outputs_touching(const PoolAxis& a, int64_t first, int64_t last) {
  auto search = [&](auto below) {  // how many outputs lie below
    int64_t lo = 0, hi = a.out;
    while (lo < hi) {
      const int64_t mid = lo + (hi - lo) / 2;
      if (below(mid)) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  };
  return {search([&](int64_t o) { return pool_reach(a, o).last <= first; }),
          search([&](int64_t o) { return pool_reach(a, o).first < last; })};
}

// visit(n, c, ranges[3] of outputs, axes, block) for every block of dx, which it finds cleared.
template <class T, class Visit>
void for_each_block(const PoolProblem& p, const View<T>& dx, Visit visit) {
  const int64_t planes = p.mb * p.channels;
  if (planes == 0) return;
  const int threads = threads_for(2 * bytes_moved<T>(p));
  const int outer = p.axis[0].in > 1 ? 0 : p.axis[1].in > 1 ? 1 : 2;  // the axis that is cut
  const int64_t length = p.axis[outer].in, inner = p.axis[0].in * p.axis[1].in * p.axis[2].in / length;
  const int64_t cuts = threads == 1 || planes >= 4 * threads ? 1 : std::min(length, ceil_div(4 * threads, planes));
  const int64_t step = ceil_div(length, cuts), blocks = ceil_div(length, step);
  const bool packed = is_dense(dx);
  parallel_tasks(planes * blocks, threads, [&](int64_t task) {
    const int64_t plane = task / blocks, n = plane / p.channels, c = plane % p.channels;
    const int64_t first = task % blocks * step, last = std::min(first + step, length);
    const PlaneBlock<T> block{dx.data + n * dx.stride[0] + c * dx.stride[1], &dx, first * inner, last * inner, packed};
    block.clear();
    PoolAxis axes[3];
    PoolCover ranges[3];
    for (int i = 0; i < 3; ++i) {
      axes[i] = of_plane(p.axis[i], plane * p.starts_step);
      ranges[i] = i == outer ? outputs_touching(axes[i], first, last) : PoolCover{0, axes[i].out};
    }
    visit(n, c, ranges, axes, block);
  });
}

template <class T>
int64_t offset(const View<T>& v, int64_t n, int64_t c, int64_t d, int64_t h) {
  return n * v.stride[0] + c * v.stride[1] + d * v.stride[2] + h * v.stride[3];
}

// Where row `row` of plane `plane` begins, both counted through.
template <class T>
struct PlaneRows {
  const View<T>& view;
  T* operator()(int64_t plane, int64_t row) const {
    return view.data + plane / view.shape[1] * view.stride[0] + plane % view.shape[1] * view.stride[1] +
           row / view.shape[3] * view.stride[2] + row % view.shape[3] * view.stride[3];
  }
};

[[noreturn]] void bad_index(int64_t index, int64_t size) {
  throw std::invalid_argument("indices holds " + std::to_string(index) + ", which is not in [0, " + std::to_string(size) +
                              "), the plane's elements");
}

// Planes [first, first + kPlanes) of dx from those of dy. Several at a time, because neighbouring windows often share a
// winner, and each addition would wait for the one before.
template <class T, int kPlanes>
void scatter_planes(const View<const T>& dy, const View<const int64_t>& indices, const View<T>& dx, int64_t first, bool add) {
  const int64_t size = dx.shape[2] * dx.shape[3] * dx.shape[4], width = dy.shape[4];
  const bool dense = is_dense(dx);
  PlaneBlock<T> block[kPlanes];
  T* to[kPlanes];
  for (int i = 0; i < kPlanes; ++i) {
    to[i] = PlaneRows<T>{dx}(first + i, 0);
    block[i] = {to[i], &dx, 0, size, dense};
    block[i].clear();
  }
  for (int64_t row = 0; row < dy.shape[2] * dy.shape[3]; ++row) {
    const T* from[kPlanes];
    const int64_t* index[kPlanes];
    for (int i = 0; i < kPlanes; ++i) {
      from[i] = PlaneRows<const T>{dy}(first + i, row);
      index[i] = PlaneRows<const int64_t>{indices}(first + i, row);
    }
    if (dense && add && dy.stride[4] == 1 && indices.stride[4] == 1) {
      for (int64_t w = 0; w < width; ++w)
#pragma GCC unroll 4
        for (int i = 0; i < kPlanes; ++i) {
          const int64_t at = index[i][w];
          if (static_cast<uint64_t>(at) >= static_cast<uint64_t>(size)) bad_index(at, size);
          to[i][at] += from[i][w];
        }
      continue;
    }
    for (int64_t w = 0; w < width; ++w)
      for (int i = 0; i < kPlanes; ++i) {
        const int64_t at = index[i][w * indices.stride[4]];
        if (static_cast<uint64_t>(at) >= static_cast<uint64_t>(size)) bad_index(at, size);
        T& element = dense ? to[i][at] : block[i].at(at);
        const T v = from[i][w * dy.stride[4]];
        element = add ? element + v : v;
      }
  }
}

// Nothing is known about where the indices of a plane point: it is one thread's.
template <class T>
void scatter_given(View<const T> dy, View<const int64_t> indices, View<T> dx, bool add) {
  constexpr int kTogether = 4;
  const int64_t planes = dx.size() ? dy.shape[0] * dy.shape[1] : 0;  // rows of no elements are not to be counted
  const double work = static_cast<double>(sizeof(T)) * static_cast<double>(dx.size() + 3 * dy.size());
  const int threads = planes ? threads_for(work) : 1;
  const int64_t each = planes >= kTogether * threads ? kTogether : 1;
  parallel_tasks(ceil_div(planes, each), threads, [&](int64_t task) {
    const int64_t first = task * each;
    if (first + each <= planes && each == kTogether) return scatter_planes<T, kTogether>(dy, indices, dx, first, add);
    for (int64_t plane = first; plane < std::min(planes, first + each); ++plane)
      scatter_planes<T, 1>(dy, indices, dx, plane, add);
  });
}

// Channels [c, c + count) of image n.
template <class T>
View<T> some_planes(View<T> v, int64_t n, int64_t c, int64_t count) {
  v.data += n * v.stride[0] + c * v.stride[1];
  v.shape[0] = 1;
  v.shape[1] = count;
  return v;
}

// A contiguous array in scratch memory.
template <class T>
View<T> dense_view(void* data, const int64_t (&shape)[5]) {
  View<T> v;
  v.data = static_cast<T*>(data);
  int64_t step = 1;
  for (int i = 4; i >= 0; --i) {
    v.shape[i] = shape[i];
    v.stride[i] = step;
    step *= shape[i];
  }
  return v;
}

// The winners of some planes at a time, and then their gradients. Returns false where planes are too few for the threads.
template <class T>
bool scatter_found(const PoolProblem& p, const View<const T>& dy, const View<const T>& x, const View<T>& dx) {
  constexpr int64_t kOutputs = 16384;  // whose winners fit the cache
  const int64_t planes = p.mb * p.channels, outputs = p.axis[0].out * p.axis[1].out * p.axis[2].out;
  const int threads = planes ? threads_for(2 * bytes_moved<T>(p)) : 1;
  if (threads > 1 && planes < 4 * threads) return false;
  const int64_t fit = std::max<int64_t>(1, kOutputs / std::max<int64_t>(1, outputs));
  const int64_t share = std::max<int64_t>(1, threads == 1 ? p.channels : ceil_div(p.channels, 4 * threads));
  const int64_t each = std::min({fit < 16 ? fit : fit / 16 * 16, share, p.channels}), groups = ceil_div(p.channels, std::max<int64_t>(each, 1));
  parallel_tasks(p.mb * groups, threads, [&](int64_t task) {
    const int64_t n = task / groups, c = task % groups * each, count = std::min(each, p.channels - c);
    PoolProblem part = p;
    part.mb = 1;
    part.channels = count;
    for (PoolAxis& a : part.axis) a = of_plane(a, (n * p.channels + c) * p.starts_step);
    const int64_t shape[5] = {1, count, p.axis[0].out, p.axis[1].out, p.axis[2].out};
    char* scratch = Arena::shared().reserve(count * outputs * static_cast<int64_t>(sizeof(int64_t) + sizeof(T)));
    const View<int64_t> index = dense_view<int64_t>(scratch, shape);
    max_pool<T>(part, some_planes(x, n, c, count), dense_view<T>(scratch + count * outputs * 8, shape), index);
    scatter_given<T>(some_planes(dy, n, c, count), index, some_planes(dx, n, c, count), true);
  });
  return true;
}

}  // namespace

template <class T>
void max_pool_backward(const PoolProblem& problem, View<const T> dy, View<const T> x, View<const int64_t> indices,
                       View<T> dx) {
  if (indices.data) return scatter_given(dy, indices, dx, true);
  if (max_pool_halving_backward(problem, dy, x, dx)) return;
  if (scatter_found(problem, dy, x, dx)) return;
  PoolProblem p = normal_form(problem);
  merge_whole_axes(p, x);
  const RowPlan plan = plan_rows(p, true, sizeof(T));
  const PoolRowFunction<T> kernel = pool_functions<T>().max_index;
  const T* end = end_of(x);
  for_each_block(p, dx, [&](int64_t n, int64_t c, const PoolCover* ranges, const PoolAxis* axes, const auto& block) {
    char* scratch = Arena::local().reserve(plan.scratch_bytes + (plan.outputs + kPoolSlack) * 16);
    auto* index = reinterpret_cast<int64_t*>(scratch + plan.scratch_bytes);
    const T* plane = x.data + n * x.stride[0] + c * x.stride[1];
    PoolSegment<T> segment{};
    segment.axis = &axes[2];
    segment.walk = plan.walk;
    segment.y = reinterpret_cast<T*>(index + plan.outputs + kPoolSlack);
    segment.y_step = 1;
    segment.index = index;
    segment.index_step = 1;
    segment.scratch = scratch;
    for (int64_t d = ranges[0].first; d < ranges[0].last; ++d)
      for (int64_t h = ranges[1].first; h < ranges[1].last; ++h) {
        const PoolRows<T> rows = rows_under(axes[0], axes[1], x, plane, end, d, h);
        for (int64_t w = ranges[2].first; w < ranges[2].last; w += plan.outputs) {
          segment.first = w;
          segment.last = std::min(w + plan.outputs, ranges[2].last);
          kernel(rows, segment);
          const T* from = dy.data + offset(dy, n, c, d, h) + w * dy.stride[4];
          for (int64_t o = 0; o < segment.last - w; ++o) block.add(index[o], from[o * dy.stride[4]]);
        }
      }
  });
}

template <class T>
void lp_pool_backward(const PoolProblem& problem, Norm norm, View<const T> dy, View<const T> x, View<T> dx) {
  const PoolProblem p = normal_form(problem);
  const T* end = end_of(x);
  const T power = static_cast<T>(norm.p - 1);
  auto add_window = [&](const PoolRows<T>& rows, PoolWindow w, int64_t dilation, T g, const PlaneBlock<T>& block) {
    const T count = norm.mean && !std::isinf(norm.p) ? static_cast<T>(rows.planes * rows.rows * w.count) : T(1);
    if (norm.p == 2) {  // where no scaling is needed
      T sum = 0;
      for_each_tap(rows, w, dilation, [&](T v, int64_t) { sum += v * v; });
      if (is_safe_square_sum(sum)) {
        const T scale = 1 / std::sqrt(sum * count);
        for_each_tap(rows, w, dilation, [&](T v, int64_t index) { block.add(index, g * (v * scale)); });
        return;
      }
    }
    const LpNorm<T> window = lp_window(rows, w, dilation, norm);
    if (window.largest == 0) return;
    g /= count;
    bool taken = false;  // p = infinity: by the first largest element
    for_each_tap(rows, w, dilation, [&](T v, int64_t index) {
      if (v == 0) return;
      const T size = std::abs(v);
      if (std::isinf(norm.p)) {
        if (!taken && (size == window.largest || std::isnan(v))) block.add(index, v < 0 ? -g : g), taken = true;
        return;
      }
      const T ratio = size / window.largest / window.root;
      const T slope = power == 0 ? T(1) : power == 1 ? ratio : std::pow(ratio, power);
      block.add(index, v < 0 ? -g * slope : g * slope);
    });
  };
  for_each_block(p, dx, [&](int64_t n, int64_t c, const PoolCover* ranges, const PoolAxis* axes, const auto& block) {
    const T* plane = x.data + n * x.stride[0] + c * x.stride[1];
    for (int64_t d = ranges[0].first; d < ranges[0].last; ++d)
      for (int64_t h = ranges[1].first; h < ranges[1].last; ++h) {
        const PoolRows<T> rows = rows_under(axes[0], axes[1], x, plane, end, d, h);
        const T* from = dy.data + offset(dy, n, c, d, h);
        for (int64_t w = ranges[2].first; w < ranges[2].last; ++w)
          add_window(rows, pool_window(axes[2], w), axes[2].dilation, from[w * dy.stride[4]], block);
      }
  });
}

namespace {

// What each output of an axis counts in the gradient.
template <class T>
T weight_of(const PoolAxis& a, int64_t o, Averaging averaging) {
  return averaging.divisor ? T(1) : T(1) / static_cast<T>(pool_divisor(a, o, averaging.count_include_pad));
}

template <class T>
std::vector<T> weights_of(const PoolAxis& a, Averaging averaging) {
  std::vector<T> weights(static_cast<size_t>(a.out));
  for (int64_t o = 0; o < a.out; ++o) weights[static_cast<size_t>(o)] = weight_of<T>(a, o, averaging);
  return weights;
}

// Outputs that a row kernel reads for columns [first, last), with the margins its walk wants.
PoolCover outputs_read(const PoolAxis& a, PoolWalk walk, int64_t first, int64_t last) {
  const int64_t q = first + a.pad_before, stop = last + a.pad_before;
  if (walk == PoolWalk::unit) return {q - (a.k - 1), stop};
  if (walk == PoolWalk::phased && a.stride == 2) return {q / 2 - (a.k - 1) / 2, (stop + 1) / 2};
  return {pool_cover(a, first).first, pool_cover(a, last - 1).last};
}

}  // namespace

template <class T>
void avg_pool_backward(const PoolProblem& problem, Averaging averaging, View<const T> dy, View<T> dx) {
  const T scale = averaging.divisor ? T(1) / static_cast<T>(averaging.divisor) : T(1);
  if (suits_lanes(normal_form(problem)) && is_dense(dy) && is_dense(dx)) {
    LaneTables<T> tables(problem);
    tables.divide(problem, [&](int i, int64_t o) { return weight_of<T>(problem.axis[i], o, averaging); });
    tables.cover(problem);
    return run_lanes<T>(problem, tables, pool_functions<T>().lane_avg_grad, {}, dy, dx, {}, false, scale);
  }
  PoolProblem p = normal_form(problem);
  merge_whole_axes(p, dx);
  const PoolAxis& width = p.axis[2];
  RowPlan plan;
  plan.walk = walk_of(width);
  plan.outputs = std::min(width.in, kPoolSpan);
  plan.segments = ceil_div(width.in, plan.outputs);
  // At most so many outputs touch a segment: its windows begin in the segment or less than a window before it.
  const int64_t longest = width.windows == PoolWindows::regular ? width.k : ceil_div(width.in, std::max<int64_t>(1, width.out)) + 1;
  const int64_t reach = width.windows == PoolWindows::regular
                            ? (plan.outputs + longest) / width.stride + 2
                            : (plan.outputs + longest) * ceil_div(width.out, width.in) + 2;
  const int64_t line = (reach + kPoolSlack) * static_cast<int64_t>(sizeof(T)), bytes = 2 * line;
  const std::vector<T> depth_weights = weights_of<T>(p.axis[0], averaging), height_weights = weights_of<T>(p.axis[1], averaging);
  const T* end = end_of(dy);
  const int64_t grid[5] = {p.mb, p.channels, p.axis[0].in, p.axis[1].in, width.in};
  for_each_row(grid, plan, bytes, bytes_moved<T>(p), [&](const RowPlace& at, char* scratch) {
    const PoolCover d = pool_cover(p.axis[0], at.d), h = pool_cover(p.axis[1], at.h);
    T* dx_row = dx.data + offset(dx, at.n, at.c, at.d, at.h) + at.first * dx.stride[4];
    if (!at.fresh && at.h > 0 && dx.stride[4] == 1) {
      const PoolCover above = pool_cover(p.axis[1], at.h - 1);
      if (above.first == h.first && above.last == h.last) {  // the same windows: the same row
        std::copy_n(dx_row - dx.stride[3], at.last - at.first, dx_row);
        return;
      }
    }
    PoolGradRow<T> row;
    row.axis = &width;
    row.walk = plan.walk;
    row.dy = dy.data + offset(dy, at.n, at.c, d.first, h.first);
    row.planes = d.last - d.first;
    row.plane_step = dy.stride[2];
    row.rows = h.last - h.first;
    row.row_step = dy.stride[3];
    row.col_step = dy.stride[4];
    row.end = end;
    row.plane_weight = depth_weights.data() + d.first;
    row.row_weight = height_weights.data() + h.first;
    row.outputs = outputs_read(width, plan.walk, at.first, at.last);
    T* col_weights = reinterpret_cast<T*>(scratch + line);
    const int64_t from = std::max<int64_t>(0, row.outputs.first), to = std::min(row.outputs.last, width.out);
    if (at.fresh)
      for (int64_t o = from; o < to; ++o) col_weights[o - from] = scale * weight_of<T>(width, o, averaging);
    row.col_weight = col_weights;
    row.first = at.first;
    row.last = at.last;
    row.dx = dx_row;
    row.dx_step = dx.stride[4];
    row.scratch = scratch;
    pool_functions<T>().avg_grad(row);
  });
}

template <class T>
void max_unpool(View<const T> x, View<const int64_t> indices, View<T> y) {
  scatter_given(x, indices, y, false);
}

template <class T>
void max_unpool_backward(View<const T> dy, View<const int64_t> indices, View<T> dx) {
  const int64_t planes = dx.shape[0] * dx.shape[1], size = dy.shape[2] * dy.shape[3] * dy.shape[4];
  const double work = 3.0 * sizeof(T) * static_cast<double>(dx.size());
  parallel_tasks(planes, planes ? threads_for(work) : 1, [&](int64_t plane) {
    const int64_t n = plane / dx.shape[1], c = plane % dx.shape[1];
    const PlaneBlock<const T> block{dy.data + n * dy.stride[0] + c * dy.stride[1], &dy, 0, size, is_dense(dy)};
    for (int64_t d = 0; d < dx.shape[2]; ++d)
      for (int64_t h = 0; h < dx.shape[3]; ++h)
        for (int64_t w = 0; w < dx.shape[4]; ++w) {
          const int64_t i = indices.data[offset(indices, n, c, d, h) + w * indices.stride[4]];
          if (static_cast<uint64_t>(i) >= static_cast<uint64_t>(size)) bad_index(i, size);
          dx.data[offset(dx, n, c, d, h) + w * dx.stride[4]] = block.at(i);
        }
  });
}

#define FASTCONV_POOL_BACKWARD(T)                                                                                \
  template void max_pool_backward(const PoolProblem&, View<const T>, View<const T>, View<const int64_t>, View<T>); \
  template void avg_pool_backward(const PoolProblem&, Averaging, View<const T>, View<T>);                        \
  template void lp_pool_backward(const PoolProblem&, Norm, View<const T>, View<const T>, View<T>);               \
  template void max_unpool(View<const T>, View<const int64_t>, View<T>);                                         \
  template void max_unpool_backward(View<const T>, View<const int64_t>, View<T>);
FASTCONV_POOL_BACKWARD(float)
FASTCONV_POOL_BACKWARD(double)

}  // namespace fastconv
