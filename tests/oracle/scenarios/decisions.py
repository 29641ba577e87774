#!/usr/bin/python3
"""Random scheduler decisions, the same for the same seed: one service with everything it can have, servers that come, change, go and come
back, and clients by the hundred between two edits.

/in/args: first seed, how many seeds, steps of each: ten decisions a step. Seed N is the case of /out/sched/decisions-N.jsonl. Packets are
sent in batches and the counters read now and then, so that a decision takes a millisecond or two with all that belongs to it.
"""
import collections, traceback
from service import *

FLAGS = {'sh': ['sh-port', 'sh-fallback'], 'mh': ['mh-port', 'mh-fallback']}
NETMASKS = {4: [None, '255.255.255.0', '255.255.255.240', '255.255.0.0', '255.0.0.0'], 6: [None, '112', '64', '48', '17']}
# wrr goes from the heaviest weight down in steps of the greatest common divisor: so many steps cost the kernel seconds
WEIGHTS = {'small': lambda r: r.choice([0, 1, 1, 2, 3, 5, 8]), 'equal': lambda r: r.choice([0, 1, 1, 1, 1, 1]), 'some': lambda r: r.randrange(101),
           'round': lambda r: 100 * r.randrange(9), 'wide': lambda r: r.choice([0, 1, 7, 300, 4000, 65535]),
           'huge': lambda r: 10000000 * r.randrange(201), 'any': lambda r: r.choice([0, 1, 1, 1]) * r.randrange(1 << 31)}
TOO_MANY_LEVELS = ('any',)
# what may follow in each state; a state that is not here is left alone
FOLLOWS = {'SYN_RECV': ['ack', 'ack', 's_synack', 'fin', 'rst', 's_rst'], 'ESTABLISHED': ['rst', 's_fin', 'fin', 's_rst'],
           'FIN_WAIT': ['fin', 's_fin', 'ack'], 'CLOSE_WAIT': ['fin', 's_fin', 'ack']}
SERVER_TOPS = {'s_synack': SYN | ACK, 's_fin': FIN | ACK, 's_rst': RST | ACK}
# seconds: nothing ends by itself that soon (SYN_RECV after 60, LAST_ACK after 30); after a RST (CLOSE after 10)
UNTOUCHED, UNTOUCHED_CLOSE = 24, 8
LBLCR_EXPIRATION = 2

class Late(RuntimeError):
    """the machine stood still for so long that conns ended by themselves"""

class Conn:
    def __init__(self, proto, client, vip, real, server):
        self.proto, self.client, self.vip, self.real, self.server = proto, client, vip, real, server
        self.state = 'SYN_RECV' if proto == 'tcp' else 'UDP'
        a = ipb(client[0])
        # as /proc/net/ip_vs_conn has it
        self.key = (proto.upper(), a.hex().upper() if len(a) == 4 else a.hex(':', 2), '%04X' % client[1])

class Mix(Case):
    def __init__(self, seed, out):
        r = self.r = random.Random(seed)
        s = ALL[seed % len(ALL)]; af = r.choice([4, 4, 6])
        self.by_vip = r.random() < (0.75 if s in ('dh', 'lblc', 'lblcr') else 0.25)
        proto = r.choice(['tcp', 'udp'])
        persistent = r.choice([60, 300, 3600]) if r.random() < 0.3 else None
        any_port = persistent and not self.by_vip and r.random() < 0.3
        # a packet may go to a port that is not its server's: then the address names the server
        self.by_address = any_port or self.by_vip and (persistent or r.random() < 0.3)
        ops = r.random() < (0.15 if self.by_vip or proto == 'udp' else 0)
        self.weights = r.choice([w for w in WEIGHTS if s != 'wrr' or w not in TOO_MANY_LEVELS]); self.limits = r.choice([0, 0, 0.2, 0.7])
        self.wrr = self.weights not in TOO_MANY_LEVELS
        self.resets = r.random() < 0.5
        sysctls = {}
        if r.random() < 0.4: sysctls['net/ipv4/vs/expire_quiescent_template'] = 1
        self.expiration = s == 'lblcr' and r.random() < 0.4 and LBLCR_EXPIRATION
        if self.expiration: modprobe('ip_vs_lblcr'); sysctls['net/ipv4/vs/lblcr_expiration'] = self.expiration
        self.servers_max = r.choice([3, 6, 12, 12, 40]); self.nvip = r.choice([1, 5, 60, 3000])
        self.nets = [self.net(r, af) for _ in range(r.choice([2, 20, 300, 5000]))]
        self.name = 'decisions%d' % seed
        super().__init__(out, self.name, s, 'seed %d: weights %s' % (seed, self.weights), af=af, kind='fwmark' if self.by_vip else 'vip', proto=proto,
                         flags=self.flags(s), persistent=persistent, netmask=r.choice(NETMASKS[af]) if persistent else None, ops=ops, sysctls=sysctls,
                         vip=vipn(r.randrange(1, 60000), af), vport=0 if any_port else 80, nservers=self.servers_max + 4)
        self.any_port = any_port; self.servers = {}; self.gone = set(); self.held = collections.Counter()
        self.phase = time.monotonic(); self.until = self.phase + UNTOUCHED
    def flags(self, s):
        return [f for f in FLAGS.get(s, []) if self.r.random() < 0.5]
    def run(self, decisions):
        r = self.r
        self.change([self.comes() for _ in range(r.randrange(0, self.servers_max + 1))])
        while self.id < decisions and time.monotonic() < self.until:
            x = r.random()
            if x < 0.55: self.connects(min(r.choice([1, 3, 10, 30, 100, 150]), decisions - self.id))
            elif x < 0.66: self.packets(r.choice([1, 5, 30, 100]))
            elif x < 0.97: self.change([self.edit() for _ in range(r.choice([1, 1, 2, 4]))])
            else: self.conns_end(r.choice([1, 10, 100]))
            # on neither side of a set's expiration too near it to tell
            if self.expiration and time.monotonic() > self.phase + 0.6 * self.expiration:
                self.sleep(1.3 * self.expiration); self.phase = time.monotonic()
        if self.id < decisions: print('%s ends after %d decisions, before conns do' % (self.name, self.id), flush=True)
        self.connects(1); self.seen(); self.end()
    # -- edits
    def server(self):
        i = self.r.randrange(2, 3 + self.servers_max)
        return self.srv(i, (0, 80, 8080)[i % 3] if self.by_address else self.r.choice([80, 80, 80, 8080]))
    def name_of(self, address, port):
        if not self.by_address: return hp(address, port)
        return self.srv(i := ipb(address)[-1], (0, 80, 8080)[i % 3])
    def marks(self, name, op):
        r = self.r; x = y = 0
        if r.random() < self.limits:
            x = r.choice([1, 2, 4, 9, 30, 100]); y = r.choice([0, 0, 1, x // 2, x])
        w = WEIGHTS[self.weights](r); self.servers[name] = w
        a = [op] + self.svc + ['-r', name, '-m', '-w', w] + (['-x', x] if x else []) + (['-y', y] if y else [])
        return a, dict(ev='add_server' if op == '-a' else 'set_server', server=name, weight=w, uthresh=x, lthresh=y)
    def comes(self):
        r = self.r
        free = sorted(self.gone) if self.gone and r.random() < 0.6 else []
        name = r.choice(free) if free else self.server()
        if name in self.servers: return self.marks(name, '-e')
        self.gone.discard(name)
        return self.marks(name, '-a')
    def edit(self):
        r = self.r; x = r.random(); names = list(self.servers)
        if x < 0.45 and names: return self.marks(r.choice(names), '-e')
        if x < 0.7 and len(names) < self.servers_max or not names: return self.comes()
        if x < 0.9 or not self.id:
            name = r.choice(names); del self.servers[name]; self.gone.add(name)
            return ['-d'] + self.svc + ['-r', name], dict(ev='del_server', server=name)
        if x < 0.95: self.sched = r.choice([s for s in ALL if s != 'wrr' or self.wrr])
        flags = self.flags(self.sched)
        return ['-E'] + self.svc + self.by(self.sched, flags), dict(ev='edit_service', sched=self.sched, flags=flags)
    def change(self, edits):
        if not edits: return
        self.d.restore([' '.join(map(str, a)) for a, _ in edits])
        for k, (a, event) in enumerate(edits):
            after = dict(order=self.order(), counts=self.seen()) if k == len(edits) - 1 else {}
            self.emit(**event, cmd='ipvsadm ' + ' '.join(map(str, a)), **after)
    def seen(self):
        """the counters; a conn that ended by itself would have ended between two decisions, nobody knows which"""
        dests = self.d.dests()
        for name, _, active, inactive in dests:
            if active + inactive != self.held[name]:
                raise (Late if time.monotonic() > self.until else RuntimeError)('%s: %d conns, not %d' % (name, active + inactive, self.held[name]))
        return [list(x[1:]) for x in dests]
    # -- packets
    def net(self, r, af):
        """the first three bytes of an IPv4 address, the first fourteen of an IPv6 one"""
        if af == 4: return bytes([10, r.randrange(1, 90), r.randrange(256)])
        return struct.pack('!6H2x', 0xfd10, r.randrange(3), r.randrange(1 << 16), r.randrange(9), 0, r.randrange(3))
    def client(self):
        """each endpoint once, in no order"""
        x = int(self.r.random() * 254); n = len(self.nets)
        a = self.nets[int(self.r.random() * n)] + (bytes([x + 1]) if self.af == 4 else bytes([x % 3, x + 1]))
        return ips(a), 1024 + self.id * 25717 % 64512
    def connects(self, n):
        r, d = self.r, self.d
        counts = ',"counts":' + json.dumps(self.seen(), separators=(',', ':')) if r.random() < 0.2 else ''
        t = int((time.monotonic() - self.t0) * 1000)
        sent, got, refused = [], {}, {}
        for _ in range(n):
            self.id += 1; c = self.client()
            proto = self.proto if not self.by_vip else 'tcp' if r.random() < 0.5 else 'udp'
            v = (vipn(1 + int(r.random() * self.nvip), self.af) if self.by_vip else self.vip, self.vport if not (self.by_vip or self.any_port) else (80, 443, 5060)[int(r.random() * 3)])
            d.send_c(l3(c[0], v[0], 17, udp(*c, *v, b'x')) if proto == 'udp' else l3(c[0], v[0], 6, tcp(*c, *v, SYN)))
            sent.append((self.id, proto, c, v))
            # as many as a socket has room for
            if len(sent) % 50 == 0: self.left(got, refused)
        end = time.monotonic() + 1
        self.left(got, refused)
        while len(got) + len(refused) < n and time.monotonic() < end: time.sleep(0.002); self.left(got, refused)
        for i, proto, c, v in sent:
            to = got.get((ipb(c[0]), c[1]))
            if to:
                to = (ips(to[:-2]), to[-2] << 8 | to[-1]); expect = '"%s"' % hp(*to)
                if not (self.ops and proto == 'udp'):
                    name = self.name_of(*to); self.live[i] = Conn(proto, c, v, to, name); self.held[name] += 1
            else: expect = 'null,"reject":"%s"' % refused.get((ipb(c[0]), c[1]), 'silent drop')
            self.out.write('{"ev":"connect","id":%d,"proto":"%s","client":"%s","vip":"%s"%s,"expect":%s,"t":%d}\n' % (i, proto, hp(*c), hp(*v), counts, expect, t)); counts = ''
        # nobody takes conns: time that something changes
        if len(refused) > n // 2 and r.random() < 0.7: self.change([self.edit()])
    def left(self, got, refused):
        """by client: which endpoint its packet went to, what it was told"""
        v6 = self.af == 6
        for f in self.d.recv('s'):
            if v6: got[f[22:38], f[54] << 8 | f[55]] = f[38:54] + f[56:58]
            else: got[f[26:30], f[34] << 8 | f[35]] = f[30:34] + f[36:38]
        for f in self.d.recv('c'):
            x = decode(f); y = decode(f[:14] + x['l4'][8:])          # an ICMP error and what it is about
            refused[ipb(y['src']), y['sport']] = 'icmp %d/%d' % (x['l4'][0], x['l4'][1])
    def states(self):
        found = {}
        for line in open('/proc/net/ip_vs_conn'):
            a = line.split(); found[a[0], a[1], a[2]] = a[7]
        return found
    def send(self, whats):
        """one packet on each of some conns, and their states"""
        d = self.d
        for i, what in whats:
            c = self.live[i]
            if c.proto == 'udp': d.send_c(l3(c.client[0], c.vip[0], 17, udp(*c.client, *c.vip, b'y')))
            elif what in SERVER_TOPS: d.send_s(l3(c.real[0], c.client[0], 6, tcp(*c.real, *c.client, SERVER_TOPS[what], ack=1)))
            else: d.send_c(l3(c.client[0], c.vip[0], 6, tcp(*c.client, *c.vip, TOPS[what])))
        # what the kernel put off is done while this process sleeps
        time.sleep(0.002); d.drain()
        states = self.states()
        for k, (i, what) in enumerate(whats):
            self.live[i].state = states[self.live[i].key]
            self.emit(ev='packet', id=i, what=what, state=self.live[i].state, **(dict(counts=self.seen()) if k == len(whats) - 1 else {}))
    def packets(self, n):
        r = self.r
        open_ = [i for i, c in self.live.items() if c.state in FOLLOWS]
        whats = [(i, r.choice(FOLLOWS[self.live[i].state])) for i in r.sample(open_, min(n, len(open_)))]
        if not self.resets: whats = [(i, what) for i, what in whats if not what.endswith('rst')]
        if any(what.endswith('rst') for _, what in whats): self.until = min(self.until, time.monotonic() + UNTOUCHED_CLOSE)
        if whats: self.send(whats)
    def conns_end(self, n):
        """time-outs of a second, a packet on each that shall go, the time-outs as before"""
        # a server that was removed gets no packets, so its conns do not wait anew
        r = self.r; may = [i for i, c in self.live.items() if c.state in ('UDP', 'SYN_RECV', 'ESTABLISHED') and c.server in self.servers]
        ids = r.sample(may, min(n, len(may))); tcps = [i for i in ids if self.live[i].proto == 'tcp']; udps = [i for i in ids if self.live[i].proto == 'udp']
        if not ids: return
        new = [i for i in tcps if self.live[i].state == 'SYN_RECV']
        if new: self.send([(i, 'ack') for i in new])
        self.d.ipvsadm('--set', 0, 1, 1)
        self.send([(i, 's_fin') for i in tcps] + [(i, 'data') for i in udps])
        self.d.ipvsadm('--set', 900, 120, 300)
        for i in ids: self.held[self.live.pop(i).server] -= 1
        end = time.monotonic() + 8
        while True:
            time.sleep(0.1)
            try: self.emit(ev='expire', ids=ids, counts=self.seen()); return
            except RuntimeError:
                if time.monotonic() > end: raise

first, count, steps = (int(a) for a in open('/in/args').read().split())
os.mkdir('/out/sched')
for seed in range(first, first + count):
    path = '/out/sched/decisions-%d.jsonl' % seed
    try:
        with open(path, 'w') as out:
            m = Mix(seed, out); m.run(10 * steps)
    except Late as late:
        os.remove(path)
        print('seed %d is left out: %s' % (seed, late), flush=True)
    except Exception:
        os.remove(path)
        print('FAILED', seed); traceback.print_exc()
