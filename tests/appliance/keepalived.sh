# shellcheck shell=bash
# keepalived as Debian installs it, a service with the drop-in that is linked (run.sh), and ipvsadm by its wrapper.

readonly KEPT='192.0.2.40:80'

# The host interface has its addresses from whoever configures the machine's.
check_keepalived() {
    local said
    ask 'ip address add 10.0.0.2/24 dev uvs0 && ip link set uvs0 up && systemctl start keepalived' \
        || die "keepalived did not start: $(ask 'journalctl --no-pager --lines=20 --unit=keepalived')"
    wait_for $REQUEST_S_MAX 'both checks succeeded' checks_succeeded
    for _ in 1 2 3 4; do request "$KEPT" || die "no answer from $KEPT"; done | sort >"$work/answers"
    [ "$(tr '\n' ' ' <"$work/answers")" = 's1 s1 s2 s2 ' ] || die "$KEPT: expected each server twice, found $(cat "$work/answers")"
    said=$(ask "uvs-ipvsadm -Ln -t $KEPT" | awk '$1 == "->" && $3 == "Masq" { print $2 }' | sort | tr '\n' ' ')
    [ "$said" = '10.0.0.11:8080 10.0.0.12:8080 ' ] || die "uvs-ipvsadm: expected two servers, found $(ask "uvs-ipvsadm -Ln -t $KEPT")"
    passed 'keepalived and ipvsadm, as installed, drive the director; checks leave by its host interface'
}

checks_succeeded() {
    [ "$(ask 'journalctl --no-pager --output=cat --unit=keepalived' \
        | grep -c -e '^TCP connection to .10.0.0.11.:tcp:8080 success' -e '^Remote Web server .10.0.0.12.:tcp:8080 succeed')" = 2 ]
}
