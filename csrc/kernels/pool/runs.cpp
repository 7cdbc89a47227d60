// Whole planes, or long windows, as runs of elements: one sum, or the largest element, of each.
#include "kernels/pool/runs.hpp"

#include "kernels/edges.hpp"
#include "kernels/masked.hpp"
#include "kernels/pool/ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// One lane for each of 2 * kHalf vectors: the first kHalf, each joined with its partner, and so on.
template <class Op, class T, int kHalf>
FASTCONV_INLINE Vec<T> join_lanes(Vec<T> (&v)[kLanes<T>]) {
#pragma GCC unroll 8
  for (int i = 0; i < kHalf; ++i)
    v[i] = Op::join(Plain<Vec<T>, Mask<T>>{zip_low(v[i], v[i + kHalf])},
                    Plain<Vec<T>, Mask<T>>{zip_high(v[i], v[i + kHalf])})
               .v;
  if constexpr (kHalf > 1) return join_lanes<Op, T, kHalf / 2>(v);
  else return v[0];
}

// Runs of n elements joined, each in four chains, and the lanes of all by one tree of transposes.
template <class Op, class T>
void join_runs(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out) {
  using C = Plain<Vec<T>, Mask<T>>;
  constexpr int64_t kStep = 4 * kLanes<T>;
  const C none{splat(Op::template neutral<T>())};
  const int64_t whole = n / kStep * kStep;
  for (; count > 0; count -= kLanes<T>, runs += kLanes<T> * step, out += kLanes<T>) {
    Vec<T> joined[kLanes<T>];
    for (int64_t l = 0; l < kLanes<T>; ++l) {
      const T* p = runs + (l < count ? l : 0) * step;
      C part[4] = {none, none, none, none};
      for (const T* stop = p + whole; p < stop; p += kStep)
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u)
          part[u] = Op::join(part[u], C{load(p + u * kLanes<T>)}), fetch_ahead(p + u * kLanes<T>);
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        const int64_t left = n - whole - u * kLanes<T>;
        if (__builtin_expect(left <= 0, 0)) break;
        fetch_ahead(p + u * kLanes<T>);
        if (__builtin_expect(left >= kLanes<T>, 1)) {
          part[u] = Op::join(part[u], C{load(p + u * kLanes<T>)});
        } else {
          const Vec<T> v = load_lanes(p + u * kLanes<T>, LaneRange<T>(0, left));
          part[u] = Op::join(part[u], C{Op::kRepeatable ? (first_lanes<T>(left) ? v : none.v) : v});
        }
      }
      joined[l] = Op::join(Op::join(part[0], part[1]), Op::join(part[2], part[3])).v;
    }
    const Vec<T> result = join_lanes<Op, T, kLanes<T> / 2>(joined) / splat(divisor);
    if (count >= kLanes<T>) store(out, result);
    else store_part(out, result, count);
  }
}

}  // namespace

template <class T>
void PoolRuns<T>::max(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out) {
  join_runs<Max, T>(runs, step, count, n, divisor, out);
}
template <class T>
void PoolRuns<T>::sum(const T* runs, int64_t step, int64_t count, int64_t n, T divisor, T* out) {
  join_runs<Sum, T>(runs, step, count, n, divisor, out);
}
template <class T>
void PoolRuns<T>::fill(const T* values, int64_t values_step, T factor, T* to, int64_t step, int64_t count, int64_t n) {
  const RowPart<T> part(n);
  for (; count > 0; --count, values += values_step, to += step) {
    const Vec<T> v = splat(*values * factor);
    by_blocks<T>(n, [&](int64_t i) FASTCONV_LAMBDA { part.store_to(to + i, v); });
  }
}

template struct PoolRuns<float>;
template struct PoolRuns<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
