#include "conv/winograd/patches.hpp"

#include <algorithm>
#include <utility>

#include "base/checked.hpp"
#include "kernels/winograd/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kNone = INT32_MIN;  // no line

}  // namespace

WinogradBlock::WinogradBlock(const WinogradShape& shape, const AxisMap* axis, const Box& box)
    : images(box.images()), side(shape.side) {
  for (int i : {1, 2}) {
    const bool ends_short = box.end[i] == shape.tiles(i, axis[i].outputs) && shape.ends_short(i, axis[i].outputs);
    number[i - 1][0] = box.extent(i) - ends_short;
    number[i - 1][1] = ends_short;
  }
}

WinogradTiles WinogradBlock::of_image(int64_t n) const {
  WinogradTiles tiles{count(1), count(2), number[0][0], number[1][0], {}, false, {}};
  int64_t before = 0;
  for (const auto& [low, right] : {std::pair(1, 0), {0, 0}, {0, 1}, {1, 1}}) {
    const int64_t size = number[0][low] * number[1][right];
    tiles.begin[low][right] = before + n * size;
    before += images * size;
  }
  return tiles;
}

Range WinogradBlock::in_plane(int64_t plane) const {
  const auto lacking = [&](int64_t point) { return point > 2 && point < side - 1; };
  const bool low = lacking(plane / side), right = lacking(plane % side);
  const int64_t corner = low ? images * number[0][1] * number[1][1] : 0;
  return {low ? images * number[0][1] * number[1][0] : 0, right ? images * count(1) * number[1][0] : all() - corner};
}

PatchLines::PatchLines(const AxisMap& axis, const WinogradShape& shape, int i, int64_t first, int64_t end,
                       bool gradient, bool spreads) {
  const int64_t output = shape.first(i, first), lines = gradient ? shape.gradient_lines(i) : shape.in(i) / axis.stride;
  const auto line_of = [&](int64_t line, bool is_short) {
    if (gradient && line >= shape.out(i)) return kNone;
    if (!is_short) return line;
    if (!gradient) return line == lines - 1 ? 3 : line > 2 ? 2 - line % 2 : line;
    const int64_t last = lines - 1 - shape.lacking();
    return line == lines - 1 ? last : line < last ? line : kNone;
  };
  const int64_t most = spreads ? axis.outputs - 1 - output + (shape.taps - 1) * shape.step[i] : INT32_MAX;
  at.reserve(static_cast<size_t>((end - first) * lines * axis.stride));
  for (int64_t tile = first; tile < end; ++tile) {
    const int64_t from = shape.first(i, tile) - output;
    const bool is_short = tile == shape.tiles(i, axis.outputs) - 1 && shape.ends_short(i, axis.outputs);
    for (int64_t part = 0; part < axis.stride; ++part)
      for (int64_t line = 0; line < lines; ++line) {
        const int64_t l = (from + line_of(line, is_short) * shape.step[i]) * axis.stride + part;
        at.push_back(static_cast<int32_t>(l > most ? kNone : std::max(kNone, l)));
      }
  }
  find(axis, output);
}

void PatchLines::find(const AxisMap& axis, int64_t first) {
  const int64_t low = first * axis.stride + axis.offset.front();
  int64_t begin = axis.in, end = 0;
  coordinate.reserve(at.size());
  for (int32_t line : at) {
    const int64_t i = line == kNone ? -1 : map_coordinate(axis.mode, low + line, axis.in);
    coordinate.push_back(i);
    if (i >= 0) begin = std::min(begin, i), end = std::max(end, i + 1);
  }
  Vector<int32_t> place(static_cast<size_t>(std::max<int64_t>(0, end - begin)), -1);
  for (int64_t i : coordinate)
    if (i >= 0) place[static_cast<size_t>(i - begin)] = 0;
  int32_t count = 0;
  for (int32_t& to : place)
    if (to == 0) to = count++;
  for (size_t l = 0; l < at.size(); ++l)
    at[l] = coordinate[l] < 0 ? -1 : place[static_cast<size_t>(coordinate[l] - begin)];
  coordinate.clear();
  for (size_t i = 0; i < place.size(); ++i)
    if (place[i] >= 0) coordinate.push_back(begin + static_cast<int64_t>(i));
}

template <class T>
WinogradPatchesOf<T>::WinogradPatchesOf(const WinogradShape& shape_, bool gradient, const AxisMap* axis,
                                        const View<const T>& x_, const Box& b)
    : x(x_),
      box(b),
      shape(shape_),
      block(shape, axis, b),
      h(axis[1], shape, 1, b.begin[1], b.end[1], gradient),
      w(axis[2], shape, 2, b.begin[2], b.end[2], gradient),
      parts(gradient ? 1 : shape.sources()),
      make_patches(shape.strip ? winograd_kernels<T>().strip_patches
                   : gradient  ? winograd_kernels<T>().of(shape.taps, shape.side).gradient_patches
                               : winograd_kernels<T>().of(shape.taps, shape.side).source_patches) {
  const int64_t lanes = conv_kernels<T>().lanes;
  for (int32_t& line : h.at) line = static_cast<int32_t>((line < 0 ? h.size() : line) * w.size() * lanes);
  for (int32_t& line : w.at) line = static_cast<int32_t>(line < 0 ? -1 : line * lanes);
}

template <class T>
int64_t WinogradPatchesOf<T>::pixel_elements(const WinogradShape& shape, int64_t down, int64_t across) {
  const auto lines = [&](int i, int64_t tiles) {  // of so many consecutive tiles of each residue
    const int64_t step = shape.step[i] * shape.stride(), residue = (ceil_div(tiles, shape.step[i]) - 1) * shape.out(i);
    return std::min<int64_t>(step * residue + step / shape.stride() * shape.in(i), tiles * shape.in(i));
  };
  return (lines(1, down) + 1) * lines(2, across) * conv_kernels<T>().lanes;
}

// pixels[h][w][lane]
template <class T>
void WinogradPatchesOf<T>::make_pixels(const T* image, int64_t channels, T* pixels) const {
  const int64_t lanes = conv_kernels<T>().lanes, columns = w.size();
  WinogradPixels<T> line{};
  line.channels = channels;
  line.channel_stride = x.stride[1];
  line.step = x.stride[4];
  const auto copy = [&](int64_t h0, int64_t w0, int64_t count, int64_t to) {
    line.src = image + h0 * x.stride[3] + w0 * x.stride[4];
    line.count = count;
    line.pixels = pixels + to * lanes;
    winograd_kernels<T>().pixels(line);
  };
  const bool joined = x.stride[3] == columns * x.stride[4] && w.coordinate.back() - w.coordinate.front() == columns - 1;
  h.each_run([&](int64_t h0, int64_t rows, int64_t to) {
    if (joined) return copy(h0, w.coordinate.front(), rows * columns, to * columns);
    for (int64_t i = 0; i < rows; ++i)
      w.each_run([&](int64_t w0, int64_t count, int64_t at) { copy(h0 + i, w0, count, (to + i) * columns + at); });
  });
}

template <class T>
void WinogradPatchesOf<T>::transform_one(int64_t d, int64_t c, int64_t channels, int64_t n, T* pixels, T* v,
                                         int64_t plane, int64_t part) const {
  const T* image = x.data + (box.image0 + n) * x.stride[0] + c * x.stride[1] + d * x.stride[2];
  if (h.size() * w.size() > 0) make_pixels(image, channels, pixels);
  WinogradPatches<T> job{};
  job.src = pixels;
  job.tiles = block.of_image(n);
  job.v = v;
  job.plane = plane;
  job.vertical = shape.strip == 1;
  job.row_lines = static_cast<int64_t>(h.at.size()) / job.tiles.down;
  job.column_lines = static_cast<int64_t>(w.at.size()) / job.tiles.across;
  job.lines = shape.strip ? std::min<int64_t>(kStripIn, job.vertical ? job.row_lines : job.column_lines) : shape.out(2);
  for (int64_t p = 0; p < parts; ++p, job.v += part) {
    job.row = h.at.data() + (shape.strip ? (shape.strip == 1) * p * shape.taps : p / shape.stride() * shape.side);
    job.column = w.at.data() + (shape.strip ? (shape.strip == 2) * p * shape.taps : p % shape.stride() * shape.side);
    make_patches(job);
  }
}

template class WinogradPatchesOf<float>;
template class WinogradPatchesOf<double>;

}  // namespace fastconv
