// Spectra of planes of x, the latest in use, of one pair of tiles, group and chunk of terms.
#pragma once
#include "base/workspace.hpp"
#include "conv/fft/tiles.hpp"

namespace fastconv {

template <class T>
class FftPlanes {
 public:
  FftPlanes(const FftTiles<T>& of_, const FftPair& pair_, int64_t g_, const FftTerms& terms_, View<const T> x_,
            FftScratch<T>& scratch_, T* spectra_)
      : of(of_), pair(pair_), g(g_), terms(terms_), x(x_), scratch(scratch_), spectra(spectra_) {
    held.assign(static_cast<size_t>(of.plan.planes), {INT64_MIN, -1});
  }

  // at[i * depths + d]: the terms behind tap d0 + d of the outputs of step i, null where it reads zeros
  Vector<const T*> at;

  void move_to(int64_t step, int64_t steps);

 private:
  struct Plane {
    int64_t source, used;
  };
  T* spectrum(const Plane* p) const { return spectra + (p - held.data()) * terms.terms * of.size(); }
  const T* find(int64_t v, int64_t step);
  const T* make(int64_t v, int64_t step);

  const FftTiles<T>& of;
  const FftPair& pair;
  int64_t g;
  FftTerms terms;
  View<const T> x;
  FftScratch<T>& scratch;
  T* spectra;
  Vector<Plane> held;
};

}  // namespace fastconv
