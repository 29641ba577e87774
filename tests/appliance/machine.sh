# shellcheck shell=bash
# The guest as the checks use it: boot it, ask it to run something, plug a cable, power it off. One at a time.

# Core 0 is the machine's and control's, 1 and 2 are the workers'. 100 huge pages are 200 MB.
readonly CORES=3 MEMORY_MB=1280
readonly KERNEL_LINE='console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check net.ifnames=0 hugepages=100
    isolcpus=managed_irq,domain,1-2 nohz_full=1-2 rcu_nocbs=1-2
    systemd.unit=appliance.target systemd.show_status=yes'
# Software emulation on a machine that does other things as well is slow; what takes longer than this has failed.
readonly BOOT_S_MAX=480 ASK_S_MAX=180

# QEMU as installed, or the cache's, with the libraries and the firmware that lie beside it.
qemu() {
    local folder=$cache/qemu libraries
    if [ ! -d "$folder" ]; then
        exec qemu-system-x86_64 "$@"
    fi
    libraries=$(find "$folder" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
    LD_LIBRARY_PATH=$libraries exec "$folder/usr/bin/qemu-system-x86_64" \
        -L "$folder/usr/share/qemu" -L "$folder/usr/share/seabios" -L "$folder/usr/lib/ipxe/qemu" "$@"
}

# boot NIC QUEUES DRIVER: NIC with its options; for vfio-pci the machine gets an IOMMU. The tree $share/files is laid over its root.
boot() {
    local nic=$1 queues=$2 driver=$3 machine=q35 iommu=() line=$KERNEL_LINE options='' tap
    tap="script=no,downscript=no,vhost=off"
    [ "$queues" = 1 ] || tap+=",queues=$queues" options=",mq=on,vectors=$((2 * queues + 2))"
    if [ "$driver" = vfio-pci ]; then
        machine=q35,kernel-irqchip=split
        iommu=(-device intel-iommu,intremap=on,caching-mode=on)
        line+=' intel_iommu=on iommu=pt'
    fi
    rm -f "$share"/{ready,ask,asked,answer,status,status.part} "$work"/monitor.{in,out}
    mkfifo "$work/monitor.in" "$work/monitor.out"
    qemu -machine "$machine" -accel "${APPLIANCE_ACCEL:-tcg,thread=multi}" -cpu max -smp $CORES -m $MEMORY_MB \
        -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$(echo "$cache"/kernel/boot/vmlinuz-*)" -initrd "$cache/initramfs.cpio" -append "$(tr -s ' \n' ' ' <<<"$line")" \
        -serial "file:$work/console" -chardev "pipe,id=monitor,path=$work/monitor" -mon chardev=monitor "${iommu[@]}" \
        -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
        -fsdev "local,id=share,path=$share,security_model=none" -device virtio-9p-pci,fsdev=share,mount_tag=share \
        -netdev "tap,id=wan,ifname=wan,$tap" -device "$nic$options,id=nic-wan,netdev=wan,mac=52:54:00:00:00:10,addr=4" \
        -netdev "tap,id=lan,ifname=lan,$tap" -device "$nic$options,id=nic-lan,netdev=lan,mac=52:54:00:00:00:11,addr=8" \
        </dev/null >"$work/qemu" 2>&1 &
    machine_pid=$!
    exec {monitor}<>"$work/monitor.in"
    cat "$work/monitor.out" >/dev/null &
    wait_for 20 'QEMU has its taps' ip link show lan
    taps_up
    wait_for $BOOT_S_MAX 'the guest is up' test -e "$share/ready"
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$machine_pid" 2>/dev/null || die "the guest ended before: $what"
        [ $SECONDS -lt $end ] || die "not in time: $what"
        sleep 0.1
    done
}

# ask SCRIPT: runs it in the guest as root; prints what it prints, ends as it ends.
ask() {
    local status
    printf '%s\n' "$1" >"$share/ask.part"
    mv "$share/ask.part" "$share/ask"
    wait_for $ASK_S_MAX "the guest's answer to: $1" test -e "$share/status"
    status=$(cat "$share/status")
    cat "$share/answer"
    rm -f "$share/status"
    return "$status"
}

# cable NIC on|off
cable() { echo "set_link nic-$1 $2" >&"$monitor"; }

power_off() {
    kill "$machine_pid" 2>/dev/null
    wait "$machine_pid" 2>/dev/null
    exec {monitor}>&-
}
