#!/usr/bin/python3
"""What facts.py leaves of ipvsadm 1.31: every option of its manual page by both its names, each command at every kind of service, listings
in every combination, what people mistype, and the package's two scripts. No traffic: `tests/ipvsadm` runs it as it is."""
import json, os
from oracle import *
# The package's scripts ask for it and use nothing of its own.
if not os.path.exists('/bin/bash'): os.symlink('dash', '/bin/bash')
O = '/out/facts'; os.makedirs(O, exist_ok=True)
d = Director()
for m in 'rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf'.split(): modprobe('ip_vs_' + m)
LOG = []
def run(cmd, inp=None):
    r = sh(cmd, check=False, inp=inp)
    LOG.append(dict(cmd=cmd, rc=r.returncode, stdout=r.stdout, stderr=r.stderr, **({'stdin': inp} if inp else {})))
def commands(text):
    for line in text.strip().split('\n'):
        if line and not line.startswith('#'): run(line if line.startswith('ipvsadm-') else 'ipvsadm ' + line)
# The whole table.
def look(): commands('-S -n\n-Ln\n-Ln --thresholds\n-Ln --tun-info')
commands('''
# services, by long names
--add-service --tcp-service 10.99.1.1:80 --scheduler rr
--add-service --udp-service 10.99.1.1:53 --scheduler wrr --ops
--add-service --sctp-service 10.99.1.1:9899 --scheduler lc --persistent 100 --netmask 255.255.255.0
--add-service --fwmark-service 11 --scheduler wlc --persistent
--add-service --fwmark-service 11 --ipv6 --scheduler lblc
--add-service --tcp-service [fd99::11]:80 --scheduler mh --sched-flags mh-port,mh-fallback --persistent 60 --netmask 64
-A -t 10.99.1.2:80 -s lblcr
-A -t 10.99.1.3:80 -s dh
-A -t 10.99.1.4:80 -s sh --sched-flags sh-fallback
-A -t 10.99.1.5:80 -s mh -b mh-fallback
-A -t 10.99.1.6:80 -s sed
-A -t 10.99.1.7:80 -s nq
-A -t 10.99.1.8:80 -s fo
-A -t 10.99.1.9:80 -s ovf
-A -t 10.99.1.10:80
-A -u 10.99.1.11:0 -p
-A --sctp-service [fd99::11]:9899 -s rr
-A -u [fd99::11]:53 -s rr --ops
-A -f 12 -s rr -o
-A -f 12 -6 -s rr -o -p 10
-A -u 10.99.1.12:53 -s rr -o -p 10
-A -t 10.99.1.13:80 -s none
-A -t 10.99.1.14:080 -s rr
-A -t 10.99.1.15:http -s rr
-A -u 10.99.1.15:domain -s rr
# servers, by long names
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.1:8080 --masquerading --weight 5 --u-threshold 50 --l-threshold 10
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.2 --gatewaying --weight 0
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.3:80 --ipip
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.4 --ipip --tun-type ipip
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.5 --ipip --tun-type gue --tun-port 6080 --tun-nocsum
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.6 --ipip --tun-type gue --tun-port 6081 --tun-remcsum
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.7 --ipip --tun-type gre --tun-nocsum
--add-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.8 --ipip --tun-type gue --tun-port 65535 --tun-csum
--add-server --tcp-service 10.99.1.1:80 --real-server fd16::11 --ipip --tun-type gre --tun-csum
--add-server --udp-service 10.99.1.1:53 --real-server 172.16.1.1:5353 --masquerading --u-threshold 65535 --l-threshold 65535
--add-server --sctp-service 10.99.1.1:9899 --real-server 172.16.1.1 --weight 2147483647
--add-server --fwmark-service 11 --real-server 172.16.1.1 --masquerading
--add-server --fwmark-service 11 --ipv6 --real-server fd16::11 --gatewaying
-a -f 11 -r 172.16.1.2:8080 -m
-a -f 11 -r 172.16.1.3:8080 -i
-a -f 11 -6 -r 172.16.1.4 -i
-a -t [fd99::11]:80 -r [fd16::11]:8080 -m -x 4 -y 3
-a -t [fd99::11]:80 -r 172.16.1.1 -i --tun-type gue --tun-port 6080
-a --sctp-service [fd99::11]:9899 -r [fd16::11]:9898 -m
-a -u 10.99.1.11:0 -r 172.16.1.1 -m
-a -u 10.99.1.11 -r 172.16.1.2:53 -m
-a -t 10.99.1.15:http -r 172.16.1.1:http-alt -m
-a -t 10.99.1.2:80 -r 172.16.1.1:8080
-a -t 10.99.1.2:80 -r 172.16.1.2:8080 -i
''')
look()
commands('''
# a server is changed: its method, its tunnel, its thresholds, its weight
-e -t 10.99.1.1:80 -r 172.16.1.1:8080 -m -w 6
-e -t 10.99.1.1:80 -r 172.16.1.1:8080 -g
-e -t 10.99.1.1:80 -r 172.16.1.2 -m -w 3
-e -t 10.99.1.1:80 -r 172.16.1.3 -m -x 9
-e -t 10.99.1.1:80 -r 172.16.1.4 -g -x 9 -y 9
-e -t 10.99.1.1:80 -r 172.16.1.5 -i --tun-type gre
-e -t 10.99.1.1:80 -r 172.16.1.6 -i
-e -t 10.99.1.1:80 -r 172.16.1.7 -i --tun-type gue --tun-port 7
-e -t 10.99.1.1:80 -r 172.16.1.8 -x 1 -y 2
-e -t 10.99.1.1:80 -r 172.16.1.8
-e -t 10.99.1.1:80 -r fd16::11 -g
-e -t 10.99.1.1:80 -r fd16::11 -i -w 0
--edit-server --udp-service 10.99.1.1:53 --real-server 172.16.1.1:5353 --masquerading --weight 0
--edit-server --sctp-service 10.99.1.1:9899 --real-server 172.16.1.1 --masquerading
--edit-server --fwmark-service 11 --real-server 172.16.1.2:8080 --masquerading --weight 9
--edit-server --fwmark-service 11 --ipv6 --real-server fd16::11 --masquerading
-e -f 11 -r 172.16.1.2 -m
-e -f 11 -r 172.16.1.3:8080 -g
-e -t [fd99::11]:80 -r [fd16::11]:8080 -m -x 4 -y 4
''')
look()
commands('''
--edit-service --tcp-service 10.99.1.1:80 --scheduler sh --sched-flags sh-port --persistent 77 --netmask 255.255.0.0
-E -u 10.99.1.1:53 -s wrr
-E -u 10.99.1.12:53 -s rr -p 20
-E -u 10.99.1.12:53 -s rr -o
-E --sctp-service 10.99.1.1:9899 -s wrr -p
-E -f 11 -s mh -b mh-port
-E -f 11 -6 -s rr -p 5 -M 48
-E -t [fd99::11]:80 -s mh
-E -t [fd99::11]:80 -s mh -b mh-fallback -p 70
-E -u 10.99.1.11:0 -s rr
-E -u 10.99.1.11:0 -s rr -p 30
-E -t 10.99.1.4:80 -s mh
-E -t 10.99.1.5:80
-E -f 13
-E -f 12
''')
look()
commands('''
# listings, in every combination
-l
-ln
-l -n
--list --numeric
-ln --sort
-ln --nosort
-Ln --sort --nosort
-L --stats -n
-L --rate -n
-L -n --stats --exact
-Ln --stats --sort
-Ln --stats --nosort
-Ln --rate --exact --sort
-Ln --thresholds --exact
-Ln --thresholds --stats
-Ln --thresholds --persistent-conn
-Ln --persistent-conn --stats
-Ln --persistent-conn --exact
-Ln --tun-info --stats
-Ln --tun-info --thresholds
-L --thresholds
-L --persistent-conn
-L --tun-info
-L --timeout --stats
-L --timeout --exact
-L --timeout --sort
-L --timeout -c
-L --daemon --stats
-L --daemon -c
-L --connection
-L --connection --numeric --sort
-Lc --rate
-Lc --exact
-Lc --thresholds
-Lc --tun-info
-Lc --nosort
-Lc --timeout
-Lnc --persistent-conn --sort
-Ln --tcp-service 10.99.1.1:80
-Ln -t 10.99.1.1:80 --stats
-Ln -t 10.99.1.1:80 --thresholds
-Ln -t 10.99.1.1:80 --tun-info
-Ln -t 10.99.1.1:80 --persistent-conn
-Ln -t 10.99.1.1:80 --timeout
-Ln -t 10.99.1.1:80 --daemon
-Ln --udp-service 10.99.1.1:53
-Ln --sctp-service 10.99.1.1:9899
-L --sctp-service 10.99.1.1:9899
-Ln --fwmark-service 11
-Ln -f 11 --ipv6
-L -f 11 --ipv6 --stats
-Ln -u 10.99.1.1:80
-Ln -f 99
-Ln -t [fd99::11]:80 --thresholds
-Ln -t 10.99.1.1
-Ln -t
-Ln -t 10.99.1.1:80 -u 10.99.1.1:53
-Ln -f 11 -t 10.99.1.1:80
-Ln -s rr
-Ln -p
-Ln -o
-Ln -b sh-port
-Ln -M 255.0.0.0
-Ln -r 172.16.1.1
-Ln -w 3
-Ln -x 3
-Ln -m
-Ln -6
-Ln -L
-Ln -lc
-Ln 10.99.1.1:80
--save
--save --numeric
-S
-Sn
-S -n --sort
-S --exact
-S --stats
-S -c
ipvsadm-save
ipvsadm-save -n
--zero
-Z
-Z --tcp-service 10.99.1.1:80
-Z -u 10.99.1.1:53
-Z --sctp-service 10.99.1.1:9899
-Z -f 11
-Z -f 11 -6
-Z -t [fd99::11]:80
-Z -f 99
-Z -u 10.99.1.1:80
-Z -n
-Z -r 172.16.1.1
-Z -t
-Z 10.99.1.1:80
--set 1 2 3 4
--set 1 2 3 -n
--set 1 2 3
-L --timeout
--set 0 0 0
-Ln --timeout
--set 2678400 2678400 2678400
-L --timeout
--set 2147483 1 1
--set 0.5 1 1
--set 900 120 300
--set 900 120 300 -t 10.99.1.1:80
# what people mistype
-A -t
-A -t 10.99.2.1:80:80 -s rr
-A -t 10.99.2.1:80 -s
-A -t 10.99.2.1:80 -s ''
-A -t 10.99.2.1:80 -s RR
-A -t 10.99.2.1: -s rr
-A -t :80 -s rr
-A -t '' -s rr
-A -t [10.99.2.1]:80 -s rr
-A -t [fd99::21:80 -s rr
-A -t fd99::21]:80 -s rr
-A -t [fd99::21]:http -s rr
-A -t [fd99::22]:0 -s rr
-A -t [::]:80 -s rr
-A -t [ff02::1]:80 -s rr
-A -t 10.99.2.2:80 -s rr -p -5
-A -t 10.99.2.2:80 -s rr -p 1.5
-A -t 10.99.2.2:80 -s rr -p 10 -M 33
-A -t 10.99.2.3:80 -s rr -p 10 -M
-A -t 10.99.2.3:80 -s rr -p 10 -M 255.255.255.256
-A -t [fd99::23]:80 -s rr -p 10 -M fd99::
-A -t 10.99.2.4:80 -s rr -b
-A -t 10.99.2.4:80 -s rr -b ''
-A -t 10.99.2.5:80 -s sh -b sh-port, 
-A -t 10.99.2.6:80 -b sh-port
-A -t 10.99.2.7:80 -s rr -g
-A -t 10.99.2.7:80 -s rr -x 3
-A -t 10.99.2.7:80 -s rr --tun-type gue
-A -t 10.99.2.7:80 -s rr -n
-A -t 10.99.2.7:80 -s rr -c
-A -t 10.99.2.7:80 -s rr --stats
-A -t 10.99.2.7:80 -s rr extra
-A -t 10.99.2.7:80 -s rr -s wrr
-A -f -1 -s rr
-A -f 0x10 -s rr
-A -f 17 -t 10.99.2.7:80 -s rr
-A -f 18 -6 -s rr -M 24
-A -6 -f 19 -s rr
-A -r 10.99.2.7 -s rr
-a -t 10.99.1.3:80 -r
-a -t 10.99.1.3:80 -r 172.16.2.1:99999 -m
-a -t 10.99.1.3:80 -r 172.16.2.1: -m
-a -t 10.99.1.3:80 -r :80 -m
-a -t 10.99.1.3:80 -r 172.16.2.1 -w
-a -t 10.99.1.3:80 -r 172.16.2.1 -w ''
-a -t 10.99.1.3:80 -r 172.16.2.1 -w 1.5
-a -t 10.99.1.3:80 -r 172.16.2.2 -w 4294967296
-a -t 10.99.1.3:80 -r 172.16.2.3 -x 65536
-a -t 10.99.1.3:80 -r 172.16.2.4 -x abc
-a -t 10.99.1.3:80 -r 172.16.2.4 -y 65536
-a -t 10.99.1.3:80 -r 172.16.2.4 -y -1
-a -t 10.99.1.3:80 -r 172.16.2.5 -y 5
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-type
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-type GUE --tun-port 6080
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-type gue --tun-port 65536
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-type gue --tun-port x
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-port 6080
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-csum
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-type gue --tun-port 6080 --tun-csum --tun-remcsum
-a -t 10.99.1.3:80 -r 172.16.2.6 -i --tun-type gue --tun-port 6080 --tun-nocsum --tun-csum
-a -t 10.99.1.3:80 -r 172.16.2.6 -g --tun-type ipip
-a -t 10.99.1.3:80 -r 172.16.2.7 -s rr
-a -t 10.99.1.3:80 -r 172.16.2.7 -p 3
-a -t 10.99.1.3:80 -r 172.16.2.7 -o
-a -t 10.99.1.3:80 -r 172.16.2.7 -n
-a -t 10.99.1.3:80 -r 172.16.2.7 -r 172.16.2.8
-a -t 10.99.1.3:80 -r 172.16.2.7 extra
-a -t 10.99.1.3:80 172.16.2.7
-a -t [fd99::11]:80 -r [ff02::1]:80 -m
-a -t [fd99::11]:80 -r [::]:80 -m
-a -t [fd99::11]:80 -r [::1]:80 -m
-a -t [fd99::11]:80 -r [fe80::1]:80 -g
-a -f 99 -r 172.16.2.7
-a -f 11 -6 -r 172.16.2.7 -m
-e -t 10.99.1.3:80
-e -t 10.99.1.3:80 -r 172.16.2.99
-e -f 11 -r 172.16.2.99
-e -t 10.99.1.1:80 -r 172.16.1.1:8080 -m -p
-d -t 10.99.1.3:80
-d -r 172.16.2.2
-d -t 10.99.1.3:80 -r 172.16.2.99
-d -f 11 -r 172.16.2.99
-d -f 99 -r 172.16.2.99
-d -t 10.99.1.3:80 -r 172.16.2.2 -m
-E
-E -s rr
-E -t 10.99.1.3:80 -r 172.16.2.2
-E -t 10.99.1.3:80 -w 3
-E -u 10.99.1.3:80 -s rr
-E -t 10.99.1.3:80 -o
-D -t
-D -u 10.99.1.3:80
-D -t 10.99.1.3:80 -r 172.16.2.2
-D -t 10.99.1.3:80 -p
-D -f 11 -n
-C -n
-C extra
-C -f 11
-R -n
-R -t 10.99.1.3:80
-A -a -t 10.99.1.3:80
-L -S
-Z -C
''')
for alone in '-n', '-c', '--stats', '--timeout', '--daemon', '--exact', '-t 10.99.1.3:80', '-s rr', '-r 172.16.2.2', '-w 3': run('ipvsadm ' + alone)
commands('''
--start-daemon
--start-daemon master -t 10.99.1.3:80
--start-daemon backup --syncid abc --mcast-interface c1
--start-daemon master --mcast-interface averyveryveryverylongname
--start-daemon master --mcast-interface c1 --sync-maxlen 0
--start-daemon master --mcast-interface c1 --mcast-port 0
--start-daemon master --mcast-interface c1 --mcast-port 65536
--start-daemon master --mcast-interface c1 --mcast-ttl 0
--start-daemon master --mcast-interface c1 --mcast-ttl 256
--start-daemon master --mcast-interface c1 --mcast-group fd00::1
--start-daemon master --mcast-interface c1 --mcast-group x
--stop-daemon both
--stop-daemon backup
--stop-daemon master --syncid 3
--pe sip
-A -t 10.99.2.9:80 --pe
-A -t 10.99.0.1:83 --pe sip
-A -f 20 --pe averyveryverylongname -p
-L --pe sip
--help extra
-h -n
-v extra
''')
look()
commands('''
--delete-server --tcp-service 10.99.1.1:80 --real-server 172.16.1.1:8080
--delete-server --udp-service 10.99.1.1:53 --real-server 172.16.1.1:5353
--delete-server --sctp-service 10.99.1.1:9899 --real-server 172.16.1.1
--delete-server --fwmark-service 11 --real-server 172.16.1.1
--delete-server --fwmark-service 11 --ipv6 --real-server fd16::11
-d -t 10.99.1.1:80 -r [fd16::11]
-d -t 10.99.1.1:80 -r fd16::11
-d -f 11 -r 172.16.1.2
-d -f 11 -r 172.16.1.2:8080
-d -t [fd99::11]:80 -r [fd16::11]:8080
-d -t 10.99.1.2:80 -r 172.16.1.1:8080
-d -t 10.99.1.2:80 -r 172.16.1.2
--delete-service --udp-service 10.99.1.1:53
--delete-service --sctp-service 10.99.1.1:9899
--delete-service --fwmark-service 11
-D -f 11 -6
-D -f 11 -6
-D -t [fd99::11]:80
''')
look()
# Restored from what a person writes, and by the package's scripts.
run('ipvsadm --restore', '''ipvsadm -A -t 10.99.3.1:80 -s rr
ipvsadm -a -t 10.99.3.1:80 -r 172.16.3.1:80 -m -w 2
\t-A  -u\t10.99.3.1:53   -s "wrr"
--add-server --udp-service 10.99.3.1:53 --real-server '172.16.3.1:53' --masquerading
-E -t 10.99.3.1:80 -s wlc
-d -t 10.99.3.1:80 -r 172.16.3.9:80
-Z
-A -t 10.99.3.2:80 -s rr''')
run('ipvsadm -R', '-L -n\n')
run('ipvsadm -R', '-S -n\n-A -t 10.99.3.3:80 -s rr\n')
run('ipvsadm -R', '-R\n-A -t 10.99.3.4:80 -s rr\n')
run('ipvsadm -R', 'ipvsadm\n')
run('ipvsadm -R', '-A -t 10.99.3.5:80 -s "rr\n')
run('ipvsadm -R', '-C\n-A -t 10.99.3.6:80 -s rr -p\n-a -t 10.99.3.6:80 -r 172.16.3.1 -i --tun-type gre\n')
look()
run('rules=$(ipvsadm-save -n) && ipvsadm -C && echo "$rules" | ipvsadm-restore && ipvsadm-save -n')
run('ipvsadm-restore', '-A -t 10.99.3.6:80 -s rr\n-A -f 77 -s rr\n')
run('ipvsadm-restore -n', '-A -f 78 -s rr\n')
run('ipvsadm-save -x')
commands('--clear\n--clear\n-Ln\n-S\n')
with open(O + '/options.jsonl', 'w') as f:
    for fact in LOG: f.write(json.dumps(fact) + '\n')
d.close()
