// Boxes and separable kernels. The height's step reads rows where they stand and leaves its result in lines of scratch
// memory, which are continued beyond their ends there; the width's step reads a line shifted, once for each tap.
#include <cstring>

#include "filter/lines.hpp"

namespace fastconv {
namespace {

constexpr int64_t kNear = 192 * 1024;   // bytes of rows that stay in the L2 cache while they are read several times
constexpr int kLevels = 5, kRadix = 4;  // sums of 1, 4, 16, 64, 256 neighbours
constexpr int64_t kLong = 16;           // heights that are joined block by block, or weighed from copies of the rows

// Whether rows so many bytes apart drive one another out of the L1 cache, which keeps eight or twelve of the lines that
// are 4096 bytes apart. Fewer rows, of which the processor keeps most, cost less than their copies.
bool collide(int64_t rows, int64_t step) { return rows * std::min<int64_t>(step & -step, 4096) > 10 * 4096; }

template <class T>
class AxesFilter {
 public:
  AxesFilter(const FilterProblem& p, Filter filter, const T* x, const T* const* weights, T* y)
      : p_(p),
        filter_(filter),
        weights_{weights[0], weights[1]},
        lines_(p, x, y, columns(p)),
        copies_(p.axis[0].size >= kLong ||
                collide(p.axis[0].size + kFilterRows - 1, p.axis[1].in * static_cast<int64_t>(sizeof(T)))) {
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
    lines_.for_each(p_, height().size + width().size,
                    [&](int64_t plane, int64_t from, int64_t to, const FilterSpan& c) { strip(plane, from, to, c); });
  }

 private:
  const FilterAxis& height() const { return p_.axis[0]; }
  const FilterAxis& width() const { return p_.axis[1]; }

  static int64_t columns(const FilterProblem& p) {
    const int64_t near = kNear / static_cast<int64_t>(sizeof(T)) / (p.axis[0].size + kFilterRows);
    return std::max(std::min(near, kFilterColumns), std::max<int64_t>(256, 4 * p.axis[1].size));
  }

  // Scratch memory of a task.
  struct Scratch {
    T *line, *levels, *kept;  // lines of the height's results, of the width's sums, and of rows that are kept
    const T** table;
    int64_t known;  // rows are kept up to here
  };
  Scratch scratch(int64_t from) const {
    const int64_t pitch = lines_.pitch(), kept = copies_ ? height().size + kFilterRows : 0;
    const int64_t lines = (kFilterRows + kLevels + kept) * Arena::rounded_bytes<T>(pitch);
    const int64_t tables = std::max({height().size + kFilterRows, width().size, 4 * int64_t{kLevels}});
    char* memory = Arena::local().reserve(lines + Arena::rounded_bytes<const T*>(tables));
    T* line = reinterpret_cast<T*>(memory);
    T* levels = line + kFilterRows * pitch;
    return {line, levels, levels + kLevels * pitch, reinterpret_cast<const T**>(memory + lines), from};
  }

  void strip(int64_t plane, int64_t from, int64_t to, const FilterSpan& c) const {
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
  const T* source(int64_t plane, int64_t place, const FilterSpan& c) const {
    const T* row = lines_.row(lines_.plane(plane), place);
    return (row ? row : constant_.data()) + lines_.under(c).first;
  }

  // The step of the height, for rows from r on.
  void across(int64_t plane, int64_t r, int64_t rows, const FilterSpan& c, Scratch& s, T* to, int64_t step,
              T divisor) const {
    const int64_t taps = height().size, count = lines_.under(c).count(), all = rows - 1 + taps;
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (taps == 1) {
      std::memcpy(to, source(plane, r, c), bytes);
      return;
    }
    if (copies_) {
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
  void across_blocks(int64_t plane, int64_t r, const FilterSpan& c, Scratch& s, T* to, T divisor) const {
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
  FilterLines<T> lines_;
  const bool copies_;  // rows are read from copies of their own
  FilterFunction<T> step_;
  T divisor_ = 1;
  Vector<T> constant_;  // what stands in the rows beyond the ends
};

}  // namespace

template <class T>
void filter_axes(const FilterProblem& p, Filter filter, const T* x, const T* height_weights, const T* width_weights,
                 T* y) {
  validate(p);
  const T* weights[2] = {height_weights, width_weights};
  if (!is_empty(p)) AxesFilter<T>(p, filter, x, weights, y).run();
}

template void filter_axes(const FilterProblem&, Filter, const float*, const float*, const float*, float*);
template void filter_axes(const FilterProblem&, Filter, const double*, const double*, const double*, double*);

}  // namespace fastconv
