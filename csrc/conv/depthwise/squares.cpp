#include "conv/depthwise/squares.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/stream.hpp"
#include "base/workspace.hpp"
#include "conv/depthwise/square_image.hpp"
#include "conv/fill.hpp"
#include "conv/index_map.hpp"
#include "conv/pieces/backward.hpp"

namespace fastconv {
namespace {

constexpr int64_t kStreamedBytes = 32 << 20;  // of results that no cache keeps until they are read,
constexpr int64_t kStreamedRows = 4;          // where a channel of x makes more of them than so many
constexpr int64_t kPackedBytes = 512 << 10;   // of several channels: the L2 cache, unless strips are low

constexpr int64_t kSmallLine = 8;  // outputs of a row of small images

bool is_small_axis(int64_t in, int64_t outputs, int64_t taps, int64_t stride, int64_t pad, Mode mode) {
  constexpr int64_t kLeast = 5;
  return ceil_div(in, stride) == outputs && outputs >= kLeast && outputs <= stride * kSmallLine && pad == taps / 2 &&
         mode == Mode::zeros;
}
// Of so many taps along either axis; null if there is none.
template <class T>
auto small_kernel(int64_t taps, int64_t stride) -> void (*)(const SquareRows<T>&) {
  const SquareKernelsOf<T>& kernels = square_kernels<T>();
  return stride == 1 ? kernels.small[taps / 2 - 1] : stride == 2 && taps == 3 ? kernels.small_halved : nullptr;
}

template <class T>
double operations(const DepthwiseSum<T>& s) {
  return 2.0 * static_cast<double>(s.planes() * s.rows * s.lines() * s.h.taps() * s.w.taps()) * s.h.outputs *
         s.w.outputs;
}

// Whether rows are written past the caches by way of a buffer: otherwise each line of them is read before.
template <class T>
bool streams(const DepthwiseSum<T>& s) {
  const int64_t bytes = s.planes() * s.rows * s.h.outputs * s.w.outputs * static_cast<int64_t>(sizeof(T));
  return s.rows > kStreamedRows * s.channels && bytes >= kStreamedBytes && s.y.stride[4] == 1 &&
         s.y.stride[3] == s.w.outputs;
}

template <class T>
int64_t source_elements(const DepthwiseSum<T>& s) {
  return s.images * s.groups * s.channels * s.d.in * s.h.in * s.w.in;
}

// Where a whole small image fits the registers. What conv/tiny.cpp may sum is left out, as the order is another.
template <class T>
auto small_kernel(const DepthwiseSum<T>& s) -> void (*)(const SquareRows<T>&) {
  const auto fits = [](const AxisMap& a) {
    return is_small_axis(a.in, a.outputs, a.taps(), a.stride, -*std::min_element(a.offset.begin(), a.offset.end()),
                         a.mode);
  };
  const bool folds = s.h_fold.first >= 0 || s.w_fold.first >= 0;
  if (s.channels > 1 || !is_plane(s.d) || folds || !fits(s.h) || !fits(s.w) || operations(s) <= 4096 * s.images)
    return nullptr;
  return small_kernel<T>(s.w.taps(), s.w.stride);
}

// The taps of the depth that find something for a slice, from `tap` on, and what they find, `step` apart.
struct Depth {
  int64_t tap = 0, taps, source, step = 1;
  Depth(const AxisMap& d, int64_t slice) : taps(d.taps()), source(slice * d.stride + d.offset[0]) {
    if (taps > 1) step = d.offset[1] - d.offset[0];
    const auto within = [&](int64_t at) { return at >= 0 && at < d.in; };
    for (; taps > 0 && !within(source); source += step) ++tap, --taps;
    while (taps > 0 && !within(source + (taps - 1) * step)) --taps;
  }
};

// Strips of groups, one after the other.
template <class T>
class Strips {
 public:
  Strips(const DepthwiseSum<T>& sum, const DepthwisePlan& plan)
      : s_(sum),
        strip_(plan.strip),
        strips_(ceil_div(sum.h.outputs, plan.strip)),
        image_(sum.h, sum.w, sum.x, sum.channels, sum.groups, plan.strip, sum.d.taps()),
        streams_(streams(sum)),
        stores_in_place_(sum.y.stride[4] == 1 && !streams_),
        tap_(tap_offsets(sum.h, sum.w, sum.h_tap.data(), sum.w_tap.data())),
        small_(small_kernel(sum)) {
    if (!image_.in_place() || !stores_in_place_) {
      const int64_t packed = image_.packed_bytes();
      char* const memory = Arena::local().reserve(packed + Arena::rounded_bytes<T>(strip_ * s_.w.outputs));
      packed_ = reinterpret_cast<T*>(memory);
      buffer_ = reinterpret_cast<T*>(memory + packed);
    } else {
      const int64_t elements = source_elements(s_);
      b_.x_ahead = square_ahead(s_.w, strip_, s_.h.stride * s_.x.stride[3], elements);
      b_.y_ahead = square_ahead(s_.w, strip_, s_.y.stride[3], elements);
    }
    b_.tap = tap_.data();
    b_.y_row = stores_in_place_ ? s_.y.stride[3] : s_.w.outputs;
    b_.turns = s_.turns;
    b_.low = s_.low, b_.high = s_.high;
    b_.channels = s_.channels, b_.w_channel = s_.w_channel;
    b_.planes = 1;
    b_.x_plane = s_.channels * s_.x.stride[1], b_.w_plane = s_.w_group, b_.y_plane = s_.rows * s_.y.stride[1];
  }

  // Units: all groups of a strip, then those of the next, where they are packed, else all strips of a group.
  // The slices of a volume come one after another, each of all groups that are packed together.
  void sum(Range units) {
    const int64_t slices = s_.d.outputs;
    const bool planes_at_once = image_.in_place() && stores_in_place_ && s_.rows == 1 && strips_ == 1 && is_plane(s_.d),
               across = !image_.in_place();
    for (int64_t u = units.begin; u < units.end; u += b_.planes) {
      const int64_t n = u / (s_.groups * slices * strips_), i = u / slices % (s_.groups * strips_);
      int64_t g = across ? i % s_.groups : i / strips_, slice = u % slices;
      if (across && slices > 1) {
        const int64_t first = g - g % image_.together(), count = std::min(s_.groups - first, image_.together()),
                      j = (g - first) * slices + slice;
        g = first + j % count, slice = j / count;
      }
      if (planes_at_once) b_.planes = std::min(s_.groups - g, units.end - u);
      take(part(s_.h.outputs, strips_, across ? i / s_.groups : i % strips_));
      for (int64_t o = 0; o < s_.rows; ++o) sum_row(n, g, slice, o);
    }
  }

 private:
  void take(Range rows) {
    rows_ = rows;
    image_.take(rows, packed_);
    b_.fold = {s_.h_fold.first >= 0 || s_.w_fold.first >= 0, rows.begin == 0 ? s_.h_fold.first : -1,
               rows.end == s_.h.outputs && s_.h_fold.last >= 0 ? s_.h_fold.last - rows.begin : -1, s_.w_fold.first,
               s_.w_fold.last};
    b_.x_channel = image_.channel_step();
    image_.reach(b_);
  }

  // Row o of the group's: of a volume a sum over what the taps of its depth find, all of them at once where it stands.
  void sum_row(int64_t n, int64_t g, int64_t slice, int64_t o) {
    const int64_t out = g * s_.rows + o;
    T* const y =
        s_.y.data + n * s_.y.stride[0] + out * s_.y.stride[1] + slice * s_.y.stride[2] + rows_.begin * s_.y.stride[3];
    b_.y = stores_in_place_ ? y : buffer_;
    b_.bias = s_.bias ? s_.bias + out : nullptr;
    const Depth d(s_.d, slice);
    if (d.taps == 0) return fill(y, b_.bias ? *b_.bias : T(0));
    if (!is_plane(s_.d)) {
      b_.x_channel = d.step * s_.x.stride[2];
      b_.w_channel = s_.d_tap.back() / std::max<int64_t>(1, s_.d.taps() - 1);
    }
    const int64_t at_once = image_.in_place() ? d.taps : 1;
    for (int64_t t = 0; t < d.taps; t += at_once) {
      const int64_t source = d.source + t * d.step;
      image_.read(s_.x.data + n * s_.x.stride[0] + source * s_.x.stride[2], g, source / std::abs(d.step) % s_.d.taps());
      b_.lines = image_.channel(0);
      b_.w = s_.weights + g * s_.w_group + o * s_.w_row + s_.d_tap[static_cast<size_t>(d.tap + t)];
      b_.clamp = s_.clamp && t + at_once == d.taps;
      if (!is_plane(s_.d)) b_.first_channel = t, b_.channels = t + at_once;
      if (small_) small_(b_);
      else if (s_.h.taps() == 3) square_kernels<T>().rows[s_.h.stride - 1](b_);
      else square_kernels<T>().larger[s_.h.taps() / 2 - 2](b_);
    }
    if (streams_)
      return stream_copy(reinterpret_cast<char*>(y), reinterpret_cast<const char*>(buffer_),
                         rows_.size() * s_.w.outputs * static_cast<int64_t>(sizeof(T)));
    for (int64_t r = 0; !stores_in_place_ && r < rows_.size(); ++r)
      depthwise_kernels<T>().unpack(y + r * s_.y.stride[3], s_.y.stride[4], buffer_ + r * b_.y_row, nullptr,
                                    s_.w.outputs);
  }

  // Outputs that read nothing.
  void fill(T* y, T value) const {
    if (s_.clamp) value = std::clamp(value, s_.low, s_.high);
    fill_rows(y, rows_.size(), s_.y.stride[3], s_.w.outputs, s_.y.stride[4], value);
  }

  const DepthwiseSum<T>& s_;
  const int64_t strip_, strips_;
  SquareImage<T> image_;
  const bool streams_, stores_in_place_;
  const Vector<int64_t> tap_;
  void (*const small_)(const SquareRows<T>&);
  T *packed_ = nullptr, *buffer_ = nullptr;
  Range rows_{0, 0};
  SquareRows<T> b_{};
};

}  // namespace

template <class T>
bool folds_squares(const ConvProblem& p) {
  const auto suits = [](const ConvAxis& a) {
    return a.k == 3 && a.stride == 1 && a.dilation == 1 && a.pad_before == 1 && a.pad_after == 1 && a.in > 1;
  };
  return square_kernels<T>().rows[0] && is_plane(p.axis[0]) && suits(p.axis[1]) && suits(p.axis[2]);
}

AxisFold fold_of(const ConvAxis& a) {
  if (a.mode == Mode::zeros || circulates(a)) return {};
  return {map_coordinate(a.mode, -1, a.in), map_coordinate(a.mode, a.in, a.in)};
}

template <class T>
DepthwisePlan plan_squares(const DepthwiseSum<T>& s) {
  DepthwisePlan p;
  p.in_place = squares_in_place(s.h, s.w, s.x.stride[4]);
  p.strip = square_strip<T>(s.h, s.w, p.in_place ? source_elements(s) : 0);
  const auto packed = [&] { return most_packed_bytes<T>(s.w, s.channels, s.d.taps(), p.strip); };
  while (!p.in_place && s.lines() > 1 && p.strip > 2 * kSquareRows && packed() > kPackedBytes) p.strip /= 2;
  p.workspace_bytes = (p.in_place ? 0 : packed()) + Arena::rounded_bytes<T>(p.strip * s.w.outputs);
  p.threads = threads_for(operations(s));
  if (p.threads > 1)  // for the threads' sake: changes no sum
    while (p.strip > kSquareRows && s.planes() * ceil_div(s.h.outputs, p.strip) < 4 * p.threads)
      p.strip = std::max(kSquareRows, ceil_div(p.strip, 2));
  p.cost = operations(s) / static_cast<double>(s.w.outputs) *
           static_cast<double>(ceil_div(s.w.outputs, depthwise_kernels<T>().lanes)) * 0.3;
  return p;
}

template <class T>
void run_squares(const DepthwiseSum<T>& s, const DepthwisePlan& plan) {
  const int64_t units = s.planes() * ceil_div(s.h.outputs, plan.strip),
                runs = std::min(units, tasks_for(operations(s), plan.threads));
  parallel_tasks(runs, plan.threads, [&](int64_t i) { Strips<T>(s, plan).sum(part(units, runs, i)); });
}

template <class T>
bool has_small_squares(const ConvProblem& p, Direction direction) {
  const auto fits = [direction](const ConvAxis& a) {
    return is_small_axis(a.in, a.out, a.k, a.stride, a.pad_before, a.mode) && a.dilation == 1 &&
           (direction == Direction::forward || a.out <= kSmallLine) && (a.k == 3 || a.k == 5 || a.k == 7);
  };
  const ConvAxis &h = p.axis[1], &w = p.axis[2];
  return p.groups == p.ic && p.groups == p.oc && h.k == w.k && h.stride == w.stride && fits(h) && fits(w) &&
         small_kernel<T>(w.k, w.stride);
}

#define FASTCONV_INSTANTIATE(T)                                            \
  template bool folds_squares<T>(const ConvProblem&);                      \
  template DepthwisePlan plan_squares(const DepthwiseSum<T>&);             \
  template void run_squares(const DepthwiseSum<T>&, const DepthwisePlan&); \
  template bool has_small_squares<T>(const ConvProblem&, Direction);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
