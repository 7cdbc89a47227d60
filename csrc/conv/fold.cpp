#include "conv/fold.hpp"

#include <algorithm>

#include "conv/fft/piece.hpp"
#include "conv/pieces/backward.hpp"
#include "conv/pieces/plan.hpp"

namespace fastconv {
namespace {

constexpr int64_t kFoldBytes = 16 << 20;  // of padded input gradients at a time, unless one is larger
constexpr double kMostElements = 1e12;    // of one

}  // namespace

Fold::Fold(const ConvProblem& p) : wide(p) {
  for (int i = 0; i < 3; ++i) {
    const ConvAxis& a = p.axis[i];
    pad.axis[2 + i].in = a.in;
    if (a.mode == Mode::zeros || circulates(a)) continue;
    pad.axis[2 + i] = {a.in, a.pad_before, a.pad_after, a.mode};
    wide.axis[i].in += a.pad_before + a.pad_after;
    wide.axis[i].pad_before = wide.axis[i].pad_after = 0;
    wide.axis[i].mode = Mode::zeros;
  }
}

// In floating point: padding may be of any size.
bool Fold::widens() const {
  double inner = static_cast<double>(wide.ic), outer = inner;
  for (int i = 2; i < 5; ++i) {
    inner *= static_cast<double>(pad.axis[i].in);
    outer *= static_cast<double>(pad.axis[i].out());
  }
  return outer > inner && outer < kMostElements;
}

template <class T>
int64_t Fold::images_at_once() const {
  return std::max<int64_t>(1, std::min(wide.mb, kFoldBytes / (image_elements() * static_cast<int64_t>(sizeof(T)))));
}

template <class T>
bool Fold::pays(Algorithm algorithm) const {
  if (!widens() || (algorithm != Algorithm::automatic && algorithm != Algorithm::fft) || wide.mb == 0 ||
      image_elements() == 0)
    return false;
  const Piece d = backward_pieces(wide.axis[0]).set[0], h = backward_pieces(wide.axis[1]).set[0],
              w = backward_pieces(wide.axis[2]).set[0];
  return plan_fft_piece<T>(Operands<T>::imagined(wide, Direction::backward_input, algorithm), {d, h, w}).applies();
}

template <class T>
void Fold::run(View<const T> dy, View<const T> w, View<T> dx, Algorithm algorithm) const {
  const int64_t most = images_at_once<T>();
  const ScratchMemory<T> memory(most * image_elements());
  View<T> padded = imagined_view<T>(most, wide.ic, wide.axis[0].in, wide.axis[1].in, wide.axis[2].in);
  padded.data = memory.data();
  for (int64_t n = 0; n < wide.mb; n += most) {
    padded.shape[0] = dy.shape[0] = dx.shape[0] = std::min(most, wide.mb - n);
    run_pieces<T>(wide, Direction::backward_input,
                  {wide, Direction::backward_input, dy, w, {}, padded, Activation::none, algorithm});
    pad_backward<T>(pad, padded, dx);
    dy.data += most * dy.stride[0];
    dx.data += most * dx.stride[0];
  }
}

template <class T>
ConvPlan Fold::describe(Algorithm algorithm) const {
  ConvPlan plan = describe_pieces(wide, Direction::backward_input,
                                  Operands<T>::imagined(wide, Direction::backward_input, algorithm));
  plan.shared_bytes += images_at_once<T>() * image_elements() * static_cast<int64_t>(sizeof(T));
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                    \
  template bool Fold::pays<T>(Algorithm) const;                                    \
  template void Fold::run(View<const T>, View<const T>, View<T>, Algorithm) const; \
  template ConvPlan Fold::describe<T>(Algorithm) const;
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
