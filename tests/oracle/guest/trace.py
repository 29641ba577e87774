"""A case: a director, what is put in, what leaves, and what the kernel shows after each step, written as a folder of files
(the formats are in tests/golden/README.md). And the packets that scenarios are made of."""
import json, os, sys, time, traceback
from oracle import *
KV = os.uname().release + ' ' + os.uname().version
OUT = '/out/packets'

class Trace:
    def __init__(self, name, desc, cfg, mtu_c=1500, mtu_s=1500, nservers=16, sysctls=None, nft=None):
        self.dir = OUT + '/' + name; os.makedirs(self.dir, exist_ok=True)
        self.name = name
        d = self.d = Director(nservers=nservers, mtu_c=mtu_c, mtu_s=mtu_s, sysctls=sysctls)
        for i in ('c1', 's1'): sh(['ethtool', '-K', i, 'tx', 'off', 'sg', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'], check=False)
        t = ['# ' + desc, '# kernel ' + KV, '# director: c1 192.168.0.1/24 fdc0::1/64 mtu %d (MAC 02:00:00:0c:00:01), s1 172.16.0.1/16 fd16::1/64 mtu %d (MAC 02:00:00:05:00:01)' % (mtu_c, mtu_s),
             '# routes: 10.0.0.0/8, 198.18.0.0/15 and fd10::/16 via the client-side gateway (MAC 02:00:00:0c:00:00); 10.99.0.0/16 and fd99::/64 local',
             '# real servers 172.16.0.N / fd16::N have MAC 02:00:00:00:00:N (N in hex)']
        for k, v in (sysctls or {}).items(): t.append('sysctl %s=%s' % (k, v))
        if nft:
            sh(['nft', '-f', '-'], inp=nft); t.append('# nft: ' + nft.replace('\n', ' '))
        self.tool = Ipvsadm()
        for c in cfg:
            t.append('ipvsadm ' + c)
            if not self.tool.obeys(c): raise RuntimeError('ipvsadm %s: %s' % (c, self.tool.complaint))
        t.append('# ipvsadm -Ln afterwards:'); t += ['#   ' + l for l in sh(['ipvsadm', '-Ln']).stdout.split('\n')]
        open(self.dir + '/config.txt', 'w').write('\n'.join(t) + '\n')
        self.pin = Pcap(self.dir + '/in.pcap'); self.pout = Pcap(self.dir + '/out.pcap')
        self.st = open(self.dir + '/steps.jsonl', 'w'); self.n = 0
        self.d.drain(); self.outs = []; self.edits = []; self.start = time.monotonic()
    def edit(self, line):
        """change the services before the next step; what the kernel refuses is not recorded"""
        done = self.tool.obeys(line)
        if done: self.edits.append(line)
        return done
    def set(self, name, value):
        """a setting changes before the next step"""
        write('/proc/sys/' + name, value); self.edits.append('sysctl %s=%s' % (name, value))
    def step(self, side, what, *pkts, wait=0.04, smac=MAC_S0, show=True):
        """inject the frame(s) on one side, record what leaves on both; wait 0: none of it hangs on a timer. A step that is not
        shown costs a tenth: its conns and servers are not listed"""
        # once in ten thousand a frame leaves only after the call that sent its cause: it is still the step's before
        d = self.d
        for f in d.recv('c') + d.recv('s'): self.pout.add(f, self.n * 1000 + 999)
        self.n += 1
        ms = int((time.monotonic() - self.start) * 1000)
        for k, p in enumerate(pkts):
            f = d.send_c(p) if side == 'c' else d.send_s(p, smac)
            self.pin.add(f, self.n * 1000 + k)
        out = []; k = 0
        # with one processor whatever the kernel put off runs while this process sleeps
        end = time.monotonic() + wait
        if wait > 1: time.sleep(wait)
        # (/proc skips a conn if one before it goes meanwhile: three ticks)
        if wait == 0: time.sleep(0.012 if show else 0)
        while True:
            got = [('c', f) for f in d.recv('c')] + [('s', f) for f in d.recv('s')]
            out += got
            if time.monotonic() >= end: break
            if not got: time.sleep(0.003)
        for sd, f in out:
            self.pout.add(f, self.n * 1000 + k); k += 1
        self.outs = out
        edits, self.edits = self.edits, []
        step = dict(step=self.n, side=side, what=what, edits=edits, ms=ms, n_in=len(pkts), out=[dict(side=a, len=len(f), l3=self.brief(f)) for a, f in out])
        if show:
            conns = d.conn_lines()
            step.update(shown_ms=int((time.monotonic() - self.start) * 1000), conns=conns, servers=[list(x) for x in d.dests()])
        self.st.write(json.dumps(step) + '\n')
        return out
    def brief(self, f):
        x = decode(f)
        if 'src' not in x: return 'ethertype %04x' % x['et']
        s = '%s > %s proto %d ttl %d' % (x['src'], x['dst'], x['proto'], x['ttl'])
        if 'sport' in x: s += ' ports %d>%d' % (x['sport'], x['dport'])
        if x['proto'] in (1, 58): s += ' type %d code %d' % (x['l4'][0], x['l4'][1])
        if x['proto'] == 6 and 'sport' in x and len(x['l4']) > 13: s += ' flags %02x' % x['l4'][13]
        if x['off'] & 0x3fff: s += ' frag off %d mf %d' % ((x['off'] & 0x1fff) * 8, x['off'] >> 13 & 1)
        return s + ' dmac ' + x['dmac'].hex(':')
    def end(self):
        self.tool.close()
        self.pin.close(); self.pout.close(); self.st.close()
        self.d.close()

class EP:
    """endpoints of a case"""
    def __init__(self, af):
        self.af = af
        self.C = '10.1.2.3' if af == 4 else 'fd10::1:2:3'
        self.V = '10.99.0.1' if af == 4 else 'fd99::1'
        self.R = '172.16.0.2' if af == 4 else 'fd16::2'
        self.ROUTER = '198.18.0.9' if af == 4 else 'fd10::9:9'       # some router on the client side
        self.SROUTER = '172.16.0.9' if af == 4 else 'fd16::9'        # some router on the server side
        self.x = 't' if af == 4 else '6'
    def vs(self, port): return hp(self.V, port)
    def rs(self, port): return hp(self.R, port)

O = bytes.fromhex('020405b40402080a0000000100000000')[:16] + b'\x01\x01\x01\x01'
MSS = b'\x02\x04\x05\xb4'

def frag4(pkt, size, ident=0x4242, df=False):
    """fragment an IPv4 packet (payload pieces of size bytes)"""
    src, dst, proto = ips(pkt[12:16]), ips(pkt[16:20]), pkt[9]; pl = pkt[20:]
    out = []; o = 0
    while o < len(pl):
        c = pl[o:o + size]
        out.append(ip4(src, dst, proto, c, ident=ident, df=df, mf=o + size < len(pl), off=o)); o += size
    return out
def frag6(pkt, size, ident=0x42424242):
    src, dst, nh = ips(pkt[8:24]), ips(pkt[24:40]), pkt[6]; pl = pkt[40:]
    out = []; o = 0
    while o < len(pl):
        c = pl[o:o + size]
        out.append(ip6(src, dst, 44, struct.pack('!BBHI', nh, 0, o | (1 if o + size < len(pl) else 0), ident) + c)); o += size
    return out
def icmp_err(src, dst, typ, code, rest, orig, af, cut=None):
    """ICMP error carrying the start of orig (an L3 packet)"""
    if af == 4: return ip4(src, dst, 1, icmp4(typ, code, rest, orig[:cut or 28]))
    return ip6(src, dst, 58, icmp6(src, dst, typ, code, rest, orig[:cut or 1232]))

def tcp_flow(t, e, rport, nat, cport=20001, close='client', upto=None):
    """a whole TCP connection; in DR/TUN mode the server's packets do not pass the director"""
    a = (e.C, cport, e.V, 80); b = (e.R, rport, e.C, cport)
    c = lambda what, fl, seq, ack, data=b'', opts=b'': t.step('c', 'client ' + what, l3(e.C, e.V, 6, tcp(*a, fl, seq, ack, data, opts)))
    s = lambda what, fl, seq, ack, data=b'', opts=b'': t.step('s', 'server ' + what, l3(e.R, e.C, 6, tcp(*b, fl, seq, ack, data, opts))) if nat else None
    c('SYN', SYN, 100, 0, opts=O); s('SYN,ACK', SYN | ACK, 500, 101, opts=O); c('ACK', ACK, 101, 501)
    if upto == 'established': return
    c('data', PSH | ACK, 101, 501, b'GET / HTTP/1.0\r\n\r\n'); s('ACK', ACK, 501, 119); s('data', PSH | ACK, 501, 119, b'HTTP/1.0 200 OK\r\n\r\nhello'); c('ACK', ACK, 119, 525)
    if close == 'client':
        c('FIN,ACK', FIN | ACK, 119, 525); s('ACK', ACK, 525, 120); s('FIN,ACK', FIN | ACK, 525, 120); c('ACK', ACK, 120, 526)
    elif close == 'server':
        s('FIN,ACK', FIN | ACK, 525, 119); c('ACK', ACK, 119, 526); c('FIN,ACK', FIN | ACK, 119, 526); s('ACK', ACK, 526, 120)
    elif close == 'crst': c('RST', RST | ACK, 119, 525); c('SYN again, same ports', SYN, 9000, 0)
    elif close == 'srst': s('RST', RST | ACK, 525, 119); c('SYN again, same ports', SYN, 9000, 0)
    elif close == 'reuse':
        c('SYN in ESTABLISHED', SYN, 7000, 0); s('ACK', ACK, 525, 119); c('RST', RST, 119, 0)
    elif close == 'twreuse':
        c('FIN,ACK', FIN | ACK, 119, 525); s('FIN,ACK', FIN | ACK, 525, 120); c('ACK', ACK, 120, 526); c('SYN in TIME_WAIT', SYN, 70000, 0, opts=O); s('SYN,ACK', SYN | ACK, 90000, 70001); c('ACK', ACK, 70001, 90001)

def ch(t, fl, body): return struct.pack('!BBH', t, fl, 4 + len(body)) + body + b'\0' * (-len(body) % 4)
def sctp_flow(t, e, rport, nat):
    c = lambda what, vt, x: t.step('c', 'client ' + what, l3(e.C, e.V, 132, sctp(20003, 80, vt, x)))
    s = lambda what, vt, x: t.step('s', 'server ' + what, l3(e.R, e.C, 132, sctp(rport, 20003, vt, x))) if nat else None
    c('INIT', 0, ch(1, 0, struct.pack('!IIHHI', 0x1111, 65536, 1, 1, 1)))
    s('INIT ACK', 0x1111, ch(2, 0, struct.pack('!IIHHI', 0x2222, 65536, 1, 1, 1) + ch(7, 0, b'cookiecookie')))
    c('COOKIE ECHO', 0x2222, ch(10, 0, b'cookiecookie')); s('COOKIE ACK', 0x1111, ch(11, 0, b''))
    c('DATA', 0x2222, ch(0, 3, struct.pack('!IHHI', 1, 0, 0, 0) + b'hello')); s('SACK', 0x1111, ch(3, 0, struct.pack('!IIHH', 1, 65536, 0, 0)))
    c('SHUTDOWN', 0x2222, ch(7, 0, struct.pack('!I', 1))); s('SHUTDOWN ACK', 0x1111, ch(8, 0, b'')); c('SHUTDOWN COMPLETE', 0x2222, ch(14, 0, b''))

ONLY = open('/in/args').read().split() if os.path.exists('/in/args') else []
def case(name, desc, cfg, fn, **kw):
    if ONLY and not any(o in name for o in ONLY): return
    try:
        t = Trace(name, desc, cfg, **kw); fn(t); t.end()
    except Exception:
        print('FAILED', name); traceback.print_exc()
