#include "capi/call.hpp"

#include <cstdio>
#include <new>

#include "base/message.hpp"
#include "base/workspace.hpp"

namespace fastconv::capi {
namespace {

thread_local char last_error[512] = "";

fastconv_status note(fastconv_status status, const char* message) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", message);
  return status;
}

std::string text(const Shape& s) {
  std::string t = "(";
  for (int i = 0; i < s.rank; ++i) t += (i ? ", " : "") + std::to_string(s.n[s.axis(i)]);
  return t + ")";
}

}  // namespace

fastconv_status note_exception() noexcept {
  try {
    throw;
  } catch (const WorkspaceTooSmall& e) {
    return note(FASTCONV_WORKSPACE_TOO_SMALL, e.what());
  } catch (const std::invalid_argument& e) {
    return note(FASTCONV_INVALID_ARGUMENT, e.what());
  } catch (const std::bad_alloc&) {
    return note(FASTCONV_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {
    return note(FASTCONV_OUT_OF_MEMORY, "out of memory: a table would be larger than the address space");
  } catch (const std::runtime_error& e) {
    return note(FASTCONV_UNSUPPORTED, e.what());
  } catch (const std::exception& e) {
    return note(FASTCONV_INTERNAL, e.what());
  } catch (...) {
    return note(FASTCONV_INTERNAL, "unknown error");
  }
}

Shape shape_of(const fastconv_array* a, const char* name, int leading) {
  require_pointer(a, name);
  if (a->ndim < 1 || a->ndim > 5) invalid({name, ": ndim must be from 1 to 5, got ", a->ndim});
  Shape s{{1, 1, 1, 1, 1}, a->ndim, leading};
  int64_t bytes = 8, reach = 8;
  bool empty = false;
  for (int i = 0; i < a->ndim; ++i) {
    const int64_t n = a->shape[i];
    require_at_least(n, 0, name);
    s.n[s.axis(i)] = n;
    empty |= n == 0;
    if (n > 0) bytes = checked_mul(bytes, n, name);
  }
  for (int i = 0; i < a->ndim && !empty; ++i)
    if (a->shape[i] > 1) {
      const int64_t far = checked_mul(checked_mul(a->shape[i] - 1, a->stride[i], name), 8, name);
      if (far == INT64_MIN) overflow(name);
      reach = checked_add(reach, far < 0 ? -far : far, name);
    }
  if (!a->data && !empty) invalid({name, ": data must not be null"});
  return s;
}

void require_shape(const Shape& got, const Shape& want, const char* name) {
  bool same = got.rank == want.rank;
  for (int i = 0; same && i < 5; ++i) same = got.n[i] == want.n[i];
  if (!same) invalid({name, " must have shape ", text(want), ", got ", text(got)});
}

void require_dtype(const fastconv_array* a, int dtype, size_t item, const char* name) {
  if (a->dtype != dtype) invalid({name, ": dtype must be ", dtype, ", got ", a->dtype});
  if (reinterpret_cast<uintptr_t>(a->data) % item) invalid({name, ": data must be aligned to its elements"});
}

void require_distinct(const fastconv_array* a, const char* name) {
  for (int i = 0; i < a->ndim; ++i)
    if (a->shape[i] > 1 && a->stride[i] == 0)
      invalid({name, ": an output must not have stride 0, as axis ", i, " has"});
}

}  // namespace fastconv::capi

using namespace fastconv::capi;

extern "C" {

int fastconv_abi_version(void) { return FASTCONV_ABI_VERSION; }
const char* fastconv_version(void) { return FASTCONV_VERSION; }
const char* fastconv_last_error(void) { return last_error; }

fastconv_status fastconv_array_init(fastconv_array* array, void* data, int dtype, int ndim, const int64_t* shape) {
  return guarded([&] {
    require_pointer(array, "array");
    require_pointer(shape, "shape");
    enumerator(dtype, FASTCONV_INT64, "dtype");
    if (ndim < 1 || ndim > 5) fastconv::invalid({"ndim must be from 1 to 5, got ", ndim});
    fastconv_array a{};
    a.data = data, a.dtype = dtype, a.ndim = ndim;
    int64_t step = 1;
    for (int i = ndim - 1; i >= 0; --i) {
      require_at_least(shape[i], 0, "shape");
      a.shape[i] = shape[i];
      a.stride[i] = step;
      step = fastconv::checked_mul(step, shape[i], "shape");
    }
    fastconv::checked_mul(step, 8, "shape");
    *array = a;
  });
}

}  // extern "C"
