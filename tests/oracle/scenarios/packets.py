#!/usr/bin/python3
"""Golden packet traces: what goes into the director and what comes out, step by step."""
import time
from trace import *

def modes(af):
    """name, options of the destination, real port differs from the service port, is NAT"""
    m = [('masq', '-m', 8080, True), ('masq_sameport', '-m', 80, True), ('dr', '-g', 80, False), ('tun_ipip', '-i', 80, False),
         ('tun_gre', '-i --tun-type gre', 80, False), ('tun_gre_csum', '-i --tun-type gre --tun-csum', 80, False),
         ('tun_gue', '-i --tun-type gue --tun-port 6080', 80, False), ('tun_gue_csum', '-i --tun-type gue --tun-port 6080 --tun-csum', 80, False), ('tun_gue_remcsum', '-i --tun-type gue --tun-port 6080 --tun-remcsum', 80, False)]
    return m

def run_mode(af, name, opt, rp, nat, e=None, tag=None):
    e = e or EP(af); P = 'v%d/%s/' % (af, tag or name)
    UD = lambda n, fill=b'q': udp(e.C, 20002, e.V, 80, fill * n)
    T = ['-A -t %s -s rr' % e.vs(80), '-a -t %s -r %s %s' % (e.vs(80), e.rs(rp), opt)]
    U = ['-A -u %s -s rr' % e.vs(80), '-a -u %s -r %s %s' % (e.vs(80), e.rs(rp), opt)]
    S = ['--add-service --sctp-service %s -s rr' % e.vs(80), '--add-server --sctp-service %s -r %s %s' % (e.vs(80), e.rs(rp), opt)]
    base = name in ('masq', 'dr', 'tun_ipip')
    case(P + 'tcp', 'TCP, client closes first', T, lambda t: tcp_flow(t, e, rp, nat))
    if base:
        for cl in ('server', 'crst', 'srst', 'reuse', 'twreuse'):
            if cl in ('server', 'srst') and not nat: continue
            case(P + 'tcp_' + cl, 'TCP variant: ' + cl, T, lambda t: tcp_flow(t, e, rp, nat, close=cl))
        def half(t):
            a = (e.C, 20001, e.V, 80)
            t.step('c', 'ACK without a connection', l3(e.C, e.V, 6, tcp(*a, ACK, 5, 5)))
            t.step('c', 'SYN,ACK without a connection', l3(e.C, e.V, 6, tcp(*a, SYN | ACK, 5, 5)))
            t.step('c', 'RST without a connection', l3(e.C, e.V, 6, tcp(*a, RST, 5, 5)))
            t.step('c', 'FIN without a connection', l3(e.C, e.V, 6, tcp(*a, FIN | ACK, 5, 5)))
            t.step('c', 'SYN', l3(e.C, e.V, 6, tcp(*a, SYN, 5, 0))); t.step('c', 'SYN retransmitted', l3(e.C, e.V, 6, tcp(*a, SYN, 5, 0)))
            t.step('c', 'FIN in SYN_RECV', l3(e.C, e.V, 6, tcp(*a, FIN | ACK, 6, 0))); t.step('c', 'RST', l3(e.C, e.V, 6, tcp(*a, RST, 6, 0)))
            t.step('c', 'SYN,FIN', l3(e.C, e.V, 6, tcp(e.C, 20009, e.V, 80, SYN | FIN, 6, 0)))
            t.step('c', 'no flags', l3(e.C, e.V, 6, tcp(e.C, 20010, e.V, 80, 0, 6, 0)))
        case(P + 'tcp_odd', 'TCP segments outside of a connection', T, half)
        def bad(t):
            t.step('c', 'SYN with a wrong TCP checksum', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN, badsum=True)))
            t.step('c', 'SYN', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 80, SYN)))
            t.step('c', 'ACK with a wrong TCP checksum', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 80, ACK, badsum=True)))
            if nat: t.step('s', 'SYN,ACK with a wrong TCP checksum', l3(e.R, e.C, 6, tcp(e.R, rp, e.C, 20002, SYN | ACK, badsum=True)))
        case(P + 'tcp_badsum', 'wrong checksums', T, bad)
        case(P + 'no_service', 'service exists on port 80 only', T, lambda t: (t.step('c', 'SYN to port 81', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 81, SYN))), t.step('c', 'UDP to port 80 (TCP service only)', l3(e.C, e.V, 17, UD(5)))))
        case(P + 'no_server', 'the only server has weight 0; then a service without servers', T + ['-e -t %s -r %s %s -w 0' % (e.vs(80), e.rs(rp), opt), '-A -u %s -s rr' % e.vs(80)],
             lambda t: (t.step('c', 'SYN', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN, opts=O))), t.step('c', 'UDP', l3(e.C, e.V, 17, UD(5)))))
        case(P + 'no_scheduler', 'a service without a scheduler, by -A and by -E; a persistent one keeps what its templates know',
             ['-A -t %s -s none' % e.vs(80), T[1], '-A -t %s -s rr -p 60' % e.vs(443), '-a -t %s -r %s %s' % (e.vs(443), e.rs(443), opt)],
             lambda t: (t.step('c', 'SYN', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN, opts=O))),
                        t.step('c', 'SYN to port 443', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 443, SYN, opts=O))),
                        t.edit('-E -t %s -s none -p 60' % e.vs(443)), t.edit('-E -t %s -s rr' % e.vs(80)),
                        t.step('c', 'ACK to port 443', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 443, ACK, seq=2, ack=2))),
                        t.step('c', 'SYN to port 443, by the template', l3(e.C, e.V, 6, tcp(e.C, 20003, e.V, 443, SYN, opts=O))),
                        t.step('c', 'SYN', l3(e.C, e.V, 6, tcp(e.C, 20004, e.V, 80, SYN, opts=O)))))
    def u(t):
        t.step('c', 'request', l3(e.C, e.V, 17, UD(20)))
        if nat: t.step('s', 'reply', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'r' * 30)))
        t.step('c', 'request', l3(e.C, e.V, 17, UD(21)))
        t.step('c', 'request, odd length, TOS/TC 0xb8', l3(e.C, e.V, 17, UD(33), tos=0xb8))
        t.step('c', 'request, ECN CE', l3(e.C, e.V, 17, UD(33), tos=3))
        if af == 4:
            t.step('c', 'request, no UDP checksum', l3(e.C, e.V, 17, udp(e.C, 20002, e.V, 80, b'z' * 9, nosum=True)))
            if nat: t.step('s', 'reply, no UDP checksum', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'z' * 9, nosum=True)))
            t.step('c', 'request, DF clear', ip4(e.C, e.V, 17, UD(20), df=False))
            t.step('c', 'request with IP options (NOP NOP NOP EOL)', ip4(e.C, e.V, 17, UD(20), options=b'\1\1\1\0'))
        t.step('c', 'TTL 64->?', l3(e.C, e.V, 17, UD(20), ttl=64)); t.step('c', 'TTL 2', l3(e.C, e.V, 17, UD(20), ttl=2)); t.step('c', 'TTL 1', l3(e.C, e.V, 17, UD(20), ttl=1))
        if nat:
            t.step('s', 'reply TTL 1', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'r' * 30), ttl=1))
            t.step('s', 'server port without a connection', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 30000, b'r' * 30)))
            t.step('s', 'another port of the server', l3(e.R, e.C, 17, udp(e.R, 999, e.C, 30000, b'r' * 30)))
    case(P + 'udp', 'UDP request and reply, TOS, checksum 0, options, TTL', U, u)
    case(P + 'sctp', 'SCTP association', S, lambda t: sctp_flow(t, e, rp, nat))
    if base:
        def ping(t):
            if af == 4: t.step('c', 'echo request to the VIP', ip4(e.C, e.V, 1, icmp4(8, 0, b'\x11\x22\0\1', b'ping' * 8)))
            else: t.step('c', 'echo request to the VIP', ip6(e.C, e.V, 58, icmp6(e.C, e.V, 128, 0, b'\x11\x22\0\1', b'ping' * 8)))
        case(P + 'ping', 'ICMP echo to the VIP: answered by the director itself', U, ping)
    def frs(t):
        big = l3(e.C, e.V, 17, UD(2000)) if af == 6 else ip4(e.C, e.V, 17, UD(2000), df=False)
        fr = frag4(big, 1200) if af == 4 else frag6(big, 1200)
        t.step('c', 'UDP 2000 bytes in 2 fragments, in order', *fr)
        fr = frag4(big, 800, 0x4343) if af == 4 else frag6(big, 800, 0x43434343)
        t.step('c', '3 fragments, reverse order', *fr[::-1])
        t.step('c', 'only a later fragment', fr[1])
        if nat:
            rb = l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'R' * 2000)) if af == 6 else ip4(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'R' * 2000), df=False)
            t.step('s', 'reply in 2 fragments', *(frag4(rb, 1200, 0x4444) if af == 4 else frag6(rb, 1200, 0x44444444)))
    case(P + 'fragments', 'fragmented UDP', U, frs)
    def mtu(t):
        for n in (1300, 1380, 1390, 1400, 1420, 1432, 1440, 1448, 1452, 1460, 1468, 1470, 1472):
            ln = n - (20 if af == 6 else 0)
            t.step('c', 'UDP, IP length %d%s' % (ln + 8 + (20 if af == 4 else 40), ', DF' if af == 4 else ''), l3(e.C, e.V, 17, UD(ln)))
        if af == 4:
            for n in (1300, 1440, 1472): t.step('c', 'UDP, IP length %d, no DF' % (n + 28), ip4(e.C, e.V, 17, UD(n), df=False))
    case(P + 'mtu', 'growing packets; the server side has MTU 1500', U, mtu)
    if base: case(P + 'mtu1400', 'growing packets; the server side has MTU 1400', U, mtu, mtu_s=1400)
    def reply_mtu(t):
        t.step('c', 'request', l3(e.C, e.V, 17, UD(20)))
        for n in (1352, 1372, 1373, 1400, 1452) if af == 6 else (1372, 1373, 1400, 1472):
            t.step('s', 'reply of %d bytes%s' % (n, ', DF' if af == 4 else ''), l3(*((e.R, e.C) if nat else (e.V, e.C)), 17, udp(*((e.R, rp) if nat else (e.V, 80)), e.C, 20002, b'r' * n)))
            if af == 4: t.step('s', 'reply of %d bytes, no DF' % n, ip4(*((e.R, e.C) if nat else (e.V, e.C)), 17, udp(*((e.R, rp) if nat else (e.V, 80)), e.C, 20002, b'r' * n), df=False))
        src = (e.R, rp) if nat else (e.V, 80)
        t.step('s', 'reply too big with TTL 1', l3(src[0], e.C, 17, udp(*src, e.C, 20002, b'r' * 1440), ttl=1))
        big = l3(src[0], e.C, 17, udp(*src, e.C, 20002, b'R' * 2800)) if af == 6 else ip4(src[0], e.C, 17, udp(*src, e.C, 20002, b'R' * 2800), df=False)
        t.step('s', 'reply of 2800 bytes in fragments of 1400', *(frag4(big, 1400) if af == 4 else frag6(big, 1400)))
    if base: case(P + 'reply_mtu1400', 'growing replies; the client side has MTU 1400', U, reply_mtu, mtu_c=1400)
    def reply_mtu_states(t):
        src = (e.R, rp) if nat else (e.V, 80)
        def s(what, fl, n=0, **kw):
            if af == 6 and not kw.pop('df', True): return
            t.step('s', 'server ' + what, l3(src[0], e.C, 6, tcp(*src, e.C, 20001, fl, 501, 101, b'd' * n), **kw))
        c = lambda what, fl: t.step('c', 'client ' + what, l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, fl, 101, 501)))
        c('SYN', SYN); s('SYN,ACK, too big', SYN | ACK, 1400); s('ACK, too big', ACK, 1400); c('ACK', ACK)
        s('FIN, too big', FIN | ACK, 1400); s('RST, too big', RST, 1400); s('RST, too big, in fragments if need be', RST, 1400, df=False)
        c('SYN', SYN); c('ACK', ACK); s('FIN that just fits', FIN | ACK, 1360 - (20 if af == 6 else 0)); c('FIN', FIN | ACK)
    if base: case(P + 'reply_mtu_states', 'replies too big for the client side, which has MTU 1400, and the state of their conn', T, reply_mtu_states, mtu_c=1400)
    if name == 'tun_ipip' and af == 4: case(P + 'mtu_pmtudisc0', 'the same with pmtu_disc=0', U, mtu, sysctls={'net/ipv4/vs/pmtu_disc': 0})
    # ICMP errors
    def errs(t):
        req = l3(e.C, e.V, 17, UD(40)); out = t.step('c', 'request', req)
        if nat: t.step('s', 'reply', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'r' * 60)))
        rep = l3(e.V, e.C, 17, udp(e.V, 80, e.C, 20002, b'r' * 60))         # what the client saw
        z = b'\0\0\0\0'
        if af == 4:
            t.step('c', 'client: port unreachable about the reply', icmp_err(e.C, e.V, 3, 3, z, rep, 4))
            t.step('c', 'client-side router: fragmentation needed, MTU 1300, about the reply', icmp_err(e.ROUTER, e.V, 3, 4, b'\0\0' + struct.pack('!H', 1300), rep, 4, 60))
            t.step('c', 'client-side router: time exceeded about the reply', icmp_err(e.ROUTER, e.V, 11, 0, z, rep, 4))
            t.step('c', 'client: port unreachable, unknown port pair', icmp_err(e.C, e.V, 3, 3, z, l3(e.V, e.C, 17, udp(e.V, 80, e.C, 1, b'')), 4))
        else:
            t.step('c', 'client: port unreachable about the reply', icmp_err(e.C, e.V, 1, 4, z, rep, 6))
            t.step('c', 'client-side router: packet too big, MTU 1300, about the reply', icmp_err(e.ROUTER, e.V, 2, 0, struct.pack('!I', 1300), rep, 6))
            t.step('c', 'client-side router: time exceeded about the reply', icmp_err(e.ROUTER, e.V, 3, 0, z, rep, 6))
            t.step('c', 'client: port unreachable, unknown port pair', icmp_err(e.C, e.V, 1, 4, z, l3(e.V, e.C, 17, udp(e.V, 80, e.C, 1, b'')), 6))
        got = [f for sd, f in out if sd == 's']
        if not got: return
        fw = got[0][14:]
        if nat:
            if af == 4:
                t.step('s', 'server: port unreachable about the request', icmp_err(e.R, e.C, 3, 3, z, fw, 4))
                t.step('s', 'server-side router: fragmentation needed, MTU 1200', icmp_err(e.SROUTER, e.C, 3, 4, b'\0\0' + struct.pack('!H', 1200), fw, 4, 60))
                t.step('s', 'server: port unreachable, unknown port pair', icmp_err(e.R, e.C, 3, 3, z, l3(e.C, e.R, 17, udp(e.C, 1, e.R, rp, b'')), 4))
            else:
                t.step('s', 'server: port unreachable about the request', icmp_err(e.R, e.C, 1, 4, z, fw, 6))
                t.step('s', 'server-side router: packet too big, MTU 1280', icmp_err(e.SROUTER, e.C, 2, 0, struct.pack('!I', 1280), fw, 6))
        elif name == 'dr':
            if af == 4: t.step('s', 'server-side router to the client: fragmentation needed about the request (source is the client)', icmp_err(e.SROUTER, e.C, 3, 4, b'\0\0' + struct.pack('!H', 1200), fw, 4, 60))
        else:
            me = ips(fw[12:16]) if fw[0] >> 4 == 4 else ips(fw[8:24])
            sr = '172.16.0.9' if fw[0] >> 4 == 4 else 'fd16::9'
            if fw[0] >> 4 == 4:
                t.step('s', 'server-side router to the director: fragmentation needed, MTU 1400, about the tunnel packet', icmp_err(sr, me, 3, 4, b'\0\0' + struct.pack('!H', 1400), fw, 4, 100))
                t.step('c', 'request of 1428 bytes after that', l3(e.C, e.V, 17, UD(1400)))
                t.step('s', 'tunnel endpoint: protocol unreachable about the tunnel packet', icmp_err(got[0] and ips(fw[16:20]), me, 3, 2, z, fw, 4, 100))
                t.step('s', 'server-side router: time exceeded about the tunnel packet', icmp_err(sr, me, 11, 0, z, fw, 4, 100))
                t.step('s', 'fragmentation needed with only 8 bytes of the inner header', icmp_err(sr, me, 3, 4, b'\0\0' + struct.pack('!H', 1300), fw, 4, 28))
            else:
                t.step('s', 'server-side router to the director: packet too big, MTU 1400, about the tunnel packet', icmp_err(sr, me, 2, 0, struct.pack('!I', 1400), fw, 6))
                t.step('c', 'request of about 1400 bytes after that', l3(e.C, e.V, 17, UD(1380)))
                t.step('s', 'server-side router: time exceeded about the tunnel packet', icmp_err(sr, me, 3, 0, z, fw, 6))
    case(P + 'icmp_errors', 'ICMP errors about packets of a virtual service', U, errs)
    def terrs(t):
        tcp_flow(t, e, rp, nat, upto='established')
        rep = l3(e.V, e.C, 6, tcp(e.V, 80, e.C, 20001, ACK, 501, 101, b'd' * 100)); z = b'\0\0\0\0'
        if af == 4: t.step('c', 'client-side router: fragmentation needed, MTU 1300, about a data segment', icmp_err(e.ROUTER, e.V, 3, 4, b'\0\0' + struct.pack('!H', 1300), rep, 4, 80))
        else: t.step('c', 'client-side router: packet too big, MTU 1300, about a data segment', icmp_err(e.ROUTER, e.V, 2, 0, struct.pack('!I', 1300), rep, 6))
        if nat:
            fw = l3(e.C, e.R, 6, tcp(e.C, 20001, e.R, rp, ACK, 101, 501))
            if af == 4: t.step('s', 'server: host unreachable (type 3 code 1) about a segment', icmp_err(e.SROUTER, e.C, 3, 1, z, fw, 4, 60))
            else: t.step('s', 'server: address unreachable about a segment', icmp_err(e.SROUTER, e.C, 1, 3, z, fw, 6))
    if base: case(P + 'icmp_errors_tcp', 'ICMP errors about an established TCP connection', T, terrs)
    if nat and name == 'masq':
        def ops(t):
            t.step('c', 'request', l3(e.C, e.V, 17, UD(20))); t.step('s', 'reply', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20002, b'r' * 30)))
        case(P + 'ops', 'one-packet scheduling', ['-A -u %s -s rr -o' % e.vs(80)] + U[1:], ops)
        def per(t):
            tcp_flow(t, e, rp, nat, close='client'); t.step('c', 'second connection', l3(e.C, e.V, 6, tcp(e.C, 20005, e.V, 80, SYN)))
        case(P + 'persistent', 'persistent service (template entry in the list)', ['-A -t %s -s rr -p 60' % e.vs(80)] + T[1:], per)
        def port0(t):
            t.step('c', 'SYN to port 80', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN))); t.step('c', 'SYN to port 443', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 443, SYN)))
        case(P + 'port0', 'all ports of a VIP (port 0, persistent)', ['-A -t %s -s rr -p 60' % e.vs(0), '-a -t %s -r %s -m' % (e.vs(0), e.rs(0))], port0)
        fam = 'ip' if af == 4 else 'ip6'
        nft = 'table %s m { chain p { type filter hook prerouting priority -150; %s daddr %s meta mark set 7\n }\n}\n' % (fam, fam, '10.99.0.0/16' if af == 4 else 'fd99::/64')
        def fwm(t):
            t.step('c', 'SYN port 80', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN))); t.step('c', 'UDP port 53', l3(e.C, e.V, 17, udp(e.C, 20001, e.V, 53, b'q')))
            t.step('s', 'SYN,ACK', l3(e.R, e.C, 6, tcp(e.R, 80, e.C, 20001, SYN | ACK))); t.step('s', 'UDP reply', l3(e.R, e.C, 17, udp(e.R, 53, e.C, 20001, b'r')))
        f6 = ' -6' if af == 6 else ''
        case(P + 'fwmark', 'fwmark service, real port 0', ['-A -f 7%s -s rr' % f6, '-a -f 7%s -r %s -m' % (f6, e.rs(0))], fwm, nft=nft)
        case(P + 'fwmark_persistent', 'persistent fwmark service', ['-A -f 7%s -s rr -p 60' % f6, '-a -f 7%s -r %s -m' % (f6, e.rs(0))], fwm, nft=nft)
        def nis(t):
            t.step('s', 'server port without a connection, nat_icmp_send=1 (UDP)', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 30000, b'r' * 30)))
        case(P + 'nat_icmp_send', 'nat_icmp_send=1', U, nis, sysctls={'net/ipv4/vs/nat_icmp_send': 1})
        case(P + 'snat_reroute0', 'snat_reroute=0', T, lambda t: tcp_flow(t, e, rp, nat), sysctls={'net/ipv4/vs/snat_reroute': 0})
        case(P + 'sloppy_tcp', 'sloppy_tcp=1: any first segment makes a connection', T, lambda t: (t.step('c', 'ACK without a connection', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, ACK, 5, 5))), t.step('c', 'RST without a connection', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 80, RST, 5, 5)))), sysctls={'net/ipv4/vs/sloppy_tcp': 1})
        def gone(cfg):
            def f(t):
                tcp_flow(t, e, rp, nat, upto='established')
                t.edit('-d -t %s -r %s' % (e.vs(80), e.rs(rp)))
                t.step('c', 'data after the server was removed', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, ACK | PSH, 101, 501, b'x')))
                t.step('s', 'server data after it was removed', l3(e.R, e.C, 6, tcp(e.R, rp, e.C, 20001, ACK | PSH, 501, 101, b'x')))
                t.step('c', 'data again', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, ACK | PSH, 101, 501, b'x')))
            return f
        case(P + 'server_removed', 'the server of a connection is removed', T, gone(0))
        case(P + 'server_removed_expire_nodest', 'the same with expire_nodest_conn=1', T, gone(1), sysctls={'net/ipv4/vs/expire_nodest_conn': 1})

def reuse(fwd, mode, nodest=0):
    """a SYN on the ports of an existing connection: is it scheduled again? two servers, rr"""
    e = EP(4); opt, nat = ('-m', True) if fwd == 'masq' else ('-g', False)
    def f(t):
        d = t.d; port = 20000
        def prep(kinds):
            nonlocal port
            port += 1
            o = t.step('c', 'port %d: SYN' % port, l3(e.C, e.V, 6, tcp(e.C, port, e.V, 80, SYN)))
            srv = decode(o[0][1]); rip = srv['dst'] if nat else None
            for k in kinds:
                fl = {'ack': ACK, 'fin': FIN | ACK, 'rst': RST, 'synack': SYN | ACK}[k.split('_')[1]]
                if k[0] == 'c': t.step('c', 'port %d: client %s' % (port, k[2:]), l3(e.C, e.V, 6, tcp(e.C, port, e.V, 80, fl)))
                elif nat: t.step('s', 'port %d: server %s' % (port, k[2:]), l3(rip, e.C, 6, tcp(rip, 80, e.C, port, fl)))
            t.step('c', 'port %d: SYN again after %s' % (port, ' '.join(kinds) or 'nothing'), l3(e.C, e.V, 6, tcp(e.C, port, e.V, 80, SYN, 77777)), wait=0.08)
            t.step('c', 'port %d: ACK' % port, l3(e.C, e.V, 6, tcp(e.C, port, e.V, 80, ACK, 77778)))
        prep([]); prep(['c_ack']); prep(['s_synack', 'c_ack']); prep(['c_ack', 'c_fin']); prep(['c_ack', 's_fin']); prep(['c_ack', 'c_fin', 's_fin']); prep(['c_ack', 's_fin', 'c_fin']); prep(['c_ack', 'c_rst']); prep(['c_ack', 's_rst']); prep(['c_fin'])
        for r in (2, 3): t.edit('-e -t 10.99.0.1:80 -r 172.16.0.%d:80 %s -w 0' % (r, opt))
        t.edit('-a -t 10.99.0.1:80 -r 172.16.0.4:80 %s' % opt)
        open(t.dir + '/config.txt', 'a').write('# after port 20010: both servers set to weight 0 and 172.16.0.4:80 added\n')
        for p in range(20001, 20009): t.step('c', 'port %d: SYN, its server is quiesced now' % p, l3(e.C, e.V, 6, tcp(e.C, p, e.V, 80, SYN, 88888)), wait=0.08)
    case('reuse/%s_mode%d%s' % (fwd, mode, '_nodest' if nodest else ''), 'SYN on an existing connection, conn_reuse_mode=%d expire_nodest_conn=%d' % (mode, nodest),
         ['-A -t 10.99.0.1:80 -s rr', '-a -t 10.99.0.1:80 -r 172.16.0.2:80 ' + opt, '-a -t 10.99.0.1:80 -r 172.16.0.3:80 ' + opt], f, sysctls={'net/ipv4/vs/conn_reuse_mode': mode, 'net/ipv4/vs/expire_nodest_conn': nodest})
for fwd in ('masq', 'dr'):
    for mode, nd in ((1, 0), (0, 0), (2, 0), (1, 1), (0, 1)): reuse(fwd, mode, nd)
if 'reuse' not in ONLY:
    for af in (4, 6):
        for name, opt, rp, nat in modes(af):
            t0 = time.time(); run_mode(af, name, opt, rp, nat); print('v%d %s %.1f s' % (af, name, time.time() - t0), flush=True)
    # mixed families: tunnels only
    e = EP(4); e.R = 'fd16::2'
    run_mode(4, 'tun_ipip', '-i', 80, False, e=e, tag='tun_ipip_to_v6')
    run_mode(4, 'tun_gue', '-i --tun-type gue --tun-port 6080', 80, False, e=e, tag='tun_gue_to_v6')
    e = EP(6); e.R = '172.16.0.2'
    run_mode(6, 'tun_ipip', '-i', 80, False, e=e, tag='tun_ipip_to_v4')
    run_mode(6, 'tun_gre', '-i --tun-type gre', 80, False, e=e, tag='tun_gre_to_v4')
