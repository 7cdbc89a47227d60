#include "conv/depthwise_squares.hpp"

#include <algorithm>
#include <optional>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/index_map.hpp"
#include "conv/pieces.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/depthwise_squares.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPlaneBytes = 64 << 10;      // of a plane that is no strips: with its outputs in the L2 cache
constexpr int64_t kWide = 256;                 // columns of outputs that are many blocks
constexpr int64_t kRows = 16, kMoreRows = 32;  // of a strip, the latter where lines are long
constexpr int64_t kManyRows = 128;             // where products outweigh what is read

// What stands under the middle tap of the first output.
int64_t middle(const AxisMap& a) { return *std::min_element(a.offset.begin(), a.offset.end()) + a.taps() / 2; }

// From the first output's to the last one's, and one element.
int64_t span(const AxisMap& a, int64_t outputs) { return a.stride * (outputs - 1) + 1; }

// Whether the middle taps of all outputs are within the source.
bool within(const AxisMap& a) { return middle(a) >= 0 && middle(a) + span(a, a.outputs) <= a.in; }

// Whether that is all it takes to read lines where they stand: larger squares find no neighbours by their index.
bool reads_in_place(const AxisMap& a) {
  const int64_t half = a.taps() / 2;
  const bool apart = a.mode != Mode::zeros && (middle(a) < half || middle(a) + a.outputs + half > a.in);
  return within(a) && (half == 1 || !apart);
}
template <class T>
bool reads_in_place(const AxisMap& h, const AxisMap& w, int64_t step) {
  return reads_in_place(h) && reads_in_place(w) && step == 1;
}

template <class T>
int64_t strip_rows(const AxisMap& h, const AxisMap& w) {
  if (h.taps() > 3) return std::min(h.outputs, kManyRows);
  if (h.outputs * w.outputs * static_cast<int64_t>(sizeof(T)) <= kPlaneBytes) return h.outputs;
  return std::min(h.outputs, w.outputs > kWide ? kMoreRows : kRows);
}
// Elements to what is worth fetching before its turn, lines being `row` apart: in long lines two blocks of columns, in
// short ones some lines, more of them where it comes from memory. No one else does it, since blocks of columns are gone
// down.
int64_t ahead(const AxisMap& w, int64_t strip, int64_t row, int64_t elements) {
  constexpr int64_t kAhead = 128, kOfLong = 1 << 18, kOfShort = 1 << 16, kOfMemory = 1 << 21, kFewRows = 8;
  const bool wide = w.outputs > kWide;
  if (elements <= (wide ? kOfLong : kOfShort)) return 0;
  return wide ? kAhead : std::min(strip, elements < kOfMemory ? kFewRows : kMoreRows) * row;
}

Range strip_of(int64_t rows, int64_t strips, int64_t i) { return {i * rows / strips, (i + 1) * rows / strips}; }

// Of the lines for so many rows of outputs.
template <class T>
int64_t packed_bytes(const AxisMap& w, int64_t channels, int64_t rows) {
  return Arena::rounded_bytes<T>(channels * (span(w, rows) + w.taps() - 1) *
                                 packed_row_size(unstrided(w), span(w, w.outputs), depthwise_kernels<T>().lanes));
}

// Groups whose lines are packed at a time, so many bytes of each: where their channels are neighbours in memory, a
// cache line of those, or what is left of it in the L2 cache.
template <class T>
int64_t most_together(int64_t bytes) {
  constexpr int64_t kTogether = 384 << 10;
  return std::clamp<int64_t>(kTogether / bytes, 1, depthwise_kernels<T>().lanes);
}
template <class T>
int64_t groups_together(const View<const T>& x, int64_t channels, int64_t groups, int64_t bytes) {
  const bool pays = channels == 1 && x.stride[1] == 1 && x.stride[4] > 1 && 2 * groups > depthwise_kernels<T>().lanes;
  return pays ? std::min(groups, most_together<T>(bytes)) : 1;
}

// Of whatever layout.
template <class T>
int64_t most_packed_bytes(const AxisMap& w, int64_t channels, int64_t rows) {
  const int64_t bytes = packed_bytes<T>(w, channels, rows);
  return channels == 1 ? bytes * most_together<T>(bytes) : bytes;
}

// The lines of a strip of an image's channels: where they stand, or packed with their padding.
template <class T>
class SquareImage {
 public:
  // Of `groups` groups of channels, whose strips are of `rows` rows at most.
  SquareImage(const AxisMap& h, const AxisMap& w, const View<const T>& x, int64_t channels, int64_t groups,
              int64_t rows)
      : h_(h),
        w_(w),
        x_(x),
        channels_(channels),
        groups_(groups),
        half_(h.taps() / 2),
        in_place_(reads_in_place<T>(h, w, x.stride[4])),
        together_(in_place_ ? 1 : groups_together(x, channels, groups, packed_bytes<T>(w, channels, rows))) {
    lines_.width = w.outputs;
    lines_.row = x.stride[3];
    lines_.left = -1;
    lines_.right = span(w, w.outputs);
    lines_.has_left = lines_.has_right = true;
    if (!in_place_) return;
    const int64_t column = middle(w);
    set(lines_.left, lines_.has_left, map_coordinate(w.mode, column - 1, w.in), column);
    set(lines_.right, lines_.has_right, map_coordinate(w.mode, column + lines_.right, w.in), column);
  }
  bool in_place() const { return in_place_; }
  int64_t together() const { return together_; }  // groups
  // Rows of outputs, for which lines are packed into `memory`.
  void take(Range rows, T* memory) {
    if (rows_.begin == rows.begin && rows_.end == rows.end) return;
    rows_ = rows;
    lines_.rows = rows.size();
    if (in_place_) return;
    const int64_t stride[3] = {x_.stride[1], x_.stride[3], x_.stride[4]};
    if (!every_h_) every_h_ = unstrided(h_), every_w_ = unstrided(w_);
    packed_.emplace(*every_h_, unstrided(rows, h_.stride), *every_w_, unstrided(Range{0, w_.outputs}, w_.stride),
                    channels_, together_, stride, false);
    lines_.row = packed_->row();
    memory_ = memory;
    packed_->clear(memory);
    packed_from_ = nullptr;
  }
  // Group g of the image at x comes next.
  void read(const T* x, int64_t g) {
    from_ = x + g * channels_ * x_.stride[1];
    if (in_place_) return;
    if (together_ == 1) return packed_->pack(from_, 0, memory_);
    slot_ = g % together_;
    if (packed_from_ == from_ - slot_) return;
    packed_from_ = from_ - slot_;
    packed_->pack_neighbours(packed_from_, std::min(together_, groups_ - (g - slot_)), memory_);
  }
  int64_t channel_step() const { return in_place_ ? x_.stride[1] : packed_->channel_size(); }
  SquareLines<T> channel(int64_t c) const {
    SquareLines<T> l = lines_;
    if (!in_place_) {
      l.above = memory_ + (slot_ + c) * channel_step() + (half_ - 1) * l.row + half_;
      l.x = l.above + l.row;
      l.below = l.x + span(h_, l.rows) * l.row;
      return l;
    }
    const T* const top = from_ + c * channel_step() + middle(w_);
    const int64_t first = middle(h_) + h_.stride * rows_.begin, above = map_coordinate(h_.mode, first - 1, h_.in),
                  below = map_coordinate(h_.mode, first + span(h_, l.rows), h_.in);
    l.x = top + first * l.row;
    l.above = above < 0 ? nullptr : top + above * l.row;
    l.below = below < 0 ? nullptr : top + below * l.row;
    return l;
  }

  // What larger squares may read.
  void reach(SquareRows<T>& b) const {
    const int64_t first = middle(h_) + rows_.begin;
    b.before = in_place_ ? std::min(half_, first) : half_;
    b.after = in_place_ ? std::min(half_, h_.in - first - rows_.size()) : half_;
    b.first = in_place_ ? -middle(w_) : -half_;
    b.end = in_place_ ? w_.in - middle(w_) : w_.outputs + half_;
  }

 private:
  static void set(int64_t& element, bool& has, int64_t source, int64_t column) {
    has = source >= 0;
    element = has ? source - column : 0;
  }

  const AxisMap &h_, &w_;
  std::optional<AxisMap> every_h_, every_w_;
  const View<const T>& x_;
  const int64_t channels_, groups_, half_;
  const bool in_place_;
  const int64_t together_;
  SquareLines<T> lines_{};
  Range rows_{0, 0};
  std::optional<PlaneLines<T>> packed_;
  T* memory_ = nullptr;
  const T *from_ = nullptr, *packed_from_ = nullptr;
  int64_t slot_ = 0;  // of the group among those that are packed
};

bool is_small_axis(int64_t in, int64_t outputs, int64_t taps, int64_t pad, Mode mode) {
  constexpr int64_t kLeast = 5, kMost = 8;
  return in == outputs && in >= kLeast && in <= kMost && pad == taps / 2 && mode == Mode::zeros;
}

// Where the taps stand, from the kernel's first, in the order of reading.
Vector<int64_t> tap_offsets(const AxisMap& h, const AxisMap& w, const int64_t* h_tap, const int64_t* w_tap) {
  Vector<int64_t> taps;
  const Vector<int64_t> across = tap_order(w.offset, 1);
  for (int64_t i : tap_order(h.offset, 1))
    for (int64_t k : across) taps.push_back(h_tap[i] + w_tap[k]);
  return taps;
}

template <class T>
double operations(const DepthwiseSum<T>& s) {
  return 2.0 * static_cast<double>(s.images * s.groups * s.rows * s.channels * s.h.taps() * s.w.taps()) * s.h.outputs *
         s.w.outputs;
}

// Where a whole small image fits the registers. What conv/tiny.cpp may sum is left out, as the order is another.
template <class T>
auto small_kernel(const DepthwiseSum<T>& s) -> void (*)(const SquareRows<T>&) {
  const auto fits = [](const AxisMap& a) {
    return is_small_axis(a.in, a.outputs, a.taps(), -middle(a) + a.taps() / 2, a.mode);
  };
  const bool folds = s.h_fold.first >= 0 || s.w_fold.first >= 0;
  if (s.w.stride > 1 || s.channels > 1 || folds || !fits(s.h) || !fits(s.w) || operations(s) <= 4096 * s.images)
    return nullptr;
  return square_kernels<T>().small[s.w.taps() / 2 - 1];
}

// Strips of groups, one after the other.
template <class T>
void sum_strips(const DepthwiseSum<T>& s, const DepthwisePlan& plan, Range units) {
  SquareImage<T> image(s.h, s.w, s.x, s.channels, s.groups, plan.strip);
  const bool stores_in_place = s.y.stride[4] == 1;
  const int64_t packed = image.in_place() ? 0 : image.together() * packed_bytes<T>(s.w, s.channels, plan.strip);
  char* memory = packed || !stores_in_place
                     ? Arena::local().reserve(packed + Arena::rounded_bytes<T>(plan.strip * s.w.outputs))
                     : nullptr;
  T* const buffer = reinterpret_cast<T*>(memory + packed);
  const Vector<int64_t> tap = tap_offsets(s.h, s.w, s.h_tap.data(), s.w_tap.data());
  SquareRows<T> b{};
  if (image.in_place() && stores_in_place) {
    const int64_t elements = s.images * s.groups * s.channels * s.h.in * s.w.in;
    b.x_ahead = ahead(s.w, plan.strip, s.h.stride * s.x.stride[3], elements);
    b.y_ahead = ahead(s.w, plan.strip, s.y.stride[3], elements);
  }
  b.tap = tap.data();
  b.y_row = stores_in_place ? s.y.stride[3] : s.w.outputs;
  b.turns = s.turns;
  b.clamp = s.clamp, b.low = s.low, b.high = s.high;
  b.channels = s.channels, b.w_channel = s.w_channel;
  b.planes = 1;
  b.x_plane = s.channels * s.x.stride[1], b.w_plane = s.w_group, b.y_plane = s.rows * s.y.stride[1];
  const int64_t strips = ceil_div(s.h.outputs, plan.strip);
  const bool planes_at_once = image.in_place() && stores_in_place && s.rows == 1 && strips == 1;
  const auto small = small_kernel(s);
  for (int64_t u = units.begin; u < units.end; u += b.planes) {
    const int64_t n = u / (s.groups * strips), i = u % (s.groups * strips);
    const bool across = image.together() > 1;  // all groups of a strip, then those of the next
    const int64_t g = across ? i % s.groups : i / strips;
    const Range rows = strip_of(s.h.outputs, strips, across ? i / s.groups : i % strips);
    if (planes_at_once) b.planes = std::min(s.groups - g, units.end - u);
    image.take(rows, reinterpret_cast<T*>(memory));
    b.fold = {s.h_fold.first >= 0 || s.w_fold.first >= 0, rows.begin == 0 ? s.h_fold.first : -1,
              rows.end == s.h.outputs && s.h_fold.last >= 0 ? s.h_fold.last - rows.begin : -1, s.w_fold.first,
              s.w_fold.last};
    b.x_channel = image.channel_step();
    image.reach(b);
    image.read(s.x.data + n * s.x.stride[0], g);
    for (int64_t o = 0; o < s.rows; ++o) {
      T* const y = s.y.data + n * s.y.stride[0] + (g * s.rows + o) * s.y.stride[1] + rows.begin * s.y.stride[3];
      b.y = stores_in_place ? y : buffer;
      b.bias = s.bias ? s.bias + g * s.rows + o : nullptr;
      b.lines = image.channel(0);
      b.w = s.weights + g * s.w_group + o * s.w_row;
      if (small) small(b);
      else if (s.h.taps() == 3) square_kernels<T>().rows[s.h.stride - 1](b);
      else square_kernels<T>().larger[s.h.taps() / 2 - 2](b);
      for (int64_t r = 0; !stores_in_place && r < rows.size(); ++r)
        depthwise_kernels<T>().unpack(y + r * s.y.stride[3], s.y.stride[4], buffer + r * b.y_row, nullptr, s.w.outputs);
    }
  }
}

// Gradients of some groups' weights. Where they are few, the sum over images and strips goes in parts, whose number the
// problem alone decides.
template <class T>
class SquareGradient {
 public:
  SquareGradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw)
      : p_(p),
        dy_(dy),
        x_(x),
        dw_(dw),
        h_(forward_axis(p.axis[1])),
        w_(forward_axis(p.axis[2])),
        channels_(p.ic / p.groups),
        rows_(p.oc / p.groups),
        strips_(ceil_div(h_.outputs, p.groups < kFewSums ? kRows : strip_rows<T>(h_, w_))),
        threads_(threads_for(2 * p.macs())) {
    parts_ = parts_of_sums(p.groups, p.mb * strips_, 2 * p.macs());
    const int64_t h_tap[3] = {0, dw.stride[3], 2 * dw.stride[3]}, w_tap[3] = {0, dw.stride[4], 2 * dw.stride[4]};
    tap_ = tap_offsets(h_, w_, h_tap, w_tap);
  }

  void run() const {
    const int64_t n = channels_ * 9;  // of an output channel
    sum_tasks<T>(
        p_.groups, parts_, p_.mb * strips_, p_.oc * n, 2 * p_.macs(), threads_,
        [&](Range groups, Range units, T* partial) { task(groups, units, partial); },
        [&](int64_t g, const T* sums) {
          for (int64_t i = g * rows_ * n; i < (g + 1) * rows_ * n; ++i)
            dw_.data[i / n * dw_.stride[0] + i / 9 % channels_ * dw_.stride[1] + tap_[static_cast<size_t>(i % 9)]] =
                sums[i];
        });
  }

  ConvPlan plan() const {
    ConvPlan plan;
    const int64_t item = static_cast<int64_t>(sizeof(T)), strip = ceil_div(h_.outputs, strips_);
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = reads_in_place<T>(h_, w_, 1) ? "image rows" : "packed image rows";
    plan.mr = 3;
    plan.nr = depthwise_kernels<T>().lanes;
    plan.block_channels = channels_;
    plan.block_pixels = strip * w_.outputs;
    plan.workspace_bytes = memory_bytes(strip);
    plan.shared_bytes = parts_ > 1 ? parts_ * p_.oc * channels_ * 9 * item : 0;
    plan.threads = static_cast<int>(std::min<int64_t>(threads_, p_.groups * parts_));
    plan.cost = static_cast<double>(p_.mb * p_.oc * channels_ * h_.outputs) *
                static_cast<double>(ceil_div(w_.outputs, plan.nr)) * 6;
    return plan;
  }

  int64_t memory_bytes(int64_t strip) const {
    return most_packed_bytes<T>(w_, channels_, strip) + Arena::rounded_bytes<T>(strip * w_.outputs);
  }

 private:
  // Groups of weights, units (image and strip) of the sum: into dw, or into `partial`.
  void task(Range groups, Range units, T* partial) const {
    const int64_t strip = ceil_div(h_.outputs, strips_);
    SquareImage<T> x(h_, w_, x_, channels_, p_.groups, strip);
    const bool dy_in_place = dy_.stride[4] == 1, across = x.together() > 1;
    const int64_t x_bytes = x.in_place() ? 0 : x.together() * packed_bytes<T>(w_, channels_, strip);
    char* const memory = x.in_place() && dy_in_place ? nullptr : Arena::local().reserve(memory_bytes(strip));
    T* const packed_dy = reinterpret_cast<T*>(memory + x_bytes);
    const PackRun row{0, static_cast<int32_t>(w_.outputs), 0, dy_.stride[4]};
    Vector<PackLine> lines;
    for (int64_t r = 0; !dy_in_place && r < strip; ++r)
      lines.push_back({static_cast<int32_t>(r * w_.outputs), r * dy_.stride[3]});
    const SquareKernelsOf<T>& kernels = square_kernels<T>();
    const auto dots = has_small_squares<T>(p_) ? kernels.small_dots : kernels.dots[h_.stride - 1];
    SquareDots<T> b{};
    if (x.in_place() && dy_in_place) {
      const int64_t elements = p_.mb * p_.ic * h_.in * w_.in;
      b.x_ahead = ahead(w_, strip, h_.stride * x_.stride[3], elements);
      b.dy_ahead = ahead(w_, strip, dy_.stride[3], elements);
    }
    b.tap = partial ? kInTurn : tap_.data();
    b.planes = 1;
    b.x_plane = x_.stride[1], b.dy_plane = dy_.stride[1], b.dw_plane = partial ? 9 : dw_.stride[0];
    const bool planes_at_once = x.in_place() && dy_in_place && channels_ == 1 && rows_ == 1 && strips_ == 1;
    if (planes_at_once) b.planes = groups.size();
    for (int64_t n = units.begin / strips_; n * strips_ < units.end; ++n) {
      const int64_t first = std::max(units.begin, n * strips_), count = std::min(units.end, (n + 1) * strips_) - first;
      for (int64_t i = 0; i < groups.size() * count; i += b.planes) {
        const int64_t g = groups.begin + (across ? i % groups.size() : i / count),
                      u = first + (across ? i / groups.size() : i % count);
        const Range rows = strip_of(h_.outputs, strips_, u % strips_);
        x.take(rows, reinterpret_cast<T*>(memory));
        x.read(x_.data + n * x_.stride[0], g);
        b.adds = u > units.begin;
        for (int64_t o = g * rows_; o < (g + 1) * rows_; ++o) {
          b.dy = dy_.data + n * dy_.stride[0] + o * dy_.stride[1] + rows.begin * dy_.stride[3];
          b.dy_row = dy_.stride[3];
          if (!dy_in_place) {
            conv_kernels<T>().pack({packed_dy, b.dy, lines.data(), rows.size(), &row, 1});
            b.dy = packed_dy;
            b.dy_row = w_.outputs;
          }
          for (int64_t c = 0; c < channels_; ++c) {
            b.lines = x.channel(c);
            b.dw = partial ? partial + (o * channels_ + c) * 9 : dw_.data + o * dw_.stride[0] + c * dw_.stride[1];
            dots(b);
          }
        }
      }
    }
  }
  static constexpr int64_t kInTurn[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  const ConvProblem& p_;
  View<const T> dy_, x_;
  View<T> dw_;
  AxisMap h_, w_;
  int64_t channels_, rows_, strips_, parts_ = 1;
  int threads_;
  Vector<int64_t> tap_;
};

}  // namespace

template <class T>
bool folds_squares(const ConvProblem& p) {
  const auto suits = [](const ConvAxis& a) {
    return a.k == 3 && a.stride == 1 && a.dilation == 1 && a.pad_before == 1 && a.pad_after == 1 && a.in > 1;
  };
  return square_kernels<T>().many_registers && is_plane(p.axis[0]) && suits(p.axis[1]) && suits(p.axis[2]);
}

AxisFold fold_of(const ConvAxis& a) {
  if (a.mode == Mode::zeros || circulates(a)) return {};
  return {map_coordinate(a.mode, -1, a.in), map_coordinate(a.mode, a.in, a.in)};
}

template <class T>
DepthwisePlan plan_squares(const DepthwiseSum<T>& s) {
  DepthwisePlan p;
  p.in_place = reads_in_place<T>(s.h, s.w, s.x.stride[4]);
  p.strip = strip_rows<T>(s.h, s.w);
  p.workspace_bytes = (p.in_place ? 0 : most_packed_bytes<T>(s.w, s.channels, p.strip)) +
                      Arena::rounded_bytes<T>(p.strip * s.w.outputs);
  p.threads = threads_for(operations(s));
  if (p.threads > 1)  // for the threads' sake: changes no sum
    while (p.strip > kRows && s.images * s.groups * ceil_div(s.h.outputs, p.strip) < 4 * p.threads)
      p.strip = std::max(kRows, ceil_div(p.strip, 2));
  p.cost = operations(s) / static_cast<double>(s.w.outputs) *
           static_cast<double>(ceil_div(s.w.outputs, depthwise_kernels<T>().lanes)) * 0.3;
  return p;
}

template <class T>
void run_squares(const DepthwiseSum<T>& s, const DepthwisePlan& plan) {
  const int64_t units = s.images * s.groups * ceil_div(s.h.outputs, plan.strip),
                runs = std::min(units, tasks_for(operations(s), plan.threads));
  parallel_tasks(runs, plan.threads, [&](int64_t i) {
    sum_strips(s, plan, {i * units / runs, (i + 1) * units / runs});
  });
}

template <class T>
bool has_small_squares(const ConvProblem& p) {
  const auto fits = [](const ConvAxis& a) {
    return is_small_axis(a.in, a.out, a.k, a.pad_before, a.mode) && a.dilation == 1 &&
           (a.k == 3 || a.k == 5 || a.k == 7);
  };
  const ConvAxis &h = p.axis[1], &w = p.axis[2];
  return p.groups == p.ic && p.groups == p.oc && h.k == w.k && fits(h) && fits(w) &&
         square_kernels<T>().small[w.k / 2 - 1];
}

template <class T>
bool has_square_gradient(const ConvProblem& p) {
  const ConvAxis &h = p.axis[1], &w = p.axis[2];
  return w.k == 3 && sums_squares<T>(h, w, p.ic / p.groups) && square_kernels<T>().dots[w.stride - 1];
}

template <class T>
void squares_weight_gradient(const ConvProblem& p, View<const T> dy, View<const T> x, View<T> dw) {
  SquareGradient<T>(p, dy, x, dw).run();
}

template <class T>
ConvPlan plan_squares_weight(const ConvProblem& p) {
  return SquareGradient<T>(p, {}, {}, {}).plan();
}

#define FASTCONV_INSTANTIATE(T)                                                                     \
  template bool folds_squares<T>(const ConvProblem&);                                               \
  template DepthwisePlan plan_squares(const DepthwiseSum<T>&);                                      \
  template void run_squares(const DepthwiseSum<T>&, const DepthwisePlan&);                          \
  template bool has_small_squares<T>(const ConvProblem&);                                           \
  template bool has_square_gradient<T>(const ConvProblem&);                                         \
  template void squares_weight_gradient(const ConvProblem&, View<const T>, View<const T>, View<T>); \
  template ConvPlan plan_squares_weight<T>(const ConvProblem&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
