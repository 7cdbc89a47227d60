#include "conv/correlation.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/checked.hpp"
#include "base/parallel.hpp"
#include "conv/activation.hpp"
#include "conv/batch_lanes.hpp"
#include "conv/depthwise.hpp"
#include "conv/depthwise_lanes.hpp"
#include "conv/depthwise_spread.hpp"
#include "conv/fft.hpp"
#include "conv/gather.hpp"
#include "conv/index_map.hpp"
#include "conv/line_rows.hpp"
#include "conv/pieces.hpp"
#include "conv/rows.hpp"
#include "conv/tiny.hpp"
#include "conv/winograd.hpp"
#include "conv/winograd_border.hpp"
#include "fastconv/pad.hpp"
#include "kernels/depthwise.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kRowBytes = 4 << 20;  // packed weights at a time
constexpr double kBatchGain = 1.25;     // what vectors along a batch save besides their cost: edges of tiles
constexpr int64_t kMaxTaps = 2048;      // taps at a time: more would not leave the packed block its size

template <class T>
Vector<T> contiguous_bias(const View<const T>& bias) {
  Vector<T> b;
  if (bias.data)
    for (int64_t i = 0; i < bias.shape[0]; ++i) b.push_back(bias.data[i * bias.stride[0]]);
  return b;
}

constexpr int64_t kFoldBytes = 16 << 20;      // of padded input gradients at a time, unless one is larger
constexpr int64_t kWinogradBytes = 64 << 20;  // transformed weights at a time

// Whether padding adds to some of an input gradient.
bool padding_adds(const ConvProblem& p) {
  const auto adds = [](const ConvAxis& a) { return a.mode != Mode::zeros && a.pad_before + a.pad_after > 0; };
  return std::any_of(p.axis, p.axis + 3, adds);
}

// A correlation over pieces of the axes, by whichever algorithm suits each.
template <class T>
struct Correlation {
  Algorithm algorithm;
  GatherSum<T> sum;  // axes, a and the parts of x and y still to be filled in
  WeightRows<T> rows;
  Vector<T> bias;
  View<T> y;
  const T* transformed = nullptr;  // Winograd's transform of all weights, if it is at hand
  const ReadyWeights<T>* ready = nullptr;

  Correlation(const WeightRows<T>& weights, View<const T> x, View<const T> bias_view, View<T> out,
              Activation activation, Algorithm algorithm_)
      : algorithm(algorithm_), rows(weights), bias(contiguous_bias(bias_view)), y(out) {
    sum.x = x;
    sum.images = out.shape[0];
    sum.groups = weights.groups;
    sum.rows = weights.rows;
    sum.x_group = weights.channels;
    sum.low = clamp_low<T>(activation);
    sum.high = clamp_high<T>(activation);
    clamps = is_clamp(activation);
  }
  Vector<Piece> phases;         // the two pieces of the width that a stride of 2 makes of the input gradient
  Vector<WinogradEnd> ends[2];  // of an input gradient's h and w, where Winograd's border is all that padding adds
  bool phases_done = false;     // the second one with the first
  bool clamps = false;
  bool adding = false;  // to what y holds

  // The choice looks at one image and at no thread, so that a sample alone and in a batch are computed alike.
  bool use_winograd(const Piece& d, const Piece& h, const Piece& w) const {
    if (algorithm != Algorithm::automatic && algorithm != Algorithm::winograd) return false;
    const WinogradShape shape = winograd_shape(d.map, h.map, w.map);
    if (shape.taps == 0 || rows.channels == 0) return false;
    if (algorithm == Algorithm::winograd) return true;
    const int64_t outputs[3] = {d.map.outputs, h.map.outputs, w.map.outputs};
    if (!large_enough_for_winograd(shape, rows.rows, rows.channels, rows.groups * outputs[1] * outputs[2]))
      return false;
    const double direct = static_cast<double>(shape.products() * rows.groups * rows.rows) * rows.channels * outputs[0] *
                          outputs[1] * outputs[2] / (2 * conv_kernels<T>().lanes * 0.85);
    return winograd_cost<T>(shape, rows.groups, rows.rows, rows.channels, outputs) +
               (transformed ? 0 : weight_cost(shape, h, w)) <
           direct;
  }
  double weight_cost(const WinogradShape& shape, const Piece& h, const Piece& w) const {
    const bool all = h.map.taps() == rows.w.shape[3] && w.map.taps() == rows.w.shape[4];
    return winograd_weight_cost<T>(shape, rows.groups, rows.rows, rows.channels, all);
  }

  // Rows whose weights are transformed at a time: with several groups, all.
  int64_t winograd_rows(int64_t slices) const {
    if (rows.groups > 1 || transformed) return rows.rows;
    return std::min(
        rows.rows,
        std::max<int64_t>(
            8, kWinogradBytes / (kWinogradPlanes * slices * rows.channels * static_cast<int64_t>(sizeof(T))) / 8 * 8));
  }

  // Rows from m0 on. The offsets of h and w are to be ascending.
  WinogradSum<T> winograd_sum(const Piece& d, const Piece& h, const Piece& w, int64_t m0) const {
    WinogradSum<T> s;
    s.shape = winograd_shape(d.map, h.map, w.map);
    s.images = sum.images;
    s.groups = rows.groups;
    s.channels = rows.channels;
    s.rows = std::min(winograd_rows(s.shape.slices), rows.rows - m0);
    s.x = sum.x;
    s.y = y;
    s.y.data += m0 * y.stride[1];
    const Piece* pieces[3] = {&d, &h, &w};
    for (int i = 0; i < 3; ++i) {
      s.axis[i] = pieces[i]->map;
      s.y.data += pieces[i]->begin * y.stride[2 + i];
      s.y.stride[2 + i] *= pieces[i]->step;
    }
    s.w = rows.w.data + m0 * rows.row_stride();
    s.w_group = rows.group_stride();
    s.w_row = rows.row_stride();
    s.w_channel = rows.channel_stride();
    for (int64_t t : d.taps) s.slice.push_back(t * rows.w.stride[2]);
    int64_t* tap = s.tap;
    for (int64_t i : h.taps)
      for (int64_t j : w.taps) *tap++ = i * rows.w.stride[3] + j * rows.w.stride[4];
    s.bias = bias.empty() ? nullptr : bias.data() + m0;
    s.clamp = clamps;
    s.low = sum.low;
    s.high = sum.high;
    for (int i : {0, 1}) s.ends[i] = ends[i];
    return s;
  }

  // The weights are transformed once for all blocks, or, where there is but one, by the tasks as they come to them.
  void run_winograd_pieces(const Piece& d, const Piece& h, const Piece& w) {
    for (int64_t m0 = 0, n; m0 < rows.rows; m0 += n) {
      WinogradSum<T> s = winograd_sum(d, h, w, m0);
      n = s.rows;
      s.u = transformed;
      const WinogradPlan plan = plan_winograd(s);
      if (!transformed && !plan.transforms_weights) {
        T* u = reinterpret_cast<T*>(Arena::shared().reserve(
            Arena::rounded_bytes<T>(winograd_weight_size<T>(s.groups, s.rows, s.shape.slices * s.channels))));
        winograd_weights(s, plan.threads, u);
        s.u = u;
      }
      run_winograd(s, plan);
    }
  }

  // An input gradient, piece by piece. Where a stride passes over the inputs between taps, y is filled at once
  // beforehand: going along it in steps is slower.
  void run_pieces(const ConvProblem& p) {
    bool skips = false;
    Piece all[3];
    for (int i = 0; i < 3; ++i) {
      skips |= p.axis[i].stride > p.axis[i].k;
      all[i].map.outputs = p.axis[i].in;
      all[i].map.offset.clear();
    }
    if (skips) run(all[0], all[1], all[2]);
    for_each_gradient_piece(p, [&](const Piece& d, const Piece& h, const Piece& w) {
      if (!skips || d.map.taps() * h.map.taps() * w.map.taps() > 0) run(d, h, w);
    });
  }

  // Calls f(d, h, w) for the pieces of an input gradient: for one, if Winograd's border is all that padding adds.
  template <class F>
  void for_each_gradient_piece(const ConvProblem& p, F f) {
    if (padding_adds(p)) {
      const BackwardPieces d = backward_pieces(p.axis[0]), h = backward_pieces(p.axis[1]),
                           w = backward_pieces(p.axis[2]);
      if (find_ends(d, h, w)) return f(d.set[0], h.set[0], w.set[0]);
    }
    for_each_piece(p, Direction::backward_input, f);
  }

  bool find_ends(const BackwardPieces& d, const BackwardPieces& h, const BackwardPieces& w) {
    if (d.set.size() != 1 || h.set.size() != 1 || w.set.size() != 1 || !d.add.empty() ||
        !use_winograd(d.set[0], h.set[0], w.set[0]))
      return false;
    const WinogradShape shape = winograd_shape(d.set[0].map, h.set[0].map, w.set[0].map);
    if (shape.products() != 9 || shape.step[1] * shape.step[2] != 1) return false;
    const bool found = find_winograd_ends(h, ends[0]) && find_winograd_ends(w, ends[1]);
    if (!found) ends[0].clear(), ends[1].clear();
    return found;
  }

  FftAxes fft_axes(const Piece& d, const Piece& h, const Piece& w) const {
    return {{d.map, h.map, w.map}, sum.images, rows.groups, rows.channels, rows.rows};
  }
  // Does not apply unless it is to be used. Like Winograd's, the choice looks at one image and at no thread.
  FftPlan fft_plan(const Piece& d, const Piece& h, const Piece& w) const {
    const double taps = static_cast<double>(d.map.taps() * h.map.taps()) * w.map.taps();
    const double outputs = static_cast<double>(d.map.outputs * h.map.outputs) * w.map.outputs;
    if (!may_use_fft(algorithm, taps, taps * outputs * rows.groups * rows.rows * rows.channels)) return {};
    return choose_fft<T>(algorithm, fft_axes(d, h, w), false);
  }

  void run_fft_pieces(const Piece& d, const Piece& h, const Piece& w, const FftPlan& plan) const {
    FftSum<T> s{fft_axes(d, h, w),
                {rows.w.data, rows.group_stride(), rows.row_stride(), rows.channel_stride(), {}},
                sum.x,
                y,
                bias.empty() ? nullptr : bias.data(),
                clamps,
                sum.low,
                sum.high};
    const Piece* pieces[3] = {&d, &h, &w};
    for (int i = 0; i < 3; ++i) {
      s.y.data += pieces[i]->begin * y.stride[2 + i];
      s.y.stride[2 + i] *= pieces[i]->step;
      for (int64_t t : pieces[i]->taps) s.w.tap[i].push_back(t * rows.w.stride[2 + i]);
    }
    run_fft(s, plan);
  }

  // Rows of the image as the tile's rows. Like Winograd's, the choice looks at one image and at no thread.
  bool use_depthwise(const Piece& d, const Piece& h, const Piece& w) const {
    if (algorithm != Algorithm::automatic && algorithm != Algorithm::depthwise) return false;
    if (d.map.taps() != 1 || d.map.offset[0] != 0 || d.map.in != 1 || d.map.outputs != 1 || d.map.tabulated() ||
        h.map.tabulated() || w.map.tabulated())
      return false;
    if (w.step > 2 || (w.step == 2 && phases.size() != 2)) return false;
    // Of both phases, whichever is asked about: they go together, or neither does.
    const bool both = w.step == 2;
    const int64_t taps = h.map.taps() * (both ? phases[0].map.taps() + phases[1].map.taps() : w.map.taps()),
                  width = both ? phases[0].map.outputs + phases[1].map.outputs : w.map.outputs;
    if (rows.channels * taps > kMaxTaps) return false;
    return algorithm == Algorithm::depthwise ||
           (taps > 1 &&
            depthwise_pays<T>(rows.channels, rows.rows, rows.w.shape[3], h.map.outputs * h.step, width, w.map.stride));
  }

  // The same correlation with views of a line's rows.
  Correlation as_image(const LineRows& line, const Piece& w) const {
    Correlation image = *this;
    const auto cut = [&line](auto& view, int64_t first, int64_t step, int64_t columns) {
      view.data += first * view.stride[4];
      view.shape[3] = line.rows;
      view.stride[3] = line.row * step * view.stride[4];
      view.shape[4] = columns;
    };
    cut(image.sum.x, line.first, w.map.stride, line.w.map.in);
    cut(image.y, w.begin + line.begin, 1, line.row);
    return image;
  }

  // The two phases of a stride along the width go together, so that their outputs are stored in turn.
  DepthwiseSum<T> depthwise_sum(const Piece& h, const Piece& w) const {
    DepthwiseSum<T> s;
    s.images = sum.images;
    s.groups = rows.groups;
    s.channels = rows.channels;
    s.rows = rows.rows;
    s.h = h.map;
    s.w = w.map;
    s.x = sum.x;
    s.y = y;
    s.y.data += h.begin * y.stride[3];
    s.y.stride[3] *= h.step;
    s.y.shape[3] = h.map.outputs;
    Vector<int64_t> taps = w.taps;
    if (w.step == 1) {
      s.y.data += w.begin * y.stride[4];
      s.y.shape[4] = w.map.outputs;
    } else {
      s.phases = 2;
      s.w = phases[0].map;
      s.w.offset.insert(s.w.offset.end(), phases[1].map.offset.begin(), phases[1].map.offset.end());
      taps = phases[0].taps;
      taps.insert(taps.end(), phases[1].taps.begin(), phases[1].taps.end());
    }
    s.phase.assign(taps.size(), 0);
    if (s.phases > 1) std::fill(s.phase.begin() + static_cast<int64_t>(phases[0].taps.size()), s.phase.end(), 1);
    s.weights = rows.w.data;
    s.w_group = rows.group_stride();
    s.w_row = rows.row_stride();
    s.w_channel = rows.channel_stride();
    for (int64_t t : h.taps) s.h_tap.push_back(t * rows.w.stride[3]);
    for (int64_t t : taps) s.w_tap.push_back(t * rows.w.stride[4]);
    s.bias = bias.empty() ? nullptr : bias.data();
    s.clamp = clamps;
    s.low = sum.low;
    s.high = sum.high;
    return s;
  }

  void run_depthwise_pieces(const Piece& h, const Piece& w) const {
    if (w.step == 2 && w.begin != (phases[0].taps.empty() ? 1 : 0))
      return;  // a phase without taps may have been left out
    const DepthwiseSum<T> s = depthwise_sum(h, w);
    run_depthwise(s, plan_depthwise(s));
  }

  void describe_depthwise(const Piece& h, const Piece& w, bool main, ConvPlan& plan) const {
    if (w.step == 2 && w.begin != 0) return;
    const DepthwiseSum<T> s = depthwise_sum(h, w);
    const DepthwisePlan part = plan_depthwise(s);
    DepthwiseSum<T> apart = s;  // a caller's elements may be: then planes are packed
    apart.x.stride[4] = 2;
    plan.workspace_bytes = std::max(plan.workspace_bytes, plan_depthwise(apart).workspace_bytes);
    plan.cost += part.cost;
    if (!main) return;
    plan.algorithm = Algorithm::depthwise;
    plan.kernel = part.in_place ? "image rows" : "packed image rows";
    plan.mr = static_cast<int>(std::min<int64_t>(depthwise_kernels<T>().rows, s.h.outputs));
    plan.nr = conv_kernels<T>().lanes;
    plan.block_channels = s.channels;
    plan.block_pixels = part.planes * std::min(part.strip, s.h.outputs) * s.w.outputs;
    plan.threads = part.threads;
  }

  // Adds what run() would do to a plan; the tile and the blocks are those of the `main` piece.
  void describe(const Piece& d, const Piece& h, const Piece& w, bool main, ConvPlan& plan) {
    if (w.map.outputs == 0) return;
    const int64_t item = static_cast<int64_t>(sizeof(T));
    auto at_least = [](int64_t& value, int64_t least) { value = std::max(value, least); };
    if (use_winograd(d, h, w)) {
      const WinogradSum<T> s = winograd_sum(ascending(d), ascending(h), ascending(w), 0);
      const WinogradPlan part = plan_winograd(s);
      const int64_t outputs[3] = {d.map.outputs, h.map.outputs, w.map.outputs};
      at_least(plan.workspace_bytes, part.workspace_bytes);
      if (!part.transforms_weights)
        at_least(plan.shared_bytes, winograd_weight_size<T>(s.groups, s.rows, s.shape.slices * s.channels) * item);
      plan.cost +=
          static_cast<double>(s.images) * winograd_cost<T>(s.shape, rows.groups, rows.rows, rows.channels, outputs) +
          weight_cost(s.shape, h, w);
      if (!main) return;
      plan.algorithm = Algorithm::winograd;
      plan.kernel = s.shape.taps == 3 ? "F(4x4, 3x3)" : s.shape.taps == 5 ? "F(2x2, 5x5)" : "F(5x5, 2x2)";
      plan.mr = winograd_kernels<T>().tiles;
      plan.nr = winograd_kernels<T>().vectors * conv_kernels<T>().lanes;
      plan.block_channels = s.channels;
      plan.block_pixels = part.images * part.deep * part.down * part.across * s.shape.out() * s.shape.out();
      plan.threads = part.threads;
      return;
    }
    if (const FftPlan part = fft_plan(d, h, w); part.applies())
      return describe_fft(part, static_cast<double>(sum.images), main, plan);
    if (const LineRows line(h, w); line.rows) {
      const Correlation image = as_image(line, w);
      if (image.use_depthwise(d, line.h, line.w)) {
        describe(d, h, outputs_of(w, 0, line.begin), false, plan);
        describe(d, h, outputs_of(w, line.end(), w.map.outputs), false, plan);
        return image.describe_depthwise(line.h, line.w, main, plan);
      }
    }
    if (use_depthwise(d, h, w)) return describe_depthwise(h, w, main, plan);
    sum.y = y;
    const Piece* pieces[3] = {&d, &h, &w};
    TapBox taps;
    int64_t room = kMaxTaps;
    for (int i : {2, 1, 0}) {
      const int64_t n = std::max<int64_t>(1, std::min(pieces[i]->map.taps(), room));
      room = std::max<int64_t>(1, room / n);
      Piece part = with_taps(*pieces[i], 0, std::min(n, pieces[i]->map.taps()));
      taps.t[i] = part.taps;
      sum.axis[i] = std::move(part.map);
    }
    const bool tail = find_tail(
        taps, static_cast<double>(taps.size()) == static_cast<double>(d.map.taps()) * h.map.taps() * w.map.taps());
    if (const BatchPlan part = plan_batch(taps); part.cost >= 0) {
      at_least(plan.workspace_bytes, part.workspace_bytes);
      plan.cost += part.cost;
      if (!main) return;
      plan.algorithm = Algorithm::direct;
      plan.kernel = "batch lanes";
      plan.mr = part.mr;
      plan.nr = part.nr * conv_kernels<T>().lanes;
      plan.block_channels = rows.channels;
      plan.block_pixels = conv_kernels<T>().lanes * h.map.outputs * w.map.outputs;
      plan.threads = part.threads;
      return;
    }
    sum.channels = rows.channels;
    sum.packed = sum.packs = !tail && !rows.in_place(taps, part_pixels());
    const GatherPlan part = plan_gather(sum);
    const int64_t together = w.step == 2 ? 2 : 1;  // phases
    at_least(plan.workspace_bytes, together * part.workspace_bytes);
    if (sum.packed)
      at_least(plan.shared_bytes,
               std::min(kRowBytes, together * rows.groups * rows.rows * rows.channels * taps.size() * item));
    plan.cost += part.cost * (static_cast<double>(d.map.taps()) * h.map.taps() * w.map.taps()) /
                 std::max<double>(1, static_cast<double>(taps.size()));
    if (!main) return;
    plan.algorithm = Algorithm::direct;
    plan.kernel = rows.rows == 1 ? "packed rows" : part.columns ? "packed columns" : "packed";
    plan.mr = part.mr;
    plan.nr = part.nr * conv_kernels<T>().lanes;
    plan.block_channels = part.channels;
    plan.block_pixels = part.pixels();
    plan.threads = part.threads;
  }

  // The outputs of one piece of each axis. Taps beyond kMaxTaps are summed box after box; weights that must be packed
  // are packed kRowBytes at a time. Both cuts depend on the problem alone, as do the bits.
  void run(const Piece& d, const Piece& h, const Piece& w) {
    if (std::exchange(phases_done, false)) return;
    if (sum.images * sum.groups * sum.rows * d.map.outputs * h.map.outputs * w.map.outputs == 0) return;
    adding = d.adds || h.adds || w.adds;
    if (use_winograd(d, h, w)) return run_winograd_pieces(ascending(d), ascending(h), ascending(w));
    if (const FftPlan plan = fft_plan(d, h, w); plan.applies()) return run_fft_pieces(d, h, w, plan);
    if (const LineRows line(h, w); line.rows) {
      Correlation image = as_image(line, w);
      if (image.use_depthwise(d, line.h, line.w)) {
        image.run_depthwise_pieces(line.h, line.w);
        run(d, h, outputs_of(w, 0, line.begin));
        return run(d, h, outputs_of(w, line.end(), w.map.outputs));
      }
    }
    if (use_depthwise(d, h, w)) return run_depthwise_pieces(h, w);
    if (w.step == 2 && w.begin == 0 && run_phases(d, h)) {
      phases_done = true;
      return;
    }
    const Piece* pieces[3] = {&d, &h, &w};
    int64_t room = kMaxTaps, most[3], count[3];
    aim(pieces);
    for (int i : {2, 1, 0}) {
      const Piece& piece = *pieces[i];
      most[i] = std::max<int64_t>(1, std::min(piece.map.taps(), room));
      room = std::max<int64_t>(1, room / most[i]);
      count[i] = std::max<int64_t>(1, ceil_div(piece.map.taps(), most[i]));
    }
    sum.spreads = y.stride[4] == 1 && w.step == 2;
    const int64_t boxes = count[0] * count[1] * count[2];
    for (int64_t b = 0; b < boxes; ++b) {
      const int64_t at[3] = {b / (count[1] * count[2]), b / count[2] % count[1], b % count[2]};
      TapBox taps;
      for (int i = 0; i < 3; ++i) {
        const int64_t all = pieces[i]->map.taps(), t0 = at[i] * most[i];
        Piece part = count[i] == 1 ? *pieces[i] : with_taps(*pieces[i], t0, std::min(all, t0 + most[i]));
        taps.t[i] = part.taps;
        sum.axis[i] = std::move(part.map);
      }
      run_taps(taps, b == 0, b == boxes - 1);
    }
  }

  // The weights of a forward call as its algorithm reads them, if that is Winograd's or the direct one.
  void make_ready(const Piece& d, const Piece& h, const Piece& w, ReadyWeights<T>& to) {
    transformed = rows.w.data;  // as if it were at hand
    if (use_winograd(d, h, w)) {
      const WinogradSum<T> s = winograd_sum(d, h, w, 0);
      to.transformed = to.reserve(winograd_weight_size<T>(s.groups, s.rows, s.shape.slices * s.channels));
      return winograd_weights(s, 1, const_cast<T*>(to.transformed));
    }
    const TapBox taps{{d.taps, h.taps, w.taps}};
    if (taps.size() > kMaxTaps || fft_plan(d, h, w).applies() || use_depthwise(d, h, w)) return;
    sum.axis[0] = d.map, sum.axis[1] = h.map, sum.axis[2] = w.map;
    sum.channels = rows.channels;
    sum.packed = true;
    const GatherPlan plan = plan_gather(sum);
    to.tile_rows = plan.columns ? 0 : plan.mr;
    to.rows = to.reserve(rows.groups * round_up(rows.rows, plan.row_unit) * rows.channels * taps.size());
    rows.pack(taps, 0, rows.channels, plan, 1, const_cast<T*>(to.rows));
  }

 private:
  // y of one piece of each axis.
  void aim(const Piece* const (&pieces)[3]) {
    sum.y = y;
    for (int i = 0; i < 3; ++i) {
      sum.y.data += pieces[i]->begin * y.stride[2 + i];
      sum.y.shape[2 + i] = pieces[i]->map.outputs;
      sum.y.stride[2 + i] *= pieces[i]->step;
    }
  }

  // Both phases of the width, so that y is written once; false if they are better computed one by one.
  bool run_phases(const Piece& d, const Piece& h) {
    if (phases.size() != 2 || phases[1].map.outputs == 0 || y.stride[4] != 1 || adding) return false;
    GatherSum<T> s[2];
    GatherPlan plan[2];
    int64_t size[2];
    TapBox taps[2];
    for (int i : {0, 1}) {
      const Piece& w = phases[static_cast<size_t>(i)];
      if (use_winograd(d, h, w) || fft_plan(d, h, w).applies()) return false;
      taps[i] = {{d.taps, h.taps, w.taps}};
      const int64_t count = taps[i].size();
      size[i] = rows.groups * round_up(rows.rows, conv_kernels<T>().lanes) * rows.channels * count;
      aim({&d, &h, &w});
      sum.axis[0] = d.map, sum.axis[1] = h.map, sum.axis[2] = w.map;
      sum.tail = 0;
      if (count == 0 || count > kMaxTaps || rows.in_place(taps[i], part_pixels()) || plan_batch(taps[i]).cost >= 0)
        return false;
      sum.packed = sum.packs = true;
      sum.a_tap = all_taps(count);
      sum.a_channel = count;
      sum.a_row = rows.channels * count;
      sum.a_group = size[i] / rows.groups;
      sum.channels = rows.channels;
      sum.accumulate = false;
      sum.bias = bias.empty() ? nullptr : bias.data();
      sum.clamp = clamps;
      s[i] = sum;
    }
    if ((size[0] + size[1]) * static_cast<int64_t>(sizeof(T)) > kRowBytes || !plan_pair(s, plan)) return false;
    T* a = reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(size[0] + size[1])));
    for (int i : {0, 1}) {
      s[i].a = a + i * size[0];
      rows.pack(taps[i], 0, rows.channels, plan[i], pack_threads(plan[i], size[i]), a + i * size[0]);
    }
    run_pair(s, plan);
    return true;
  }

  double part_pixels() const {
    return static_cast<double>(sum.images) * sum.axis[0].outputs * sum.axis[1].outputs * sum.axis[2].outputs;
  }

  static int pack_threads(const GatherPlan& plan, int64_t elements) {
    return plan.splits_rows ? plan.threads : threads_for(4.0 * static_cast<double>(elements));
  }

  void read_in_place(const TapBox& taps) {
    sum.a = rows.w.data;
    sum.a_row = rows.row_stride();
    sum.a_group = rows.group_stride();
    sum.a_channel = rows.channel_stride();
    sum.a_tap = rows.tap_offsets(taps);
    sum.packed = sum.packs = false;
  }

  // Before anything of the sum is planned: whether it has a tail, whose weights are read in place.
  bool find_tail(const TapBox& taps, bool only) {
    sum.tail = 0;
    if (!only || adding || rows.transposed) return false;
    read_in_place(taps);
    sum.channels = rows.channels;
    sum.tail = rows.can_stand(taps) ? tail_pixels(sum) : 0;
    return sum.tail > 0;
  }

  // Vectors along the batch, if that is quicker than along an image. Both give the same bits.
  BatchPlan plan_batch(const TapBox& taps) {
    if (adding || sum.tail || sum.images < conv_kernels<T>().lanes) return {};
    read_in_place(taps);
    sum.channels = rows.channels;
    const BatchPlan plan = plan_batch_lanes(sum);
    sum.packed = true;
    return plan.cost >= 0 && plan.cost < kBatchGain * plan_gather(sum).cost ? plan : BatchPlan{};
  }

  void run_taps(const TapBox& taps, bool first, bool last) {
    const int64_t channels = rows.channels,
                  a_channel = rows.groups * round_up(rows.rows, conv_kernels<T>().lanes) * taps.size();
    const bool tail = find_tail(taps, first && last);
    if (const BatchPlan plan = first && last ? plan_batch(taps) : BatchPlan{}; plan.cost >= 0) {
      sum.bias = bias.empty() ? nullptr : bias.data();
      sum.clamp = clamps;
      return run_batch_lanes(sum, plan);
    }
    if (tail || rows.in_place(taps, part_pixels())) {
      read_in_place(taps);
      run_channels(0, channels, first, last, [](const GatherPlan&) {});
      return;
    }
    sum.packed = true;
    sum.a_tap = all_taps(taps.size());
    sum.a_channel = taps.size();
    if (ready && ready->rows && first && last && run_ready()) return;
    sum.packs = true;
    const int64_t most = std::max<int64_t>(
        1, std::min(channels, kRowBytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, a_channel)));
    for (int64_t c0 = 0; c0 == 0 || c0 < channels; c0 += most) {
      const int64_t n = std::min(most, channels - c0);
      T* a = reinterpret_cast<T*>(Arena::shared().reserve(Arena::rounded_bytes<T>(n * a_channel + 1)));
      sum.a = a;
      sum.a_row = n * taps.size();
      run_channels(c0, n, first && c0 == 0, last && c0 + n >= channels, [&](const GatherPlan& plan) {
        sum.a_group = round_up(rows.rows, plan.row_unit) * sum.a_row;
        rows.pack(taps, c0, n, plan, pack_threads(plan, n * a_channel), a);
      });
    }
  }

  // False if the tiles of this image are others than those the weights were packed for.
  bool run_ready() {
    sum.a = ready->rows;
    sum.a_row = rows.channels * sum.a_channel;
    sum.packed_rows = ready->tile_rows;
    const GatherPlan plan = plan_channels(0, rows.channels, true, true);
    sum.packed_rows = 0;
    if (plan.columns != (ready->tile_rows == 0)) return false;
    sum.a_group = round_up(rows.rows, plan.row_unit) * sum.a_row;
    run_gather(sum, plan);
    return true;
  }

  template <class F>
  void run_channels(int64_t c0, int64_t n, bool first, bool last, F prepare) {
    const GatherPlan plan = plan_channels(c0, n, first, last);
    prepare(plan);
    run_gather(sum, plan);
  }

  GatherPlan plan_channels(int64_t c0, int64_t n, bool first, bool last) {
    sum.x_first = c0;
    sum.channels = n;
    sum.accumulate = adding || !first;
    sum.bias = first && !adding && !bias.empty() ? bias.data() : nullptr;
    sum.clamp = last && clamps;
    return plan_gather(sum);
  }
};

template <class T>
Correlation<T> forward_correlation(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias,
                                   View<T> y, Activation activation, Algorithm algorithm) {
  return {{w, p.groups, p.oc / p.groups, p.ic / p.groups, false}, x, bias, y, activation, algorithm};
}

template <class T>
Correlation<T> backward_correlation(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias,
                                    View<T> dx, Activation activation, Algorithm algorithm) {
  Correlation<T> correlation({w, p.groups, p.ic / p.groups, p.oc / p.groups, true}, dy, bias, dx, activation,
                             algorithm);
  if (p.axis[2].stride == 2) correlation.phases = backward_pieces(p.axis[2]).set;
  return correlation;
}

// What use_depthwise() says of a forward call, without pieces.
template <class T>
bool forward_is_depthwise(const ConvProblem& p) {
  const ConvAxis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  const int64_t channels = p.ic / p.groups;
  return d.in == 1 && d.k == 1 && d.out == 1 && d.pad_before == 0 && p.taps() > 1 && channels * p.taps() <= kMaxTaps &&
         depthwise_pays<T>(channels, p.oc / p.groups, h.k, h.out, w.out, w.stride);
}

// A tiny problem summed as the larger ones like it are, so that a sample has the same bits alone and in a batch: the
// depthwise tile goes along the width first. False if an axis is summed in another order than that of the taps.
template <class T>
bool run_tiny_alike(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y,
                    Activation activation) {
  const bool lanes = use_lanes<T>(p, Direction::forward, Algorithm::automatic);
  if (lanes && p.axis[2].stride > 1) return false;
  if (lanes || sums_squares<T>(forward_axis(p.axis[1]), forward_axis(p.axis[2]), p.ic / p.groups, 1) ||
      !forward_is_depthwise<T>(p)) {
    run_tiny(p, x, w, bias, y, activation);
    return true;
  }
  if (p.axis[1].stride > 1) return false;
  ConvProblem turned = p;
  std::swap(turned.axis[1], turned.axis[2]);
  const auto turn = [](auto& v) { std::swap(v.shape[3], v.shape[4]), std::swap(v.stride[3], v.stride[4]); };
  turn(x), turn(w), turn(y);
  run_tiny(turned, x, w, bias, y, activation);
  return true;
}

// A contiguous view of a shape, of no memory.
template <class T>
View<T> imagined(int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
  View<T> v;
  const int64_t shape[5] = {n, c, d, h, w};
  int64_t step = 1;
  for (int i = 4; i >= 0; --i) v.shape[i] = shape[i], v.stride[i] = step, step *= shape[i];
  return v;
}

// An input gradient of padded inputs, to be folded into that of the inputs: where an algorithm works on large tiles,
// the border is cheaper as part of them than by table.
struct Fold {
  ConvProblem wide;  // of the padded input
  PadProblem pad;
  explicit Fold(const ConvProblem& p) : wide(p) {
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
  bool widens() const {
    return pad.axis[2].out() * pad.axis[3].out() * pad.axis[4].out() > pad.axis[2].in * pad.axis[3].in * pad.axis[4].in;
  }
  // Images at a time, by one image alone.
  int64_t image_elements() const { return wide.ic * wide.axis[0].in * wide.axis[1].in * wide.axis[2].in; }
  template <class T>
  int64_t images() const {
    return std::max<int64_t>(1, std::min(wide.mb, kFoldBytes / (image_elements() * static_cast<int64_t>(sizeof(T)))));
  }
};

template <class T>
bool pays_to_fold(const Fold& fold, Algorithm algorithm) {
  const ConvProblem& p = fold.wide;
  if (!fold.widens() || (algorithm != Algorithm::automatic && algorithm != Algorithm::fft) || p.mb == 0 ||
      fold.image_elements() == 0)
    return false;
  const Correlation<T> wide = backward_correlation<T>(p, {}, {}, {}, {}, Activation::none, algorithm);
  return wide
      .fft_plan(backward_pieces(p.axis[0]).set[0], backward_pieces(p.axis[1]).set[0], backward_pieces(p.axis[2]).set[0])
      .applies();
}

template <class T>
void correlate_folded(const Fold& fold, View<const T> dy, View<const T> w, View<T> dx, Algorithm algorithm) {
  const ConvProblem& p = fold.wide;
  const int64_t most = fold.images<T>();
  const size_t size = static_cast<size_t>(most * fold.image_elements());
  ScratchAllocator<T> allocator;
  const auto give_back = [&](T* data) { allocator.deallocate(data, size); };
  const std::unique_ptr<T, decltype(give_back)> memory(allocator.allocate(size), give_back);
  View<T> wide = imagined<T>(most, p.ic, p.axis[0].in, p.axis[1].in, p.axis[2].in);
  wide.data = memory.get();
  for (int64_t n = 0; n < p.mb; n += most) {
    wide.shape[0] = dy.shape[0] = dx.shape[0] = std::min(most, p.mb - n);
    Correlation<T> correlation = backward_correlation<T>(p, dy, w, {}, wide, Activation::none, algorithm);
    correlation.run_pieces(p);
    pad_backward<T>(fold.pad, wide, dx);
    dy.data += most * dy.stride[0];
    dx.data += most * dx.stride[0];
  }
}

}  // namespace

template <class T>
void correlate_forward(const ConvProblem& p, View<const T> x, View<const T> w, View<const T> bias, View<T> y,
                       Activation activation, Algorithm algorithm, const ReadyWeights<T>* ready) {
  if (algorithm == Algorithm::automatic && is_tiny(p) && run_tiny_alike(p, x, w, bias, y, activation)) {
    if (!is_clamp(activation)) apply_activation(activation, y);
    return;
  }
  if (use_lanes<T>(p, Direction::forward, algorithm)) {
    run_lanes<T>(p, Direction::forward,
                 {x, w, bias, y, is_clamp(activation), clamp_low<T>(activation), clamp_high<T>(activation)});
    if (!is_clamp(activation)) apply_activation(activation, y);
    return;
  }
  Correlation<T> correlation = forward_correlation(p, x, w, bias, y, activation, algorithm);
  if (ready) correlation.ready = ready, correlation.transformed = ready->transformed;
  for_each_piece(p, Direction::forward,
                 [&](const Piece& d, const Piece& h, const Piece& v) { correlation.run(d, h, v); });
  if (!is_clamp(activation)) apply_activation(activation, y);
}

template <class T>
void correlate_backward(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
                        Activation activation, Algorithm algorithm) {
  if (const Fold fold(p); !bias.data && pays_to_fold<T>(fold, algorithm)) {
    correlate_folded(fold, dy, w, dx, algorithm);
    return apply_activation(activation, dx);
  }
  if (use_lanes<T>(p, Direction::backward_input, algorithm)) {
    run_lanes<T>(p, Direction::backward_input, {dy, w, bias, dx});
    return apply_activation(activation, dx);  // behind what padding adds
  }
  if (use_spread<T>(p, algorithm)) {
    run_spread(p, dy, w, bias, dx);
    return apply_activation(activation, dx);
  }
  Correlation<T> correlation = backward_correlation(p, dy, w, bias, dx, activation, algorithm);
  const bool adds = padding_adds(p);  // then the activation waits for the last piece
  if (adds) correlation.clamps = false;
  correlation.run_pieces(p);
  if (adds || !is_clamp(activation)) apply_activation(activation, dx);
}

template <class T>
std::shared_ptr<const ReadyWeights<T>> make_ready(const ConvProblem& p, View<const T> w, Algorithm algorithm) {
  ConvProblem large = p;  // an image on which Winograd's algorithm pays if it ever does
  large.mb = 1;
  for (ConvAxis& a : large.axis) {
    a.in = 16 * a.k * a.dilation;
    a.pad_before = a.pad_after = 0;
    a.mode = Mode::zeros;
    a.out = conv_output_size(a);
  }
  large.axis[0].out = 1;
  const auto x = imagined<T>(1, large.ic, large.axis[0].in, large.axis[1].in, large.axis[2].in);
  const auto y = imagined<T>(1, large.oc, 1, large.axis[1].out, large.axis[2].out);
  Correlation<T> correlation = forward_correlation<T>(large, x, w, {}, y, Activation::none, algorithm);
  auto ready = std::make_shared<ReadyWeights<T>>();
  if (!use_lanes<T>(large, Direction::forward, algorithm))
    correlation.make_ready(forward_piece(large.axis[0]), forward_piece(large.axis[1]), forward_piece(large.axis[2]),
                           *ready);
  return ready;
}

template <class T>
ConvPlan plan_correlation(const ConvProblem& problem, Direction direction, Algorithm algorithm) {
  const bool forward = direction == Direction::forward;
  if (use_lanes<T>(problem, direction, algorithm)) return plan_lanes<T>(problem, direction);
  if (!forward && use_spread<T>(problem, algorithm)) return plan_spread<T>(problem);
  const Fold fold(problem);
  const bool folds = !forward && pays_to_fold<T>(fold, algorithm);
  const ConvProblem& p = folds ? fold.wide : problem;
  const auto x = imagined<T>(p.mb, p.ic, p.axis[0].in, p.axis[1].in, p.axis[2].in);
  const auto y = imagined<T>(p.mb, p.oc, p.axis[0].out, p.axis[1].out, p.axis[2].out);
  const View<const T> w = imagined<T>(p.oc, p.ic / p.groups, p.axis[0].k, p.axis[1].k, p.axis[2].k);
  Correlation<T> correlation = forward ? forward_correlation<T>(p, x, w, {}, y, Activation::none, algorithm)
                                       : backward_correlation<T>(p, y, w, {}, x, Activation::none, algorithm);
  ConvPlan plan;
  double most = -1;
  const auto describe = [&](const Piece& pd, const Piece& ph, const Piece& pw) {
    const double work = static_cast<double>(pd.map.outputs) * ph.map.outputs * pw.map.outputs;
    if (work > 0) correlation.describe(pd, ph, pw, work > most, plan);
    most = std::max(most, work);
  };
  if (forward) for_each_piece(p, direction, describe);
  else correlation.for_each_gradient_piece(p, describe);
  if (folds) plan.shared_bytes += fold.images<T>() * fold.image_elements() * static_cast<int64_t>(sizeof(T));
  return plan;
}

#define FASTCONV_INSTANTIATE(T)                                                                              \
  template void correlate_forward(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>,  \
                                  Activation, Algorithm, const ReadyWeights<T>*);                            \
  template std::shared_ptr<const ReadyWeights<T>> make_ready(const ConvProblem&, View<const T>, Algorithm);  \
  template ConvPlan plan_correlation<T>(const ConvProblem&, Direction, Algorithm);                           \
  template void correlate_backward(const ConvProblem&, View<const T>, View<const T>, View<const T>, View<T>, \
                                   Activation, Algorithm);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
