# Sourced by the scripts beside it, from the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# need COMMAND PACKAGE...: installs Debian packages where COMMAND is missing.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$0: $command is missing (Debian: apt-get install $*)" >&2
    exit 1
  fi
  quietly apt-get update
  quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# quietly COMMAND...: shows its output only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  [ "$status" = 0 ] || { echo "failed ($status): $*"; cat "$log"; } >&2
  rm -f "$log"
  return "$status"
}

# fresh_venv FOLDER REQUIREMENT...: a new virtual environment with these packages.
fresh_venv() {
  local folder=$1
  shift
  rm -rf "$folder"
  python3 -m venv "$folder"
  [ $# = 0 ] || quietly "$folder/bin/pip" install "$@"
}

# CMake and Ninja: those on the PATH, else from PyPI.
need_cmake() {
  command -v cmake >/dev/null && command -v ninja >/dev/null && return
  [ -x build/tools/bin/ninja ] || fresh_venv build/tools cmake ninja
  PATH=$PWD/build/tools/bin:$PATH
}

# build_cpp_tests FOLDER [CMAKE OPTION...]: the core and FOLDER/tests/cpp/fastconv_tests.
build_cpp_tests() {
  local folder=$1
  shift
  need_cmake
  quietly cmake -S . -B "$folder" -G Ninja -DFASTCONV_PYTHON=OFF -DFASTCONV_TESTS=ON -DFASTCONV_WERROR=ON "$@"
  quietly cmake --build "$folder"
}
