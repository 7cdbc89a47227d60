// Whether an input gradient is summed by patches.
#include <numeric>

#include "conv/depthwise/depthwise.hpp"
#include "conv/fft/piece.hpp"
#include "conv/patches/patches.hpp"
#include "conv/patches/plan.hpp"
#include "conv/pieces/backward.hpp"
#include "conv/pieces/plan.hpp"
#include "conv/winograd/piece.hpp"

namespace fastconv {
namespace {

constexpr int64_t kMostBytes = 4 << 20;  // of patches that are kept
constexpr int64_t kMostLine = 1 << 20;   // of an axis, a dilation and a stride: a line of dx is kept, too
constexpr int64_t kLeastChannels = 16;   // shorter sums do not repay adding their results up,
constexpr int64_t kLeastOfLine = 8;      // but for lines along the width, whose other tiles share no inputs
constexpr int64_t kFew = 12;             // channels of dx: more fill tiles of their own
constexpr int64_t kSome = 32;            // the same with a stride, but for images of few pixels, which waste them;
constexpr int64_t kFewPixels = 64;       // of dy
constexpr double kAdding = 0.4;          // channels of dy, a byte of a vector
constexpr double kWeightPass = 0.045;    // cycles of a weight, for each piece of a stride,
constexpr double kFarWeightPass = 0.5;   // and of one that comes from memory again,
constexpr int64_t kZipped = 4, kZippedColumns = 8;  // strides and columns of a residue whose lines are zipped
constexpr double kCopy = 1.3;  // of a weight that does not stand beside the next one, or comes from memory to be packed
constexpr int64_t kFarBytes = 6 << 20;  // as those of so many are likely to
// Cycles of a depthwise sum's phase and of a group's patches, whatever they are of.
constexpr double kPhase = 4000, kGroup = 3400;
constexpr double kLeastCycles = 1e5;  // which transforms take
// Without a stride, beside the tiles of few rows:
constexpr int64_t kBatchBytes = 320 << 10;  // of dx a batch may be in lanes, whose bits a single image has
constexpr int64_t kSquareBytes = 6 << 20;   // of dy, which squares read again for each channel: so much comes slowly
// Of a piece's products, zeros and all, what patches may cost, and of each row; and the images of a batch for which the
// choice is made beside more rows: of vectors along it and of weights that all share.
constexpr double kMostProducts = 1.2, kMostFewRows = 3;
constexpr int64_t kBatch = 16;
constexpr double kAlone = 0.5;  // of the piece's time an image alone, for which they are chosen in spite of that
constexpr double kTiles = 0.95, kWinograd = 0.75;  // of the cost of theirs and of Winograd's, which promises too little
constexpr double kWinogradFewRows = 1.1;           // of theirs, what Winograd's may cost with the tiles of few rows

// What adding makes of the cost of the products: as long as a vector is added, a sum could go on so many channels.
double with_adding(const ConvProblem& p, int64_t bytes) {
  return 1 + kAdding * static_cast<double>(bytes) / static_cast<double>(p.oc / p.groups);
}

// Lines of dx and their elements, an image.
double lines(const ConvProblem& p) { return static_cast<double>(p.ic * p.axis[0].in) * p.axis[1].in; }
double elements(const ConvProblem& p) { return lines(p) * p.axis[2].in; }

// Fitted to hundreds of random problems on two rungs: without a stride, of weights half, since images share them;
double dense_cost(const ConvProblem& p, const PatchMachine& m) {
  const double rows = static_cast<double>(p.ic * p.taps()), oc = static_cast<double>(p.oc / p.groups),
               vectors = static_cast<double>(ceil_div(p.out_pixels(), m.lanes)), k = static_cast<double>(p.axis[2].k),
               meetings = static_cast<double>(p.axis[0].out * p.axis[0].k * p.axis[1].out * p.axis[1].k),
               added = static_cast<double>(p.ic * ceil_div(p.axis[2].in, m.lanes)) * meetings * k,
               groups = static_cast<double>(p.groups);
  return m.keeps
             ? rows * (vectors * (oc / 2 + 5) + 0.9 * oc) + 0.6 * added + (59 + 9 * k) * lines(p) + 1800 * groups
             : rows * (vectors * (oc / 2 + 2.75) + 0.22 * oc) + 1.2 * added + (35 + 3.8 * k) * lines(p) + 1000 * groups;
}
// and with one.
double strided_cost(const ConvProblem& p, const PatchMachine& m) {
  const double ic = static_cast<double>(p.ic), weights = ic * static_cast<double>(p.taps() * (p.oc / p.groups)),
               products = weights * static_cast<double>(p.out_pixels()) / (2 * m.lanes);
  const AddingCost adding = adding_cost(p, m.lanes);
  return 1.4 * products + 0.05 * weights +
         std::min(ic * adding.lines, (2.25 * ic + 4.5) * adding.one_by_one) +  // and to find them
         8000;
}

}  // namespace

double patches_cost(const ConvProblem& p, const PatchMachine& m) {
  return p.axis[2].stride == 1 ? dense_cost(p, m) : strided_cost(p, m);
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

// Whether they are quicker than a piece for each residue of a stride, of those that meet a tap. Weights of which some
// taps are left out are copied first.
bool beats_pieces(const ConvProblem& p, const PatchMachine& m, bool some_taps) {
  const int64_t ic = p.ic / p.groups, weights = p.oc / p.groups * p.ic * p.taps();
  const bool deep = are_deep(p, m);
  if (ic > kSome && p.out_pixels() > kFewPixels && !are_apart(p) && !deep) return false;
  const bool far = weights * m.size > kFarBytes;
  double passes = far ? kFarWeightPass : kWeightPass, pieces = 1, written[3],
         products = static_cast<double>(p.oc / p.groups * p.ic) / (2 * m.lanes);
  for (int i = 0; i < 3; ++i) {
    const ConvAxis& a = p.axis[i];
    const double taps = static_cast<double>(a.k), out = static_cast<double>(a.out),
                 residues = static_cast<double>(std::min(a.k, a.stride / std::gcd(a.stride, a.dilation))),
                 outputs = static_cast<double>(a.in) / static_cast<double>(a.stride);  // of a residue
    pieces *= residues;
    written[i] = residues * outputs;
    products *= deep ? taps * out : outputs * std::min(taps, residues * (out + outputs - 1));
  }
  // Of lines that are zipped of the residues', or written in steps.
  const ConvAxis& w = p.axis[2];
  const bool zipped = w.stride <= kZipped && w.in >= kZippedColumns * w.stride;
  const double steps =
                   0.6 * elements(p) + static_cast<double>(p.ic) * written[0] * written[1] * (12 + 2.8 * written[2]),
               zips = 1.8 * elements(p) + 46 * lines(p);
  const double patches = patches_cost(p, m) + (some_taps || (far && !deep) ? kCopy * static_cast<double>(weights) : 0);
  return patches < (1.4 + 3 / static_cast<double>(ic)) * products + (zipped ? std::min(zips, steps) : steps) +
                       pieces * (4500 + passes * static_cast<double>(weights));
}

// Whether they are no dearer than a share of products of which many are zeros. To plan those takes longer.
bool may_pay(const ConvProblem& p, const PatchMachine& m, double share) {
  const double products = elements(p) * static_cast<double>(p.taps() * (p.oc / p.groups)) / (2 * m.lanes);
  return patches_cost(p, m) < (kMostProducts + kMostFewRows / static_cast<double>(p.ic / p.groups)) * share * products;
}

bool suits(const ConvProblem& p, const PatchMachine& machine, bool some_taps) {
  if (p.taps() == 1 || p.mb * p.ic * p.oc * p.out_pixels() == 0) return false;
  for (const ConvAxis& a : p.axis)
    if (std::max({a.in, a.out, a.k, a.stride, a.dilation}) > kMostLine ||
        (a.mode != Mode::zeros && a.pad_before + a.pad_after > 0))
      return false;
  const int64_t least = p.axis[0].in * p.axis[1].in == 1 ? kLeastOfLine : kLeastChannels;
  const bool pays = p.axis[2].stride > 1 ? beats_pieces(p, machine, some_taps)
                                         : p.oc / p.groups >= least && may_pay(p, machine, 1) &&
                                               (p.ic / p.groups > kFew || beats_tiles(p, machine));
  if (!pays) return false;
  ConvProblem image = p;
  image.mb = 1;
  const Patches s(image, machine);
  return s.rows() * s.plane * s.size <= kMostBytes;
}

// Whether they take less than this share of the time of the one piece there is without a stride, for so many images.
template <class T>
bool beats_piece(ConvProblem p, Algorithm algorithm, int64_t images, double share) {
  p.mb = images;
  const Operands<T> operands = Operands<T>::imagined(p, Direction::backward_input, algorithm);
  const ConvPlan piece = describe_pieces(p, Direction::backward_input, operands);
  return static_cast<double>(images) * patches_cost(p, patch_machine<T>()) <
         (piece.algorithm == Algorithm::winograd ? kWinograd : kTiles) * share * piece.cost;
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
    cost += kPhase + static_cast<double>(d.in) * in_turn_cost<T>(shape);
  }
  return cost < patches_cost(p, patch_machine<T>()) + kGroup * static_cast<double>(p.groups - 1);
}

// Whether Winograd's transforms take all pieces of a stride, and less time; or the one that there is without, with
// tiles as quick of few rows.
template <class T>
bool is_winograd(const ConvProblem& p, const Operands<T>& operands, const BackwardPieces (&axis)[3], double patches) {
  if (p.axis[0].stride * p.axis[1].stride * p.axis[2].stride == 1) {
    const double cost = WinogradPiece<T>::cost(operands, {axis[0].set[0], axis[1].set[0], axis[2].set[0]});
    if (cost >= 0 && cost < kWinogradFewRows * patches) return true;
  }
  if (p.axis[2].stride == 1 || p.ic / p.groups < kFew || patches < kLeastCycles) return false;
  const double cost = WinogradPiece<T>::strided_cost(operands, axis);
  const bool many = p.ic / p.groups > kSome && !are_deep(p, patch_machine<T>());
  return cost >= 0 && (many || cost < patches);
}

// Whether Fourier's do.
template <class T>
bool is_fft(const ConvProblem& p, const Operands<T>& operands, const BackwardPieces (&axis)[3], double patches) {
  double pieces = static_cast<double>(p.mb);
  for (const ConvAxis& a : p.axis) pieces *= static_cast<double>(a.stride);
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

template <class T>
bool is_transformed(const ConvProblem& p) {
  const Operands<T> operands = Operands<T>::imagined(p, Direction::backward_input, Algorithm::automatic);
  const BackwardPieces axis[3] = {backward_pieces(p.axis[0]), backward_pieces(p.axis[1]), backward_pieces(p.axis[2])};
  const double patches = patches_cost(p, patch_machine<T>());
  return is_winograd(p, operands, axis, patches) || is_fft(p, operands, axis, patches);
}

}  // namespace

template <class T>
bool use_patches(const ConvProblem& p, Algorithm algorithm, bool some_taps) {
  if ((algorithm != Algorithm::automatic && algorithm != Algorithm::direct) || !suits(p, patch_machine<T>(), some_taps))
    return false;
  if (p.axis[2].stride == 1 && p.ic / p.groups > kFew)
    return beats_piece<T>(p, algorithm, kBatch, 1) ||
           (may_pay(p, patch_machine<T>(), kAlone) && beats_piece<T>(p, algorithm, 1, kAlone));
  return algorithm == Algorithm::direct || !(is_transformed<T>(p) || is_depthwise<T>(p));
}

template bool use_patches<float>(const ConvProblem&, Algorithm, bool);
template bool use_patches<double>(const ConvProblem&, Algorithm, bool);

}  // namespace fastconv
