#!/usr/bin/env python3
"""Cases of FullNAT, to be played to the director (no kernel has it): fullnat.py FOLDER. Needs no virtual machine.

Most are the kernel's own cases of masquerading, so that what leaves can be compared with what the kernel's NAT sent
(verify/fullnat.py); the others are of what NAT has not. All are in the words of NAT: a real server answers to the client's
endpoint, and whoever records puts the local endpoint there (tests/golden/record.rs)."""
import json, os, shutil, struct, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + '/../guest')
from trace import *

GOLDEN = os.path.normpath(HERE + '/../../golden/packets')
OUT = sys.argv[-1] + '/packets/fullnat/'
POOL = '172.16.255.1/32 fd16::ff01/128'
LIP = {4: '172.16.255.1', 6: 'fd16::ff01'}

# -- the kernel's cases of NAT
OF_NAT = {
    'v4': 'masq/tcp masq/tcp_server masq/tcp_crst masq/tcp_odd masq/tcp_reuse masq/tcp_badsum masq/udp masq/sctp masq/fragments masq/icmp_errors masq/mtu1400 '
          'masq/no_server masq/no_service masq/ops masq/ping masq/port0 masq/fwmark masq/fwmark_persistent masq/server_removed masq/sloppy_tcp masq/schedule_icmp '
          'masq/schedule_icmp_no_server masq/nat_icmp_send masq/nat_icmp_send_kinds masq/secure_tcp masq/drop_packet_rate1 masq/snat_reroute0 masq_sameport/sctp '
          'masq/clients masq/errors masq/errors_tcp masq/sctp_errors masq/ttl masq/fragments_both masq/checksums masq/server_back masq/port0_replies masq/options '
          'masq/pmtu_disc0 masq/reply_mtu1400',
    'v6': 'masq/tcp masq/tcp_server masq/tcp_crst masq/tcp_srst masq/tcp_twreuse masq/tcp_odd masq/tcp_badsum masq/udp masq/sctp masq/icmp_errors_tcp masq/mtu1400 '
          'masq/no_server masq/ops masq/ping masq/port0 masq/persistent masq/fwmark masq/server_removed masq/server_removed_expire_nodest masq/sloppy_tcp '
          'masq/schedule_icmp masq/schedule_icmp_persistent masq/nat_icmp_send masq/secure_tcp_twreuse masq_sameport/udp '
          'masq/clients masq/errors masq/errors_tcp masq/sctp_errors masq/ttl masq/fragments_both masq/checksums masq/server_back masq/port0_replies masq/extensions '
          'masq/reply_mtu1400',
    'reuse': 'masq_mode0 masq_mode1 masq_mode2 masq_mode0_nodest',
}

def edits_between(add, before, after):
    """the ipvsadm lines that older recordings do not have, from the servers before and after"""
    line = lambda op, server, weight: '%s %s -r %s -m -w %d' % (op, add, server, weight)
    before, after = ({s[0]: s[1] for s in x} for x in (before, after))
    return (['-d %s -r %s' % (add, s) for s in before if s not in after]
            + [line('-a' if s not in before else '-e', s, w) for s, w in reversed(after.items()) if before.get(s) != w])

def of_nat(family, case):
    there, here = '%s/%s/%s' % (GOLDEN, family, case), OUT + '%s/%s' % (family, case.replace('masq/', ''))
    os.makedirs(here, exist_ok=True)
    config = [l for l in open(there + '/config.txt').read().split('\n') if not l.startswith('# kernel')]
    listed = config.index('# ipvsadm -Ln afterwards:')
    adds = [l.split() for l in config if l.startswith('ipvsadm -a') or l.startswith('ipvsadm --add-server')]
    config[1:1] = ['# the kernel\'s case %s/%s, where masquerading is FullNAT' % (family, case), 'fullnat ' + POOL]
    open(here + '/config.txt', 'w').write('\n'.join(config[:listed + 2]) + '\n')
    shutil.copy(there + '/in.pcap', here)
    Pcap(here + '/out.pcap').close()
    service = ' '.join(adds[0][2:adds[0].index('-r')]) if adds else ''
    weights = None
    with open(here + '/steps.jsonl', 'w') as out:
        for line in open(there + '/steps.jsonl'):
            step = json.loads(line)
            if 'edits' not in step:
                step['edits'] = edits_between(service, weights, step['servers']) if weights is not None and adds else []
            weights = step['servers']
            out.write(json.dumps(step) + '\n')

# -- cases of FullNAT's own
class Script:
    """what Trace of guest/trace.py is for the kernel, without one: what is to be played"""
    def __init__(self, name, desc, cfg, mtu_c=1500, mtu_s=1500, sysctls=None, pool=POOL):
        self.dir = OUT + name
        os.makedirs(self.dir, exist_ok=True)
        lines = ['# ' + desc, 'fullnat ' + pool,
                 '# director: c1 192.168.0.1/24 fdc0::1/64 mtu %d (MAC 02:00:00:0c:00:01), s1 172.16.0.1/16 fd16::1/64 mtu %d (MAC 02:00:00:05:00:01)' % (mtu_c, mtu_s)]
        lines += ['sysctl %s=%s' % item for item in (sysctls or {}).items()] + ['ipvsadm ' + line for line in cfg]
        open(self.dir + '/config.txt', 'w').write('\n'.join(lines) + '\n')
        self.pin, self.steps = Pcap(self.dir + '/in.pcap'), open(self.dir + '/steps.jsonl', 'w')
        Pcap(self.dir + '/out.pcap').close()
        self.servers, self.edits, self.n, self.ms = {}, [], 0, 0
        for line in cfg: self.know(line)
    def know(self, line):
        words = line.split()
        server = words[words.index('-r') + 1] if '-r' in words else None
        if words[0] in ('-a', '-e', '--add-server'): self.servers[server] = int(words[words.index('-w') + 1]) if '-w' in words else 1
        elif words[0] == '-d': del self.servers[server]
    def edit(self, line):
        self.edits.append(line); self.know(line)
    def wait(self, seconds): self.ms += seconds * 1000
    def step(self, side, what, *packets, smac=None):
        self.n += 1; self.ms += 50
        for k, packet in enumerate(packets):
            ethertype = b'\x86\xdd' if packet[0] >> 4 == 6 else b'\x08\x00'
            to, of = (MAC_C1, MAC_C0) if side == 'c' else (MAC_S1, MAC_S0)
            self.pin.add(to + (smac or of) + ethertype + packet, self.n * 1000 + k)
        self.steps.write(json.dumps(dict(step=self.n, side=side, what=what, edits=self.edits, ms=self.ms, shown_ms=self.ms + 40, conns=[],
                                         servers=[[s, w, 0, 0] for s, w in self.servers.items()])) + '\n')
        self.edits = []
        self.ms += 50
    def end(self):
        self.pin.close(); self.steps.close()

def case(name, desc, cfg, play, **kw):
    script = Script(name, desc, cfg, **kw)
    play(script)
    script.end()

def own(af):
    e, P = EP(af), 'v%d/' % af
    R2, C2, V2 = ('172.16.0.3', '10.1.2.4', '10.99.0.2') if af == 4 else ('fd16::3', 'fd10::1:2:4', 'fd99::2')
    T = ['-A -t %s -s rr' % e.vs(80), '-a -t %s -r %s -m' % (e.vs(80), e.rs(8080))]
    U = ['-A -u %s -s rr' % e.vs(80), '-a -u %s -r %s -m' % (e.vs(80), e.rs(8080))]
    TCP = lambda src, sport, dst, dport, *a, **k: l3(src, dst, 6, tcp(src, sport, dst, dport, *a, **k))
    def UDP(src, sport, dst, dport, data=b'x', nosum=False, **k): return l3(src, dst, 17, udp(src, sport, dst, dport, data, nosum), **k)
    def unreachable(src, dst, about): return icmp_err(src, dst, *((3, 3) if af == 4 else (1, 4)), b'\0\0\0\0', about, af)
    def echo(src, dst):
        if af == 4: return ip4(src, dst, 1, icmp4(8, 0, b'\x11\x22\0\1', b'ping' * 8))
        return ip6(src, dst, 58, icmp6(src, dst, 128, 0, b'\x11\x22\0\1', b'ping' * 8))

    def pool(t):
        for port in range(20001, 20013):
            t.step('c', 'client SYN from port %d' % port, TCP(e.C, port, e.V, 80, SYN, 100, 0, opts=O))
            t.step('s', 'server SYN,ACK', TCP(e.R, 8080, e.C, port, SYN | ACK, 500, 101, opts=O))
        t.step('c', 'client RST', TCP(e.C, 20001, e.V, 80, RST, 101))
        t.step('s', 'server FIN', TCP(e.R, 8080, e.C, 20002, FIN | ACK, 501, 101))
    case(P + 'pool', 'several local addresses', T, pool, pool='172.16.255.0/30 fd16::ff00/126')

    def hairpin(t):
        t.step('s', 'the real server is a client of its own service: SYN', TCP(e.R, 30001, e.V, 80, SYN, 100, 0, opts=O), smac=bytes.fromhex('020000000002'))
        t.step('s', 'its service answers: SYN,ACK', TCP(e.R, 8080, e.R, 30001, SYN | ACK, 500, 101, opts=O))
        t.step('s', 'ACK', TCP(e.R, 30001, e.V, 80, ACK, 101, 501))
        t.step('s', 'FIN of the service', TCP(e.R, 8080, e.R, 30001, FIN | ACK, 501, 101))
    case(P + 'hairpin', 'a real server that is its own client: both ends are beside each other', T, hairpin)

    def stray(t):
        lip = LIP[af]
        t.step('c', 'a conn', UDP(e.C, 20001, e.V, 80))
        t.step('s', 'server: datagram to a local port that no conn has', UDP(e.R, 8080, lip, 1))
        t.step('s', 'another port of the server to a local port', UDP(e.R, 8081, lip, 2))
        t.step('s', 'server: SYN to the local address', TCP(e.R, 8080, lip, 1, SYN, 7))
        t.step('s', 'server: ACK to the local address', TCP(e.R, 8080, lip, 1, ACK, 7, 9))
        t.step('s', 'server: RST to the local address', TCP(e.R, 8080, lip, 1, RST, 7))
        t.step('s', 'server: SCTP INIT to the local address', l3(e.R, lip, 132, sctp(8080, 1, 0, ch(1, 0, struct.pack('!IIHHI', 1, 65536, 1, 1, 1)))))
        t.step('s', 'server: echo request to the local address', echo(e.R, lip))
        t.step('c', 'client: echo request to the local address', echo(e.C, lip))
        t.step('c', 'client: datagram to the local address', UDP(e.C, 20001, lip, 80))
        t.step('s', 'server: port unreachable about what was never sent', unreachable(e.R, lip, UDP(lip, 3, e.R, 8080)))
        t.step('s', 'another host: port unreachable about what was never sent', unreachable(e.SROUTER, lip, UDP(lip, 3, R2, 8080)))
    case(P + 'stray', 'packets to a local address that no conn has', U, stray)

    two = T + ['-a -t %s -r %s -m' % (e.vs(80), hp(R2, 8080))]
    def thresholds(t):
        for port in range(20001, 20007): t.step('c', 'client SYN from port %d' % port, TCP(e.C, port, e.V, 80, SYN, 100))
        t.step('s', 'the first server resets a conn', TCP(e.R, 8080, e.C, 20002, RST | ACK, 0, 101))
        t.wait(70)
        t.step('c', 'SYN when the conns are over', TCP(e.C, 20010, e.V, 80, SYN, 100))
    case(P + 'thresholds', 'upper thresholds of both servers', [l + (' -x 2 -y 1' if l.startswith('-a') else '') for l in two], thresholds)
    def over(t):
        t.step('c', 'request', UDP(e.C, 20001, e.V, 80)); t.step('s', 'reply', UDP(e.R, 8080, e.C, 20001))
        t.wait(290); t.step('s', 'reply after 290 s', UDP(e.R, 8080, e.C, 20001))
        t.wait(310); t.step('s', 'reply after 310 s more: the conn is over', UDP(e.R, 8080, e.C, 20001))
        t.step('c', 'request from the same port: another conn', UDP(e.C, 20001, e.V, 80))
    case(P + 'over', 'a reply keeps a conn of UDP, and one that comes too late is nobody\'s', U, over)

if __name__ == '__main__':
    for family, cases in OF_NAT.items():
        for name in cases.split(): of_nat(family, name)
    for af in (4, 6): own(af)
