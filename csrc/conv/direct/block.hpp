// A packed block: source values of some channels behind a box of outputs, laid out so that every tap is a constant
// offset and consecutive outputs are consecutive elements.
//
// Elements: [channel][w segment][h segment][d segment][image][d entry][h entry][w entry], a plane being everything
// behind [d segment]. Output (image, od, oh, ow) of the box has position ((image * Wd + od) * Wh + oh) * Ww + ow, and
// tap (channel, td, th, tw) adds offset(channel, t) to it, W* being the widths of the axes' layouts.
#pragma once

#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

struct Box {  // outputs [begin, end) of each axis, and images
  int64_t image0, image1;
  int64_t begin[3], end[3];

  int64_t images() const { return image1 - image0; }
  int64_t extent(int axis) const { return end[axis] - begin[axis]; }
  int64_t pixels() const { return images() * extent(0) * extent(1) * extent(2); }
};

// Where everything stands: of elements of any type.
class BlockShape {
 public:
  int64_t channel_stride() const { return channel_stride_; }
  int64_t taps() const { return static_cast<int64_t>(tap_offset_.size()); }
  int64_t width(int axis) const { return layout_[axis].width; }
  const Box& box() const { return box_; }

  // Position of an output; od, oh, ow count from the box's begin.
  int64_t position(int64_t image, int64_t od, int64_t oh, int64_t ow) const {
    return image * image_ + (od * layout_[1].width + oh) * layout_[2].width + ow;
  }
  // out[c * taps + t] = offset of tap t of channel c.
  void offsets(int64_t channels, int32_t* out) const;

  // Memory for `channels` channels and a slack that tiles may read past the end.
  int64_t elements(int64_t channels) const { return in_place_ ? 0 : channels * channel_stride_ + kSlack; }
  static constexpr int64_t kSlack = (kMaxVectors + 1) * 16;

  bool in_place() const { return in_place_; }

  // The same outputs of the next images.
  void next_images() {
    const int64_t n = box_.images();
    x_.data += n * x_.stride[0] * bytes_;
    box_.image0 += n;
    box_.image1 += n;
  }

  // Leaves out the last `pixels` outputs of each image, if each is a line of one tap: then the images begin at whole
  // vectors, and no more than is wanted passes through the caches. left_out() is where they stand in x, side by side.
  void leave_out(int64_t pixels);
  bool leaves_out() const { return leaves_out_; }

 protected:
  BlockShape(const AxisMap axes[3], const Box& box, const bool expand[3], const View<const char>& x, int64_t bytes,
             int64_t past, int64_t alignment);
  // Whether channels lie next to each other: squares are transposed.
  bool has_pixels() const { return x_.stride[1] == 1 && x_.stride[4] != 1; }
  // Whether there is but a line an image, as those of a 1x1 kernel are: all channels of a line are copied at once.
  bool copies_lines() const;

  Box box_;
  View<const char> x_;  // strides count elements
  int64_t bytes_;       // of one
  AxisLayout layout_[3];
  Vector<int32_t> tap_offset_;
  int64_t image_ = 0, plane_ = 0, channel_stride_ = 0;
  Vector<PackLine> lines_, more_lines_;  // the first source of each line, and the others
  Vector<PackRun> runs_, more_runs_;
  Vector<int32_t> empty_lines_;  // lines of zeros
  Vector<PackRun> gaps_;         // zeros within the other lines
  Vector<PackWindow> windows_;   // the first source of each line, if that is quicker
  bool in_place_ = false, leaves_out_ = false;

 private:
  void find_lines();
  void join_lines();
  void find_windows();
  bool stands_in_x(int64_t past, int64_t alignment) const;
};

template <class T>
class Block : public BlockShape {
 public:
  // A block may be x itself if the `past` elements behind its last line, which tiles read, are x's too. Where many rows
  // read it, a copy is worth while that has an `alignment`: there only if it has one tap and its lines begin at
  // multiples of so many bytes.
  Block(const AxisMap axes[3], const Box& box, const bool expand[3], const View<const T>& x, int64_t past,
        int64_t alignment = 1)
      : BlockShape(axes, box, expand, of_bytes(x), sizeof(T), past, alignment) {}

  // clear() writes the zeros of a block, pack() the other values: channels [c0, c0 + channels) of x. A block that is
  // packed again needs no clearing: its zeros stand where they stood. pack() returns where the block is: dst, or x
  // itself where its memory is such a block already (whole rows without padding or stride).
  void clear(int64_t channels, T* dst) const;
  const T* pack(const ConvKernelsOf<T>& kernels, int64_t c0, int64_t channels, T* dst) const;

  const T* left_out(int64_t c, int64_t image) const {
    return x() + c * x_.stride[1] + lines_[static_cast<size_t>(image)].src + runs_[0].src + runs_[0].length;
  }

 private:
  static View<const char> of_bytes(const View<const T>& x) {
    View<const char> v;
    v.data = reinterpret_cast<const char*>(x.data);
    for (int i = 0; i < 5; ++i) v.shape[i] = x.shape[i], v.stride[i] = x.stride[i];
    return v;
  }
  const T* x() const { return reinterpret_cast<const T*>(x_.data); }
  void copy_lines(const ConvKernelsOf<T>& kernels, int64_t c0, int64_t channels, T* dst) const;
  void pack_pixels(const ConvKernelsOf<T>& kernels, int64_t c0, int64_t channels, T* dst) const;
};

// Channels an odd number of cache lines apart spread over all sets of the L1 cache.
int64_t spread(int64_t elements);

// Elements a channel of the block takes.
int64_t block_channel_size(const AxisMap axes[3], int64_t images, const int64_t extent[3], const bool expand[3]);

}  // namespace fastconv
