#include "fastconv/pad.hpp"

#include "capi/conv.hpp"

using namespace fastconv;
using namespace fastconv::capi;

namespace {

PadProblem problem_of(const fastconv_pad_desc& d, const Shape& x) {
  if (x.rank < 2) invalid({"x: ndim must be from 2 to 5, got ", x.rank});
  PadProblem p;
  for (int i = 0; i < 5; ++i) p.axis[i].in = x.n[i];
  for (int i = 0; i < x.rank; ++i) {
    PadAxis& a = p.axis[x.axis(i)];
    a.before = d.before[i], a.after = d.after[i];
    a.mode = enumerator(d.mode[i], Mode::symmetric, "mode");
  }
  validate(p);
  return p;
}
Shape padded(const PadProblem& p, Shape s) {
  for (int i = 0; i < 5; ++i) s.n[i] = p.axis[i].out();
  return s;
}

}  // namespace

extern "C" {

fastconv_status fastconv_pad_desc_init(fastconv_pad_desc* desc, size_t struct_size) {
  return guarded([&] { write_defaults(desc, struct_size, fastconv_pad_desc{}); });
}

fastconv_status fastconv_pad(const fastconv_pad_desc* desc, const fastconv_array* x, const fastconv_array* y) {
  return guarded([&] {
    const Shape shape = shape_of(x, "x");
    const PadProblem p = problem_of(checked_desc(desc), shape);
    with_type_of(x, "x", [&](auto t) {
      using T = decltype(t);
      pad<T>(p, input<T>(x, shape, "x"), static_cast<T>(desc->value), output<T>(y, padded(p, shape), "y"));
    });
  });
}

fastconv_status fastconv_pad_backward(const fastconv_pad_desc* desc, const fastconv_array* dy,
                                      const fastconv_array* dx) {
  return guarded([&] {
    const Shape shape = shape_of(dx, "dx");
    const PadProblem p = problem_of(checked_desc(desc), shape);
    with_type_of(dx, "dx", [&](auto t) {
      using T = decltype(t);
      pad_backward<T>(p, input<T>(dy, padded(p, shape), "dy"), output<T>(dx, shape, "dx"));
    });
  });
}

fastconv_status fastconv_unfold(const fastconv_conv* conv, const fastconv_array* x, const fastconv_array* columns) {
  return guarded([&] {
    require_pointer(conv, "conv");
    with_type(conv->dtype, [&](auto t) {
      using T = decltype(t);
      unfold<T>(conv->problem, input<T>(x, conv->input(), "x"), output<T>(columns, conv->columns(), "columns"));
    });
  });
}

fastconv_status fastconv_fold(const fastconv_conv* conv, const fastconv_array* columns, const fastconv_array* x) {
  return guarded([&] {
    require_pointer(conv, "conv");
    with_type(conv->dtype, [&](auto t) {
      using T = decltype(t);
      fold<T>(conv->problem, input<T>(columns, conv->columns(), "columns"), output<T>(x, conv->input(), "x"));
    });
  });
}

}  // extern "C"
