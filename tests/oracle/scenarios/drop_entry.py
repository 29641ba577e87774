#!/usr/bin/python3
"""What drop_entry=3 ends and how soon: conns by the packets that they had, half-open ones, templates; counted every second, five
minutes in all. /out/drop_entry.jsonl: t, seconds since the setting; then by group (below) its conns, Nt its templates, No those of
them without conns. Found with 6.1.192 (2026-11-21), 300 of each: half-open conns go at 1/32 a second, and with them a template
that has no other conn and is not ASSURED; from the first idle minute on UDP and ESTABLISHED conns at 1/32 a second over the packets
that the client sent, of nine packets none; templates without conns at 1/32 if they are not ASSURED; no others."""
import collections, json, os, time
from oracle import *
N = 300
V = '10.99.0.1'
os.makedirs('/out', exist_ok=True)
out = open('/out/drop_entry.jsonl', 'w')
def client(group, i): return '10.%d.%d.%d' % (group, i >> 8, i & 255)
def count(d, seconds, t0):
    for _ in range(seconds):
        conns = d.conns(); seen = collections.Counter()
        with_conn = {(c['client'], c['vip']) for c in conns if c['cport']}
        for c in conns:
            g = int(c['client'].split('.')[1])
            seen['%d%s' % (g, '' if c['cport'] else 't')] += 1
            if not c['cport'] and (c['client'], c['vip']) not in with_conn: seen['%do' % g] += 1
        out.write(json.dumps(dict(t=round(time.monotonic() - t0, 2), **{k: seen[k] for k in sorted(seen)})) + '\n'); out.flush()
        time.sleep(max(0, 1 - (time.monotonic() - t0) % 1))
vs = 'net/ipv4/vs/'
d = Director(sysctls={vs + 'drop_entry': 0})
d.restore(['-A -u 10.99.0.1:53 -s rr', '-a -u 10.99.0.1:53 -r 172.16.0.2:53 -m', '-A -t 10.99.0.1:80 -s rr', '-a -t 10.99.0.1:80 -r 172.16.0.2:80 -m',
           '-A -t 10.99.0.1:81 -s rr -p 300', '-a -t 10.99.0.1:81 -r 172.16.0.2:81 -m',
           '-A -u 10.99.0.1:54 -s rr -p 300', '-a -u 10.99.0.1:54 -r 172.16.0.2:54 -m'])
t0 = time.monotonic()
for i in range(N):
    for n in (1, 2, 3, 4, 5, 6, 7, 8, 9):      # groups 1..9: UDP of n packets
        for _ in range(n): d.send_c(ip4(client(n, i), V, 17, udp(client(n, i), 1000, V, 53, b'x')))
    for n in (2, 4, 9):                        # groups 22, 24, 29: TCP, established, n packets of the client
        c = client(20 + n, i)
        d.send_c(ip4(c, V, 6, tcp(c, 1000, V, 80, SYN)))
        d.send_s(ip4('172.16.0.2', c, 6, tcp('172.16.0.2', 80, c, 1000, SYN | ACK)))
        for _ in range(n - 1): d.send_c(ip4(c, V, 6, tcp(c, 1000, V, 80, ACK)))
    c = client(30, i); d.send_c(ip4(c, V, 6, tcp(c, 1000, V, 80, SYN)))       # 30: SYN_RECV
    c = client(31, i); d.send_c(ip4(c, V, 6, tcp(c, 1000, V, 81, SYN)))       # 31: SYN_RECV, persistent
    c = client(32, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 54, b'x')))     # 32: UDP, persistent, never answered
    c = client(33, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 54, b'x'))); d.send_s(ip4('172.16.0.2', c, 17, udp('172.16.0.2', 54, c, 1000, b'x')))   # 33: answered
    # 34: one packet and eight answers; 35: one packet and five errors about answers
    c = client(34, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 53, b'x'))); [d.send_s(ip4('172.16.0.2', c, 17, udp('172.16.0.2', 53, c, 1000, b'x'))) for _ in range(8)]
    c = client(35, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 53, b'x')))
    for _ in range(3): d.send_c(ip4(c, V, 1, icmp4(3, 3, b'\0\0\0\0', ip4(V, c, 17, udp(V, 53, c, 1000, b'x'))[:28])))
    c = client(36, i); d.send_c(ip4(c, V, 6, tcp(c, 1000, V, 80, SYN))); d.send_c(ip4(c, V, 6, tcp(c, 1000, V, 80, FIN | ACK)))     # 36: FIN from SYN_RECV
    # 37: SYN_RECV of a template that was assured by another conn
    c = client(37, i)
    d.send_c(ip4(c, V, 6, tcp(c, 999, V, 81, SYN))); d.send_s(ip4('172.16.0.2', c, 6, tcp('172.16.0.2', 81, c, 999, SYN | ACK))); d.send_c(ip4(c, V, 6, tcp(c, 999, V, 81, ACK))); d.send_c(ip4(c, V, 6, tcp(c, 999, V, 81, RST)))
    d.drain()
print('made in %.1f s' % (time.monotonic() - t0), flush=True)
made = time.monotonic()
write('/proc/sys/' + vs + 'drop_entry', 3)
count(d, 20, made)
for i in range(N):     # 38: made while it works, so idle later
    c = client(38, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 53, b'x')))
d.drain()
count(d, 160, made)
d.close()
out.write('{"next": "templates without conns"}\n')
d = Director(sysctls={vs + 'drop_entry': 0})
d.restore(['-A -u 10.99.0.1:54 -s rr -p 300', '-a -u 10.99.0.1:54 -r 172.16.0.2:54 -m'])
sh('ipvsadm --set 0 0 3')
for i in range(N):
    c = client(40, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 54, b'x')))
    c = client(41, i); d.send_c(ip4(c, V, 17, udp(c, 1000, V, 54, b'x'))); d.send_s(ip4('172.16.0.2', c, 17, udp('172.16.0.2', 54, c, 1000, b'x')))
    d.drain()
made = time.monotonic()
count(d, 7, made)
write('/proc/sys/' + vs + 'drop_entry', 3)
count(d, 60, made)
d.close()
