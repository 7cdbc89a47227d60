#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/fft/fft.hpp"
#include "conv/fft/planes.hpp"
#include "conv/fft/tiles.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

template <class T>
class Forward {
 public:
  Forward(const FftSum<T>& sum, const FftPlan& p) : s(sum), plan(p), tiles(sum.of, p) {}

  void run() const {
    const FftAxes& a = s.of;
    for (int64_t g = 0; g < a.groups; g += plan.group_chunk)
      for (int64_t m = 0; m < a.rows; m += plan.row_chunk)
        for (int64_t i = 0; i < tiles.term_chunks(); ++i)
          run_chunk(
              {g, std::min(plan.group_chunk, a.groups - g), m, std::min(plan.row_chunk, a.rows - m), tiles.terms(i)});
  }

 private:
  struct Chunk {
    int64_t g0, groups, m0, rows;
    FftTerms terms;
  };

  void run_chunk(const Chunk& c) const {
    const int64_t size = tiles.size(), terms = c.terms.size();
    T* weights = reinterpret_cast<T*>(Arena::shared().reserve(plan.shared_bytes));
    parallel_tasks(c.groups * c.rows * terms, plan.threads, [&](int64_t i) {
      FftScratch<T> scratch(plan);
      const int64_t q = (c.terms.d0 + i % terms / c.terms.terms) * tiles.inner() + c.terms.i0 + i % c.terms.terms;
      tiles.transform_weights(s.w, c.g0 + i / (c.rows * terms), c.m0 + i / terms % c.rows, q, scratch,
                              weights + i * size);
    });
    // Few tiles: the depths are shared out too, and then the rows, though each share transforms x anew.
    const int64_t items = s.of.images * plan.pairs() * c.groups;
    const bool share = plan.threads > 1;
    const int64_t runs = share ? std::min(plan.depths, ceil_div(2 * plan.threads, items)) : 1;
    const int64_t parts = share ? std::min(c.rows, ceil_div(2 * plan.threads, items * runs)) : 1;
    parallel_tasks(items * runs * parts, plan.threads, [&](int64_t i) {
      const int64_t part = i % parts, run = i / parts % runs, item = i / parts / runs, g = item % c.groups;
      const auto pair = tiles.pair(item / c.groups / plan.pairs(), item / c.groups % plan.pairs());
      run_pair(c, g, {part * c.rows / parts, (part + 1) * c.rows / parts},
               {run * pair.depths / runs, (run + 1) * pair.depths / runs}, pair, weights + g * c.rows * terms * size);
    });
  }

  void run_pair(const Chunk& c, int64_t g, Range rows, Range steps, const FftPair& pair, const T* weights) const {
    const int64_t size = tiles.size();
    FftScratch<T> scratch(plan);
    T* acc = scratch.tile + size;
    FftPlanes<T> planes(tiles, pair, c.g0 + g, c.terms, s.x, scratch, acc + plan.batch * size);
    const int64_t columns = std::min(plan.columns, std::max(pair.extent[0][1], pair.extent[1][1]));
    for (int64_t first = steps.begin; first < steps.end; first += plan.batch) {
      const int64_t n = std::min(plan.batch, steps.end - first);
      planes.move_to(first, n);
      for (int64_t m = rows.begin; m < rows.end; ++m) {
        multiply(c.terms, planes.at, weights + m * c.terms.size() * size, n, acc);
        for (int64_t i = 0; i < n; ++i) {
          tiles.transform_back(acc + i * size, scratch.tile, columns);
          for (int which = 0; which < pair.count; ++which)
            if (const int64_t depth = pair.depth(which, first + i); depth < plan.depths)
              store(c, (c.g0 + g) * s.of.rows + c.m0 + m, pair, depth, which, scratch.tile);
        }
      }
    }
  }

  // Sums of products for n steps, so many frequencies at a time that what the steps share stays in the cache.
  void multiply(const FftTerms& terms, const Vector<const T*>& planes, const T* weights, int64_t n, T* acc) const {
    constexpr int64_t kWide = 4;
    const int64_t size = tiles.size(), vectors = tiles.vectors(), vector = 2 * conv_kernels<T>().lanes;
    const int64_t bytes = (plan.planes * terms.terms + terms.size()) * vector * static_cast<int64_t>(sizeof(T));
    const int64_t most = n == 1 ? vectors : std::min(vectors, std::max(kWide, kFftCacheBytes / bytes / kWide * kWide));
    Vector<const T*> x(static_cast<size_t>(terms.size())), k(x.size());
    for (int64_t v = 0; v < vectors; v += most)
      for (int64_t i = 0; i < n; ++i) {
        size_t live = 0;
        for (int64_t q = 0; q < terms.size(); ++q)
          if (const T* plane = planes[static_cast<size_t>(i * terms.depths + q / terms.terms)]) {
            x[live] = plane + q % terms.terms * size + v * vector;
            k[live++] = weights + q * size + v * vector;
          }
        tiles.kernels.multiply({acc + i * size + v * vector, x.data(), k.data(), static_cast<int64_t>(live),
                                std::min(most, vectors - v), false});
      }
  }

  void store(const Chunk& c, int64_t channel, const FftPair& pair, int64_t depth, int i, const T* tile) const {
    const View<T>& y = s.y;
    FftStore<T> job{};
    job.tile = tile;
    job.part = i;
    job.tile_rows = plan.rows;
    job.tile_columns = plan.columns;
    job.y = y.data + pair.image * y.stride[0] + channel * y.stride[1] + depth * y.stride[2] +
            pair.begin[i][0] * y.stride[3] + pair.begin[i][1] * y.stride[4];
    job.y_row = plan.line ? plan.columns * y.stride[4] : y.stride[3];
    job.y_step = y.stride[4];
    job.rows = plan.line ? plan.rows : pair.extent[i][0];
    job.column_step = plan.line ? plan.columns : 0;
    job.scale = tiles.scale();
    job.accumulate = !c.terms.first();
    job.bias = s.bias && !job.accumulate ? s.bias + channel : nullptr;
    job.clamp = s.clamp && tiles.last(c.terms);
    job.low = s.low;
    job.high = s.high;
    tiles.store(job, pair.extent[i][1]);
  }

  const FftSum<T>& s;
  const FftPlan& plan;
  const FftTiles<T> tiles;
};

}  // namespace

template <class T>
void run_fft(const FftSum<T>& s, const FftPlan& plan) {
  Forward<T>(s, plan).run();
}

template void run_fft(const FftSum<float>&, const FftPlan&);
template void run_fft(const FftSum<double>&, const FftPlan&);

}  // namespace fastconv
