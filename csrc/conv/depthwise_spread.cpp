#include "conv/depthwise_spread.hpp"

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise.hpp"
#include "conv/depthwise_lanes.hpp"
#include "conv/planes.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kStrip = 4 * kBandRows;  // lines of dy at a time

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
      strip({s * rows_.dy.outputs / strips(), (s + 1) * rows_.dy.outputs / strips()}, part * planes / parts,
            (part + 1) * planes / parts);
    });
  }

  ConvPlan plan() const {
    ConvPlan plan;
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = in_place_ ? "image rows" : "packed image rows";
    plan.mr = 2;
    plan.nr = 2 * kernels_.lanes;
    plan.block_channels = 1;
    plan.block_pixels = kStrip * columns_.dy.outputs;
    plan.workspace_bytes =
        Arena::rounded_bytes<T>(line_elements(true)) + Arena::rounded_bytes<T>(2 * kBandRows * buffer_row());
    plan.threads = static_cast<int>(std::min<int64_t>(threads(), p_.mb * p_.ic * strips()));
    plan.cost = static_cast<double>(p_.mb * p_.ic * rows_.dy.outputs) *
                static_cast<double>(ceil_div(columns_.dy.outputs, kernels_.lanes)) * 14;
    return plan;
  }

 private:
  int threads() const { return threads_for(2 * p_.macs()); }
  int64_t strips() const { return ceil_div(rows_.dy.outputs, kStrip); }
  int64_t buffer_row() const { return round_up(columns_.end, kernels_.lanes); }
  int64_t line_elements(bool packed) const {
    return packed ? (kStrip + 1) * packed_row_size(columns_.dy, columns_.dy.outputs, kernels_.lanes)
                  : round_up(columns_.dy.in, kernels_.lanes);
  }

  // Pairs of rows of some planes (image * channels + channel).
  void strip(Range rows, int64_t first_plane, int64_t last_plane) const {
    const int64_t stride[3] = {dy_.stride[1], dy_.stride[3], dy_.stride[4]},
                  lines_bytes = Arena::rounded_bytes<T>(line_elements(!in_place_));
    PlaneLines<T> lines(rows_.dy, rows, columns_.dy, {0, columns_.dy.outputs}, 1, 1, stride, in_place_);
    char* memory = Arena::local().reserve(lines_bytes + Arena::rounded_bytes<T>(2 * kBandRows * buffer_row()));
    T* packed = reinterpret_cast<T*>(memory);
    lines.clear(packed);
    Vector<TapRun> runs;
    lines.add_runs(0, 0, {0, 1}, runs);
    Vector<const T*> table;
    SpreadBand<T> b{};
    b.x = runs[0].x;
    b.columns = ceil_div(columns_.dy.outputs, kernels_.lanes);
    b.first = columns_.first;
    b.end = columns_.end;
    if (in_place_ && fetch_ahead(columns_.dy.in, p_.mb * p_.ic * p_.out_pixels()))
      b.dy_ahead = kRowsAhead * dy_.stride[3], b.dx_ahead = kRowsAhead * dx_.stride[3];
    for (int64_t plane = first_plane; plane < last_plane; ++plane) {
      const int64_t n = plane / p_.ic, c = plane % p_.ic;
      const T* dy = dy_.data + n * dy_.stride[0] + c * dy_.stride[1];
      lines.pack(dy, 0, packed);
      b.lines = lines.lines(dy, 0, packed, table);
      b.bias = bias_.data ? bias_.data[c * bias_.stride[0]] : T(0);
      T w[9];
      for (int64_t i = 0; i < 9; ++i) w[i] = w_.data[c * w_.stride[0] + i / 3 * w_.stride[3] + i % 3 * w_.stride[4]];
      b.w = w;
      add(rows, b, reinterpret_cast<T*>(memory + lines_bytes), dx_.data + n * dx_.stride[0] + c * dx_.stride[1]);
    }
  }

  void add(Range rows, SpreadBand<T> b, T* buffer, T* dx) const {
    const bool in_place = dx_.stride[4] == 1;
    b.dx_row = in_place ? dx_.stride[3] : buffer_row();
    for (int64_t r = rows.begin, n; r < rows.end; r += n) {
      n = in_place ? rows.size() : std::min<int64_t>(kBandRows, rows.end - r);
      b.first_row = r > 0 ? 0 : rows_.first;
      b.end_row = std::min(2 * n, rows_.end - 2 * r);
      T* const to = dx + (2 * r - rows_.first) * dx_.stride[3];
      b.dx = in_place ? to - columns_.first : buffer;
      kernels_.spread_band(b);
      b.lines.line += n;
      for (int64_t i = b.first_row; !in_place && i < b.end_row; ++i)
        kernels_.unpack(to + i * dx_.stride[3], dx_.stride[4], buffer + i * buffer_row() + columns_.first, nullptr,
                        p_.axis[2].in);
    }
  }

  const ConvProblem& p_;
  View<const T> dy_, w_, bias_;
  View<T> dx_;
  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  const Pairs rows_{p_.axis[1]}, columns_{p_.axis[2]};
  const bool in_place_;
};

}  // namespace

template <class T>
bool spreads_squares(const ConvProblem& p) {
  const auto suits = [](const ConvAxis& a) {
    return a.k == 3 && a.stride == 2 && a.dilation == 1 && a.mode == Mode::zeros && a.in > 1;
  };
  return depthwise_kernels<T>().spread_band && p.groups == p.ic && p.groups == p.oc && suits(p.axis[1]) &&
         suits(p.axis[2]);
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
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
