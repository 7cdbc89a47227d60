#!/bin/bash
# scripts/test_valgrind.sh [rung]: a sample of the C++ tests under valgrind, on v3 (valgrind does not know AVX-512).
source "$(dirname "$0")/common.sh"
need valgrind valgrind libc6-dbg
export FASTCONV_ISA=${1:-v3}
build_cpp_tests build/cpp
# The tests count what is allocated by operators of their own, which valgrind replaces in part: hence no word on mismatches.
check() { valgrind --quiet --show-mismatched-frees=no --error-exitcode=1 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "$@"; }
check build/cpp/tests/cpp/fastconv_capi_tests 8
check build/cpp/tests/cpp/fastconv_tests 4
