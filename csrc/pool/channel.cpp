// Maxout: pooling over groups of channels is pooling over the depth axis of a view that calls them so.
#include "base/message.hpp"
#include "pool/rows.hpp"

namespace fastconv {
namespace {

// Images x groups x pieces x height x width, of one depth d of the caller's array.
template <class T>
View<T> grouped(const View<T>& v, int64_t pieces, int64_t d) {
  View<T> g = v;
  g.data += d * v.stride[2];
  g.shape[1] = v.shape[1] / pieces;
  g.stride[1] = v.stride[1] * pieces;
  g.shape[2] = pieces;
  g.stride[2] = v.stride[1];
  return g;
}
template <class T>
View<T> at_depth(const View<T>& v, int64_t d) {
  View<T> g = v;
  g.data += d * v.stride[2];
  g.shape[2] = 1;
  return g;
}

PoolProblem problem_of(int64_t pieces, int64_t mb, int64_t channels, int64_t height, int64_t width) {
  PoolProblem p;
  p.mb = mb;
  p.channels = channels / pieces;
  p.axis[0].in = p.axis[0].k = p.axis[0].stride = pieces;
  p.axis[1].in = p.axis[1].out = height;
  p.axis[2].in = p.axis[2].out = width;
  return p;
}

// f(element, n, c, d, h, w) over all of a view.
template <class T, class F>
void for_each_element(const View<T>& v, F f) {
  const int64_t planes = v.shape[0] * v.shape[1];
  parallel_tasks(planes, planes ? threads_for(8.0 * static_cast<double>(v.size())) : 1, [&](int64_t plane) {
    const int64_t n = plane / v.shape[1], c = plane % v.shape[1];
    for (int64_t d = 0; d < v.shape[2]; ++d)
      for (int64_t h = 0; h < v.shape[3]; ++h) {
        T* row = v.data + n * v.stride[0] + c * v.stride[1] + d * v.stride[2] + h * v.stride[3];
        for (int64_t w = 0; w < v.shape[4]; ++w) f(row[w * v.stride[4]], n, c, d, h, w);
      }
  });
}

template <class T>
T* element(const View<T>& v, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
  return v.data + n * v.stride[0] + c * v.stride[1] + d * v.stride[2] + h * v.stride[3] + w * v.stride[4];
}

}  // namespace

template <class T>
void channel_max_pool(int64_t pieces, View<const T> x, View<T> y, View<int64_t> indices) {
  const PoolProblem p = problem_of(pieces, x.shape[0], x.shape[1], x.shape[3], x.shape[4]);
  for (int64_t d = 0; d < x.shape[2]; ++d)
    max_pool(p, grouped(x, pieces, d), at_depth(y, d), indices.data ? at_depth(indices, d) : indices);
  if (!indices.data) return;
  const int64_t plane = x.shape[3] * x.shape[4];  // a position in pieces x height x width -> a channel
  for_each_element(indices,
                   [=](int64_t& i, int64_t, int64_t c, int64_t, int64_t, int64_t) { i = c * pieces + i / plane; });
}

template <class T>
void channel_max_pool_backward(int64_t pieces, View<const T> dy, View<const T> x, View<const int64_t> indices,
                               View<T> dx) {
  if (!indices.data) {
    const PoolProblem p = problem_of(pieces, x.shape[0], x.shape[1], x.shape[3], x.shape[4]);
    for (int64_t d = 0; d < x.shape[2]; ++d)
      max_pool_backward(p, at_depth(dy, d), grouped(x, pieces, d), indices, grouped(dx, pieces, d));
    return;
  }
  for_each_element(dy, [=](const T& g, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
    const int64_t winner = *element(indices, n, c, d, h, w), first = c * pieces;
    if (winner < first || winner >= first + pieces)
      invalid({"indices holds ", winner, " for output channel ", c, ", whose channels are [", first, ", ",
               first + pieces, ")"});
    for (int64_t k = first; k < first + pieces; ++k) *element(dx, n, k, d, h, w) = k == winner ? g : T(0);
  });
}

#define FASTCONV_CHANNEL_POOL(T)                                                  \
  template void channel_max_pool(int64_t, View<const T>, View<T>, View<int64_t>); \
  template void channel_max_pool_backward(int64_t, View<const T>, View<const T>, View<const int64_t>, View<T>);
FASTCONV_CHANNEL_POOL(float)
FASTCONV_CHANNEL_POOL(double)

}  // namespace fastconv
