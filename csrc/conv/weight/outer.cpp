// The weight gradient with vectors along output channels.
#include <algorithm>
#include <cstdlib>

#include "conv/weight/sum.hpp"

namespace fastconv {
namespace {

// Of dy, transposed, with nr output channels.
template <class T>
int64_t pixels_of_panel(int64_t nr) {
  return std::max<int64_t>(16, kOuterPanelBytes / static_cast<int64_t>(sizeof(T)) / nr / 16 * 16);
}

}  // namespace

// By offsets of 32 bits.
template <class T>
bool WeightSum<T>::reachable(int64_t n) const {
  int64_t reach = (n - 1) * std::abs(x.stride[0]);
  for (int i = 1; i < 5; ++i) reach += (x.shape[i] - 1) * std::abs(x.stride[i]);
  return reach <= INT32_MAX;
}

template <class T>
void WeightSum<T>::make_offsets(const Task& t, const Box& b, const Source& x, const Scratch& s) const {
  const int64_t* n = x.step;
  const Made made{b.images(), b.extent(0), b.extent(1), b.extent(2), x.image, x.channel, n[0], n[1], n[2]};
  if (made == s.made) return;
  s.made = made;
  int64_t* to = s.rows;
  for (int64_t i : axis[0].offset)
    for (int64_t j : axis[1].offset)
      for (int64_t k : axis[2].offset)
        *to++ = (i - axis[0].offset[0]) * n[0] + (j - axis[1].offset[0]) * n[1] + (k - axis[2].offset[0]) * n[2];
  for (const int64_t* const end = s.rows + t.c.size() * taps; to < end; ++to) *to = to[-taps] + x.channel;
  PixelBox box{{b.images(), b.extent(0), b.extent(1), b.extent(2)}, {}, {}};
  int64_t pixels = 1;
  for (int i = 3; i >= 0; pixels *= box.count[i--])
    box.step[i] = pixel_at(i ? axis[i - 1].stride * n[i - 1] : x.image, pixels);
  kernels.list_pixels(s.pixels, box);
}

template <class T>
const T* WeightSum<T>::dy_at(const Box& b, int64_t q, int64_t o) const {
  const int64_t w = q % b.extent(2), h = q / b.extent(2) % b.extent(1), d = q / b.extent(2) / b.extent(1) % b.extent(0);
  return dy_row(b.image0 + q / b.extent(2) / b.extent(1) / b.extent(0), o, b.begin[0] + d, b.begin[1] + h,
                b.begin[2] + w);
}

// panel[i * nr + o] = dy at the i-th of some pixels of the box; lines that follow one another are one.
template <class T>
void WeightSum<T>::transpose_dy(const Box& b, Range some, Range o, int64_t nr, T* panel) const {
  int64_t n = b.extent(2), height = b.extent(1), depth = b.extent(0);
  if (dy.stride[3] == n * dy.stride[4]) n *= height, height = 1;
  if (height == 1 && dy.stride[2] == n * dy.stride[4]) n *= depth, depth = 1;
  for (int64_t q = some.begin, count; q < some.end; q += count, panel += count * nr) {
    const int64_t line = q / n, w = q % n;
    count = std::min(n - w, some.end - q);
    const T* from = dy_row(b.image0 + line / height / depth, o.begin, b.begin[0] + line / height % depth,
                           b.begin[1] + line % height, b.begin[2] + w);
    kernels.pack_transposed(panel, nr, from, dy.stride[1], dy.stride[4], count, o.size(), nr);
  }
}

// Some rows, as nearly equal tiles, which fetch `lines` lines of dy from `next` on among them.
template <class T>
void WeightSum<T>::multiply_outer(OuterTile<T> tile, int64_t rows, int64_t vectors, const T* next,
                                  int64_t lines) const {
  const int64_t tiles = ceil_div(rows, tallest(vectors));
  const int64_t* const row = tile.row;
  T* const sums = tile.c;
  Range m{0, 0}, ahead{0, 0};
  for (int64_t i = 0; i < tiles; ++i) {
    m = {m.end, (i + 1) * rows / tiles};
    ahead = {ahead.end, (i + 1) * lines / tiles};
    tile.ahead = next + ahead.begin * dy.stride[1];
    tile.ahead_rows = ahead.size();
    tile.row = row + m.begin;
    tile.c = sums + m.begin * tile.ldc;
    kernels.outer[m.size() - 1][vectors - 1](tile);
  }
}

template <class T>
void WeightSum<T>::add_outer(int64_t g, const Task& t, const Box& b, const T* a, bool first, const Scratch& s) const {
  const int64_t pixels = b.pixels(), rows = t.c.size() * taps;
  const int64_t vectors = ceil_div(t.o.size(), lanes), panels = ceil_div(vectors, widest());
  T* const sums = in_dw() ? dw.data + (channels_before(g) + t.c.begin) * dw.stride[1] + t.o.begin : sums_of(t, g, s);
  OuterTile<T> tile{};
  tile.a = a;
  tile.row = s.rows;
  tile.ldc = in_dw() ? dw.stride[1] : width;
  tile.ahead_stride = dy.stride[1];
  for (int64_t k = 0; k < panels; ++k) {
    const Range v = part(vectors, panels, k),
                o{t.o.begin + v.begin * lanes, std::min(t.o.end, t.o.begin + v.end * lanes)};
    const int64_t nr = v.size() * lanes, most = pixels_of_panel<T>(nr);
    tile.c = sums + v.begin * lanes;
    for (int64_t q = 0; q < pixels; q += tile.pixels) {
      tile.pixels = std::min(most, pixels - q);
      tile.pixel = s.pixels + q;
      tile.b = s.panel - q * nr;
      tile.accumulate = !first || q > 0;
      transpose_dy(b, {q, q + tile.pixels}, {g * oc + o.begin, g * oc + o.end}, nr, s.panel);
      const bool more = q + tile.pixels < pixels;
      const T* next = more ? dy_at(b, q + tile.pixels, g * oc + o.begin) : dy_at(b, 0, g * oc + o.end);
      multiply_outer(tile, rows, v.size(), next, more || k + 1 < panels ? o.size() : 0);
    }
  }
}

template <class T>
void WeightSum<T>::accumulate_outer(const Task& t, const Box& b, bool first, const Scratch& s) const {
  if (inside && reachable(b.images())) {
    Source source{x.data + b.image0 * x.stride[0], x.stride[0], x.stride[1], {x.stride[2], x.stride[3], x.stride[4]}};
    for (int i = 0; i < 3; ++i) source.first += (axis[i].offset[0] + b.begin[i] * axis[i].stride) * source.step[i];
    make_offsets(t, b, source, s);
    for (int64_t g = t.g.begin; g < t.g.end; ++g)
      add_outer(g, t, b, source.first + (g * ic + t.c.begin) * x.stride[1], first, s);
    return;
  }
  Box around = b;
  for (int i = 0; i < 3; ++i) {
    around.begin[i] = b.begin[i] * axis[i].stride;
    around.end[i] = around.begin[i] + span(i, b.extent(i));
  }
  const AxisMap planes[3] = {plane(0), plane(1), plane(2)};
  const Block<T> block(planes, around, expand, x, 0);
  block.clear(t.c.size(), s.block);
  const int64_t line = block.width(2), face = block.width(1) * line;
  make_offsets(t, b, {nullptr, block.width(0) * face, block.channel_stride(), {face, line, 1}}, s);
  for (int64_t g = t.g.begin; g < t.g.end; ++g)
    add_outer(g, t, b, block.pack(kernels, g * ic + t.c.begin, t.c.size(), s.block), first, s);
}

// Tap by tap, x being read where it stands. Where x and dy have taken each other's place, it is the panel that moves
// on from tap to tap.
template <class T>
void WeightSum<T>::accumulate_apart(const Task& t, const Box& b, bool first, const Scratch& s) const {
  if (Box half[2]; is_too_far(b, x.stride, half)) {
    accumulate_apart(t, half[0], first, s);
    return accumulate_apart(t, half[1], false, s);
  }
  const Box seen = in_panel(b);
  for (int64_t c = 0; c < t.c.size(); ++c) s.rows[c] = c * x.stride[1];
  const int64_t vectors = ceil_div(t.o.size(), lanes), panels = ceil_div(vectors, widest());
  const int64_t at_once = seen.pixels() * outputs * item <= kOuterPanelBytes ? panels : 1;  // for one list of pixels
  OuterTile<T> tile{};
  tile.row = s.rows;
  tile.pixel = s.pixels;
  tile.ldc = taps * width;
  tile.accumulate = !first;
  for (int64_t g = t.g.begin; g < t.g.end; ++g)
    for (int64_t k0 = 0; k0 < panels; k0 += at_once) {
      const int64_t v0 = part(vectors, panels, k0).begin;
      const auto panel = [&](Range v) { return s.panel + seen.pixels() * (v.begin - v0) * lanes; };
      for (int64_t k = k0; k < k0 + at_once; ++k) {
        const Range v = part(vectors, panels, k);
        const int64_t o = t.o.begin + v.begin * lanes, end = std::min(t.o.end, t.o.begin + v.end * lanes);
        transpose_dy(seen, {0, seen.pixels()}, {g * oc + o, g * oc + end}, v.size() * lanes, panel(v));
      }
      for (int64_t tap = 0; tap < taps; ++tap) {
        tile.a = x.data + (g * ic + t.c.begin) * x.stride[1];
        PixelBox live_box;
        tile.a += live_pixels(b, seen, tap, x.stride, live_box);
        tile.pixels = kernels.list_pixels(s.pixels, live_box) - s.pixels;
        for (int64_t k = k0; k < k0 + at_once; ++k) {
          const Range v = part(vectors, panels, k);
          tile.b = panel(v);
          tile.c = sums_of(t, g, s) + tap * width + v.begin * lanes;
          multiply_outer(tile, t.c.size(), v.size(), nullptr, 0);
        }
      }
    }
}

template void WeightSum<float>::accumulate_outer(const Task&, const Box&, bool, const Scratch&) const;
template void WeightSum<double>::accumulate_outer(const Task&, const Box&, bool, const Scratch&) const;
template void WeightSum<float>::accumulate_apart(const Task&, const Box&, bool, const Scratch&) const;
template void WeightSum<double>::accumulate_apart(const Task&, const Box&, bool, const Scratch&) const;

}  // namespace fastconv
