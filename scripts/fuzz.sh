#!/bin/bash
# scripts/fuzz.sh [seconds] [libFuzzer arguments]: random descriptors through the C interface, with AddressSanitizer and UBSan.
# What it finds is kept in build/fuzz/crash-*; run the program on such a file to see it again. One rung of kernels is built,
# of AVX2 where the processor is an x86-64: the other scripts run them all.
source "$(dirname "$0")/common.sh"
need clang++ clang
need_cmake
seconds=${1:-60}
shift || true

flags="-O1 -gline-tables-only -fsanitize-ignorelist=$PWD/tests/fuzz/uninstrumented.txt"
[ "$(uname -m)" != x86_64 ] || flags="$flags -march=x86-64-v3"
quietly cmake -S . -B build/fuzz -G Ninja -DFASTCONV_PYTHON=OFF -DFASTCONV_OPENMP=OFF -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_CXX_FLAGS_DEBUG="$flags" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=generic \
  -DCMAKE_CXX_COMPILER=clang++ -DFASTCONV_SANITIZE=address,undefined,fuzzer-no-link
quietly cmake --build build/fuzz --target fastconv_core
clang++ -std=c++17 -O1 -g -Wall -Wextra -Werror -fsanitize=address,undefined,fuzzer -Icsrc/include tests/fuzz/capi.cpp \
  build/fuzz/csrc/libfastconv.a -o build/fuzz/fuzz_capi
mkdir -p build/fuzz/corpus
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=detect_stack_use_after_return=1
build/fuzz/fuzz_capi -max_total_time="$seconds" -timeout=20 -max_len=160 -len_control=0 -rss_limit_mb=3000 -print_final_stats=1 \
  -artifact_prefix=build/fuzz/ "$@" build/fuzz/corpus
