#!/usr/bin/python3
"""More golden packet traces of masquerading: ICMP errors of every kind and fragments, both ways; TTL, checksums, servers that come back."""
from trace import *

def own(af):
    e, P = EP(af), 'v%d/masq/' % af
    R2, C2, V2 = ('172.16.0.3', '10.1.2.4', '10.99.0.2') if af == 4 else ('fd16::3', 'fd10::1:2:4', 'fd99::2')
    T = ['-A -t %s -s rr' % e.vs(80), '-a -t %s -r %s -m' % (e.vs(80), e.rs(8080))]
    U = ['-A -u %s -s rr' % e.vs(80), '-a -u %s -r %s -m' % (e.vs(80), e.rs(8080))]
    S = ['-A --sctp-service %s -s rr' % e.vs(80), '-a --sctp-service %s -r %s -m' % (e.vs(80), e.rs(8080))]
    TCP = lambda src, sport, dst, dport, *a, **k: l3(src, dst, 6, tcp(src, sport, dst, dport, *a, **k))
    def UDP(src, sport, dst, dport, data=b'x', nosum=False, **k): return l3(src, dst, 17, udp(src, sport, dst, dport, data, nosum), **k)
    whole = lambda packet: packet if af == 6 else packet[:6] + b'\0\0' + packet[8:10] + struct.pack('!H', csum(packet[:6] + b'\0\0' + packet[8:10] + b'\0\0' + packet[12:20])) + packet[12:]
    frag = frag4 if af == 4 else frag6
    kind = {name: pair[af == 6] for name, pair in dict(port=((3, 3), (1, 4)), host=((3, 1), (1, 3)), admin=((3, 13), (1, 1)), ttl=((11, 0), (3, 0)),
                                                      reassembly=((11, 1), (3, 1)), big=((3, 4), (2, 0)), problem=((12, 0), (4, 0))).items()}
    def error(src, dst, name, about, mtu=0, cut=None):
        rest = struct.pack('!HH', 0, mtu) if af == 4 else struct.pack('!I', mtu)
        return icmp_err(src, dst, *kind[name], rest, about, af, cut)

    def clients(t):
        for at, (src, port) in enumerate([(e.C, 20001), (C2, 20001), (e.C, 20002)]):
            t.step('c', 'client %d: request' % at, UDP(src, port, e.V, 80, b'q%d' % at))
        t.step('c', 'the first client, same port, to another VIP', UDP(e.C, 20001, V2, 80, b'other'))
        t.step('s', 'reply to the second client', UDP(e.R, 8080, C2, 20001, b'to the second'))
        t.step('s', 'reply to the first client\'s second port', UDP(e.R, 8080, e.C, 20002, b'to the third'))
        t.step('c', 'the first client again', UDP(e.C, 20001, e.V, 80, b'again'))
        t.step('c', 'the first client to the other VIP again', UDP(e.C, 20001, V2, 80, b'again'))
    case(P + 'clients', 'clients with one port, and one client\'s port at two VIPs, share a server', U + [l.replace(e.V, V2) for l in U], clients)

    def errors(t):
        there, back = UDP(e.C, 20001, e.R, 8080, b'q' * 40, ttl=63), UDP(e.V, 80, e.C, 20001, b'r' * 60, ttl=63)
        t.step('c', 'request', UDP(e.C, 20001, e.V, 80, b'q' * 40)); t.step('s', 'reply', UDP(e.R, 8080, e.C, 20001, b'r' * 60))
        for name, mtu in (('port', 0), ('host', 0), ('admin', 0), ('ttl', 0), ('reassembly', 0), ('big', 1300), ('problem', 0)):
            t.step('s', 'server-side router: %s about the request' % name, error(e.SROUTER, e.C, name, there, mtu))
            t.step('c', 'client-side router: %s about the reply' % name, error(e.ROUTER, e.V, name, back, mtu))
        t.step('s', 'server itself: port unreachable, the whole request quoted', error(e.R, e.C, 'port', there, cut=500))
        t.step('c', 'client itself: port unreachable, the whole reply quoted', error(e.C, e.V, 'port', back, cut=500))
        t.step('s', 'the quoted packet is cut after four bytes of UDP', error(e.SROUTER, e.C, 'port', there, cut=24 if af == 4 else 44))
        t.step('s', 'another host than the server is quoted', error(e.SROUTER, e.C, 'port', UDP(e.C, 20001, R2, 8080)))
        t.step('s', 'an error with TTL 1', l3(e.SROUTER, e.C, 1 if af == 4 else 58, error(e.SROUTER, e.C, 'port', there)[20 if af == 4 else 40:], ttl=1))
        t.step('c', 'request after all of them', UDP(e.C, 20001, e.V, 80, b'q')); t.step('s', 'reply', UDP(e.R, 8080, e.C, 20001, b'r'))
    case(P + 'errors', 'ICMP errors of every kind, both ways, about a conn of UDP', U, errors)

    def tcp_errors(t):
        tcp_flow(t, e, 8080, True, upto='established')
        there = TCP(e.C, 20001, e.R, 8080, ACK | PSH, 101, 501, b'd' * 400)
        back = TCP(e.V, 80, e.C, 20001, ACK | PSH, 501, 101, b'd' * 400)
        t.step('s', 'server-side router: big, MTU 1280, about a segment', error(e.SROUTER, e.C, 'big', there, 1280, cut=80))
        t.step('c', 'client-side router: big, MTU 1280, about a segment', error(e.ROUTER, e.V, 'big', back, 1280, cut=80))
        t.step('c', 'client SYN from another port', TCP(e.C, 20007, e.V, 80, SYN, 100, 0))
        t.step('s', 'server: port unreachable instead of SYN,ACK', error(e.R, e.C, 'port', TCP(e.C, 20007, e.R, 8080, SYN, 100, 0)))
    case(P + 'errors_tcp', 'ICMP errors about conns of TCP', T, tcp_errors)

    def sctp_errors(t):
        init = ch(1, 0, struct.pack('!IIHHI', 0x1111, 65536, 1, 1, 1))
        t.step('c', 'client INIT', l3(e.C, e.V, 132, sctp(20003, 80, 0, init)))
        t.step('s', 'server: port unreachable about it', error(e.R, e.C, 'port', l3(e.C, e.R, 132, sctp(20003, 8080, 0, init)), cut=500))
        t.step('s', 'server ABORT', l3(e.R, e.C, 132, sctp(8080, 20003, 0x1111, ch(6, 1, b''))))
        packet = sctp(20004, 80, 0, init)
        t.step('c', 'client INIT with a wrong checksum', l3(e.C, e.V, 132, packet[:8] + b'abcd' + packet[12:]))
    case(P + 'sctp_errors', 'SCTP: an ICMP error, ABORT, a wrong checksum', S, sctp_errors)

    def ttl(t):
        t.step('c', 'request, TTL 2', UDP(e.C, 20001, e.V, 80, ttl=2))
        t.step('c', 'request, TTL 1: the client is told', UDP(e.C, 20001, e.V, 80, ttl=1))
        t.step('s', 'reply, TTL 2', UDP(e.R, 8080, e.C, 20001, ttl=2))
        t.step('s', 'reply, TTL 1: the server is told', UDP(e.R, 8080, e.C, 20001, ttl=1))
        t.step('c', 'first packet of a flow, TTL 1', UDP(e.C, 20002, e.V, 80, ttl=1))
    case(P + 'ttl', 'TTL and hop limit used up, both ways', U, ttl)

    def fragments(t):
        t.step('c', 'request', UDP(e.C, 20001, e.V, 80)); t.step('c', 'the second client\'s request', UDP(C2, 20001, e.V, 80))
        big = lambda src, port, dst, dport, fill, n=2000: whole(UDP(src, port, dst, dport, fill * n))
        t.step('c', '2000 bytes in 2 fragments', *frag(big(e.C, 20001, e.V, 80, b'a'), 1200))
        t.step('c', 'in 3, the last one first', *frag(big(e.C, 20001, e.V, 80, b'b'), 800, 0x4343)[::-1])
        one, two = frag(big(e.C, 20001, e.V, 80, b'1'), 1200, 0x4444), frag(big(C2, 20001, e.V, 80, b'2'), 1200, 0x4444)
        t.step('c', 'a first fragment', one[0])
        t.step('c', 'another client\'s fragments with the same identification', *two)
        t.step('c', 'the rest of the first client\'s', one[1])
        t.step('s', 'reply in 2 fragments', *frag(big(e.R, 8080, e.C, 20001, b'c'), 1200, 0x4545))
        t.step('s', 'reply in 3, the last one first', *frag(big(e.R, 8080, C2, 20001, b'd'), 800, 0x4646)[::-1])
        t.step('c', 'a later fragment alone', frag(big(e.C, 20001, e.V, 80, b'e'), 1200, 0x4747)[1])
        t.step('s', 'a later fragment of a reply alone', frag(big(e.R, 8080, e.C, 20001, b'f'), 1200, 0x4848)[1])
        if af == 4:
            t.step('c', 'in fragments, no UDP checksum', *frag(whole(UDP(e.C, 20001, e.V, 80, b'g' * 2000, nosum=True)), 1200, 0x4949))
            t.step('s', 'reply in fragments, no UDP checksum', *frag(whole(UDP(e.R, 8080, e.C, 20001, b'h' * 2000, nosum=True)), 1200, 0x4a4a))
    case(P + 'fragments_both', 'fragments both ways, of two clients with one identification', U, fragments)

    def checksums(t):
        t.step('c', 'request without UDP checksum', UDP(e.C, 20001, e.V, 80, b'z' * 9, nosum=True))
        t.step('c', 'request', UDP(e.C, 20001, e.V, 80, b'z' * 9))
        t.step('s', 'reply without UDP checksum', UDP(e.R, 8080, e.C, 20001, b'z' * 9, nosum=True))
        bad = lambda p: p[:-3 - 8] + bytes([p[-11] ^ 0x55]) + p[-10:]
        t.step('c', 'request, wrong payload for its checksum', bad(UDP(e.C, 20001, e.V, 80, b'z' * 30)))
        t.step('s', 'reply, wrong payload for its checksum', bad(UDP(e.R, 8080, e.C, 20001, b'z' * 30)))
        for n in range(1, 4): t.step('c', 'request of %d bytes' % n, UDP(e.C, 20001, e.V, 80, b'\xff' * n))
    case(P + 'checksums', 'UDP checksums: none, wrong, odd lengths', U, checksums)

    def back(t):
        tcp_flow(t, e, 8080, True, upto='established')
        t.edit('-d -t %s -r %s' % (e.vs(80), e.rs(8080)))
        t.step('c', 'data after the server was removed', TCP(e.C, 20001, e.V, 80, ACK | PSH, 101, 501, b'x'))
        t.step('s', 'server data after it was removed', TCP(e.R, 8080, e.C, 20001, ACK | PSH, 501, 101, b'x'))
        t.step('c', 'another client: nobody takes it', TCP(C2, 20001, e.V, 80, SYN, 100))
        t.edit('-a -t %s -r %s -m' % (e.vs(80), e.rs(8080)))
        t.step('c', 'data after it came back', TCP(e.C, 20001, e.V, 80, ACK | PSH, 102, 502, b'y'))
        t.step('s', 'server data after it came back', TCP(e.R, 8080, e.C, 20001, ACK | PSH, 502, 103, b'y'))
        t.edit('-e -t %s -r %s -m -w 0' % (e.vs(80), e.rs(8080)))
        t.step('c', 'data while the server is quiesced', TCP(e.C, 20001, e.V, 80, ACK | PSH, 103, 503, b'z'))
        t.step('c', 'another client while it is quiesced', TCP(C2, 20001, e.V, 80, SYN, 100))
    case(P + 'server_back', 'a server is removed, comes back, is quiesced', T, back)

    def persistent(t):
        for port in (80, 443, 8443): t.step('c', 'SYN to port %d' % port, TCP(e.C, 20001, e.V, port, SYN, 100))
        for port in (80, 443, 8443): t.step('s', 'SYN,ACK of port %d' % port, TCP(R2, port, e.C, 20001, SYN | ACK, 500, 101))
        t.step('c', 'another client', TCP(C2, 20001, e.V, 443, SYN, 100))
        t.step('s', 'SYN,ACK to it', TCP(e.R, 443, C2, 20001, SYN | ACK, 500, 101))
    case(P + 'port0_replies', 'all ports of a VIP, with replies', ['-A -t %s -s rr -p 60' % e.vs(0)] + ['-a -t %s -r %s -m' % (e.vs(0), hp(r, 0)) for r in (e.R, R2)], persistent)

    if af == 4:
        def options(t):
            t.step('c', 'request with options', ip4(e.C, e.V, 17, udp(e.C, 20001, e.V, 80, b'x' * 8), options=b'\1\1\1\0'))
            t.step('s', 'reply with options', ip4(e.R, e.C, 17, udp(e.R, 8080, e.C, 20001, b'x' * 8), options=b'\1\1\1\0'))
            t.step('c', 'loose source route: never forwarded', ip4(e.C, e.V, 17, udp(e.C, 20001, e.V, 80, b'x'), options=b'\x83\x07\x04' + ipb('10.9.9.9') + b'\0'))
            for tos in (0x2e << 2, 1, 2, 3): t.step('c', 'TOS %#x' % tos, UDP(e.C, 20001, e.V, 80, tos=tos))
        case(P + 'options', 'IPv4 options, TOS and ECN', U, options)
        def pmtu(t):
            t.step('c', 'IP length 1450, DF', UDP(e.C, 20001, e.V, 80, b'x' * 1422))
            t.step('c', 'IP length 1450, no DF', whole(UDP(e.C, 20001, e.V, 80, b'x' * 1422)))
            t.step('s', 'reply of 1400, DF', UDP(e.R, 8080, e.C, 20001, b'y' * 1372))
        case(P + 'pmtu_disc0', 'the server side has MTU 1400, pmtu_disc=0', U, pmtu, mtu_s=1400, sysctls={'net/ipv4/vs/pmtu_disc': 0})
    else:
        def extensions(t):
            option = lambda nh: bytes([nh, 0, 1, 4, 0, 0, 0, 0])
            d = udp(e.C, 20001, e.V, 80, b'x' * 8)
            t.step('c', 'hop-by-hop options', ip6(e.C, e.V, 0, option(17) + d))
            t.step('c', 'destination options', ip6(e.C, e.V, 60, option(17) + d))
            t.step('s', 'reply with destination options', ip6(e.R, e.C, 60, option(17) + udp(e.R, 8080, e.C, 20001, b'y' * 8)))
            t.step('c', 'flow label and traffic class', ip6(e.C, e.V, 17, d, tc=0xb9, flow=0xabcde))
            t.step('c', 'an atomic fragment', ip6(e.C, e.V, 44, struct.pack('!BBHI', 17, 0, 0, 77) + d))
        case(P + 'extensions', 'IPv6 extension headers, flow label, an atomic fragment', U, extensions)

for af in (4, 6): own(af)
