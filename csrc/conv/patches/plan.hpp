// How an input gradient by patches (conv/patches/patches.hpp) is cut up: the same for both types of elements but for
// their size.
#pragma once
#include <algorithm>
#include <numeric>

#include "base/checked.hpp"
#include "base/range.hpp"
#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "conv/patches/sums.hpp"
#include "fastconv/conv.hpp"
#include "kernels/conv.hpp"
#include "kernels/depthwise/squares.hpp"

namespace fastconv {

// An axis: output o meets element o * stride + t * dilation - pad_before with tap t.
struct PatchAxis : ConvAxis {
  explicit PatchAxis(const ConvAxis& a) : ConvAxis(a) {}
  // Of taps that an element meets, from one to the next, and the first of them; `at`: the element, counted from where
  // the first tap of an output meets one. None: the number of taps.
  int64_t tap_step() const { return stride / std::gcd(stride, dilation); }
  int64_t first_tap(int64_t at) const {
    const int64_t some = std::min(k, tap_step());
    for (int64_t t = dilation == 1 ? floor_mod(at, stride) : 0; t < some; ++t)
      if (floor_mod(at - t * dilation, stride) == 0) return t;
    return k;
  }
  // Outputs before `o` that the elements from first_open(o) on meet.
  int64_t carried() const { return (k - 1) * dilation / stride; }
  // The first element that output o or a later one meets.
  int64_t first_open(int64_t o) const { return o >= out ? in : std::clamp<int64_t>(o * stride - pad_before, 0, in); }
};

// Of an axis, outputs whose patches are at hand, and elements that they alone meet.
struct PatchWindow {
  Range outputs, elements;
  // Where an element is, counted from where the first tap of the first of the outputs meets one.
  int64_t place(const PatchAxis& a, int64_t element) const { return element + a.pad_before - outputs.begin * a.stride; }
};

// What a task is at: its window, and the first output of the cut axis whose patches it has.
struct PatchPart {
  PatchWindow window[3];
  int64_t first = 0;
  int64_t place(int64_t output, int64_t kept) const { return (output - first) % kept; }
};

// What there is to know of the kernels without knowing the type of an element.
struct PatchMachine {
  int64_t size;
  int lanes, rows, vectors, accumulators;
  bool keeps;                       // has few registers
  int64_t squares, larger_squares;  // channels of dx that are summed by squares of three and of five taps
};
template <class T>
PatchMachine patch_machine() {
  const ConvKernelsOf<T>& k = conv_kernels<T>();
  const SquareKernelsOf<T>& s = square_kernels<T>();
  return {
      sizeof(T),          k.lanes, k.rows, k.vectors, k.accumulators, k.keeps, s.many_registers ? 3 : s.rows[0] ? 1 : 0,
      s.larger[0] ? 3 : 0};
}

// Whether patches lie side by side.
bool are_apart(const ConvProblem& p);
// Whether their sums are deep and either lie apart or fit the cache for some channels at least, of weights that are
// read where they stand.
bool are_deep(const ConvProblem& p, const PatchMachine& m);

// Of a line whose elements meet one tap each, its neighbour the next one: the elements of its first patch, if that is
// cut off, and where its last one ends, behind which there are zeros. Or no end.
struct PatchZip {
  int64_t head = 0, end = 0;
};

// Cycles of a channel's patches that are added, to lines by vectors, of as many sums as the stride but that lines of
// patches side by side are copied, or, to as many as a table of a plane may have, to elements one by one.
struct AddingCost {
  double lines, one_by_one;
};
AddingCost adding_cost(const ConvProblem& p, int lanes);

// How a gradient is cut up. None of it changes a bit of the result.
struct Patches {
  ConvProblem p;
  PatchAxis axis[3];
  AxisMap map[3];    // of outputs, each once
  int64_t size;      // bytes of an element
  int cut;           // the axis that images are cut across
  int64_t ic, oc;    // of a group
  int64_t line;      // outputs of a place on that axis
  int64_t channels;  // of dx, a task
  int64_t strip;     // outputs of the cut axis at a time,
  int64_t kept;      // and whose patches are kept: output o's at place o % kept of a part
  int64_t plane;     // elements of the patches of a channel and tap: an odd number of cache lines
  int mr, nr;        // register tile
  int threads;
  int64_t parts;  // of the cut axis, for the threads' sake
  // Deep sums: an image's product is a pointwise gradient of its own, which reads weights where they stand.
  bool deep;
  int64_t images = 1;  // at a time
  bool one_by_one;     // elements of dx are added so

  Patches(const ConvProblem& problem, const PatchMachine& m);
  // The product of deep sums, of a chunk of so many channels.
  ConvProblem product(int64_t some, int64_t mb, int64_t outputs) const;

  int64_t rows() const { return channels * p.taps(); }
  // Channels of dx are done in chunks, each of one group.
  int64_t chunks() const { return p.groups * ceil_div(ic, channels); }
  int64_t group_of(int64_t chunk) const { return chunk / ceil_div(ic, channels); }
  Range channels_of(int64_t chunk) const {
    const int64_t first = chunk % ceil_div(ic, channels) * channels;
    return {first, std::min(ic, first + channels)};
  }
  // Whose weights are packed: where they are many, by one thread for itself, they never leave the cache.
  int64_t chunks_at_once() const { return std::min<int64_t>(chunks(), threads > 1 ? 4 * threads : 1); }
  int64_t weights() const { return deep ? 0 : chunks_at_once() * rows() * oc; }
  // Shared scratch elements: weights, packed and, where they do not stand so, side by side, and patches of deep sums,
  // behind which zips may read a vector.
  int64_t shared() const { return weights() + p.oc * ic * p.taps() + (deep ? images * rows() * plane + 16 : 0); }
  int64_t line_elements() const { return axis[2].stride * ceil_div(axis[2].in, axis[2].stride); }

  // Scratch memory of a task, where its parts begin: a copy of dy's lines, patches, a line of dx, places and offsets
  // in dy and in what is kept of it.
  struct Memory {
    int64_t patches, line, places, offsets, end;  // bytes
  };
  Memory memory() const;

  // All outputs and elements.
  PatchPart whole() const {
    PatchPart all{};
    for (int i = 0; i < 3; ++i) all.window[i] = {{0, axis[i].out}, {0, axis[i].in}};
    return all;
  }
  // Of a strip's outputs [o, end) of the cut axis, in a part that completes elements from `opened` on.
  PatchWindow window(int64_t first, int64_t opened, int64_t o, int64_t end) const {
    const PatchAxis& a = axis[cut];
    return {{std::max(first, o - a.carried()), end}, {std::max(opened, a.first_open(o)), a.first_open(end)}};
  }
  // Of an axis: those of all elements of dx are the sums of three.
  PatchPlaces find_places(const PatchPart& part, int i) const;
  int64_t most_elements(int i) const {  // of a window, of all lines or of a strip's
    const int64_t reach = strip * axis[i].stride + (axis[i].k - 1) * axis[i].dilation;
    return i == cut ? std::min(axis[i].in, reach) : axis[i].in;
  }
  // Whether all tasks have the same window.
  bool once() const { return strip == axis[cut].out && (deep || parts == 1); }
  int64_t places_bytes() const;  // of tables
  // Of a dx of such strides; whether it allows them.
  void find_sums(const PatchPart& part, const int64_t* stride, PatchSums& sums) const;
  bool adds_one_by_one(const int64_t* shape, const int64_t* stride) const;
  // The taps along the width that elements of residue b meet.
  void add_taps(const PatchWindow& window, int64_t b, Vector<LineTap>& taps) const;
  PatchZip zip(const Vector<LineTap>& taps, int64_t n) const;
};

// Of an image, in cycles.
double patches_cost(const ConvProblem& p, const PatchMachine& m);

}  // namespace fastconv
