#include "conv/weight/plan.hpp"

#include <cmath>
#include <cstdlib>

#include "conv/pieces/piece.hpp"
#include "conv/sum_parts.hpp"
#include "kernels/conv.hpp"

namespace fastconv {
namespace {

constexpr int64_t kSumBytes = 384 << 10;    // partial sums of a task
constexpr int64_t kBlockBytes = 384 << 10;  // x
constexpr int64_t kMostPixels = 4096;       // of a block
constexpr int64_t kPartPixels = 256;        // of a part of the sum, at least
constexpr double kLeastLive = 2;            // outputs that meet x, a tap, for which tiles are worth their calls
constexpr double kApart = 0.94;             // what taps apart must promise
constexpr double kDotsPromise = 0.92;       // what dots must, where outputs fill vectors
constexpr double kJoining = 1.05;           // what packed rows must promise: caches hold fewer of them
constexpr int64_t kDotImages = 512;         // pixels of several images for dots, whose blocks go from image to image

// Cycles, fitted to four hundred random layers and networks' on two rungs, whose quartiles are within a twentieth
// (dots: a tenth). Of a byte of x, padded for all taps, and of one of dy, transposed:
constexpr double kCopying = 0.14, kTransposing = 0.12;
// Of a vector of sums, to be loaded and stored by a tile, and to be stored in dw.
constexpr double kCalling = 6.5, kStoring = 4;
// What products take more: with one vector a tile on rungs of two a cycle, in the largest tile of dots, in others.
constexpr double kOneVector = 1.35, kFullDots = 1.25, kDots = 1.5;
// And for each line of x more that the taps of a tile of dots meet, which a stride puts apart.
constexpr double kDotLine = 0.1;
// Of taps apart: a list of pixels, and each of its lines; a line of x that a tap reads anew; a tile's pixel at least.
constexpr double kList = 200, kListLine = 12, kLine = 1, kLeastPixel = 4;

}  // namespace

WeightPlan::WeightPlan(const ConvProblem& problem, int64_t vector_lanes, int64_t item_bytes, bool turned_)
    : p(problem),
      lanes(vector_lanes),
      item(item_bytes),
      axis{forward_axis(p.axis[0]), forward_axis(p.axis[1]), forward_axis(p.axis[2])},
      turned(turned_) {
  bool zeros = true;
  for (int i = 0; i < 3; ++i) {
    const AxisMap& a = axis[i];
    zeros &= a.mode == Mode::zeros;
    if (a.offset[0] >= 0 && a.offset[0] + span(i, a.outputs) <= a.in) continue;
    inside = false;
    int64_t meet = 0;
    for (int64_t offset : a.offset) meet += live_outputs(a, offset).size();
    share *= static_cast<double>(meet) / static_cast<double>(a.outputs * a.taps());
  }
  oc = p.oc / p.groups;
  ic = p.ic / p.groups;
  taps = p.taps();
  choose_tile(zeros);
  threads = threads_for(2 * p.macs());
  cut_outputs_and_channels();
  grow_block();
  transposes = ceil_div(ic, channels);
  cut_for_threads();
}

void WeightPlan::choose_tile(bool zeros) {
  const double pixels = static_cast<double>(p.mb * p.out_pixels());
  const double rows = dots_cycles(pixels, false), joined = dots_cycles(pixels, true);
  double outer = outer_cycles(pixels);
  expand[2] = kJoining * joined < rows;
  const bool must_be_apart = turned && taps > 1;
  apart = must_be_apart;
  if (taps > 1 && !turned && zeros && !inside && repays_apart()) {
    const double read = pixels * static_cast<double>(ic * axis[0].stride * axis[1].stride * axis[2].stride),
                 alone = apart_cycles(pixels, panels(pixels), pixels);
    apart = alone < kApart * (outer + kCopying * static_cast<double>(item) * read);
    if (apart) outer = alone;
  }
  dots = !must_be_apart && (expand[2] ? joined : rows) < (oc < lanes ? 1 : kDotsPromise) * outer;
  apart &= !dots;
  for (int i = 0; i < 3 && apart; ++i) {
    live[i].reserve(axis[i].offset.size());
    for (int64_t offset : axis[i].offset) live[i].push_back(live_outputs(axis[i], offset));
  }
}

void WeightPlan::cut_outputs_and_channels() {
  outputs = dots ? std::min<int64_t>(oc, 64) : std::min<int64_t>(round_up(oc, lanes), 1024 / item);
  if (apart) {  // so few that enough rows fill tiles
    const int64_t most = std::min(outputs, kSumBytes / item / taps / std::min<int64_t>(ic, 16));
    outputs = round_up(ceil_div(oc, ceil_div(oc, std::max(most, kMaxOuterVectors * lanes))), lanes);
  }
  while (dots && outputs > 4 && outputs * taps * lanes > kSumBytes / item) outputs = ceil_div(outputs, 2);
  width = dots    ? outputs * lanes
          : apart ? (outputs / lanes | 1) * lanes  // or rows of many taps would meet in the L1 cache
                  : outputs;
  channels = std::min(ic, kSumBytes / item / (taps * width));
  if (dots) channels = std::min(channels, kBlockBytes / item / worth_while_block());
  channels = std::max<int64_t>(1, channels);
  channels = ceil_div(ic, ceil_div(ic, channels));
}

// Elements a channel of a block that repays reading and writing the sums, and what it shares with the next one.
int64_t WeightPlan::worth_while_block() const {
  int64_t e[3] = {1, 1, std::min(p.axis[2].out, kDotPixels)};
  const int64_t lines = std::max(kDotPixels / e[2], 2 * (span(1, 1) - 1) / axis[1].stride);
  e[1] = std::clamp<int64_t>(lines, 1, p.axis[1].out);
  return block_elements(1, e);
}

// Parts of the sum where tasks are few, each large enough to be worth its own sums. A block is no more than a part.
void WeightPlan::grow_block() {
  const int64_t all = p.mb * p.out_pixels();
  parts = parts_of_sums(tasks(), all / kPartPixels, 2 * p.macs() / static_cast<double>(tasks()));
  const int64_t pixels =
      std::max<int64_t>(1, std::min<int64_t>(ceil_div(all, parts), dots && joined_rows() ? kDotPixels : kMostPixels));
  auto fits = [&](int64_t n, const int64_t* e) {
    if (dots && n > 1 && n * p.out_pixels() > kDotImages) return false;
    if (apart) return panel_pixels(n, e) * std::min(outputs, kMaxOuterVectors * lanes) <= kOuterPanelBytes / item;
    return n * e[0] * e[1] * e[2] <= pixels && block_elements(n, e) * channels <= kBlockBytes / item;
  };
  extent[2] = std::min(p.axis[2].out, pixels);
  while (extent[2] > 16 && !fits(1, extent)) extent[2] = ceil_div(extent[2], 2);
  for (int i : {1, 0}) {
    if (i == 0 && extent[1] < p.axis[1].out) break;
    extent[i] = largest(1, p.axis[i].out, [&](int64_t more) {
      int64_t e[3] = {extent[0], extent[1], extent[2]};
      e[i] = more;
      return fits(1, e);
    });
  }
  if (extent[0] == p.axis[0].out && extent[1] == p.axis[1].out && extent[2] == p.axis[2].out)
    images = largest(1, p.mb, [&](int64_t more) { return fits(more, extent); });
  parts = std::min(parts, blocks());
  if (!inside && !apart)
    copying = kCopying * static_cast<double>(item * blocks() * ceil_div(oc, outputs) * p.ic) *
              static_cast<double>(block_elements(images, extent));
}

// For the threads' sake: no sum changes.
void WeightPlan::cut_for_threads() {
  while (parts == 1 && threads > 1 && tasks() < 2 * threads && (channels > 8 || (channels > 1 && taps > 8)))
    channels = ceil_div(channels, 2);
  if (channels < ic || outputs < oc) return;
  group_count = std::max<int64_t>(1, std::min(p.groups, kSumBytes / item / sum_elements()));
  if (threads > 1) group_count = std::min(group_count, ceil_div(p.groups, 4 * threads));
  if (parts > 1) group_count = 1;
}

// What a block takes of the cache, a channel. Of x itself nothing but the lines that are read.
int64_t WeightPlan::block_elements(int64_t n, const int64_t* e) const {
  if (dots) return block_channel_size(axis, n, e, expand);
  if (inside && taps == 1) return n * e[0] * e[1] * e[2] * std::min<int64_t>(axis[2].stride, 16);
  return n * span(0, e[0]) * span(1, e[1]) * span(2, e[2]);
}

// Of vectors of 64 bytes one product a cycle, of others two.
double WeightPlan::product_cycles() const { return lanes * item == 64 ? 1.05 : 0.52; }

double WeightPlan::panels(double pixels) const {
  const double wide = static_cast<double>(std::min(oc, kMaxOuterVectors * lanes));
  return std::ceil(pixels * wide / static_cast<double>(kOuterPanelBytes / item));
}

// Estimated cycles of a group for so many pixels: the products, by how well they fill the vectors and the tile, what
// dy takes to be read or transposed, and storing the sums. Of `joined` rows x is packed once for each tap of the width.
double WeightPlan::dots_cycles(double pixels, bool joined) const {
  const double sums = static_cast<double>(oc * ic * taps), wide = static_cast<double>(lanes),
               width = static_cast<double>(p.axis[2].out), plane = static_cast<double>(p.axis[1].out) * width,
               row = joined || joined_rows() ? plane : width,
               calls = pixels / std::min<double>(plane, joined ? kDotPixels : kDotPixels / 2);
  const double residues = static_cast<double>(ic * (axis[1].stride * axis[2].stride - 1));
  const double copies = joined ? 6 * pixels / width * (1 + width / wide) * static_cast<double>(ic * p.axis[2].k) : 0;
  const auto& single = conv_kernels<float>();
  const bool full = oc > 2 && (single.dot[kMaxDotRows - 1][0] || (item == sizeof(float) && single.has_three_taps()));
  const double product = ((full ? kFullDots : kDots) +
                          kDotLine * static_cast<double>(std::min<int64_t>(axis[2].stride, kMaxVectors) - 1)) *
                         product_cycles();
  return sums * (pixels / row * (product * std::ceil(row / wide) + 0.44) + 3 * calls + 4) + 0.6 * residues * pixels +
         copies;
}

// Tiles of one vector are slower, where the rung's are short.
double WeightPlan::outer_product(bool one) const {
  return product_cycles() * (one && lanes * item < 64 ? kOneVector : 1);
}

double WeightPlan::outer_cycles(double pixels) const {
  const double vectors = static_cast<double>(ceil_div(oc, lanes) * ic * taps);
  return vectors * (pixels * outer_product(oc <= lanes) + kCalling * panels(pixels) + (turned ? 0 : kStoring)) +
         kTransposing * static_cast<double>(item) * pixels * static_cast<double>(oc);
}

// Every block loads and stores all sums, and makes the list of each tap's outputs, unless all panels share it.
double WeightPlan::apart_cycles(double pixels, double blocks, double transposed, bool swapped) const {
  const double wide = static_cast<double>(lanes), outputs_of = static_cast<double>(swapped ? ic : oc),
               channels_of = static_cast<double>(swapped ? oc : ic), vectors = std::ceil(outputs_of / wide),
               beside = std::min<double>(vectors, item == 4 ? kMaxOuterVectors : 2),
               fit = std::max(1.0, static_cast<double>(kSumBytes / item / taps) / (beside * wide)),
               tall = std::min({8.0, fit, channels_of}), passes = channels_of / std::min(fit, channels_of),
               each = std::max(kLeastPixel, tall * beside * outer_product(beside == 1));
  // Each tap reads its rows anew, not from the L1 cache; and the list takes longer where lines are short.
  const double line = kLine * std::min(1.0, static_cast<double>(axis[2].stride * item) / 64);
  const bool shared = pixels / blocks * vectors * wide * static_cast<double>(item) <= kOuterPanelBytes;
  const double columns = vectors / beside, live_pixels_of = share * pixels,
               lists = passes * (shared ? 1 : columns) *
                       (blocks * kList + live_pixels_of * kListLine / static_cast<double>(axis[2].outputs));
  const bool scattered = turned != swapped && taps > 4 && taps < 8;  // too many lines to be zipped, too few for squares
  const double store = scattered ? 2 : kStoring / wide;
  return static_cast<double>(taps) * (columns * live_pixels_of * (channels_of / tall * each + channels_of * line) +
                                      lists + channels_of * (blocks * vectors * kCalling + outputs_of * store)) +
         kTransposing * static_cast<double>(item) * outputs_of * transposed;
}

double WeightPlan::cost(int64_t n) const {
  const double pixels = static_cast<double>(n * p.out_pixels()), groups = static_cast<double>(p.groups),
               images_of = static_cast<double>(n) / static_cast<double>(p.mb);
  const double some = static_cast<double>(blocks()) * images_of;
  if (dots) return groups * dots_cycles(pixels, expand[2]);
  if (!apart) return groups * outer_cycles(pixels) + images_of * copying;
  return groups * apart_cycles(pixels, some, some * static_cast<double>(panel_pixels(images, extent) * transposes));
}

bool WeightPlan::repays_apart() const { return share * static_cast<double>(p.mb * p.out_pixels()) > kLeastLive; }

// As if there were one block, and x were in its panel at once.
double WeightPlan::least_turned(int64_t n) const {
  const double images_of = static_cast<double>(n) / static_cast<double>(p.mb);
  return taps > 1
             ? static_cast<double>(p.groups) * apart_cycles(static_cast<double>(n * p.out_pixels()), images_of, 0, true)
             : 0;
}

AxisMap WeightPlan::plane(int i) const {
  const AxisMap& a = axis[i];
  return {span(i, a.outputs), a.in, 1, a.mode, Vector<int64_t>(1, a.offset[0]), {}, {}};
}

int64_t WeightPlan::panel_pixels(int64_t n, const int64_t* e) const {
  for (int i = 0; i < 3; ++i) n *= turned ? std::min(span(i, e[i]), axis[i].in) : e[i];
  return n;
}

Box WeightPlan::in_panel(Box b) const {
  for (int i = 0; i < 3 && turned; ++i) {
    const int64_t first = b.begin[i] * axis[i].stride + axis[i].offset[0], n = span(i, b.extent(i));
    b.begin[i] = std::clamp<int64_t>(first, 0, axis[i].in);
    b.end[i] = std::clamp(first + n, b.begin[i], axis[i].in);
  }
  return b;
}

int64_t WeightPlan::live_pixels(const Box& b, const Box& panel, int64_t tap, const int64_t* stride,
                                PixelBox& live_box) const {
  int64_t at = b.image0 * stride[0], place = 0, plane_size = 1, all = b.images();
  for (int i = 2; i >= 0; --i) {
    const AxisMap& m = axis[i];
    const size_t t = static_cast<size_t>(tap % m.taps());
    tap /= m.taps();
    const int64_t begin = std::max(live[i][t].begin, b.begin[i]), read = begin * m.stride + m.offset[t];
    const int64_t n = std::max<int64_t>(0, std::min(live[i][t].end, b.end[i]) - begin);
    live_box.count[1 + i] = n;
    live_box.step[1 + i] = pixel_at((turned ? 1 : m.stride) * stride[2 + i], (turned ? m.stride : 1) * plane_size);
    at += (turned ? begin : read) * stride[2 + i];
    place += ((turned ? read : begin) - panel.begin[i]) * plane_size;
    plane_size *= panel.extent(i);
    all *= n;
  }
  live_box.count[0] = all > 0 ? b.images() : 0;
  live_box.step[0] = pixel_at(stride[0], plane_size);
  live_box.first = pixel_at(0, place);
  return all > 0 ? at : 0;
}

bool WeightPlan::is_too_far(const Box& b, const int64_t* stride, Box (&half)[2]) const {
  int64_t reach = (b.images() - 1) * std::abs(stride[0]);
  for (int i = 0; i < 3; ++i) reach += (b.extent(i) - 1) * (turned ? 1 : axis[i].stride) * std::abs(stride[2 + i]);
  if (reach <= INT32_MAX) return false;
  half[0] = half[1] = b;
  if (b.images() > 1) {
    half[0].image1 = half[1].image0 = b.image0 + b.images() / 2;
    return true;
  }
  int i = 0;
  while (b.extent(i) == 1) ++i;
  half[0].end[i] = half[1].begin[i] = b.begin[i] + b.extent(i) / 2;
  return true;
}

Box WeightPlan::box(int64_t i) const {
  Box b{};
  for (int a : {2, 1, 0}) {
    b.begin[a] = i % cuts(a) * extent[a];
    b.end[a] = std::min(p.axis[a].out, b.begin[a] + extent[a]);
    i /= cuts(a);
  }
  b.image0 = i * images;
  b.image1 = std::min(p.mb, b.image0 + images);
  return b;
}

WeightPlan::Task WeightPlan::task(int64_t i) const {
  const int64_t co = ceil_div(oc, outputs), cc = ceil_div(ic, channels);
  const int64_t o = i % co, c = i / co % cc;
  const int64_t g = i / (co * cc) * group_count;
  return {{g, std::min(p.groups, g + group_count)},
          {o * outputs, std::min(oc, (o + 1) * outputs)},
          {c * channels, std::min(ic, (c + 1) * channels)}};
}

}  // namespace fastconv
