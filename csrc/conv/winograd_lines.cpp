#include "conv/winograd_lines.hpp"

#include <algorithm>

#include "base/parallel.hpp"
#include "base/range.hpp"
#include "conv/pieces.hpp"
#include "conv/winograd_patches.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {
namespace {

constexpr int64_t kTiles = 64;  // of a line at a time: less memory than a block of the image takes
constexpr int kLinePlanes = kWinogradIn;

// The outputs of an axis together with those in its padding, and where they are folded to.
void lengthen(const ConvAxis& a, WinogradLine& line) {
  const bool folds = a.mode != Mode::zeros && !circulates(a);
  const int64_t before = line.before = folds ? a.pad_before : 0, after = folds ? a.pad_after : 0;
  line.along.outputs += before + after;
  for (int64_t& offset : line.along.offset) offset -= before;
  for (int64_t i = -before; i < a.in + after; ++i) line.to.push_back(map_coordinate(a.mode, i, a.in));
}

template <class T>
struct Lines {
  const WinogradSum<T>& s;
  const int64_t lanes = conv_kernels<T>().lanes, channel_vectors = ceil_div(s.channels, lanes);
  const WinogradKernelsOf<T>& kernels = winograd_kernels<T>();

  // Outputs [o0, o0 + 4 tiles) of `count` lines of one axis of the image at x, for rows' vectors [r0, r1) of group g.
  // The lines of two sides are added together: those of columns share the cache lines of y.
  void run(const WinogradLine* lines, int64_t count, int64_t o0, int64_t tiles, const T* x, T* y, int64_t g,
           Range r) const {
    const int64_t vector = tiles * lanes, outputs = std::min(tiles * kWinogradOut, lines->along.outputs - o0);
    const int64_t v_plane = plane_stride<T>(channel_vectors * vector), m_plane = plane_stride<T>(r.size() * vector);
    const int64_t v_size = kLinePlanes * v_plane, m_size = kLinePlanes * m_plane;  // whole cache lines
    const int64_t pixel_bytes = Arena::rounded_bytes<T>((tiles * kWinogradOut + kWinogradIn) * lanes);
    char* memory = Arena::local().reserve(pixel_bytes + count * Arena::rounded_bytes<T>(v_size + m_size));
    T *pixels = reinterpret_cast<T*>(memory), *v = reinterpret_cast<T*>(memory + pixel_bytes), *m = v + count * v_size;
    for (int64_t l = 0; l < count; ++l) {
      transform(lines[l], o0, tiles, x, pixels, v + l * v_size, v_plane);
      multiply(lines[l], tiles, v + l * v_size, v_plane, m + l * m_size, m_plane, g, r);
    }
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t channels = std::min(lanes, s.rows - i * lanes);
      for (int64_t l = 0; l < count; ++l) {  // turned, to where v was
        kernels.line_output({m + l * m_size + (i - r.begin) * vector, m_plane, tiles, pixels});
        conv_kernels<T>().pack_transposed(v + l * v_size, outputs, pixels, lanes, 1, channels, outputs, outputs);
      }
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t l = 0; l < count; ++l)
          add(lines[l], o0, outputs, v + l * v_size + c * outputs,
              y + (i * lanes + c) * s.y.stride[1] + lines[l].target * s.y.stride[2 + lines[l].across]);
    }
  }

 private:
  // y[line.to[o0 + p] * step] += from[p]. All but the padding's stand side by side.
  void add(const WinogradLine& line, int64_t o0, int64_t count, const T* from, T* y) const {
    const int64_t step = s.y.stride[2 + (3 - line.across)], first = std::clamp<int64_t>(line.before - o0, 0, count);
    const int64_t last = std::clamp<int64_t>(line.before + line.in - o0, first, count);
    T* own = y + (o0 - line.before) * step;
    for (int64_t p = 0; p < first; ++p) y[line.to[static_cast<size_t>(o0 + p)] * step] += from[p];
    if (step == 1)
      for (int64_t p = first; p < last; ++p) own[p] += from[p];
    else
      for (int64_t p = first; p < last; ++p) own[p * step] += from[p];
    for (int64_t p = last; p < count; ++p) y[line.to[static_cast<size_t>(o0 + p)] * step] += from[p];
  }

  void transform(const WinogradLine& line, int64_t o0, int64_t tiles, const T* x, T* pixels, T* v,
                 int64_t v_plane) const {
    const PatchLines at(line.along, o0, tiles * kWinogradOut + kWinogradIn - kWinogradOut);
    WinogradPixels<T> from{};
    from.channel_stride = s.x.stride[1];
    from.step = s.x.stride[2 + (3 - line.across)];
    const T* source = x + line.source * s.x.stride[2 + line.across];
    for (int64_t c = 0; c < channel_vectors; ++c) {
      from.channels = std::min(lanes, s.channels - c * lanes);
      const auto copy = [&](int64_t coordinate, int64_t count, int64_t to) {
        from.src = source + c * lanes * s.x.stride[1] + coordinate * from.step;
        from.count = count;
        from.pixels = pixels + to * lanes;
        kernels.pixels(from);
      };
      at.each_run(copy);
      kernels.line_patches({pixels, at.at.data(), tiles, line.first ? T(4) : T(1), v + c * tiles * lanes, v_plane});
    }
  }

  void multiply(const WinogradLine& line, int64_t tiles, const T* v, int64_t v_plane, T* m, int64_t m_plane, int64_t g,
                Range r) const {
    WinogradProducts<T> job{};
    job.vectors = r.size();
    job.u_vector = winograd_weight_vector<T>(s.channels);
    job.channels = s.channels;
    job.tiles = tiles;
    job.v_vector = job.m_vector = tiles * lanes;
    const int64_t outer = line.first ? 0 : kWinogradIn - 1;
    for (int64_t i = 0; i < kLinePlanes; ++i) {
      const int64_t plane = line.across == 1 ? outer * kWinogradIn + i : i * kWinogradIn + outer;
      job.u =
          s.u + (g * ceil_div(s.rows, lanes) + r.begin) * job.u_vector + plane * winograd_weight_plane<T>(s.channels);
      job.v = v + i * v_plane;
      job.m = m + i * m_plane;
      kernels.products(job);
    }
  }
};

}  // namespace

Vector<WinogradLine> winograd_lines(const ConvProblem& p, const BackwardPieces& h, const BackwardPieces& w) {
  Vector<WinogradLine> lines;
  const BackwardPieces* pieces[3] = {nullptr, &h, &w};
  for (int axis : {1, 2}) {
    const Piece own = ascending(pieces[axis]->set[0]), other = ascending(pieces[3 - axis]->set[0]);
    for (const Piece& piece : pieces[axis]->add) {
      if (piece.map.outputs != 1 || piece.taps.size() != 1 || piece.map.source.size() != 1) return {};
      WinogradLine line{
          axis, piece.map.source[0], piece.taps[0] == own.taps.front(), piece.begin, other.map, 0, other.map.outputs,
          {}};
      if (!line.first && piece.taps[0] != own.taps.back()) return {};
      if (axis == 1) lengthen(p.axis[2], line);  // corners belong to the rows
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

template <class T>
void run_winograd_lines(const WinogradSum<T>& s, const Vector<WinogradLine>& lines, int threads) {
  const Lines<T> all{s};
  const int64_t vectors = ceil_div(s.rows, all.lanes), images = s.images * s.axis[0].outputs * s.groups;
  const int64_t parts = images < threads ? std::min<int64_t>(vectors, threads) : 1;
  parallel_tasks(images * parts, threads, [&](int64_t task) {
    const Range r = part(vectors, parts, task % parts);
    task /= parts;
    const int64_t g = task % s.groups, d = task / s.groups % s.axis[0].outputs, n = task / s.groups / s.axis[0].outputs;
    const int64_t source = map_coordinate(s.axis[0].mode, d * s.axis[0].stride + s.axis[0].offset[0], s.axis[0].in);
    if (source < 0) return;
    const T* x = s.x.data + n * s.x.stride[0] + g * s.channels * s.x.stride[1] + source * s.x.stride[2];
    T* y = s.y.data + n * s.y.stride[0] + g * s.rows * s.y.stride[1] + d * s.y.stride[2];
    for (size_t l = 0, count; l < lines.size(); l += count) {
      for (count = 1; l + count < lines.size() && lines[l + count].across == lines[l].across;) ++count;
      const int64_t outputs = lines[l].along.outputs;
      for (int64_t o = 0; o < outputs; o += kTiles * kWinogradOut)
        all.run(&lines[l], static_cast<int64_t>(count), o, std::min(kTiles, ceil_div(outputs - o, kWinogradOut)), x, y,
                g, r);
    }
  });
}

template void run_winograd_lines(const WinogradSum<float>&, const Vector<WinogradLine>&, int);
template void run_winograd_lines(const WinogradSum<double>&, const Vector<WinogradLine>&, int);

}  // namespace fastconv
