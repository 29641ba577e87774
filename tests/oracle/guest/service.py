"""A case of scheduler decisions: a director with one service, and one JSON line for everything that is done to it
(the format is in tests/golden/README.md)."""
import json, os, random, time
from oracle import *

ALL = 'rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf'.split()
KV = os.uname().release + ' ' + os.uname().version
TOPS = {'ack': ACK, 'rst': RST, 'fin': FIN | ACK}

class Case:
    """one director, one service; every method writes one JSON line"""
    def __init__(self, out, name, sched, desc, af=4, kind='vip', proto='udp', flags=(), persistent=None, netmask=None, ops=False, seed=1, sysctls=None, vip=None, vport=80, nservers=16):
        self.out = out; self.rnd = random.Random('%s/%s/%d' % (sched, name, seed))
        self.d = Director(nservers=nservers, sysctls=sysctls)
        self.af, self.kind, self.proto, self.vport, self.sched = af, kind, proto, vport, sched
        self.vip = vip or ('10.99.0.1' if af == 4 else 'fd99::1')
        self.id = 0; self.live = {}; self.lines = 0; self.port = 1024; self.t0 = time.monotonic()
        self.emit(ev='case', name=name, scheduler=sched, af=af, desc=desc, kernel=KV, sysctls=sysctls or {})
        if kind == 'fwmark':
            nf = 'ip' if af == 4 else 'ip6'
            net = '10.99.0.0/16' if af == 4 else 'fd99::/64'
            sh(['nft', '-f', '-'], inp='table %s m { chain p { type filter hook prerouting priority -150; %s daddr %s meta mark set 7\n }\n}\n' % (nf, nf, net))
            self.svc = ['-f', '7'] + (['-6'] if af == 6 else [])
            sd = {'fwmark': 7, 'proto': None, 'vip': None, 'port': 0}
        else:
            self.svc = ['-t' if proto == 'tcp' else '-u', hp(self.vip, vport)]
            sd = {'fwmark': 0, 'proto': proto, 'vip': self.vip, 'port': vport}
        self.kept = (['-p', persistent] if persistent else []) + (['-M', netmask] if netmask else []) + (['-o'] if ops else [])
        a = ['-A'] + self.svc + self.by(sched, flags)
        self.d.ipvsadm(*a)
        self.emit(ev='add_service', **sd, sched=sched, flags=list(flags), persistent=persistent or 0, netmask=netmask, ops=ops, cmd='ipvsadm ' + ' '.join(map(str, a)))
        self.persistent = persistent; self.big = False; self.track = {}; self.ops = ops
    def emit(self, **kw):
        kw['t'] = int((time.monotonic() - self.t0) * 1000) if hasattr(self, 't0') else 0
        self.out.write(json.dumps(kw, separators=(',', ':')) + '\n'); self.lines += 1
    def by(self, sched, flags):
        return ['-s', sched] + (['-b', ','.join(flags)] if flags else []) + self.kept
    def srv(self, i, port=80):
        return hp('172.16.%d.%d' % (i >> 8, i & 255) if self.af == 4 else 'fd16::%x' % i, port)
    def order(self):
        return [x[0] for x in self.d.dests()]
    def counts(self):
        return [list(x[1:]) for x in self.d.dests()]
    def sync(self):
        """did a connection expire by itself (CLOSE lives for 10 s)? then say so in the trace"""
        ds = self.d.dests(); names = {x[0] for x in ds}
        if sum(x[2] + x[3] for x in ds) == sum(1 for v in self.track.values() if v[0] in names): return
        time.sleep(0.1)
        have = {(k['proto'].lower(), k['client'], k['cport'], k['vip'], k['vport']) for k in self.d.conns()}
        ids = [i for i, v in self.track.items() if v[1] not in have]
        for i in ids: del self.track[i]; self.live.pop(i, None)
        self.emit(ev='expire', ids=ids, natural=True, counts=self.counts())
    def _dst(self, op, s, w, x, y):
        a = [op] + self.svc + ['-r', s, '-m', '-w', w]
        if x is not None: a += ['-x', x]
        if y is not None: a += ['-y', y]
        self.d.ipvsadm(*a)
        return 'ipvsadm ' + ' '.join(map(str, a))
    def add(self, i, w=1, x=None, y=None, port=80, last=False):
        s = self.srv(i, port)
        c = self._dst('-a', s, w, x, y)
        big = self.big and not last
        self.emit(ev='add_server', server=s, weight=w, uthresh=x or 0, lthresh=y or 0, fwd='masq', **({} if big else dict(order=self.order(), counts=self.counts())), cmd=c)
    def addmany(self, ws, port=80, start=2):
        self.big = len(ws) > 12        # no counters on every connect line then
        for k, w in enumerate(ws): self.add(start + k, w, port=port, last=k == len(ws) - 1)
    def edit(self, i, w, x=None, y=None, port=80):
        # -e without -x/-y sets both thresholds to 0 (ipvsadm sends zero)
        s = self.srv(i, port)
        c = self._dst('-e', s, w, x, y)
        self.emit(ev='set_server', server=s, weight=w, uthresh=x or 0, lthresh=y or 0, counts=self.counts(), cmd=c)
    def dele(self, i, port=80):
        s = self.srv(i, port)
        self.d.ipvsadm('-d', *self.svc, '-r', s)
        self.emit(ev='del_server', server=s, order=self.order(), counts=self.counts())
    def edit_service(self, sched, flags=()):
        a = ['-E'] + self.svc + self.by(sched, flags)
        self.d.ipvsadm(*a)
        self.emit(ev='edit_service', sched=sched, flags=list(flags), cmd='ipvsadm ' + ' '.join(map(str, a)))
    def client(self):
        self.port += 1
        if self.port > 60000: self.port = 1025
        r = self.rnd
        if self.af == 4:
            return '10.%d.%d.%d' % (r.randrange(1, 90), r.randrange(256), r.randrange(1, 255)), self.port
        return 'fd10::%x:%x:%x:%x' % tuple(r.randrange(65536) for _ in range(4)), self.port
    def connect(self, client=None, vip=None, proto=None, vport=None):
        proto = proto or self.proto
        cip, cp = client or self.client()
        vip = vip or self.vip
        vport = vport or self.vport
        if not self.big: self.sync()
        before = {} if self.big else {'counts': self.counts()}
        d = self.d
        if proto == 'udp': p = l3(cip, vip, 17, udp(cip, cp, vip, vport, b'x'))
        else: p = l3(cip, vip, 6, tcp(cip, cp, vip, vport, SYN))
        d.send_c(p)
        f = d.recv('s')
        nul = None
        if not f:
            c = d.recv('c')
            if not c:
                f = d.recv('s', 0.3)
                if not f: c = d.recv('c', 0.05)
            if c:
                x = decode(c[0]); nul = 'icmp %d/%d' % (x['l4'][0], x['l4'][1]) if x.get('proto') in (1, 58) else 'other'
        exp = None
        if f:
            assert len(f) == 1, f
            x = decode(f[0]); exp = hp(x['dst'], x['dport'])
        self.id += 1
        kw = {}
        if nul: kw['reject'] = nul
        elif exp is None: kw['reject'] = 'silent drop'
        self.emit(ev='connect', id=self.id, proto=proto, client=hp(cip, cp), vip=hp(vip, vport), **before, expect=exp, **kw)
        if exp and not self.ops: self.track[self.id] = (exp, (proto, ipaddress.ip_address(cip).compressed, cp, vip, vport))
        if exp: self.live[self.id] = dict(proto=proto, cip=cip, cp=cp, vip=vip, vport=vport, rip=x['dst'], rport=x['dport'])
        return exp
    def connstate(self, c):
        for k in self.d.conns():
            if k['proto'] == c['proto'].upper() and k['client'] == ipaddress.ip_address(c['cip']).compressed and k['cport'] == c['cp'] and k['vip'] == ipaddress.ip_address(c['vip']).compressed and k['vport'] == c['vport']:
                return k['state']
    def pkt(self, i, what):
        """what: ack rst fin from the client; s_synack s_fin s_rst from the server; data (udp)"""
        self.sync()
        if i not in self.live: return
        c = self.live[i]; d = self.d
        a = (c['cip'], c['cp'], c['vip'], c['vport']); b = (c['rip'], c['rport'], c['cip'], c['cp'])
        if what == 'data': d.send_c(l3(c['cip'], c['vip'], 17, udp(*a, b'y')))
        elif what.startswith('s_'):
            fl = {'s_synack': SYN | ACK, 's_fin': FIN | ACK, 's_rst': RST | ACK, 's_ack': ACK}[what]
            d.send_s(l3(b[0], b[2], 6, tcp(*b, fl, ack=1)))
        else: d.send_c(l3(c['cip'], c['vip'], 6, tcp(*a, TOPS[what])))
        d.recv('s'); d.recv('c'); time.sleep(0)
        d.drain()
        self.sync()
        if i not in self.live: return
        st = self.connstate(c)
        self.emit(ev='packet', id=i, what=what, state=st, counts=self.counts())
        c['state'] = st
    def expire(self, ids):
        """make these connections expire now: 1 s protocol timeouts, one more packet on each, wait"""
        here = set(self.order())            # packets of connections of a removed server are dropped and do not restart the timer
        ids = [i for i in ids if i in self.live and hp(self.live[i]['rip'], self.live[i]['rport']) in here]
        if not ids: return
        self.d.ipvsadm('--set', 0, 1, 1)
        for i in ids:
            if self.live[i]['proto'] == 'udp': self.pkt(i, 'data')
            else:
                if self.live[i].get('state') != 'ESTABLISHED': self.pkt(i, 'ack')
                self.pkt(i, 's_fin')
                assert i not in self.live or self.live[i]['state'] == 'FIN_WAIT', self.live[i]
        self.d.ipvsadm('--set', 900, 120, 300)
        end = time.monotonic() + 8
        want = {(self.live[i]['cip'], self.live[i]['cp'], self.live[i]['vport']): i for i in ids if i in self.live}
        while time.monotonic() < end:
            have = {(k['client'], k['cport'], k['vport']) for k in self.d.conns()}
            if not any((ipaddress.ip_address(a).compressed, b, c) in have for (a, b, c) in want): break
            time.sleep(0.1)
        else: raise RuntimeError('did not expire')
        for i in ids: self.live.pop(i, None)
        ids = [i for i in ids if self.track.pop(i, None)]
        self.emit(ev='expire', ids=ids, counts=self.counts())
    def sleep(self, s):
        time.sleep(s); self.emit(ev='sleep', ms=int(s * 1000))
    def end(self):
        self.emit(ev='end', counts=self.counts(), order=self.order())
        self.d.close()

def vipn(n, af=4):
    return '10.99.%d.%d' % (n >> 8, n & 255) if af == 4 else 'fd99::%x' % n
