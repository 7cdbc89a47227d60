// What padding by one adds to an input gradient. An output in the padding is reached by an outermost tap alone, and the
// transform takes that tap as it is (u_0 = w_0, the last of u = w_2): outputs along a side of the image are products
// of one line of the source with a row or column of planes of the transformed weights, the one behind a corner those of
// a pixel with a single plane. A block computes them along with its own outputs, from the same pixels, and adds them to
// the line or pixel that the padding repeats before y is written.
#pragma once
#include "conv/winograd.hpp"
#include "conv/winograd_patches.hpp"

namespace fastconv {

struct BackwardPieces;

// The ends of an axis whose pieces these are. False if padding adds more than ends.
bool find_winograd_ends(const BackwardPieces& pieces, Vector<WinogradEnd>& ends);

template <class T>
class WinogradBorder {
 public:
  // Of a block; `memory` has at least elements(...) of any block of the plan.
  WinogradBorder(const WinogradSum<T>& s, const WinogradPlan& plan, const Box& box, T* memory);
  static int64_t elements(const WinogradSum<T>& s, const WinogradPlan& plan);

  // Vector c of the source's channels, of image n of the box, from the pixels its patches have been made of.
  void transform(const WinogradPatchesOf<T>& source, int64_t c, int64_t n, const T* pixels) const;

  // Its share of a plane, with the weights and the channels, from c0 on, of the block's own products: while the weights
  // are in the L1 cache.
  void multiply(int64_t plane, int64_t c0, WinogradProducts<T> job) const;

  // What is to be added to vector r of these rows, in image n.
  void add_to(WinogradOutput<T>& job, int64_t r, int64_t n);

 private:
  // The padding beyond an end of h, of w, or of both.
  struct Strip {
    const WinogradEnd *h, *w;  // null: along all tiles of the axis
    int64_t tiles;             // of an image
    T *v, *m, *out;            // v and m[plane][vector][image][tile][lane], out[4 * tile][lane]
    int64_t v_vector, v_plane, m_vector, m_plane;

    int64_t planes(const WinogradShape& shape) const { return h && w ? 1 : shape.side; }
    int64_t outputs(const WinogradShape& shape) const { return (h && w ? 1 : shape.out(1)) * tiles; }
  };

  // Calls f(strip) for each strip of a block of so many tiles, and returns the elements they take. `has`(axis, end):
  // whether the end is one of the block's.
  template <class Has, class F>
  static int64_t each_strip(const WinogradSum<T>& s, const WinogradPlan& plan, Has has, F f);

  const WinogradSum<T>& s_;
  const Box& box_;
  Vector<Strip> strips_;
  WinogradAddition<T> additions_[8];
};

}  // namespace fastconv
