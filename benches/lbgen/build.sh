#!/bin/bash
# Builds librte_net_lbgen.so, the load device of `uvs bench`, for this machine and its Debian DPDK.
# usage: build.sh [FOLDER]   (default: ~/.cache/uvs-lbgen, where `uvs bench` looks)
#
# A driver needs DPDK's internal headers, which Debian does not install: they come from Debian's source package of the installed version.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/uvs-lbgen}

fail() {
  echo "lbgen: $*" >&2
  exit 1
}

pkg-config --exists libdpdk || fail "no libdpdk: run make setup"
version=$(dpkg-query --show --showformat '${source:Version}' libdpdk-dev) || fail "no package libdpdk-dev: run make setup"
src=$out/source-$version

# Source packages are fetched with lists of our own: the machine's keep as they are.
fetch() {
  command -v dpkg-source >/dev/null || fail "no dpkg-source: apt install dpkg-dev"
  mkdir -p "$out/apt/parts" "$out/apt/lists/partial"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$out/apt/parts/$(basename "$file")"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$out/apt/parts/$(basename "$file" .list).list"
  done
  local options=(-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$out/apt/parts" -o Dir::State::lists="$out/apt/lists")
  apt-get "${options[@]}" -qq update
  rm -rf "$out/fetched"
  mkdir "$out/fetched"
  (cd "$out/fetched" && apt-get "${options[@]}" -qq source "dpdk=$version" >/dev/null) ||
    fail "Debian has no source of dpdk $version any more: apt install libdpdk-dev (newer), then again"
  mv "$out"/fetched/dpdk-*/ "$src"
  rm -rf "$out/fetched"
}

[ -d "$src/lib/ethdev" ] || fetch
# shellcheck disable=SC2046 # the flags are words
gcc -O3 -march=native -Wall -Wextra -fPIC -shared -o "$out/librte_net_lbgen.so.new" "$here/lbgen.c" $(pkg-config --cflags libdpdk) \
  -DALLOW_EXPERIMENTAL_API -DALLOW_INTERNAL_API \
  -I"$src/lib/ethdev" -I"$src/drivers/bus/vdev" -I"$src/lib/eal/include" -I"$src/lib/kvargs"
mv "$out/librte_net_lbgen.so.new" "$out/librte_net_lbgen.so"
echo "$out/librte_net_lbgen.so"
