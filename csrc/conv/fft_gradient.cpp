#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/fft.hpp"
#include "conv/fft_planes.hpp"
#include "conv/fft_tiles.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

// Sums of spectra of some output channels times some terms. As many parts of the tiles as keep the threads busy are
// summed apart; their number depends on the problem alone.
template <class T>
class Gradient {
 public:
  Gradient(const FftAxes& axes, View<const T> dy_, View<const T> x_, const FftWeights<T>& dw_, const FftPlan& p)
      : a(axes), dy(dy_), x(x_), dw(dw_), plan(p), tiles(axes, p) {}

  void run() const {
    const int64_t sums = plan.row_chunk * plan.depth_chunk * plan.inner_chunk * tiles.size();
    T* shared = plan.parts > 1 ? reinterpret_cast<T*>(Arena::shared().reserve(plan.tasks * plan.parts * sums *
                                                                              static_cast<int64_t>(sizeof(T))))
                               : nullptr;
    parallel_tasks(plan.tasks * plan.parts, plan.threads, [&](int64_t i) {
      const int64_t part = i % plan.parts;
      Memory memory(*this);
      if (shared) memory.sums = shared + i * sums;
      const Task task = at(i / plan.parts);
      accumulate(task, part * items / plan.parts, (part + 1) * items / plan.parts, memory);
      if (!shared) finish(task, memory);
    });
    if (!shared) return;
    parallel_tasks(plan.tasks, plan.threads, [&](int64_t i) {
      Memory memory(*this);
      memory.sums = shared + i * plan.parts * sums;
      for (int64_t part = 1; part < plan.parts; ++part)
        for (int64_t j = 0; j < sums; ++j) memory.sums[j] += memory.sums[part * sums + j];
      finish(at(i), memory);
    });
  }

 private:
  struct Task {
    int64_t g, m0, rows;
    FftTerms terms;
  };
  Task at(int64_t i) const {
    const int64_t chunks = tiles.term_chunks(), m = i / chunks % row_chunks * plan.row_chunk;
    return {i / (row_chunks * chunks), m, std::min(plan.row_chunk, a.rows - m), tiles.terms(i % chunks)};
  }

  struct Memory {
    FftScratch<T> scratch;
    T *u, *z, *sums;
    explicit Memory(const Gradient& of) : scratch(of.plan) {
      const int64_t size = of.tiles.size();
      u = scratch.tile + size;
      z = u + of.plan.row_chunk * size;
      sums = z + of.plan.planes * of.plan.inner_chunk * size;
    }
  };

  T* sum(const Memory& memory, const Task& t, int64_t m, int64_t q) const {
    return memory.sums + (m * t.terms.size() + q) * tiles.size();
  }

  // Items are the steps of all pairs of tiles.
  void accumulate(const Task& t, int64_t begin, int64_t end, Memory& memory) const {
    std::fill_n(memory.sums, t.rows * t.terms.size() * tiles.size(), T(0));
    while (begin < end) {
      const int64_t at = begin % plan.steps(), i = std::min(at / plan.depths, plan.pairs() - 1),
                    step = at - i * plan.depths;
      const auto pair = tiles.pair(begin / plan.steps(), i);
      const int64_t n = std::min(pair.depths - step, end - begin);
      accumulate_pair(t, pair, step, step + n, memory);
      begin += n;
    }
  }

  void accumulate_pair(const Task& t, const FftPair& pair, int64_t begin, int64_t end, Memory& memory) const {
    const int64_t size = tiles.size();
    FftPlanes<T> planes(tiles, pair, t.g, t.terms, x, memory.scratch, memory.z);
    for (int64_t step = begin; step < end; ++step) {
      planes.move_to(step, 1);
      for (int64_t m = 0; m < t.rows; ++m)
        tiles.transform_dy(pair, step, t.g * a.rows + t.m0 + m, dy, memory.scratch, memory.u + m * size);
      for (int64_t m = 0; m < t.rows; ++m)
        for (int64_t q = 0; q < t.terms.size(); ++q) {
          const T *z = planes.at[static_cast<size_t>(q / t.terms.terms)], *u = memory.u + m * size;
          if (!z) continue;
          z += q % t.terms.terms * size;
          tiles.kernels.multiply({sum(memory, t, m, q), &z, &u, 1, tiles.vectors(), true});
        }
    }
  }

  // The sums of a task, transformed back, into dw.
  void finish(const Task& t, const Memory& memory) const {
    const int64_t lanes = conv_kernels<T>().lanes;
    const T scale = T(1) / static_cast<T>(plan.rows * plan.columns);
    for (int64_t m = 0; m < t.rows; ++m)
      for (int64_t q = 0; q < t.terms.size(); ++q) {
        const auto term = tiles.term((t.terms.d0 + q / t.terms.terms) * tiles.inner() + t.terms.i0 + q % t.terms.terms);
        const int64_t columns = std::min(plan.columns, term.w->reach() + 1);
        tiles.kernels.inverse(tiles.shape(), sum(memory, t, m, q), memory.scratch.tile, columns);
        T* to = dw.data + tiles.weight_offset(dw, t.g, t.m0 + m, term);
        for (int64_t i = 0; i < term.h->count; ++i)
          for (int64_t j = 0; j < term.w->count; ++j) {
            const int64_t w = j * term.w->shift, r = plan.line ? w / plan.columns : i * term.h->shift,
                          c = w % plan.columns;
            to[(plan.line ? 0 : tiles.tap(dw, 1, *term.h, i)) + tiles.tap(dw, 2, *term.w, j)] =
                scale * memory.scratch.tile[(c / lanes * plan.rows + r) * 2 * lanes + c % lanes];
          }
      }
  }

  const FftAxes& a;
  View<const T> dy, x;
  const FftWeights<T>& dw;
  const FftPlan& plan;
  const FftTiles<T> tiles;
  const int64_t row_chunks = ceil_div(a.rows, plan.row_chunk), items = a.images * plan.steps();
};

}  // namespace

template <class T>
void run_fft_gradient(const FftAxes& axes, View<const T> dy, View<const T> x, const FftWeights<T>& dw,
                      const FftPlan& plan) {
  Gradient<T>(axes, dy, x, dw, plan).run();
}

#define FASTCONV_INSTANTIATE(T) \
  template void run_fft_gradient(const FftAxes&, View<const T>, View<const T>, const FftWeights<T>&, const FftPlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
