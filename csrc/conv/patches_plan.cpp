#include "conv/patches_plan.hpp"

#include <numeric>

#include "base/parallel.hpp"
#include "conv/block.hpp"

namespace fastconv {
namespace {

constexpr int64_t kBytes = 384 << 10;        // of patches at a time, in the L2 cache, if they are of whole lines
constexpr int64_t kWeightBytes = 256 << 10;  // of some channels, beside them
constexpr int64_t kInputBytes = 1 << 20;     // of dy, where it must be copied
constexpr int64_t kDeepBytes = 1 << 20;      // of patches of deep sums at a time
constexpr int64_t kDeep = 128;               // channels of dy
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
  const int64_t few = whole  ? std::max(kLeastDeep, kBytes / (p.mb * channel) / kLeastDeep * kLeastDeep)
                      : deep ? ic
                             : std::min(kWeightBytes / oc, kBytes / (carried + 1) / line) / (size * p.taps());
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
  plane = plane_of(kept * line);
  if (deep && strip == out)
    images = std::clamp<int64_t>((whole ? kBytes : kDeepBytes) / (rows() * plane * size), 1, p.mb);
  chunk_parts = chunks();
  if (deep || strip < out || parts > 1) return;
  // All at once, as far as threads go: images that follow one another end within few vectors, and short lines take less
  // time than to find their places.
  const int64_t pixels = out * line, room = std::min(kBytes / rows(), kInputBytes / oc) / (size * pixels);
  images = std::clamp<int64_t>(room, 1, ceil_div(p.mb, threads));
  plane = plane_of(images * pixels);
  const int64_t turns = ceil_div(p.mb, images);
  chunk_parts = threads == 1 ? 1 : std::min(chunks(), ceil_div(4 * threads, turns));
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
  m.patches = deep ? 0 : rounded((oc * plane_of(images * strip * line) + Block<double>::kSlack) * size);
  m.line = m.patches + (deep ? 0 : rounded(rows() * plane * size));
  m.places = m.line + rounded(line_elements() * size);
  m.offsets = m.places + rounded(axis[0].k * axis[1].k * static_cast<int64_t>(sizeof(int64_t)));
  m.end = m.offsets + rounded(2 * oc * static_cast<int64_t>(sizeof(int32_t)));
  return m;
}

PatchPlaces Patches::find_places(const PatchPart& part, int i) const {
  const PatchWindow& window = part.window[i];
  const int64_t line = part.window[2].outputs.size(), output = i ? line : axis[1].out * line,
                tap = axis[2].k * plane * (i ? 1 : axis[1].k);
  PatchPlaces places;
  places.at.reserve(static_cast<size_t>(window.elements.size() * axis[i].k));
  places.begin.reserve(static_cast<size_t>(window.elements.size() + 1));
  for (int64_t e = window.elements.begin; e < window.elements.end; ++e) {
    for (int64_t t = 0; t < axis[i].k; ++t)
      if (const int64_t o = window.output(axis[i], e, t); o >= 0)
        places.at.push_back(t * tap + (i == cut ? part.place(window.outputs.begin + o, kept) : o) * output);
    places.begin.push_back(static_cast<int64_t>(places.at.size()));
  }
  return places;
}

void Patches::add_taps(const PatchWindow& window, int64_t b, Vector<LineTap>& taps) const {
  const PatchAxis& w = axis[2];
  const int64_t first = window.elements.begin + b + w.pad_before - window.outputs.begin * w.stride,
                step = w.stride / std::gcd(w.stride, w.dilation);  // of taps that elements of a residue meet
  int64_t t = w.dilation == 1 ? floor_mod(first, w.stride) : 0;
  while (t < std::min(step, w.k) && floor_mod(first - t * w.dilation, w.stride)) ++t;
  for (; t < w.k && floor_mod(first - t * w.dilation, w.stride) == 0; t += step) {
    const int64_t output = floor_div(first - t * w.dilation, w.stride);
    const LineTap tap{t * plane + output, -output, window.outputs.size() - output};
    if (tap.begin < ceil_div(window.elements.size(), w.stride) && tap.end > 0) taps.push_back(tap);
  }
}

bool Patches::stands(const Vector<LineTap>& taps, int64_t n) const {
  const int64_t s = axis[2].stride;
  bool one = s > 1 && static_cast<int64_t>(taps.size()) == s;
  for (int64_t b = 0; one && b < s; ++b) {
    const LineTap& t = taps[static_cast<size_t>(b)];
    one &= t.src == taps[0].src + b * plane && t.begin <= 0 && t.end >= ceil_div(n - b, s);
  }
  return one;
}

}  // namespace fastconv
