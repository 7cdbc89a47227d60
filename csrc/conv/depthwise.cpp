#include "conv/depthwise.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "base/workspace.hpp"
#include "conv/planes.hpp"
#include "kernels/depthwise.hpp"

namespace fastconv {
namespace {

constexpr int64_t kPlaneBytes = 40 << 10;   // of a plane packed whole: the L1 cache
constexpr int64_t kBatchBytes = 16 << 10;   // of planes packed together, so that none is read while its stores are on the way
constexpr int64_t kStripBytes = 128 << 10;  // of a strip of larger planes
constexpr int64_t kMostColumns = 2048;      // outputs of a row at a time
constexpr int64_t kMostAcross = 16;         // planes in a vector

template <class T>
int64_t depth(const DepthwiseSum<T>& s) {
  return s.channels * s.h.taps() * s.w.taps();
}

template <class T>
bool stores_in_place(const DepthwiseSum<T>& s) {
  return s.phases == 1 && s.y.stride[4] == 1;
}
// Elements: the weights of a plane, or vectors of weights and biases for a batch of narrow ones and what writing them spills.
template <class T>
int64_t weights_size(const DepthwiseSum<T>& s, const DepthwisePlan& p) {
  if (p.narrow.across > 1) return (p.planes / p.narrow.across * (depth(s) + 1) + 3) * depthwise_kernels<T>().lanes;
  return round_up(s.rows * depth(s), 16);
}
// Rows of outputs that cannot be stored where they belong by whole vectors.
template <class T>
int64_t buffer_size(const DepthwiseSum<T>& s, int64_t outputs) {
  return stores_in_place(s) ? 0 : s.phases * kBandRows * round_up(outputs, depthwise_kernels<T>().lanes);
}

// One strip of some batches of planes. A plane is an image's group: number n * groups + g.
template <class T>
class Task {
 public:
  Task(const DepthwiseSum<T>& sum, const DepthwisePlan& plan, Cut strip, Cut columns)
      : s_(sum),
        plan_(plan),
        strip_(strip),
        cut_(columns),
        x_stride_{sum.x.stride[1], sum.x.stride[3], sum.x.stride[4]},
        packed_(sum.h, strip, sum.w, columns, sum.channels, plan.planes, plan.narrow, x_stride_) {
    const Vector<int64_t> order = height_order(s_.h);
    for (int64_t f = 0; f < s_.phases; ++f) {
      first_run_.push_back(static_cast<int64_t>(runs_.size()));
      first_tap_.push_back(static_cast<int64_t>(position_.size()));
      for (int64_t c = 0; c < s_.channels; ++c)
        for (size_t t = 0; t < s_.w_tap.size(); ++t) {
          if (s_.phase[t] != f) continue;
          packed_.add_runs(c, static_cast<int64_t>(t), order, kernels_.run_taps, runs_);
          for (int64_t i : order) position_.push_back(c * s_.w_channel + s_.h_tap[static_cast<size_t>(i)] + s_.w_tap[t]);
        }
    }
    first_run_.push_back(static_cast<int64_t>(runs_.size()));
    const int64_t parts = ceil_div(strip_.size(), kBandRows);
    for (int64_t i = 0; i < parts; ++i) bands_.push_back({i * strip_.size() / parts, (i + 1) * strip_.size() / parts});
  }

  void run(int64_t first_batch, int64_t last_batch) {
    const int64_t packed = Arena::rounded_bytes<T>(packed_.elements());
    char* memory = Arena::local().reserve(packed + Arena::rounded_bytes<T>(weights_size(s_, plan_) + buffer_size(s_, cut_.size())));
    planes_ = reinterpret_cast<T*>(memory);
    weights_ = reinterpret_cast<T*>(memory + packed);
    packed_.clear(planes_);
    const int64_t all = s_.images * s_.groups;
    for (int64_t b = first_batch; b < last_batch; ++b) {
      const int64_t p0 = b * plan_.planes, count = std::min(all - p0, plan_.planes);
      Plane at(p0, s_.groups);
      for (int64_t k = 0; k < count; ++k, at.next()) packed_.pack(kernels_, x(at), k, planes_);
      at = Plane(p0, s_.groups);
      if (plan_.narrow.across > 1) narrow(at, count);
      else
        for (int64_t k = 0; k < count; ++k, at.next()) wide(at, planes_ + packed_.plane(k));
    }
  }

 private:
  // Plane after plane without a division.
  struct Plane {
    int64_t image, group, groups;
    Plane(int64_t number, int64_t all) : image(number / all), group(number % all), groups(all) {}
    void next() {
      if (++group == groups) group = 0, ++image;
    }
  };
  const T* x(const Plane& p) const { return s_.x.data + p.image * s_.x.stride[0] + p.group * s_.channels * s_.x.stride[1]; }
  T* y(const Plane& p, int64_t o) const {
    return s_.y.data + p.image * s_.y.stride[0] + (p.group * s_.rows + o) * s_.y.stride[1] + strip_.begin * s_.y.stride[3] +
           cut_.begin * s_.phases * s_.y.stride[4];
  }
  const T* w(const Plane& p, int64_t o) const { return s_.weights + p.group * s_.w_group + o * s_.w_row; }
  T bias(const Plane& p, int64_t o) const { return s_.bias ? s_.bias[p.group * s_.rows + o] : T(0); }
  int64_t depth() const { return static_cast<int64_t>(position_.size()); }

  void copy_weights(const T* from) {
    T* to = weights_;
    for (int64_t o = 0; o < s_.rows; ++o, from += s_.w_row)
      for (int64_t k : position_) *to++ = from[k];
  }

  void wide(const Plane& plane, const T* x) {
    if (s_.groups > 1 || !weights_ready_) copy_weights(w(plane, 0));
    weights_ready_ = true;
    const int64_t lanes = kernels_.lanes, n = cut_.size(), buffer_row = round_up(n, lanes);
    const bool in_place = stores_in_place(s_);
    T* buffer = weights_ + weights_size(s_, plan_);
    Band<T> b{};
    b.x_row = packed_.row();
    b.x_step = packed_.step();
    b.y_step = lanes;
    b.columns = packed_.columns();
    b.last = n - (b.columns - 1) * lanes;
    b.clamp = s_.clamp;
    b.low = s_.low;
    b.high = s_.high;
    T* first = y(plane, 0);
    for (const Cut& part : bands_) {
      const int64_t r = part.begin, rows = part.size();
      b.x = x + r * packed_.row();
      for (int64_t o = 0; o < s_.rows; ++o) {
        T* to = first + o * s_.y.stride[1] + r * s_.y.stride[3];
        b.bias = bias(plane, o);
        for (int64_t f = 0; f < s_.phases; ++f) {
          b.runs = runs_.data() + first_run_[static_cast<size_t>(f)];
          b.run_count = first_run_[static_cast<size_t>(f + 1)] - first_run_[static_cast<size_t>(f)];
          b.w = weights_ + o * depth() + first_tap_[static_cast<size_t>(f)];
          b.y = in_place ? to : buffer + f * kBandRows * buffer_row;
          b.y_row = in_place ? s_.y.stride[3] : buffer_row;
          kernels_.band[rows - 1](b);
        }
        if (in_place) continue;
        const int64_t outputs = std::min(s_.phases * n, s_.y.shape[4] - cut_.begin * s_.phases);
        for (int64_t i = 0; i < rows; ++i)
          kernels_.unpack(to + i * s_.y.stride[3], s_.y.stride[4], buffer + i * buffer_row, s_.phases > 1 ? buffer + (kBandRows + i) * buffer_row : nullptr, outputs);
      }
    }
  }

  // Vectors of the weights and biases of output channel o, column by column.
  void spread(Plane plane, int64_t count, int64_t o, T* biases) {
    const int64_t lanes = kernels_.lanes, across = plan_.narrow.across, zero = 0;
    for (int64_t c = 0, k = 0; k < count; ++c, k += across) {
      const T *from[kMostAcross], *bias_from[kMostAcross];
      T bias_of[kMostAcross];
      const int64_t n = std::min(across, count - k);
      for (int64_t i = 0; i < n; ++i, plane.next()) {
        from[i] = w(plane, o);
        bias_of[i] = bias(plane, o);
        bias_from[i] = bias_of + i;
      }
      kernels_.spread(weights_ + c * depth() * lanes, from, position_.data(), depth(), n, plan_.narrow.pitch);
      kernels_.spread(biases + c * lanes, bias_from, &zero, 1, n, plan_.narrow.pitch);
    }
  }

  void narrow(const Plane& first, int64_t count) {
    const int64_t lanes = kernels_.lanes, columns = ceil_div(count, plan_.narrow.across), column = depth() * lanes;
    T* biases = weights_ + columns * column + lanes;
    pointers_.resize(static_cast<size_t>(2 * count));
    T** y_planes = pointers_.data();
    for (int64_t o = 0; o < s_.rows; ++o) {
      spread(first, count, o, biases);
      Plane plane = first;
      for (int64_t k = 0; k < count; ++k, plane.next()) y_planes[k] = y(plane, o);
      NarrowBand<T> b{};
      b.x_step = packed_.step();
      b.x_row = packed_.row();
      b.runs = runs_.data();
      b.run_count = static_cast<int64_t>(runs_.size());
      b.w = weights_;
      b.w_step = column;
      b.bias = biases;
      b.y = y_planes;
      b.y_row = s_.y.stride[3];
      b.planes = count;
      b.across = plan_.narrow.across;
      b.pitch = plan_.narrow.pitch;
      b.width = cut_.size();
      b.clamp = s_.clamp;
      b.low = s_.low;
      b.high = s_.high;
      for (const Cut& part : bands_) {
        b.x = planes_ + part.begin * packed_.row();
        b.y_offset = part.begin * s_.y.stride[3];
        kernels_.narrow_band[part.size() - 1](b);
      }
    }
  }

  const DepthwiseSum<T>& s_;
  const DepthwisePlan& plan_;
  const DepthwiseKernelsOf<T>& kernels_ = depthwise_kernels<T>();
  Cut strip_, cut_;
  int64_t x_stride_[3];
  PackedPlanes<T> packed_;
  Vector<TapRun> runs_;               // phase after phase
  Vector<int64_t> first_run_, first_tap_, position_;  // position: of each tap in the weights, in the order of the runs
  Vector<Cut> bands_;                 // nearly equal parts of the strip
  Vector<T*> pointers_;
  T *planes_ = nullptr, *weights_ = nullptr;
  bool weights_ready_ = false;
};

template <class T>
int64_t cuts(const DepthwiseSum<T>& s) {
  return std::max<int64_t>(1, ceil_div(s.w.outputs, kMostColumns));
}

}  // namespace

template <class T>
DepthwisePlan plan_depthwise(const DepthwiseSum<T>& s) {
  const int64_t lanes = depthwise_kernels<T>().lanes, item = static_cast<int64_t>(sizeof(T)), all = s.images * s.groups;
  const double outputs = static_cast<double>(all) * s.rows * s.h.outputs * s.w.outputs, work = outputs * static_cast<double>(depth(s));
  DepthwisePlan p;
  p.threads = threads_for(2 * work);
  if (stores_in_place(s)) p.narrow = narrow_rows(s.w, lanes);
  const int64_t width = ceil_div(s.w.outputs, cuts(s));
  const auto bytes = [&](int64_t rows, int64_t columns) {
    const LayoutSize h = layout_size(s.h, rows, false);
    return s.channels * h.segments * h.width * packed_row_size(s.w, width, columns, p.narrow, lanes) * item;
  };
  p.strip = s.h.outputs;
  if (p.narrow.across > 1) {
    int64_t columns = 1;
    while (columns * p.narrow.across < all && bytes(p.strip, columns + 1) <= kBatchBytes && columns < 16) ++columns;
    p.planes = columns * p.narrow.across;
  } else if (const int64_t plane = bytes(p.strip, 0); plane <= kPlaneBytes || p.strip <= kBandRows) {
    p.planes = std::max<int64_t>(1, std::min(all, kBatchBytes / std::max<int64_t>(1, plane)));
  } else {
    p.strip = kBandRows;
    while (p.strip < s.h.outputs && bytes(p.strip + kBandRows, 0) <= kStripBytes) p.strip += kBandRows;
  }
  if (p.threads > 1) {  // for the threads' sake: changes no sum
    p.planes = std::max(p.narrow.across, std::min(p.planes, round_up(ceil_div(all, 4 * p.threads), p.narrow.across)));
    while (p.strip > kBandRows && all * ceil_div(s.h.outputs, p.strip) < 2 * p.threads) p.strip = round_up(ceil_div(p.strip, 2), kBandRows);
  }
  p.workspace_bytes = Arena::rounded_bytes<T>((p.narrow.across > 1 ? 1 : p.planes) * bytes(std::min(p.strip, s.h.outputs), p.narrow.across > 1 ? p.planes / p.narrow.across : 0) / item) +
                      Arena::rounded_bytes<T>(weights_size(s, p) + buffer_size(s, width));
  const double vectors = p.narrow.across > 1 ? outputs / static_cast<double>(s.w.outputs * p.narrow.across)
                                      : outputs / static_cast<double>(s.w.outputs) * static_cast<double>(ceil_div(width, lanes) * cuts(s));
  p.cost = vectors * (static_cast<double>(depth(s)) / static_cast<double>(s.phases) / 2 * 1.15 + 3) * static_cast<double>(s.phases) + vectors / s.rows * s.channels * 3;
  return p;
}

template <class T>
void run_depthwise(const DepthwiseSum<T>& s, const DepthwisePlan& plan) {
  const int64_t batches = ceil_div(s.images * s.groups, plan.planes), strips = ceil_div(s.h.outputs, plan.strip), across = cuts(s);
  const int64_t together = strips * across > 1 ? 1 : ceil_div(batches, plan.threads > 1 ? 8 * plan.threads : 1);
  const int64_t runs = ceil_div(batches, together);
  parallel_tasks(runs * strips * across, plan.threads, [&](int64_t i) {
    const int64_t c = i % across, h = i / across % strips, b = i / across / strips * together;
    Task<T> task(s, plan, {h * plan.strip, std::min(s.h.outputs, (h + 1) * plan.strip)}, {c * s.w.outputs / across, (c + 1) * s.w.outputs / across});
    task.run(b, std::min(batches, b + together));
  });
}

#define FASTCONV_INSTANTIATE(T)                                           \
  template DepthwisePlan plan_depthwise(const DepthwiseSum<T>&);          \
  template void run_depthwise(const DepthwiseSum<T>&, const DepthwisePlan&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
