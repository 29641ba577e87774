# shellcheck shell=bash
# The guest as the checks use it: boot it, ask it to run something, plug a cable, power it off. One at a time.

# Core 0 is the machine's and control's, 1 and 2 are the workers'. 100 huge pages are 200 MB.
readonly CORES=3 MEMORY_MB=1280
readonly KERNEL_LINE='console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check net.ifnames=0 hugepages=100
    isolcpus=managed_irq,domain,1-2 nohz_full=1-2 rcu_nocbs=1-2
    systemd.unit=appliance.target systemd.show_status=yes'
# Software emulation on a machine that does other things as well is slow; what takes longer than this has failed.
readonly PLUG_S_MAX=60 ANSWER_S_MAX=600

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
# A third NIC of the kind faces, inside QEMU, one that the guest's kernel keeps: the trunk (vlan.sh).
boot() {
    local nic=$1 queues=$2 driver=$3 machine=q35 iommu=() line=$KERNEL_LINE options='' tap
    tap="script=no,downscript=no,vhost=off"
    [ "$queues" = 1 ] || tap+=",queues=$queues" options=",mq=on,vectors=$((2 * queues + 2))"
    if [ "$driver" = vfio-pci ]; then
        machine=q35,kernel-irqchip=split
        iommu=(-device "intel-iommu,intremap=on,caching-mode=on")
        line+=' intel_iommu=on iommu=pt'
    fi
    rm -f "$share"/{ask,answer} "$work"/{monitor,agent}.{in,out}
    mkfifo "$work"/{monitor,agent}.{in,out}
    qemu -machine "$machine" -accel "${APPLIANCE_ACCEL:-tcg,thread=multi}" -cpu max -smp $CORES -m $MEMORY_MB \
        -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$(echo "$cache"/kernel/boot/vmlinuz-*)" -initrd "$cache/initramfs.cpio" -append "$(tr -s ' \n' ' ' <<<"$line")" \
        -serial "file:$work/console" -chardev "pipe,id=monitor,path=$work/monitor" -mon chardev=monitor "${iommu[@]}" \
        -device virtio-serial-pci -chardev "pipe,id=agent,path=$work/agent" -device virtserialport,chardev=agent,name=agent \
        -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
        -fsdev "local,id=share,path=$share,security_model=none" -device virtio-9p-pci,fsdev=share,mount_tag=share \
        -netdev "tap,id=wan,ifname=wan,$tap" -device "$nic$options,id=nic-wan,netdev=wan,mac=52:54:00:00:00:10,addr=4" \
        -netdev "tap,id=lan,ifname=lan,$tap" -device "$nic$options,id=nic-lan,netdev=lan,mac=52:54:00:00:00:11,addr=8" \
        -netdev hubport,id=trunk,hubid=1 -device "$nic,id=nic-trunk,netdev=trunk,mac=52:54:00:00:00:12,addr=9" \
        -netdev hubport,id=station,hubid=1 -device virtio-net-pci,netdev=station,mac=52:54:00:00:00:99,addr=a \
        </dev/null >"$work/qemu" 2>&1 &
    machine_pid=$!
    # Open for both at first: who opened a pipe for one only would wait for a QEMU that did not start.
    exec {monitor}<>"$work/monitor.in" {monitor_says}<>"$work/monitor.out" {agent}<>"$work/agent.in"
    monitor_done || die "QEMU did not start: $(cat "$work/qemu")"
    # Only QEMU writes there, so what waits for it learns at once when it ends.
    exec {agent_says}<"$work/agent.out"
    taps_up
    hear 'the guest is up'
}

# Until the monitor prompts for the next command, it is busy with the one before, or with making the machine.
monitor_done() { read -r -t $PLUG_S_MAX -d ')' <&"$monitor_says"; }

# hear WHAT: what the guest's agent says next, in `heard`.
hear() { read -r -t $ANSWER_S_MAX heard <&"$agent_says" || die "the guest ended or took more than $ANSWER_S_MAX s before: $1"; }

# ask SCRIPT: runs it in the guest as root; prints what it prints, ends as it ends.
ask() {
    printf '%s\n' "$1" >"$share/ask"
    echo >&"$agent"
    hear "the guest's answer to: $1"
    cat "$share/answer"
    return "$heard"
}

# cable NIC on|off
cable() {
    echo "set_link nic-$1 $2" >&"$monitor"
    monitor_done || die "QEMU did not switch the link of $1 $2"
}

power_off() {
    kill "$machine_pid"
    # However it ends: its taps are gone then.
    wait "$machine_pid" || true
    exec {monitor}>&- {monitor_says}>&- {agent}>&- {agent_says}>&-
}
