#!/bin/sh
# Puts a kernel, an initramfs and, where none is installed, QEMU into the cache folder. Quick when there is nothing to do.
# Everything comes from Debian's archive by way of apt, by name; nothing of it is installed.
# usage: fetch.sh FOLDER
set -eu
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/packages"
cache=$(cd "$1" && pwd)

# The guest's root and its wire to the host, the NICs' own drivers, the two that hand a NIC to DPDK, VLANs, and host interfaces.
modules='virtio_pci 9p 9pnet_virtio overlay autofs4 virtio_console virtio_net e1000e vmxnet3 vfio_pci vfio_iommu_type1 uio_pci_generic 8021q tun'

fail() {
    echo "appliance: $*" >&2
    exit 1
}

# Root's apt would drop to a user who may not write here, and warn of it: it need not.
download() {
    echo "appliance: downloading $(echo "$@" | wc -w) Debian packages into $cache" >&2
    (cd packages && apt-get -qq -o APT::Sandbox::User=root download "$@" >&2) \
        || fail "cannot download; is \`apt-get update\` due?"
}

unpack() {
    folder=$1
    shift
    rm -rf "$folder.part"
    mkdir "$folder.part"
    for package in "$@"; do
        dpkg -x packages/"${package}"_*.deb "$folder.part"
    done
    mv "$folder.part" "$folder"
}

# linux-image-amd64 is empty but for its dependency, which has the version in its name.
fetch_kernel() {
    [ ! -d kernel ] || return 0
    image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$image" ] || fail "apt knows no linux-image-amd64; is \`apt-get update\` due?"
    download "$image" busybox-static
    unpack kernel "$image" busybox-static
}

# What `apt-get install` would add to this system, no more.
fetch_qemu() {
    [ ! -d qemu ] && ! command -v qemu-system-x86_64 >/dev/null || return 0
    needed=$(apt-get install -s --no-install-recommends qemu-system-x86 | awk '/^Inst/ { print $2 }')
    [ -n "$needed" ] || fail "apt knows no qemu-system-x86; is \`apt-get update\` due?"
    # Both are lists of words.
    # shellcheck disable=SC2086
    download $needed
    # shellcheck disable=SC2086
    unpack qemu $needed
}

# The module and what it depends on, as files below lib/modules/VERSION.
files_of() {
    awk -v name="$1" -F: '
        { file = $1; sub(/.*\//, "", file); sub(/\.ko.*/, "", file); gsub(/-/, "_", file) }
        file == name { print $1; n = split($2, more, " "); for (i = 1; i <= n; i++) print more[i] }' "$2/modules.dep"
}

make_initramfs() {
    version=$(ls kernel/lib/modules)
    all=kernel/lib/modules/$version
    root=initramfs.part
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/lib/modules/$version"
    depmod -b kernel "$version"
    cp "$all"/modules.builtin "$all"/modules.order "$all"/modules.builtin.modinfo "$root/lib/modules/$version"
    for module in $modules; do
        files_of "$module" "$all" >files.part
        [ -s files.part ] || echo "appliance: note: the kernel has no module $module" >&2
        while read -r file; do
            mkdir -p "$root/lib/modules/$version/${file%/*}"
            cp "$all/$file" "$root/lib/modules/$version/$file"
        done <files.part
    done
    depmod -b "$root" "$version"
    cp kernel/bin/busybox "$root/bin/busybox"
    install -m 755 "$here/init" "$root/init"
    (cd "$root" && find . | LC_ALL=C sort | ../kernel/bin/busybox cpio -o -H newc 2>/dev/null) >initramfs.cpio.part
    rm -rf "$root" files.part
    mv initramfs.cpio.part initramfs.cpio
}

cd "$cache"
fetch_kernel
fetch_qemu
# A new one, unless the one there is younger than what it is made of.
[ -n "$(find initramfs.cpio -newer "$here/init" -newer "$here/fetch.sh" 2>/dev/null)" ] || make_initramfs
