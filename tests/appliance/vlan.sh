# shellcheck shell=bash
# A port with a VLAN against the kernel's own 8021q, which the guest's stock kernel has: a NIC that it keeps faces the director's trunk.
#
#     curl ── vlan100 ── station (00:0a.0, the kernel's) ── QEMU's hub ── trunk (00:09.0, vlan = 100) ── director ── lan ── s1, s2

# shellcheck disable=SC2016
readonly STATION='set -e
    modprobe 8021q
    station=$(basename /sys/bus/pci/devices/0000:00:0a.0/virtio*/net/*)
    ip link set "$station" up
    for vlan in 100 101; do
        ip link add link "$station" name vlan$vlan type vlan id $vlan
        ip link set vlan$vlan up
    done
    ip addr add 198.51.100.2/24 dev vlan100
    ip addr add 2001:db8:100::2/64 dev vlan100 nodad
    ip route add 192.0.2.0/24 via 198.51.100.1
    ip route add 2001:db8::/64 via 2001:db8:100::1'

# check_vlan PUT_ON: who puts tags on, "device" or "software". All these NICs take them off and filter.
check_vlan() {
    local vip by='by the device' on='by the device'
    [ "$1" = device ] || on='in software'
    ask 'journalctl --no-pager --unit=uvs' >"$work/journal"
    grep -q "port *trunk: VLAN tags taken off $by, put on $on; other VLANs dropped $by" "$work/journal" \
        || die "expected VLAN tags to be taken off and filtered $by and put on $on, found $(grep 'VLAN tags' "$work/journal")"
    ask "$STATION" || die 'the guest'"'"'s kernel has no VLANs'
    for vip in $NAT4 $NAT6 $FULLNAT4 $FULLNAT6; do
        for _ in 1 2 3 4; do from_station "$vip/who" || die "no answer from $vip by VLAN 100"; done | sort >"$work/answers"
        [ "$(tr '\n' ' ' <"$work/answers")" = 's1 s1 s2 s2 ' ] || die "$vip: expected each server twice, found $(cat "$work/answers")"
        [ "$(from_station "$vip/big | sha256sum")" = "$(sha256sum <"$work/big")" ] || die "$vip by VLAN 100: the file is not what was sent"
    done
    # Full frames both ways: the tag comes on top of the MTU.
    ask "ping -nqc 1 -W $REQUEST_S_MAX -M do -s 1472 198.51.100.1 && ping -nqc 1 -W $REQUEST_S_MAX -M do -s 1452 2001:db8:100::1" \
        >"$work/answers" || die "packets of 1500 bytes by VLAN 100: $(cat "$work/answers")"
    ask "arping -qc 1 -w $REQUEST_S_MAX -I vlan100 198.51.100.1" || die 'no answer to ARP by VLAN 100'
    ! ask 'arping -qc 1 -w 1 -I vlan101 198.51.100.1' || die 'an answer to ARP by VLAN 101, which no port has'
    passed "HTTP, files and full frames by VLAN 100 with the kernel's 8021q, tags put on $on; nothing by VLAN 101"
}

# from_station REST: what the guest's kernel gets from there.
from_station() { ask "set -o pipefail; curl -sS --max-time $FILE_S_MAX http://$1"; }
