#!/bin/sh
# Installs the Debian packages of packages.txt that are missing, without starting their services, and checks the Rust toolchain.
# Quick when there is nothing to do. SETUP=skip leaves the packages to you. SETUP_LIST names another list.
set -eu

here=$(dirname "$0")
list=${SETUP_LIST:-$here/packages.txt}
policy=/usr/sbin/policy-rc.d
kept=/usr/sbin/policy-rc.d.before-uvs
mark='Put here by the setup of UVS while it installs packages; it removes this again.'

fail() {
    echo "setup: $*" >&2
    exit 1
}

# The first line of Cargo.toml that says which Rust is enough.
rust_wanted() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml" | head -n 1
}

check_rust() {
    wanted=$(rust_wanted)
    cure="install it from https://rustup.rs (or \`rustup update\`), then run make again"
    command -v cargo >/dev/null || fail "Rust $wanted or newer is needed, and no cargo is in PATH: $cure"
    found=$(rustc --version | cut -d ' ' -f 2)
    oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
    [ "$oldest" = "$wanted" ] || fail "Rust $wanted or newer is needed, found $found: $cure"
}

wanted_packages() {
    sed 's/#.*//' "$list" | tr -s ' \n' '\n' | sed '/^$/d'
}

missing_packages() {
    for package in $(wanted_packages); do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || echo "$package"
    done
}

check_distribution() {
    ID='' VERSION_ID='' PRETTY_NAME='an unknown system'
    # shellcheck source=/dev/null
    [ ! -r /etc/os-release ] || . /etc/os-release
    [ "$ID-$VERSION_ID" != debian-12 ] || return 0
    fail "this is $PRETTY_NAME; the packages are known for Debian 12 only. Install what corresponds to:" \
        "$(wanted_packages | tr '\n' ' ')(DPDK 22.11), then run make again with SETUP=skip"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "root is needed to install packages and there is no sudo: run \`make setup\` as root"
    fi
}

# invoke-rc.d asks this program before it starts a service; 101 means no. A program that was there before comes back afterwards.
forbid_services() {
    trap allow_services EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ -e "$policy" ] && ! is_ours; then
        as_root mv "$policy" "$kept"
    fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_services() {
    ! is_ours || as_root rm -f "$policy"
    [ ! -e "$kept" ] || as_root mv "$kept" "$policy"
}

is_ours() {
    grep -qs "$mark" "$policy"
}

install_missing() {
    # A set-up that was killed could not tidy up.
    ! is_ours || allow_services
    packages=$(missing_packages | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    echo "setup: installing Debian packages, without starting services: $packages"
    forbid_services
    as_root apt-get update -q
    # $packages is a list of words.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
}

check_rust
if [ "${SETUP:-}" = skip ]; then
    echo "setup: packages are left to you (SETUP=skip)"
else
    check_distribution
    install_missing
fi
