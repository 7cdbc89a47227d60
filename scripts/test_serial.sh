#!/bin/bash
# scripts/test_serial.sh [pytest arguments]: the package built without OpenMP, in a fresh environment, passes its tests.
# BUILD: the folder to build in, whose objects serve again if it is that of a build with OpenMP.
source "$(dirname "$0")/common.sh"
venv=build/serial-venv
fresh_venv $venv
quietly $venv/bin/pip install -Cbuild-dir="${BUILD:-build/serial}" -Ccmake.define.FASTCONV_OPENMP=OFF '.[test]' pytest-xdist
$venv/bin/python -c '
import fastconv
assert fastconv.show_config()["threading"] == "serial", fastconv.show_config()'
$venv/bin/python -m pytest -q -p no:cacheprovider "$@"
