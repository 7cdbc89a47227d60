// Sizes, checks and window starts.
#include <algorithm>
#include <string>

#include "base/checked.hpp"
#include "base/message.hpp"
#include "fastconv/pool.hpp"
#include "pool/windows.hpp"

namespace fastconv {
namespace {

int64_t checked_extent(const PoolAxis& a) {
  return checked_add(checked_mul(a.dilation, a.k - 1, "dilation"), 1, "dilation");
}

void validate_regular(const PoolAxis& a, const char* on) {
  if (a.k < 1) invalid({"kernel_size must be at least 1, got ", a.k, on});
  if (a.stride < 1) invalid({"stride must be at least 1, got ", a.stride, on});
  if (a.dilation < 1) invalid({"dilation must be at least 1, got ", a.dilation, on});
  const int64_t extent = checked_extent(a);
  if (a.pad_before < 0 || a.pad_after < 0 || a.pad_before >= extent || a.pad_after >= extent)
    invalid({"padding must be from 0 to less than the window's extent ", extent, " (kernel_size ", a.k, ", dilation ",
             a.dilation, "), got (", a.pad_before, ", ", a.pad_after, ")", on});
  if (a.out < 1)
    invalid({"kernel_size: the window spans ", extent, " but the padded input has only ",
             a.in + a.pad_before + a.pad_after, on});
  checked_add(checked_mul(a.out, a.stride, "stride"), checked_add(extent, a.in, "kernel_size"), "kernel_size");
  if (a.dilation > a.in)  // only then can the taps of a window step over the whole input
    for (int64_t o = 0; o < a.out; ++o)
      if (pool_window(a, o).count < 1)
        invalid({"dilation ", a.dilation, " with padding (", a.pad_before, ", ", a.pad_after, ") leaves window ", o,
                 " without an element of the input of size ", a.in, on});
}

}  // namespace

int64_t pool_output_size(const PoolAxis& a, bool ceil_mode) {
  const int64_t begin = checked_add(a.in, a.pad_before, "padding");
  const int64_t room = checked_add(begin, a.pad_after, "padding") - checked_extent(a);
  if (!ceil_mode) return room < 0 ? 0 : room / a.stride + 1;
  if (room <= -a.stride) return 0;
  const int64_t up = room < 0 ? 0 : room / a.stride + (room % a.stride != 0);
  return up * a.stride >= begin ? up : up + 1;
}

void validate(const PoolProblem& p) {
  static const char* const names[] = {" on the depth axis", " on the height axis", " on the width axis"};
  const char* what = "output";
  int64_t values = checked_mul(8, std::max<int64_t>(1, p.mb), what);
  values = checked_mul(values, std::max<int64_t>(1, p.channels), what);
  for (int i = 0; i < 3; ++i) {
    const PoolAxis& a = p.axis[i];
    const char* on = names[i];
    if (a.in < 1) invalid({"input has size ", a.in, on, "; it must be at least 1"});
    if (a.windows == PoolWindows::regular) validate_regular(a, on);
    if (a.out < 0) invalid({"output_size must not be negative, got ", a.out, on});
    if (a.windows == PoolWindows::adaptive) checked_mul(checked_add(a.out, 1, what), checked_add(a.in, 1, what), what);
    if (a.windows == PoolWindows::listed && (a.k < 1 || a.k > a.in || a.out > a.in - a.k + 1))
      invalid({"kernel_size ", a.k, " and output_size ", a.out, " do not fit an input of size ", a.in, on,
               ": kernel_size + output_size - 1 must be at most that"});
    values = checked_mul(values, std::max<int64_t>(1, a.out), what);
  }
}

template <class T>
std::vector<int64_t> fractional_starts(PoolProblem& p, int nd, const T* samples) {
  const int64_t planes = p.mb * p.channels;
  p.starts_step = p.axis[0].out + p.axis[1].out + p.axis[2].out;
  std::vector<int64_t> starts(static_cast<size_t>(checked_mul(planes, p.starts_step, "output_size")));
  int64_t* to = starts.data();
  for (int64_t plane = 0; plane < planes; ++plane)
    for (int i = 0; i < 3; ++i) {
      const PoolAxis& a = p.axis[i];
      const int own = i - (3 - nd);  // the axis's number among the nd
      const T sample = own < 0 ? T(0) : samples[plane * nd + (nd == 2 ? 1 - own : own)];
      const T alpha = a.out > 1 ? static_cast<T>(a.in - a.k) / static_cast<T>(a.out - 1) : T(0);
      for (int64_t o = 0; o + 1 < a.out; ++o) {
        const auto place = static_cast<int64_t>((static_cast<T>(o) + sample) * alpha);
        *to++ = std::min(place - static_cast<int64_t>(sample * alpha), a.in - a.k);
      }
      if (a.out > 0) *to++ = a.in - a.k;
    }
  int64_t offset = 0;
  for (PoolAxis& a : p.axis) {
    a.windows = PoolWindows::listed;
    a.starts = starts.empty() ? nullptr : starts.data() + offset;
    offset += a.out;
  }
  return starts;
}
template std::vector<int64_t> fractional_starts(PoolProblem&, int, const float*);
template std::vector<int64_t> fractional_starts(PoolProblem&, int, const double*);

}  // namespace fastconv
