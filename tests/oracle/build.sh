#!/bin/bash
# Builds the guest, kernel and initramfs, of Debian packages only; nothing of them is installed here.
# usage: build.sh FOLDER
set -euo pipefail
KIT=$(cd "$(dirname "$0")" && pwd)
B=${1:?a folder}
mkdir -p "$B/debs" "$B/kernel"
cd "$B/debs"
if [ -n "${KPKG:-}" ]; then :; else
KPKG=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/{print $2; exit}')
fi
[ -n "$KPKG" ] || { echo "linux-image-amd64 has no candidate (apt-get update?)" >&2; exit 1; }
echo "kernel package: $KPKG"
ls ${KPKG}_*.deb >/dev/null 2>&1 || apt-get download "$KPKG" 2>/dev/null
while read -r p; do
  ls ${p}_*.deb >/dev/null 2>&1 || apt-get download "$p" 2>/dev/null || echo "WARN: cannot download $p" >&2
done < "$KIT/guest/packages.txt"
[ -e "$B/kernel/boot" ] || dpkg -x ${KPKG}_*.deb "$B/kernel"
KV=$(ls "$B/kernel/lib/modules")
R=$B/root
rm -rf "$R"; mkdir -p "$R"
for p in $(cat "$KIT/guest/packages.txt"); do for d in ${p}_*.deb; do [ -e "$d" ] && dpkg -x "$d" "$R"; done; done
# merge /lib /bin /sbin into /usr (so that one set of paths works)
mkdir -p "$R/usr/lib" "$R/usr/bin" "$R/usr/sbin"
for d in lib bin sbin; do
  [ -d "$R/$d" ] && [ ! -L "$R/$d" ] && { cp -a "$R/$d/." "$R/usr/$d/"; rm -rf "${R:?}/$d"; }
  ln -sfn usr/$d "$R/$d"
done
[ -d "$R/lib64" ] && [ ! -L "$R/lib64" ] && { mkdir -p "$R/usr/lib64"; cp -a "$R/lib64/." "$R/usr/lib64/"; rm -rf "$R/lib64"; }
ln -sfn usr/lib64 "$R/lib64"
rm -rf "$R"/usr/share/{doc,man,locale,lintian,bash-completion,bug,doc-base,applications,pixmaps,debconf} \
  "$R"/usr/lib/python3.11/{test,idlelib,ensurepip,lib2to3,tkinter,distutils,pydoc_data,turtledemo} \
  "$R"/usr/lib/python3.11/lib-dynload/{_sqlite3,_tkinter}* "$R"/var "$R"/etc/init.d "$R"/usr/lib/x86_64-linux-gnu/{gconv,perl*} "$R"/usr/lib/tc
find "$R" -name __pycache__ -prune -exec rm -rf {} +
for a in chmod chown touch which sh mount umount mkdir cat ls tar sleep dmesg insmod modprobe depmod poweroff echo hostname mdev dd sysctl grep sed awk head tail ps kill sync vi cp mv rm ln id uname env timeout date wc sort cut find xargs tr basename dirname true false test seq printf; do
  [ -e "$R/bin/$a" ] || ln -sf busybox "$R/bin/$a"; done
ln -sf dash "$R/bin/sh"   # busybox sh would prefer its own applets (ip!) to the real tools
ln -sf ../bin/busybox "$R/sbin/modprobe"
ln -sf python3.11 "$R/usr/bin/python3"
mkdir -p "$R"/{proc,sys,dev,tmp,run/netns,in,out,etc,root,var/run}
echo 'root:x:0:0:root:/root:/bin/sh' > "$R/etc/passwd"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$R/etc/hosts"
[ -e /etc/protocols ] && cp /etc/protocols "$R/etc/protocols"; [ -e /etc/services ] && cp /etc/services "$R/etc/services"
# modules: ipvs + everything it and the topology needs (closure by depmod)
MODS="ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_dh ip_vs_sh ip_vs_mh ip_vs_sed ip_vs_nq ip_vs_fo ip_vs_ovf ip_vs_ftp ip_vs_pe_sip
 veth dummy ipip ip_gre ip6_gre ip6_tunnel sit tunnel4 tunnel6 fou fou6 nf_tables nft_ct nft_counter nft_compat nf_conntrack
 virtio_blk virtio_pci virtio_mmio virtio_console pktgen sctp crc32c_generic crc32c_intel crc32_generic xt_mark xt_ipvs af_packet"
BB=$R/usr/bin/busybox
"$BB" depmod -b "$B/kernel" "$KV"
M=$R/lib/modules/$KV; mkdir -p "$M"
cp "$B/kernel/lib/modules/$KV"/modules.{builtin,order,builtin.modinfo} "$M/" 2>/dev/null || true
python3 - "$B/kernel/lib/modules/$KV" "$M" $MODS <<'P'
import sys,os,shutil,re
src,dst,*want=sys.argv[1:]
dep={}
for l in open(src+'/modules.dep'):
    k,v=l.split(':',1); dep[k]=v.split()
byname={re.sub(r'\.ko.*$','',os.path.basename(k)).replace('-','_'):k for k in dep}
need=set()
for m in want:
    k=byname.get(m.replace('-','_'))
    if not k: print('note: no module',m,'(built in or not configured)',file=sys.stderr); continue
    need.add(k); need.update(dep[k])
for k in need:
    os.makedirs(os.path.dirname(dst+'/'+k),exist_ok=True); shutil.copy(src+'/'+k,dst+'/'+k)
P
"$BB" depmod -b "$R" "$KV"
install -m755 "$KIT/init" "$R/init"
# byte-compile the stdlib when the host python has the same magic (saves seconds under TCG)
python3 -c 'import sys;sys.exit(sys.version_info[:2]!=(3,11))' && python3 -m compileall -q --invalidation-mode unchecked-hash -s "$R" "$R/usr/lib/python3.11" >/dev/null 2>&1 || true
# device nodes are made by devtmpfs; pack
( cd "$R" && find . | LC_ALL=C sort | "$BB" cpio -o -H newc 2>/dev/null ) > "$B/initramfs.cpio"
cp "$B/kernel/boot/vmlinuz-$KV" "$B/vmlinuz"
ls -la "$B/initramfs.cpio" "$B/vmlinuz"
