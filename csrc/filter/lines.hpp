// Lines of planes, continued beyond their ends in scratch memory: what all filters read.
#pragma once
#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/index_map.hpp"
#include "fastconv/filter.hpp"
#include "isa/table.hpp"
#include "kernels/filter.hpp"

namespace fastconv {

constexpr int64_t kFilterColumns = 2048;  // outputs of a line at a time, about
constexpr int64_t kLineGap = 64;          // between lines, so that rows of the same length do not meet in the cache

template <class T>
const FilterFunctions<T>& filter_functions() {
  if constexpr (sizeof(T) == sizeof(float)) return kernels().filter->f32;
  else return kernels().filter->f64;
}

// The input coordinate at each place under the filter, or -1: place i is coordinate i - before.
inline Vector<int64_t> filter_places(const FilterAxis& a) {
  Vector<int64_t> map(static_cast<size_t>(a.in + a.size - 1));
  for (int64_t i = 0; i < a.in + a.size - 1; ++i)
    map[static_cast<size_t>(i)] = map_coordinate(a.mode, i - a.before, a.in);
  return map;
}

// Outputs [first, last) of a line.
struct FilterSpan {
  int64_t first, last;
  int64_t count() const { return last - first; }
};

// What both kinds of filters share: lines of a plane, continued beyond their ends.
template <class T>
class FilterLines {
 public:
  FilterLines(const FilterProblem& p, const T* x, T* y, int64_t columns)
      : height_(p.axis[0]),
        width_(p.axis[1]),
        x_(x),
        y_(y),
        height_map_(filter_places(height_)),
        width_map_(filter_places(width_)),
        pieces_(width_.mode == Mode::circular && width_.size > 1 ? 1 : std::max<int64_t>(1, width_.in / columns)) {
    const int64_t longest = ceil_div(width_.in, pieces_) + width_.size - 1;
    pitch_ = (longest + kLineGap) / 16 * 16 + 16;
  }

  // task(plane, rows from, to, columns), the rows a multiple of kFilterRows from the first; `taps` tell the work of an
  // output.
  template <class Task>
  void for_each(const FilterProblem& p, int64_t taps, Task task) const {
    const int64_t rows = height_.in;
    const double outputs =
        static_cast<double>(p.planes) * static_cast<double>(height_.in) * static_cast<double>(width_.in);
    const int threads = threads_for(outputs * static_cast<double>(taps));
    const int64_t whole = p.planes * pieces_, wanted = threads == 1 ? 1 : ceil_div(8 * threads, whole);
    const int64_t each = std::max<int64_t>(ceil_div(ceil_div(rows, wanted), 4 * kFilterRows) * 4 * kFilterRows, 1);
    const int64_t strips = ceil_div(rows, each);
    parallel_tasks(whole * strips, threads, [&](int64_t number) {
      const int64_t strip = number % strips, piece = number / strips % pieces_, plane = number / strips / pieces_;
      const FilterSpan c{piece * width_.in / pieces_, (piece + 1) * width_.in / pieces_};
      task(plane, strip * each, std::min(rows, (strip + 1) * each), c);
    });
  }

  int64_t pitch() const { return pitch_; }
  const T* plane(int64_t i) const { return x_ + i * height_.in * width_.in; }
  T* output(int64_t plane, int64_t row, const FilterSpan& c) const {
    return y_ + (plane * height_.in + row) * width_.in + c.first;
  }
  // The input row at place i of the height, or null.
  const T* row(const T* plane, int64_t i) const {
    const int64_t r = height_map_[static_cast<size_t>(i)];
    return r < 0 ? nullptr : plane + r * width_.in;
  }
  // FilterSpan of the input under the outputs, and where the first of them stands in a line.
  FilterSpan under(const FilterSpan& c) const {
    return {std::max<int64_t>(c.first - width_.before, 0),
            std::min(c.last - width_.before + width_.size - 1, width_.in)};
  }
  int64_t offset(const FilterSpan& c) const { return std::max<int64_t>(width_.before - c.first, 0); }
  // The places of a line that lie beyond the ends of the input.
  void finish(T* line, const FilterSpan& c) const {
    const int64_t length = c.count() + width_.size - 1, begin = offset(c), end = begin + under(c).count();
    auto fill = [&](int64_t from, int64_t to) {
      const T value = static_cast<T>(width_.value);
      for (int64_t i = from; i < to; ++i) {
        const int64_t q = width_map_[static_cast<size_t>(c.first + i)];
        line[i] = q < 0 ? value : line[q + width_.before - c.first];
      }
    };
    fill(0, begin);
    fill(end, length);
  }

 private:
  const FilterAxis &height_, &width_;
  const T* x_;
  T* y_;
  Vector<int64_t> height_map_, width_map_;
  int64_t pieces_, pitch_;
};

inline bool is_empty(const FilterProblem& p) { return p.planes == 0 || p.axis[0].in == 0 || p.axis[1].in == 0; }

}  // namespace fastconv
