# shellcheck shell=bash
# The world around the guest, in namespaces below the run's own (see run.sh), so that nothing has to be tidied up:
#
#     client ── wan (tap of NIC 1)                          lan (tap of NIC 2) ──┬── s1  nginx
#     192.0.2.2                                                                ─┼── s2  nginx
#        └───────────────────────── back, 10.0.0.100 ────────────────────────────┘
#
# Real servers reach the client through the director (NAT), or, from a VIP of DR, past it by "back", whose address must be none of
# the director's local ones (uvs.toml): both would answer for it, and a flow in fifteen would go astray.

family() { case $1 in *:*) echo -6 ;; *) echo -4 ;; esac; }

# address NAMESPACE DEVICE ADDRESS...: IPv6 addresses at once, without asking whether somebody else has them.
address() {
    local space=$1 device=$2 one
    shift 2
    for one in "$@"; do
        case $one in
        *:*) ip -n "$space" addr add "$one" dev "$device" nodad ;;
        *) ip -n "$space" addr add "$one" dev "$device" ;;
        esac
    done
    ip -n "$space" link set "$device" up
}

network_up() {
    local space
    mount -t tmpfs tmpfs /run
    head -c 4000000 /dev/urandom >"$work/big"
    for space in client bridge s1 s2; do
        ip netns add "$space"
        ip -n "$space" link set lo up
        ip netns exec "$space" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
    done
    ip -n bridge link add name switch type bridge mcast_snooping 0
    ip -n bridge link set switch up
    ip -n bridge link add back type veth peer name back netns client
    address client back 10.0.0.100/24 fd00::100/64
    ip -n bridge link set back master switch up
    for space in s1 s2; do
        ip -n bridge link add $space type veth peer name lan netns $space
        ip -n bridge link set $space master switch up
        address $space lan "10.0.0.1${space#s}/24" "fd00::1${space#s}/64"
        ip -n $space route add default via 10.0.0.1
        ip -n $space -6 route add default via fd00::1
        # A receive ring of QEMU's must not fill up: with RSS it would wait for room in the wrong queue, for good. 64 KB are 45 frames.
        ip netns exec $space sysctl -qw net.ipv4.tcp_wmem='4096 65536 65536'
        # DR: the VIPs, without answering for them, and a way back that does not lead through the director.
        ip netns exec $space sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        address $space lo 192.0.2.30/32 2001:db8::30/128
        ip -n $space rule add from 192.0.2.30 lookup 30
        ip -n $space route add default via 10.0.0.100 table 30
        ip -n $space -6 rule add from 2001:db8::30 lookup 30
        ip -n $space -6 route add default via fd00::100 table 30
        server_up $space
    done
}

# QEMU has made the taps in its own namespace, where it looks for them by name; they end with it.
taps_up() {
    ip link set wan netns client
    address client wan 192.0.2.2/24 2001:db8::2/64
    ip link set lan netns bridge
    ip -n bridge link set lan master switch up
}

# A page that says who serves it, and a file of 4 MB, the same everywhere.
server_up() {
    local folder=$work/$1
    mkdir -p "$folder/www"
    echo "$1" >"$folder/www/who"
    ln -s "$work/big" "$folder/www/big"
    cat >"$folder/nginx.conf" <<EOF
user root;
worker_processes 1;
daemon off;
pid $folder/pid;
error_log $folder/errors;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $folder;
    proxy_temp_path $folder;
    fastcgi_temp_path $folder;
    uwsgi_temp_path $folder;
    scgi_temp_path $folder;
    server { listen 8080; listen [::]:8080; root $folder/www; }
}
EOF
    ip netns exec "$1" nginx -c "$folder/nginx.conf" -e stderr >"$folder/log" 2>&1 &
}
