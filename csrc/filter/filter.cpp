// The height's step reads rows where they stand and leaves its result in lines of scratch memory, which are continued
// beyond their ends there; the width's step reads a line shifted, once for each tap.
#include "fastconv/filter.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/checked.hpp"
#include "base/message.hpp"
#include "base/parallel.hpp"
#include "conv/index_map.hpp"
#include "isa/table.hpp"
#include "kernels/filter.hpp"

namespace fastconv {
namespace {

constexpr int64_t kColumns = 2048;      // outputs of a line at a time, about
constexpr int64_t kNear = 192 * 1024;   // bytes of rows that stay in the L2 cache while they are read several times
constexpr int kLevels = 5, kRadix = 4;  // sums of 1, 4, 16, 64, 256 neighbours
constexpr int64_t kSlack = 64;          // between lines, so that rows of the same length do not meet in the cache
constexpr int64_t kLong = 16;           // heights that are joined block by block, or weighed from copies of the rows

template <class T>
const FilterFunctions<T>& filter_functions();
template <>
const FilterFunctions<float>& filter_functions() {
  return kernels().filter->f32;
}
template <>
const FilterFunctions<double>& filter_functions() {
  return kernels().filter->f64;
}

// The input coordinate at each place under the filter, or -1: place i is coordinate i - before.
Vector<int64_t> places(const FilterAxis& a) {
  Vector<int64_t> map(static_cast<size_t>(a.in + a.size - 1));
  for (int64_t i = 0; i < a.in + a.size - 1; ++i)
    map[static_cast<size_t>(i)] = map_coordinate(a.mode, i - a.before, a.in);
  return map;
}

// Outputs [first, last) of a line.
struct Columns {
  int64_t first, last;
  int64_t count() const { return last - first; }
};

// What both kinds of filters share: lines of a plane, continued beyond their ends.
template <class T>
class Lines {
 public:
  Lines(const FilterProblem& p, const T* x, T* y, int64_t columns)
      : height_(p.axis[0]),
        width_(p.axis[1]),
        x_(x),
        y_(y),
        height_map_(places(height_)),
        width_map_(places(width_)),
        pieces_(width_.mode == Mode::circular && width_.size > 1 ? 1 : std::max<int64_t>(1, width_.in / columns)) {
    const int64_t longest = ceil_div(width_.in, pieces_) + width_.size - 1;
    pitch_ = (longest + kSlack) / 16 * 16 + 16;
  }

  // task(plane, rows from, to, columns), the rows a multiple of kFilterRows from the first.
  template <class Task>
  void for_each(const FilterProblem& p, double work, Task task) const {
    const int64_t rows = height_.in;
    const int threads = threads_for(work);
    const int64_t whole = p.planes * pieces_, wanted = threads == 1 ? 1 : ceil_div(8 * threads, whole);
    const int64_t each = std::max<int64_t>(ceil_div(ceil_div(rows, wanted), 4 * kFilterRows) * 4 * kFilterRows, 1);
    const int64_t strips = ceil_div(rows, each);
    parallel_tasks(whole * strips, threads, [&](int64_t number) {
      const int64_t strip = number % strips, piece = number / strips % pieces_, plane = number / strips / pieces_;
      const Columns c{piece * width_.in / pieces_, (piece + 1) * width_.in / pieces_};
      task(plane, strip * each, std::min(rows, (strip + 1) * each), c);
    });
  }

  int64_t pitch() const { return pitch_; }
  const T* plane(int64_t i) const { return x_ + i * height_.in * width_.in; }
  T* output(int64_t plane, int64_t row, const Columns& c) const {
    return y_ + (plane * height_.in + row) * width_.in + c.first;
  }
  // The input row at place i of the height, or null.
  const T* row(const T* plane, int64_t i) const {
    const int64_t r = height_map_[static_cast<size_t>(i)];
    return r < 0 ? nullptr : plane + r * width_.in;
  }
  // Columns of the input under the outputs, and where the first of them stands in a line.
  Columns under(const Columns& c) const {
    return {std::max<int64_t>(c.first - width_.before, 0),
            std::min(c.last - width_.before + width_.size - 1, width_.in)};
  }
  int64_t offset(const Columns& c) const { return std::max<int64_t>(width_.before - c.first, 0); }
  // The places of a line that lie beyond the ends of the input.
  void finish(T* line, const Columns& c) const {
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

template <class T>
double work(const FilterProblem& p, int64_t taps) {
  return static_cast<double>(p.planes) * static_cast<double>(p.axis[0].in) * static_cast<double>(p.axis[1].in) *
         static_cast<double>(taps);
}

template <class T>
class AxesFilter {
 public:
  AxesFilter(const FilterProblem& p, Filter filter, const T* x, const T* const* weights, T* y)
      : p_(p), filter_(filter), weights_{weights[0], weights[1]}, lines_(p, x, y, columns(p)) {
    const FilterFunctions<T>& f = filter_functions<T>();
    step_ = filter == Filter::weigh     ? f.weigh
            : filter == Filter::mean    ? f.sum
            : filter == Filter::maximum ? f.max
                                        : f.min;
    if (filter == Filter::mean) divisor_ = static_cast<T>(height().size) * static_cast<T>(width().size);
    constant_.assign(static_cast<size_t>(height().mode == Mode::zeros && height().size > 1 ? width().in : 0),
                     static_cast<T>(height().value));
  }

  void run() const {
    lines_.for_each(p_, work<T>(p_, height().size + width().size),
                    [&](int64_t plane, int64_t from, int64_t to, const Columns& c) { strip(plane, from, to, c); });
  }

 private:
  const FilterAxis& height() const { return p_.axis[0]; }
  const FilterAxis& width() const { return p_.axis[1]; }

  static int64_t columns(const FilterProblem& p) {
    const int64_t near = kNear / static_cast<int64_t>(sizeof(T)) / (p.axis[0].size + kFilterRows);
    return std::max(std::min(near, kColumns), std::max<int64_t>(256, 4 * p.axis[1].size));
  }

  // Scratch memory of a task.
  struct Scratch {
    T *line, *levels, *kept;  // lines of the height's results, of the width's sums, and of rows that are kept
    const T** table;
    int64_t known;  // rows are kept up to here
  };
  Scratch scratch(int64_t from) const {
    const int64_t pitch = lines_.pitch(), kept = height().size >= kLong ? height().size + kFilterRows : 0;
    const int64_t lines = (kFilterRows + kLevels + kept) * Arena::rounded_bytes<T>(pitch);
    const int64_t tables = std::max({height().size + kFilterRows, width().size, 4 * int64_t{kLevels}});
    char* memory = Arena::local().reserve(lines + Arena::rounded_bytes<const T*>(tables));
    T* line = reinterpret_cast<T*>(memory);
    T* levels = line + kFilterRows * pitch;
    return {line, levels, levels + kLevels * pitch, reinterpret_cast<const T**>(memory + lines), from};
  }

  void strip(int64_t plane, int64_t from, int64_t to, const Columns& c) const {
    const int64_t pitch = lines_.pitch();
    Scratch s = scratch(from);
    const bool blockwise = height().size >= kLong && filter_ != Filter::weigh;
    const int64_t at_once = height().size >= kFilterRows && !blockwise ? kFilterRows : 1;
    for (int64_t r = from; r < to;) {
      const int64_t rows = to - r >= at_once ? at_once : 1;
      const bool last = width().size == 1;
      T* y = lines_.output(plane, r, c);
      T* line = last ? y : s.line + lines_.offset(c);
      const int64_t step = last ? width().in : pitch;
      const T divisor = last ? divisor_ : T(1);
      if (blockwise) across_blocks(plane, r, c, s, line, divisor);
      else across(plane, r, rows, c, s, line, step, divisor);
      for (int64_t j = 0; j < rows && !last; ++j) {
        lines_.finish(s.line + j * pitch, c);
        along(s.line + j * pitch, s.levels, c.count(), s.table, y + j * width().in);
      }
      r += rows;
    }
  }

  // The columns of the input that are wanted, at a place of the height.
  const T* source(int64_t plane, int64_t place, const Columns& c) const {
    const T* row = lines_.row(lines_.plane(plane), place);
    return (row ? row : constant_.data()) + lines_.under(c).first;
  }

  // The step of the height, for rows from r on.
  void across(int64_t plane, int64_t r, int64_t rows, const Columns& c, Scratch& s, T* to, int64_t step,
              T divisor) const {
    const int64_t taps = height().size, count = lines_.under(c).count(), all = rows - 1 + taps;
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (taps == 1) {
      std::memcpy(to, source(plane, r, c), bytes);
      return;
    }
    if (taps >= kLong) {  // rows whose length is a power of two would drive one another out of the L1 cache
      auto kept = [&](int64_t place) { return s.kept + place % (taps + kFilterRows - 1) * lines_.pitch(); };
      for (; s.known < r + all; ++s.known) std::memcpy(kept(s.known), source(plane, s.known, c), bytes);
      for (int64_t i = 0; i < all; ++i) s.table[i] = kept(r + i);
    } else {
      for (int64_t i = 0; i < all; ++i) s.table[i] = source(plane, r + i, c);
    }
    step_({s.table, weights_[0], taps, rows, to, step, count, divisor});
  }

  // The same for a row under a high box: places come in blocks of its size, and what is under it is the end of a block
  // and the beginning of the next. Ends are made for a whole block, from the last place back; the beginning grows with
  // each row.
  void across_blocks(int64_t plane, int64_t r, const Columns& c, Scratch& s, T* to, T divisor) const {
    const int64_t taps = height().size, count = lines_.under(c).count(), next = (r / taps + 1) * taps;
    auto join = [&](const T* a, const T* b, T* y, T by) {
      const T* rows[2] = {a, b};
      step_({rows, nullptr, b ? 2 : 1, 1, y, 0, count, by});
    };
    auto ending = [&](int64_t place) { return s.kept + place % taps * lines_.pitch(); };
    T* beginning = s.kept + taps * lines_.pitch();
    auto grow = [&](int64_t place) {
      join(place == next ? source(plane, place, c) : beginning, place == next ? nullptr : source(plane, place, c),
           beginning, T(1));
    };
    if (r % taps == 0 || r == s.known) {  // a new block, or the first row of the strip
      for (int64_t i = next - 1; i >= r; --i)
        join(source(plane, i, c), i + 1 < next ? ending(i + 1) : nullptr, ending(i), T(1));
      for (int64_t i = next; i < r + taps - 1; ++i) grow(i);
    }
    if (r % taps) grow(r + taps - 1);
    join(ending(r), r % taps ? beginning : nullptr, to, divisor);
  }

  // The step of the width, from a line to outputs.
  void along(const T* line, T* levels, int64_t count, const T** table, T* y) const {
    const int64_t taps = width().size;
    int64_t used = 0;
    auto shifted = [&](const T* from, int64_t by) { table[used++] = from + by; };
    if (filter_ == Filter::weigh) {
      for (int64_t i = 0; i < taps; ++i) shifted(line, i);
      return step_({table, weights_[1], taps, 1, y, 0, count, T(1)});
    }
    // Windows of 1, 4, 16, ... neighbours, of which the last step puts its own together.
    const T* level[kLevels] = {line};
    int64_t size = 1, top = 0;
    while (size * kRadix <= taps && top + 1 < kLevels) {
      T* next = levels + top * lines_.pitch();
      const T* sources[kRadix];
      for (int i = 0; i < kRadix; ++i) sources[i] = level[top] + i * size;
      size *= kRadix;
      step_({sources, nullptr, kRadix, 1, next, 0, count + taps - size, T(1)});
      level[++top] = next;
    }
    int64_t place = 0;
    for (; place + size <= taps; place += size) shifted(level[top], place);
    if (filter_ != Filter::mean) {
      if (place < taps) shifted(level[top], taps - size);  // some elements meet twice, which does no harm
    } else {
      for (; place < taps; place += size) {
        while (place + size > taps) size /= kRadix, --top;
        shifted(level[top], place);
      }
    }
    step_({table, nullptr, used, 1, y, 0, count, divisor_});
  }

  const FilterProblem& p_;
  Filter filter_;
  const T* weights_[2];
  Lines<T> lines_;
  FilterFunction<T> step_;
  T divisor_ = 1;
  Vector<T> constant_;  // what stands in the rows beyond the ends
};

struct Tap {
  int64_t i, j;
};

// A line for each row under the kernel, each used again for the row that comes next.
template <class T>
class TapsFilter {
 public:
  TapsFilter(const FilterProblem& p, const T* x, const T* weights, T* y)
      : p_(p), lines_(p, x, y, std::max(kColumns, 4 * p.axis[1].size)) {
    for (int64_t i = 0; i < p.axis[0].size; ++i)
      for (int64_t j = 0; j < p.axis[1].size; ++j)
        if (const T w = weights[i * p.axis[1].size + j]; w != 0) taps_.push_back({i, j}), weights_.push_back(w);
    if (taps_.empty()) taps_.push_back({0, 0}), weights_.push_back(T(0));
  }

  void run() const {
    lines_.for_each(p_, work<T>(p_, static_cast<int64_t>(taps_.size())),
                    [&](int64_t plane, int64_t from, int64_t to, const Columns& c) { strip(plane, from, to, c); });
  }

 private:
  void strip(int64_t plane, int64_t from, int64_t to, const Columns& c) const {
    const int64_t kh = p_.axis[0].size, bytes = kh * Arena::rounded_bytes<T>(lines_.pitch()),
                  count = static_cast<int64_t>(taps_.size());
    char* scratch = Arena::local().reserve(bytes + Arena::rounded_bytes<const T*>(count));
    T* ring = reinterpret_cast<T*>(scratch);
    const T** table = reinterpret_cast<const T**>(scratch + bytes);
    auto line = [&](int64_t place) { return ring + place % kh * lines_.pitch(); };
    int64_t known = from;  // the next place of the height to be read
    for (int64_t r = from; r < to; ++r) {
      for (; known < r + kh; ++known) read(plane, known, c, line(known));
      for (int64_t t = 0; t < count; ++t) {
        const Tap& tap = taps_[static_cast<size_t>(t)];
        table[t] = line(r + tap.i) + tap.j;
      }
      filter_functions<T>().weigh({table, weights_.data(), count, 1, lines_.output(plane, r, c), 0, c.count(), T(1)});
    }
  }

  void read(int64_t plane, int64_t place, const Columns& c, T* line) const {
    const T* row = lines_.row(lines_.plane(plane), place);
    if (!row) {
      std::fill_n(line, c.count() + p_.axis[1].size - 1, static_cast<T>(p_.axis[0].value));
      return;
    }
    const Columns u = lines_.under(c);
    std::memcpy(line + lines_.offset(c), row + u.first, static_cast<size_t>(u.count()) * sizeof(T));
    lines_.finish(line, c);
  }

  const FilterProblem& p_;
  Lines<T> lines_;
  Vector<Tap> taps_;
  Vector<T> weights_;
};

bool is_empty(const FilterProblem& p) { return p.planes == 0 || p.axis[0].in == 0 || p.axis[1].in == 0; }

}  // namespace

void validate(const FilterProblem& p) {
  if (p.planes < 0) invalid({"planes must be at least 0, got ", p.planes});
  for (const FilterAxis& a : p.axis) {
    if (a.in < 0) invalid({"in must be at least 0, got ", a.in});
    if (a.size < 1) invalid({"size must be at least 1, got ", a.size});
    if (a.before < 0 || a.before >= a.size) invalid({"before must be from 0 to ", a.size - 1, ", got ", a.before});
    checked_mul(checked_add(a.in, a.size, "size"), 16, "size");
  }
}

template <class T>
void filter_axes(const FilterProblem& p, Filter filter, const T* x, const T* height_weights, const T* width_weights,
                 T* y) {
  validate(p);
  const T* weights[2] = {height_weights, width_weights};
  if (!is_empty(p)) AxesFilter<T>(p, filter, x, weights, y).run();
}

template <class T>
void filter_taps(const FilterProblem& p, const T* x, const T* weights, T* y) {
  validate(p);
  if (!is_empty(p)) TapsFilter<T>(p, x, weights, y).run();
}

#define FASTCONV_INSTANTIATE(T)                                                              \
  template void filter_axes(const FilterProblem&, Filter, const T*, const T*, const T*, T*); \
  template void filter_taps(const FilterProblem&, const T*, const T*, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
