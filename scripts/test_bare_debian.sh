#!/bin/bash
# scripts/test_bare_debian.sh [suite]: a debootstrapped Debian (bookworm) with g++, python3-dev and python3-venv alone, a
# clean clone of this tree, and the first two ```sh blocks of README.md run inside. Needs root; takes some minutes.
source "$(dirname "$0")/common.sh"
suite=${1:-bookworm}
[ "$(id -u)" = 0 ] || { echo "$0: needs root (debootstrap and chroot)" >&2; exit 1; }
need debootstrap debootstrap

# The registries are reached as on this machine: apt's own mirror, pip's configuration and the folders it names, and
# the variables and certificates that both go by.
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" | head -n 1)
kept_variables='^(PIP_[A-Z_]*|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|[a-zA-Z]*_(proxy|PROXY))='
pip_files=$(python3 -m pip config debug | sed -n 's/^ *\(.*\), exists: True$/\1/p')
# An index of files (file://.../simple) links to files beside it; other paths are folders of wheels and certificates, or
# files such as constraints.
pip_paths=$({ cat /dev/null $pip_files; env | grep ^PIP_ || true; } | grep -oE '(file://)?/[^ "'"'"',]+' |
  sed -E 's|^file://(.*)/[^/]+/?$|\1|' | sort -u)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
quietly debootstrap --variant=minbase --include=g++,python3-dev,python3-venv,ca-certificates "$suite" "$root" $mirror
git clone -q . "$root/fastconv"
python3 - "$root" <<'PYTHON'
# The first two shell blocks of the README become two scripts.
import pathlib, re, sys
blocks = re.findall(r"^```sh\n(.*?)^```", pathlib.Path("README.md").read_text(), re.M | re.S)
if len(blocks) < 2:
    sys.exit("README.md has fewer than two ```sh blocks")
for number, block in enumerate(blocks[:2], 1):
    pathlib.Path(sys.argv[1], f"command{number}.sh").write_text("set -ex\ncd /fastconv\n" + block)
PYTHON
for file in /etc/resolv.conf /etc/hosts $pip_files; do install -D "$file" "$root$file"; done
cp -rL --remove-destination /etc/ssl/certs/. "$root/etc/ssl/certs/"

# Mounts live in a namespace of their own and are gone with it, before the folder is removed.
export root pip_paths
unshare --mount bash -euo pipefail -c '
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  for path in $pip_paths; do
    [ -e "$path" ] && [ ! -e "$root$path" ] || continue
    if [ -d "$path" ]; then mkdir -p "$root$path"; else install -D /dev/null "$root$path"; fi
    mount --bind "$path" "$root$path"
  done
  mapfile -t variables < <(env | grep -E "$0")
  for number in 1 2; do
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "${variables[@]}" chroot "$root" bash "/command$number.sh"
  done
' "$kept_variables"
echo "README's two commands work on a bare $suite"
