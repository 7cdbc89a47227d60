#include "fastconv/runtime.hpp"

#include "capi/call.hpp"

using namespace fastconv::capi;

extern "C" {

fastconv_status fastconv_num_threads(int* threads) {
  return guarded([&] {
    require_pointer(threads, "threads");
    *threads = fastconv::num_threads();
  });
}
fastconv_status fastconv_set_num_threads(int threads) {
  return guarded([&] { fastconv::set_num_threads(threads); });
}
fastconv_status fastconv_set_thread_limit(int threads, int* previous) {
  return guarded([&] {
    const int before = fastconv::set_thread_limit(threads);
    if (previous) *previous = before;
  });
}
const char* fastconv_threading_backend(void) { return fastconv::threading_backend(); }
const char* fastconv_isa_name(void) {
  const char* name = nullptr;
  guarded([&] { name = fastconv::isa_name(); });
  return name;
}

}  // extern "C"
