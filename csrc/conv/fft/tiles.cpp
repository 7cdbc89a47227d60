#include "conv/fft/tiles.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/range.hpp"
#include "conv/index_map.hpp"

namespace fastconv {
namespace {

// Of entries [0, count), at coordinates at, at + stride, ..., those that lie in the source.
Range run_in_source(const AxisMap& map, int64_t at, int64_t count) {
  const int64_t begin = std::min(count, at >= 0 ? 0 : ceil_div(-at, map.stride));
  return {begin, std::max(begin, std::min(count, at < map.in ? ceil_div(map.in - at, map.stride) : 0))};
}
// The offsets of the other entries of a table.
void list_others(const AxisMap& map, int64_t at, int64_t count, Range run, int64_t step, int64_t* table, int64_t size) {
  for (int64_t i = run.begin > 0 ? 0 : run.end; i < size; i = i + 1 == run.begin ? run.end : i + 1) {
    const int64_t q = i < count ? map_coordinate(map.mode, at + i * map.stride, map.in) : -1;
    table[i] = q < 0 ? kFftZero : q * step;
  }
}

}  // namespace

template <class T>
void FftTiles<T>::find_lines(const FftPair& p, int64_t i, const FftTerm& t, const View<const T>& x, FftLines& l) const {
  clear_rows(l);
  if (!plan.line) {
    const AxisMap& map = a.axis[1];
    const int64_t at = p.begin[i][0] * map.stride + t.h->base,
                  count = std::min(plan.rows, p.extent[i][0] + t.h->reach());
    const Range run = run_in_source(map, at, count);
    list_others(map, at, count, run, x.stride[3], l.row, plan.rows);
    for (int64_t r = run.begin; r < run.end; ++r) l.row[r] = (at + r * map.stride) * x.stride[3];
  }
  const AxisMap& map = a.axis[2];
  const int64_t at = p.begin[i][1] * map.stride + t.w->base,
                count = std::min(plan.line_length(), p.extent[i][1] + t.w->reach());
  const Range run = run_in_source(map, at, count);
  l.begin = run.begin;
  l.end = run.end;
  l.first = (at + l.begin * map.stride) * x.stride[4];
  l.step = map.stride * x.stride[4];
  l.zeros = map.mode == Mode::zeros;
  if (!l.zeros) list_others(map, at, count, run, x.stride[4], l.column, plan.line_length());
}

// Columns [begin, begin + columns) of a part.
template <class T>
void FftTiles<T>::load(const FftLines& l, const T* src, int part, int64_t begin, int64_t columns, T* tile) const {
  FftLoad<T> job{};
  job.tile = tile;
  job.part = part;
  job.rows = plan.rows;
  job.columns = columns;
  job.src = src;
  job.row = l.row;
  job.column = l.column + begin;
  job.column_step = plan.line ? plan.columns : 0;
  job.begin = l.begin - begin;
  job.end = l.end - begin;
  job.first = l.first;
  job.step = l.step;
  job.zeros = l.zeros;
  kernels.load(job);
}

template <class T>
void FftTiles<T>::transform(FftScratch<T>& s, const T* const src[2], int64_t columns, T* spectrum) const {
  if (!plan.real) {
    for (int part = 0; part < 2; ++part) load(s.lines[part], src[part], part, 0, columns, s.tile);
    return kernels.forward(shape(), s.tile, spectrum, columns);
  }
  const int64_t lanes = conv_kernels<T>().lanes, middle = half(columns), all = round_up(columns, lanes),
                last = middle - lanes;
  load(s.lines[0], src[0], 0, 0, middle, s.tile);
  load(s.lines[0], src[0], 1, middle, all - middle, s.tile);
  if (all < 2 * middle) load(s.lines[0], nullptr, 1, 0, lanes, s.tile + last * plan.rows * 2);
  kernels.forward_real(shape(), s.tile, spectrum, columns);
}

template <class T>
void FftTiles<T>::store(FftStore<T> job, int64_t columns) const {
  job.columns = columns;
  if (plan.real) {
    job.columns = std::min(columns, half(columns));
    kernels.store(job);
    job.part = 1;
    job.y += job.columns * job.y_step;
    job.columns = columns - job.columns;
  }
  kernels.store(job);
}

template <class T>
int64_t FftTiles<T>::place(int64_t c, int64_t columns) const {
  const int64_t lanes = conv_kernels<T>().lanes, middle = plan.real ? half(columns) : plan.columns,
                part = c < middle ? 0 : 1;
  c -= part * middle;
  return c / lanes * plan.rows * 2 * lanes + part * lanes + c % lanes;
}

template <class T>
void FftTiles<T>::transform_x(const FftPair& p, int64_t g, int64_t depth, int64_t i0, int64_t i1, View<const T> x,
                              FftScratch<T>& s, T* spectra) const {
  const FftPhase *h = nullptr, *w = nullptr;
  for (int64_t q = i0; q < i1; ++q, spectra += size()) {
    const FftTerm t = term(q);
    const T* src[2] = {nullptr, nullptr};
    for (int64_t i = 0; i < p.count; ++i) {
      if (t.h != h || t.w != w) find_lines(p, i, t, x, s.lines[i]);
      const int64_t v =
          plan.line ? map_coordinate(a.axis[1].mode, p.begin[i][0] * a.axis[1].stride + t.h->base, a.axis[1].in) : 0;
      const int64_t d = source_plane(p, i, depth);
      if (d >= 0 && v >= 0)
        src[i] = x.data + p.image * x.stride[0] + (g * a.channels + t.channel) * x.stride[1] + d * x.stride[2] +
                 v * x.stride[3];
    }
    h = t.h;
    w = t.w;
    transform(s, src, plan.columns, spectra);
  }
}

template <class T>
void FftTiles<T>::transform_dy(const FftPair& p, int64_t step, int64_t channel, View<const T> dy, FftScratch<T>& s,
                               T* spectrum) const {
  const T* src[2] = {nullptr, nullptr};
  int64_t columns = 0;
  for (int64_t i = 0; i < p.count; ++i) {
    FftLines& l = s.lines[i];
    clear_rows(l);
    for (int64_t r = 0; r < p.extent[i][0] && !plan.line; ++r) l.row[r] = r * dy.stride[3];
    l.begin = 0;
    l.end = p.extent[i][1];
    l.first = 0;
    l.step = dy.stride[4];
    l.zeros = true;
    if (p.depth(i, step) < plan.depths)
      src[i] = dy.data + p.image * dy.stride[0] + channel * dy.stride[1] + p.depth(i, step) * dy.stride[2] +
               p.begin[i][0] * dy.stride[3] + p.begin[i][1] * dy.stride[4];
    columns = std::max(columns, p.extent[i][1]);
  }
  transform(s, src, live(columns), spectrum);
}

template <class T>
void FftTiles<T>::transform_weights(const FftWeights<const T>& w, int64_t g, int64_t m, int64_t q, FftScratch<T>& s,
                                    T* spectrum) const {
  const FftTerm t = term(q);
  FftLines& l = s.lines[0];
  clear_rows(l);
  for (int64_t i = 0; i < t.h->count && !plan.line; ++i) l.row[i * t.h->shift] = tap(w, 1, *t.h, i);
  l.begin = 0;
  l.zeros = t.w->shift == 1;  // a run
  if (l.zeros) {
    l.end = t.w->count;
    l.first = tap(w, 2, *t.w, 0);
    l.step = t.w->count > 1 ? tap(w, 2, *t.w, 1) - l.first : 1;
  } else {
    l.end = 0;
    std::fill_n(l.column, plan.line_length(), kFftZero);
    for (int64_t i = 0; i < t.w->count; ++i) l.column[i * t.w->shift] = tap(w, 2, *t.w, i);
  }
  const T* src[2] = {w.data + weight_offset(w, g, m, t), nullptr};
  transform(s, src, live(t.w->reach() + 1), spectrum);
}

template class FftTiles<float>;
template class FftTiles<double>;

}  // namespace fastconv
