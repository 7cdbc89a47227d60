// Threads and instruction sets. Every function here may be called from any thread at any time.
#pragma once
#include <string>
#include <vector>

#include "fastconv/export.h"

namespace fastconv {

// Threads a call may use. The default is the number of processors this process may run on (affinity mask and
// cgroup quota), or OMP_NUM_THREADS. set_num_threads is for the process; a positive thread-local limit, set by
// set_thread_limit on one thread, goes before it there (0 takes the limit away). Returns the previous limit. Both throw
// std::invalid_argument for a number that makes no sense (below 1, below 0).
FASTCONV_API int num_threads();
FASTCONV_API void set_num_threads(int n);
FASTCONV_API int set_thread_limit(int n);
FASTCONV_API const char* threading_backend();  // "openmp" or "serial"

// The rung of the instruction-set ladder in use ("v2", "v3", "v4", "neon", "generic"), and those that this
// processor can run, lowest first. FASTCONV_ISA forces one; an unknown or missing one throws std::runtime_error.
FASTCONV_API const char* isa_name();
FASTCONV_API std::vector<std::string> available_isas();

}  // namespace fastconv
