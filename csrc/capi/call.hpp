// What every function of the C interface does: exceptions become codes, arrays become views, descriptors are copied.
#pragma once
#include <cstring>
#include <string>

#include "base/checked.hpp"
#include "base/message.hpp"
#include "fastconv/fastconv.h"
#include "fastconv/tensor.hpp"

namespace fastconv::capi {

// Keeps the message of the exception being handled for fastconv_last_error, and returns its code.
fastconv_status note_exception() noexcept;

template <class F>
fastconv_status guarded(F&& f) noexcept {
  try {
    f();
    return FASTCONV_OK;
  } catch (...) {
    return note_exception();
  }
}

template <class P>
void require_pointer(P* p, const char* name) {
  if (!p) invalid({name, " must not be null"});
}
inline void require_at_least(int64_t value, int64_t least, const char* name) {
  if (value < least) invalid({name, " must be at least ", least, ", got ", value});
}
template <class E>
E enumerator(int64_t value, E last, const char* name) {
  if (value < 0 || value > static_cast<int64_t>(last))
    invalid({name, " must be from 0 to ", static_cast<int64_t>(last), ", got ", value});
  return static_cast<E>(value);
}

inline void require_struct_size(size_t size, size_t known, const char* name) {
  if (size != known)  // the first version: what later ones append will have defaults
    invalid({name, ": struct_size must be ", known, " (see the *_desc_init functions), got ", size});
}
template <class D>
const D& checked_desc(const D* desc) {
  require_pointer(desc, "desc");
  require_struct_size(desc->struct_size, sizeof(D), "desc");
  return *desc;
}
template <class D>
void write_defaults(D* desc, size_t struct_size, D defaults) {
  require_pointer(desc, "desc");
  require_struct_size(struct_size, sizeof(D), "desc");
  defaults.struct_size = struct_size;
  *desc = defaults;
}

// A shape in the order of a View, of which an array of `rank` axes has the first `leading` and the last ones.
struct Shape {
  int64_t n[5];
  int rank;
  int leading = 2;
  int axis(int i) const { return i < leading ? i : 5 - rank + i; }
};
inline Shape with_spatial(int spatial_dims, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
  return {{n, c, d, h, w}, spatial_dims + 2};
}
inline int checked_spatial_dims(int64_t nd) {
  if (nd < 1 || nd > 3) invalid({"spatial_dims must be 1, 2 or 3, got ", nd});
  return static_cast<int>(nd);
}

// The array's own shape. Fails if the array is null or has negative sizes, or if its bytes leave 63 bits.
Shape shape_of(const fastconv_array* a, const char* name, int leading = 2);
void require_shape(const Shape& got, const Shape& want, const char* name);
void require_dtype(const fastconv_array* a, int dtype, size_t item, const char* name);
void require_distinct(const fastconv_array* a, const char* name);  // no stride of an output is zero

template <class T>
constexpr int kDtype = FASTCONV_INT64;
template <>
inline constexpr int kDtype<float> = FASTCONV_FLOAT32;
template <>
inline constexpr int kDtype<double> = FASTCONV_FLOAT64;

// Strides of axes that are not walked are zero: nobody multiplies what the caller left there.
template <class T>
View<T> view_of(const fastconv_array* a, const Shape& shape) {
  View<T> v;
  v.data = static_cast<T*>(a->data);
  bool empty = false;
  for (int i = 0; i < a->ndim; ++i) empty |= a->shape[i] == 0;
  for (int i = 0; i < a->ndim; ++i) {
    v.shape[shape.axis(i)] = a->shape[i];
    if (!empty && a->shape[i] > 1) v.stride[shape.axis(i)] = a->stride[i];
  }
  return v;
}
template <class T>
View<const T> input(const fastconv_array* a, const Shape& want, const char* name) {
  require_shape(shape_of(a, name, want.leading), want, name);
  require_dtype(a, kDtype<T>, sizeof(T), name);
  return view_of<const T>(a, want);
}
template <class T>
View<T> output(const fastconv_array* a, const Shape& want, const char* name) {
  input<T>(a, want, name);
  require_distinct(a, name);
  return view_of<T>(a, want);
}
template <class T>
View<const T> optional_input(const fastconv_array* a, const Shape& want, const char* name) {
  return a ? input<T>(a, want, name) : View<const T>{};
}
template <class T>
View<T> optional_output(const fastconv_array* a, const Shape& want, const char* name) {
  return a ? output<T>(a, want, name) : View<T>{};
}

// f(T{}) for the element type.
template <class F>
void with_type(int dtype, F f) {
  if (dtype == FASTCONV_FLOAT32) return f(float{});
  if (dtype == FASTCONV_FLOAT64) return f(double{});
  invalid({"dtype must be FASTCONV_FLOAT32 or FASTCONV_FLOAT64, got ", dtype});
}
template <class F>
void with_type_of(const fastconv_array* a, const char* name, F f) {
  require_pointer(a, name);
  with_type(a->dtype, f);
}

}  // namespace fastconv::capi
