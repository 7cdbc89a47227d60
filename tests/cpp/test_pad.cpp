// Padding and windows: guards around the outputs, and the adjoints, exactly.
#include "check.hpp"
#include "fastconv/pad.hpp"

namespace fastconv_tests {
namespace {

using namespace fastconv;

template <class T>
void test_pad_problem(const PadProblem& p, Random& r) {
  using Layout = typename Guarded<T>::Layout;
  int64_t in[5], out[5];
  for (int i = 0; i < 5; ++i) in[i] = p.axis[i].in, out[i] = p.axis[i].out();
  Guarded<T> x(in, Layout::random(r)), dx(in, Layout::random(r)), y(out, Layout::random(r)), dy(out, Layout::random(r));
  x.fill(r), dy.fill(r);
  pad<T>(p, x.view(), T(0), y.view());
  pad_backward<T>(p, dy.view(), dx.view());
  check(dot(y.values(), dy.values()) == dot(x.values(), dx.values()), "pad_backward is not the adjoint of pad");
  check(y.intact() && dx.intact(), "pad writes outside its output");
}

template <class T>
void test_windows(const ConvProblem& p, Random& r) {
  using Layout = typename Guarded<T>::Layout;
  const int64_t in[5] = {p.mb, p.ic, p.axis[0].in, p.axis[1].in, p.axis[2].in};
  const int64_t out[5] = {p.mb, p.ic * p.taps(), 1, 1, p.out_pixels()};
  Guarded<T> x(in, Layout::random(r)), dx(in, Layout::random(r)), y(out, Layout::random(r)), dy(out, Layout::random(r));
  x.fill(r), dy.fill(r);
  unfold<T>(p, x.view(), y.view());
  fold<T>(p, dy.view(), dx.view());
  check(dot(y.values(), dy.values()) == dot(x.values(), dx.values()), "fold is not the adjoint of unfold");
  check(y.intact() && dx.intact(), "unfold or fold writes outside its output");
}

Mode random_mode(Random& r) { return static_cast<Mode>(r.between(0, 4)); }

PadProblem random_pad(Random& r) {
  PadProblem p;
  const Mode mode = random_mode(r);
  for (int i = 0; i < 5; ++i) {
    PadAxis& a = p.axis[i];
    a.in = r.between(1, 6);
    if (i < 2 && mode != Mode::zeros) continue;
    a.mode = mode;
    a.before = r.between(-(a.in / 2), 2 * a.in);
    a.after = r.between(-((a.in - 1) / 2), 2 * a.in);
  }
  return p;
}

ConvProblem random_windows(Random& r) {
  ConvProblem p;
  p.mb = r.between(0, 2);
  p.ic = p.oc = r.between(1, 4);
  for (ConvAxis& a : p.axis) {
    a.in = r.between(1, 7);
    a.k = r.between(1, 3);
    a.stride = r.between(1, 3);
    a.dilation = r.between(1, 3);
    a.mode = random_mode(r);
    a.pad_before = r.between(a.k == 1 ? 0 : a.dilation * (a.k - 1), 9);
    a.pad_after = r.between(0, 9);
    a.out = conv_output_size(a);
  }
  return p;
}

}  // namespace

void test_pad(int64_t random_problems, uint64_t seed) {
  Random r(seed);
  for (int64_t i = 0; i < random_problems; ++i) {
    const PadProblem p = random_pad(r);
    test_pad_problem<float>(p, r);
    test_pad_problem<double>(p, r);
    const ConvProblem w = random_windows(r);
    test_windows<float>(w, r);
    test_windows<double>(w, r);
  }
}

}  // namespace fastconv_tests
