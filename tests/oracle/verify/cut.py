#!/usr/bin/env python3
"""Keeps the beginning of a case, up to the first listing at or behind a step: cut.py CASE STEP FOLDER"""
import json, os, shutil, struct, sys

case, step, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
lines = open(case + '/steps.jsonl').read().splitlines()
last = next(e['step'] for e in map(json.loads, lines) if e['step'] >= step and 'conns' in e)
os.makedirs(folder, exist_ok=True)
shutil.copy(case + '/config.txt', folder)
with open(folder + '/steps.jsonl', 'w') as f:
    f.writelines(line + '\n' for line in lines if json.loads(line)['step'] <= last)
for name in ('/in.pcap', '/out.pcap'):
    data = open(case + name, 'rb').read()
    at = 24
    # a frame's time stamp is its step
    while at < len(data) and struct.unpack_from('<I', data, at)[0] <= last:
        at += 16 + struct.unpack_from('<I', data, at + 8)[0]
    open(folder + name, 'wb').write(data[:at])
