// Views of the caller's arrays. Nothing here owns memory, and no function keeps a view beyond its call.
#pragma once
#include <cstdint>

namespace fastconv {

// A view of up to five axes, always in the order (n, c, d, h, w); axes that a caller lacks have length 1.
// Strides count elements, not bytes, and may be negative, and zero in inputs. Elements of an output must be distinct,
// and none of them an input's. The C++ API trusts views: their shapes must be those that a problem states, and `data`
// must point to that memory (the C interface, fastconv.h, checks both). An array without elements may have null data.
template <class T>
struct View {
  T* data = nullptr;
  int64_t shape[5] = {1, 1, 1, 1, 1};
  int64_t stride[5] = {0, 0, 0, 0, 0};

  int64_t size() const { return shape[0] * shape[1] * shape[2] * shape[3] * shape[4]; }
  operator View<const T>() const {
    View<const T> v;
    v.data = data;
    for (int i = 0; i < 5; ++i) v.shape[i] = shape[i], v.stride[i] = stride[i];
    return v;
  }
};

}  // namespace fastconv
