# shellcheck shell=bash
# The director as a service of a machine: what systemd, DPDK and the next director find of it.

check_start() {
    ask 'systemctl start uvs' || die "the director did not start: $(ask 'journalctl --no-pager --lines=20 --unit=uvs')"
    ask 'journalctl --no-pager --output=cat --unit=uvs' >"$work/journal"
    grep -q 'MB in huge pages' "$work/journal" || die 'the director is not on huge pages'
    [ "$(grep -o -e 'running; ' -e '^Started' "$work/journal" | tr '\n' ,)" = 'running; ,Started,' ] \
        || die "expected that systemd is told when the director forwards, found $(cat "$work/journal")"
    [ "$(ask 'cat /sys/devices/system/cpu/isolated')" = 1-2 ] || die 'cores 1 and 2 are not isolated'
    # shellcheck disable=SC2016
    ask 'for task in /proc/$(systemctl show --property=MainPID --value uvs)/task/*; do
        echo "$(cat "$task/comm") $(sed -n "s/Cpus_allowed_list:\t//p" "$task/status")"; done' | sort >"$work/threads"
    [ "$(grep worker "$work/threads" | tr '\n' ' ') $(grep -v worker "$work/threads" | grep -v ' 0$')" = 'rte-worker-1 1 rte-worker-2 2  ' ] \
        || die "threads and their cores: expected workers on 1 and 2 and all else on 0, found $(cat "$work/threads")"
    [ "$(field ports '{(port["link"], port["rx_queues"]) for port in it if port["name"] != "trunk"}')" = "{(True, $1)}" ] \
        || die "expected the link up and $1 receive queues, found $(ask 'uvs show ports')"
    passed "started at boot, on huge pages, workers on isolated cores, receive queues a port: $1"
}

check_reload() {
    ask "sed -i '0,/10.0.0.12:8080\"/s//&\nweight = 0/' /etc/uvs/uvs.toml && systemctl reload uvs" || die 'systemctl reload failed'
    for _ in 1 2 3; do [ "$(request "$NAT4")" = s1 ] || die 'a server of weight 0 got a new conn after the reload'; done
    ask "sed -i '/^weight = 0/d' /etc/uvs/uvs.toml && systemctl reload uvs" || die 'systemctl reload failed'
    passed 'systemctl reload changes a weight'
}

# refused WHERE COMMAND WHAT: the director that COMMAND starts does not start, and says WHAT.
refused() {
    ask "! $2" >"$work/refusal" || die "$1: a director started"
    grep -q "$3" "$work/refusal" || die "$1: expected to read \"$3\", found $(cat "$work/refusal")"
}

# In the first one's network namespace the second finds its claim, in another one a process that has the device open. (vfio-pci would
# refuse by itself, uio would not.)
check_second_director() {
    local start='uvs run -c /tmp/second.toml'
    ask "sed 's,^.director.,&\nrun_dir = \"/run/second\",; s/require/off/' /etc/uvs/uvs.toml >/tmp/second.toml"
    refused 'a second director' "$start" 'port wan: .*PCI device 0000:00:04.0 is another director.s (process [0-9]* (uvs)); stop it'
    refused 'a second director in another network namespace' "unshare --net $start" 'port wan: .*0000:00:04.0.* process [0-9]* (uvs) has it open'
    request "$NAT4" >/dev/null || die "no answer from $NAT4 after a second director tried to start"
    passed 'a second director on the same NICs is refused, and the first feels nothing'
}

free_pages() { ask 'sed -n "s/HugePages_Free: *//p" /proc/meminfo'; }
main_pid() { ask 'systemctl show --property=MainPID --value uvs'; }

# What kills it, and waits until the journal says that systemd has started it again.
# shellcheck disable=SC2016,SC2034
readonly KILL='cursor=$(journalctl --unit=uvs --lines=1 --show-cursor | sed -n "s/^-- cursor: //p")
    systemctl kill --kill-who=main --signal=KILL uvs
    exec {journal}< <(exec timeout 500 journalctl --follow --no-tail --output=cat --unit=uvs --after-cursor="$cursor")
    follower=$!
    grep -q -m 1 "^Started" <&"$journal"
    started=$?
    kill "$follower"
    exit "$started"'

# check_new_start WHAT COMMAND: systemd has another director running when COMMAND has ended.
check_new_start() {
    local pid pages
    pid=$(main_pid)
    pages=$(free_pages)
    ask "$2" || die "$1: it does not run again: $(ask 'journalctl --no-pager --lines=20 --unit=uvs')"
    [ "$(ask 'systemctl is-active uvs')" = active ] || die "$1: it is not active"
    [ "$(main_pid)" != "$pid" ] || die "$1: the director is the same"
    { request "$NAT4" && request "$FULLNAT6"; } >/dev/null || die "no answer after $1"
    [ "$(ask 'systemctl is-active keepalived')" = active ] || die "keepalived does not run after $1"
    [ "$(free_pages)" = "$pages" ] || die "huge pages free after $1: expected $pages, found $(free_pages)"
    passed "after $1 it forwards again, with as many huge pages free as before"
}

check_stop() {
    ask 'systemctl stop uvs'
    [ "$(ask 'systemctl is-active keepalived')" = inactive ] || die 'keepalived runs on without its director'
    [ "$(ask 'systemctl show --property=Result --value uvs')" = success ] || die "stopped badly: $(ask 'journalctl -n 5 -u uvs')"
    [ "$(free_pages)" = "$(ask 'sed -n "s/HugePages_Total: *//p" /proc/meminfo')" ] || die "huge pages are left behind by a stop"
    passed 'a stop is clean and gives all huge pages back'
}

# check_refusals KERNEL_DRIVER: a NIC that is not DPDK's.
check_refusals() {
    local start='uvs run -c /etc/uvs/uvs.toml' cure='.dpdk-devbind.py --bind=vfio-pci 0000:00:08.0. gives it to DPDK'
    ask 'dpdk-devbind.py --unbind 0000:00:08.0'
    refused 'a NIC without a driver' "$start" "port lan: .*bound to no driver; $cure"
    ask "dpdk-devbind.py --bind=$1 0000:00:08.0"
    refused "a NIC of the kernel's" "$start" "port lan: .*belongs to the kernel's $1; $cure"
    ask "sed -i 's/0000:00:08.0/0000:00:0b.0/' /etc/uvs/uvs.toml"
    refused 'a NIC that is not there' "$start" 'port lan: .*0000:00:0b.0.*no PCI device of this machine; .lspci -D. lists them'
    passed 'a NIC that is unbound, the kernel'"'"'s or absent is named, with the cure'
}
