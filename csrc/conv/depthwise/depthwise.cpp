#include "conv/depthwise/depthwise.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/planes.hpp"
#include "conv/depthwise/squares.hpp"
#include "conv/strided_cost.hpp"
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/depthwise/squares.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPlaneBytes = 40 << 10;  // of a plane packed whole: the L1 cache
constexpr int64_t kBatchBytes =
    16 << 10;  // of planes packed together, so that none is read while its stores are on the way
constexpr int64_t kStripBytes = 128 << 10;  // of a strip of larger planes
constexpr int64_t kVolumeBytes = 96 << 10;  // of a strip of all planes that an output of a volume reads in place
constexpr int64_t kMostColumns = 2048;      // outputs of a row at a time, and
constexpr int64_t kLeastColumns = 256;      // where lines of many channels
constexpr int64_t kBandBytes = 4 << 20;     // would take more than this

template <class T>
int64_t depth(const DepthwiseSum<T>& s) {
  return s.lines() * s.h.taps() * s.w.taps();
}

template <class T>
double operations(const DepthwiseSum<T>& s) {
  return 2.0 * static_cast<double>(s.planes() * s.rows * depth(s)) * s.h.outputs * s.w.outputs;
}

template <class T>
bool stores_in_place(const DepthwiseSum<T>& s) {
  return s.phases == 1 && s.y.stride[4] == 1;
}
// Elements: the weights of a plane.
template <class T>
int64_t weights_size(const DepthwiseSum<T>& s) {
  return round_up(s.rows * depth(s), 16);
}
// Rows of outputs that cannot be stored where they belong by whole vectors.
template <class T>
int64_t buffer_size(const DepthwiseSum<T>& s, int64_t outputs) {
  return stores_in_place(s) ? 0 : s.phases * kBandRows * round_up(outputs, depthwise_kernels<T>().lanes);
}

template <class T>
bool sums_squares(const DepthwiseSum<T>& s) {
  return sums_squares<T>(s.d, s.h, s.w, s.channels, s.phases);
}

template <class T>
bool has_square_kernel(int64_t taps, int64_t stride, int64_t channels) {
  const SquareKernelsOf<T>& kernels = square_kernels<T>();
  if (taps == 5 || taps == 7) return stride == 1 && kernels.larger[taps / 2 - 2];
  return taps == 3 && (stride == 1 || (stride == 2 && channels == 1)) && kernels.rows[stride - 1];
}

// Whether all rows of a band would lie in one set of the L1 cache, which has no room for so many.
template <class T>
bool rows_collide(const DepthwiseSum<T>& s) {
  return s.x.stride[3] * static_cast<int64_t>(sizeof(T)) % 4096 == 0;
}

// One strip of some batches of planes. A plane is a slice of an image's group: number (n * groups + g) * slices + d.
template <class T>
class Task {
 public:
  Task(const DepthwiseSum<T>& sum, const DepthwisePlan& plan, Range strip, Range columns)
      : s_(sum),
        plan_(plan),
        strip_(strip),
        cut_(columns),
        x_stride_{sum.x.stride[1], sum.x.stride[3], sum.x.stride[4]},
        lines_(sum.h, strip, sum.w, columns, sum.lines(), plan.planes, x_stride_, plan.in_place,
               is_plane(sum.d) ? nullptr : &sum.d, sum.x.stride[2]) {
    list_runs();
    first_run_.push_back(static_cast<int64_t>(runs_.size()));
  }

  void run(int64_t first_batch, int64_t last_batch) {
    const int64_t packed = Arena::rounded_bytes<T>(lines_.elements());
    char* memory =
        Arena::local().reserve(packed + Arena::rounded_bytes<T>(weights_size(s_) + buffer_size(s_, cut_.size())));
    planes_ = reinterpret_cast<T*>(memory);
    weights_ = reinterpret_cast<T*>(memory + packed);
    lines_.clear(planes_);
    const int64_t all = s_.planes();
    for (int64_t b = first_batch; b < last_batch; ++b) {
      const int64_t p0 = b * plan_.planes, count = std::min(all - p0, plan_.planes);
      Plane at(p0, s_);
      for (int64_t k = 0; k < count; ++k, at.next()) lines_.pack(x(at), k, planes_, at.slice);
      at = Plane(p0, s_);
      for (int64_t k = 0; k < count; ++k, at.next()) add(at, lines_.lines(x(at), k, planes_, table_, at.slice));
    }
  }

 private:
  // Plane after plane without a division.
  struct Plane {
    int64_t image, group, slice, groups, slices;
    Plane(int64_t number, const DepthwiseSum<T>& s) : groups(s.groups), slices(s.d.outputs) {
      slice = number % slices, number /= slices;
      image = number / groups, group = number % groups;
    }
    void next() {
      if (++slice < slices) return;
      slice = 0;
      if (++group == groups) group = 0, ++image;
    }
  };
  const T* x(const Plane& p) const {
    return s_.x.data + p.image * s_.x.stride[0] + p.group * s_.channels * s_.x.stride[1];
  }
  T* y(const Plane& p, int64_t o) const {
    return s_.y.data + p.image * s_.y.stride[0] + (p.group * s_.rows + o) * s_.y.stride[1] + p.slice * s_.y.stride[2] +
           strip_.begin * s_.y.stride[3] + cut_.begin * s_.phases * s_.y.stride[4];
  }
  bool fetches_ahead() const {
    return plan_.in_place && s_.phases == 1 && fetch_ahead(s_.w.in, s_.planes() * s_.h.in * s_.w.in);
  }
  void list_runs() {
    const Vector<int64_t> order = tap_order(s_.h.offset, s_.h.stride);
    for (int64_t f = 0; f < s_.phases; ++f) {
      first_run_.push_back(static_cast<int64_t>(runs_.size()));
      first_tap_.push_back(static_cast<int64_t>(position_.size()));
      for (int64_t c = 0; c < s_.lines(); ++c)
        for (size_t t = 0; t < s_.w_tap.size(); ++t) {
          if (s_.phase[t] != f) continue;
          lines_.add_runs(c, static_cast<int64_t>(t), order, runs_);
          const int64_t line = c / s_.d.taps() * s_.w_channel + s_.d_tap[static_cast<size_t>(c % s_.d.taps())];
          for (int64_t i : order) position_.push_back(line + s_.h_tap[static_cast<size_t>(i)] + s_.w_tap[t]);
        }
    }
  }
  const T* w(const Plane& p, int64_t o) const { return s_.weights + p.group * s_.w_group + o * s_.w_row; }
  T bias(const Plane& p, int64_t o) const { return s_.bias ? s_.bias[p.group * s_.rows + o] : T(0); }
  int64_t depth() const { return static_cast<int64_t>(position_.size()); }

  void copy_weights(const T* from) {
    T* to = weights_;
    for (int64_t o = 0; o < s_.rows; ++o, from += s_.w_row)
      for (int64_t k : position_) *to++ = from[k];
  }

  void add(const Plane& plane, ImageLines<T> lines) {
    if ((s_.groups > 1 && plane.slice == 0) || !weights_ready_) copy_weights(w(plane, 0));
    weights_ready_ = true;
    const int64_t lanes = kernels_.lanes, n = cut_.size(), buffer_row = round_up(n, lanes);
    const bool in_place = stores_in_place(s_);
    T* buffer = weights_ + weights_size(s_);
    Band<T> b{};
    b.lines = lines;
    if (fetches_ahead()) b.x_ahead = kRowsAhead * s_.x.stride[3], b.y_ahead = kRowsAhead * s_.y.stride[3];
    b.columns = ceil_div(n, lanes);
    b.last = n - (b.columns - 1) * lanes;
    b.clamp = s_.clamp;
    b.low = s_.low;
    b.high = s_.high;
    b.single = s_.h.taps() == 1;
    lines_.for_each_band(
        strip_.size(), rows_collide(s_) ? kBandRows / 2 : kernels_.rows, true, lines,
        [&](int64_t r, int64_t step, int64_t rows, int64_t kernel, const T* const* line) {
          b.lines.line = line;
          b.rows = rows;
          for (int64_t o = 0; o < s_.rows; ++o) {
            const int64_t y_row = step * s_.y.stride[3];
            T* to = y(plane, o) + r * s_.y.stride[3];
            b.bias = bias(plane, o);
            for (int64_t f = 0; f < s_.phases; ++f) {
              b.runs = runs_.data() + first_run_[static_cast<size_t>(f)];
              b.run_count = first_run_[static_cast<size_t>(f + 1)] - first_run_[static_cast<size_t>(f)];
              b.w = weights_ + o * depth() + first_tap_[static_cast<size_t>(f)];
              b.y = in_place ? to : buffer + f * kBandRows * buffer_row;
              b.y_row = in_place ? y_row : buffer_row;
              kernels_.band[kernel](b);
            }
            if (in_place) continue;
            const int64_t outputs = std::min(s_.phases * n, s_.y.shape[4] - cut_.begin * s_.phases);
            for (int64_t i = 0; i < rows; ++i)
              kernels_.unpack(to + i * y_row, s_.y.stride[4], buffer + i * buffer_row,
                              s_.phases > 1 ? buffer + (kBandRows + i) * buffer_row : nullptr, outputs);
          }
        });
  }

  const DepthwiseSum<T>& s_;
  const DepthwisePlan& plan_;
  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  Range strip_, cut_;
  int64_t x_stride_[3];
  PlaneLines<T> lines_;
  Vector<TapRun> runs_;                               // phase after phase
  Vector<int64_t> first_run_, first_tap_, position_;  // position: of each tap in the weights, in the order of the runs
  Vector<const T*> table_;
  T *planes_ = nullptr, *weights_ = nullptr;
  bool weights_ready_ = false;
};

template <class T>
int64_t cuts(const DepthwiseSum<T>& s) {
  const LayoutSize h = layout_size(s.h, kBandRows, false);
  const int64_t column = std::max<int64_t>(1, s.lines() * h.segments * h.width * static_cast<int64_t>(sizeof(T)));
  return std::max<int64_t>(1, ceil_div(s.w.outputs, std::clamp(kBandBytes / column, kLeastColumns, kMostColumns)));
}

}  // namespace

// Fitted to 2200 random problems on two rungs, of one image and of sixteen, as what it is compared with is.
template <class T>
double in_turn_cost(const DepthwiseShape& s) {
  const int64_t vectors = ceil_div(s.width, depthwise_kernels<T>().lanes), bands = ceil_div(s.height, kBandRows);
  const double weights = static_cast<double>(s.groups * s.channels * s.rows * s.taps),
               lines = static_cast<double>(s.groups * s.height);  // of dx, and about as many of dy
  return weights * (0.42 * static_cast<double>(s.height * vectors) +
                    15.6 * static_cast<double>(bands * vectors) / static_cast<double>(s.kernel_height) + 7) +
         lines * (8 * static_cast<double>(s.channels) + 30 * static_cast<double>(s.rows));
}

// Compares them in products of vectors: what a run of taps above one another takes the tile besides in each of its
// bands (less if it is a tap by itself, and a plane of squares as much), a line that is packed, and a tap of the
// other's whole tile, for which it also loads and stores. Where registers are few, that one has short vectors at twice
// the rate, of which squares of three taps side by side lose less. Fitted to 2900 random problems on three rungs.
template <class T>
bool depthwise_pays(const DepthwiseShape& s) {
  constexpr double kRun = 36, kRunOfOne = 13, kPackedLine = 100, kTile = 7, kFolds = 2, kFewRegisters = 0.45,
                   kFewForSquares = 0.54, kPieces = 0.8, kPhase = 4000;
  constexpr int64_t kTileRows = 8, kStored = 2, kTinyImage = 256, kSmallImage = 1024, kFarBytes = 8 << 20;
  const int64_t pixels = s.height * s.width, terms = s.channels * s.taps, lanes = depthwise_kernels<T>().lanes;
  if (s.height < 2 || s.taps < 2 || terms > kMostDepthwiseTaps) return false;
  if (s.volume && !s.squares &&
      ((s.in_turn ? 4 : 1) * pixels <= kTinyImage || s.stride > 1 || (s.kernel_height < 2 && !s.in_turn)))
    return false;  // lines are listed and packed slice by slice
  // Results that leave the cache are written by one tile after another, not in columns of each plane.
  if (s.squares && !s.folds && s.rows >= kTileRows * s.channels &&
      s.groups * s.rows * pixels * static_cast<int64_t>(sizeof(T)) > kFarBytes)
    return false;
  if (s.kernel_height < 2 && s.rows * s.channels == 1 && s.height > kBandRows && pixels > kSmallImage)
    return true;  // a long line, whose rows overlap
  if (s.in_turn) {
    const double lines = static_cast<double>(s.groups * s.rows * s.height),
                 outputs = lines * static_cast<double>(s.width),
                 products = static_cast<double>(terms) * outputs / static_cast<double>(2 * lanes);
    return in_turn_cost<T>(s) <
           kPieces * strided_pieces_cost(products, s.rows, lines, static_cast<double>(s.in_turn) * outputs, 0) + kPhase;
  }
  const bool in_place = s.squares || (depthwise_kernels<T>().reads_parts && s.stride == 1);
  const int64_t columns = ceil_div(s.width, lanes),
                runs = s.squares ? s.channels : terms * columns * ceil_div(s.height, kBandRows) / s.kernel_height;
  const double run = s.kernel_height > 1 ? kRun : kRunOfOne;
  const double image = static_cast<double>(s.rows) *
                           (static_cast<double>(terms * s.height * columns) + run * static_cast<double>(runs)) +
                       (in_place ? 0 : kPackedLine) * static_cast<double>(s.channels * s.height * s.stride),
               packed = kTile * static_cast<double>(ceil_div(s.rows, kTileRows) * (terms + kStored) * pixels) /
                        static_cast<double>(lanes);
  const bool squares = s.squares && s.kernel_height == 3 && s.stride == 1;
  return image < packed * (s.folds ? kFolds : 1) *
                     (square_kernels<T>().many_registers ? 1
                      : squares                          ? kFewForSquares
                                                         : kFewRegisters);
}

namespace {

template <class A>
bool is_of_squares(const A& d, int64_t channels) {
  return is_plane(d) || (channels == 1 && d.mode == Mode::zeros);
}

}  // namespace

template <class T>
bool sums_squares(const AxisMap& d, const AxisMap& h, const AxisMap& w, int64_t channels, int64_t phases) {
  const auto neighbours = [&h](const AxisMap& a) {
    const auto [low, high] = std::minmax_element(a.offset.begin(), a.offset.end());
    return a.taps() == h.taps() && *high - *low == a.taps() - 1 && a.outputs > 1;
  };
  return phases == 1 && is_of_squares(d, channels) && h.stride == w.stride &&
         has_square_kernel<T>(h.taps(), w.stride, channels) && neighbours(h) && neighbours(w);
}

template <class T>
bool sums_squares(const ConvAxis& d, const ConvAxis& h, const ConvAxis& w, int64_t channels) {
  const auto neighbours = [&h](const ConvAxis& a) { return a.k == h.k && a.dilation == 1 && a.out > 1; };
  return is_of_squares(d, channels) && h.stride == w.stride && has_square_kernel<T>(h.k, w.stride, channels) &&
         neighbours(h) && neighbours(w);
}

template <class T>
DepthwisePlan plan_depthwise(const DepthwiseSum<T>& s) {
  if (sums_squares(s)) return plan_squares(s);
  const int64_t lanes = depthwise_kernels<T>().lanes, item = static_cast<int64_t>(sizeof(T)), all = s.planes();
  const double outputs = static_cast<double>(all) * s.rows * s.h.outputs * s.w.outputs;
  DepthwisePlan p;
  p.threads = threads_for(operations(s));
  const auto read_bytes = [&](int64_t rows) {
    return s.lines() * ((rows - 1) * s.h.stride + s.h.taps()) * s.w.in * item;
  };
  p.in_place = read_in_place<T>(s.w, s.x.stride[4]) && (is_plane(s.d) || read_bytes(kBandRows) <= kVolumeBytes);
  const int64_t width = ceil_div(s.w.outputs, cuts(s));
  const auto bytes = [&](int64_t rows) {
    if (p.in_place) return round_up(s.w.in, lanes) * item;
    const LayoutSize h = layout_size(s.h, rows, false);
    return s.lines() * h.segments * h.width * packed_row_size(s.w, width, lanes) * item;
  };
  p.strip = s.h.outputs;
  if (p.in_place) {
    p.planes = 1;
    while (!is_plane(s.d) && p.strip > kBandRows && read_bytes(p.strip) > kVolumeBytes)
      p.strip = round_up(ceil_div(p.strip, 2), kBandRows);
  } else if (const int64_t plane = bytes(p.strip); plane <= kPlaneBytes || p.strip <= kBandRows) {
    if (is_plane(s.d)) p.planes = std::max<int64_t>(1, std::min(all, kBatchBytes / std::max<int64_t>(1, plane)));
  } else {
    p.strip = kBandRows;
    while (p.strip < s.h.outputs && bytes(p.strip + kBandRows) <= kStripBytes) p.strip += kBandRows;
  }
  if (p.threads > 1) {  // for the threads' sake: changes no sum
    p.planes = std::max<int64_t>(1, std::min(p.planes, ceil_div(all, 4 * p.threads)));
    while (p.strip > kBandRows && all * ceil_div(s.h.outputs, p.strip) < 2 * p.threads)
      p.strip = round_up(ceil_div(p.strip, 2), kBandRows);
  }
  p.workspace_bytes = Arena::rounded_bytes<T>(p.planes * bytes(std::min(p.strip, s.h.outputs)) / item) +
                      Arena::rounded_bytes<T>(weights_size(s) + buffer_size(s, width));
  const double vectors =
      outputs / static_cast<double>(s.w.outputs) * static_cast<double>(ceil_div(width, lanes) * cuts(s));
  p.cost = vectors * (static_cast<double>(depth(s)) / static_cast<double>(s.phases) / 2 * 1.15 + 3) *
               static_cast<double>(s.phases) +
           vectors / s.rows * s.lines() * 3;
  return p;
}

template <class T>
void run_depthwise(const DepthwiseSum<T>& s, const DepthwisePlan& plan) {
  if (sums_squares(s)) return run_squares(s, plan);
  const int64_t batches = ceil_div(s.planes(), plan.planes), strips = ceil_div(s.h.outputs, plan.strip),
                across = cuts(s);
  // The slices of a volume one after another: each reads most of the planes that the one before did.
  const int64_t pieces = strips * across, slices = ceil_div(s.d.outputs, plan.planes);
  const int64_t together = slices > 1   ? ceil_div(slices, ceil_div(2 * (plan.threads - 1), pieces) + 1)
                           : pieces > 1 ? 1
                                        : ceil_div(batches, tasks_for(operations(s), plan.threads));
  const int64_t runs = ceil_div(batches, together), bands = ceil_div(s.h.outputs, kBandRows);
  const auto first_row = [&](int64_t strip) { return std::min(s.h.outputs, strip * bands / strips * kBandRows); };
  parallel_tasks(runs * pieces, plan.threads, [&](int64_t i) {
    const int64_t c = i % across, h = i / across % strips, b = i / across / strips * together;
    Task<T> task(s, plan, {first_row(h), first_row(h + 1)}, {c * s.w.outputs / across, (c + 1) * s.w.outputs / across});
    task.run(b, std::min(batches, b + together));
  });
}

#define FASTCONV_INSTANTIATE(T)                                                                    \
  template bool depthwise_pays<T>(const DepthwiseShape&);                                          \
  template double in_turn_cost<T>(const DepthwiseShape&);                                          \
  template bool sums_squares<T>(const ConvAxis&, const ConvAxis&, const ConvAxis&, int64_t);       \
  template bool sums_squares<T>(const AxisMap&, const AxisMap&, const AxisMap&, int64_t, int64_t); \
  template DepthwisePlan plan_depthwise(const DepthwiseSum<T>&);                                   \
  template void run_depthwise(const DepthwiseSum<T>&, const DepthwisePlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
