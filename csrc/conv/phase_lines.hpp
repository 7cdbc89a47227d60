// The phases that a stride of two to four makes of an input gradient's width: each is summed into planes of its own,
// whose rows follow one another, and lines of y are zipped from theirs. To write every second element of y, or fewer,
// is slower than to write all of them twice.
#pragma once
#include "conv/operands.hpp"

namespace fastconv {

// to[x * step] = from[x % ways * pitch + x / ways], x in [0, n)
template <class T>
void zip_line(const T* from, int64_t pitch, int64_t ways, int64_t n, T* to, int64_t step);

template <class T>
class PhaseLines {
 public:
  // Of one piece of the other axes, and all of the width.
  PhaseLines(const Operands<T>& c, const Piece& d, const Piece& h, const Vector<Piece>& ws);
  static bool suits(const Operands<T>& c, const Piece& d, const Piece& h, const Vector<Piece>& ws);
  bool fits() const;  // into the memory that scratch may take

  int64_t ways() const { return ways_; }
  int64_t elements() const { return ways_ * pitch_; }
  // The operands of one phase, whose planes begin at `memory`, and its pieces.
  Operands<T> operands(int64_t phase, T* memory) const;
  const Piece& d() const { return d_; }
  const Piece& h() const { return h_; }
  Piece w(int64_t phase) const;
  void zip(const T* memory) const;

 private:
  const Operands<T>& c_;
  const Vector<Piece>& ws_;
  const View<T> y_;  // of all phases
  Piece d_, h_;      // of planes of their own
  const int64_t ways_, columns_, channels_;
  int64_t pitch_;  // from phase to phase
};

}  // namespace fastconv
