# shellcheck shell=bash
# What is looked at on each kind of NIC: a line for each check that passed; the first that fails ends the run.

readonly NAT4='192.0.2.10:80' NAT6='[2001:db8::10]:80' FULLNAT4='192.0.2.20:80' FULLNAT6='[2001:db8::20]:80'
readonly DR4='192.0.2.30:8080' DR6='[2001:db8::30]:8080'
# Seconds are milliseconds on a real machine; these are for an emulated one on a busy host.
readonly REQUEST_S_MAX=30 START_S_MAX=300 LINK_S_MAX=30

# check_all RECEIVING DRIVER: how many workers have a receive queue of their own; what the NICs are bound to.
check_all() {
    check_start "$1"
    check_requests
    check_files
    check_workers "$1"
    check_cable
    check_reload
    [ "$2" != vfio-pci ] || check_second_director
    check_new_start 'a restart' 'systemctl restart uvs'
    check_new_start 'kill -9' 'systemctl kill --kill-who=main --signal=KILL uvs'
    check_stop
    check_refusal
}

passed() { echo "appliance: $kind: $*"; }

# field WHAT EXPRESSION: of `uvs show WHAT --json`, which is `it`.
field() { ask "uvs show $1 --json" | python3 -c "import json, sys; it = json.load(sys.stdin)['$1']; print($2)"; }

request() { ip netns exec client curl -sS --max-time $REQUEST_S_MAX "http://$1/who"; }

check_start() {
    wait_for $START_S_MAX 'the director runs' ask 'systemctl is-active uvs'
    ask "journalctl --no-pager --unit=uvs | grep -q 'MB in huge pages'" || die 'the director is not on huge pages'
    [ "$(ask 'cat /sys/devices/system/cpu/isolated')" = 1-2 ] || die 'cores 1 and 2 are not isolated'
    # shellcheck disable=SC2016
    ask 'for task in /proc/$(systemctl show --property=MainPID --value uvs)/task/*; do
        echo "$(cat "$task/comm") $(sed -n "s/Cpus_allowed_list:\t//p" "$task/status")"; done' | sort >"$work/threads"
    [ "$(grep worker "$work/threads" | tr '\n' ' ')" = 'rte-worker-1 1 rte-worker-2 2 ' ] && ! grep -v worker "$work/threads" | grep -qv ' 0$' \
        || die "threads and their cores: expected workers on 1 and 2 and all else on 0, found $(cat "$work/threads")"
    [ "$(field ports '{(port["link"], port["rx_queues"]) for port in it}')" = "{(True, $1)}" ] \
        || die "expected the link up and $1 receive queues, found $(ask 'uvs show ports')"
    passed "started at boot, on huge pages, workers on isolated cores, $1 receive queues a port"
}

# Each method, both families, both servers in turn.
check_requests() {
    local vip turn
    for vip in $NAT4 $NAT6 $FULLNAT4 $FULLNAT6 $DR4 $DR6; do
        for turn in 1 2 3 4; do request "$vip" || die "no answer from $vip"; done | sort >"$work/answers"
        [ "$(tr '\n' ' ' <"$work/answers")" = 's1 s1 s2 s2 ' ] || die "$vip: expected each server twice, found $(cat "$work/answers")"
    done
    passed 'HTTP through NAT, FullNAT and DR, IPv4 and IPv6, each server in its turn'
}

# Many segments in a row, so that the order and the checksum of each count.
check_files() {
    local vip
    for vip in $NAT4 $NAT6 $FULLNAT4 $FULLNAT6; do
        ip netns exec client curl -sS --max-time $ASK_S_MAX --output "$work/got" "http://$vip/big" || die "$vip: no file"
        cmp -s "$work/got" "$work/big" || die "$vip: the file is not what was sent"
    done
    passed "files of $(stat --format=%s "$work/big") bytes, intact, through NAT and FullNAT"
}

# Forty more flows leave a worker or a queue out once in 10^12 runs.
check_workers() {
    local turn counts
    for turn in $(seq 40); do request $NAT4 >/dev/null || die "no answer from $NAT4"; done
    counts=$(field workers '{name: [worker[name] > 0 for worker in it] for name in ("received", "sent", "conns")}')
    if [ "$1" = 2 ]; then
        [ "$counts" = "{'received': [True, True], 'sent': [True, True], 'conns': [True, True]}" ]
    else
        [ "$counts" = "{'received': [True, False], 'sent': [True, True], 'conns': [True, True]}" ]
    fi || die "expected frames at $1 receive queues and conns at both workers, found $(ask 'uvs show workers')"
    [ "$(field ports '[port[way + "_packets"] > 100 for port in it for way in ("rx", "tx")]')" = '[True, True, True, True]' ] \
        || die "expected frames in both directions at both ports, found $(ask 'uvs show ports')"
    passed "both workers have conns and send; frames came by $1 queues"
}

check_cable() {
    local state
    for state in off on; do
        cable wan $state
        wait_for $LINK_S_MAX "the link is $state" link_is $state
    done
    request $NAT4 >/dev/null || die "no answer from $NAT4 after the cable was plugged in again"
    passed 'a cable that is pulled and plugged in again is seen, and forwarding goes on'
}

link_is() { [ "$(field ports '"on" if it[0]["link"] else "off"')" = "$1" ]; }

check_reload() {
    ask "sed -i '0,/10.0.0.12:8080\"/s//&\nweight = 0/' /etc/uvs/uvs.toml && systemctl reload uvs" || die 'systemctl reload failed'
    local turn
    for turn in 1 2 3; do [ "$(request $NAT4)" = s1 ] || die 'a server of weight 0 got a new conn after the reload'; done
    ask "sed -i '/^weight = 0/d' /etc/uvs/uvs.toml && systemctl reload uvs" || die 'systemctl reload failed'
    passed 'systemctl reload changes a weight'
}

# The kernel gives a device behind an IOMMU to one process only.
check_second_director() {
    ask "sed 's,^.director.,&\nrun_dir = \"/run/second\",; s/require/off/' /etc/uvs/uvs.toml >/tmp/second.toml
        ! uvs run -c /tmp/second.toml" >"$work/second" || die 'a second director started on the same NICs'
    grep -q 'port wan: device "0000:00:04.0": it is bound to vfio-pci, but no DPDK driver took it' "$work/second" \
        || die "a second director on the same NICs: expected to read why not, found $(cat "$work/second")"
    request $NAT4 >/dev/null || die "no answer from $NAT4 after a second director tried to start"
    passed 'a second director on the same NICs is refused, and the first feels nothing'
}

free_pages() { ask 'sed -n "s/HugePages_Free: *//p" /proc/meminfo'; }
main_pid() { ask 'systemctl show --property=MainPID --value uvs'; }
runs_anew() { ask "systemctl is-active uvs" && [ "$(main_pid)" != "$1" ]; }

# check_new_start WHAT COMMAND
check_new_start() {
    local pid pages
    pid=$(main_pid)
    pages=$(free_pages)
    ask "$2" || die "$1: systemctl failed"
    wait_for $START_S_MAX "the director runs again after $1" runs_anew "$pid"
    request $NAT4 >/dev/null && request "$FULLNAT6" >/dev/null || die "no answer after $1"
    [ "$(free_pages)" = "$pages" ] || die "huge pages free after $1: expected $pages, found $(free_pages)"
    passed "after $1 it forwards again, with as many huge pages free as before"
}

check_stop() {
    ask 'systemctl stop uvs'
    [ "$(ask 'systemctl show --property=Result --value uvs')" = success ] || die "stopped badly: $(ask 'journalctl -n 5 -u uvs')"
    [ "$(free_pages)" = "$(ask 'sed -n "s/HugePages_Total: *//p" /proc/meminfo')" ] || die "huge pages are left behind by a stop"
    passed 'a stop is clean and gives all huge pages back'
}

check_refusal() {
    ask 'dpdk-devbind.py --unbind 0000:00:08.0; ! uvs run -c /etc/uvs/uvs.toml' >"$work/refusal" || die 'it started without a NIC'
    grep -q 'port lan: .*bound to no driver; .dpdk-devbind.py --bind=vfio-pci 0000:00:08.0. gives it to DPDK' "$work/refusal" \
        || die "a NIC without a driver: expected the cure, found $(cat "$work/refusal")"
    passed 'a NIC that is not bound is named, with the cure'
}
