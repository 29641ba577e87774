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
SETTINGS = {'conn_reuse_mode': [0, 1, 2, 3], 'expire_quiescent_template': [0, 1], 'pmtu_disc': [1, 1, 0],
            'sloppy_tcp': [0, 0, 1], 'sloppy_sctp': [0, 0, 1]}
PROTOCOLS = {'tcp': 6, 'udp': 17, 'sctp': 132}
TCP_FLAGS = [(ACK, 8), (PSH | ACK, 6), (FIN | ACK, 3), (SYN, 2), (RST, 1), (RST | ACK, 1), (SYN | ACK, 1), (FIN, 1), (0, 1)]
SERVER_TCP_FLAGS = [(SYN | ACK, 6), (ACK, 6), (PSH | ACK, 4), (FIN | ACK, 3), (RST | ACK, 1), (SYN, 1)]
CHUNKS = [(1, 3), (2, 2), (10, 3), (11, 2), (0, 6), (3, 2), (7, 2), (8, 1), (14, 1), (6, 1), (9, 1)]
MARK = 7
MARKED = {4: '10.99.7.', 6: 'fd99::7:'}

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
        self.servers = {}; self.seen = {}; self.numbers = numbers
        self.r = r
    def scheduler(self):
        s = self.r.choice(SCHEDULERS); f = self.r.choice(FLAGS.get(s, ['']))
        return '-s %s' % s + (' -b %s' % f if f else '')
    def spec(self):
        # the scheduler, and what belongs to the service for its life
        mask = ''
        if self.persistent and self.r.random() < 0.4: mask = ' -M ' + ('255.255.255.0' if self.af == 4 else '64')
        return self.name + ' ' + self.scheduler() + (' -p 300' + mask if self.persistent else '') + (' -o' if self.ops else '')
    def add(self):
        i = self.r.choice([k for k in self.numbers if k not in self.servers])
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
        x = self.r.random()
        if x < 0.45 and self.servers:
            s, m = self.servers[self.r.choice(list(self.servers))]
            return '-e %s -r %s %s %s' % (self.name, s, m, self.weight())
        if x < 0.7 and len(self.servers) < 8: return self.add()
        if x < 0.9 and self.servers:
            s, _ = self.servers.pop(self.r.choice(list(self.servers)))
            return '-d %s -r %s' % (self.name, s)
        return '-E ' + self.spec()

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
        sysctls = {'net/ipv4/vs/' + k: r.choice(v) for k, v in SETTINGS.items() if r.random() < 0.4}
        nft = ''
        for af, family, net in ((4, 'ip', MARKED[4] + '0/24'), (6, 'ip6', MARKED[6] + '0/112')):
            if any(s.mark and s.af == af for s in self.services):
                nft += 'table %s m { chain p { type filter hook prerouting priority -150; %s daddr %s meta mark set %d\n }\n}\n' % (family, family, net, MARK)
        self.mtu_s = r.choice([1500, 1500, 1400])
        self.t = Trace('mix/%d' % seed, 'random mix %d' % seed, cfg, mtu_s=self.mtu_s, nservers=40, sysctls=sysctls, nft=nft or None)
        self.clients = {4: ['10.%d.2.%d' % (r.randrange(1, 4), r.randrange(1, 250)) for _ in range(9)], 6: ['fd10::%x:%x' % (r.randrange(1, 4), r.randrange(1, 250)) for _ in range(9)]}
        self.flows = []; self.ident = 0
        # the listings, which cost most, have a chance of their own: how often they are made does not change the mix
        self.bursts = random.Random(seed); self.unshown = 0; self.last = False
    def step(self, *args, wait=0):
        self.unshown -= 1
        show = self.unshown < 0 or self.last
        if show: self.unshown = self.bursts.choice([0, 2, 5, 10, 20, 40])
        return self.t.step(*args, wait=wait, show=show)
    def run(self, steps):
        r = self.r
        actions = [(self.begin, 22), (self.go_on, 26), (self.reply, 22), (self.fragments, 6), (self.client_error, 4), (self.server_error, 5), (self.odd, 3), (self.edit, 4)]
        for n in range(steps):
            self.last = n == steps - 1
            try: weighted(r, actions)()
            except IndexError: self.begin()        # no flow yet
    # -- the packets of a flow
    def segment(self, proto, src, sport, dst, dport, first=False, server=False):
        r = self.r; room = (self.mtu_s if server else 1500) - (40 if ':' in src else 20) - (8 if proto == 'udp' else 40)
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
        return dict(ttl=r.choice([64] * 12 + [2, 1, 255]), tos=r.choice([0] * 8 + [0xb8, 3, 1]))
    def packet(self, src, dst, proto, payload):
        kw = self.header()
        if ':' not in src: kw.update(df=self.r.random() < 0.7, ident=self.r.randrange(1, 65536))
        return l3(src, dst, PROTOCOLS[proto], payload, **kw)
    def begin(self):
        r = self.r; s = r.choice(self.services)
        proto = r.choice(['tcp', 'udp', 'sctp']) if s.mark else s.proto
        port = s.port or r.choice([80, 443, 8000])
        f = dict(af=s.af, proto=proto, c=r.choice(self.clients[s.af]), cp=r.randrange(20000, 20012), v=s.vip, vp=port, ops=s.ops, to=None)
        self.send(f, r.random() < 0.9)
    def send(self, f, first=False):
        # a conn that a new one replaces goes with the next tick of the kernel's clock
        before = [g for g in self.flows if all(f[k] == g[k] for k in ('proto', 'c', 'cp', 'v', 'vp'))]; same = bool(before)
        payload, what = self.segment(f['proto'], f['c'], f['cp'], f['v'], f['vp'], first)
        out = self.step('c', '%s %s > %s %s' % (f['proto'], hp(f['c'], f['cp']), hp(f['v'], f['vp']), what), self.packet(f['c'], f['v'], f['proto'], payload), wait=0.012 if same and (first or what in ('flags 02', 'flags 12', 'chunk 1')) else 0)
        got = [x for side, x in out if side == 's']
        if got:
            x = decode(got[0])
            f.update(to=got[0][14:], rip=x['dst'], rp=x.get('dport'), nat='sport' in x and x['src'] == f['c'] and x['dst'] != f['v'], tunnel=x['src'] in ('172.16.0.1', 'fd16::1'))
            # what a conn sent that another one took the place of gets no errors any more
            self.flows = [g for g in self.flows if not any(g is b for b in before)] + [f]
            if len(self.flows) > 40: self.flows.pop(self.r.randrange(40))
    def go_on(self):
        self.send(self.r.choice(self.flows))
    def reply(self):
        # of the others too: the kernel routes what a DR server answers by way of the director, or not
        f = self.r.choice([f for f in self.flows if f['nat']] or [f for f in self.flows if not f['v'].startswith(MARKED[4])])
        src, sp = (f['rip'], f['rp']) if f['nat'] else (f['v'], f['vp'])
        if self.r.random() < 0.03: sp = 999
        payload, what = self.segment(f['proto'], src, sp, f['c'], f['cp'], server=True)
        self.step('s', 'reply %s %s > %s %s' % (f['proto'], hp(src, sp), hp(f['c'], f['cp']), what), self.packet(src, f['c'], f['proto'], payload))
    def fragments(self):
        # IPv6 in GRE or GUE over IPv4: the kernel cuts what it put together at random (it reads one family's notes as the other's)
        crosses = lambda f: f['tunnel'] and f['af'] == 6 and f['to'][0] >> 4 == 4
        r = self.r; f = r.choice([f for f in self.flows if f['proto'] == 'udp' and not crosses(f)])
        n = r.choice([1000, 1600, 2000, 2900, 4000]); size = r.choice([400, 800, 1200, 1400])
        back = f['nat'] and r.random() < 0.4
        if back: size = min(size, self.mtu_s - 48 & ~7)
        a = (f['rip'], f['rp'], f['c'], f['cp']) if back else (f['c'], f['cp'], f['v'], f['vp'])
        whole = l3(a[0], a[2], 17, udp(*a, b'F' * n), **({} if ':' in a[0] else dict(df=False)))
        ident = r.randrange(1, 1 << 16)
        parts = (frag6 if ':' in a[0] else frag4)(whole, size, ident)
        r.shuffle(parts)
        if r.random() < 0.1: parts.pop()
        if len(parts) == 1: return self.go_on()
        self.step('s' if back else 'c', '%d bytes in %d fragments of %d' % (n, len(parts), size), *parts)
    # -- errors
    def quoted(self, packet):
        # a router may quote the least or a lot
        return packet[:self.r.choice([28, 28, 60, 200])] if packet[0] >> 4 == 4 else packet[:self.r.choice([48, 100, 1232])]
    def error(self, v6, src, dst, quoted, too_long=True):
        z = b'\0\0\0\0'; mtu = self.r.choice([1300, 1400, 1200])
        if v6:
            kind, code, rest = self.r.choice([(1, 4, z), (3, 0, z), (1, 0, z)] + [(2, 0, struct.pack('!I', max(mtu, 1280)))] * too_long)
            return ip6(src, dst, 58, icmp6(src, dst, kind, code, rest, quoted))
        kind, code, rest = self.r.choice([(3, 3, z), (11, 0, z), (3, 1, z)] + [(3, 4, struct.pack('!HH', 0, mtu))] * too_long)
        return ip4(src, dst, 1, icmp4(kind, code, rest, quoted))
    def client_error(self):
        r = self.r; f = r.choice(self.flows)
        src = f['c'] if r.random() < 0.5 else ('198.18.0.9' if f['af'] == 4 else 'fd10::9:9')
        port = f['cp'] if r.random() < 0.9 else 1
        payload, _ = self.segment(f['proto'], f['v'], f['vp'], f['c'], port, server=True)
        quoted = l3(f['v'], f['c'], PROTOCOLS[f['proto']], payload)
        self.step('c', 'error about a reply to %s' % hp(f['c'], port), self.error(f['af'] == 6, src, f['v'], self.quoted(quoted)))
    def server_error(self):
        # the kernel knows tunnels and path MTUs by address, whichever service they were told of; we by service and server
        r = self.r; f = r.choice([f for f in self.flows if not (self.shared and f['tunnel'])])
        p = f['to']; v6 = p[0] >> 4 == 6
        outer = ips(p[8:24]) if v6 else ips(p[12:16])
        # and it learns path MTUs from errors of which it finds no conn, too: those are of other kinds
        unheard = f['tunnel'] and (v6 or f['af'] == 6 or f['ops'])
        src = r.choice([f['rip'], '172.16.0.9' if not v6 else 'fd16::9']) if (':' in f['rip']) == v6 else ('fd16::9' if v6 else '172.16.0.9')
        self.step('s', 'error about a request of %s' % hp(f['c'], f['cp']), self.error(v6, src, outer, too_long=not unheard, quoted=p[:1232] if v6 else p[:r.choice([60, 100, 548])] if f['tunnel'] else self.quoted(p)))
    def odd(self):
        r = self.r; s = r.choice(self.services); c = r.choice(self.clients[s.af])
        which = r.randrange(3)
        if which == 0 and not s.mark:
            p = ip4(c, s.vip, 1, icmp4(8, 0, b'\1\2\3\4', b'ping' * 8)) if s.af == 4 else ip6(c, s.vip, 58, icmp6(c, s.vip, 128, 0, b'\1\2\3\4', b'ping' * 8))
            self.step('c', 'echo request to the VIP', p)
        elif which == 1:
            self.step('c', 'UDP to a port of the VIP that is no service\'s', l3(c, s.vip, 17, udp(c, 20001, s.vip, 9999, b'x')))
        else:
            self.step('c', 'TCP to a port of the VIP that is no service\'s', l3(c, s.vip, 6, tcp(c, 20001, s.vip, 9998, r.choice([SYN, ACK]))))
    def edit(self):
        # the kernel tidies up behind a removed server a moment later
        line = self.r.choice(self.services).change()
        if self.t.edit(line) and line.startswith('-d'): time.sleep(0.02)
        self.begin()

first, count, steps = (int(a) for a in open('/in/args').read().split())
for seed in range(first, first + count):
    try:
        m = Mix(seed); m.run(steps); m.t.end(after=False)
    except Exception:
        print('FAILED', seed); traceback.print_exc()
