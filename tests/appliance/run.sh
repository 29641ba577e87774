#!/bin/bash
# `make appliance`: boots a guest for each kind of NIC, with the director as a service on NICs that are bound to DPDK, and looks at
# it from outside with curl and from inside with uvs. README.md says what is checked and is the model of such a machine.
# usage: run.sh UVS [KIND]...     UVS: the program, with the library beside it; KIND: rows of `kinds` below, all of them by default
# Everything lives in namespaces of this run, of processes too: when it ends, however it ends, nothing is left but the log.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/uvs-appliance
# In software emulation; a whole run takes ten minutes and more.
readonly RUN_S_MAX=3600

if [ "${APPLIANCE_INSIDE:-}" != yes ]; then
    [ "$(id -u)" = 0 ] || { echo "appliance: run as root: the guest's wires are taps" >&2; exit 1; }
    "$here/fetch.sh" "$cache"
    APPLIANCE_INSIDE=yes exec timeout --kill-after=5 $RUN_S_MAX \
        unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@"
fi

# A file system of this run's own, gone with it.
work=$cache/run
mkdir -p "$work"
mount -t tmpfs tmpfs "$work"
share=$work/share
uvs=$(readlink -f "$1")
shift
for part in network machine checks service vlan keepalived; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

# Of each kind: the device and its options, the queues QEMU gives it; what it is bound to, and its driver in the kernel; receive queues
# for two workers, and by how many of them frames come (QEMU's vmxnet3 has RSS, and brings all by the first); who puts VLAN tags on.
kinds() {
    cat <<'KINDS'
virtio-rss     virtio-net-pci,iommu_platform=on,disable-legacy=on,rss=on  2  vfio-pci         virtio-pci  2  2  software
virtio-learns  virtio-net-pci                                             2  uio_pci_generic  virtio-pci  2  2  software
e1000e         e1000e                                                     1  vfio-pci         e1000e      1  1  device
vmxnet3        vmxnet3                                                    1  vfio-pci         vmxnet3     2  1  device
KINDS
}

# Ends the run, also where one part of a pipeline finds the fault.
die() {
    echo "appliance: $kind: FAILED: $*" >&2
    cp "$work/console" "$cache/last-console" 2>/dev/null && echo "appliance: the guest's console: $cache/last-console" >&2
    [ "$BASHPID" = $$ ] || kill -TERM $$
    exit 1
}
trap 'exit 1' TERM

# Of a usual boot, what the director does not need and what takes minutes in emulation on another system's files.
readonly LEFT_OUT='timers.target dbus.socket systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service systemd-udevd-control.socket
    systemd-udevd-kernel.socket systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-timesyncd.service
    systemd-pstore.service systemd-binfmt.service systemd-random-seed.service systemd-update-utmp.service systemd-sysusers.service
    systemd-journal-flush.service systemd-journal-catalog-update.service systemd-hwdb-update.service systemd-sysctl.service
    keyboard-setup.service apparmor.service systemd-ask-password-console.path systemd-ask-password-wall.path
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    sys-fs-fuse-connections.mount sys-kernel-config.mount ldconfig.service systemd-firstboot.service'

# What is laid over the guest's root: what an operator would install.
lay_out() {
    local files=$share/files units=$share/files/etc/systemd/system unit
    rm -rf "$share"
    mkdir -p "$units/uvs.service.d" "$units/keepalived.service.d" "$files/etc/uvs" "$files/etc/keepalived"
    "$root/setup/install.sh" "$(dirname "$uvs")" "$files" /usr
    cp "$here"/guest/*.service "$here"/guest/*.target "$units"
    # Emulation takes its time. What the director says is in the console's file, too, for those who look at a failure.
    printf '%s\n' '[Service]' TimeoutStartSec=600 TimeoutStopSec=300 StandardOutput=journal+console StandardError=journal+console \
        >"$units/uvs.service.d/emulated.conf"
    for unit in $LEFT_OUT; do ln -s /dev/null "$units/$unit"; done
    cp "$here/guest/agent" "$share"
    cp "$here/uvs.toml" "$files/etc/uvs/uvs.toml"
    cp "$here/keepalived.conf" "$files/etc/keepalived/keepalived.conf"
    ln -s /usr/share/uvs/keepalived-uvs.conf "$units/keepalived.service.d/uvs.conf"
    ln -s /usr/share/uvs/uvs-host.conf "$units/uvs.service.d/host.conf"
    printf 'UVS_DRIVER=%s\nUVS_NICS=0000:00:04.0 0000:00:08.0 0000:00:09.0\n' "$1" >"$files/etc/uvs/nics"
    [ "$1" = vfio-pci ] || ln -s /usr/share/uvs/uvs-uio.conf "$units/uvs.service.d/uio.conf"
}

network_up
only=" $* "
while read -r kind device queues driver kernel_driver receive_queues receiving tags; do
    [ "$only" = "  " ] || [[ $only == *" $kind "* ]] || continue
    echo "==== appliance: $kind, $queues queues, $driver"
    lay_out "$driver"
    begun=$SECONDS
    boot "$device" "$queues" "$driver"
    check_all "$receive_queues" "$receiving" "$kernel_driver" "$tags"
    power_off
    passed "all, in $((SECONDS - begun)) s"
done < <(kinds)
echo "appliance: all passed"
