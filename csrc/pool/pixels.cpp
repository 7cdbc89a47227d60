#include "pool/pixels.hpp"

#include "pool/planes.hpp"
#include "pool/taps.hpp"
#include "pool/tiles.hpp"
#include "pool/weights.hpp"

namespace fastconv {
namespace {

constexpr int64_t kNarrow = 48;       // columns, at most, of planes that are put side by side because of their width
constexpr int64_t kFoundAgain = 784;  // pixels of planes whose maxima are sought a second time: in more, row by row

const PoolPixelFunctions& functions() { return *kernels().pool->f32.pixels; }

char* image_of(const AnyView& v, int64_t n) {
  return v.view.data ? v.view.data + n * v.view.stride[0] * v.bytes : nullptr;
}

// Pixels of x joined to those of y.
struct PixelPool {
  const PoolProblem& p;
  AxisTaps axis[3];
  const AnyView &x, &y, *index = nullptr;
  double factor = 1;
  bool divided = false;

  PixelPool(const PoolProblem& problem, AxisTaps (*taps)(const PoolAxis&), const AnyView& from, const AnyView& to)
      : p(problem), axis{taps(p.axis[0]), taps(p.axis[1]), taps(p.axis[2])}, x(from), y(to) {
    for (int a = 0; a < 3; ++a) axis[a].at_step = x.view.stride[2 + a], axis[a].to_step = y.view.stride[2 + a];
  }
  void find(const AnyView& to) {
    index = &to;
    for (int a = 0; a < 3; ++a) axis[a].index_step = to.view.stride[2 + a];
    axis[2].position_step = 1;
    axis[1].position_step = p.axis[2].in;
    axis[0].position_step = p.axis[2].in * p.axis[1].in;
  }
  void run(void (*kernel)(const PoolPixels&)) const {
    AxisTaps one_place(1);
    one_place.at.push_back(0);
    one_place.first[1] = 1;
    const TapList rows(axis[0], axis[1], x.bytes), columns(one_place, axis[2], x.bytes);
    const auto height = static_cast<int64_t>(rows.places.size());
    const double bytes = static_cast<double>(x.bytes / 4) * bytes_moved<float>(p);
    share_out(p.mb * height, bytes, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end;) {
        const int64_t n = i / height, row = i % height, stop = std::min(height, row + end - i);
        auto* positions = index ? reinterpret_cast<int64_t*>(image_of(*index, n)) : nullptr;
        kernel({rows.list(), columns.list(), row, stop, axis[2].places, p.channels, image_of(x, n), image_of(y, n),
                positions, factor, divided});
        i += stop - row;
      }
    });
  }
};

// From one pixel to the next.
int64_t pixel_step(const View<char>& v) {
  return v.shape[4] > 1 ? v.stride[4] : v.shape[3] > 1 ? v.stride[3] : v.stride[2];
}
// Whether pixels lie evenly apart, or will once they are copied.
bool is_even_box(const View<char>& v) {
  if (v.stride[1] != 1) return true;
  int64_t next = pixel_step(v);
  for (int a = 4; a >= 2; --a) {
    if (v.shape[a] > 1 && v.stride[a] != next) return false;
    next *= v.shape[a];
  }
  return true;
}

// Whether neighbouring windows share elements, each of which a row's gradient would sum anew.
bool overlaps(const PoolProblem& p) {
  const auto shared = [](const PoolAxis& a) { return !is_regular(a) || a.k > a.stride; };
  return std::any_of(p.axis, p.axis + 3, shared);
}

// Planes of so many vectors of elements, or with rows of so many, before or behind the pool, or whose rows cost more
// than the copies and what is joined, are quicker side by side, by measurement.
struct Limits {
  int64_t vectors, width;
  double rows;
};
int64_t few_columns() { return functions().lanes / 4 + 2; }  // rows that cost more than what they hold
// Planes that stay in the cache side by side.
bool is_small(const PoolProblem& p) {
  return static_cast<double>(p.axis[0].in) * static_cast<double>(p.axis[1].in * p.axis[2].in) <= kNarrow * kNarrow;
}
// Row by row, with lines made for each: a row of outputs by vectors some of which are picked, and one of a gradient.
double cost_of_rows(const PoolProblem& p) {
  const PoolAxis& w = p.axis[2];
  const int64_t row = 15 + (w.stride > 2 ? 9 : 4) * w.k * w.stride;
  const bool rows = is_regular(w) && w.dilation == 1 && is_small(p);
  return rows ? static_cast<double>(120 + p.axis[0].out * p.axis[1].out * row) : 0;
}
double cost_of_gradient_rows(const PoolProblem& p) {
  const PoolAxis& w = p.axis[2];
  const bool shared = overlaps(p), rows = is_regular(w) && (shared || is_small(p));
  return rows ? static_cast<double>(p.axis[0].in * p.axis[1].in * (28 + 36 * w.k / w.stride + 36 * shared)) : 0;
}
// With kernels for windows side by side (pool/tiles.hpp) as the other way, or, if there are none, at most `otherwise`.
Limits limits_of(bool tiled, Limits otherwise) { return tiled ? Limits{2, 0, 0} : otherwise; }

bool is_side_by_side(const View<char>& v) { return v.stride[1] == 1 && v.shape[1] > 1; }
// Whether there is something in all views, and they can be copied by transposes, if they have to be.
bool are_readable(const AnyView* views, int count) {
  return std::all_of(views, views + count, [](const AnyView& any) {
    const View<char>& v = any.view;
    return v.size() > 0 && (!v.data || is_side_by_side(v) || v.stride[4] == 1);
  });
}
// Whether enough bytes are laid out so already.
bool are_pixels(const AnyView* views, int count) {
  double bytes[2] = {};
  for (const AnyView* v = views; v < views + count; ++v)
    if (v->view.data) bytes[is_side_by_side(v->view)] += static_cast<double>(v->view.size() * v->bytes);
  return bytes[false] < 2.5 * bytes[true];
}

// Of a plane: its elements, and outputs; what windows join; and the taps that lists of rows and of columns hold.
struct PlaneWork {
  double in = 1, out = 1, visits = 1, listed = 1;
  explicit PlaneWork(const PoolProblem& p) {
    for (const PoolAxis& a : p.axis) {
      const auto inputs = static_cast<double>(a.in), outputs = static_cast<double>(a.out);
      const double taps = outputs * static_cast<double>(reach_bound(a, 1)) / static_cast<double>(a.dilation);
      const bool width = &a == p.axis + 2;
      in *= inputs, out *= outputs, visits *= taps;
      listed = width ? listed + taps + inputs + outputs : listed * (taps + inputs + outputs);
    }
  }
  // In the units of Limits::rows.
  double cost() const { return 1.2 * (in + out) + 3 * visits / static_cast<double>(functions().lanes); }
};

// Whether planes within the limits are many enough for vectors of them.
bool suit_vectors(const PoolProblem& p, const PlaneWork& work, Limits most) {
  const int64_t lanes = functions().lanes;
  if (p.channels >= lanes && work.in <= static_cast<double>(most.vectors * lanes)) return true;
  const PoolAxis& w = p.axis[2];
  if (p.channels < 2 * lanes || w.in > kNarrow) return false;
  return std::min(w.in, w.out) <= most.width || work.cost() <= most.rows;
}
// Whether windows are small enough to be joined one by one, and lists of them beside the images; and planes are within
// the limits, or enough of them lie side by side already.
bool takes_pixels(const PoolProblem& p, Limits most, const AnyView* views, int count) {
  if (p.starts_step > 0 || views[0].bytes != 4 || !are_readable(views, count)) return false;  // kernels of float alone
  const PlaneWork work(p);
  const double planes = static_cast<double>(p.mb) * static_cast<double>(p.channels);
  if (work.in >= INT32_MAX || work.visits > 32 * work.in || 4 * work.listed > planes * work.in) return false;
  return suit_vectors(p, work, most) || are_pixels(views, count);
}

// One window over all of a plane.
void sum_whole(const PoolProblem& p, double divisor, const AnyView& x, const AnyView& y) {
  const int64_t pixels = p.axis[0].in * p.axis[1].in * p.axis[2].in;
  share_out(p.mb, bytes_moved<float>(p), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      functions().sum_all(image_of(x, n), pixel_step(x.view), pixels, p.channels, divisor, image_of(y, n));
  });
}

// What outputs count in the gradient of an average; one window's weights are one number.
template <class T>
void weigh(const PoolProblem& p, const Averaging& averaging, AxisTaps (&axis)[3]) {
  const AvgWeights<T> weights{p, averaging};
  for (int a = 0; a < 3; ++a) axis[a].weight = weights.template all<double>(a);
  if (!is_whole(p)) return;
  const T row = weights.of(0, 0) * weights.of(1, 0), all = row * (weights.scale * weights.of(2, 0));
  axis[0].weight[0] = all, axis[1].weight[0] = axis[2].weight[0] = 1;
}

// Gradients of positions anywhere: those of one pixel after the other.
template <class T>
void scatter_pixels(const PoolProblem& p, const AnyView& dy, const AnyView& index, const AnyView& dx) {
  const auto pixels = [](const AnyView& v) { return v.view.shape[2] * v.view.shape[3] * v.view.shape[4]; };
  const int64_t step = pixel_step(dx.view), size = pixels(dx), together = step == p.channels ? size : 1;
  share_out(p.mb, bytes_moved<T>(p), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      T* to = reinterpret_cast<T*>(image_of(dx, n));
      for (int64_t i = 0; i < size; i += together) std::fill_n(to + i * step, together * p.channels, T(0));
      const int64_t* wrong = scatter_lines(reinterpret_cast<const T*>(image_of(dy, n)), pixel_step(dy.view),
                                           reinterpret_cast<const int64_t*>(image_of(index, n)), pixel_step(index.view),
                                           pixels(dy), p.channels, to, step, size);
      if (wrong) bad_index(*wrong, size);
    }
  });
}

}  // namespace

bool max_pool_pixels(const PoolProblem& p, AnyView x, AnyView y, AnyView index) {
  AnyView views[] = {x, y, index};
  const int count = index.view.data ? 3 : 2;
  const Limits few =
      limits_of(is_tiled(p), count == 3 ? Limits{12, few_columns(), 0} : Limits{6, few_columns(), cost_of_rows(p)});
  if (!takes_pixels(p, is_whole(p) && count == 2 ? Limits{} : few, views, count)) return false;
  in_pixels(p, views, count, [&](const PoolProblem& g, const AnyView* v) {
    PixelPool pool(g, inputs_of, v[0], v[1]);
    if (count == 3) pool.find(v[2]);
    pool.run(count == 3 ? functions().max_index : functions().max);
  });
  return true;
}

bool avg_pool_pixels(const PoolProblem& p, const Divisor& divisor, AnyView x, AnyView y) {
  AnyView views[] = {x, y};
  const PoolAxis& w = p.axis[2];
  const double common = common_divisor(p, divisor);
  const bool listed = !is_regular(w) || w.stride > kPoolPicked;  // whose long windows are summed by vectors
  if (!takes_pixels(p, is_whole(p) ? Limits{} : limits_of(is_tiled(p), {6, few_columns(), cost_of_rows(p)}), views, 2))
    return false;
  if (is_whole(p) ? p.axis[0].in * p.axis[1].in * w.in > kPoolRun || !is_even_box(x.view)
                  : listed && reach_bound(w, 1) >= 2 * functions().lanes)
    return false;
  in_pixels(p, views, 2, [&](const PoolProblem& g, const AnyView* v) {
    if (is_whole(g)) return sum_whole(g, common, v[0], v[1]);
    PixelPool pool(g, inputs_of, v[0], v[1]);
    pool.divided = !is_power_of_two(common);
    if (!pool.divided) pool.factor = 1 / common;
    for (int a = 0; a < 3 && pool.divided; ++a) {
      Vector<double>& list = pool.axis[a].divisor;
      list.assign(static_cast<size_t>(g.axis[a].out), a == 0 ? common : 1);
      for (int64_t o = 0; o < g.axis[a].out && common == 0; ++o)
        list.data()[o] = static_cast<double>(pool_divisor(g.axis[a], o, divisor.with_padding));
    }
    pool.run(functions().sum);
  });
  return true;
}

bool avg_pool_pixels_backward(const PoolProblem& p, const Averaging& averaging, AnyView dy, AnyView dx) {
  AnyView views[] = {dy, dx};
  const int64_t width = is_regular(p.axis[2]) ? few_columns() : kNarrow;
  const Limits few = limits_of(is_tiled_whole(p), {24, width, cost_of_gradient_rows(p)});
  if (!takes_pixels(p, is_whole(p) ? Limits{} : few, views, 2)) return false;
  in_pixels(p, views, 2, [&](const PoolProblem& g, const AnyView* v) {
    PixelPool pool(g, outputs_of, v[0], v[1]);
    weigh<float>(g, averaging, pool.axis);
    pool.run(functions().sum);
  });
  return true;
}

bool max_pool_pixels_backward(const PoolProblem& p, AnyView dy, AnyView x, AnyView index, AnyView dx) {
  const bool given = index.view.data;
  AnyView views[] = {dy, index, dx, x};
  if (!takes_pixels(p, given ? Limits{1, 0, 0} : limits_of(is_tiled_whole(p), {12, 0, 0}), views, 4)) return false;
  if (!is_even_box(dy.view) || !is_even_box(dx.view) || (given && !is_even_box(index.view))) return false;
  if (!given && (p.channels < functions().lanes || p.axis[0].in * p.axis[1].in * p.axis[2].in > kFoundAgain))
    return false;
  if (!given) std::copy_n(dy.view.shape, 5, views[1].view.shape);
  in_pixels(p, views, given ? 3 : 4, [&](const PoolProblem& g, const AnyView* v) {
    if (!given) {
      AnyView none = v[0];
      none.view.data = nullptr;
      PixelPool pool(g, inputs_of, v[3], none);
      pool.find(v[1]);
      pool.run(functions().max_index);
    }
    scatter_pixels<float>(g, v[0], v[1], v[2]);
  });
  return true;
}

}  // namespace fastconv
