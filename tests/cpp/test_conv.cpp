// Convolution and both gradients, every algorithm against the reference: a table of shapes in every padding mode,
// then random problems of random layouts.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "check.hpp"
#include "fastconv/conv.hpp"

namespace fastconv_tests {
namespace {

using namespace fastconv;

constexpr Mode kModes[] = {Mode::zeros, Mode::reflect, Mode::replicate, Mode::circular, Mode::symmetric};

std::string text(const ConvProblem& p) {
  std::string s = "mb" + std::to_string(p.mb) + " g" + std::to_string(p.groups) + " ic" + std::to_string(p.ic) + " oc" +
                  std::to_string(p.oc);
  for (const ConvAxis& a : p.axis)
    s += " [in" + std::to_string(a.in) + " k" + std::to_string(a.k) + " s" + std::to_string(a.stride) + " d" +
         std::to_string(a.dilation) + " p" + std::to_string(a.pad_before) + "," + std::to_string(a.pad_after) + " " +
         mode_name(a.mode) + "]";
  return s;
}

template <class T>
const char* type_name() {
  return sizeof(T) == 4 ? " float" : " double";
}

// The arrays of one problem, in one layout each.
template <class T>
struct Arrays {
  using Layout = typename Guarded<T>::Layout;
  Guarded<T> x, w, y, bias_out, bias_in;

  Arrays(const ConvProblem& p, Layout lx, Layout lw, Layout ly)
      : x({p.mb, p.ic, p.axis[0].in, p.axis[1].in, p.axis[2].in}, lx),
        w({p.oc, p.ic / p.groups, p.axis[0].k, p.axis[1].k, p.axis[2].k}, lw),
        y({p.mb, p.oc, p.axis[0].out, p.axis[1].out, p.axis[2].out}, ly),
        bias_out({p.oc, 1, 1, 1, 1}),
        bias_in({p.ic, 1, 1, 1, 1}) {}
};

// Equal, or, where transforms round, nearly so.
template <class T>
bool agree(const std::vector<T>& got, const std::vector<T>& want, bool transformed) {
  if (!transformed) return got == want;
  T largest = 1, error = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(want[i]));
    error = std::max(error, std::abs(got[i] - want[i]));
  }
  return error <= 1e-4 * largest;
}

// Fills a poisoned array like `like`, in the given layout, by `run` and by the reference; both must agree, exactly
// unless the plan is of transforms, and nothing outside the array may change.
template <class T, class F>
void compare(const ConvProblem& p, Direction direction, Guarded<T>& like, typename Guarded<T>::Layout layout,
             const std::string& what, F run) {
  Guarded<T> want(like.view().shape, layout), got(like.view().shape, layout);
  run(want.view(), Algorithm::reference);
  for (Algorithm algorithm : {Algorithm::automatic, Algorithm::direct}) {
    got = Guarded<T>(like.view().shape, layout);
    run(got.view(), algorithm);
    const std::string title = what + " " + algorithm_name(algorithm);
    const Algorithm used = plan_conv<T>(p, direction, algorithm).algorithm;
    check(agree(got.values(), want.values(), used == Algorithm::fft || used == Algorithm::winograd),
          title + ": differs from the reference");
    check(got.intact(), title + ": writes outside its output");
  }
}

template <class T>
void test_problem(const ConvProblem& p, Random& r, bool any_layout) {
  validate(p);
  using Layout = typename Guarded<T>::Layout;
  auto layout = [&] { return any_layout ? Layout::random(r) : Layout{}; };
  const Layout lx = layout(), ly = layout(), lw = layout();
  Arrays<T> a(p, lx, lw, ly);
  a.x.fill(r), a.w.fill(r), a.y.fill(r), a.bias_out.fill(r), a.bias_in.fill(r);
  const View<const T> none, x = a.x.view(), w = a.w.view(), dy = a.y.view();
  const View<const T> bo = r.one_in(2) ? a.bias_out.view() : none, bi = r.one_in(2) ? a.bias_in.view() : none;
  const Activation act = r.one_in(2) ? Activation::relu : Activation::none;
  const std::string of = text(p) + type_name<T>();
  compare(p, Direction::forward, a.y, ly, of + " forward",
          [&](View<T> y, Algorithm algorithm) { conv_forward<T>(p, x, w, bo, y, act, algorithm); });
  compare(p, Direction::backward_input, a.x, lx, of + " backward input",
          [&](View<T> dx, Algorithm algorithm) { conv_backward_input<T>(p, dy, w, bi, dx, act, algorithm); });
  compare(p, Direction::backward_weight, a.w, lw, of + " backward weight",
          [&](View<T> dw, Algorithm algorithm) { conv_backward_weight<T>(p, dy, x, dw, algorithm); });
  Guarded<T> db({p.oc, 1, 1, 1, 1});
  conv_backward_bias<T>(dy, db.view());
  const std::vector<T> g = a.y.values(), sums = db.values();
  double total = 0;
  for (T v : g) total += static_cast<double>(v);
  check(dot(sums, std::vector<T>(sums.size(), 1)) == total && db.intact(), of + " backward bias");
}

struct Axis {
  int64_t in, k, stride = 1, dilation = 1, before = 0, after = 0;
};
struct Shape {
  int64_t mb, groups, ic, oc;
  Axis d, h, w;
};

const Shape kShapes[] = {
    // mb g ic oc  in k s d pads: one line a family, with primes, tails, single pixels and kernels beyond the image
    {1, 1, 1, 1, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 3, 5, {1, 1}, {7, 3, 1, 1, 1, 1}, {11, 3, 1, 1, 1, 1}},
    {1, 1, 16, 16, {1, 1}, {14, 3, 1, 1, 1, 1}, {17, 3, 1, 1, 1, 1}},
    {3, 1, 13, 37, {1, 1}, {5, 1}, {6, 1}},
    {1, 1, 33, 65, {1, 1}, {9, 1, 2}, {13, 1, 2}},
    {1, 1, 8, 24, {1, 1}, {23, 5, 2, 1, 2, 1}, {19, 5, 2, 1, 1, 2}},
    {2, 1, 4, 9, {1, 1}, {13, 3, 1, 3, 3, 2}, {29, 2, 1, 5, 0, 4}},
    {1, 1, 1, 7, {1, 1}, {31, 7, 1, 1, 3, 3}, {37, 7, 1, 1, 3, 3}},
    {1, 1, 3, 64, {1, 1}, {21, 7, 2, 1, 3, 3}, {21, 7, 2, 1, 3, 3}},
    {2, 7, 7, 7, {1, 1}, {12, 3, 1, 1, 1, 1}, {18, 3, 1, 1, 1, 1}},
    {1, 5, 5, 15, {1, 1}, {9, 5, 2, 1, 2, 2}, {33, 5, 2, 1, 2, 2}},
    {2, 3, 6, 9, {1, 1}, {8, 3, 1, 2, 1, 2}, {10, 2, 3, 1, 0, 1}},
    {1, 1, 2, 3, {1, 1}, {2, 5, 1, 1, 7, 9}, {3, 4, 2, 2, 8, 11}},
    {1, 1, 2, 2, {1, 1}, {1, 3, 1, 1, 2, 2}, {1, 3, 1, 1, 2, 2}},
    {1, 1, 3, 4, {1, 1}, {4, 4}, {4, 4}},
    {1, 1, 2, 3, {1, 1}, {1, 1}, {130, 31, 1, 1, 15, 15}},
    {2, 1, 5, 3, {1, 1}, {1, 1}, {101, 3, 4, 7, 5, 20}},
    {1, 1, 3, 4, {5, 3, 1, 1, 1, 1}, {6, 2, 2, 1, 0, 1}, {9, 3, 1, 2, 2, 2}},
    {2, 2, 4, 6, {3, 2, 1, 1, 1, 0}, {4, 3, 1, 1, 1, 1}, {5, 3, 2, 1, 1, 1}},
    {0, 1, 3, 4, {1, 1}, {6, 3}, {6, 3}},
    {1, 1, 48, 8, {1, 1}, {7, 3, 1, 1, 2, 0}, {40, 3, 1, 1, 0, 2}},
    {1, 1, 300, 10, {1, 1}, {3, 3, 1, 1, 1, 1}, {4, 3, 1, 1, 1, 1}},
};

ConvAxis axis_of(const Axis& a, Mode mode) {
  ConvAxis c;
  c.in = a.in, c.k = a.k, c.stride = a.stride, c.dilation = a.dilation;
  c.pad_before = a.before, c.pad_after = a.after, c.mode = mode;
  c.out = conv_output_size(c);
  return c;
}

void test_table(Random& r) {
  for (const Shape& s : kShapes)
    for (Mode mode : kModes) {
      ConvProblem p;
      p.mb = s.mb, p.groups = s.groups, p.ic = s.ic, p.oc = s.oc;
      p.axis[0] = axis_of(s.d, mode), p.axis[1] = axis_of(s.h, mode), p.axis[2] = axis_of(s.w, mode);
      test_problem<float>(p, r, false);
      test_problem<double>(p, r, false);
    }
}

ConvProblem random_problem(Random& r) {
  ConvProblem p;
  p.mb = r.between(0, 2);
  p.groups = r.one_in(2) ? 1 : r.between(1, 5);
  const bool depthwise = r.one_in(3);
  p.ic = p.groups * (depthwise ? 1 : r.between(1, 9));
  p.oc = p.groups * (depthwise ? r.between(1, 2) : r.between(1, 20));
  const int64_t nd = r.between(1, 3);
  for (int64_t i = 3 - nd; i < 3; ++i) {
    ConvAxis& a = p.axis[i];
    a.mode = kModes[r.between(0, 4)];
    a.k = r.between(1, r.one_in(4) ? 9 : 4);
    a.stride = r.one_in(2) ? 1 : r.between(1, 4);
    a.dilation = r.one_in(2) ? 1 : r.between(1, 3);
    a.in = r.between(1, nd == 1 ? 60 : nd == 2 ? 20 : 7);
    const int64_t most = r.one_in(4) ? 3 * a.in : a.k;
    a.pad_before = r.between(0, most);
    a.pad_after = r.between(0, most);
    const int64_t lacking = a.dilation * (a.k - 1) + 1 - a.in - a.pad_before - a.pad_after;
    if (lacking > 0) a.pad_after += lacking;
  }
  for (ConvAxis& a : p.axis) {
    a.out = conv_output_size(a);
    if (r.one_in(10)) a.out = r.between(0, a.out);  // fewer than there are positions
  }
  return p;
}

void test_refusals() {
  ConvProblem good;
  good.ic = good.oc = 4;
  good.axis[2].in = 8, good.axis[2].k = 3, good.axis[2].out = 6;
  validate(good);
  const std::pair<const char*, void (*)(ConvProblem&)> spoils[] = {
      {"groups 0", [](ConvProblem& p) { p.groups = 0; }},
      {"groups that do not divide", [](ConvProblem& p) { p.groups = 3; }},
      {"stride 0", [](ConvProblem& p) { p.axis[2].stride = 0; }},
      {"dilation 0", [](ConvProblem& p) { p.axis[2].dilation = 0; }},
      {"negative padding", [](ConvProblem& p) { p.axis[2].pad_before = -1; }},
      {"kernel 0", [](ConvProblem& p) { p.axis[2].k = 0; }},
      {"kernel beyond the image", [](ConvProblem& p) { p.axis[2].k = 9; }},
      {"output beyond the positions", [](ConvProblem& p) { p.axis[2].out = 7; }},
      {"nothing to reflect",
       [](ConvProblem& p) { p.axis[1].in = 0, p.axis[1].pad_after = 1, p.axis[1].mode = Mode::reflect; }},
      {"overflow", [](ConvProblem& p) { p.axis[2].in = p.axis[2].pad_after = INT64_MAX; }},
  };
  for (const auto& [what, spoil] : spoils) {
    ConvProblem bad = good;
    spoil(bad);
    bool refused = false;
    try {
      validate(bad);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    check(refused, std::string("validate accepts ") + what);
  }
}

}  // namespace

void test_conv(int64_t random_problems, uint64_t seed) {
  Random r(seed);
  test_refusals();
  test_table(r);
  for (int64_t i = 0; i < random_problems; ++i) {
    const ConvProblem p = random_problem(r);
    test_problem<float>(p, r, true);
    test_problem<double>(p, r, true);
  }
}

}  // namespace fastconv_tests
