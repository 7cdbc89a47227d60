#include "conv/covered.hpp"

#include <algorithm>

#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kLeastPixels = 64;   // of a pointwise layer: fewer are better summed along taps
constexpr int64_t kMostChannels = 64;  // of a group: more fill tiles by themselves, at each tap
constexpr int64_t kLeastWidth = 16;    // of lines whose elements are written one by one

bool may_join(const ConvAxis& a) { return a.k > 1 && is_covered(a); }

// All elements of an array into a dense one or, if `back`, the other way: transposes of channels and width.
template <class T>
void copy_elements(const int64_t* shape, const T* from, const int64_t* from_step, T* to, const int64_t* to_step,
                   bool back) {
  const auto& kernels = conv_kernels<T>();
  const int64_t channels = shape[1], width = shape[4];
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t d = 0; d < shape[2]; ++d)
      for (int64_t h = 0; h < shape[3]; ++h) {
        const T* src = from + n * from_step[0] + d * from_step[2] + h * from_step[3];
        T* dst = to + n * to_step[0] + d * to_step[2] + h * to_step[3];
        if (!back) {
          kernels.pack_transposed(dst, to_step[1], src, from_step[4], from_step[1], channels, width, width);
          continue;
        }
        const int64_t some = to_step[1] == 1 ? channels : 1;
        for (int64_t c = 0; c < channels; c += some)
          kernels.pack_transposed(dst + c * to_step[1], to_step[4], src + c * from_step[1], from_step[1], 1, width,
                                  some, some);
      }
}

}  // namespace

Covered::Covered(const ConvProblem& whole, Direction direction, Algorithm algorithm) : Covered(whole) {
  const bool backward = direction == Direction::backward_input;
  if (algorithm != Algorithm::automatic || std::none_of(p.axis, p.axis + 3, may_join) ||
      whole.out_pixels() < (backward ? 2 : kLeastPixels) || p.ic / p.groups > kMostChannels)
    return;
  bool apart = false;
  for (int i = 0; i < 3; ++i) {
    ConvAxis& a = p.axis[i];
    joins[i] = may_join(a) && !(apart && p.ic > 1) && (i < 2 || (backward && a.k >= kLeastWidth && p.oc > 1));
    any |= joins[i];
    apart |= !joins[i] && a.in > 1;
    if (!joins[i]) continue;
    p.ic *= a.k;
    a = ConvAxis{};
  }
  any &= backward || p.taps() == 1;
  if (!any) *this = Covered(whole);
}

bool Covered::join(int64_t* shape, int64_t* stride) const {
  for (int i = 2; i < 5; ++i) {
    if (!joins[i - 2]) continue;
    if (shape[1] > 1 && stride[1] != shape[i] * stride[i]) return false;
    shape[1] *= shape[i];
    stride[1] = stride[i];
    shape[i] = 1;
  }
  return true;
}

int64_t Covered::bytes(int64_t item) const {
  const int64_t pixels = p.axis[0].in * p.axis[1].in * p.axis[2].in;
  return any ? item * p.ic * (p.mb * pixels + p.oc / p.groups * p.taps()) + 4 * Arena::kAlign : 0;
}

bool Joined::stands(const Covered& c, int64_t item, int64_t* shape, int64_t* stride) {
  std::copy_n(shape, 5, copy_.shape);
  std::copy_n(stride, 5, stride_);
  if (c.join(shape, stride)) return true;
  item_ = item;
  int64_t elements = 1;
  for (int i = 4; i >= 0; --i) stride[i] = copy_.stride[i] = elements, elements *= copy_.shape[i];
  std::copy_n(copy_.shape, 5, shape);
  c.join(shape, stride);
  copy_.data = take_table(static_cast<size_t>(elements), static_cast<size_t>(item));
  return false;
}

void Joined::copy(const void* from, void* to, bool back) const {
  const int64_t *from_step = back ? copy_.stride : stride_, *to_step = back ? stride_ : copy_.stride;
  if (item_ == sizeof(float))
    copy_elements(copy_.shape, static_cast<const float*>(from), from_step, static_cast<float*>(to), to_step, back);
  else copy_elements(copy_.shape, static_cast<const double*>(from), from_step, static_cast<double*>(to), to_step, back);
}

void Joined::finish() {
  if (result_) copy(copy_.data, result_, true);
  give_table_back(copy_.data);
}

}  // namespace fastconv
