// An axis that the kernel covers has one output: its inputs are further channels, each under a tap of its own, and the
// kernel has one tap less an axis. Thus a sum over electrodes or frequencies is a pointwise layer.
#pragma once
#include "base/workspace.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/tensor.hpp"

namespace fastconv {

inline bool is_covered(const ConvAxis& a) {
  return a.in == a.k && a.out == 1 && a.dilation == 1 && a.pad_before + a.pad_after == 0;
}

struct Covered {
  ConvProblem p;  // with such axes among its channels
  bool joins[3] = {}, any = false;

  // Looks at no layout, as other sums have other bits: an axis that others part from the channels is left. Unless dx is
  // written, nothing but a pointwise layer of some pixels pays.
  Covered(const ConvProblem& whole, Direction direction, Algorithm algorithm);

  explicit Covered(const ConvProblem& whole) : p(whole) {}  // without any

  // Of x or w. False if the elements of an axis are not those behind a channel.
  bool join(int64_t* shape, int64_t* stride) const;
  // Of copies of both.
  int64_t bytes(int64_t item) const;
};

// Makes a view of x or w one of such a problem: of the same memory or, while this lives, of a copy, which is written
// back if it is a result.
class Joined {
 public:
  template <class T>
  Joined(const Covered& c, View<const T>& input) {
    if (!c.any || stands(c, sizeof(T), input.shape, input.stride)) return;
    copy(input.data, copy_.data, false);
    input.data = static_cast<T*>(copy_.data);
  }
  template <class T>
  Joined(const Covered& c, View<T>& result) {
    if (!c.any || stands(c, sizeof(T), result.shape, result.stride)) return;
    result_ = result.data;
    result.data = static_cast<T*>(copy_.data);
  }
  Joined(const Joined&) = delete;
  ~Joined() {
    if (copy_.data) finish();
  }

 private:
  // Joins the axes of a view, or takes memory for a copy whose view it makes it.
  bool stands(const Covered& c, int64_t item, int64_t* shape, int64_t* stride);
  void copy(const void* from, void* to, bool back) const;
  void finish();
  int64_t item_;
  int64_t stride_[5];  // of the caller's memory
  View<void> copy_;    // dense, of the whole problem's shape
  void* result_ = nullptr;
};

}  // namespace fastconv
