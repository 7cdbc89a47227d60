#include "fastconv/pool.hpp"

#include <vector>

#include "capi/call.hpp"

using namespace fastconv;
using namespace fastconv::capi;

namespace {

// A problem without its lists of window starts: those of regular windows get their output sizes.
PoolProblem sizes_of(const fastconv_pool_desc& d, const Shape& x) {
  const int nd = checked_spatial_dims(d.spatial_dims);
  if (x.rank != nd + 2) invalid({"x must have ", nd + 2, " axes, got ", x.rank});
  PoolProblem p;
  p.mb = x.n[0], p.channels = x.n[1];
  const auto windows = enumerator(d.windows, PoolWindows::listed, "windows");
  for (int i = 0; i < nd; ++i) {
    PoolAxis& a = p.axis[3 - nd + i];
    a.in = x.n[5 - nd + i];
    a.windows = windows;
    a.out = d.output[i];
    if (windows == PoolWindows::adaptive) continue;
    a.k = d.kernel[i];
    require_at_least(a.k, 1, "kernel");
    if (windows == PoolWindows::listed) continue;
    a.stride = d.stride[i], a.dilation = d.dilation[i];
    a.pad_before = d.pad_before[i], a.pad_after = d.pad_after[i];
    require_at_least(a.stride, 1, "stride");
    require_at_least(a.dilation, 1, "dilation");
    require_at_least(a.pad_before, 0, "pad_before");
    require_at_least(a.pad_after, 0, "pad_after");
    a.out = pool_output_size(a, d.ceil_mode);
  }
  if (windows ==
      PoolWindows::listed)  // an axis that the caller lacks has its one window listed too, in the library's order
    for (int i = 0; i < 3 - nd; ++i) p.axis[i].windows = PoolWindows::adaptive;
  validate(p);
  for (int i = 0; i < nd; ++i) p.starts_step += d.output[i] * (windows == PoolWindows::listed);
  return p;
}

void list_starts(PoolProblem& p, const int64_t* starts) {
  require_pointer(starts, "starts");
  const int64_t planes = checked_mul(p.mb, p.channels, "starts");
  for (PoolAxis& a : p.axis) {
    if (a.windows != PoolWindows::listed) continue;
    a.starts = starts;
    starts += a.out;
    for (int64_t plane = 0; plane < planes; ++plane)
      for (int64_t o = 0; o < a.out; ++o) {
        const int64_t s = a.starts[plane * p.starts_step + o];
        if (s < 0 || s > a.in - a.k || (o > 0 && s < a.starts[plane * p.starts_step + o - 1]))
          invalid({"starts must ascend from 0 to ", a.in - a.k, ", got ", s});
      }
  }
}

PoolProblem problem_of(const fastconv_pool_desc* desc, const Shape& x) {
  PoolProblem p = sizes_of(checked_desc(desc), x);
  if (p.axis[2].windows == PoolWindows::listed) list_starts(p, desc->starts);
  return p;
}
PoolProblem dense_problem_of(const fastconv_pool_desc* desc, const Shape& x, const char* what) {
  const PoolProblem p = problem_of(desc, x);
  for (const PoolAxis& a : p.axis) {
    if (a.dilation != 1) invalid({"dilation must be 1 for ", what, ", got ", a.dilation});
    if (a.windows == PoolWindows::listed) invalid({"windows must be regular or adaptive for ", what});
  }
  return p;
}

Shape pooled(const PoolProblem& p, Shape s) {
  for (int i = 0; i < 3; ++i) s.n[2 + i] = p.axis[i].out;
  return s;
}

Shape given_shape(const fastconv_pool_desc& d, const int64_t* shape) {
  require_pointer(shape, "input_shape");
  Shape s{{1, 1, 1, 1, 1}, checked_spatial_dims(d.spatial_dims) + 2};
  for (int i = 0; i < s.rank; ++i) {
    require_at_least(shape[i], 0, "input_shape");
    s.n[s.axis(i)] = shape[i];
  }
  return s;
}

Averaging averaging_of(const fastconv_pool_desc& d) {
  require_at_least(d.divisor, 0, "divisor");
  return {d.count_include_pad != 0, d.divisor};
}
Norm norm_of(const fastconv_pool_desc& d) {
  if (!(d.norm > 0)) invalid({"norm must be above 0, got ", std::to_string(d.norm)});
  return {d.norm, d.norm_mean != 0};
}

Shape channels_pooled(Shape s, int64_t pieces) {
  require_at_least(pieces, 1, "pieces");
  if (s.n[1] % pieces) invalid({"pieces=", pieces, " does not divide the ", s.n[1], " channels of x"});
  s.n[1] /= pieces;
  return s;
}

void require_same_planes(const Shape& x, const Shape& y) {
  if (x.rank < 3 || x.rank != y.rank || x.n[0] != y.n[0] || x.n[1] != y.n[1])
    invalid({"x and y must have 3 to 5 axes and the same batch and channels"});
}

}  // namespace

extern "C" {

fastconv_status fastconv_pool_desc_init(fastconv_pool_desc* desc, size_t struct_size) {
  return guarded([&] {
    fastconv_pool_desc d{};
    d.spatial_dims = 2;
    for (int i = 0; i < 3; ++i) d.kernel[i] = d.output[i] = d.stride[i] = d.dilation[i] = 1;
    d.count_include_pad = 1;
    d.norm = 2;
    write_defaults(desc, struct_size, d);
  });
}

fastconv_status fastconv_pool_output_shape(const fastconv_pool_desc* desc, const int64_t* input_shape,
                                           int64_t shape[5]) {
  return guarded([&] {
    require_pointer(shape, "shape");
    const Shape x = given_shape(checked_desc(desc), input_shape), y = pooled(sizes_of(*desc, x), x);
    for (int i = 0; i < y.rank; ++i) shape[i] = y.n[y.axis(i)];
  });
}

fastconv_status fastconv_fractional_starts(const fastconv_pool_desc* desc, const int64_t* input_shape,
                                           const fastconv_array* samples, int64_t* starts, size_t count) {
  return guarded([&] {
    fastconv_pool_desc d = checked_desc(desc);
    d.windows = FASTCONV_LISTED;
    const Shape x = given_shape(d, input_shape);
    PoolProblem p = sizes_of(d, x);
    const int nd = d.spatial_dims;
    const Shape want{{p.mb, p.channels, 1, 1, nd}, 3};
    const int64_t planes = p.mb * p.channels, needed = checked_mul(planes, p.starts_step, "output");
    if (count != static_cast<size_t>(needed)) invalid({"count must be ", needed, ", got ", count});
    if (needed) require_pointer(starts, "starts");
    with_type_of(samples, "samples", [&](auto t) {
      using T = decltype(t);
      const auto v = input<T>(samples, want, "samples");
      std::vector<T> values;
      for (int64_t plane = 0; plane < planes; ++plane)
        for (int64_t i = 0; i < nd; ++i) {
          values.push_back(
              v.data[plane / p.channels * v.stride[0] + plane % p.channels * v.stride[1] + i * v.stride[4]]);
          if (!(values.back() >= 0 && values.back() < 1))
            invalid({"samples must lie in [0, 1), got ", std::to_string(values.back())});
        }
      const int64_t lacking = 3 - nd;  // axes whose one window the library lists before the caller's
      const std::vector<int64_t> all = fractional_starts<T>(p, nd, values.data());
      for (int64_t plane = 0; plane < planes; ++plane)
        for (int64_t o = lacking; o < p.starts_step; ++o)
          *starts++ = all[static_cast<size_t>(plane * p.starts_step + o)];
    });
  });
}

fastconv_status fastconv_max_pool(const fastconv_pool_desc* desc, const fastconv_array* x, const fastconv_array* y,
                                  const fastconv_array* indices) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x");
    const PoolProblem p = problem_of(desc, shape);
    const Shape small = pooled(p, shape);
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      max_pool<T>(p, input<T>(x, shape, "x"), output<T>(y, small, "y"),
                  optional_output<int64_t>(indices, small, "indices"));
    });
  });
}

fastconv_status fastconv_max_pool_backward(const fastconv_pool_desc* desc, const fastconv_array* dy,
                                           const fastconv_array* x, const fastconv_array* indices,
                                           const fastconv_array* dx) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x");
    const PoolProblem p = problem_of(desc, shape);
    const Shape small = pooled(p, shape);
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      max_pool_backward<T>(p, input<T>(dy, small, "dy"), input<T>(x, shape, "x"),
                           optional_input<int64_t>(indices, small, "indices"), output<T>(dx, shape, "dx"));
    });
  });
}

fastconv_status fastconv_avg_pool(const fastconv_pool_desc* desc, const fastconv_array* x, const fastconv_array* y) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x");
    const PoolProblem p = dense_problem_of(desc, shape, "averages");
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      avg_pool<T>(p, averaging_of(*desc), input<T>(x, shape, "x"), output<T>(y, pooled(p, shape), "y"));
    });
  });
}

fastconv_status fastconv_avg_pool_backward(const fastconv_pool_desc* desc, const fastconv_array* dy,
                                           const fastconv_array* dx) {
  return guarded([&] {
    const Shape shape = shape_of(dx, "dx");
    const PoolProblem p = dense_problem_of(desc, shape, "averages");
    with_type_of(dx, "dx", [&](auto t) {
      using T = decltype(t);
      avg_pool_backward<T>(p, averaging_of(*desc), input<T>(dy, pooled(p, shape), "dy"), output<T>(dx, shape, "dx"));
    });
  });
}

fastconv_status fastconv_lp_pool(const fastconv_pool_desc* desc, const fastconv_array* x, const fastconv_array* y) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x");
    const PoolProblem p = dense_problem_of(desc, shape, "norms");
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      lp_pool<T>(p, norm_of(*desc), input<T>(x, shape, "x"), output<T>(y, pooled(p, shape), "y"));
    });
  });
}

fastconv_status fastconv_lp_pool_backward(const fastconv_pool_desc* desc, const fastconv_array* dy,
                                          const fastconv_array* x, const fastconv_array* dx) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x");
    const PoolProblem p = dense_problem_of(desc, shape, "norms");
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      lp_pool_backward<T>(p, norm_of(*desc), input<T>(dy, pooled(p, shape), "dy"), input<T>(x, shape, "x"),
                          output<T>(dx, shape, "dx"));
    });
  });
}

fastconv_status fastconv_max_unpool(const fastconv_array* x, const fastconv_array* indices, const fastconv_array* y) {
  return guarded([&] {
    const Shape small = shape_of(x, "x"), large = shape_of(y, "y");
    require_same_planes(small, large);
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      max_unpool<T>(input<T>(x, small, "x"), input<int64_t>(indices, small, "indices"), output<T>(y, large, "y"));
    });
  });
}

fastconv_status fastconv_max_unpool_backward(const fastconv_array* dy, const fastconv_array* indices,
                                             const fastconv_array* dx) {
  return guarded([&] {
    const Shape large = shape_of(dy, "dy"), small = shape_of(dx, "dx");
    require_same_planes(small, large);
    with_type_of(dx, "dx", [&](auto t) {
      using T = decltype(t);
      max_unpool_backward<T>(input<T>(dy, large, "dy"), input<int64_t>(indices, small, "indices"),
                             output<T>(dx, small, "dx"));
    });
  });
}

fastconv_status fastconv_channel_max_pool(int64_t pieces, const fastconv_array* x, const fastconv_array* y,
                                          const fastconv_array* indices) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x"), small = channels_pooled(shape, pieces);
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      channel_max_pool<T>(pieces, input<T>(x, shape, "x"), output<T>(y, small, "y"),
                          optional_output<int64_t>(indices, small, "indices"));
    });
  });
}

fastconv_status fastconv_channel_max_pool_backward(int64_t pieces, const fastconv_array* dy, const fastconv_array* x,
                                                   const fastconv_array* indices, const fastconv_array* dx) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x"), small = channels_pooled(shape, pieces);
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      channel_max_pool_backward<T>(pieces, input<T>(dy, small, "dy"), input<T>(x, shape, "x"),
                                   optional_input<int64_t>(indices, small, "indices"), output<T>(dx, shape, "dx"));
    });
  });
}

}  // extern "C"
