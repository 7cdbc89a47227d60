// Kernels of few taps, each a line under the kernel shifted: sums of what stands there, weighed.
#include <cstring>

#include "filter/lines.hpp"

namespace fastconv {
namespace {

struct Tap {
  int64_t i, j;
};

// A line for each row under the kernel, each used again for the row that comes next.
template <class T>
class TapsFilter {
 public:
  TapsFilter(const FilterProblem& p, const T* x, const T* weights, T* y)
      : p_(p), lines_(p, x, y, std::max(kFilterColumns, 4 * p.axis[1].size)) {
    const auto most = static_cast<size_t>(std::max<int64_t>(1, p.axis[0].size * p.axis[1].size));
    taps_.reserve(most), weights_.reserve(most);
    for (int64_t i = 0; i < p.axis[0].size; ++i)
      for (int64_t j = 0; j < p.axis[1].size; ++j)
        if (const T w = weights[i * p.axis[1].size + j]; w != 0) taps_.push_back({i, j}), weights_.push_back(w);
    if (taps_.empty()) taps_.push_back({0, 0}), weights_.push_back(T(0));
  }

  void run() const {
    lines_.for_each(p_, static_cast<int64_t>(taps_.size()),
                    [&](int64_t plane, int64_t from, int64_t to, const FilterSpan& c) { strip(plane, from, to, c); });
  }

 private:
  void strip(int64_t plane, int64_t from, int64_t to, const FilterSpan& c) const {
    const int64_t kh = p_.axis[0].size, bytes = kh * Arena::rounded_bytes<T>(lines_.pitch()),
                  count = static_cast<int64_t>(taps_.size());
    char* scratch = Arena::local().reserve(bytes + Arena::rounded_bytes<const T*>(count));
    T* ring = reinterpret_cast<T*>(scratch);
    const T** table = reinterpret_cast<const T**>(scratch + bytes);
    auto line = [&](int64_t place) { return ring + place % kh * lines_.pitch(); };
    int64_t known = from;  // the next place of the height to be read
    for (int64_t r = from; r < to; ++r) {
      for (; known < r + kh; ++known) read(plane, known, c, line(known));
      const T** entry = table;
      const T* under = nullptr;
      int64_t i = -1;
      for (const Tap& tap : taps_) {
        if (tap.i != i) i = tap.i, under = line(r + i);
        *entry++ = under + tap.j;
      }
      filter_functions<T>().weigh({table, weights_.data(), count, 1, lines_.output(plane, r, c), 0, c.count(), T(1)});
    }
  }

  void read(int64_t plane, int64_t place, const FilterSpan& c, T* line) const {
    const T* row = lines_.row(lines_.plane(plane), place);
    if (!row) {
      std::fill_n(line, c.count() + p_.axis[1].size - 1, static_cast<T>(p_.axis[0].value));
      return;
    }
    const FilterSpan u = lines_.under(c);
    std::memcpy(line + lines_.offset(c), row + u.first, static_cast<size_t>(u.count()) * sizeof(T));
    lines_.finish(line, c);
  }

  const FilterProblem& p_;
  FilterLines<T> lines_;
  Vector<Tap> taps_;
  Vector<T> weights_;
};

}  // namespace

template <class T>
void filter_taps(const FilterProblem& p, const T* x, const T* weights, T* y) {
  validate(p);
  if (!is_empty(p)) TapsFilter<T>(p, x, weights, y).run();
}

template void filter_taps(const FilterProblem&, const float*, const float*, float*);
template void filter_taps(const FilterProblem&, const double*, const double*, double*);

}  // namespace fastconv
