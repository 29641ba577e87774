# shellcheck shell=bash
# What is looked at on each kind of NIC, and of that what passes through it: a line for each check that passed; the first that fails
# ends the run. The service's checks are in service.sh, the VLAN's in vlan.sh, keepalived's in
# keepalived.sh.

readonly NAT4='192.0.2.10:80' NAT6='[2001:db8::10]:80' FULLNAT4='192.0.2.20:80' FULLNAT6='[2001:db8::20]:80'
readonly DR4='192.0.2.30:8080' DR6='[2001:db8::30]:8080'
# Seconds are milliseconds on a real machine; these are for an emulated one on a busy host.
readonly REQUEST_S_MAX=60 FILE_S_MAX=180 COUNT_S_MAX=30

# check_all RECEIVE_QUEUES RECEIVING KERNEL_DRIVER TAGS: how many queues there are for two workers, and by how many of them frames
# come; whose the NICs are if not DPDK's; who puts VLAN tags on.
check_all() {
    check_start "$1"
    check_requests
    check_files
    check_workers "$2"
    check_vlan "$4"
    check_cable
    check_reload
    check_keepalived
    check_second_director
    check_new_start 'a restart' 'systemctl restart uvs'
    check_new_start 'kill -9' "$KILL"
    check_stop
    check_refusals "$3"
}

passed() { echo "appliance: $kind: $*"; }

# field WHAT EXPRESSION: of `uvs show WHAT --json`, which is `it`.
field() { ask "uvs show $1 --json" | python3 -c "import json, sys; it = json.load(sys.stdin)['$1']; print($2)"; }

# wait_for SECONDS WHAT COMMAND...: until COMMAND, which asks the guest and so takes its time, is true.
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || die "not in time: $what"
    done
}

request() { ip netns exec client curl -sS --max-time $REQUEST_S_MAX "http://$1/who"; }

# Each method, both families, both servers in turn.
check_requests() {
    local vip
    for vip in $NAT4 $NAT6 $FULLNAT4 $FULLNAT6 $DR4 $DR6; do
        for _ in 1 2 3 4; do request "$vip" || die "no answer from $vip"; done | sort >"$work/answers"
        [ "$(tr '\n' ' ' <"$work/answers")" = 's1 s1 s2 s2 ' ] || die "$vip: expected each server twice, found $(cat "$work/answers")"
    done
    passed 'HTTP through NAT, FullNAT and DR, IPv4 and IPv6, each server in its turn'
}

# Many segments in a row, so that the order and the checksum of each count.
check_files() {
    local vip
    for vip in $NAT4 $NAT6 $FULLNAT4 $FULLNAT6; do
        ip netns exec client curl -sS --max-time $FILE_S_MAX --output "$work/got" "http://$vip/big" || die "$vip: no file"
        cmp -s "$work/got" "$work/big" || die "$vip: the file is not what was sent"
    done
    passed "files of $(stat --format=%s "$work/big") bytes, intact, through NAT and FullNAT"
}

# Forty more flows leave a worker or a queue out once in 10^12 runs.
check_workers() {
    local counts
    for _ in $(seq 40); do request $NAT4 >/dev/null || die "no answer from $NAT4"; done
    counts=$(field workers '{name: [worker[name] > 0 for worker in it] for name in ("received", "sent", "conns")}')
    if [ "$1" = 2 ]; then
        [ "$counts" = "{'received': [True, True], 'sent': [True, True], 'conns': [True, True]}" ]
    else
        [ "$counts" = "{'received': [True, False], 'sent': [True, True], 'conns': [True, True]}" ]
    fi || die "expected frames by $1 queues and conns at both workers, found $(ask 'uvs show workers')"
    [ "$(field ports '[port[way + "_packets"] > 100 for port in it if port["name"] != "trunk" for way in ("rx", "tx")]')" \
        = '[True, True, True, True]' ] || die "expected frames in both directions at both ports, found $(ask 'uvs show ports')"
    passed "both workers have conns and send; frames come by queues: $1"
}

check_cable() {
    local state
    for state in off on; do
        cable wan $state
        wait_for $COUNT_S_MAX "the link is $state" link_is $state
    done
    request $NAT4 >/dev/null || die "no answer from $NAT4 after the cable was plugged in again"
    passed 'a cable that is pulled and plugged in again is seen, and forwarding goes on'
}

link_is() { [ "$(field ports '"on" if it[0]["link"] else "off"')" = "$1" ]; }
