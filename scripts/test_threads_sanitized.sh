#!/bin/bash
# scripts/test_threads_sanitized.sh: many threads call the C interface at once, under ThreadSanitizer. Without OpenMP, whose
# runtime ThreadSanitizer does not see into: the threads are the program's own.
source "$(dirname "$0")/common.sh"
need g++ g++
build_cpp_tests build/tsan -DFASTCONV_OPENMP=OFF -DFASTCONV_SANITIZE=thread -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1
TSAN_OPTIONS=halt_on_error=1 build/tsan/tests/cpp/fastconv_capi_tests 20
