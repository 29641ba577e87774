#!/usr/bin/python3
"""A random mix, the same for the same seed: services, servers, weights, edits, packets of flows in any order, fragments, ICMP errors.

/in/args: first seed, how many seeds, steps of each. Case mix/SEED is written like any case of packets.py; edits stand in its steps.
"""
import random, time, traceback
from trace import *

METHODS = [('-m', 6), ('-g', 3), ('-i', 2), ('-i --tun-type gre', 1), ('-i --tun-type gre --tun-csum', 1), ('-i --tun-type gue --tun-port 6080', 1),
           ('-i --tun-type gue --tun-port 6080 --tun-csum', 1)]
SCHEDULERS = 'rr wrr lc wlc sed nq fo ovf sh mh dh lblc lblcr'.split()
FLAGS = {'sh': ['', 'sh-port', 'sh-fallback', 'sh-port,sh-fallback'], 'mh': ['', 'mh-port', 'mh-fallback', 'mh-port,mh-fallback']}
# below net/ipv4/vs, from the start and changed in mid-case
SETTINGS = {'conn_reuse_mode': [0, 1, 2, 3], 'expire_quiescent_template': [0, 1], 'pmtu_disc': [1, 1, 0], 'sloppy_tcp': [0, 0, 1],
            'sloppy_sctp': [0, 0, 1], 'secure_tcp': [0, 0, 3], 'nat_icmp_send': [0, 1], 'expire_nodest_conn': [0, 0, 1], 'ignore_tunneled': [0, 1],
            'schedule_icmp': [0, 0, 1], 'cache_bypass': [0, 1], 'snat_reroute': [0, 1], 'lblc_expiration': [86400, 100], 'lblcr_expiration': [86400, 100],
            'am_droprate': [10, 3]}
VS = 'net/ipv4/vs/'
PROTOCOLS = {'tcp': 6, 'udp': 17, 'sctp': 132}
TCP_FLAGS = [(ACK, 8), (PSH | ACK, 6), (FIN | ACK, 3), (SYN, 2), (RST, 1), (RST | ACK, 1), (SYN | ACK, 1), (FIN, 1), (0, 1), (0xc0 | SYN, 1), (0x3f, 1)]
SERVER_TCP_FLAGS = [(SYN | ACK, 6), (ACK, 6), (PSH | ACK, 4), (FIN | ACK, 3), (RST | ACK, 1), (SYN, 1)]
CHUNKS = [(1, 3), (2, 2), (10, 3), (11, 2), (0, 6), (3, 2), (7, 2), (8, 1), (14, 1), (6, 1), (9, 1)]
MARK = 7
MARKED = {4: '10.99.7.', 6: 'fd99::7:'}

class NoFlow(Exception): pass
def one(r, of):
    if not of: raise NoFlow
    return r.choice(of)
def weighted(r, choices):
    return r.choices([c for c, _ in choices], [w for _, w in choices])[0]

class Service:
    def __init__(self, r, taken, numbers):
        self.af = r.choice([4, 4, 6]); self.mark = r.random() < 0.15; self.n = 1
        self.proto = r.choice(['tcp', 'tcp', 'udp', 'udp', 'sctp'])
        self.persistent = r.random() < 0.25
        self.port = 0 if self.mark or self.persistent and r.random() < 0.3 else r.choice([80, 443, 5060])
        self.vip = '%s%d' % ((MARKED[self.af], 1) if self.mark else ('10.99.0.' if self.af == 4 else 'fd99::', r.randrange(1, 4)))
        self.taken = (self.af, self.mark) if self.mark else (self.proto, self.vip, self.port)
        self.fresh = self.taken not in taken; taken.add(self.taken)
        if self.mark: self.name = '-f %d' % MARK + (' -6' if self.af == 6 else '')
        else: self.name = {'tcp': '-t', 'udp': '-u', 'sctp': '--sctp-service'}[self.proto] + ' ' + hp(self.vip, self.port)
        self.ops = not self.persistent and self.proto == 'udp' and not self.mark and r.random() < 0.15
        self.servers = {}; self.seen = {}; self.numbers = list(numbers); self.gone = self.caches = False
        self.r = r
    def scheduler(self):
        s = self.r.choice(SCHEDULERS); self.caches |= s.startswith('lblc'); f = self.r.choice(FLAGS.get(s, ['']))
        return '-s %s' % s + (' -b %s' % f if f else '')
    def spec(self):
        # the scheduler, and what belongs to the service for its life
        mask = ''
        if self.persistent and self.r.random() < 0.4: mask = ' -M ' + ('255.255.255.0' if self.af == 4 else '64')
        # (templates outlive a mix: when exactly the kernel takes one out is its timers' business)
        return self.name + ' ' + self.scheduler() + (' -p 5000' + mask if self.persistent else '') + (' -o' if self.ops else '')
    def add(self):
        free = [k for k in self.numbers if k not in self.servers]
        if not free: return '-E ' + self.spec()
        i = self.r.choice(free)
        # one that comes back is what it was: the kernel keeps its route, and by a NAT server's a DR packet asks who has the VIP
        if i in self.seen: self.servers[i] = self.seen[i]
        else: self.servers[i] = self.seen[i] = self.invent(i)
        return '-a %s -r %s %s %s' % (self.name, *self.servers[i], self.weight())
    def invent(self, i):
        m = weighted(self.r, METHODS)
        # a server of the other family can only be tunnelled to; IP in IP does not mind which
        other = m.startswith('-i') and self.r.random() < 0.2
        v4 = (self.af == 4) != other
        port = self.port if m != '-m' or self.port == 0 else self.r.choice([self.port, 8080])
        return hp(('172.16.0.%d' if v4 else 'fd16::%x') % i, port), m
    def weight(self):
        w = '-w %d' % self.r.choice([0, 1, 1, 1, 2, 3, 5, 10])
        if self.r.random() < 0.2: w += ' -x %d' % self.r.choice([3, 6, 10]) + (' -y 2' if self.r.random() < 0.5 else '')
        return w
    def change(self):
        x = 1 if self.gone else self.r.random()
        if x < 0.45 and self.servers:
            s, m = self.servers[self.r.choice(list(self.servers))]
            return '-e %s -r %s %s %s' % (self.name, s, m, self.weight())
        if x < 0.7 and len(self.servers) < 8: return self.add()
        if x < 0.9 and self.servers:
            s, _ = self.servers.pop(self.r.choice(list(self.servers)))
            return '-d %s -r %s' % (self.name, s)
        if x < 0.97: return '-E ' + self.spec()
        # it goes, and what comes next is to no service; or it is back
        if self.gone: self.gone = False; return '-A ' + self.spec()
        self.gone = True; self.servers = {}
        return '-D ' + self.name

class Mix:
    def __init__(self, seed):
        self.seed = seed; self.r = r = random.Random(seed)
        taken = set()
        # services with the same real servers, or each with its own
        self.shared = r.random() < 0.5
        numbers = [range(2, 12) if self.shared else range(2 + 10 * i, 12 + 10 * i) for i in range(r.randrange(1, 5))]
        self.services = [s for s in (Service(r, taken, n) for n in numbers) if s.fresh]
        cfg = []
        for s in self.services:
            cfg.append('-A ' + s.spec())
            cfg += [s.add() for _ in range(r.randrange(0, 5))]
        self.sysctls = {VS + k: r.choice(v) for k, v in SETTINGS.items() if r.random() < 0.4}
        nft = ''
        for af, family, net in ((4, 'ip', MARKED[4] + '0/24'), (6, 'ip6', MARKED[6] + '0/112')):
            if any(s.mark and s.af == af for s in self.services):
                nft += 'table %s m { chain p { type filter hook prerouting priority -150; %s daddr %s meta mark set %d\n }\n}\n' % (family, family, net, MARK)
        self.mtu_c, self.mtu_s = r.choice([(1500, 1500), (1500, 1400), (1400, 1500), (1280, 1500), (1500, 1280)])
        self.t = Trace('mix/%d' % seed, 'random mix %d' % seed, cfg, mtu_c=self.mtu_c, mtu_s=self.mtu_s, nservers=50, sysctls=self.sysctls, nft=nft or None)
        self.clients = {4: ['10.%d.2.%d' % (r.randrange(1, 4), r.randrange(1, 250)) for _ in range(9)], 6: ['fd10::%x:%x' % (r.randrange(1, 4), r.randrange(1, 250)) for _ in range(9)]}
        # somebody on the real servers' side is a client, too
        if r.random() < 0.3: self.clients[4][0] = '172.16.0.45'
        self.flows = []; self.ident = 0; self.incomplete = False
        # the listings, which cost most, have a chance of their own: how often they are made does not change the mix
        self.bursts = random.Random(seed); self.unshown = 0; self.last = False
    def step(self, *args, wait=0):
        self.unshown -= 1
        show = self.unshown < 0 or self.last
        if show: self.unshown = self.bursts.choice([0, 2, 5, 10, 20, 40])
        return self.t.step(*args, wait=wait, show=show)
    def run(self, steps):
        r = self.r
        actions = [(self.begin, 22), (self.go_on, 26), (self.reply, 22), (self.fragments, 6), (self.client_error, 4), (self.server_error, 5), (self.odd, 4), (self.edit, 4), (self.set, 0.5), (self.sleep, 0.3)]
        for n in range(steps):
            self.last = n == steps - 1
            try: weighted(r, actions)()
            except NoFlow: self.begin()
    # -- the packets of a flow
    def segment(self, proto, src, sport, dst, dport, first=False, server=False):
        r = self.r; room = (self.mtu_s if server or self.side(src) == 's' else self.mtu_c) - (40 if ':' in src else 20) - (8 if proto == 'udp' else 40)
        data = bytes([65 + self.ident % 26]) * min(room, r.choice([0, 1, 5, 20, 60, 200, 536, 900, 1300, 1380, 1420, 1440, 1460]))
        self.ident += 1
        if proto == 'udp': return udp(src, sport, dst, dport, data, nosum=r.random() < 0.06 and ':' not in src), ''
        if proto == 'tcp':
            fl = SYN if first else weighted(r, SERVER_TCP_FLAGS if server else TCP_FLAGS)
            return tcp(src, sport, dst, dport, fl, r.randrange(1 << 32), r.randrange(1 << 32), data if fl & PSH else b'', O if fl & SYN else b'', badsum=r.random() < 0.02), 'flags %02x' % fl
        kind = 1 if first else weighted(r, CHUNKS)
        body = b'\0' * 16 if kind in (1, 2) else data[:400] + b'\0' * 12
        return sctp(sport, dport, r.randrange(1 << 32), struct.pack('!BBH', kind, 3 if kind == 0 else 0, 4 + len(body)) + body + b'\0' * (-len(body) % 4)), 'chunk %d' % kind
    def header(self):
        r = self.r
        return dict(ttl=r.choice([64] * 12 + [2, 1, 255]), tos=r.choice([0] * 8 + [0xb8, 3, 1, 2]))
    def packet(self, src, dst, proto, payload):
        kw = self.header()
        if ':' not in src: kw.update(df=self.r.random() < 0.7, ident=self.r.randrange(1, 65536), options=b'\1\1\1\0' if self.r.random() < 0.04 and len(payload) < 1200 else b'')
        elif self.r.random() < 0.1: kw.update(flow=self.r.randrange(1 << 20))
        proto = PROTOCOLS[proto]
        if ':' in src and self.r.random() < 0.08 and len(payload) < 1200: proto, payload = self.extended(proto, payload)
        return l3(src, dst, proto, payload, **kw)
    def extended(self, proto, payload):
        # hop-by-hop options, destination options and a routing header that has done its work, or an atomic fragment before those
        r = self.r; pad = b'\0\1\4\0\0\0\0'; atomic = b'\0\0\0' + struct.pack('!I', r.randrange(1 << 32))
        headers = [(0, pad)] * (r.random() < 0.3) + [(44, atomic)] * (r.random() < 0.3) + [(60, pad)] * (r.random() < 0.5) + [(43, b'\0' * 7)] * (r.random() < 0.2)
        for kind, rest in headers[::-1]: proto, payload = kind, bytes([proto]) + rest + payload
        return proto, payload
    def begin(self):
        r = self.r; s = r.choice(self.services)
        proto = r.choice(['tcp', 'udp', 'sctp']) if s.mark else s.proto
        port = s.port or r.choice([80, 443, 8000])
        f = dict(af=s.af, proto=proto, c=r.choice(self.clients[s.af]), cp=r.randrange(20000, 20012), v=s.vip, vp=port, ops=s.ops, to=None)
        self.send(f, r.random() < 0.9)
    def send(self, f, first=False):
        # a conn that a new one replaces, or whose server is gone, goes with the next tick of the kernel's clock
        before = [g for g in self.flows if all(f[k] == g[k] for k in ('proto', 'c', 'cp', 'v', 'vp'))]; same = bool(before)
        payload, what = self.segment(f['proto'], f['c'], f['cp'], f['v'], f['vp'], first)
        out = self.step(self.side(f['c']), '%s %s > %s %s' % (f['proto'], hp(f['c'], f['cp']), hp(f['v'], f['vp']), what), self.packet(f['c'], f['v'], f['proto'], payload), wait=0.012 if same and (first or self.sysctls.get(VS + 'expire_nodest_conn') or what in ('flags 02', 'flags 12', 'flags 3f', 'flags c2', 'chunk 1')) else 0)
        got = [x for side, x in out if side == 's']
        if got:
            x = decode(got[0])
            f.update(to=got[0][14:], rip=x['dst'], rp=x.get('dport'), nat='sport' in x and x['src'] == f['c'] and x['dst'] != f['v'], tunnel=x['src'] in ('172.16.0.1', 'fd16::1'))
            # what a conn sent that another one took the place of gets no errors any more
            self.flows = [g for g in self.flows if not any(g is b for b in before)] + [f]
            if len(self.flows) > 40: self.flows.pop(self.r.randrange(40))
    def go_on(self):
        self.send(one(self.r, self.flows))
    def reply(self):
        # of the others too: the kernel routes what a DR server answers by way of the director, or not
        f = one(self.r, [f for f in self.flows if f['nat']] or [f for f in self.flows if not f['v'].startswith(MARKED[4])])
        # (who is no server any more would be told of a better way to a neighbour, which the recorder's kernel keeps to itself)
        if self.side(f['c']) == 's' and not any(ip.startswith(hp(f['rip'], 1)[:-1]) for s in self.services for ip, _ in s.servers.values()): return self.go_on()
        src, sp = (f['rip'], f['rp']) if f['nat'] else (f['v'], f['vp'])
        if self.r.random() < 0.03: sp = 999
        payload, what = self.segment(f['proto'], src, sp, f['c'], f['cp'], server=True)
        self.step('s', 'reply %s %s > %s %s' % (f['proto'], hp(src, sp), hp(f['c'], f['cp']), what), self.packet(src, f['c'], f['proto'], payload))
    def fragments(self):
        # IPv6 in GRE or GUE over IPv4: the kernel cuts what it put together at random (it reads one family's notes as the other's)
        crosses = lambda f: f['tunnel'] and f['af'] == 6 and f['to'][0] >> 4 == 4
        # and where a family has no services, it does not put together what it only forwards
        served = lambda f: any(s.af == f['af'] and not s.gone for s in self.services)
        r = self.r; f = one(r, [f for f in self.flows if not crosses(f) and served(f)])
        n, size = r.choice([(20, 8), (100, 16), (200, 64), (300, 200), (1000, 400), (1000, 800), (1600, 400), (2000, 800), (2000, 1200), (2900, 1400), (4000, 1200), (4000, 1400)])
        back = f['nat'] and r.random() < 0.4
        size = min(size, (self.mtu_s if back or self.side(f['c']) == 's' else self.mtu_c) - 48 & ~7)
        a = (f['rip'], f['rp'], f['c'], f['cp']) if back else (f['c'], f['cp'], f['v'], f['vp'])
        payload = {'udp': lambda: udp(*a, b'F' * n, nosum=r.random() < 0.1 and ':' not in a[0]), 'tcp': lambda: tcp(*a, r.choice([PSH | ACK, FIN | ACK]), 1, 2, b'F' * n),
                   'sctp': lambda: sctp(a[1], a[3], 5, struct.pack('!BBH', 0, 3, 4 + n) + b'F' * n)}[f['proto']]()
        whole = l3(a[0], a[2], PROTOCOLS[f['proto']], payload, **({} if ':' in a[0] else dict(df=False)))
        ident = r.randrange(1, 1 << 16)
        # (what a first fragment without all headers becomes is the kernel's own affair)
        if f['proto'] != 'udp': size = max(size, 64)
        # (nor IPv4 with DF in tunnels of IPv6; and whether a fragment that fits keeps DF hangs on how the kernel's buffers lie)
        df = r.random() < 0.15 and (n, size) != (1000, 400) and not (f['tunnel'] and f['to'][0] >> 4 == 6)
        parts = frag6(whole, size, ident) if ':' in a[0] else frag4(whole, size, ident, df=df)
        r.shuffle(parts)
        # (what never gets whole ends with a word to its sender, and nobody sleeps before that)
        if r.random() < 0.1: parts.pop(); self.incomplete = True
        if len(parts) == 1: return self.go_on()
        self.step('s' if back else self.side(f['c']), '%d bytes in %d fragments of %d' % (n, len(parts), size), *parts)
    # -- errors
    def quoted(self, packet):
        # a router may quote the least or a lot
        return packet[:self.r.choice([28, 28, 60, 200])] if packet[0] >> 4 == 4 else packet[:self.r.choice([48, 100, 1232])]
    def error(self, v6, src, dst, quoted, too_long=True):
        z = b'\0\0\0\0'; mtu = self.r.choice([1300, 1400, 1200])
        if v6:
            kind, code, rest = self.r.choice([(1, 4, z), (3, 0, z), (1, 0, z), (1, 1, z), (3, 1, z), (4, 1, z)] + [(2, 0, struct.pack('!I', max(mtu, 1280)))] * too_long)
            return ip6(src, dst, 58, self.spoilt(icmp6(src, dst, kind, code, rest, quoted)))
        kind, code, rest = self.r.choice([(3, 3, z), (11, 0, z), (3, 1, z), (3, 13, z), (11, 1, z), (4, 0, z), (12, 0, z)] + [(3, 4, struct.pack('!HH', 0, mtu))] * too_long)
        return ip4(src, dst, 1, self.spoilt(icmp4(kind, code, rest, quoted)))
    def spoilt(self, message):
        return message[:2] + b'\x12\x34' + message[4:] if self.r.random() < 0.04 else message
    def client_error(self):
        r = self.r; f = one(r, self.flows)
        src = f['c'] if r.random() < 0.5 else ('198.18.0.9' if f['af'] == 4 else 'fd10::9:9')
        port = f['cp'] if r.random() < 0.9 else 1
        payload, _ = self.segment(f['proto'], f['v'], f['vp'], f['c'], port, server=True)
        quoted = l3(f['v'], f['c'], PROTOCOLS[f['proto']], payload)
        self.step(self.side(src), 'error about a reply to %s' % hp(f['c'], port), self.error(f['af'] == 6, src, f['v'], self.quoted(quoted)))
    def server_error(self):
        # the kernel knows tunnels and path MTUs by address, whichever service they were told of; we by service and server
        r = self.r; f = one(r, [f for f in self.flows if not (self.shared and f['tunnel'])])
        p = f['to']; v6 = p[0] >> 4 == 6
        outer = ips(p[8:24]) if v6 else ips(p[12:16])
        # and it learns path MTUs from errors of which it finds no conn, too: those are of other kinds
        unheard = f['tunnel'] and (v6 or f['af'] == 6 or f['ops'])
        src = r.choice([f['rip'], '172.16.0.9' if not v6 else 'fd16::9']) if (':' in f['rip']) == v6 else ('fd16::9' if v6 else '172.16.0.9')
        self.step('s', 'error about a request of %s' % hp(f['c'], f['cp']), self.error(v6, src, outer, too_long=not unheard, quoted=p[:1232] if v6 else p[:r.choice([60, 100, 548])] if f['tunnel'] else self.quoted(p)))
    def odd(self):
        r = self.r; s = r.choice(self.services); c = r.choice(self.clients[s.af])
        which = r.randrange(7)
        if which == 0 or which == 6 and not any(x.af == s.af and not x.gone for x in self.services):
            self.step(self.side(c), 'echo request to the VIP', self.echo(s.af, c, s.vip, 32))
        elif which == 6:
            n, size = r.choice([(100, 64), (1000, 400)]); parts = (frag6 if s.af == 6 else frag4)(self.echo(s.af, c, s.vip, n), size, r.randrange(1, 1 << 16))
            r.shuffle(parts); self.step(self.side(c), 'echo request of %d bytes in fragments of %d' % (n, size), *parts)
        elif which == 1:
            self.step(self.side(c), 'UDP to a port of the VIP that is no service\'s', l3(c, s.vip, 17, udp(c, 20001, s.vip, 9999, b'x')))
        elif which == 3:
            n = r.choice([47, 50, 200]); self.step(self.side(c), 'protocol %d to the VIP' % n, l3(c, s.vip, n, b'\0\0\x08\0' + bytes(60)))
        elif which == 4:
            # of lengths that lie, and of a header checksum that is wrong
            whole = l3(c, s.vip, 17, udp(c, 20001, s.vip, s.port or 80, b'bad' * 20)); n = r.randrange(3)
            bad = (whole[:-30], whole + b'\0' * 20, whole[:10] + b'\x12\x34' + whole[12:] if s.af == 4 else whole[:7] + b'\0' + whole[8:])[n]
            self.step(self.side(c), ('cut short', 'with padding', 'wrong header checksum, or no hop left')[n], bad)
        elif which == 5:
            # straight to a real server, past the service
            rip = ('172.16.0.%d' if s.af == 4 else 'fd16::%x') % r.choice(list(s.numbers)); self.step('c', 'UDP to a real server', l3(self.clients[s.af][1], rip, 17, udp(self.clients[s.af][1], 20001, rip, s.port or 80, b'x' * r.choice([1, 900]))))
        else:
            self.step(self.side(c), 'TCP to a port of the VIP that is no service\'s', l3(c, s.vip, 6, tcp(c, 20001, s.vip, 9998, r.choice([SYN, ACK]))))
    def echo(self, af, c, vip, n):
        return ip4(c, vip, 1, icmp4(8, 0, b'\1\2\3\4', b'p' * n)) if af == 4 else ip6(c, vip, 58, icmp6(c, vip, 128, 0, b'\1\2\3\4', b'p' * n))
    def edit(self):
        # the kernel tidies up behind a removed server a moment later
        line = self.r.choice(self.services).change()
        if self.t.edit(line) and line[:2] in ('-d', '-D'): time.sleep(0.15 if self.sysctls.get(VS + 'expire_nodest_conn') else 0.02)
        self.begin()
    def side(self, address):
        return 's' if address.startswith('172.') else 'c'
    def sleep(self):
        # the time-outs of the kernel's conns are far from any sum of these, and its timers are late by a sixteenth
        if self.incomplete: return self.go_on()
        self.step('c', 'a while later: UDP to nobody', l3('10.1.2.3', '10.99.0.250', 17, udp('10.1.2.3', 1, '10.99.0.250', 9, b'x')), wait=self.r.choice([200, 200, 400, 1000]))
        del self.flows[:-5]
        # a server that lblc's or lblcr's cache knows is one that comes back, however late
        for s in self.services:
            if s.caches: s.numbers = [n for n in s.numbers if n in s.servers or n not in s.seen]
    def set(self):
        name = VS + self.r.choice(list(SETTINGS)); value = self.r.choice(SETTINGS[name[len(VS):]])
        # the kernel takes this one up with its clock's next second
        if name == VS + 'secure_tcp' and self.incomplete: return self.go_on()
        self.sysctls[name] = value
        self.t.set(name, value)
        if name == VS + 'secure_tcp': self.sleep()
        else: self.go_on()

# their settings are there with them
modprobe('ip_vs', 'ip_vs_lblc', 'ip_vs_lblcr')
first, count, steps = (int(a) for a in open('/in/args').read().split())
for seed in range(first, first + count):
    try:
        m = Mix(seed); m.run(steps); m.t.end()
    except Exception:
        print('FAILED', seed); traceback.print_exc()
