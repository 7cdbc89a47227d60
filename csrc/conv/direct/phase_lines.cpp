#include "conv/direct/phase_lines.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr size_t kMostWays = 4;
constexpr int64_t kLeastColumns = 8;      // of a phase: fewer do not repay planes of their own
constexpr int64_t kMostBytes = 16 << 20;  // of all phases: scratch memory is bounded

}  // namespace

template <class T>
bool PhaseLines<T>::suits(const Operands<T>& c, const BackwardPieces (&axis)[3]) {
  int64_t in_use = 1, all = 1;  // others are lines of zeros
  for (const BackwardPieces& a : axis) {
    if (a.set.empty() || static_cast<int64_t>(a.set.size()) < a.set[0].step) return false;
    in_use *= std::count_if(a.set.begin(), a.set.end(), [](const Piece& p) { return p.map.taps() > 0; });
    all *= static_cast<int64_t>(a.set.size());
  }
  const Vector<Piece>& w = axis[2].set;
  return w.size() >= 2 && w.size() <= kMostWays && c.y.stride[4] == 1 && w[0].map.outputs >= kLeastColumns &&
         2 * in_use >= all;
}
template <class T>
bool PhaseLines<T>::fits() const {
  return elements() * static_cast<int64_t>(sizeof(T)) <= kMostBytes;
}

template <class T>
PhaseLines<T>::PhaseLines(const Operands<T>& c, const BackwardPieces (&axis)[3])
    : c_(c), axis_(axis), columns_(axis[2].set[0].map.outputs) {
  for (int i = 0; i < 3; ++i) ways_[i] = static_cast<int64_t>(axis[i].set.size());
  pitch_ = ceil_div(c.y.shape[2] * c.y.shape[3] * columns_, 16) * 16;
  plane_ = (ways_[2] * pitch_ / 16 | 1) * 16;
}

// The phases before fill whole planes of y, or whole rows.
template <class T>
int64_t PhaseLines<T>::place(int64_t d, int64_t h) const {
  int64_t slices = 0, rows = 0;
  for (int64_t i = 0; i < d; ++i) slices += outputs(0, i);
  for (int64_t i = 0; i < h; ++i) rows += outputs(1, i);
  return (slices * c_.y.shape[3] + outputs(0, d) * rows) * columns_;
}

template <class T>
Operands<T> PhaseLines<T>::operands(int64_t phase, T* memory) const {
  const int64_t w = phase % ways_[2], h = phase / ways_[2] % ways_[1], d = phase / ways_[2] / ways_[1];
  Operands<T> own = c_;
  own.y = imagined_view<T>(c_.images(), c_.y.shape[1], outputs(0, d), outputs(1, h), columns_);
  own.y.stride[0] = c_.y.shape[1] * plane_;
  own.y.stride[1] = plane_;
  own.y.data = moved(memory, w * pitch_ + place(d, h));
  return own;
}

template <class T>
Piece PhaseLines<T>::piece(int64_t phase, int i) const {
  for (int j = 2; j > i; --j) phase /= ways_[j];
  Piece p = axis_[i].set[static_cast<size_t>(phase % ways_[i])];
  p.begin = 0;
  p.step = 1;
  if (i == 2) p.map.outputs = columns_;
  return p;
}

template <class T>
void PhaseLines<T>::zip(const T* memory) const {
  const View<T>& y = c_.y;
  const int64_t channels = y.shape[1], planes = c_.images() * channels, height = y.shape[3], width = y.shape[4];
  // Lines that follow one another are zipped together, and what they write beyond their ends the next ones set right.
  const int64_t step = height > 1 ? y.stride[3] : width, slice = y.shape[2] > 1 ? y.stride[2] : height * step;
  const bool follow = slice == height * step && y.stride[1] == y.shape[2] * slice;
  const int64_t all = y.shape[2] * height, some = follow ? std::clamp<int64_t>(kLinesAtOnce / all, 1, channels) : 1;
  Vector<int64_t> rows;  // of some planes
  for (int64_t i = 0; i < some; ++i)
    for (int64_t d = 0; d < y.shape[2]; ++d)
      for (int64_t h = 0; h < height; ++h)
        rows.push_back(i * plane_ + place(d % ways_[0], h % ways_[1]) +
                       (d / ways_[0] * outputs(1, h % ways_[1]) + h / ways_[1]) * columns_);
  const int threads = threads_for(static_cast<double>(planes * all * width));
  const int64_t tasks = std::min<int64_t>(planes, threads == 1 ? 1 : 4 * threads);
  parallel_tasks(tasks, threads, [&](int64_t task) {
    const Range own = part(planes, tasks, task);
    for (int64_t i = own.begin, count; i < own.end; i += count) {
      const int64_t left = std::min(own.end - i, channels - i % channels);  // of the same image
      count = std::min(left, some);
      const int64_t lines = follow ? count * all : height;
      for (int64_t first = 0; first < count * all; first += lines) {
        T* const to = y.data + i / channels * y.stride[0] + i % channels * y.stride[1] + first / height * slice;
        conv_kernels<T>().zip_lines({to, step, memory + i * plane_, rows.data() + first, lines, pitch_, ways_[2], width,
                                     follow ? (left - count) * all * step : 0});
      }
    }
  });
}

template class PhaseLines<float>;
template class PhaseLines<double>;

}  // namespace fastconv
