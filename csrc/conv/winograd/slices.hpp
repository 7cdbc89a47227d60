// Which slices of a volume lie transformed in a task's memory (conv/winograd/winograd.cpp).
#pragma once
#include <algorithm>

#include "base/workspace.hpp"
#include "conv/axis.hpp"
#include "conv/index_map.hpp"

namespace fastconv {

// The slices of x that lie transformed in a task's memory, of which each is read by several outputs along the depth. A
// place has room for all parts of a slice.
class Slices {
 public:
  Slices(const AxisMap& axis, int64_t parts_)
      : d(axis),
        parts(parts_),
        held(axis.offset.size()),
        wanted(held),
        place(held.size() * static_cast<size_t>(parts_)) {}

  void clear() { std::fill(held.begin(), held.end(), -1); }

  // Finds a place for each tap of output `o`, the same for the same slice; calls transform(slice, place) if it is new.
  template <class F>
  void fetch(int64_t o, F transform) {
    const auto find = [](const Vector<int64_t>& v, int64_t slice) { return std::find(v.begin(), v.end(), slice); };
    for (size_t t = 0; t < wanted.size(); ++t) wanted[t] = map_coordinate(d.mode, o * d.stride + d.offset[t], d.in);
    int64_t* part = place.data();
    for (int64_t slice : wanted) {
      int64_t at = -1;
      if (slice >= 0 && (at = find(held, slice) - held.begin()) == static_cast<int64_t>(held.size())) {
        const auto idle = [&](int64_t other) { return other < 0 || find(wanted, other) == wanted.end(); };
        at = std::find_if(held.begin(), held.end(), idle) - held.begin();
        held[static_cast<size_t>(at)] = slice;
        transform(slice, at * parts);
      }
      for (int64_t i = 0; i < parts; ++i) *part++ = at < 0 ? -1 : at * parts + i;
    }
  }
  // Places of the taps' parts, -1 for those that read zeros.
  const Vector<int64_t>& places() const { return place; }

 private:
  const AxisMap& d;
  const int64_t parts;
  Vector<int64_t> held, wanted, place;
};

}  // namespace fastconv
