#include "conv/winograd/winograd.hpp"

#include <algorithm>
#include <atomic>

#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/winograd/layout.hpp"
#include "conv/winograd/patches.hpp"
#include "conv/winograd/slices.hpp"
#include "conv/winograd/spread.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace {

template <class T>
struct Tiles {
  const WinogradSum<T>& s;
  const WinogradPlan& plan;
  const WinogradSpread<T>* spread;  // or null
  const T* const all_u;             // the transformed weights, if tasks do not make their own
  const WinogradLayout<T> layout{s, plan};
  const int64_t lanes = conv_kernels<T>().lanes;
  const WinogradKernelsOf<T>& kernels = winograd_kernels<T>();

  struct Scratch {
    T *v, *m, *u, *pixels;
    explicit Scratch(const WinogradSizes<T>& n) {
      char* memory = Arena::local().reserve(n.total());
      v = reinterpret_cast<T*>(memory);
      m = reinterpret_cast<T*>(memory += n.v);
      u = reinterpret_cast<T*>(memory += n.m);
      pixels = reinterpret_cast<T*>(memory + n.u);
    }
  };

  // The rows are a task's last digit.
  void run_task(int64_t task) const {
    const int64_t all[3] = {s.axis[0].outputs, s.shape.tiles(1, s.axis[1].outputs),
                            s.shape.tiles(2, s.axis[2].outputs)};
    const int64_t unit[3] = {1, 1, s.shape.step[2]};
    Box box{};
    const int64_t rows = task % plan.row_parts;
    task /= plan.row_parts;
    const Range groups = part(s.groups, plan.group_parts, task % plan.group_parts);
    task /= plan.group_parts;
    for (int i : {2, 1, 0}) {
      const Range own = part(ceil_div(all[i], unit[i]), plan.parts[i], task % plan.parts[i]);
      box.begin[i] = own.begin * unit[i];
      box.end[i] = std::min(all[i], own.end * unit[i]);
      task /= plan.parts[i];
    }
    const Range images = part(s.images, plan.image_parts, task);
    box.image0 = images.begin;
    box.image1 = images.end;
    run(box, groups, rows);
  }

 private:
  // A block of some groups, and part `part` of the rows. The box counts images, outputs along the depth, and tiles.
  void run(const Box& box, Range groups, int64_t part) const {
    const Scratch scratch(WinogradSizes<T>(s, plan));
    const WinogradPatchesOf<T> source(s.shape, s.spreads(), s.axis, s.x, box);
    const WinogradBlock block(s.shape, s.axis, box);
    clear_short(block, scratch.m);
    const int64_t vectors = ceil_div(s.rows, lanes), end = (part + 1) * vectors / plan.row_parts;
    Slices slices(s.axis[0], s.shape.sources());
    for (int64_t g = groups.begin; g < groups.end; ++g) {
      slices.clear();
      for (int64_t o = box.begin[0]; o < box.end[0]; ++o) {
        slices.fetch(o, [&](int64_t slice, int64_t place) {
          source.transform(slice, g * s.channels, s.channels, scratch.pixels, scratch.v + place * layout.v_slice,
                           layout.v_plane, layout.v_vector, layout.v_slice);
        });
        for (int64_t r = part * vectors / plan.row_parts; r < end; r += plan.chunk) {
          const int64_t n = std::min(plan.chunk, end - r);
          for (int64_t c = 0; c < s.channels; c += plan.depth)
            multiply(block, g, {r, r + n}, {c, std::min(s.channels, c + plan.depth)}, slices.places(), scratch);
          for (int64_t i = 0; i < n; ++i) transform_output(box, block, o, g, r, i, scratch);
        }
      }
    }
  }

  // The values that short tiles and phases of fewer taps do not have are zeros, once and for all.
  void clear_short(const WinogradBlock& block, T* m) const {
    const int64_t phases = s.shape.results();
    for (int64_t i = 0; i < s.shape.planes(); ++i, m += layout.m_plane) {
      const Range own = block.in_plane(i);
      const unsigned missing = phases > 1 ? s.shape.missing(i) : 0;
      if (own.size() == block.all() && !missing) continue;
      for (int64_t r = 0; r < plan.chunk * phases; ++r) {
        T* tile = m + r * layout.m_vector;
        const bool none = missing >> r % phases & 1;
        std::fill_n(tile, (none ? block.all() : own.begin) * lanes, T(0));
        std::fill(tile + own.end * lanes, tile + block.all() * lanes, T(0));
      }
    }
  }

  // All products of some vectors of rows with some channels: of vectors of rows at once or, one by one, of the phases
  // that have a value in a plane.
  void multiply(const WinogradBlock& block, int64_t g, Range rows, Range channels, const Vector<int64_t>& place,
                const Scratch& scratch) const {
    const bool own = plan.transforms_weights, phases = s.shape.phases;
    const int64_t held = own ? channels.size() : s.channels, c0 = own ? 0 : channels.begin;
    const int64_t u_plane = winograd_weight_plane<T>(s.shape.slices * held), u_vector = winograd_weight_vector(s, held);
    if (own)
      for (int64_t r = rows.begin; r < rows.end; ++r)
        transform_rows(s, g, r, channels.begin, channels.end, scratch.u + (r - rows.begin) * u_vector);
    const T* u = (own ? scratch.u : all_u + (g * ceil_div(s.rows, lanes) + rows.begin) * u_vector) + c0 * lanes;
    const int64_t results = s.shape.results();
    WinogradProducts<T> job{};
    job.vectors = rows.size();
    job.u_vector = u_vector;
    job.v_vector = layout.v_vector;
    job.m_vector = layout.m_vector;
    for (int64_t r = 0; r < (phases ? rows.size() : 1); ++r, u += u_vector)
      for (int64_t i = 0; i < s.shape.planes(); ++i) {
        const Range tiles = block.in_plane(i);
        const unsigned missing = s.shape.missing(i);
        T* const m = scratch.m + i * layout.m_plane + r * results * layout.m_vector;
        if (phases) {
          const int64_t apart = missing & 2 ? 2 : 1;
          job.vectors = results / apart / (missing & 4 ? 2 : 1);
          job.u_vector = apart * held * lanes;
          job.m_vector = apart * layout.m_vector;
        }
        job.accumulate = channels.begin > 0;
        job.tiles = tiles.size();
        job.m = m + tiles.begin * lanes;
        const T* v = scratch.v + i * layout.v_plane + channels.begin / lanes * layout.v_vector + tiles.begin * lanes;
        multiply_slices(job, u + i * u_plane, results * held * lanes, v, place, phases ? 0 : missing, channels.size());
        if (!job.accumulate) std::fill_n(m, (phases ? results : rows.size()) * layout.m_vector, T(0));
      }
  }

  // A plane's products of all slices that are there, `u_slice` elements of weights each. Those side by side are
  // multiplied at once, where no vector of channels has lanes to spare.
  void multiply_slices(WinogradProducts<T>& job, const T* u, int64_t u_slice, const T* v, const Vector<int64_t>& place,
                       unsigned missing, int64_t channels) const {
    const bool joins = channels == s.channels && s.channels % lanes == 0 && !s.shape.phases;
    const auto absent = [&](size_t t) { return place[t] < 0 || (missing >> t % kWinogradParts & 1); };
    for (size_t t = 0, n; t < place.size(); t += n) {
      n = 1;
      if (absent(t)) continue;
      while (joins && t + n < place.size() && place[t + n] == place[t] + static_cast<int64_t>(n) && !absent(t + n)) ++n;
      job.channels = static_cast<int64_t>(n) * channels;
      job.u = u + static_cast<int64_t>(t) * u_slice;
      job.v = v + place[t] * layout.v_slice;
      kernels.products(job);
      job.accumulate = true;
    }
  }

  // Vector r + i of rows, the i-th of those multiplied.
  void transform_output(const Box& box, const WinogradBlock& block, int64_t o, int64_t g, int64_t r, int64_t i,
                        const Scratch& scratch) const {
    WinogradOutput<T> job{};
    const int64_t phases = s.shape.phases ? 2 : 1;
    const int64_t row = (r + i) * lanes, column = phases * s.shape.first(2, box.begin[2]);
    job.plane = layout.m_plane;
    job.tile_row = phases * box.begin[1];
    job.row_apart = phases * s.shape.step[1];
    job.column_apart = phases * s.shape.step[2];
    job.channels = std::min(lanes, s.rows - row);
    job.y_channel = s.y.stride[1];
    job.y_row = s.y.stride[3];
    job.y_step = s.y.stride[4];
    job.rows = s.y.shape[3];
    job.columns = std::min(s.y.shape[4], phases * s.shape.first(2, round_up(box.end[2], s.shape.step[2]))) - column;
    alignas(64) T bias[16] = {};
    if (s.bias) std::copy_n(s.bias + g * s.rows + row, job.channels, bias);
    job.bias = s.bias ? bias : nullptr;
    job.clamp = s.clamp;
    job.low = s.low;
    job.high = s.high;
    job.pixels = scratch.pixels;
    job.vertical = s.shape.strip == 1;
    job.outputs = static_cast<int>(s.shape.out(s.shape.strip));
    const auto output = s.shape.strip ? kernels.strip_output : kernels.of(s.shape.taps, s.shape.side).output;
    for (int64_t n = 0; n < box.images(); ++n) {
      job.m = scratch.m + i * s.shape.results() * layout.m_vector;
      job.tiles = block.of_image(n);
      job.tiles.phases = s.shape.phases;
      for (int p = 0; s.shape.phases && p < kWinogradParts; ++p)
        job.tiles.phase[p / 2][p % 2] = (((p / 2 ^ s.flip[0]) * 2) + (p % 2 ^ s.flip[1])) * layout.m_vector / lanes;
      job.y = s.y.data + (box.image0 + n) * s.y.stride[0] + (g * s.rows + row) * s.y.stride[1] + o * s.y.stride[2] +
              column * s.y.stride[4];
      if (spread) spread->add(job, box, box.image0 + n, g * s.rows + row, o);
      else output(job);
    }
  }
};

}  // namespace

template <class T>
void run_winograd(const WinogradSum<T>& s, const WinogradPlan& plan, T* u, const WinogradSpread<T>* spread) {
  const int64_t tasks = plan.blocks() * plan.group_parts * plan.row_parts;
  if (plan.copies > 1) {
    const int64_t size = winograd_weight_size(s);
    std::atomic<int64_t> next{plan.copies};
    parallel_tasks(plan.copies, plan.threads, [&](int64_t copy) {
      const Tiles<T> tiles{s, plan, spread, u + copy * size};
      if (copy < tasks) winograd_weights(s, 1, u + copy * size);
      for (int64_t i = copy; i < tasks; i = next.fetch_add(1, std::memory_order_relaxed)) tiles.run_task(i);
    });
  } else {
    if (u) winograd_weights(s, plan.threads, u);
    const Tiles<T> tiles{s, plan, spread, u ? u : s.u};
    parallel_tasks_apart(tasks, plan.splits_rows ? plan.row_parts : tasks, plan.threads,
                         [&](int64_t task) { tiles.run_task(task); });
  }
  if (spread) spread->add_kept(plan.threads);
}

#define FASTCONV_INSTANTIATE(T) \
  template void run_winograd(const WinogradSum<T>&, const WinogradPlan&, T*, const WinogradSpread<T>*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
