#!/bin/bash
# scripts/test_haswell.sh [pytest arguments]: the C++ kernel tests on an emulated Haswell (AVX2, no AVX-512) and Nehalem
# (SSE4.2), then Python tests on the Haswell with the package installed for `python3` (or $PYTHON).
source "$(dirname "$0")/common.sh"
need qemu-x86_64-static qemu-user-static
python=$(command -v "${PYTHON:-python3}")
emulate() { qemu-x86_64-static -cpu "$@" 2> >(grep -v "TCG doesn't support requested feature" >&2); }

build_cpp_tests build/cpp
for pair in Haswell:v3 Nehalem:v2; do
  report=$(emulate "${pair%:*}" build/cpp/tests/cpp/fastconv_tests 20) || { echo "$report"; exit 1; }
  echo "$report"
  # The emulated processor must have chosen its own best rung, and no higher one may be on offer.
  grep -q "^rung ${pair#*:}," <<<"$report" || { echo "an emulated ${pair%:*} should run ${pair#*:}"; exit 1; }
done
emulate Haswell "$python" -c '
import fastconv
assert fastconv.show_config()["available_isas"] == ["v2", "v3"], fastconv.show_config()'
[ $# != 0 ] || set -- tests/test_golden.py tests/test_pad.py
emulate Haswell "$python" -m pytest -q -p no:cacheprovider "$@"
