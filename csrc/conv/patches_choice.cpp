// Whether an input gradient is summed by patches.
#include <numeric>

#include "conv/depthwise.hpp"
#include "conv/fft_piece.hpp"
#include "conv/patches.hpp"
#include "conv/patches_plan.hpp"
#include "conv/strided_cost.hpp"
#include "conv/winograd_piece.hpp"

namespace fastconv {
namespace {

constexpr int64_t kMostBytes = 4 << 20;  // of patches that are kept
constexpr int64_t kMostLine = 1 << 20;   // of an axis, a dilation and a stride: a line of dx is kept, too
constexpr int64_t kLeastChannels = 16;   // shorter sums do not repay adding their results up,
constexpr int64_t kLeastOfLine = 8;      // but for lines along the width, whose other tiles share no inputs
constexpr int64_t kFew = 12;             // channels of dx: more fill tiles of their own
constexpr int64_t kSome = 32;            // the same with a stride
constexpr double kAdding = 0.4;          // channels of dy, a byte of a vector
constexpr double kFarWeightPass = 0.75;  // cycles of a weight that comes from memory again, for each piece of a stride,
constexpr int64_t kFarBytes = 6 << 20;   // as those of so many are likely to
constexpr double kGroup = 3400;          // cycles of a group's patches, whatever they are of
constexpr double kLeastCycles = 1e5;     // which transforms take
// Without a stride, beside the tiles of few rows:
constexpr int64_t kBatchBytes = 320 << 10;  // of dx a batch may be in lanes, whose bits a single image has
constexpr int64_t kSquareBytes = 6 << 20;   // of dy, which squares read again for each channel: so much comes slowly

// What adding makes of the cost of the products: as long as a vector is added, a sum could go on so many channels.
double with_adding(const ConvProblem& p, int64_t bytes) {
  return 1 + kAdding * static_cast<double>(bytes) / static_cast<double>(p.oc / p.groups);
}

// Lines of dx and their elements, an image.
double lines(const ConvProblem& p) { return static_cast<double>(p.ic * p.axis[0].in) * p.axis[1].in; }
double elements(const ConvProblem& p) { return lines(p) * p.axis[2].in; }

}  // namespace

// What adding with a stride takes is fitted, as strided_pieces_cost is.
double patches_cost(const ConvProblem& p, const PatchMachine& m) {
  const double patches = static_cast<double>(p.ic * p.taps()) * static_cast<double>(p.out_pixels()),
               products = patches * static_cast<double>(p.oc / p.groups) / (2 * m.lanes);
  if (p.axis[2].stride == 1) return products * with_adding(p, m.lanes * m.size);
  const ConvAxis& w = p.axis[2];
  const double vectors = patches / static_cast<double>(w.out) * static_cast<double>(ceil_div(w.out, m.lanes));
  // Of a line; but patches side by side are copied, many lines at once.
  const bool copies = are_apart(p) && w.pad_before == 0 && w.out * w.stride == w.in;
  const double sums = copies ? 0.25 : static_cast<double>(w.stride);
  return 1.4 * products + (copies ? 2 : 7) * vectors + 0.4 * elements(p) + 70 * sums * lines(p);
}

namespace {

// Channels of dx that are better left to squares, of a kernel under which the axes keep their size: they read dy where
// it stands.
int64_t square_channels(const ConvProblem& p, const PatchMachine& m) {
  const int64_t taps = p.axis[1].k;
  const auto keeps = [taps](const ConvAxis& a) {
    return a.k == taps && a.dilation == 1 && a.pad_before == taps / 2 && a.out == a.in;
  };
  if (!is_plane(p.axis[0]) || !keeps(p.axis[1]) || !keeps(p.axis[2])) return 0;
  return taps == 3 ? m.squares : taps == 5 ? m.larger_squares : 0;
}

// Whether patches are quicker than the tiles whose rows are channels of dx, which they hardly fill, and which multiply
// by the zeros around dy as well unless a batch is in lanes. Small images' lines are added in parts of vectors, however
// short those are. Looks at one image alone.
bool beats_tiles(const ConvProblem& p, const PatchMachine& m) {
  const int64_t ic = p.ic / p.groups, pixels = p.axis[0].in * p.axis[1].in * p.axis[2].in;
  const double bytes = static_cast<double>(ic * m.size) * static_cast<double>(pixels);
  if (ic <= square_channels(p, m)) return bytes * static_cast<double>(p.oc / p.groups) > kSquareBytes;
  const double tiles = 1.15 + 3.5 / static_cast<double>(ic);
  if (p.axis[0].in == 1 && bytes * m.lanes <= kBatchBytes) return with_adding(p, 64) < tiles;
  return with_adding(p, m.lanes * m.size) * static_cast<double>(p.out_pixels()) < tiles * static_cast<double>(pixels);
}

// Whether they are quicker than a piece for each residue of a stride.
bool beats_pieces(const ConvProblem& p, const PatchMachine& m) {
  if (p.ic / p.groups > kSome && !are_apart(p) && !are_deep(p, m)) return false;
  double products = static_cast<double>(p.ic) * static_cast<double>(p.oc / p.groups) / (2 * m.lanes), pieces = 1;
  for (const ConvAxis& a : p.axis) {
    products *= static_cast<double>(a.in * a.k) / static_cast<double>(a.stride);
    pieces *= static_cast<double>(std::min(a.k, a.stride));
  }
  const int64_t weights = p.oc / p.groups * p.ic * p.taps();
  // Each piece packs dy, and weights that come from memory again.
  const double packed = 4 * pieces * static_cast<double>(p.oc * p.axis[0].out * p.axis[1].out),
               far = weights * m.size > kFarBytes ? kFarWeightPass * static_cast<double>(weights) * pieces : 0;
  return patches_cost(p, m) <
         strided_pieces_cost(products, p.ic / p.groups, lines(p), elements(p), pieces) + packed + far;
}

bool suits(const ConvProblem& p, const PatchMachine& machine) {
  if (p.taps() == 1 || p.mb * p.ic * p.oc * p.out_pixels() == 0) return false;
  for (const ConvAxis& a : p.axis)
    if (std::max({a.in, a.out, a.k, a.stride, a.dilation}) > kMostLine ||
        (a.mode != Mode::zeros && a.pad_before + a.pad_after > 0))
      return false;
  const int64_t least = p.axis[0].in * p.axis[1].in == 1 ? kLeastOfLine : kLeastChannels;
  const bool pays = p.axis[2].stride > 1
                        ? beats_pieces(p, machine)
                        : p.oc / p.groups >= least && p.ic / p.groups <= kFew && beats_tiles(p, machine);
  if (!pays) return false;
  const Patches s(p, machine);
  return s.rows() * s.plane * s.size <= kMostBytes;
}

// Whether depthwise sums take two phases of a stride together, and less time.
template <class T>
bool is_depthwise(const ConvProblem& p) {
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  if (w.stride != 2) return false;
  const int64_t step = h.stride / std::gcd(h.stride, h.dilation);
  double cost = 0;
  for (int64_t phase = 0; phase < std::min(step, h.k); ++phase) {
    const int64_t tall = ceil_div(h.k - phase, step);
    const DepthwiseShape shape{p.oc / p.groups,
                               p.ic / p.groups,
                               ceil_div(d.k, d.stride) * tall * w.k,
                               tall,
                               h.in / h.stride,
                               ceil_div(w.in, 2),
                               1,
                               false,
                               !is_plane(d),
                               std::min(w.k, 1 + w.dilation % 2),
                               false,
                               p.groups};
    if (!depthwise_pays<T>(shape)) return false;
    cost += static_cast<double>(d.in) * in_turn_cost<T>(shape);
  }
  return cost < patches_cost(p, patch_machine<T>()) + kGroup * static_cast<double>(p.groups - 1);
}

// Whether transforms, Winograd's or Fourier's, take all pieces of a stride, and less time; or Winograd's the one that
// there is without, with tiles as quick of few rows.
template <class T>
bool is_transformed(const ConvProblem& p) {
  const Operands<T> operands = Operands<T>::imagined(p, Direction::backward_input, Algorithm::automatic);
  const BackwardPieces axis[3] = {backward_pieces(p.axis[0]), backward_pieces(p.axis[1]), backward_pieces(p.axis[2])};
  const double patches = patches_cost(p, patch_machine<T>());
  double pieces = 1;
  for (const ConvAxis& a : p.axis) pieces *= static_cast<double>(a.stride);
  if (pieces == 1 && WinogradPiece<T>::suits(operands, {axis[0].set[0], axis[1].set[0], axis[2].set[0]})) return true;
  if (p.axis[2].stride > 1 && p.ic / p.groups >= kFew && patches >= kLeastCycles) {
    const double cost = WinogradPiece<T>::strided_cost(operands, axis);
    if (cost >= 0 && cost < patches) return true;
  }
  pieces *= static_cast<double>(p.mb);
  if (!may_use_fft(Algorithm::automatic, static_cast<double>(p.taps() * p.mb) / pieces, p.macs() / pieces))
    return false;
  double cost = 0;
  for (const Piece& d : axis[0].set)
    for (const Piece& h : axis[1].set)
      for (const Piece& w : axis[2].set) {
        const FftPlan plan = plan_fft_piece(operands, {d, h, w});
        if (!plan.applies()) return false;
        cost += plan.cost;
      }
  return cost < patches;
}

}  // namespace

template <class T>
bool use_patches(const ConvProblem& p, Algorithm algorithm) {
  if ((algorithm != Algorithm::automatic && algorithm != Algorithm::direct) || !suits(p, patch_machine<T>()))
    return false;
  return algorithm == Algorithm::direct || !(is_transformed<T>(p) || is_depthwise<T>(p));
}

template bool use_patches<float>(const ConvProblem&, Algorithm);
template bool use_patches<double>(const ConvProblem&, Algorithm);

}  // namespace fastconv
