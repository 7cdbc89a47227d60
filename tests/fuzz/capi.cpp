// libFuzzer over the C interface (scripts/fuzz.sh): the input's bytes are descriptors, shapes and layouts, sane and
// not. Arrays lie in heap blocks of exactly their size, for AddressSanitizer to watch. Whatever the arguments, a call
// either works or says what is wrong with them; and a workspace of the size that was asked for is enough.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "fastconv/fastconv.h"

namespace {

constexpr int64_t kMostElements = 1 << 14, kMostProducts = 4 << 20;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}
  uint8_t next() { return data_ < end_ ? *data_++ : 0; }
  int64_t below(int64_t n) { return next() % n; }
  bool rarely() { return next() >= 250; }
  // A size, and now and then nonsense.
  int64_t size(int64_t low, int64_t high) {
    static const int64_t odd[] = {-1, 0, INT64_MIN, INT64_MAX, INT64_MAX / 2, int64_t(1) << 62, -7, 300};
    if (rarely()) return odd[below(8)];
    return low + (next() | next() << 8) % (high - low + 1);
  }
  int32_t choice(int n) { return rarely() ? static_cast<int8_t>(next()) : static_cast<int32_t>(below(n)); }

 private:
  const uint8_t *data_, *end_;
};

void require(fastconv_status status) {
  if (status == FASTCONV_OK || status == FASTCONV_INVALID_ARGUMENT) return;
  std::fprintf(stderr, "status %d: %s\n", status, fastconv_last_error());
  std::abort();
}

// An array of a shape: axes in any order and direction, with gaps; inputs also with strides of zero.
class Array {
 public:
  Array(Bytes& in, int dtype, int ndim, const int64_t* shape, bool input = true) {
    view_.dtype = dtype, view_.ndim = ndim;
    int order[5] = {0, 1, 2, 3, 4};
    for (int i = ndim - 1; i > 0; --i) std::swap(order[i], order[in.below(i + 1)]);
    int64_t step = 1 + in.below(4) / 3, start = 0;
    bool fits = true;
    for (int j = ndim - 1; j >= 0; --j) {
      const int i = order[j];
      view_.shape[i] = shape[i];
      fits = fits && shape[i] >= 0 && shape[i] <= kMostElements && step * (shape[i] + 1) <= kMostElements;
      if (!fits) continue;
      const int layout = static_cast<int>(in.below(16));
      view_.stride[i] = layout == 1 && input ? 0 : layout == 2 ? -step : step;
      if (view_.stride[i] < 0 && shape[i] > 0) start += (shape[i] - 1) * step;
      step *= shape[i] > 0 ? shape[i] : 1;
    }
    if (!fits) return;  // no such memory: the call must not be made
    const size_t item = dtype == FASTCONV_FLOAT32 ? 4 : 8;
    // The last element may be followed by a gap, which is not the array's.
    int64_t elements = 1;
    bool empty = false;
    for (int i = 0; i < ndim; ++i) {
      empty |= shape[i] == 0;
      elements += (shape[i] - 1) * (view_.stride[i] < 0 ? -view_.stride[i] : view_.stride[i]);
    }
    if (empty) elements = 0, start = 0;
    memory_.reset(static_cast<char*>(std::malloc(static_cast<size_t>(elements) * item)));
    for (int64_t i = 0; i < elements; ++i) {
      const auto v = static_cast<int>(i * 7 % 9) - 4;
      if (dtype == FASTCONV_FLOAT32) reinterpret_cast<float*>(memory_.get())[i] = static_cast<float>(v);
      else if (dtype == FASTCONV_FLOAT64) reinterpret_cast<double*>(memory_.get())[i] = v;
      else reinterpret_cast<int64_t*>(memory_.get())[i] = v + 4;
    }
    view_.data = memory_.get() + static_cast<size_t>(start) * item;
    usable_ = true;
    if (in.rarely()) spoil(in);
  }
  bool usable() const { return usable_; }
  const fastconv_array* get() const { return &view_; }

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  // What is refused whatever the rest says.
  void spoil(Bytes& in) {
    switch (in.below(5)) {
      case 0:
        view_.dtype = static_cast<int8_t>(in.next() | 8);
        break;
      case 1:
        view_.ndim = in.next() % 2 ? 0 : 6 + in.next();
        break;
      case 2:
        view_.shape[in.below(5)] = -1 - in.next();
        break;
      case 3:
        view_.shape[0] = INT64_MAX;
        break;
      default:
        view_.stride[0] = INT64_MIN, view_.shape[0] = 77777;
    }
  }
  fastconv_array view_{};
  std::unique_ptr<char, Free> memory_;
  bool usable_ = false;
};

template <class... A>
bool usable(const A&... arrays) {
  return (arrays.usable() && ...);
}

// Whatever comes of nonsense.
int64_t times(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

fastconv_conv_desc conv_desc(Bytes& in) {
  fastconv_conv_desc d;
  require(fastconv_conv_desc_init(&d, sizeof d));
  d.spatial_dims = 1 + in.choice(3);
  d.dtype = in.choice(2);
  d.batch = in.size(0, 3);
  d.groups = in.below(3) ? 1 : in.size(1, 4);
  const bool sane = d.groups > 0 && d.groups < 5;
  d.in_channels = times(in.size(0, 20), sane ? d.groups : 1);
  d.out_channels = times(in.size(0, 20), sane ? d.groups : 1);
  for (int i = 0; i < 3; ++i) {
    d.input[i] = in.size(0, d.spatial_dims == 1 ? 500 : 14);
    d.kernel[i] = in.below(2) ? 3 : in.size(1, d.spatial_dims == 1 ? 40 : 6);
    d.stride[i] = in.below(2) ? 1 : in.size(1, 5);
    d.dilation[i] = in.below(2) ? 1 : in.size(1, 4);
    d.pad_before[i] = in.size(0, 6), d.pad_after[i] = in.size(0, 6);
    d.mode[i] = in.choice(5);
    if (in.rarely()) d.output[i] = in.size(-2, 8);
  }
  d.activation = in.choice(7);
  d.algorithm = in.choice(6);
  return d;
}

struct Handle {
  fastconv_conv* conv = nullptr;
  ~Handle() { fastconv_conv_free(conv); }
};

void fuzz_conv(Bytes& in) {
  const fastconv_conv_desc d = conv_desc(in);
  require(fastconv_set_num_threads(static_cast<int>(1 + in.below(3))));
  Handle h;
  const fastconv_status made = fastconv_conv_create(&d, &h.conv);
  require(made);
  if (made != FASTCONV_OK) return;
  int64_t xs[5], ws[5], ys[5];
  require(fastconv_conv_input_shape(h.conv, xs));
  require(fastconv_conv_weight_shape(h.conv, ws));
  require(fastconv_conv_output_shape(h.conv, ys));
  const int rank = d.spatial_dims + 2;
  char text[300];
  size_t size = 0;
  const int direction = static_cast<int>(in.below(3));
  require(fastconv_conv_explain(h.conv, direction, text, in.next(), &size));
  double products = 1;
  for (int i = 0; i < rank; ++i) products *= static_cast<double>(ys[i]) * (i ? static_cast<double>(ws[i]) : 1);
  if (products > kMostProducts) return;

  const int64_t channels[1] = {d.out_channels}, in_channels[1] = {d.in_channels};
  const int what = static_cast<int>(in.below(10));
  const Array x(in, d.dtype, rank, xs, what != 1 && what != 4 && what != 6), w(in, d.dtype, rank, ws, what != 2),
      y(in, d.dtype, rank, ys, what == 1 || what == 2 || what == 3 || what == 4);
  const Array b(in, d.dtype, 1, channels, what != 3), bi(in, d.dtype, 1, in_channels);
  if (!usable(x, w, y, b, bi)) return;
  const fastconv_array* bias = in.below(2) ? b.get() : nullptr;
  // A block of exactly the size wanted, at any alignment.
  const int way = what == 1 || what == 4 ? FASTCONV_BACKWARD_INPUT
                  : what == 2            ? FASTCONV_BACKWARD_WEIGHT
                                         : FASTCONV_FORWARD;
  require(fastconv_conv_workspace_size(h.conv, way, &size));
  std::vector<char> memory(in.below(2) ? size + 1 : 0);
  void* workspace = memory.empty() ? nullptr : memory.data() + 1;
  if (!workspace) size = 0;
  switch (what) {
    case 1:
      return require(fastconv_conv_backward_input(h.conv, y.get(), w.get(), x.get(), workspace, size));
    case 2:
      return require(fastconv_conv_backward_weight(h.conv, y.get(), x.get(), w.get(), workspace, size));
    case 3:
      return require(fastconv_conv_backward_bias(h.conv, y.get(), b.get()));
    case 4:
      return require(fastconv_conv_transpose(h.conv, y.get(), w.get(), in.below(2) ? bi.get() : nullptr, x.get(),
                                             workspace, size));
    case 5: {
      fastconv_packed* packed = nullptr;
      require(fastconv_packed_create(h.conv, w.get(), bias, &packed));
      if (packed) require(fastconv_conv_forward_packed(h.conv, x.get(), packed, y.get(), workspace, size));
      return fastconv_packed_free(packed);
    }
    case 6:
    case 7: {
      int64_t cs[3] = {d.batch, d.in_channels, 1};
      for (int i = 2; i < rank; ++i) cs[1] *= ws[i], cs[2] *= ys[i];
      const Array columns(in, d.dtype, 3, cs, what == 6);
      if (!columns.usable()) return;
      return require(what == 6 ? fastconv_fold(h.conv, columns.get(), x.get())
                               : fastconv_unfold(h.conv, x.get(), columns.get()));
    }
    default:
      return require(fastconv_conv_forward(h.conv, x.get(), w.get(), bias, y.get(), workspace, size));
  }
}

void fuzz_pool(Bytes& in) {
  fastconv_pool_desc d;
  require(fastconv_pool_desc_init(&d, sizeof d));
  d.spatial_dims = 1 + in.choice(3);
  d.windows = in.choice(3);
  const int dtype = in.choice(2), rank = d.spatial_dims + 2;
  int64_t xs[5] = {in.size(0, 3), in.size(0, 5), 1, 1, 1}, ys[5];
  for (int i = 0; i < 3; ++i) {
    xs[2 + i] = in.size(0, 20);
    d.kernel[i] = in.size(1, 5), d.output[i] = in.size(0, 7);
    d.stride[i] = in.size(1, 4), d.dilation[i] = in.below(2) ? 1 : in.size(1, 3);
    d.pad_before[i] = in.size(0, 2), d.pad_after[i] = in.size(0, 2);
  }
  d.ceil_mode = in.next() % 2, d.count_include_pad = in.next() % 2, d.norm_mean = in.next() % 2;
  d.divisor = in.size(0, 9);
  static const double norms[] = {
      1, 2, 3, 0.5, std::numeric_limits<double>::infinity(), -1, std::numeric_limits<double>::quiet_NaN(), 1e-3};
  d.norm = norms[in.below(8)];
  const fastconv_status shaped = fastconv_pool_output_shape(&d, xs, ys);
  require(shaped);
  if (shaped != FASTCONV_OK) return;
  const int what = static_cast<int>(in.below(8));
  const Array x(in, dtype == 1 ? 1 : 0, rank, xs, what == 0 || what == 2 || what == 4 || what == 7),
      y(in, dtype == 1 ? 1 : 0, rank, ys, what != 0 && what != 2 && what != 4 && what != 7),
      dx(in, dtype == 1 ? 1 : 0, rank, xs, false), indices(in, FASTCONV_INT64, rank, ys, false);
  if (!usable(x, y, dx, indices)) return;
  const fastconv_array* places = in.below(2) ? indices.get() : nullptr;
  std::vector<int64_t> starts;
  if (d.windows == FASTCONV_LISTED) {
    int64_t count = 0;
    for (int i = 0; i < d.spatial_dims; ++i) count += ys[2 + i];
    const int64_t samples_shape[3] = {xs[0], xs[1], d.spatial_dims};
    starts.resize(static_cast<size_t>(xs[0] * xs[1] * count));
    d.starts = starts.data();
    std::vector<float> zeros(static_cast<size_t>(xs[0] * xs[1] * d.spatial_dims + 1),
                             0.25f * static_cast<float>(in.below(4)));
    fastconv_array samples;
    require(fastconv_array_init(&samples, zeros.data(), FASTCONV_FLOAT32, 3, samples_shape));
    require(fastconv_fractional_starts(&d, xs, &samples, starts.data(), starts.size()));
    if (in.rarely() && !starts.empty()) starts[in.next() % starts.size()] = in.size(-3, 30);
  }
  switch (what) {
    case 0:
      return require(fastconv_max_pool(&d, x.get(), y.get(), places));
    case 1:
      return require(fastconv_max_pool_backward(&d, y.get(), x.get(), places, dx.get()));
    case 2:
      return require(fastconv_avg_pool(&d, x.get(), y.get()));
    case 3:
      return require(fastconv_avg_pool_backward(&d, y.get(), dx.get()));
    case 4:
      return require(fastconv_lp_pool(&d, x.get(), y.get()));
    case 5:
      return require(fastconv_lp_pool_backward(&d, y.get(), x.get(), dx.get()));
    case 6:
      return require(fastconv_max_unpool(y.get(), indices.get(), dx.get()));
    default:
      return require(fastconv_max_unpool_backward(x.get(), indices.get(), y.get()));
  }
}

void fuzz_channel_pool(Bytes& in) {
  const int64_t pieces = in.size(1, 4), groups = in.size(0, 4);
  int64_t xs[5] = {in.below(3), pieces > 0 && pieces < 9 && groups >= 0 && groups < 9 ? pieces * groups : 6,
                   in.below(4), in.below(4), in.below(4)};
  int64_t ys[5];
  std::memcpy(ys, xs, sizeof xs);
  ys[1] = groups;
  const int rank = 2 + static_cast<int>(in.below(4)), what = static_cast<int>(in.below(2));
  const Array x(in, FASTCONV_FLOAT32, rank, xs), y(in, FASTCONV_FLOAT32, rank, ys, what == 1),
      dx(in, FASTCONV_FLOAT32, rank, xs, false), indices(in, FASTCONV_INT64, rank, ys, false);
  if (!usable(x, y, dx, indices)) return;
  const fastconv_array* places = in.below(2) ? indices.get() : nullptr;
  if (what == 0) require(fastconv_channel_max_pool(pieces, x.get(), y.get(), places));
  else require(fastconv_channel_max_pool_backward(pieces, y.get(), x.get(), places, dx.get()));
}

void fuzz_pad(Bytes& in) {
  fastconv_pad_desc d;
  require(fastconv_pad_desc_init(&d, sizeof d));
  const int rank = 1 + static_cast<int>(in.below(5)), dtype = static_cast<int>(in.below(2));
  int64_t xs[5], ys[5];
  for (int i = 0; i < 5; ++i) {
    xs[i] = in.below(8);
    d.before[i] = in.below(2) ? in.size(-4, 9) : 0, d.after[i] = in.below(2) ? in.size(-4, 9) : 0;
    d.mode[i] = i < 2 && !in.rarely() ? 0 : in.choice(5);
    if (__builtin_add_overflow(xs[i], d.before[i], ys + i) || __builtin_add_overflow(ys[i], d.after[i], ys + i))
      ys[i] = 1;
  }
  d.value = static_cast<double>(in.next());
  const bool backward = in.below(2);
  const Array x(in, dtype, rank, xs, !backward), y(in, dtype, rank, ys, backward);
  if (!usable(x, y)) return;
  require(backward ? fastconv_pad_backward(&d, y.get(), x.get()) : fastconv_pad(&d, x.get(), y.get()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  switch (in.below(8)) {
    case 0:
      fuzz_pool(in);
      break;
    case 1:
      fuzz_pad(in);
      break;
    case 2:
      fuzz_channel_pool(in);
      break;
    default:
      fuzz_conv(in);
  }
  return 0;
}
