#!/bin/bash
# Runs a scenario in a virtual machine with the real kernel's IPVS.
# usage: run.sh [-t seconds] SCENARIO FOLDER [file or folder that it finds beside it ...]
# Whatever it leaves in /out comes to FOLDER, with stdout.txt, stderr.txt, dmesg.txt and console.txt; the exit status is the
# scenario's, 125 if there is no result. ORACLE_ACCEL=kvm where that works: software emulation needs nothing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${ORACLE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ipvs-oracle}
seconds=600
while getopts t: option; do
    case $option in t) seconds=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || { sed -n 2,6p "$0" >&2; exit 2; }
scenario=$1 out=$2
shift 2
# Two that begin together build once.
mkdir -p "$cache"
(
    flock 9
    [ -e "$cache/initramfs.cpio" ] || "$here/build.sh" "$cache" >&2
) 9>"$cache/lock" || exit 125

work=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/in" "$out"
cp -a "$here"/guest/. "$work/in/"
for file in "$@"; do cp -a "$file" "$work/in/"; done
cp "$scenario" "$work/in/run"
chmod +x "$work/in/run"
tar cf "$work/in.tar" -C "$work/in" . && truncate -s %512 "$work/in.tar"
truncate -s 2G "$work/out.img"
accel=${ORACLE_ACCEL:-tcg}
# Emulated, the guest's clock counts its instructions: however busy this machine is, no time-out ends under way, and sleep costs nothing.
case $accel in tcg*) cpu="max -icount shift=${ORACLE_SHIFT:-1},sleep=off" ;; *) cpu=host ;; esac
# One processor: a frame has been forwarded before the call that sent it returns. The kernel's check of its timer fails where the
# machine that emulates is busy.
timeout -k 5 "$seconds" qemu-system-x86_64 -machine q35 -accel "$accel" -cpu $cpu -smp 1 -m 1536 \
    -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$cache/vmlinuz" -initrd "$cache/initramfs.cpio" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable nokaslr no_timer_check" \
    -serial file:"$work/console.txt" -monitor none \
    -drive file="$work/in.tar",format=raw,if=none,id=d0,readonly=on -device virtio-blk-pci,drive=d0 \
    -drive file="$work/out.img",format=raw,if=none,id=d1,cache=unsafe -device virtio-blk-pci,drive=d1 \
    </dev/null 2>"$work/qemu.err"
status=$?
cp "$work/console.txt" "$out/console.txt" 2>/dev/null
if tar xf "$work/out.img" -C "$out" 2>/dev/null && [ -e "$out/rc" ]; then
    exit "$(cat "$out/rc")"
fi
echo "oracle: the scenario gave no result (qemu's status $status); its console:" >&2
tail -20 "$out/console.txt" >&2
cat "$work/qemu.err" >&2
exit 125
