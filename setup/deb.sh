#!/bin/sh
# Makes a Debian package of what `make install` installs: deb.sh BUILT FOLDER, started by the Makefile. No root is needed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
built=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/root
# What dpkg makes of the folder's own rights.
install -d -m 755 "$root/DEBIAN" "$work/debian"

"$here/install.sh" "$built" "$root" /usr
strip --strip-unneeded "$root/usr/bin/uvs" "$root/usr/lib/uvs/libuvs_preload.so"
gzip -9n "$root"/usr/share/man/man1/*.1
# Debian has the text of one licence already.
doc=$root/usr/share/doc/uvs
{
    printf 'UVS is licensed under MIT OR Apache-2.0, at your choice: the text below, or /usr/share/common-licenses/Apache-2.0.\n\n'
    cat "$here/../LICENSE-MIT"
} >"$doc/copyright"
rm "$doc/LICENSE-MIT" "$doc/LICENSE-APACHE"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../Cargo.toml" | head -n 1)
architecture=$(dpkg --print-architecture)
# dpkg-shlibdeps wants a source package around it.
printf 'Source: uvs\n\nPackage: uvs\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O -l"$root/usr/lib/uvs" root/usr/bin/uvs root/usr/lib/uvs/libuvs_preload.so |
    sed -n 's/^shlibs:Depends=//p')
# Drivers are loaded when the director starts, so no program names them.
case $depends in
*librte-eal*) depends="$depends, librte-meta-bus, librte-meta-mempool, librte-meta-net" ;;
esac

cat >"$root/DEBIAN/control" <<END
Package: uvs
Version: $version
Architecture: $architecture
Maintainer: the authors of UVS <uvs@localhost>
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: $depends
Recommends: dpdk
Suggests: ipvsadm, keepalived
Section: net
Priority: optional
Description: Linux Virtual Server in user space, on DPDK
 A load balancer for TCP, UDP and SCTP, IPv4 and IPv6, which behaves as the
 kernel's IPVS does and adds FullNAT. The stock ipvsadm and keepalived drive it.
END

# Units are read again; none is started, and none that runs is started again by an upgrade. What is removed does not run on, and
# keepalived, if it is at the director, ends before it.
script() {
    printf '#!/bin/sh\nset -e\n%s\n' "$2" >"$root/DEBIAN/$1"
    chmod 755 "$root/DEBIAN/$1"
}
script postinst '[ ! -d /run/systemd/system ] || systemctl daemon-reload'
script prerm '[ "$1" != remove ] || [ ! -d /run/systemd/system ] || systemctl disable --now uvs.service uvs-bind.service || true'
script postrm '[ ! -d /run/systemd/system ] || systemctl daemon-reload'

# For `dpkg --verify`.
(cd "$root" && find usr -type f -exec md5sum {} + | sort -k 2) >"$root/DEBIAN/md5sums"

dpkg-deb --build --root-owner-group "$root" "$folder/uvs_${version}_$architecture.deb"
