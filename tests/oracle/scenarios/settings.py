#!/usr/bin/python3
"""Packet traces of settings that packets.py leaves as they are, and of servers that are the director itself."""
from trace import *
z = b'\0\0\0\0'
def tv(e, rp, opt, f): 
    fl = {'t': '-t', 'u': '-u', 's': '--sctp-service'}[f]
    return ['-A %s %s -s rr' % (fl, e.vs(80)), '-a %s %s -r %s %s' % (fl, e.vs(80), e.rs(rp), opt)]
def unreach(e, inner, src=None):
    return icmp_err(src or e.C, e.V, 3 if e.af == 4 else 1, 3 if e.af == 4 else 4, z, inner, e.af)
def toobig(e, inner, mtu=1300):
    return icmp_err(e.ROUTER, e.V, 3, 4, b'\0\0' + struct.pack('!H', mtu), inner, 4, 60) if e.af == 4 else icmp_err(e.ROUTER, e.V, 2, 0, struct.pack('!I', mtu), inner, 6)
INIT = ch(1, 0, struct.pack('!IIHHI', 0x1111, 65536, 1, 1, 1))
for af in (4, 6):
    for name, opt, rp, nat in (('masq', '-m', 8080, True), ('dr', '-g', 80, False), ('tun_ipip', '-i', 80, False)):
        e = EP(af); P = 'v%d/%s/' % (af, name)
        cfg = tv(e, rp, opt, 't') + tv(e, rp, opt, 'u') + tv(e, rp, opt, 's')
        def si(t):
            rep = lambda proto, l4: l3(e.V, e.C, proto, l4)
            t.step('c', 'client: port unreachable about a UDP flow that nobody knows', unreach(e, rep(17, udp(e.V, 80, e.C, 20001, b'r' * 60))))
            t.step('c', 'the client\'s request of that flow', l3(e.C, e.V, 17, udp(e.C, 20001, e.V, 80, b'q' * 20)))
            t.step('c', 'router: too big about a TCP flow that nobody knows', toobig(e, rep(6, tcp(e.V, 80, e.C, 20002, ACK, 501, 101, b'd' * 100))))
            t.step('c', 'the same again', toobig(e, rep(6, tcp(e.V, 80, e.C, 20002, ACK, 501, 101, b'd' * 100))))
            t.step('c', 'the client\'s ACK of that flow', l3(e.C, e.V, 6, tcp(e.C, 20002, e.V, 80, ACK, 101, 601)))
            t.step('c', 'router: too big about an SCTP flow that nobody knows', toobig(e, rep(132, sctp(80, 20003, 5, ch(0, 3, struct.pack('!IHHI', 1, 0, 0, 0) + b'hello')))))
            t.step('c', 'the client\'s DATA of that flow', l3(e.C, e.V, 132, sctp(20003, 80, 5, ch(0, 3, struct.pack('!IHHI', 1, 0, 0, 0) + b'hello'))))
            t.step('c', 'client: port unreachable about a port without a service', unreach(e, rep(17, udp(e.V, 81, e.C, 20004, b'r' * 60))))
            t.step('c', 'client: about a packet that is not the VIP\'s', unreach(e, l3(e.R, e.C, 17, udp(e.R, 80, e.C, 20005, b'r' * 60))))
            if af == 4: t.step('c', 'echo request to the VIP', ip4(e.C, e.V, 1, icmp4(8, 0, b'\x11\x22\0\1', b'ping' * 8)))
            else: t.step('c', 'echo request to the VIP', ip6(e.C, e.V, 58, icmp6(e.C, e.V, 128, 0, b'\x11\x22\0\1', b'ping' * 8)))
            if nat:
                t.step('s', 'server: its answer to the UDP flow', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 20001, b'r' * 30)))
                t.step('s', 'server: port unreachable about a flow that nobody knows', icmp_err(e.R, e.C, 3 if af == 4 else 1, 3 if af == 4 else 4, z, l3(e.C, e.R, 17, udp(e.C, 20009, e.R, rp, b'q' * 30)), af))
        case(P + 'schedule_icmp', 'ICMP errors about flows that nobody knows, schedule_icmp=1', cfg, si, sysctls={'net/ipv4/vs/schedule_icmp': 1})
        if name == 'masq':
            case(P + 'schedule_icmp_no_server', 'the same without servers', [c for c in cfg if c.startswith('-A')], lambda t: (t.step('c', 'client: port unreachable about a UDP flow that nobody knows', unreach(e, l3(e.V, e.C, 17, udp(e.V, 80, e.C, 20001, b'r' * 60)))),), sysctls={'net/ipv4/vs/schedule_icmp': 1})
            case(P + 'schedule_icmp_persistent', 'the same with persistence', [c + (' -p 60' if c.startswith('-A') else '') for c in cfg], lambda t: (t.step('c', 'client: port unreachable about a UDP flow that nobody knows', unreach(e, l3(e.V, e.C, 17, udp(e.V, 80, e.C, 20001, b'r' * 60)))), t.step('c', 'router: too big about a TCP flow that nobody knows', toobig(e, l3(e.V, e.C, 6, tcp(e.V, 80, e.C, 20002, ACK, 501, 101, b'd' * 100))))), sysctls={'net/ipv4/vs/schedule_icmp': 1})
        def flow(close): return lambda t: tcp_flow(t, e, rp, nat, close=close)
        case(P + 'secure_tcp', 'TCP, client closes first, secure_tcp=3', tv(e, rp, opt, 't'), flow('client'), sysctls={'net/ipv4/vs/secure_tcp': 3})
        case(P + 'secure_tcp_twreuse', 'TCP, SYN in TIME_WAIT, secure_tcp=3', tv(e, rp, opt, 't'), flow('twreuse'), sysctls={'net/ipv4/vs/secure_tcp': 3})
        def dp(t):
            for p in range(20001, 20013): t.step('c', 'SYN from port %d' % p, l3(e.C, e.V, 6, tcp(e.C, p, e.V, 80, SYN, 5, 0)))
            for p in range(20001, 20007): t.step('c', 'ACK from port %d' % p, l3(e.C, e.V, 6, tcp(e.C, p, e.V, 80, ACK, 6, 6)))
            for p in range(20001, 20008): t.step('c', 'UDP from port %d' % p, l3(e.C, e.V, 17, udp(e.C, p, e.V, 80, b'q')))
            for p in range(20001, 20007): t.step('c', 'UDP again from port %d' % p, l3(e.C, e.V, 17, udp(e.C, p, e.V, 80, b'q')))
            for p in range(20001, 20007): t.step('c', 'INIT from port %d' % p, l3(e.C, e.V, 132, sctp(p, 80, 0, INIT)))
            t.step('c', 'SYN to a port without service', l3(e.C, e.V, 6, tcp(e.C, 20101, e.V, 81, SYN, 5, 0)))
        name == 'masq' and case(P + 'drop_packet_rate3', 'drop_packet=3, am_droprate=3', cfg, dp, sysctls={'net/ipv4/vs/drop_packet': 3, 'net/ipv4/vs/am_droprate': 3})
        name == 'masq' and case(P + 'drop_packet_rate1', 'drop_packet=3, am_droprate=1', cfg, dp, sysctls={'net/ipv4/vs/drop_packet': 3, 'net/ipv4/vs/am_droprate': 1})
        def it(t):
            inner = l3(e.C, e.V, 17, udp(e.C, 20001, e.V, 80, b'q' * 20))
            t.step('c', 'a request in a tunnel to the VIP', l3(e.C, e.V, 4 if af == 4 else 41, inner))
            t.step('c', 'a request in GRE to the VIP', l3(e.C, e.V, 47, b'\0\0' + (b'\x08\0' if af == 4 else b'\x86\xdd') + inner))
            t.step('c', 'a request', inner)
        if name == 'masq':
            case(P + 'ignore_tunneled', 'ignore_tunneled=1', cfg, it, sysctls={'net/ipv4/vs/ignore_tunneled': 1})
            pass
        if name == 'masq':
            f6 = ' -6' if af == 6 else ''
            cfg2 = cfg + ['-a -t %s -r %s -g' % (e.vs(80), e.rs(80).replace('2]:', '3]:').replace('.2:', '.3:')), '-A -u %s -s rr -p 60' % hp(e.V, 0), '-a -u %s -r %s -m' % (hp(e.V, 0), hp(e.R[:-1] + '4', 0)), '-A -f 9%s -s rr' % f6, '-a -f 9%s -r %s -m' % (f6, hp(e.R[:-1] + '5', 99))]
            def ns(t):
                D = ch(0, 3, struct.pack('!IHHI', 1, 0, 0, 0) + b'hello')
                t.step('s', 'server: ACK of no conn', l3(e.R, e.C, 6, tcp(e.R, rp, e.C, 30000, ACK, 5, 5)))
                t.step('s', 'server: SYN,ACK of no conn', l3(e.R, e.C, 6, tcp(e.R, rp, e.C, 30000, SYN | ACK, 5, 5)))
                t.step('s', 'server: RST of no conn', l3(e.R, e.C, 6, tcp(e.R, rp, e.C, 30000, RST, 5, 5)))
                t.step('s', 'server: UDP of no conn', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 30000, b'r' * 30)))
                t.step('s', 'server: SCTP DATA of no conn', l3(e.R, e.C, 132, sctp(rp, 30000, 5, D)))
                t.step('s', 'server: SCTP ABORT of no conn', l3(e.R, e.C, 132, sctp(rp, 30000, 5, ch(6, 0, b''))))
                t.step('s', 'another port of the server', l3(e.R, e.C, 17, udp(e.R, 999, e.C, 30000, b'r' * 30)))
                R3, R4, R5 = e.R[:-1] + '3', e.R[:-1] + '4', e.R[:-1] + '5'
                t.step('s', 'a DR server: ACK of no conn', l3(R3, e.C, 6, tcp(R3, 80, e.C, 30000, ACK, 5, 5)))
                t.step('s', 'a server of port 0: UDP from any port', l3(R4, e.C, 17, udp(R4, 53, e.C, 30000, b'r')))
                t.step('s', 'a server of a mark: UDP', l3(R5, e.C, 17, udp(R5, 99, e.C, 30000, b'r')))
                t.step('s', 'a server of a mark: TCP', l3(R5, e.C, 6, tcp(R5, 99, e.C, 30000, ACK, 5, 5)))
                t.step('s', 'server: UDP to another real server', l3(e.R, R3, 17, udp(e.R, rp, R3, 30000, b'r' * 30)))
                t.edit('-d -u %s -r %s' % (e.vs(80), e.rs(rp)))
                t.step('s', 'the removed server: UDP of no conn', l3(e.R, e.C, 17, udp(e.R, rp, e.C, 30001, b'r' * 30)))
            case(P + 'nat_icmp_send_kinds', 'packets of servers that are of no conn, nat_icmp_send=1', cfg2, ns, sysctls={'net/ipv4/vs/nat_icmp_send': 1})
        # local
        if name in ('masq', 'dr', 'tun_ipip'):
            L = EP(af); L.R = '172.16.0.1' if af == 4 else 'fd16::1'
            lcfg = tv(L, rp, opt, 't') + tv(L, rp, opt, 'u')
            def lo(t):
                t.step('c', 'SYN', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN, 5, 0)))
                t.step('c', 'SYN again', l3(e.C, e.V, 6, tcp(e.C, 20001, e.V, 80, SYN, 5, 0)))
                t.step('c', 'UDP', l3(e.C, e.V, 17, udp(e.C, 20002, e.V, 80, b'q' * 20)))
                t.step('c', 'UDP, TTL 1', l3(e.C, e.V, 17, udp(e.C, 20002, e.V, 80, b'q' * 20), ttl=1))
                t.step('c', 'UDP, 2000 bytes in fragments', *(frag4(ip4(e.C, e.V, 17, udp(e.C, 20003, e.V, 80, b'q' * 2000), df=False), 1200) if af == 4 else frag6(l3(e.C, e.V, 17, udp(e.C, 20003, e.V, 80, b'q' * 2000)), 1200)))
                t.step('c', 'client: port unreachable about a reply', unreach(e, l3(e.V, e.C, 17, udp(e.V, 80, e.C, 20002, b'r' * 60))))
            case(P + 'local', 'the real server is the director itself; nothing listens', lcfg, lo)
            L2 = EP(af); L2.R = '127.0.0.1' if af == 4 else '::1'
            case(P + 'local_loopback', 'the real server is %s; nothing listens' % L2.R, tv(L2, rp, opt, 't') + tv(L2, rp, opt, 'u'), lo)
        # bypass
        if name in ('masq', 'dr'):
            fam = 'ip' if af == 4 else 'ip6'
            B = '172.16.0.9' if af == 4 else 'fd16::9'
            nft = 'table %s m { chain p { type filter hook prerouting priority -150; %s daddr %s meta mark set 7\n }\n}\n' % (fam, fam, B)
            f6 = ' -6' if af == 6 else ''
            def by(t):
                sh('ip -%d rule add fwmark 7 lookup 100' % af); sh('ip -%d route add local default dev lo table 100' % af)
                syn = l3(e.C, B, 6, tcp(e.C, 20001, B, 80, SYN, 5, 0))
                t.step('c', 'SYN', syn); t.step('s', 'SYN,ACK of the original destination', l3(B, e.C, 6, tcp(B, 80, e.C, 20001, SYN | ACK, 5, 6)))
                t.step('c', 'ACK', l3(e.C, B, 6, tcp(e.C, 20001, B, 80, ACK, 6, 6)))
                t.step('c', 'data', l3(e.C, B, 6, tcp(e.C, 20001, B, 80, ACK | PSH, 6, 6, b'hello')))
                t.step('c', 'UDP', l3(e.C, B, 17, udp(e.C, 20002, B, 53, b'q')))
                t.step('s', 'UDP answer', l3(B, e.C, 17, udp(B, 53, e.C, 20002, b'q')))
                t.step('c', 'client: port unreachable about the answer', icmp_err(e.C, B, 3 if af == 4 else 1, 3 if af == 4 else 4, z, l3(B, e.C, 17, udp(B, 53, e.C, 20002, b'r' * 60)), af))
                t.step('s', 'original destination: port unreachable about the request', icmp_err(B, e.C, 3 if af == 4 else 1, 3 if af == 4 else 4, z, l3(e.C, B, 17, udp(e.C, 20002, B, 53, b'r' * 60)), af))
                t.edit('-a -f 7%s -r %s %s' % (f6, e.rs(0), opt))
                t.step('c', 'ACK when there is a server', l3(e.C, B, 6, tcp(e.C, 20001, B, 80, ACK, 11, 6)))
                t.step('c', 'SYN of another flow', l3(e.C, B, 6, tcp(e.C, 20003, B, 80, SYN, 5, 0)))
                t.step('c', 'FIN of the first', l3(e.C, B, 6, tcp(e.C, 20001, B, 80, FIN | ACK, 11, 6)))
            for on in (1,):
                case(P + 'cache_bypass', 'a fwmark service without servers for addresses elsewhere, cache_bypass=%d' % on, ['-A -f 7%s -s rr' % f6], by, sysctls={'net/ipv4/vs/cache_bypass': on}, nft=nft)
