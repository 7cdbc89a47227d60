#include "conv/phase_lines.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/range.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr size_t kMostWays = 4;
constexpr int64_t kLeastColumns = 4;      // of a phase: fewer do not repay planes of their own
constexpr int64_t kLeastShare = 4;        // of phases that are not zeros: one of so many
constexpr int64_t kMostBytes = 16 << 20;  // of all phases: scratch memory is bounded

}  // namespace

template <class T>
void zip_line(const T* from, int64_t pitch, int64_t ways, int64_t n, T* to, int64_t step) {
  const int64_t row = 0;
  if (step == 1) return conv_kernels<T>().zip_lines({to, 0, from, &row, 1, pitch, ways, n, 0});
  for (int64_t x = 0; x < n; ++x) to[x * step] = from[x % ways * pitch + x / ways];
}

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
         in_use * kLeastShare >= all;
}
template <class T>
bool PhaseLines<T>::fits() const {
  return elements() * static_cast<int64_t>(sizeof(T)) <= kMostBytes;
}

template <class T>
PhaseLines<T>::PhaseLines(const Operands<T>& c, const BackwardPieces (&axis)[3]) : c_(c), axis_(axis), plane_(1) {
  for (int i = 0; i < 3; ++i) {
    ways_[i] = static_cast<int64_t>(axis[i].set.size());
    outputs_[i] = axis[i].set[0].map.outputs;
    plane_ *= outputs_[i];
  }
  pitch_ = (ceil_div(c.images() * c.y.shape[1] * plane_, 16) | 1) * 16;
}

template <class T>
Operands<T> PhaseLines<T>::operands(int64_t phase, T* memory) const {
  Operands<T> own = c_;
  own.y = imagined_view<T>(c_.images(), c_.y.shape[1], outputs_[0], outputs_[1], outputs_[2]);
  own.y.data = moved(memory, phase * pitch_);
  return own;
}

template <class T>
Piece PhaseLines<T>::piece(int64_t phase, int i) const {
  for (int j = 2; j > i; --j) phase /= ways_[j];
  Piece p = axis_[i].set[static_cast<size_t>(phase % ways_[i])];
  p.begin = 0;
  p.step = 1;
  p.map.outputs = outputs_[i];
  return p;
}

template <class T>
void PhaseLines<T>::zip(const T* memory) const {
  const View<T>& y = c_.y;
  const int64_t planes = c_.images() * y.shape[1], height = y.shape[3], width = y.shape[4];
  Vector<int64_t> rows;
  for (int64_t d = 0; d < y.shape[2]; ++d)
    for (int64_t h = 0; h < height; ++h)
      rows.push_back((d % ways_[0] * ways_[1] + h % ways_[1]) * ways_[2] * pitch_ +
                     (d / ways_[0] * outputs_[1] + h / ways_[1]) * outputs_[2]);
  // Lines that follow one another are zipped together, and what they write beyond their ends the next ones set right.
  const bool joined = y.stride[2] == height * y.stride[3];
  const int64_t lines = joined ? y.shape[2] * height : height;
  const int threads = threads_for(static_cast<double>(planes * y.shape[2] * height * width));
  const int64_t tasks = std::min<int64_t>(planes, threads == 1 ? 1 : 4 * threads);
  parallel_tasks(tasks, threads, [&](int64_t task) {
    const Range own = part(planes, tasks, task);
    for (int64_t i = own.begin; i < own.end; ++i)
      for (int64_t first = 0; first < y.shape[2] * height; first += lines) {
        T* const to =
            y.data + i / y.shape[1] * y.stride[0] + i % y.shape[1] * y.stride[1] + first / height * y.stride[2];
        const bool follows = i + 1 < own.end && (i + 1) % y.shape[1] && y.stride[1] == lines * y.stride[3];
        conv_kernels<T>().zip_lines({to, y.stride[3], memory + i * plane_, rows.data() + first, lines, pitch_, ways_[2],
                                     width, follows ? lines * width : 0});
      }
  });
}

template void zip_line(const float*, int64_t, int64_t, int64_t, float*, int64_t);
template void zip_line(const double*, int64_t, int64_t, int64_t, double*, int64_t);
template class PhaseLines<float>;
template class PhaseLines<double>;

}  // namespace fastconv
