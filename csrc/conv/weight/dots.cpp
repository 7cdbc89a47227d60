// The weight gradient with vectors along the pixels.
#include "conv/weight/store.hpp"
#include "conv/weight/sum.hpp"
#include "kernels/depthwise/depthwise.hpp"

namespace fastconv {

// Rows of dy, of some output channels, one behind the other.
template <class T>
void WeightSum<T>::copy_rows(const T* from, int64_t tall, int64_t height, int64_t n, T* to) const {
  for (int64_t r = 0; r < height; ++r)
    kernels.pack_transposed(to + r * n, height * n, from + r * dy.stride[3], dy.stride[4], dy.stride[1], tall, n, n);
}

// sums[((o * channels + c) * taps + t) * lanes + lane], behind which come the rows of dy at `next`. Where rows are
// one, dy follows, by way of a copy if it must.
template <class T>
void WeightSum<T>::multiply_dots(DotTile<T> tile, const Task& t, bool joined, const T* next, const Scratch& s) const {
  const int64_t depth = t.c.size() * taps, n = tile.pixels, height = tile.rows;
  const bool copied = dy.stride[4] != 1 || (joined && dy.stride[3] != n);
  const T* dy_rows = tile.a;
  if (joined) tile.pixels = n * height, tile.rows = 1;
  tile.lda = copied ? height * n : dy.stride[1];
  tile.a_row = copied ? n : dy.stride[3];
  tile.ldc = depth * lanes;
  for (int64_t left = t.o.size(), tall; left > 0; left -= tall) {
    tall = dot_rows(left);
    tile.a = copied ? s.panel : dy_rows;
    if (copied) copy_rows(dy_rows, tall, height, n, s.panel);
    dy_rows += tall * dy.stride[1];
    const int64_t ahead = (left > tall ? dy_rows : next) - tile.a;
    for (int64_t u = 0, k = 0, wide; u < depth; u += wide, ++k, tile.c += wide * lanes) {
      wide = kernels.dot_taps(tall, depth - u);
      tile.boff = s.dot_rows() + u;
      tile.ahead = copied || k >= std::min(kDotsAhead, tall) ? 0 : ahead + k * dy.stride[1];
      kernels.dot[tall - 1][wide - 1](tile);
    }
    tile.c += (tall - 1) * tile.ldc;
  }
}

// Rows of one image at a time: all of a plane where they follow one another in the block without gaps, as one row.
template <class T>
void WeightSum<T>::add_dots(int64_t g, const Task& t, const Block<T>& block, const T* packed, bool first,
                            const Scratch& s) const {
  const Box& b = block.box();
  const int64_t n = b.extent(2), all = b.extent(1);
  const bool joined = block.width(2) == n && all > 1;
  const int64_t most = std::max<int64_t>(1, kDotPixels / n);
  block.offsets(t.c.size(), s.dot_rows());
  for (int64_t i = 0; i < b.images(); ++i)
    for (int64_t d = 0; d < b.extent(0); ++d)
      for (int64_t h = 0; h < all; h += most) {
        const auto dy_of = [&](int64_t image, int64_t row) {
          return dy_row(b.image0 + image, g * oc + t.o.begin, b.begin[0] + d, b.begin[1] + row, b.begin[2]);
        };
        DotTile<T> tile{};
        tile.accumulate = !first || i + d + h > 0;
        tile.rows = std::min(most, all - h);
        tile.pixels = n;
        tile.a = dy_of(i, h);
        tile.b = packed + block.position(i, d, h, 0);
        tile.b_row = block.width(2);
        tile.c = sums_of(t, g, s);
        multiply_dots(tile, t, joined, h + most < all ? dy_of(i, h + most) : dy_of(i + 1, 0), s);
      }
}

// Some blocks. One that differs from the last in its images alone is made of it.
template <class T>
void WeightSum<T>::accumulate_dots(const Task& t, Range some, const Scratch& s) const {
  int64_t i = some.begin;
  while (i < some.end) {
    const Box b = box(i);
    Block<T> block(axis, b, expand, x, 0);
    block.clear(t.c.size(), s.block);
    for (const bool whole = b.pixels() == images * p.out_pixels();; block.next_images()) {
      for (int64_t g = t.g.begin; g < t.g.end; ++g)
        add_dots(g, t, block, block.pack(kernels, g * ic + t.c.begin, t.c.size(), s.block), i == some.begin, s);
      if (++i == some.end || !whole || box(i).images() < images) break;
    }
  }
}

template <class T>
void WeightSum<T>::store_dots(T* sums, Range o, Range c) const {
  const Vector<int64_t> at = weight_positions(dw, c.size());
  depthwise_kernels<T>().lane_sums(sums, sums, o.size() * static_cast<int64_t>(at.size()));
  for (int64_t m = o.begin; m < o.end; ++m)
    for (int64_t i : at) dw.data[m * dw.stride[0] + c.begin * dw.stride[1] + i] = *sums++;
}

template void WeightSum<float>::accumulate_dots(const Task&, Range, const Scratch&) const;
template void WeightSum<double>::accumulate_dots(const Task&, Range, const Scratch&) const;
template void WeightSum<float>::store_dots(float*, Range, Range) const;
template void WeightSum<double>::store_dots(double*, Range, Range) const;

}  // namespace fastconv
