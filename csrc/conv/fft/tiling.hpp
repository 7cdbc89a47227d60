// How a sum is cut for Fourier transforms: tiles of outputs, two at a time, and terms that are transformed apart.
#pragma once
#include "base/workspace.hpp"
#include "conv/fft/plan.hpp"
#include "conv/fft/taps.hpp"

namespace fastconv {

// Two tiles of outputs of one image, side by side at each depth (place on the first axis); or the last tile, if their
// number is odd, at depths `shift` apart.
struct FftPair {
  int64_t image, count, depths, shift;
  int64_t begin[2][2], extent[2][2];  // [which][axis]
  int64_t depth(int64_t which, int64_t step) const { return step + which * shift; }
};

// What is summed in the frequency domain: taps of each axis, of one channel.
struct FftTerm {
  const FftPhase *d, *h, *w;
  int64_t channel;
};

// Terms of one row: taps [d0, d0 + depths) of the first axis, and of each the inner terms [i0, i0 + terms).
struct FftTerms {
  int64_t d0, depths, i0, terms;
  int64_t size() const { return depths * terms; }
  bool first() const { return d0 == 0 && i0 == 0; }
};

class FftTiling {
 public:
  FftTiling(const FftAxes& axes, const FftPlan& p);

  const FftAxes& a;
  const FftPlan& plan;
  Vector<FftPhase> phase[3];

  int64_t taps() const { return a.axis[0].taps(); }
  int64_t inner() const { return plan.terms / taps(); }

  FftPair pair(int64_t image, int64_t i) const;
  // The plane that tile `which` reads where the first reads plane v, before padding.
  int64_t source_plane(const FftPair& p, int64_t which, int64_t v) const;

  FftTerm term(int64_t q) const;
  // Of chunk i of all terms, in order.
  FftTerms terms(int64_t i) const;
  int64_t term_chunks() const;
  bool last(const FftTerms& t) const { return t.d0 + t.depths == taps() && t.i0 + t.terms == inner(); }
};

}  // namespace fastconv
