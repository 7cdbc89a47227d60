// Pooling: values against plain loops, guards around the outputs, and the adjoints, exactly.
#include <stdexcept>

#include "check.hpp"
#include "fastconv/pool.hpp"

namespace fastconv_tests {
namespace {

using namespace fastconv;

template <class T>
T& at(const View<T>& v, int64_t n, int64_t c, const int64_t (&p)[3]) {
  return v.data[n * v.stride[0] + c * v.stride[1] + p[0] * v.stride[2] + p[1] * v.stride[3] + p[2] * v.stride[4]];
}

// f(position) for all positions below `limit`, in row-major order.
template <class F>
void for_each_position(const int64_t (&limit)[3], F f) {
  int64_t p[3];
  for (p[0] = 0; p[0] < limit[0]; ++p[0])
    for (p[1] = 0; p[1] < limit[1]; ++p[1])
      for (p[2] = 0; p[2] < limit[2]; ++p[2]) f(p);
}

// Sum, maximum and the maximum's flat position of every window.
template <class T>
void naive(const PoolProblem& p, View<const T> x, View<T> sum, View<T> most, View<int64_t> where) {
  const int64_t out[3] = {p.axis[0].out, p.axis[1].out, p.axis[2].out}, k[3] = {p.axis[0].k, p.axis[1].k, p.axis[2].k};
  for (int64_t n = 0; n < p.mb; ++n)
    for (int64_t c = 0; c < p.channels; ++c)
      for_each_position(out, [&](const int64_t(&o)[3]) {
        T total = 0, best = 0;
        int64_t best_at = -1;
        for_each_position(k, [&](const int64_t(&t)[3]) {
          int64_t i[3], flat = 0;
          for (int a = 0; a < 3; ++a) {
            const PoolAxis& axis = p.axis[a];
            i[a] = o[a] * axis.stride + t[a] * axis.dilation - axis.pad_before;
            if (i[a] < 0 || i[a] >= axis.in) return;
            flat = flat * axis.in + i[a];
          }
          const T v = at(x, n, c, i);
          total += v;
          if (best_at < 0 || v > best) best = v, best_at = flat;
        });
        at(sum, n, c, o) = total;
        at(most, n, c, o) = best;
        at(where, n, c, o) = best_at;
      });
}

PoolProblem random_pool(Random& r) {
  for (;;) {
    PoolProblem p;
    p.mb = r.between(0, 2);
    p.channels = r.between(1, 3);
    for (int i = 0; i < 3; ++i) {
      PoolAxis& a = p.axis[i];
      a.in = i == 2 ? r.between(1, 60) : r.between(1, 6);
      a.k = r.between(1, 4);
      a.stride = r.between(1, 4);
      a.dilation = r.one_in(3) ? r.between(1, 3) : 1;
      a.pad_before = r.between(0, a.dilation * (a.k - 1));
      a.pad_after = r.between(0, a.dilation * (a.k - 1));
      a.out = pool_output_size(a, r.one_in(2));
    }
    try {
      validate(p);
      return p;
    } catch (const std::invalid_argument&) {  // no window fits: draw again
    }
  }
}

template <class T>
void test_problem(PoolProblem p, Random& r) {
  using Layout = typename Guarded<T>::Layout;
  const int64_t in[5] = {p.mb, p.channels, p.axis[0].in, p.axis[1].in, p.axis[2].in};
  const int64_t out[5] = {p.mb, p.channels, p.axis[0].out, p.axis[1].out, p.axis[2].out};
  Guarded<T> x(in, Layout::random(r)), dx(in, Layout::random(r)), y(out, Layout::random(r)), dy(out, Layout::random(r));
  Guarded<T> sum(out), most(out);
  Guarded<int64_t> where(out), index(out, {});
  x.fill(r), dy.fill(r);
  naive<T>(p, x.view(), sum.view(), most.view(), where.view());

  max_pool<T>(p, x.view(), y.view(), {});
  check(y.values() == most.values(), "max_pool is not the maximum");
  max_pool<T>(p, x.view(), y.view(), index.view());
  check(y.values() == most.values() && index.values() == where.values(), "max_pool's index is not the first maximum");
  max_pool_backward<T>(p, dy.view(), x.view(), {}, dx.view());
  check(dot(y.values(), dy.values()) == dot(x.values(), dx.values()), "max_pool_backward does not go to the winners");
  const std::vector<T> recomputed = dx.values();
  max_pool_backward<T>(p, dy.view(), x.view(), index.view(), dx.view());
  check(dx.values() == recomputed, "max_pool_backward differs with indices and without");

  for (PoolAxis& a : p.axis)
    if (a.dilation > 1) return;  // averages have none
  const Averaging sums{true, 1};
  avg_pool<T>(p, sums, x.view(), y.view());
  check(y.values() == sum.values(), "avg_pool is not the sum");
  avg_pool_backward<T>(p, sums, dy.view(), dx.view());
  check(dot(y.values(), dy.values()) == dot(x.values(), dx.values()), "avg_pool_backward is not the adjoint");
  check(y.intact() && dx.intact() && index.intact(), "a pool writes outside its output");
}

}  // namespace

void test_pool(int64_t random_problems, uint64_t seed) {
  Random r(seed);
  for (int64_t i = 0; i < random_problems; ++i) {
    const PoolProblem p = random_pool(r);
    test_problem<float>(p, r);
    test_problem<double>(p, r);
  }
}

}  // namespace fastconv_tests
