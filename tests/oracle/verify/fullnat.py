#!/usr/bin/env python3
"""Are recordings of FullNAT right? fullnat.py [-v] FOLDER: a model of its own judges each frame that left, by the RFCs that it names.

Nothing of the director's code is used. Every frame out must be explained by one that came in: translated (and then every field, byte
and checksum is as it must be), routed, or made by the director (an ICMP error, an echo reply, a RST). What got no answer is
counted, and listed with -v. A case that is the kernel's of NAT must be as that one beside FullNAT's own part: the same bytes
to clients, the same to servers but for who sent them, the same conns, states and counters; what is not is listed in NOT_AS_NAT."""
import ipaddress, json, os, re, struct, sys
from collections import Counter

GOLDEN = os.path.normpath(os.path.dirname(os.path.abspath(__file__)) + '/../../golden/packets')
TCP, UDP, SCTP, ICMP, ICMP6, FRAGMENT = 6, 17, 132, 1, 58, 44
PORTED = (TCP, UDP, SCTP)
OWN = {'192.168.0.1', '172.16.0.1', 'fdc0::1', 'fd16::1'}
# RFC 792, RFC 4443: errors, not questions. Redirects quote packets, too, but no translator has a use for them.
ERRORS = {ICMP: {3, 4, 11, 12}, ICMP6: {1, 2, 3, 4}}
TOO_BIG, EXCEEDED, UNREACHABLE = {(3, 4), (2, 0)}, {(11, 0), (3, 0)}, {3: ICMP, 1: ICMP6}

# Steps in which FullNAT cannot be as NAT, by case and by what they are about, and why.
LATE = 'a real server knows the local address only: without a conn its packet is for the director, which answers as a host does; NAT routes it to the client, or tells the server'
NOT_AS_NAT = [
    (r'/nat_icmp_send_kinds .*(of no conn|from any port|of a mark|another real server)', LATE),
    (r'/(udp|nat_icmp_send) server port without a connection', LATE),
    (r'/icmp_errors server: port unreachable, unknown port pair', LATE),
    (r'/ops reply', LATE + ' (one-packet conns are over with their packet)'),
    (r'/server_removed_expire_nodest server data after it was removed', LATE),
    (r'/schedule_icmp.* server: port unreachable about a flow that nobody knows', LATE),
    (r'/errors server-side router: problem', 'IPv4 parameter problems are nobody\'s conn\'s: NAT routes one, and here it is for the director'),
]

class Wrong(Exception): pass
def must(true, what):
    if not true: raise Wrong(what)

def total(data):
    """one's complement sum (RFC 1071); over bytes with their right checksum it is 0xffff"""
    if len(data) & 1: data += b'\0'
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return s
def crc32c(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8): c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    return struct.pack('<I', c ^ 0xffffffff)
def name(b): return str(ipaddress.ip_address(b))

class Packet:
    """an IP packet, as it lies at the start of some bytes; in a quote it may be cut"""
    def __init__(self, l3):
        self.v = l3[0] >> 4
        if self.v == 4:
            ihl = (l3[0] & 15) * 4
            must(len(l3) >= ihl >= 20, 'IPv4 header cut off')
            self.tos, self.length, self.id, flags, self.ttl, self.proto = struct.unpack('!xBHHHBB', l3[:10])
            self.df, self.mf, self.off = flags >> 14 & 1, flags >> 13 & 1, (flags & 0x1fff) * 8
            self.src, self.dst, self.between = name(l3[12:16]), name(l3[16:20]), l3[20:ihl]
            self.header_sum, self.flow, at, self.fragment = total(l3[:ihl]), 0, ihl, self.mf or self.off
        else:
            word, length, self.proto, self.ttl = struct.unpack('!IHBB', l3[:8])
            self.tos, self.flow, self.length = word >> 20 & 255, word & 0xfffff, 40 + length
            self.src, self.dst = name(l3[8:24]), name(l3[24:40])
            at, self.id, self.mf, self.off, self.fragment, self.df, self.header_sum = 40, None, 0, 0, False, 1, 0xffff
            while self.proto in (0, 60, 43, FRAGMENT):
                if self.proto == FRAGMENT:
                    self.proto, off, self.id = struct.unpack('!BxHI', l3[at:at + 8])
                    self.off, self.mf, self.fragment, at = off & ~7, off & 1, True, at + 8
                    break
                self.proto, at = l3[at], at + 8 * (l3[at + 1] + 1)
            self.between = l3[40:at - 8 * self.fragment]
        self.l4, self.bytes = l3[at:self.length], l3
        self.cut = len(l3) < self.length
        self.parts = []
    def ports(self):
        return struct.unpack('!HH', self.l4[:4]) if self.proto in PORTED and len(self.l4) >= 4 and not self.off else (0, 0)
    def ends(self):
        a, b = self.ports()
        return (self.src, a), (self.dst, b)
    def pseudo(self):
        a, b = (ipaddress.ip_address(x).packed for x in (self.src, self.dst))
        return a + b + struct.pack('!II', len(self.l4), self.proto) if self.proto != ICMP else b''
    def sum(self):
        """what the transport checksum adds up to: RFC 9293 3.1, RFC 768, RFC 4443 2.3, RFC 792"""
        if self.proto == UDP and self.l4[6:8] == b'\0\0': return 'none'
        if self.proto == SCTP: return 0xffff if self.l4[8:12] == crc32c(self.l4[:8] + bytes(4) + self.l4[12:]) else 'wrong'   # RFC 9260 6.8
        return total(self.pseudo() + self.l4) if self.proto in (TCP, UDP, ICMP, ICMP6) else 0xffff
    def is_error(self): return self.proto in ERRORS and self.l4[0] in ERRORS[self.proto]
    def quoted(self): return Packet(self.l4[8:])
    def rest(self):
        """what no translator touches: all behind the ports but the checksum"""
        at = {TCP: 16, UDP: 6, SCTP: 8}.get(self.proto)
        if at is None: return self.l4
        return self.l4[4:at] + self.l4[at + (4 if self.proto == SCTP else 2):]
    def kind(self): return (self.l4[0], self.l4[1])
    def __str__(self):
        text = '%s > %s proto %d ttl %d' % (*('%s:%d' % e if e[1] else e[0] for e in self.ends()), self.proto, self.ttl)
        return text + (' type %d code %d' % self.kind() if self.proto in (ICMP, ICMP6) and not self.off else '') + (' frag %d+%d' % (self.off, len(self.l4)) if self.fragment else '')

class Frames:
    """packets put together from fragments, each with its parts (RFC 791 3.2, RFC 8200 4.5)"""
    def __init__(self): self.waiting = {}
    def put(self, packet):
        if not packet.fragment: return packet
        parts = self.waiting.setdefault((packet.src, packet.dst, packet.proto, packet.id), [])
        parts.append(packet)
        parts.sort(key=lambda p: p.off)
        end = 0
        for p in parts:
            if p.off != end: return None
            end += len(p.l4)
        if parts[-1].mf: return None
        del self.waiting[(packet.src, packet.dst, packet.proto, packet.id)]
        first = parts[0]
        for p in parts[:-1]: must(len(p.l4) % 8 == 0, 'a fragment that is no multiple of 8 (RFC 791 3.2)')
        first.l4, first.parts, first.mf = b''.join(p.l4 for p in parts), list(parts), 0
        first.parts_bytes = [len(p.bytes) for p in parts]
        return first

def read(file):
    data, at = open(file, 'rb').read(), 24
    while at < len(data):
        s, _, n, m = struct.unpack('<IIII', data[at:at + 16])
        must(n == m, 'cut frame'); yield s, data[at + 16:at + 16 + n]; at += 16 + n
def side(mac): return {'0200000c0001': 'c', '020000050001': 's'}[mac.hex()]

class Case:
    def __init__(self, folder):
        self.folder, self.faults, self.counts, self.silent = folder, [], Counter(), []
        config = open(folder + '/config.txt').read()
        self.pool = [ipaddress.ip_network(p) for p in re.search(r'^fullnat (.*)$', config, re.M)[1].split()]
        self.mtu = dict(zip('cs', map(int, re.findall(r' mtu (\d+) ', config))))
        nat = re.search(r"^# the kernel's case (\S+?),", config, re.M)
        self.nat = GOLDEN + '/' + nat[1] if nat else None
        self.services = len(re.findall(r'^ipvsadm (?:-A|--add-service)', config, re.M))
        self.one_packet = ' -o' in config or '--ops' in config
        self.steps = [json.loads(l) for l in open(folder + '/steps.jsonl')]
        self.conns, self.ever = {}, {}     # (proto, client, vip) -> (local, server); (proto, server, local) -> (client, vip)
    def in_pool(self, address): return any(ipaddress.ip_address(address) in net for net in self.pool)

    def judge(self):
        inputs, outputs, came, left = {}, {}, Frames(), Frames()
        for n, frame in read(self.folder + '/in.pcap'): inputs.setdefault(n, []).append(frame)
        for n, frame in read(self.folder + '/out.pcap'): outputs.setdefault(n, []).append(frame)
        for step in self.steps:
            n = step['step']
            try:
                ins = [(side(f[:6]), came.put(Packet(f[14:]))) for f in inputs[n]]
                outs = []
                for f in outputs.get(n, []):
                    packet = Packet(f[14:])
                    self.frame(f, packet)
                    whole = left.put(packet)
                    if whole: outs.append((side(f[6:12]), whole))
                must(not left.waiting, 'fragments left that do not make a packet')
                self.counts['in'] += len(inputs[n]); self.counts['out'] += len(outputs.get(n, []))
                ins = [i for i in ins if i[1]]
                for out in outs: ins.remove(self.explain(step, out, ins))
                self.silent += ['%d %s: %s' % (n, step['what'], i[1]) for i in ins]
            except Wrong as wrong: self.faults.append('step %d (%s): %s' % (n, step['what'], wrong))
        must(self.counts['in'] == sum(map(len, inputs.values())), 'frames of no step')
        if self.nat and os.path.isdir(self.nat): self.as_nat(inputs, outputs)
        elif self.nat: self.faults.append('no such case: ' + self.nat)

    def frame(self, f, p):
        """what is true of every frame that leaves"""
        at = side(f[6:12])
        must(p.length == len(p.bytes), 'length %d of %d bytes' % (p.length, len(p.bytes)))
        must(p.length <= self.mtu[at], 'longer than the MTU')
        must(p.header_sum == 0xffff, 'IPv4 header checksum')                                            # RFC 791 3.1
        to = ipaddress.ip_address(p.dst).packed
        server = at == 's' and not f[:3] == b'\2\0\5'
        must(f[:6].hex() == ('02000000%02x%02x' % tuple(to[-2:]) if server else '0200000c0000'), 'next hop %s' % f[:6].hex())
        must(f[12:14] == (b'\x86\xdd' if p.v == 6 else b'\x08\0'), 'ether type')
        must(p.ttl > 0, 'TTL 0')

    def explain(self, step, out, ins):
        whys = []
        for i in ins:
            for why in (self.translated, self.error_translated, self.routed, self.made):
                try:
                    kind = why(step, i, out)
                    if kind:
                        self.counts[kind] += 1
                        return i
                except Wrong as wrong: whys.append('%s: %s' % (why.__name__, wrong))
        raise Wrong('%s %s is explained by none of %s: %s' % (out[0], out[1], [str(i[1]) for i in ins], '; '.join(whys) or 'nothing fits'))

    def same_header(self, i, o):
        must(o.ttl == i.ttl - 1, 'TTL %d of %d' % (o.ttl, i.ttl))                                      # RFC 1812 5.3.1, RFC 8200 3
        for field in ('v', 'tos', 'flow', 'proto', 'df'): must(getattr(i, field) == getattr(o, field), field)
        # RFC 6864 5.3.1: fragments of many clients from one address need identifications of their own
        must(i.v == 6 or (i.id == o.id) != bool(o.fragment and self.in_pool(o.src)), 'identification')
        must(i.between == o.between, 'options, extension headers')
        if not i.fragment and not o.fragment: must(len(i.bytes) == len(o.bytes), 'length')
        # RFC 791 2.3: no DF packet is cut; what was cut is not put together for good (RFC 2663 2, RFC 4787 11)
        if o.fragment and not i.fragment: must(i.v == 4 and not i.df, 'cut, though it must not be')
        # An atomic fragment loses its header, as in the kernel's NAT (recorded: extensions); RFC 8200 4 would have it kept.
        if i.fragment: must(o.fragment or i.v == 4 or len(i.parts) == 1, 'the fragment header is gone')

    def translated(self, step, i, o):
        (at, i), (to, o) = i, o
        if i.proto not in PORTED or i.proto != o.proto or i.rest() != o.rest(): return None
        if self.in_pool(o.src): self.inbound(step, i, o, to)
        elif self.in_pool(i.dst): self.outbound(i, o)
        else: return None
        self.same_header(i, o)
        before, after = i.sum(), o.sum()
        if before == 'none': must(after == 0xffff, 'UDP checksum after none')                             # RFC 768: it may be added
        # A wrong checksum stays wrong; but SCTP's is made anew where ports change, as the kernel's NAT does (recorded: sctp_errors).
        elif before == 'wrong': must(i.proto == SCTP and after == 0xffff, 'SCTP checksum')
        else: must(after == before or {before, after} == {0, 0xffff}, 'transport checksum %s became %s' % (before, after))  # RFC 3022 4.2
        return 'translated'
    def inbound(self, step, i, o, to):
        client, vip = i.ends(); local, server = o.ends()
        must(to == 's', 'left by the wrong side')
        must(local[1] >= 1024, 'local port of the system')                                               # RFC 4787 REQ-3
        line = '%s %s %s -> %s ' % ({TCP: 'TCP', UDP: 'UDP', SCTP: 'SCTP'}[i.proto], *('%s:%d' % e for e in (client, vip, server)))
        listed = any(c.startswith(line) for c in step['conns'])
        must(listed or self.one_packet, 'no conn is listed: ' + line)
        key, back = (i.proto, client, vip), (i.proto, server, local)
        if key in self.conns and self.conns[key] != (local, server):
            # RFC 4787 REQ-1, RFC 5382 REQ-1: a flow keeps its mapping; only another conn has another one.
            opens = i.proto == TCP and i.l4[13] & 0x17 == 2 or i.proto == SCTP or self.one_packet or self.was_over(step, key)
            must(opens, 'the flow had %s' % (self.conns[key],))
        # RFC 3022 2.2: what comes back must tell the flows of all clients apart.
        owner = self.ever.get(back)
        must(owner in (None, (client, vip)) or self.was_over(step, (i.proto, *owner)), 'another flow has that local endpoint')
        self.conns[key], self.ever[back] = (local, server), (client, vip)
    def was_over(self, step, key):
        """the flow had no conn after the step before"""
        before = [s for s in self.steps if s['step'] < step['step']]
        return not before or not any(' %s:%d %s:%d ' % (*key[1], *key[2]) in c for c in before[-1]['conns'])
    def outbound(self, i, o):
        server, local = i.ends()
        must((i.proto, server, local) in self.ever, 'no conn has that local endpoint')                     # RFC 4787 REQ-8: its server only
        must(self.ever[(i.proto, server, local)] == o.ends()[::-1], 'to another client, or from another VIP')

    def error_translated(self, step, i, o):
        """RFC 5508 4: ICMP errors; the quoted packet is what its sender sent"""
        (at, i), (to, o) = i, o
        if i.proto != o.proto or not i.is_error() or not o.is_error() or i.l4[:2] != o.l4[:2] or o.src in OWN: return None
        q, r = i.quoted(), o.quoted()
        if q.proto not in PORTED or len(q.l4) < 4: return None
        one, other = q.ends()
        if (q.proto, other, one) in self.ever:                      # about a request: local -> server
            client, vip = self.ever[(q.proto, other, one)]
            must(r.ends() == (client, vip) and (o.src, o.dst) == (vip[0], client[0]), 'ends of an error about a request')   # RFC 5508 REQ-4, REQ-5
            must(i.dst == one[0], 'it came to another address')
        elif (q.proto, other, one) in self.conns or self.scheduled(step, q.proto, other, one, r, o):   # about a reply: VIP -> client
            local, server = self.conns[(q.proto, other, one)]
            must(r.ends() == (server, local) and (o.src, o.dst) == (local[0], server[0]), 'ends of an error about a reply')
        else: return None
        self.same_header(i, o)
        must(i.l4[4:8] == o.l4[4:8] and q.rest() == r.rest() or q.proto == SCTP and q.l4[4:] == r.l4[4:], 'MTU or quoted bytes')
        for field in ('v', 'tos', 'ttl', 'id', 'proto', 'df', 'mf', 'off', 'length', 'flow', 'between'): must(getattr(q, field) == getattr(r, field), 'quoted ' + field)
        must(r.header_sum == q.header_sum, 'quoted header checksum')                                      # RFC 5508 REQ-4 b
        must(o.sum() == i.sum(), 'ICMP checksum')
        return 'errors translated'

    def scheduled(self, step, proto, client, vip, r, o):
        """with schedule_icmp the error itself made the conn"""
        server, local = r.ends()
        line = '%s %s:%d %s:%d -> %s:%d ' % ({TCP: 'TCP', UDP: 'UDP', SCTP: 'SCTP'}[proto], *client, *vip, *server)
        if not self.in_pool(o.src) or local[1] < 1024 or not any(c.startswith(line) for c in step['conns']): return False
        self.conns[(proto, client, vip)], self.ever[(proto, server, local)] = (local, server), (client, vip)
        return True

    def routed(self, step, i, o):
        (at, i), (to, o) = i, o
        if (i.src, i.dst) != (o.src, o.dst) or i.l4 != o.l4 or at == to: return None
        must(not self.in_pool(i.dst) and not self.in_pool(i.src), 'a packet of FullNAT went on as it was')
        self.same_header(i, o)
        return 'routed'

    def made(self, step, i, o):
        (at, i), (to, o) = i, o
        if o.dst != i.src or at != to: return None
        must(o.sum() == 0xffff, 'checksum of an own packet')
        if o.proto in (ICMP, ICMP6) and not o.is_error():            # RFC 792, RFC 4443 4.2
            must(i.kind() == ((8, 0) if i.proto == ICMP else (128, 0)) and o.kind() == ((0, 0) if o.proto == ICMP else (129, 0)), 'not an echo')
            must(o.src == i.dst and o.l4[4:] == i.l4[4:], 'echo of something else')
            return 'made'
        if o.proto == TCP:                                           # RFC 9293 3.10.7.1
            must(i.proto == TCP and o.ends() == i.ends()[::-1] and o.l4[13] & 4 and not i.l4[13] & 4, 'no RST about that')
            seq, ack = struct.unpack('!II', i.l4[4:12]); flags = i.l4[13]
            length = len(i.l4) - (i.l4[12] >> 4) * 4 + (flags & 1) + (flags >> 1 & 1)
            said = struct.unpack('!II', o.l4[4:12])
            must(said[0] == ack if flags & 16 else said[1] == (seq + length) & 0xffffffff and o.l4[13] & 16, 'numbers of the RST')
            return 'made'
        must(o.is_error() and not i.is_error(), 'an error about an error')                                 # RFC 1122 3.2.2, RFC 4443 2.4 e
        must(not i.off, 'an error about a later fragment')
        must(o.src in OWN or o.src == i.dst, 'the source is no address of the director')                  # RFC 1812 4.3.2.4, RFC 4443 2.2
        quote, sent = o.l4[8:], i.bytes
        # The packet as it came, or with the TTL that it would have had behind the director (the kernel does both).
        if i.v == 4 and quote[8] == i.ttl - 1: sent = sent[:8] + quote[8:9] + sent[9:10] + quote[10:12] + sent[12:]; must(Packet(quote).header_sum == 0xffff, 'quoted header checksum')
        elif i.v == 6 and quote[7] == i.ttl - 1: sent = sent[:7] + quote[7:8] + sent[8:]
        must(len(o.bytes) <= (576 if o.v == 4 else 1280), 'too long for an error')                        # RFC 1812 4.3.2.3, RFC 4443 2.4 c
        if i.parts:                                                    # of a reassembled packet, as if it had come whole
            q = Packet(quote)
            sent = quote + i.l4[len(q.l4):]
            must(q.ends() == i.ends() and i.l4.startswith(q.l4), 'what is quoted of a reassembled packet')
        must(quote == sent[:len(quote)] and (len(quote) == len(sent) or len(o.bytes) > (547 if o.v == 4 else 1231)), 'what is quoted')
        if o.kind() in TOO_BIG and (o.v == 4) == (o.kind() == (3, 4)):
            mtu = struct.unpack('!I', o.l4[4:8])[0]
            must(mtu == self.mtu['s' if at == 'c' else 'c'] and i.length > mtu and i.df, 'MTU %d' % mtu)   # RFC 1191 4, RFC 4443 3.2
        elif o.kind() in EXCEEDED and i.ttl <= 1: pass                                                     # RFC 792, RFC 4443 3.3
        else: must(o.kind() in (((3, 3), (3, 2)) if o.v == 4 else ((1, 4), (4, 1))), 'type %d code %d' % o.kind())   # RFC 1122 3.2.2.1, RFC 4443 3.1, 3.4
        return 'made'

    # -- as the kernel's NAT
    def as_nat(self, inputs, outputs):
        theirs = {}
        for n, frame in read(self.nat + '/out.pcap'): theirs.setdefault(n, []).append(frame)
        steps = {s['step']: s for s in (json.loads(l) for l in open(self.nat + '/steps.jsonl'))}
        for step in self.steps:
            n, kernel = step['step'], steps[step['step']]
            for at in 'cs':
                one, other = ([f for f in x.get(n, []) if side(f[6:12]) == at] for x in (theirs, outputs))
                one, other = ([self.without_local(at, f) for f in x] for x in (one, other))
                if one != other: self.differs(step, '%s side, %d frames of NAT and %d' % (at, len(one), len(other)))
            cut = lambda c: (c.rsplit(' ', 1)[0], int(c.rsplit(' ', 1)[1]))
            mine, nats = (sorted(map(cut, s['conns'])) for s in (step, kernel))
            if [m[0] for m in mine] != [k[0] for k in nats] or any(abs(m[1] - k[1]) > 1 for m, k in zip(mine, nats)): self.differs(step, 'conns %s of NAT, %s' % (nats, mine))
            # the kernel lists services in the order of its hash table
            order = sorted if self.services > 1 else list
            if order(list(s) for s in step['servers']) != order(kernel['servers']): self.differs(step, 'servers %s of NAT, %s' % (kernel['servers'], step['servers']))
    def without_local(self, at, f):
        """a frame but for what FullNAT changes, and for what no kernel does twice alike: the ids of its own packets"""
        p = Packet(f[14:])
        if p.off: return f[:14], p.proto, p.dst, p.l4, p.off, p.mf
        if p.v == 4 and p.fragment: return f[:14], p.ttl, p.dst, p.ports()[1], p.l4[8:], p.mf
        head = (p.ttl, p.tos, p.df, p.between, len(p.bytes), p.mf)
        if p.is_error():
            q = p.quoted()
            if at == 'c': return f[:14], head, p.src, p.dst, p.l4[:2] + p.l4[4:]
            # what came by from a router beyond has no address of its own in FullNAT, and the quoted packet has another end
            return f[:14], head, p.dst, p.l4[:2] + p.l4[4:8], q.rest() if q.proto != SCTP else q.l4[4:], q.ttl, q.length
        return f[:14], head, p.proto, p.dst, p.ports()[1], (p.src, p.ports()[0], p.l4) if at == 'c' else p.rest(), p.id if at == 's' and p.v == 4 and p.proto in PORTED else 0
    def differs(self, step, what):
        why = next((why for pattern, why in NOT_AS_NAT if re.search(pattern, self.folder + ' ' + step['what'])), None)
        if why: self.counts['not as NAT'] += 1
        else: self.faults.append('step %d (%s): not as NAT: %s' % (step['step'], step['what'], what))

def main(args):
    verbose, wrong, all_counts = '-v' in args, 0, Counter()
    for root in [a for a in args if a != '-v'] or [GOLDEN + '/fullnat']:
        for folder in sorted(d for d, _, files in os.walk(root) if 'steps.jsonl' in files):
            case = Case(folder)
            case.judge()
            all_counts += case.counts; all_counts['cases'] += 1; all_counts['unanswered'] += len(case.silent)
            if verbose or case.faults: print(os.path.relpath(folder, root) + ':', ', '.join('%d %s' % (n, k) for k, n in case.counts.items()))
            if verbose: [print('   no answer:', s) for s in case.silent]
            for fault in case.faults: print('  ', fault)
            wrong += bool(case.faults)
    print('fullnat: ' + ', '.join('%d %s' % (n, k) for k, n in all_counts.items()) + ', %d cases wrong' % wrong)
    return 1 if wrong or not all_counts['cases'] else 0
if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
