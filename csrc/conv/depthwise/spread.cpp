#include "conv/depthwise/spread.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/depthwise.hpp"
#include "conv/depthwise/lanes.hpp"
#include "conv/depthwise/planes.hpp"
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/depthwise/squares.hpp"

namespace fastconv {
namespace {

constexpr int64_t kStrip = 4 * kBandRows;  // lines of dy at a time
constexpr int64_t kWide = 256;             // lines of dy, which the processor fetches by itself
constexpr int64_t kOfMemory = 1 << 21;     // elements of dx that the L3 cache may not have

// dx's rows or columns 2 p - first and 2 p + 1 - first are a pair, which reads dy's p + offset and the next one.
struct Pairs {
  int64_t first, end;  // elements of the pairs that dx has
  AxisMap dy;
  explicit Pairs(const ConvAxis& a) : first(a.pad_before % 2 == 0), end(a.in + first) {
    const int64_t offset = (a.pad_before + 1) / 2 - 1;
    dy.outputs = ceil_div(end, 2);
    dy.in = a.out;
    dy.offset = {offset, offset + 1};
  }
};

template <class T>
class Spread {
 public:
  Spread(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx)
      : p_(p), dy_(dy), w_(w), bias_(bias), dx_(dx), in_place_(read_in_place<T>(columns_.dy, dy.stride[4])) {}

  void run() const {
    const int64_t planes = p_.mb * p_.ic, parts = threads() > 1 ? std::min<int64_t>(planes, 8 * threads()) : 1;
    parallel_tasks(strips() * parts, threads(), [&](int64_t i) {
      const int64_t s = i % strips(), part = i / strips();
      strip(fastconv::part(rows_.dy.outputs, strips(), s), fastconv::part(planes, parts, part));
    });
  }

  ConvPlan plan() const {
    ConvPlan plan;
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = in_place_ ? "image rows" : "packed image rows";
    plan.mr = 2;
    plan.nr = 2 * lanes_;
    plan.block_channels = 1;
    plan.block_pixels = kStrip * columns_.dy.outputs;
    plan.workspace_bytes = Arena::rounded_bytes<T>(line_elements()) + Arena::rounded_bytes<T>(buffer_elements());
    plan.threads = static_cast<int>(std::min<int64_t>(threads(), p_.mb * p_.ic * strips()));
    plan.cost = static_cast<double>(p_.mb * p_.ic * rows_.dy.outputs) *
                static_cast<double>(ceil_div(columns_.dy.outputs, lanes_)) * 14;
    return plan;
  }

 private:
  int threads() const { return threads_for(2 * p_.macs()); }
  int64_t strips() const { return ceil_div(rows_.dy.outputs, kStrip); }
  bool writes_in_place() const { return dx_.stride[4] == 1; }
  int64_t buffer_row() const { return round_up(columns_.end, lanes_); }
  int64_t buffer_elements() const { return 2 * kBandRows * buffer_row(); }
  int64_t packed_columns() const {  // of a single pair, what it reads would be packed apart
    return std::max<int64_t>(2, columns_.dy.outputs);
  }
  int64_t line_elements() const {  // of what is packed
    return (kStrip + 1) * packed_row_size(columns_.dy, packed_columns(), lanes_);
  }

  // Pairs of rows of some planes (image * channels + channel).
  void strip(Range rows, Range planes) const {
    const int64_t stride[3] = {dy_.stride[1], dy_.stride[3], dy_.stride[4]},
                  lines_bytes = Arena::rounded_bytes<T>(line_elements()), first = rows.begin + rows_.dy.offset[0];
    char* const memory = in_place_ && writes_in_place()
                             ? nullptr
                             : Arena::local().reserve(lines_bytes + Arena::rounded_bytes<T>(buffer_elements()));
    T *const packed = reinterpret_cast<T*>(memory), *const buffer = reinterpret_cast<T*>(memory + lines_bytes);
    PlaneLines<T> lines(rows_.dy, rows, columns_.dy, {0, packed_columns()}, 1, 1, stride, in_place_);
    int64_t tap[9];
    for (int64_t i = 0; i < 9; ++i) tap[i] = i / 3 * w_.stride[3] + i % 3 * w_.stride[4];
    SquareSpread<T> b{};
    b.dy_row = dy_.stride[3], b.x = columns_.dy.offset[0], b.width = columns_.dy.in;
    b.first_line = -first, b.end_line = rows_.dy.in - first;
    b.tap = tap;
    b.columns = ceil_div(columns_.dy.outputs, lanes_);
    b.first = columns_.first, b.end = columns_.end;
    b.dy_plane = dy_.stride[1], b.w_plane = w_.stride[0], b.dx_plane = dx_.stride[1];
    if (in_place_ && columns_.dy.in <= kWide && p_.mb * p_.ic * p_.axis[1].in * p_.axis[2].in > kOfMemory)
      b.dy_ahead = kRowsAhead * dy_.stride[3], b.dx_ahead = kRowsAhead * dx_.stride[3];
    if (!in_place_) {
      Vector<TapRun> runs;
      lines.clear(packed);
      lines.add_runs(0, 0, {0, 1}, runs);
      b.dy_row = b.width = lines.row(), b.x = runs[0].x, b.first_line = 0, b.end_line = rows.size() + 1;
    }
    const bool at_once = in_place_ && writes_in_place() && (!bias_.data || bias_.stride[0] == 1);
    for (int64_t plane = planes.begin; plane < planes.end; plane += b.planes) {
      const int64_t n = plane / p_.ic, c = plane % p_.ic;
      b.planes = at_once ? std::min(planes.end - plane, p_.ic - c) : 1;
      const T* dy = dy_.data + n * dy_.stride[0] + c * dy_.stride[1];
      lines.pack(dy, 0, packed);
      b.dy = !in_place_ ? packed : dy + first * dy_.stride[3];
      b.bias = bias_.data ? bias_.data + c * bias_.stride[0] : nullptr;
      b.w = w_.data + c * w_.stride[0];
      add(rows, b, buffer, dx_.data + n * dx_.stride[0] + c * dx_.stride[1]);
    }
  }

  void add(Range rows, SquareSpread<T> b, T* buffer, T* dx) const {
    const bool in_place = writes_in_place();
    b.dx_row = in_place ? dx_.stride[3] : buffer_row();
    for (int64_t r = rows.begin, n; r < rows.end; r += n) {
      n = in_place ? rows.size() : std::min<int64_t>(kBandRows, rows.end - r);
      b.first_row = r > 0 ? 0 : rows_.first;
      b.end_row = std::min(2 * n, rows_.end - 2 * r);
      T* const to = dx + (2 * r - rows_.first) * dx_.stride[3];
      b.dx = in_place ? to - columns_.first : buffer;
      square_kernels<T>().spread(b);
      b.dy += n * b.dy_row, b.first_line -= n, b.end_line -= n;
      for (int64_t i = b.first_row; !in_place && i < b.end_row; ++i)
        depthwise_kernels<T>().unpack(to + i * dx_.stride[3], dx_.stride[4], buffer + i * buffer_row() + columns_.first,
                                      nullptr, p_.axis[2].in);
    }
  }

  const ConvProblem& p_;
  View<const T> dy_, w_, bias_;
  View<T> dx_;
  const int64_t lanes_ = depthwise_kernels<T>().lanes;
  const Pairs rows_{p_.axis[1]}, columns_{p_.axis[2]};
  const bool in_place_;
};

}  // namespace

template <class T>
bool spreads_squares(const ConvProblem& p) {
  const auto suits = [](const ConvAxis& a) {
    return a.k == 3 && a.stride == 2 && a.dilation == 1 && a.mode == Mode::zeros && a.in > 1;
  };
  return square_kernels<T>().spread && p.groups == p.ic && p.groups == p.oc && suits(p.axis[1]) && suits(p.axis[2]);
}

template <class T>
bool use_spread(const ConvProblem& p, Algorithm algorithm) {
  if (algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) return false;
  const ConvAxis& d = p.axis[0];
  return is_plane(d) && p.macs() > 0 && spreads_squares<T>(p);
}

template <class T>
void run_spread(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx) {
  Spread<T>(p, dy, w, bias, dx).run();
}

template <class T>
ConvPlan plan_spread(const ConvProblem& p) {
  View<const T> dy;
  dy.stride[4] = 1;
  return Spread<T>(p, dy, {}, {}, {}).plan();
}

#define FASTCONV_INSTANTIATE(T)                                                                       \
  template bool spreads_squares<T>(const ConvProblem&);                                               \
  template bool use_spread<T>(const ConvProblem&, Algorithm);                                         \
  template void run_spread(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_spread<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
