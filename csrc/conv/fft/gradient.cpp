#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/fft/fft.hpp"
#include "conv/fft/planes.hpp"
#include "conv/fft/tiles.hpp"
#include "conv/sum_parts.hpp"
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
    if (plan.parts == 1)
      return parallel_tasks(plan.tasks, plan.threads, [&](int64_t i) {
        const Memory memory(*this);
        const Task task = at(i);
        accumulate(task, {0, items}, memory);
        for (int64_t j = 0; j < sums; ++j) finish(task, j, memory);
      });
    const int64_t elements = sums * tiles.size();  // of a part
    T* shared = reinterpret_cast<T*>(Arena::shared().reserve(plan.tasks * plan.parts * elements * int64_t{sizeof(T)}));
    parallel_tasks(plan.tasks * plan.parts, plan.threads, [&](int64_t i) {
      accumulate(at(i / plan.parts), part(items, plan.parts, i % plan.parts), Memory(*this, shared + i * elements));
    });
    add_parts(shared, elements);
    parallel_tasks(plan.tasks * sums, plan.threads, [&](int64_t i) {
      finish(at(i / sums), i % sums, Memory(*this, shared + i / sums * plan.parts * elements));
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
    explicit Memory(const Gradient& of, T* sums_ = nullptr) : scratch(of.plan) {
      const int64_t size = of.tiles.size();
      u = scratch.tile + size;
      z = u + of.plan.row_chunk * size;
      sums = sums_ ? sums_ : z + of.plan.planes * of.plan.inner_chunk * size;
    }
  };

  // Parts 1, 2, ... of all tasks are added to part 0, slice by slice.
  void add_parts(T* shared, int64_t elements) const {
    constexpr int64_t kSlice = 4096;
    const int64_t slices = ceil_div(elements, kSlice);
    parallel_tasks(plan.tasks * slices, plan.threads, [&](int64_t i) {
      T* const first = shared + i / slices * plan.parts * elements;
      const int64_t begin = i % slices * kSlice, end = std::min(elements, begin + kSlice);
      for (int64_t k = 1; k < plan.parts; ++k) add_elements(first + begin, first + k * elements + begin, end - begin);
    });
  }

  T* sum(const Memory& memory, const Task& t, int64_t m, int64_t q) const {
    return memory.sums + (m * t.terms.size() + q) * tiles.size();
  }

  // Items are the steps of all pairs of tiles.
  void accumulate(const Task& t, Range of, Memory memory) const {
    std::fill_n(memory.sums, t.rows * t.terms.size() * tiles.size(), T(0));
    auto [begin, end] = of;
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

  // Sum `i` of a task, transformed back, into dw.
  void finish(const Task& t, int64_t i, const Memory& memory) const {
    const int64_t m = i / t.terms.size(), q = i % t.terms.size(), lanes = conv_kernels<T>().lanes;
    if (m >= t.rows) return;
    const FftTerm term = tiles.term((t.terms.d0 + q / t.terms.terms) * tiles.inner() + t.terms.i0 + q % t.terms.terms);
    const int64_t columns = std::min(plan.columns, term.w->reach() + 1);
    tiles.transform_back(sum(memory, t, m, q), memory.scratch.tile, columns);
    T* to = dw.data + tiles.weight_offset(dw, t.g, t.m0 + m, term);
    FftStore<T> job{};
    job.tile_rows = plan.rows;
    job.tile_columns = plan.columns;
    job.rows = plan.line ? plan.rows : 1;
    job.column_step = plan.columns;
    job.y_step = term.w->count > 1 ? tiles.tap(dw, 2, *term.w, 1) - tiles.tap(dw, 2, *term.w, 0) : 1;
    job.y_row = plan.columns * job.y_step;
    job.scale = tiles.scale();
    for (int64_t y = 0; y < term.h->count; ++y) {
      const T* const row = memory.scratch.tile + (plan.line ? 0 : y * term.h->shift * 2 * lanes);
      T* const taps = to + (plan.line ? 0 : tiles.tap(dw, 1, *term.h, y));
      if (term.w->shift == 1) {
        job.tile = row;
        job.y = taps + tiles.tap(dw, 2, *term.w, 0);
        tiles.store(job, term.w->count);
      } else {
        for (int64_t j = 0; j < term.w->count; ++j) {
          const int64_t w = j * term.w->shift, r = plan.line ? w / plan.columns : 0, c = w % plan.columns;
          taps[tiles.tap(dw, 2, *term.w, j)] = job.scale * row[tiles.place(c, columns) + r * 2 * lanes];
        }
      }
    }
  }

  const FftAxes& a;
  View<const T> dy, x;
  const FftWeights<T>& dw;
  const FftPlan& plan;
  const FftTiles<T> tiles;
  const int64_t row_chunks = ceil_div(a.rows, plan.row_chunk), items = a.images * plan.steps(),
                sums = plan.row_chunk * plan.depth_chunk * plan.inner_chunk;  // of a task, at most
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

}  // namespace fastconv
