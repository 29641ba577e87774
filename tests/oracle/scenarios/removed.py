#!/usr/bin/python3
"""What becomes of conns and persistence templates whose real server is gone or takes none: expire_nodest_conn, its switching,
servers that come back at once; templates that are invalidated, and how they end."""
from trace import *

VS = 'net/ipv4/vs/'

def sysctl(t, name, value):
    """a setting changes before the next step"""
    write('/proc/sys/' + VS + name, value); t.edits.append('sysctl %s%s=%s' % (VS, name, value))

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
            sysctl(t, 'expire_nodest_conn', 1); look(t, 'switched on', 1.2)
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
        case('removed/invalid_swept', 'the same, and then expire_nodest_conn=1', keep, lambda t: (invalid(t), sysctl(t, 'expire_nodest_conn', 1), t.edit('-d ' + T(A)), look(t, 'a server is removed')))
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
