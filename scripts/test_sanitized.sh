#!/bin/bash
# scripts/test_sanitized.sh [pytest arguments]: C++ and Python tests with AddressSanitizer and UBSan; SHORT=1 does less.
source "$(dirname "$0")/common.sh"
need g++ g++
short=${SHORT:-0}
problems=$([ "$short" = 1 ] && echo 60 || echo 1000)
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1

# One build for both: the module that pip installs, and the C++ tests in the build folder.
venv=build/sanitized-venv
fresh_venv $venv numpy pytest pytest-benchmark hypothesis
quietly $venv/bin/pip install --no-deps -Cbuild-dir=build/sanitized -Ccmake.build-type=Debug -Cinstall.strip=false \
  -Ccmake.define.CMAKE_CXX_FLAGS_DEBUG=-O1 -Ccmake.define.FASTCONV_TESTS=ON \
  -Ccmake.define.FASTCONV_SANITIZE=address,undefined .

for rung in v2 v3 v4; do
  FASTCONV_ISA=$rung build/sanitized/tests/cpp/fastconv_tests "$problems" || [ $? = 77 ]
  FASTCONV_ISA=$rung build/sanitized/tests/cpp/fastconv_capi_tests || [ $? = 77 ]
done

# Python is not instrumented itself: the runtime goes in front of it, and what Python keeps until the end is no leak.
# PYTHONMALLOC lets the sanitizer see every block.
if [ $# = 0 ]; then
  set -- tests/test_fuzz.py
  [ "$short" = 1 ] || set -- "$@" tests/test_pad.py tests/test_unfold.py tests/test_conv.py tests/test_properties.py
fi
runtime() { "${CXX:-g++}" -print-file-name="$1"; }
LD_PRELOAD="$(runtime libasan.so) $(runtime libstdc++.so)" ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 PYTHONMALLOC=malloc \
  $venv/bin/python -m pytest -q -p no:cacheprovider "$@"
