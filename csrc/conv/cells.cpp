#include "conv/cells.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/correlation.hpp"
#include "conv/index_map.hpp"
#include "conv/operands.hpp"
#include "kernels/conv.hpp"
#include "kernels/depthwise_squares.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBytes = 1 << 20;         // of cells at a time, unless one image has more;
constexpr int64_t kStripBytes = 4 << 20;    // of a larger image, which is cut
constexpr int64_t kLeastChannels = 16;      // shorter sums do not repay moving their results
constexpr int64_t kFew = 4;                 // channels of dx: more fill tiles of their own
constexpr int64_t kLargeBytes = 384 << 10;  // of dy, which others read again for each channel of dx

// An axis: element x of dx is phase (x + shift) % stride of cell (x + shift) / stride. The outputs that its taps meet
// are `ahead` of the cell at most; a cell's taps count back from there.
struct CellAxis {
  int64_t stride, shift, lead, ahead, taps, in, out;
  CellAxis(const ConvAxis& a, int64_t shift_)
      : stride(a.stride),
        shift(shift_),
        lead(a.pad_before - shift),
        ahead((a.stride - 1 + lead) / a.stride),
        taps(ahead + floor_div(a.k - 1 - lead, a.stride) + 1),
        in((a.in - 1 + shift) / a.stride + 1),
        out(a.out) {}
  int64_t tap(int64_t phase, int64_t i) const { return phase + lead - stride * (ahead - i); }
  int64_t pad_after() const { return out - 1 + taps - in - ahead; }
  ConvAxis problem() const {
    ConvAxis a;
    a.in = in, a.out = out, a.k = taps, a.pad_before = ahead, a.pad_after = pad_after();
    return a;
  }
  // Element of dx at which a cell begins, and the first output that it meets.
  int64_t element(int64_t cell) const { return std::max<int64_t>(0, cell * stride - shift); }
  int64_t output(int64_t cell) const { return std::max<int64_t>(0, cell + ahead - taps + 1); }
  // Cells [begin, end) and the outputs that these meet, counted from output(begin).
  CellAxis some(int64_t begin, int64_t end) const {
    CellAxis part = *this;
    part.in = end - begin;
    part.out = std::min(out, end + ahead) - output(begin);
    part.ahead = begin + ahead - output(begin);
    if (begin > 0) part.shift = 0;
    return part;
  }
};
// Cells that begin with the image, unless that takes more taps than a beginning at the first padded element.
CellAxis cell_axis(const ConvAxis& a) {
  const CellAxis even(a, 0);
  return even.taps == ceil_div(a.k, a.stride) ? even : CellAxis(a, a.pad_before % a.stride);
}

struct Cells {
  ConvProblem p;
  CellAxis axis[3];
  int64_t phases;
  int cut;  // the axis that large images are cut across
  explicit Cells(const ConvProblem& problem)
      : p(problem),
        axis{cell_axis(p.axis[0]), cell_axis(p.axis[1]), cell_axis(p.axis[2])},
        phases(axis[0].stride * axis[1].stride * axis[2].stride),
        cut(axis[0].in > 1   ? 0
            : axis[1].in > 1 ? 1
                             : 2) {}

  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  int64_t weights() const { return p.oc * (p.ic / p.groups) * phases * taps(); }
  int64_t elements() const { return p.ic * phases * axis[0].in * axis[1].in * axis[2].in; }
  // Images at a time, or cells of the cut axis: by one image alone.
  template <class T>
  int64_t images() const {
    return std::max<int64_t>(1, std::min(p.mb, kBytes / (elements() * static_cast<int64_t>(sizeof(T)))));
  }
  template <class T>
  int64_t strip() const {
    const int64_t bytes = elements() / axis[cut].in * static_cast<int64_t>(sizeof(T));
    return std::clamp<int64_t>(kStripBytes / bytes, 1, axis[cut].in);
  }
  Cells some(int64_t begin, int64_t end) const {
    Cells part = *this;
    part.axis[cut] = axis[cut].some(begin, end);
    return part;
  }
  // Cells, biases and weights.
  template <class T>
  int64_t scratch() const {
    return images<T>() * some(0, strip<T>()).elements() + p.ic * phases + weights();
  }
  ConvProblem problem(int64_t images) const {
    ConvProblem q;
    q.mb = images;
    q.groups = p.groups;
    q.ic = p.ic * phases;
    q.oc = p.oc;
    for (int i = 0; i < 3; ++i) q.axis[i] = axis[i].problem();
    return q;
  }
};

// to[o, (c, phases), taps], zeros where a phase has no tap.
template <class T>
void arrange_weights(const Cells& cells, const View<const T>& w, T* to) {
  const CellAxis &d = cells.axis[0], &h = cells.axis[1], &v = cells.axis[2];
  const auto within = [](int64_t t, int64_t k) { return t >= 0 && t < k; };
  for (int64_t channel = 0; channel < w.shape[0] * w.shape[1]; ++channel) {
    const T* from = w.data + channel / w.shape[1] * w.stride[0] + channel % w.shape[1] * w.stride[1];
    for (int64_t phase = 0; phase < cells.phases; ++phase)
      for (int64_t i = 0; i < d.taps; ++i)
        for (int64_t j = 0; j < h.taps; ++j)
          for (int64_t k = 0; k < v.taps; ++k) {
            const int64_t td = d.tap(phase / v.stride / h.stride, i), th = h.tap(phase / v.stride % h.stride, j),
                          tw = v.tap(phase % v.stride, k);
            const bool there = within(td, w.shape[2]) && within(th, w.shape[3]) && within(tw, w.shape[4]);
            *to++ = there ? from[td * w.stride[2] + th * w.stride[3] + tw * w.stride[4]] : T(0);
          }
  }
}

// Weights of patches, whose phases have one tap each, stand as they are wanted.
template <class T>
bool stand(const Cells& cells, const View<const T>& w) {
  if (cells.taps() > 1) return false;
  for (int64_t i = 4, step = 1; i > 0; step *= w.shape[i--])
    if (w.stride[i] != step && w.shape[i] > 1) return false;
  return cells.phases == w.shape[2] * w.shape[3] * w.shape[4];
}

// Cells (mb, ic * phases, cells) to dx, row by row.
template <class T>
void place(const Cells& cells, const T* from, const View<T>& dx) {
  const CellAxis &d = cells.axis[0], &h = cells.axis[1], &w = cells.axis[2];
  const int64_t height = dx.shape[3], width = dx.shape[4], plane = d.in * h.in * w.in, ic = dx.shape[1];
  const auto& kernels = conv_kernels<T>();
  const double work = 4.0 * static_cast<double>(dx.size());
  parallel_tasks(dx.shape[0] * ic, threads_for(work), [&](int64_t task) {
    const T* channel = from + task * cells.phases * plane;
    T* to = dx.data + task / ic * dx.stride[0] + task % ic * dx.stride[1];
    for (int64_t row = 0; row < dx.shape[2] * height; ++row) {
      const int64_t i = row / height + d.shift, j = row % height + h.shift;
      const T* line = channel + (i % d.stride * h.stride + j % h.stride) * w.stride * plane +
                      (i / d.stride * h.in + j / h.stride) * w.in;
      T* y = to + row / height * dx.stride[2] + row % height * dx.stride[3] - w.shift * dx.stride[4];
      const auto put = [&](int64_t k, int64_t end) {
        for (; k < end; ++k) y[k * dx.stride[4]] = line[k % w.stride * plane + k / w.stride];
      };
      const int64_t end = w.shift + width, first = ceil_div(w.shift, w.stride), last = end / w.stride;
      if (dx.stride[4] != 1 || last <= first) {
        put(w.shift, end);
        continue;
      }
      put(w.shift, first * w.stride);
      kernels.pack_transposed(y + first * w.stride, w.stride, line + first, plane, 1, last - first, w.stride, w.stride);
      put(last * w.stride, end);
    }
  });
}

}  // namespace

template <class T>
bool use_cells(const ConvProblem& p, Algorithm algorithm) {
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::direct) return false;
  if (p.axis[2].stride == 1 || p.oc / p.groups < kLeastChannels || p.mb * p.ic * p.out_pixels() == 0) return false;
  for (const ConvAxis& a : p.axis)
    if (a.dilation != 1 || a.stride > a.k || (a.mode != Mode::zeros && a.pad_before + a.pad_after > 0) ||
        cell_axis(a).pad_after() < 0)
      return false;
  const Cells cells(p);
  if (algorithm == Algorithm::direct && cells.phases * cells.taps() != p.taps()) return false;  // 0 times infinity
  if (cells.taps() == 1) return true;
  if (p.ic / p.groups > kFew) return false;
  const bool registers = square_kernels<T>().many_registers;  // for both phases of a step of two
  return p.axis[2].stride > 2 || !registers ||
         p.oc / p.groups * p.out_pixels() * static_cast<int64_t>(sizeof(T)) >= kLargeBytes;
}

template <class T>
void run_cells(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
               Activation activation, Algorithm algorithm) {
  const Cells cells(p);
  const int64_t most = cells.images<T>(), strip = cells.strip<T>(), rows = p.ic * cells.phases;
  const CellAxis& cut = cells.axis[cells.cut];
  const ScratchMemory<T> memory(cells.scratch<T>());
  T *biases = memory.data() + cells.scratch<T>() - rows - cells.weights(), *weights = biases + rows;
  View<const T> row_weights =
      imagined_view<T>(p.oc, rows / p.groups, cells.axis[0].taps, cells.axis[1].taps, cells.axis[2].taps);
  row_weights.data = weights;
  if (stand(cells, w)) row_weights.data = w.data, row_weights.stride[0] = w.stride[0];
  else arrange_weights(cells, w, weights);
  View<const T> row_bias = imagined_view<T>(rows, 1, 1, 1, 1);
  if (bias.data) {
    for (int64_t m = 0; m < rows; ++m) biases[m] = bias.data[m / cells.phases * bias.stride[0]];
    row_bias.data = biases;
  }
  for (int64_t n = 0; n < p.mb; n += most)
    for (int64_t c = 0; c < cut.in; c += strip) {
      const int64_t end = std::min(cut.in, c + strip), axis = 2 + cells.cut;
      const Cells part = cells.some(c, end);
      const ConvProblem some = part.problem(std::min(most, p.mb - n));
      View<const T> from = dy;
      View<T> to = dx, patch = imagined_view<T>(some.mb, rows, some.axis[0].in, some.axis[1].in, some.axis[2].in);
      from.data += n * dy.stride[0] + cut.output(c) * dy.stride[axis];
      to.data += n * dx.stride[0] + cut.element(c) * dx.stride[axis];
      from.shape[0] = to.shape[0] = some.mb;
      from.shape[axis] = some.axis[cells.cut].out;
      to.shape[axis] = std::min(dx.shape[axis], cut.element(end)) - cut.element(c);
      patch.data = memory.data();
      correlate_backward(some, from, row_weights, row_bias, patch, activation, algorithm);
      place(part, memory.data(), to);
    }
}

template <class T>
ConvPlan plan_cells(const ConvProblem& p, Algorithm algorithm) {
  const Cells cells(p);
  const CellAxis& cut = cells.axis[cells.cut];
  const int64_t images = cells.images<T>(), strip = cells.strip<T>(), first = std::min(cut.in - strip, cut.taps);
  ConvPlan plan =
      plan_correlation<T>(cells.some(first, first + strip).problem(images), Direction::backward_input, algorithm);
  plan.shared_bytes += cells.scratch<T>() * static_cast<int64_t>(sizeof(T));
  plan.cost *= static_cast<double>(p.mb * cut.in) / static_cast<double>(images * strip);
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                                 \
  template bool use_cells<T>(const ConvProblem&, Algorithm);                                                    \
  template void run_cells(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, Activation, \
                          Algorithm);                                                                           \
  template ConvPlan plan_cells<T>(const ConvProblem&, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
