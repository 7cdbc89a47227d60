#include "conv/winograd_border.hpp"

#include <algorithm>

#include "conv/pieces.hpp"
#include "kernels/winograd.hpp"

namespace fastconv {
namespace {

// The plane that an end's tap has to itself.
int64_t plane_of(const WinogradShape& shape, const WinogradEnd& end) { return end.behind ? 0 : shape.side - 1; }

}  // namespace

// Padding that wraps around adds to the other end of the axis: to another block.
bool find_winograd_ends(const BackwardPieces& pieces, Vector<WinogradEnd>& ends) {
  const Piece own = ascending(pieces.set[0]);
  for (const Piece& piece : pieces.add) {
    if (piece.map.outputs != 1 || piece.taps.size() != 1 || piece.map.source.size() != 1) return false;
    const WinogradEnd end{piece.taps[0] == own.taps.front(), piece.map.source[0], piece.begin};
    const bool near = end.behind ? end.source == own.map.in - 1 && end.target >= own.map.outputs - 2
                                 : end.source == 0 && end.target <= 1 && piece.taps[0] == own.taps.back();
    if (!near) return false;
    ends.push_back(end);
  }
  return true;
}

template <class T>
template <class Has, class F>
int64_t WinogradBorder<T>::each_strip(const WinogradSum<T>& s, const WinogradPlan& plan, Has has, F f) {
  const int64_t lanes = conv_kernels<T>().lanes;
  int64_t size = 0;
  const auto strip = [&](const WinogradEnd* h, const WinogradEnd* w) {
    Strip strip{};
    strip.h = h;
    strip.w = w;
    strip.tiles = (h ? 1 : plan.down) * (w ? 1 : plan.across);
    strip.v_vector = strip.m_vector = plan.images * strip.tiles * lanes;
    strip.v_plane = plane_stride<T>(ceil_div(s.channels, lanes) * strip.v_vector);
    strip.m_plane = plane_stride<T>(plan.chunk * strip.m_vector);
    const int64_t v = strip.planes(s.shape) * strip.v_plane, m = strip.planes(s.shape) * strip.m_plane;
    f(strip, size, size + v, size + v + m);
    size += v + m + plane_stride<T>(strip.outputs(s.shape) * lanes);
  };
  for (const WinogradEnd& w : s.ends[1])
    if (has(2, w)) strip(nullptr, &w);
  for (const WinogradEnd& h : s.ends[0]) {
    if (!has(1, h)) continue;
    strip(&h, nullptr);
    for (const WinogradEnd& w : s.ends[1])
      if (has(2, w)) strip(&h, &w);
  }
  return size;
}

template <class T>
int64_t WinogradBorder<T>::elements(const WinogradSum<T>& s, const WinogradPlan& plan) {
  return each_strip(
      s, plan, [](int, const WinogradEnd&) { return true; }, [](const Strip&, int64_t, int64_t, int64_t) {});
}

template <class T>
WinogradBorder<T>::WinogradBorder(const WinogradSum<T>& s, const WinogradPlan& plan, const Box& box, T* memory)
    : s_(s), box_(box) {
  const auto has = [&](int axis, const WinogradEnd& end) {
    return end.behind ? box.end[axis] == s.shape.tiles(axis, s.axis[axis].outputs) : box.begin[axis] == 0;
  };
  each_strip(s, plan, has, [&](Strip strip, int64_t v, int64_t m, int64_t out) {
    strip.v = memory + v;
    strip.m = memory + m;
    strip.out = memory + out;
    strip.tiles = (strip.h ? 1 : box.extent(1)) * (strip.w ? 1 : box.extent(2));
    strips_.push_back(strip);
  });
}

template <class T>
void WinogradBorder<T>::transform(const WinogradPatchesOf<T>& source, int64_t c, int64_t n, const T* pixels) const {
  const int64_t lanes = conv_kernels<T>().lanes;
  for (const Strip& strip : strips_) {
    const T* src =
        pixels + (strip.h ? source.row_of(strip.h->source) : 0) + (strip.w ? source.column_of(strip.w->source) : 0);
    T* v = strip.v + c * strip.v_vector + n * strip.tiles * lanes;
    const int32_t* line = strip.h ? source.columns() : source.rows();
    if (strip.h && strip.w) {
      std::copy_n(src, lanes, v);
    } else if (s_.shape.large()) {
      static constexpr int32_t row = 0;
      const WinogradTiles tiles{1, strip.tiles, 1, strip.tiles, {}, false, {}};
      winograd_kernels<T>().strip_patches({src, &row, line, tiles, v, strip.v_plane, 0, kStripIn, false, kStripIn});
    } else {
      winograd_kernels<T>().line_patches({src, line, strip.tiles, v, strip.v_plane});
    }
  }
}

template <class T>
void WinogradBorder<T>::multiply(int64_t plane, int64_t c0, WinogradProducts<T> job) const {
  const int64_t row = plane / s_.shape.side, column = plane % s_.shape.side;
  for (const Strip& strip : strips_) {
    if ((strip.h && row != plane_of(s_.shape, *strip.h)) || (strip.w && column != plane_of(s_.shape, *strip.w)))
      continue;
    const int64_t i = !strip.h ? row : !strip.w ? column : 0;
    job.v = strip.v + i * strip.v_plane + c0 / conv_kernels<T>().lanes * strip.v_vector;
    job.v_vector = strip.v_vector;
    job.tiles = box_.images() * strip.tiles;
    job.m = strip.m + i * strip.m_plane;
    job.m_vector = strip.m_vector;
    winograd_kernels<T>().products(job);
  }
}

template <class T>
void WinogradBorder<T>::add_to(WinogradOutput<T>& job, int64_t r, int64_t n) {
  const int64_t lanes = conv_kernels<T>().lanes;
  job.additions = additions_;
  job.addition_count = 0;
  for (const Strip& strip : strips_) {
    const T* m = strip.m + r * strip.m_vector + n * strip.tiles * lanes;
    if (!strip.h || !strip.w) {
      winograd_kernels<T>().line_output({m, strip.m_plane, strip.tiles, strip.out, s_.shape.large()});
      if (strip.h ? job.tiles.whole_across < job.tiles.across : job.tiles.whole_down < job.tiles.down) {
        T* last = strip.out + (strip.outputs(s_.shape) - 1) * lanes;  // the last tile is short
        std::copy_n(last, lanes, last - s_.shape.lacking() * lanes);
      }
    }
    WinogradAddition<T>& a = additions_[job.addition_count++];
    a.src = strip.h && strip.w ? m : strip.out;
    a.row = strip.h ? strip.h->target - s_.shape.first(1, box_.begin[1]) : 0;
    a.rows = strip.h ? 1 : strip.outputs(s_.shape);
    a.column = strip.w ? strip.w->target - s_.shape.first(2, box_.begin[2]) : 0;
    a.columns = strip.w ? 1 : job.columns;
  }
}

template class WinogradBorder<float>;
template class WinogradBorder<double>;

}  // namespace fastconv
