// Pooling: windows over the spatial axes of each image and channel, forward and backward.
//
// Views are (mb, channels, d, h, w); one- and two-dimensional problems leave the leading spatial axes at length 1.
// A window is a box: on each axis the input elements start, start + dilation, ... (count of them), padding left out.
// Padding therefore never wins a maximum; it counts only in the divisor of an average, and only if asked to.
// Functions throw std::invalid_argument for bad problems and indices. All are thread-safe and give the same bits for
// any number of threads.
#pragma once
#include <cstdint>
#include <vector>

#include "fastconv/export.h"
#include "fastconv/tensor.hpp"

namespace fastconv {

enum class PoolWindows : uint8_t {
  regular,   // window o begins at o * stride - pad_before
  adaptive,  // window o covers [floor(o * in / out), ceil((o + 1) * in / out))
  listed,    // window o begins at starts[o], a list for every plane
};

struct PoolAxis {
  int64_t in = 1, out = 1, k = 1;
  int64_t stride = 1, dilation = 1;  // dilation 1 is dense
  int64_t pad_before = 0, pad_after = 0;
  PoolWindows windows = PoolWindows::regular;
  const int64_t* starts = nullptr;  // of the first plane; the next plane's follow after PoolProblem::starts_step
};

struct PoolProblem {
  int64_t mb = 1, channels = 1;
  PoolAxis axis[3];  // d, h, w
  int64_t starts_step = 0;
};

// Windows on a regular axis: floor((in + pad_before + pad_after - dilation * (k - 1) - 1) / stride) + 1; with ceil_mode
// the quotient is rounded up, less the last window if it would begin beyond the input and the padding before it.
// At most 0 when there is no room for a window.
FASTCONV_API int64_t pool_output_size(const PoolAxis& axis, bool ceil_mode);

// Throws unless every window of the regular axes holds at least one input element and sizes fit 63 bits.
FASTCONV_API void validate(const PoolProblem& problem);

// Window starts of fractional pooling for samples (mb, channels, axes) in [0, 1), for each plane those of d, h and w in
// turn; points the problem's axes into the result. In two dimensions
// sample 0 belongs to the width and 1 to the height, in three they follow the axes (PyTorch's orders).
template <class T>
FASTCONV_API std::vector<int64_t> fractional_starts(PoolProblem& problem, int nd, const T* samples);

// y = the largest element, the first of equals; a NaN is larger than any number and the first one wins. indices (null
// data: not wanted) receive its flat position in the input's d x h x w.
template <class T>
FASTCONV_API void max_pool(const PoolProblem& problem, View<const T> x, View<T> y, View<int64_t> indices);

// dx[index] += dy. Indices are recomputed from x where they are not given.
template <class T>
FASTCONV_API void max_pool_backward(const PoolProblem& problem, View<const T> dy, View<const T> x,
                                    View<const int64_t> indices, View<T> dx);

// The divisor of an average: `divisor` where it is not 0, else the number of elements in the window, together with
// those of the padding (up to pad_after behind the input, no further) if count_include_pad.
struct Averaging {
  bool count_include_pad = true;
  int64_t divisor = 0;
};
template <class T>
FASTCONV_API void avg_pool(const PoolProblem& problem, Averaging averaging, View<const T> x, View<T> y);
template <class T>
FASTCONV_API void avg_pool_backward(const PoolProblem& problem, Averaging averaging, View<const T> dy, View<T> dx);

// y = (sum |x|^p)^(1/p), with `mean` (sum |x|^p / count)^(1/p); p > 0, infinity is the largest |x|. Powers that
// leave the range do no harm: nothing overflows but a norm that does. The derivative is
// sign(x) (|x| / y)^(p-1) (/ count), and 0 where x is 0; for p = infinity the first largest element takes all.
struct Norm {
  double p = 2;
  bool mean = false;
};
template <class T>
FASTCONV_API void lp_pool(const PoolProblem& problem, Norm norm, View<const T> x, View<T> y);
template <class T>
FASTCONV_API void lp_pool_backward(const PoolProblem& problem, Norm norm, View<const T> dy, View<const T> x,
                                   View<T> dx);

// y = 0 but for y[indices] = x, plane by plane in the order of x: of repeated indices the last one wins.
template <class T>
FASTCONV_API void max_unpool(View<const T> x, View<const int64_t> indices, View<T> y);
// dx = dy[indices].
template <class T>
FASTCONV_API void max_unpool_backward(View<const T> dy, View<const int64_t> indices, View<T> dx);

// Maxout: output channel c is the largest of input channels [c * pieces, (c + 1) * pieces); indices are channels of x.
template <class T>
FASTCONV_API void channel_max_pool(int64_t pieces, View<const T> x, View<T> y, View<int64_t> indices);
template <class T>
FASTCONV_API void channel_max_pool_backward(int64_t pieces, View<const T> dy, View<const T> x,
                                            View<const int64_t> indices, View<T> dx);

}  // namespace fastconv
