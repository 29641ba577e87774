"""Drives IPVS by pyroute2, step by step, and prints what it is told. tests/ipvsadm/pyroute2.rs runs it with the preloaded library."""

from socket import AF_INET, AF_INET6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, ntohs

from pyroute2 import IPVS, IPVSDest, IPVSService, NetlinkError

ipvs = IPVS()


def service(**fields):
    return IPVSService(**fields)


def dest(addr, port, **fields):
    return IPVSDest(addr=addr, port=port, **fields)


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
        print("not refused")
    except NetlinkError as error:
        print("refused", error.code)


def field(record, prefix, names):
    return " ".join(f"{name.lower()}={record.get(prefix + name)}" for name in names)


def show():
    for message in ipvs.service("dump"):
        record = message.get("IPVS_CMD_ATTR_SERVICE")
        names = ["AF", "PROTOCOL", "ADDR", "PORT", "FWMARK", "SCHED_NAME", "TIMEOUT", "NETMASK"]
        print(field(record, "IPVS_SVC_ATTR_", names), f"flags={record.get('IPVS_SVC_ATTR_FLAGS')['flags']}")
        # Asked of the fields that name it, which it takes from what the director said.
        for message in ipvs.dest("dump", service=IPVSService.from_message(message)):
            record = message.get("IPVS_CMD_ATTR_DEST")
            names = ["ADDR", "PORT", "FWD_METHOD", "WEIGHT", "U_THRESH", "L_THRESH", "TUN_TYPE"]
            # It reads the tunnel's port in the machine's order, which is not how the kernel says it.
            tunnel_port = ntohs(record.get("IPVS_DEST_ATTR_TUN_PORT"))
            print(" ", field(record, "IPVS_DEST_ATTR_", names), f"tun_port={tunnel_port}")


print("found")
show()

print("added")
web = service(addr="192.0.2.10", port=80, protocol=IPPROTO_TCP, sched_name="wrr")
# The mask's length, where IPv4 has the mask.
dns = service(addr="2001:db8::10", port=53, protocol=IPPROTO_UDP, sched_name="rr", netmask="128.0.0.0")
marked = service(af=AF_INET, fwmark=5, netmask="255.255.255.0", sched_name="sh", timeout=60, flags={"flags": 1, "mask": 0xFFFF})
calls = service(addr="192.0.2.11", port=2905, protocol=IPPROTO_SCTP)
for each in (web, dns, marked, calls):
    ipvs.service("add", service=each)
ipvs.dest("add", service=web, dest=dest("10.0.0.11", 8080, fwd_method=0, weight=3, u_thresh=9, l_thresh=4))
ipvs.dest("add", service=web, dest=dest("10.0.0.12", 80, fwd_method=2, weight=2, tun_type=2))
ipvs.dest("add", service=dns, dest=dest("2001:db8:1::11", 53, weight=7))
ipvs.dest("add", service=calls, dest=dest("10.0.0.13", 2905, fwd_method=0))
show()

print("edited")
web = service(addr="192.0.2.10", port=80, protocol=IPPROTO_TCP, sched_name="wlc", timeout=300, flags={"flags": 1, "mask": 0xFFFF})
ipvs.service("set", service=web)
ipvs.dest("set", service=web, dest=dest("10.0.0.11", 8080, fwd_method=0, weight=0))
ipvs.dest("del", service=web, dest=dest("10.0.0.12", 80))
ipvs.service("del", service=calls)
show()

print("errors")
refused(ipvs.service, "add", service=web)
refused(ipvs.dest, "add", service=web, dest=dest("10.0.0.11", 8080))
refused(ipvs.dest, "del", service=web, dest=dest("10.0.0.99", 8080))
refused(ipvs.service, "del", service=calls)
refused(ipvs.dest, "add", service=calls, dest=dest("10.0.0.13", 2905))
refused(ipvs.service, "add", service=service(addr="192.0.2.12", port=80, protocol=IPPROTO_TCP, sched_name="none-such"))
refused(ipvs.service, "add", service=service(af=AF_INET6, fwmark=6, netmask="0.0.0.0"))
refused(ipvs.dest, "add", service=web, dest=dest("224.0.0.1", 80))
