// Elements of an input gradient by patches (conv/patches/patches.hpp) whose lines are too short for vectors.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/workspace.hpp"

namespace fastconv {

// Where the patches stand that meet each element of a window, element after element.
struct PatchPlaces {
  Vector<int64_t> at, begin{0};
  const int64_t* of(int64_t element) const { return at.data() + begin[static_cast<size_t>(element)]; }
  int64_t count(int64_t element) const { return of(element + 1) - of(element); }
  int64_t size() const { return static_cast<int64_t>(begin.size()) - 1; }
  int64_t most() const {  // of an element
    int64_t n = 0;
    for (int64_t i = 0; i < size(); ++i) n = std::max(n, count(i));
    return n;
  }
  int64_t live() const {  // elements that have any
    int64_t n = 0;
    for (int64_t i = 0; i < size(); ++i) n += count(i) > 0;
    return n;
  }
  // Elements, from the first on, that one output meets each.
  int64_t single() const {
    size_t n = 0;
    while (n + 1 < begin.size() && begin[n + 1] == begin[n] + 1) ++n;
    return static_cast<int64_t>(n);
  }
};

// The elements of a window one by one, those of fewest patches first: where their patches stand, then where they do.
// Lines without any are filled.
struct PatchSums {
  Vector<int32_t> entries;
  Vector<int64_t> elements;  // of so many patches
  Vector<int64_t> fills;     // the first one of some elements, and how many
  int64_t step;              // between elements of a line
  // Of places along depth, height and width of a dx of such strides; there is room for all that are to be found.
  void list(const PatchPlaces& deep, const PatchPlaces& high, const PatchPlaces& wide, const int64_t* stride);
  void fill(int64_t first, int64_t n) {
    if (step == 1 && !fills.empty() && fills[fills.size() - 2] + fills.back() == first) {
      fills.back() += n;
    } else {
      fills.push_back(first);
      fills.push_back(n);
    }
  }
  // dst[own place] = init + the sum of src[places of its patches]
  template <class T>
  void sum(const T* src, T init, T* dst) const;
};

}  // namespace fastconv
