// Planes are transposed, so that a vector holds one element of each, pooled by lists of windows, and transposed back. Rows
// of the window are joined column by column, then columns, in the order of the row kernels.
#include "kernels/pool_lanes.hpp"

#include "kernels/edges.hpp"
#include "kernels/pool_ops.hpp"
#include "kernels/shuffle.hpp"

namespace fastconv {
namespace FASTCONV_ISA_NS {
namespace {

// Element l of vector m becomes element m of vector l.
template <class T, int kRounds = kLanes<T>>
FASTCONV_INLINE void transpose(Vec<T> (&r)[kLanes<T>]) {
  if constexpr (kRounds > 1) {
    constexpr int half = kLanes<T> / 2;
    Vec<T> s[kLanes<T>];
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) {
      s[2 * i] = zip_low(r[i], r[i + half]);
      s[2 * i + 1] = zip_high(r[i], r[i + half]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) r[i] = s[i];
    transpose<T, kRounds / 2>(r);
  }
}

// to[i] = element i of every plane; writes whole blocks.
template <class T>
void gather_lanes(const T* const* planes, int64_t size, const T* end, Vec<T>* to) {
  for (int64_t i = 0; i < size; i += kLanes<T>) {
    Vec<T> r[kLanes<T>];
    if (size - i >= kLanes<T>) {
#pragma GCC unroll 16
      for (int l = 0; l < kLanes<T>; ++l) r[l] = load(planes[l] + i);
    } else {
      for (int l = 0; l < kLanes<T>; ++l) r[l] = load_some(planes[l] + i, size - i, end);
    }
    transpose<T>(r);
#pragma GCC unroll 16
    for (int l = 0; l < kLanes<T>; ++l) to[i + l] = r[l];
  }
}

// put(plane, i, v): elements i and on of a plane, a whole vector unless the plane is smaller.
template <class T, class Put>
FASTCONV_INLINE void scatter_lanes(const Vec<T>* from, int64_t planes, int64_t size, Put put) {
  for (int64_t i = 0; i < size; i += kLanes<T>) {
    if (i + kLanes<T> > size && size > kLanes<T>) i = size - kLanes<T>;
    Vec<T> r[kLanes<T>];
#pragma GCC unroll 16
    for (int l = 0; l < kLanes<T>; ++l) r[l] = from[i + l];
    transpose<T>(r);
    if (planes == kLanes<T>) {
#pragma GCC unroll 16
      for (int l = 0; l < kLanes<T>; ++l) put(l, i, r[l]);
    } else {
      for (int64_t l = 0; l < planes; ++l) put(l, i, r[l]);
    }
  }
}

template <class T>
void write_planes(const LanePlanes<T>& g, const Vec<T>* from, int64_t size) {
  if (size == 1 && g.y_packed && g.planes == kLanes<T>) return store(g.y[0], from[0]);
  const T* last = g.y[g.planes - 1] + size;
  scatter_lanes<T>(from, g.planes, size, [&](int64_t l, int64_t i, Vec<T> v) FASTCONV_LAMBDA {
    if (size >= kLanes<T>) store(g.y[l] + i, v);
    else store_some(g.y[l] + i, v, size, g.y_packed ? last : g.y[l] + size);
  });
}

template <class T>
void write_positions(const LanePlanes<T>& g, const Mask<T>* from, int64_t size) {
  scatter_lanes<T>(reinterpret_cast<const Vec<T>*>(from), g.planes, size, [&](int64_t l, int64_t i, Vec<T> v) FASTCONV_LAMBDA {
    Position<T> position[kLanes<T>];
    __builtin_memcpy(position, &v, sizeof position);
    int64_t* to = g.index[l] + i;
    if (size >= kLanes<T>)
      for (int e = 0; e < kLanes<T>; ++e) to[e] = position[e];
    else
      for (int e = 0; e < size; ++e) to[e] = position[e];
  });
}

// The parts of the scratch memory: planes and lines of vectors.
template <class T>
struct Scratch {
  Vec<T>* in;
  Vec<T>* in_grad;
  Vec<T>* line;
  Mask<T>* line_at;
  Vec<T>* out;
  Mask<T>* out_at;
  int64_t size_in, size_out;

  explicit Scratch(const LanePlanes<T>& g) {
    size_in = g.axis[0].in * g.axis[1].in * g.axis[2].in;
    size_out = g.axis[0].out * g.axis[1].out * g.axis[2].out;
    const int64_t width = g.axis[2].in > g.axis[2].out ? g.axis[2].in : g.axis[2].out;
    in = static_cast<Vec<T>*>(g.scratch);
    in_grad = in + size_in + kLanes<T>;
    line = in_grad + size_in;
    line_at = reinterpret_cast<Mask<T>*>(line + width);
    out = reinterpret_cast<Vec<T>*>(line_at + width);
    out_at = reinterpret_cast<Mask<T>*>(out + size_out + kLanes<T>);
  }
};

// Rows of a window joined, in kColumns columns from `first`.
template <class Op, class T, int kColumns>
FASTCONV_INLINE void join_rows(const LanePlanes<T>& g, const Scratch<T>& s, PoolWindow d, PoolWindow h, int64_t column) {
  const int64_t width = g.axis[2].in, plane = g.axis[1].in * width;
  VecCell<Op, T> cell[kColumns];
  auto at = [&](int64_t position) FASTCONV_LAMBDA {
    return VecCell<Op, T>::make(Op::prepare(s.in[position]), splat_position<T>(position));
  };
  const int64_t first = d.start * plane + h.start * width + column;
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) cell[c] = at(first + c);
  for (int64_t i = 0; i < d.count; ++i)
    for (int64_t j = i == 0; j < h.count; ++j) {
      const int64_t row = first + i * g.axis[0].dilation * plane + j * g.axis[1].dilation * width;
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) cell[c] = Op::later(cell[c], at(row + c));
    }
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
    s.line[column + c] = cell[c].v;
    if constexpr (Op::kMarked) s.line_at[column + c] = cell[c].i;
  }
}

// visit(o, d, h, w, cell) for every output; d, h, w are the coordinates of its window.
template <class Op, class T, class Visit>
FASTCONV_INLINE void for_each_window(const LanePlanes<T>& g, const Scratch<T>& s, Visit visit) {
  const LaneAxis<T>&d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  auto at = [&](int64_t column) FASTCONV_LAMBDA {
    return VecCell<Op, T>::make(s.line[column], Op::kMarked ? s.line_at[column] : Mask<T>{});
  };
  int64_t o = 0;
  for (int64_t od = 0; od < d.out; ++od)
    for (int64_t oh = 0; oh < h.out; ++oh) {
      int64_t column = 0;
      for (; column + 4 <= w.in; column += 4) join_rows<Op, T, 4>(g, s, d.windows[od], h.windows[oh], column);
      for (; column < w.in; ++column) join_rows<Op, T, 1>(g, s, d.windows[od], h.windows[oh], column);
      for (int64_t ow = 0; ow < w.out; ++ow, ++o) {
        const PoolWindow window = w.windows[ow];
        VecCell<Op, T> cell = at(window.start);
        for (int64_t t = 1; t < window.count; ++t) cell = Op::join(cell, at(window.start + t * w.dilation));
        visit(o, od, oh, ow, cell);
      }
    }
}

template <class Op, class T>
void pool_planes(const LanePlanes<T>& g) {
  const Scratch<T> s(g);
  gather_lanes(g.x, s.size_in, g.x_end, s.in);
  for_each_window<Op>(g, s, [&](int64_t o, int64_t d, int64_t h, int64_t w, VecCell<Op, T> cell) FASTCONV_LAMBDA {
    if (g.divided) cell.v = cell.v / (g.axis[2].divisors[w] * (g.axis[0].divisors[d] * g.axis[1].divisors[h]));
    s.out[o] = cell.v;
    if constexpr (Op::kMarked) s.out_at[o] = cell.i;
  });
  write_planes(g, s.out, s.size_out);
  if constexpr (Op::kMarked) write_positions(g, s.out_at, s.size_out);
}

}  // namespace

template <class T>
void LanePools<T>::max(const LanePlanes<T>& g) {
  pool_planes<Max<Same>>(g);
}
template <class T>
void LanePools<T>::max_index(const LanePlanes<T>& g) {
  pool_planes<MaxIndex>(g);
}
template <class T>
void LanePools<T>::sum(const LanePlanes<T>& g) {
  pool_planes<Sum<Same>>(g);
}

// Every element gathers from the windows that hold it.
template <class T>
void LanePools<T>::avg_grad(const LanePlanes<T>& g) {
  const Scratch<T> s(g);
  gather_lanes(g.dy, s.size_out, g.dy_end, s.out);
  const LaneAxis<T>&d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  int64_t at = 0;
  for (int64_t i = 0; i < d.in; ++i)
    for (int64_t j = 0; j < h.in; ++j) {
      const PoolCover planes = d.covers[i], rows = h.covers[j];
      for (int64_t o = 0; o < w.out; ++o) {
        Vec<T> sum{};
        for (int64_t a = planes.first; a < planes.last; ++a)
          for (int64_t b = rows.first; b < rows.last; ++b)
            sum += s.out[(a * h.out + b) * w.out + o] * (d.divisors[a] * h.divisors[b]);
        s.line[o] = sum * (g.scale * w.divisors[o]);
      }
      for (int64_t k = 0; k < w.in; ++k) {
        const PoolCover outputs = w.covers[k];
        Vec<T> sum{};
        for (int64_t o = outputs.first; o < outputs.last; ++o) sum += s.line[o];
        s.in_grad[at++] = sum;
      }
    }
  write_planes(g, s.in_grad, s.size_in);
}

template struct LanePools<float>;
template struct LanePools<double>;

}  // namespace FASTCONV_ISA_NS
}  // namespace fastconv
