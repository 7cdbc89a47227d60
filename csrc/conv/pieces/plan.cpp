#include "conv/pieces/plan.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/checked.hpp"
#include "conv/depthwise/piece.hpp"
#include "conv/depthwise/squares.hpp"
#include "conv/direct/phase_lines.hpp"
#include "conv/direct/phase_pair.hpp"
#include "conv/direct/piece.hpp"
#include "conv/fft/piece.hpp"
#include "conv/pieces/backward.hpp"
#include "conv/pieces/plan_parts.hpp"
#include "conv/winograd/piece.hpp"

namespace fastconv {
namespace {

// What is to be done for a piece; it refers to the operands and to the piece. Of a line, a depthwise plan may leave the
// ends to others.
template <class T>
using PiecePlan = std::variant<WinogradPiece<T>, FftPiece<T>, DepthwisePiece<T>, DirectPiece<T>>;

// Estimated cycles that a part of a piece takes besides its sums, with a cycle for each weight, or less for one that
// the direct engine reads in place; and what parts must promise: so much of the whole. That is Winograd's, if it takes
// less of the products than this.
constexpr double kPart = 5000, kWeightInPlace = 0.5, kPartsShare = 0.85, kLessProducts = 0.8;
constexpr double kSlicesShare = 0.95;       // of the depth, whose parts are as good as the whole
constexpr int64_t kPartOutputs[] = {4, 1};  // of a part of an axis, at least
constexpr int64_t kPassBytes = 2 << 20;     // of y, which several pieces pass over

enum class Engine : uint8_t { winograd, fft, line, depthwise, direct };

// The choice: it looks at one image and at no thread. The plan is that of transforms, if they are it.
template <class T>
Engine choose_engine(const Operands<T>& c, const PieceBox& box, FftPlan& fft) {
  if (WinogradPiece<T>::suits(c, box)) return Engine::winograd;
  fft = plan_fft_piece(c, box);
  if (fft.applies()) return Engine::fft;
  if (const LineRows line(box.h, box.w); line.rows && DepthwisePiece<T>::suits(c, {box.d, line.h, line.w}))
    return Engine::line;
  return DepthwisePiece<T>::suits(c, box) ? Engine::depthwise : Engine::direct;
}

template <class T>
bool takes_direct(const Operands<T>& c, const PieceBox& box) {
  FftPlan fft;
  return choose_engine(c, box, fft) == Engine::direct;
}

// Whether axes may be cut at all: planning their parts takes time, too.
bool may_pay_to_cut(const PieceBox& box, double products, bool (&may_pay)[3]) {
  bool any = false;
  for (int i = 0; i < 3; ++i) {
    const double most = static_cast<double>(2 * box[i].map.taps() - 1);
    any |= may_pay[i] = products > kPart && (1 - live_share(box[i])) * products > 2 * most * kPart;
  }
  return any;
}

template <class T>
PiecePlan<T> plan_piece(const Operands<T>& c, const PieceBox& box) {
  using Plan = PiecePlan<T>;
  FftPlan fft;
  switch (choose_engine(c, box, fft)) {
    case Engine::winograd:
      return Plan(std::in_place_type<WinogradPiece<T>>, c, box);
    case Engine::fft:
      return Plan(std::in_place_type<FftPiece<T>>, c, box, fft);
    case Engine::line:
      return Plan(std::in_place_type<DepthwisePiece<T>>, c, LineRows(box.h, box.w), box);
    case Engine::depthwise:
      return Plan(std::in_place_type<DepthwisePiece<T>>, c, box);
    case Engine::direct:
      break;
  }
  return Plan(std::in_place_type<DirectPiece<T>>, c, box);
}

// Plans one piece after another, and runs each plan or, if there is a `total`, adds its description to that.
template <class T>
class Pieces {
 public:
  explicit Pieces(const Operands<T>& c, ConvPlan* total = nullptr) : c_(c), total_(total) {}

  void all(const ConvProblem& p, Direction direction) {
    if (c_.y.size() == 0) return;
    if (direction == Direction::backward_input) return backward(p);
    const Piece d = forward_piece(p.axis[0]), h = forward_piece(p.axis[1]), w = forward_piece(p.axis[2]);
    piece({d, h, w});
  }

 private:
  void backward(const ConvProblem& p) {
    if (squares_with_folds(p) || winograd_with_folds(p) || spread_with_zeros(p)) return;
    const BackwardPieces axis[3] = {backward_pieces(p.axis[0]), backward_pieces(p.axis[1]), backward_pieces(p.axis[2])};
    Piece both[2];
    const bool phases = WinogradPiece<T>::find_phases(c_, axis, both);
    if (const int64_t images = images_at_once(p); !phases && !total_ && images < p.mb) return in_turns(p, images);
    const bool lines = !phases && lines_of_phases(axis), skips = !lines && fill_if_skipped(p, axis);
    if (phases) {
      const PieceBox box{axis[0].set[0], both[0], both[1]};
      WinogradPiece<T> plan(c_, box, axis);
      follow(box, plan);
    }
    for_each_row_of_pieces(p, axis, [&](const Piece& d, const Piece& h, const Vector<Piece>& ws) {
      if ((phases || lines) && !ws.empty() && !PieceBox{d, h, ws[0]}.adds()) return;
      for (size_t i = ws.size() > 1 && both_phases({d, h, ws[0]}, {d, h, ws[1]}) ? 2 : 0; i < ws.size(); ++i)
        if (const PieceBox box{d, h, ws[i]}; !skips || box.taps() > 0) piece(box);
    });
  }

  // Images whose elements stay in the cache while the pieces of a stride, one after another, write to the same lines;
  // with weights that are little beside them. Pieces look at one image alone: no bit changes.
  int64_t images_at_once(const ConvProblem& p) const {
    const ConvAxis& w = p.axis[2];
    if (w.stride == 1 || w.in == 1) return p.mb;
    const int64_t image = c_.y.size() / p.mb, least = 4 * c_.rows.w.size();
    return ceil_div(std::max(least, kPassBytes / static_cast<int64_t>(sizeof(T))), image);
  }
  void in_turns(const ConvProblem& p, int64_t images) {
    for (int64_t n = 0; n < p.mb; n += images) {
      ConvProblem q = p;
      q.mb = std::min(images, p.mb - n);
      Operands<T> some = c_;
      some.x.data = moved(some.x.data, n * some.x.stride[0]);
      some.y.data += n * some.y.stride[0];
      some.x.shape[0] = some.y.shape[0] = q.mb;
      Pieces(some).backward(q);
    }
  }

  // Squares with what padding adds by one plan. False if padding adds nothing, or it is another sum.
  bool squares_with_folds(const ConvProblem& p) {
    if (!folds_squares<T>(p)) return false;
    const AxisFold fold_h = fold_of(p.axis[1]), fold_w = fold_of(p.axis[2]);
    if (fold_h.first < 0 && fold_w.first < 0) return false;
    const auto inner = [](ConvAxis a) {
      if (!circulates(a)) a.mode = Mode::zeros;
      return backward_pieces(a).set[0];
    };
    const Piece d = inner(p.axis[0]), h = inner(p.axis[1]), w = inner(p.axis[2]);
    const PieceBox box{d, h, w};
    if (WinogradPiece<T>::suits(c_, box) || !DepthwisePiece<T>::suits(c_, box, nullptr, true)) return false;
    DepthwisePiece<T> plan = DepthwisePiece<T>(c_, box).with_fold(fold_h, fold_w);
    follow(box, plan);
    return true;
  }

  // Winograd's squares with what padding adds to h and w by one plan. False if that is nothing, or it is another sum.
  bool winograd_with_folds(const ConvProblem& p) {
    const ConvAxis &h = p.axis[1], &w = p.axis[2];
    if (!(padding_adds(h) || padding_adds(w)) || p.axis[0].stride > 1) return false;
    const BackwardPieces d = backward_pieces(p.axis[0]);
    const Piece forward_h = forward_piece(h), forward_w = forward_piece(w);
    const PieceBox box{d.set[0], forward_h, forward_w};
    if (!WinogradPiece<T>::spreads(c_, box)) return false;
    WinogradPiece<T> plan(c_, box, true);
    const int64_t images = plan.images_at_once();
    if (images == 0) return false;
    if (!total_ && images < p.mb) return in_turns(p, images), true;
    follow(box, plan);
    if (d.add.empty()) return true;
    for (const Piece& pd : d.add)
      for (const Piece& ph : all_pieces(h, backward_pieces(h)))
        for (const Piece& pw : all_pieces(w, backward_pieces(w))) piece({pd, ph, pw});
    return true;
  }

  // Where a stride of two passes over the inputs between the taps of a 1x1 kernel, the direct engine can write the
  // zeros there beside its sums. False if it does not.
  bool spread_with_zeros(const ConvProblem& p) {
    const auto passes_over = [](const ConvAxis& a) { return a.stride == 2 && a.k == 1 && a.pad_before == 0; };
    const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
    if (!passes_over(w) || !(passes_over(h) || h.in == 1) || d.in > 1 || p.oc == 0 || c_.y.stride[4] != 1 ||
        c_.first_bias())
      return false;
    Piece all[3];
    for (int i = 0; i < 3; ++i) {
      if (p.axis[i].pad_before + p.axis[i].pad_after) return false;
      all[i] = backward_pieces(p.axis[i]).set[0];
    }
    all[1].whole = h.in, all[2].whole = w.in;
    const PieceBox box{all[0], all[1], all[2]};
    PiecePlan<T> plan = plan_piece(c_, box);
    auto* direct = std::get_if<DirectPiece<T>>(&plan);
    if (!direct || !direct->writes_zeros()) return false;
    follow(box, *direct);
    return true;
  }

  // Where a stride passes over the inputs between taps, y is filled at once beforehand, and pieces without taps are
  // left out: going along it in steps is slower.
  bool fill_if_skipped(const ConvProblem& p, const BackwardPieces (&axis)[3]) {
    bool skips = false;
    Piece all[3];
    for (int i = 0; i < 3; ++i) {
      for (const Piece& piece : axis[i].set) skips |= piece.map.taps() == 0;
      all[i].map.outputs = p.axis[i].in;
      all[i].map.offset.clear();
    }
    if (skips) piece({all[0], all[1], all[2]});
    return skips;
  }

  // The two phases of a stride of two along the width by one plan, so that y is written once. False if they are none,
  // or better computed one by one. Runs nothing if it is only `asked`.
  bool both_phases(const PieceBox& even, const PieceBox& odd, bool asked = false) {
    if (even.w.step != 2 || odd.w.step != 2 || even.adds() || even.outputs() == 0) return false;
    for (const PieceBox* box : {&even, &odd})
      if (WinogradPiece<T>::suits(c_, *box) || plan_fft_piece(c_, *box).applies()) return false;
    if (DepthwisePiece<T>::suits(c_, even, &odd.w)) {
      if (asked) return true;
      DepthwisePiece<T> plan(c_, even, &odd.w);
      return follow(even, plan), true;
    }
    if (c_.y.stride[4] != 1) return false;
    PhasePair<T> plan(c_, even, odd);
    if (plan.applies() && !asked) follow(even, plan);
    return plan.applies();
  }

  // All phases by the direct engine, of which y's lines are zipped. False if they are none, or better computed one by
  // one.
  bool lines_of_phases(const BackwardPieces (&axis)[3]) {
    if (!PhaseLines<T>::suits(c_, axis)) return false;
    const PhaseLines<T> lines(c_, axis);
    if (!lines.fits()) return false;
    const auto largest = [](const Vector<Piece>& set) -> const Piece& {
      return *std::max_element(set.begin(), set.end(),
                               [](const Piece& a, const Piece& b) { return a.map.taps() < b.map.taps(); });
    };
    const Vector<Piece>& ws = axis[2].set;
    const Piece &d = largest(axis[0].set), &h = largest(axis[1].set);
    if (both_phases({d, h, ws[0]}, {d, h, ws[1]}, true) || !takes_direct(c_, {d, h, largest(ws)})) return false;
    const ScratchMemory<T> memory(total_ ? 0 : lines.elements());
    ConvPlan all;
    for (int64_t i = 0; i < lines.phases(); ++i) {
      const Operands<T> own = lines.operands(i, memory.data());
      const Piece phase[3] = {lines.piece(i, 0), lines.piece(i, 1), lines.piece(i, 2)};
      DirectPiece<T> plan(own, {phase[0], phase[1], phase[2]});
      if (total_) add_part(all, plan.describe(), i == 0);
      else plan.run();
    }
    if (!total_) return lines.zip(memory.data()), true;
    all.shared_bytes += Arena::rounded_bytes<T>(lines.elements()) + lines.table_bytes();
    describe({d, h, ws[0]}, all);
    return true;
  }

  void piece(const PieceBox& box) {
    if (box.outputs() == 0 || (total_ && box.taps() == 0)) return;  // what only fills is not worth a word
    if (!cut_at_zeros(box)) whole_piece(box);
  }
  void whole_piece(const PieceBox& box) {
    PiecePlan<T> plan = plan_piece(c_, box);
    std::visit([&](auto& engine) { follow(box, engine); }, plan);
    if (const auto* image = std::get_if<DepthwisePiece<T>>(&plan)) {
      outputs(box, 0, image->line_begin());
      outputs(box, image->line_end(), box.w.map.outputs);
    }
  }
  // Where taps far apart meet many zeros around the source, the parts of an axis that do not by the direct algorithm,
  // if that is quicker. False if it is of no axis.
  bool cut_at_zeros(const PieceBox& box) {
    const double all = products(box);
    bool may_pay[3];
    if (box.adds() || !may_pay_to_cut(box, all, may_pay)) return false;
    Operands<T> some = c_;
    some.ready = nullptr;
    some.x.shape[0] = some.y.shape[0] = 1;
    FftPlan fft;
    const Engine engine = choose_engine(some, box, fft);
    if (engine != Engine::winograd && engine != Engine::direct) return false;
    // Vectors along a batch leave such taps out, too, and sum in the order of the parts.
    if (engine == Engine::direct && DirectPiece<T>(c_, box).in_batch_lanes())
      some.x.shape[0] = some.y.shape[0] = c_.images();
    const double in_place = engine == Engine::direct ? kWeightInPlace : 1;
    Pieces own(some, total_);
    PartsOfBox parts{box, {}};
    double best = own.cost_of(parts, in_place);
    if (best < kLessProducts * all * static_cast<double>(some.images())) return false;
    some.algorithm = Algorithm::direct;
    some.tails = false;
    bool cuts = false;
    for (int i = 0; i < 3; ++i)
      if (may_pay[i]) cuts |= own.cut_axis(i, in_place, parts, best);
    some.x.shape[0] = some.y.shape[0] = c_.images();
    if (cuts) parts.for_each([&](const PieceBox& part) { own.whole_piece(part); });
    return cuts;
  }
  bool cut_axis(int i, double in_place, PartsOfBox& parts, double& best) const {
    double most = (i == 0 ? kSlicesShare : kPartsShare) * best;
    for (int64_t outputs : kPartOutputs) {
      Vector<Piece> others = live_pieces(parts.box[i], outputs);
      others.swap(parts.axis[i]);
      const double cost = least_cost(parts) < most ? cost_of(parts, in_place) : most;  // planning takes time, too
      if (cost < most) best = most = cost;
      else others.swap(parts.axis[i]);
    }
    return !parts.axis[i].empty();
  }
  double weights_of_a_tap() const { return static_cast<double>(c_.rows.channels * c_.rows.rows * c_.rows.groups); }
  double products(const PieceBox& box) const {  // of an image
    return box.taps() * box.outputs() * weights_of_a_tap() / (2 * conv_kernels<T>().lanes);
  }
  double least_cost(const PartsOfBox& parts) const {
    double cost = 0;
    parts.for_each([&](const PieceBox& part) { cost += products(part) + kPart; });
    return cost;
  }
  double cost_of(const PartsOfBox& parts, double in_place) const {
    double cost = 0;
    parts.for_each([&](const PieceBox& part) {
      const double winograd = WinogradPiece<T>::cost(c_, part), weights = part.taps() * weights_of_a_tap();
      DirectPiece<T> direct(c_, part);
      cost += (winograd >= 0 || direct.packs() ? 1 : in_place) * weights + kPart;
      cost += winograd >= 0 ? winograd : direct.cost();
    });
    return cost;
  }
  void outputs(const PieceBox& box, int64_t begin, int64_t end) {
    if (begin == end) return;
    const Piece w = outputs_of(box.w, begin, end);
    piece({box.d, box.h, w});
  }

  template <class Engine>
  void follow(const PieceBox& box, Engine& plan) {
    if (!total_) return plan.run();
    describe(box, plan.describe());
  }
  void describe(const PieceBox& box, const ConvPlan& plan) {
    add_part(*total_, plan, box.outputs() > most_);
    most_ = std::max(most_, box.outputs());
  }

  const Operands<T>& c_;
  ConvPlan* const total_;
  double most_ = 0;  // outputs of a piece that was described
};

}  // namespace

template <class T>
void run_pieces(const ConvProblem& p, Direction direction, const Operands<T>& c) {
  Pieces<T>(c).all(p, direction);
}

template <class T>
ConvPlan describe_pieces(const ConvProblem& p, Direction direction, const Operands<T>& c) {
  ConvPlan plan;
  Pieces<T>(c, &plan).all(p, direction);
  return plan;
}

template <class T>
void make_ready(const ConvProblem& p, const Operands<T>& c, ReadyWeights<T>& to) {
  const Piece d = forward_piece(p.axis[0]), h = forward_piece(p.axis[1]), w = forward_piece(p.axis[2]);
  PiecePlan<T> plan = plan_piece<T>(c, {d, h, w});
  if (auto* winograd = std::get_if<WinogradPiece<T>>(&plan)) {
    if (winograd->keeps_weights()) winograd->make_ready(to);
    else DirectPiece<T>(c, {d, h, w}).make_ready(to);
  }
  if (const auto* direct = std::get_if<DirectPiece<T>>(&plan)) direct->make_ready(to);
}

#define FASTCONV_INSTANTIATE(T)                                                         \
  template void run_pieces(const ConvProblem&, Direction, const Operands<T>&);          \
  template ConvPlan describe_pieces(const ConvProblem&, Direction, const Operands<T>&); \
  template void make_ready(const ConvProblem&, const Operands<T>&, ReadyWeights<T>&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)

}  // namespace fastconv
