#!/usr/bin/python3
"""What becomes of conns and persistence templates whose real server is gone or takes none: expire_nodest_conn, its switching,
servers that come back at once; templates that are invalidated, and how they end."""
from trace import *

VS = 'net/ipv4/vs/'

def at_once(t, *lines):
    """edits by one process: nothing that the kernel put off comes between them"""
    t.d.restore(lines); t.edits += lines

def look(t, what, after=0.12):
    """what the kernel shows a moment later"""
    time.sleep(after); t.step('c', what, wait=0)

class Talk:
    """packets of clients to a VIP's services, and of its servers"""
    def __init__(self, t, e, nat): self.t, self.e, self.nat = t, e, nat
    def client(self, n): return ('10.1.2.%d' if self.e.af == 4 else 'fd10::%x') % n
    def tcp(self, n, port, *flags, to=80, wait=0.0):
        names = {SYN: 'SYN', ACK: 'ACK', FIN | ACK: 'FIN', RST: 'RST'}
        for fl in flags:
            c = self.client(n)
            self.t.step('c', 'client %d, port %d: %s' % (n, port, names[fl]), l3(c, self.e.V, 6, tcp(c, port, self.e.V, to, fl, 100, 0)), wait=wait)
    def udp(self, n, port, to=80):
        c = self.client(n)
        self.t.step('c', 'client %d, port %d: UDP' % (n, port), l3(c, self.e.V, 17, udp(c, port, self.e.V, to, b'q')), wait=0)
    def answer(self, n, port, server, rp, flags=None):
        c = self.client(n)
        l4 = (17, udp(server, rp, c, port, b'r')) if flags is None else (6, tcp(server, rp, c, port, flags, 500, 101))
        self.t.step('s', 'server %s to client %d, port %d' % (server, n, port), l3(server, c, *l4), wait=0)

def server(e, n): return ('172.16.0.%d' if e.af == 4 else 'fd16::%x') % n

for af in (4, 6):
    e = EP(af); A, B, C = (server(e, n) for n in (2, 3, 4))
    for name, opt, rp, nat in (('masq', '-m', 8080, True), ('dr', '-g', 80, False)):
        T = lambda s: '-t %s -r %s' % (e.vs(80), hp(s, rp)); U = lambda s: '-u %s -r %s' % (e.vs(80), hp(s, rp))
        on = {VS + 'expire_nodest_conn': 1}
        plain = ['-A -t %s -s rr' % e.vs(80), '-A -u %s -s rr' % e.vs(80)] + ['-a %s %s' % (s(x), opt) for x in (A, B) for s in (T, U)]
        def conns(x, n=4):
            for i in range(n):
                x.tcp(1, 1001 + i, SYN); x.tcp(1, 1101 + i, SYN, ACK); x.tcp(1, 1201 + i, SYN, ACK, FIN | ACK); x.udp(1, 1001 + i)
        def swept(t):
            x = Talk(t, e, nat); conns(x)
            t.edit('-d ' + T(A)); look(t, 'a server is removed')
            if nat: x.answer(1, 1101, A, rp, ACK); x.answer(1, 1102, A, rp, ACK)
            for i in range(4): x.tcp(1, 1101 + i, ACK); x.tcp(1, 1001 + i, SYN)
            t.edit('-d ' + U(B)); look(t, 'a server of the other service is removed')
            for i in range(4): x.udp(1, 1001 + i)
            t.edit('-a %s %s' % (T(A), opt)); look(t, 'the first is back')
            t.edit('-D -t ' + e.vs(80)); look(t, 'a service is removed')
            for i in range(2): x.tcp(1, 1101 + i, ACK)
        case('removed/v%d_%s_swept' % (af, name), 'conns of removed servers, expire_nodest_conn=1', plain, swept, sysctls=on)
        if af == 6 or name == 'dr': continue
        def switched(t):
            x = Talk(t, e, nat); conns(x, 2)
            t.edit('-d ' + T(A)); look(t, 'a server is removed, expire_nodest_conn=0')
            t.set(VS + 'expire_nodest_conn', 1); look(t, 'switched on', 1.2)
            t.edit('-e %s %s -w 0' % (T(B), opt)); look(t, 'the other one is quiesced')
            t.edit('-a %s %s' % (T(C), opt)); look(t, 'another one is added')
            t.edit('-d ' + U(B)); look(t, 'a server of another service is removed')
        case('removed/switched', 'expire_nodest_conn is switched on after a server was removed', plain, switched)
        def back(t):
            x = Talk(t, e, nat); conns(x, 2)
            at_once(t, '-d ' + T(A), '-a %s %s' % (T(A), opt)); look(t, 'a server is removed and back at once')
            for i in range(2): x.tcp(1, 1101 + i, ACK)
            at_once(t, '-d ' + T(A), '-d ' + T(B), '-a %s %s' % (T(A), opt)); look(t, 'two are removed, one is back at once')
        case('removed/back_at_once', 'servers that come back before their conns are looked at, expire_nodest_conn=1', plain, back, sysctls=on)
        keep = ['-A -t %s -s rr -p 300' % e.vs(80), '-A -u %s -s rr -p 300' % hp(e.V, 0)] + ['-a %s %s' % (T(x), opt) for x in (A, B)] + ['-a -u %s -r %s %s' % (hp(e.V, 0), hp(x, 0), opt) for x in (A, B)]
        def templates(t):
            x = Talk(t, e, nat)
            for n in (1, 2, 3, 4): x.tcp(n, 1001, SYN); x.tcp(n, 1002, SYN, ACK); x.udp(n, 1001, to=53)
            x.answer(1, 1001, B, 53)
            for n in (5, 6): x.tcp(n, 1001, SYN, ACK, RST)
            t.edit('-d ' + T(A)); look(t, 'a server of templates is removed')
            t.edit('-d -u %s -r %s' % (hp(e.V, 0), hp(B, 0))); look(t, 'and one of all ports')
            for n in (1, 2, 3, 4, 5, 6): x.tcp(n, 1003, SYN); x.udp(n, 1002, to=53)
            at_once(t, '-d ' + T(B), '-a %s %s' % (T(B), opt)); look(t, 'one is removed and back at once')
        case('removed/templates_swept', 'persistence templates of removed servers, expire_nodest_conn=1', keep, templates, sysctls=on)
        # invalidated templates
        def invalid(t):
            x = Talk(t, e, nat)
            for n in (1, 2, 3, 4): x.tcp(n, 1001, SYN, ACK)
            x.tcp(5, 1001, SYN); x.udp(1, 1001, to=53); x.udp(2, 1001, to=53)
            t.edit('-d ' + T(A)); look(t, 'a server of templates is removed')
            for n in (1, 2, 3, 4, 5): x.tcp(n, 1002, SYN)
            t.edit('-d -u %s -r %s' % (hp(e.V, 0), hp(A, 0)))
            for n in (1, 2): x.udp(n, 1002, to=53)
            t.edit('-d ' + T(B)); look(t, 'nobody is left')
            for n in (1, 2, 3): x.tcp(n, 1003, SYN)
            for n in (1, 2): x.tcp(n, 1004, SYN)
            t.edit('-a %s %s' % (T(A), opt)); look(t, 'the first is back')
            for n in (1, 2, 3, 4): x.tcp(n, 1005, SYN)
            x.tcp(6, 1005, SYN)
            # their conns end
            for n in (1, 2, 3, 4, 5): x.tcp(n, 1001, RST); x.tcp(n, 1002, RST)
            t.edit('-a %s %s' % (T(B), opt)); look(t, 'the other one, too')
            for n in (1, 2, 3, 4, 5, 6): x.tcp(n, 1006, SYN)
        case('removed/invalid', 'templates of removed servers', keep, invalid)
        case('removed/invalid_swept', 'the same, and then expire_nodest_conn=1', keep, lambda t: (invalid(t), t.set(VS + 'expire_nodest_conn', 1), t.edit('-d ' + T(A)), look(t, 'a server is removed')))
        def quiescent(t):
            x = Talk(t, e, nat)
            for n in (1, 2): x.tcp(n, 1001, SYN, ACK); x.udp(n, 1001, to=53)
            t.edit('-e %s %s -w 0' % (T(A), opt)); look(t, 'quiesced')
            for n in (1, 2): x.tcp(n, 1002, SYN)
            t.edit('-e %s %s -w 0' % (T(B), opt)); look(t, 'the other one, too')
            for n in (1, 2, 3): x.tcp(n, 1003, SYN)
            t.edit('-e %s %s -w 1' % (T(A), opt)); look(t, 'the first takes conns again')
            for n in (1, 2): x.tcp(n, 1004, SYN); x.tcp(n, 1001, ACK)
        case('removed/invalid_quiescent', 'templates of quiesced servers, expire_quiescent_template=1', keep, quiescent, sysctls={VS + 'expire_quiescent_template': 1})
        mark = ['-A -f 7 -s rr -p 300 -M 255.255.255.0'] + ['-a -f 7 -r %s %s' % (hp(x, 0), opt) for x in (A, B)]
        def marked(t):
            x = Talk(t, e, nat)
            x.tcp(1, 1001, SYN, ACK); x.udp(2, 1001)
            t.edit('-d -f 7 -r %s' % hp(B, 0))
            x.udp(3, 1001); x.tcp(1, 1001, ACK)
            t.edit('-d -f 7 -r %s' % hp(A, 0))
            x.udp(3, 1002)
        case('removed/invalid_mark', 'templates of a mark, with a netmask', mark, marked, nft='table ip m { chain p { type filter hook prerouting priority -150; ip daddr 10.99.0.0/16 meta mark set 7\n }\n}\n')
        short = ['-A -t %s -s rr -p 3' % e.vs(80)] + ['-a %s %s' % (T(x), opt) for x in (A, B)]
        def ends(t):
            x = Talk(t, e, nat)
            for n in (1, 2): x.tcp(n, 1001, SYN, ACK)
            x.tcp(3, 1001, SYN, ACK, RST); x.tcp(4, 1001, SYN, ACK, RST)
            time.sleep(1)
            t.edit('-d ' + T(A)); t.edit('-d ' + T(B))
            for n in (1, 2, 3, 4): x.tcp(n, 1002, SYN)
            for _ in range(6): look(t, 'a second later', 1)
            x.tcp(1, 1001, RST)
            for _ in range(8): look(t, 'a second later', 1)
        case('removed/invalid_ends', 'how invalidated templates end', short, ends)

# with expire_nodest_conn a packet of such a conn is as a first one
for af in (4, 6):
    e = EP(af); S = '--sctp-service %s' % e.vs(80)
    def anew(t):
        x = Talk(t, e, True)
        def sctp_data(port): t.step('c', 'client 1, port %d: DATA' % port, l3(x.client(1), e.V, 132, sctp(port, 80, 5, ch(0, 3, struct.pack('!IHHI', 1, 0, 0, 0) + b'hello'))), wait=0)
        for port in (1001, 1002): x.tcp(1, port, SYN, ACK); x.udp(1, port); t.step('c', 'INIT', l3(x.client(1), e.V, 132, sctp(port, 80, 0, ch(1, 0, bytes(16)))), wait=0)
        for s in ('-t ' + e.vs(80), '-u ' + e.vs(80), S): t.edit('-d %s -r %s' % (s, e.rs(80))); t.edit('-a %s -r %s -m' % (s, hp(server(e, 3), 80)))
        x.tcp(1, 1001, ACK); x.udp(1, 1001); sctp_data(1001)
        t.set(VS + 'expire_nodest_conn', 1)
        x.tcp(1, 1001, ACK); x.udp(1, 1001); sctp_data(1001); x.tcp(1, 1001, SYN)
        t.set(VS + 'sloppy_tcp', 1); t.set(VS + 'sloppy_sctp', 1)
        x.tcp(1, 1002, ACK); x.udp(1, 1002); sctp_data(1002)
        look(t, 'a moment later', 0.05)
    case('removed/v%d_anew' % af, 'packets of conns of removed servers, expire_nodest_conn switched on', ['-A %s -s rr' % s for s in ('-t ' + e.vs(80), '-u ' + e.vs(80), S)] + ['-a %s -r %s -m' % (s, e.rs(80)) for s in ('-t ' + e.vs(80), '-u ' + e.vs(80), S)], anew)

# what a router says about tunnel packets to servers that are gone, or back
for name, opt in (('ipip', '-i'), ('gre', '-i --tun-type gre'), ('gre_csum', '-i --tun-type gre --tun-csum'), ('gue', '-i --tun-type gue --tun-port 6080'), ('gue_csum', '-i --tun-type gue --tun-port 6080 --tun-csum')):
    e = EP(4); A = '-u %s -r %s' % (e.vs(80), e.rs(80))
    def path_mtu(t):
        c = lambda what, port, n: t.step('c', what, l3(e.C, e.V, 17, udp(e.C, port, e.V, 80, b'q' * (n - 28))), wait=0)
        def error(what, about, kind=(3, 4), mtu=0): t.step('s', what, ip4(e.SROUTER, '172.16.0.1', 1, icmp4(*kind, struct.pack('!HH', 0, mtu), about[:100])), wait=0)
        def back(): t.edit('-a %s %s' % (A, opt))
        out = c('request', 20001, 60)[0][1][14:]; c('request of 1300 bytes', 20001, 1300)
        t.edit('-d ' + A); time.sleep(0.02)
        error('frag needed, MTU 1200, when the server is gone', out, mtu=1200); error('host unreachable', out, (3, 1)); error('time exceeded', out, (11, 0))
        back(); c('1300 bytes when it is back', 20001, 1300)
        error('frag needed, MTU 1250', out, mtu=1250); c('1300 bytes', 20001, 1300); c('1240 bytes', 20001, 1240); c('1300 bytes from another port', 20002, 1300)
        t.edit('-d ' + A); time.sleep(0.02)
        error('frag needed, MTU 1100, when it is gone again', out, mtu=1100); c('1300 bytes', 20001, 1300)
        back(); c('1200 bytes', 20001, 1200); c('1080 bytes', 20001, 1080); c('1200 bytes', 20001, 1200)
        error('frag needed, MTU 1400', out, mtu=1400); c('1200 bytes', 20001, 1200)
        t.step('c', 'a request with TTL 1', l3(e.C, e.V, 17, udp(e.C, 20001, e.V, 80, b'q'), ttl=1), wait=0)
        error('frag needed, MTU 1000', out, mtu=1000); error('frag needed, MTU 900', out, mtu=900)
        t.step('c', 'a request with TTL 1', l3(e.C, e.V, 17, udp(e.C, 20001, e.V, 80, b'q'), ttl=1), wait=0); error('frag needed, MTU 950', out, mtu=950)
    case('removed/path_mtu_' + name, 'frag needed about tunnel packets whose server is gone or back', ['-A -u %s -s rr' % e.vs(80), '-a %s %s' % (A, opt)], path_mtu)

# a family's last service goes: nobody looks at its packets any more
for af in (4, 6):
    e, other = EP(af), EP(10 - af); A, B = server(e, 2), server(e, 3)
    T = lambda s: '-t %s -r %s' % (e.vs(80), hp(s, 8080)); U = lambda s: '-u %s -r %s' % (e.vs(80), hp(s, 80))
    cfg = ['-A -t %s -s rr' % e.vs(80), '-A -u %s -s rr' % e.vs(80), '-a %s -m' % T(A), '-a %s -g' % U(B), '-A -u %s -s rr' % other.vs(80), '-a -u %s -r %s -m' % (other.vs(80), other.rs(80))]
    def last(t):
        x = Talk(t, e, True)
        def packets():
            x.tcp(1, 1001, ACK); x.answer(1, 1001, A, 8080, ACK); x.udp(1, 1002)
            t.step('s', 'server: port unreachable', icmp_err(A, x.client(1), 3 if af == 4 else 1, 3 if af == 4 else 4, b'\0\0\0\0', l3(x.client(1), A, 6, tcp(x.client(1), 1001, A, 8080, ACK, 100, 0)), af), wait=0)
            t.step('c', 'router: host unreachable', icmp_err(e.ROUTER, e.V, 3 if af == 4 else 1, 1 if af == 4 else 3, b'\0\0\0\0', l3(e.V, x.client(1), 6, tcp(e.V, 80, x.client(1), 1001, ACK, 500, 101)), af), wait=0)
            t.step('c', 'the other family', l3(other.C, other.V, 17, udp(other.C, 1, other.V, 80, b'q')), wait=0)
        x.tcp(1, 1001, SYN, ACK); x.udp(1, 1002); packets()
        t.edit('-D -u ' + e.vs(80)); look(t, 'a service is removed'); packets()
        t.edit('-D -t ' + e.vs(80)); look(t, 'the last one, too'); packets()
        t.edit('-A -t %s -s rr' % e.vs(80)); look(t, 'the first is back, without servers'); packets()
        t.edit('-a %s -m' % T(A)); look(t, 'with its server'); packets()
        t.edit('-D -u ' + other.vs(80)); look(t, 'the other family has none'); packets()
    for on in (0, 1): case('removed/v%d_last_service%s' % (af, '_swept' if on else ''), 'all services of a family are removed, expire_nodest_conn=%d' % on, cfg, last, sysctls={VS + 'expire_nodest_conn': on})
