#include "conv/patches/plan.hpp"

#include <cmath>
#include <numeric>

#include "base/parallel.hpp"
#include "conv/direct/block.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBytes = 384 << 10;        // of patches at a time, in the L2 cache, if they are of whole lines
constexpr int64_t kWeightBytes = 256 << 10;  // of some channels, beside them
constexpr int64_t kInputBytes = 1 << 20;     // of dy, where it must be copied
constexpr int64_t kDeepBytes = 1 << 20;      // of patches of deep sums at a time
constexpr int64_t kPixels = 96;              // of some images together
constexpr int64_t kDeep = 128;               // channels of dy
constexpr int64_t kMostSums = 8192;          // elements of dx and their patches, one by one
constexpr double kFinding = 10;              // times as long as adding them takes to find where they stand
constexpr int64_t kLeastDeep = 64;           // channels of dx at a time, of patches that do not lie apart

// Elements of the patches of a channel and tap: an odd number of cache lines.
int64_t plane_of(int64_t outputs) { return (ceil_div(outputs, 16) | 1) * 16; }

}  // namespace

bool are_apart(const ConvProblem& p) {
  return std::all_of(p.axis, p.axis + 3, [](const ConvAxis& a) { return a.stride == a.k && a.dilation == 1; });
}

bool are_deep(const ConvProblem& p, const PatchMachine& m) {
  const int64_t channel = p.taps() * plane_of(p.out_pixels()) * m.size;
  const bool fits = p.axis[2].stride > 1 && p.ic / p.groups >= kLeastDeep && 2 * kLeastDeep * channel <= kDeepBytes;
  return p.oc / p.groups > kDeep && (are_apart(p) || fits);
}

AddingCost adding_cost(const ConvProblem& p, int lanes) {
  const auto live = [&p](int i) { return static_cast<double>(std::min(p.axis[i].in, p.axis[i].k * p.axis[i].out)); };
  const bool apart = are_apart(p);
  const double lines = static_cast<double>(p.axis[0].in * p.axis[1].in), width = static_cast<double>(p.axis[2].in),
               some = live(0) * live(1) * width,  // of lines that meet patches
      patches = static_cast<double>(p.taps()) * static_cast<double>(p.out_pixels());
  return {(apart ? 6 : 14) * patches / lanes + 0.4 * lines * width +
              (apart ? 15 : 55 * static_cast<double>(p.axis[2].stride)) * lines,
          some + patches <= kMostSums ? 0.3 * lines * width + 1.2 * some + patches : HUGE_VAL};
}

Patches::Patches(const ConvProblem& problem, const PatchMachine& m)
    : p(problem),
      axis{PatchAxis(p.axis[0]), PatchAxis(p.axis[1]), PatchAxis(p.axis[2])},
      cut(axis[0].out > 1   ? 0
          : axis[1].out > 1 ? 1
                            : 2),
      ic(p.ic / p.groups),
      oc(p.oc / p.groups),
      line(p.out_pixels() / axis[cut].out) {
  const int64_t out = axis[cut].out, carried = axis[cut].carried();
  size = m.size;
  for (int i = 0; i < 3; ++i) map[i].outputs = map[i].in = axis[i].out;
  deep = are_deep(p, m);
  const bool whole = deep && !are_apart(p);
  const int64_t channel = p.taps() * plane_of(p.out_pixels()) * size;
  const int64_t few =
      whole  ? std::max(kLeastDeep, kBytes / (p.mb * channel) / kLeastDeep * kLeastDeep)
      : deep ? ic
             : std::min(kWeightBytes / oc, kBytes / std::max((carried + 1) * line,
                                                             std::clamp<int64_t>(p.mb * p.out_pixels(), 16, kPixels))) /
                   (size * p.taps());
  channels = std::clamp<int64_t>(few, 1, ic);
  if (!whole) channels = ceil_div(ic, ceil_div(ic, channels));
  strip = (deep ? kDeepBytes / rows() : std::min(kBytes / rows(), kInputBytes / oc)) / (size * line);
  strip = whole ? out : std::clamp(strip, std::min(out, carried + 1), out);
  kept = strip < out ? round_up(strip + carried, strip) : out;
  mr = static_cast<int>(ceil_div(rows(), ceil_div(rows(), m.rows)));
  nr = std::min(m.vectors, m.accumulators / mr);
  threads = threads_for(2 * p.macs());
  const int64_t least = 4 * carried + 1;
  parts = p.mb * chunks() < 4 * threads ? std::min<int64_t>(threads, ceil_div(out, least)) : 1;
  if (cut == 2 && strip < out) {  // lines have no seam
    parts = std::max(parts, ceil_div(out, std::max(strip, least)));
    kept = strip = ceil_div(out, parts) + carried;
  }
  if (!deep && strip == out)
    images = std::clamp<int64_t>(std::min(kBytes / (rows() * p.out_pixels() * size), ceil_div(kPixels, p.out_pixels())),
                                 1, p.mb);
  plane = plane_of((deep ? 1 : images) * kept * line);
  if (deep && strip == out)
    images = std::clamp<int64_t>((whole ? kBytes : kDeepBytes) / (rows() * plane * size), 1, p.mb);
  const AddingCost adding = adding_cost(p, m.lanes);
  one_by_one = adding.one_by_one * (1 + kFinding / static_cast<double>(once() ? p.ic * p.mb : channels)) < adding.lines;
}

ConvProblem Patches::product(int64_t some, int64_t mb, int64_t outputs) const {
  ConvProblem q;
  q.mb = mb;
  q.ic = some * p.taps();
  q.oc = oc;
  for (int i = 0; i < 3; ++i) q.axis[i].in = q.axis[i].out = i == cut ? outputs : axis[i].out;
  return q;
}

Patches::Memory Patches::memory() const {
  const auto rounded = [](int64_t bytes) { return Arena::rounded_bytes<char>(bytes); };
  Memory m{};
  m.patches = deep ? 0 : rounded((oc * (ceil_div(images * strip * line, 16) | 1) * 16 + Block<double>::kSlack) * size);
  m.line = m.patches + (deep ? 0 : rounded(rows() * plane * size));
  m.places = m.line + rounded(line_elements() * size);
  m.offsets = m.places + rounded(axis[0].k * axis[1].k * static_cast<int64_t>(sizeof(int64_t)));
  m.end = m.offsets + rounded(2 * oc * static_cast<int64_t>(sizeof(int32_t)));
  return m;
}

int64_t Patches::places_bytes() const {
  int64_t entries = 0;
  for (int i : {0, 1, 2}) entries += most_elements(i) * (axis[i].k + 1) + 16;
  if (one_by_one) entries += kMostSums / 2 + 2 * most_elements(0) * most_elements(1) + 4 * (p.taps() + 16);
  return entries * static_cast<int64_t>(sizeof(int64_t));
}

PatchPlaces Patches::find_places(const PatchPart& part, int i) const {
  const PatchWindow& window = part.window[i];
  const PatchAxis& a = axis[i];
  const int64_t line = part.window[2].outputs.size(),
                output = i == 2 ? 1
                         : i    ? line
                                : axis[1].out * line,
                tap = plane * (i == 2 ? 1 : axis[2].k * (i ? 1 : axis[1].k)), step = a.tap_step();
  PatchPlaces places;
  places.at.reserve(static_cast<size_t>(window.elements.size() * a.k));
  places.begin.reserve(static_cast<size_t>(window.elements.size() + 1));
  for (int64_t e = window.elements.begin; e < window.elements.end; ++e) {
    const int64_t at = window.place(a, e);
    for (int64_t t = a.first_tap(at); t < a.k && at >= t * a.dilation; t += step)
      if (const int64_t o = (at - t * a.dilation) / a.stride; o < window.outputs.size())
        places.at.push_back(t * tap + (i == cut ? part.place(window.outputs.begin + o, kept) : o) * output);
    places.begin.push_back(static_cast<int64_t>(places.at.size()));
  }
  return places;
}

void Patches::find_sums(const PatchPart& part, const int64_t* stride, PatchSums& sums) const {
  const PatchPlaces deep = find_places(part, 0), high = find_places(part, 1), wide = find_places(part, 2);
  sums.step = stride[2];
  sums.fills.reserve(static_cast<size_t>(2 * deep.size() * high.size()));
  for (int64_t y = 0; y < deep.size(); ++y)
    for (int64_t z = 0; z < high.size(); ++z)
      if (deep.count(y) * high.count(z) == 0) sums.fill(y * stride[0] + z * stride[1], wide.size());
  sums.elements.resize(static_cast<size_t>(deep.most() * high.most() * wide.most() + 1));
  sums.entries.resize(static_cast<size_t>(deep.live() * high.live() * wide.size()) +
                      deep.at.size() * high.at.size() * wide.at.size());
  sums.list(deep, high, wide, stride);
}

bool Patches::adds_one_by_one(const int64_t* shape, const int64_t* stride) const {
  int64_t reach = 0;
  for (int i = 0; i < 3; ++i) reach += (shape[i] - 1) * std::abs(stride[i]);
  return one_by_one && reach <= INT32_MAX;
}

void Patches::add_taps(const PatchWindow& window, int64_t b, Vector<LineTap>& taps) const {
  const PatchAxis& w = axis[2];
  const int64_t first = window.place(w, window.elements.begin + b);
  for (int64_t t = w.first_tap(first), step = w.tap_step(); t < w.k; t += step) {
    const int64_t output = floor_div(first - t * w.dilation, w.stride);
    const LineTap tap{t * plane + output, -output, window.outputs.size() - output};
    if (tap.begin < ceil_div(window.elements.size(), w.stride) && tap.end > 0) taps.push_back(tap);
  }
}

PatchZip Patches::zip(const Vector<LineTap>& taps, int64_t n) const {
  const int64_t s = axis[2].stride;
  PatchZip zip{0, n};
  if (s == 1 || static_cast<int64_t>(taps.size()) != s) return {};
  int64_t last = 0;
  for (int64_t b = 0; b < s; ++b) {
    const LineTap& t = taps[static_cast<size_t>(b)];
    last = std::max(last, b + t.end * s);
    zip.end = std::min(zip.end, b + t.end * s);
    if (zip.head == 0 && t.src != taps[0].src + b * plane) zip.head = b;
    if (t.begin > 0 || t.src != taps[0].src + (zip.head ? 1 + (b - s) * plane : b * plane)) return {};
  }
  return zip.end < n && zip.end + s <= last ? PatchZip{} : zip;
}

}  // namespace fastconv
