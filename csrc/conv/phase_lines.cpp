#include "conv/phase_lines.hpp"

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kMostWays = 4;
constexpr int64_t kLeastColumns = 20;     // of a phase: fewer do not repay planes of their own
constexpr int64_t kMostBytes = 16 << 20;  // of all phases: scratch memory is bounded

Piece on_its_own(const Piece& piece) {
  Piece p = piece;
  p.begin = 0;
  p.step = 1;
  return p;
}

}  // namespace

template <class T>
void zip_line(const T* from, int64_t pitch, int64_t ways, int64_t n, T* to, int64_t step) {
  const int64_t row = 0;
  if (step == 1) return conv_kernels<T>().zip_lines({to, 0, from, &row, 1, pitch, ways, n});
  for (int64_t x = 0; x < n; ++x) to[x * step] = from[x % ways * pitch + x / ways];
}

template <class T>
bool PhaseLines<T>::suits(const Operands<T>& c, const Piece& d, const Piece& h, const Vector<Piece>& ws) {
  const int64_t ways = static_cast<int64_t>(ws.size());
  bool suits =
      ways >= 2 && ways <= kMostWays && c.y.stride[4] == 1 && !d.adds && !h.adds && ws[0].map.outputs >= kLeastColumns;
  int64_t in_use = 0;  // others are lines of zeros
  for (const Piece& w : ws) suits &= !w.adds && w.step == ways, in_use += w.map.taps() > 0;
  return suits && 2 * in_use >= ways && d.map.taps() * h.map.taps() > 0;
}
template <class T>
bool PhaseLines<T>::fits() const {
  return elements() * static_cast<int64_t>(sizeof(T)) <= kMostBytes;
}

template <class T>
PhaseLines<T>::PhaseLines(const Operands<T>& c, const Piece& d, const Piece& h, const Vector<Piece>& ws)
    : c_(c),
      ws_(ws),
      y_(c.y_of({d, h, ws[0]})),
      d_(on_its_own(d)),
      h_(on_its_own(h)),
      ways_(static_cast<int64_t>(ws.size())),
      columns_(ws[0].map.outputs),
      channels_(c.y.shape[1]) {
  const int64_t all = c.images() * channels_ * d.map.outputs * h.map.outputs * columns_;
  pitch_ = (ceil_div(all, 16) | 1) * 16;
}

template <class T>
Operands<T> PhaseLines<T>::operands(int64_t phase, T* memory) const {
  Operands<T> own = c_;
  own.y = imagined_view<T>(c_.images(), channels_, d_.map.outputs, h_.map.outputs, columns_);
  own.y.data = moved(memory, phase * pitch_);
  return own;
}

// As many outputs for each, so that rows follow one another.
template <class T>
Piece PhaseLines<T>::w(int64_t phase) const {
  Piece w = on_its_own(ws_[static_cast<size_t>(phase)]);
  w.map.outputs = columns_;
  return w;
}

template <class T>
void PhaseLines<T>::zip(const T* memory) const {
  const int64_t depth = d_.map.outputs, height = h_.map.outputs, planes = c_.images() * channels_ * depth,
                width = c_.y.shape[4];
  parallel_tasks(planes, threads_for(static_cast<double>(planes * height * width)), [&](int64_t i) {
    T* to = y_.data + i / depth / channels_ * y_.stride[0] + i / depth % channels_ * y_.stride[1] +
            i % depth * y_.stride[2];
    for (int64_t h = 0; h < height; ++h)
      zip_line(memory + (i * height + h) * columns_, pitch_, ways_, width, to + h * y_.stride[3], 1);
  });
}

template void zip_line(const float*, int64_t, int64_t, int64_t, float*, int64_t);
template void zip_line(const double*, int64_t, int64_t, int64_t, double*, int64_t);
template class PhaseLines<float>;
template class PhaseLines<double>;

}  // namespace fastconv
