#!/bin/bash
# scripts/test_aarch64.sh: cross-compiles the core for aarch64 and runs the C++ kernel tests under qemu.
source "$(dirname "$0")/common.sh"
need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
need qemu-aarch64-static qemu-user-static

build_cpp_tests build/aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
python3 scripts/check_symbols.py build/aarch64
qemu-aarch64-static -L /usr/aarch64-linux-gnu build/aarch64/tests/cpp/fastconv_tests 40
qemu-aarch64-static -L /usr/aarch64-linux-gnu build/aarch64/tests/cpp/fastconv_capi_tests 10
