//! What the kernel's files say, as it was recorded (with other numbers), and what clients do to the director.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;

use ipvs_netlink::{
    Family, Flags, FlagsTold, ForwardMethod, RealServer, RealServerTold, Service, ServiceId, ServiceTold, Tunnel,
};
use tempfile::TempDir;

use super::client::{PENDING_BYTES_LOW, SILENCE_MS_MAX};
use super::*;
use crate::mock::{self, MockDirector};
use crate::show::Conn;

const TURNS_MAX: usize = 200_000;
/// No chunk of the mock's conns is longer.
const CHUNK_BYTES_MAX: usize = 256 * 80;

struct Bench {
    _dir: TempDir,
    proc_net: ProcSocket,
    director: MockDirector,
    now_ms: u64,
}

impl Bench {
    fn new(director: MockDirector) -> Bench {
        let dir = TempDir::new().unwrap();
        let proc_net = ProcSocket::bind(&RunDir::claim(dir.path()).unwrap(), None).unwrap();
        Bench { _dir: dir, proc_net, director, now_ms: 0 }
    }

    fn ask(&self, name: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.proc_net.path()).unwrap();
        stream.write_all(name.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn turn(&mut self) -> bool {
        let busy = self.proc_net.turn(&mut self.director, self.now_ms);
        for client in &self.proc_net.0.all {
            assert!(client.pending() <= PENDING_BYTES_LOW + CHUNK_BYTES_MAX, "{} bytes wait", client.pending());
        }
        busy
    }

    /// The whole text.
    fn read(&mut self, name: &str) -> String {
        let mut stream = self.ask(&format!("{name}\n"));
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = Vec::new();
        for _ in 0..TURNS_MAX {
            self.turn();
            let mut bytes = [0; 65536];
            match stream.read(&mut bytes) {
                Ok(0) => return String::from_utf8(text).unwrap(),
                // Hung up on before what was said was read.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return String::from_utf8(text).unwrap(),
                Ok(count) => text.extend_from_slice(&bytes[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        panic!("no end in {TURNS_MAX} turns");
    }
}

fn service(id: ServiceId, scheduler: &str, flags: Flags, timeout_s: u32, netmask: u32) -> Service {
    let told = ServiceTold {
        scheduler: Some(scheduler.into()),
        engine: None,
        flags: FlagsTold::all(flags),
        timeout_s,
        netmask,
    };
    Service { id, told, stats: Stats::default() }
}

fn endpoint(protocol: u8, address: &str) -> ServiceId {
    ServiceId::Endpoint { protocol, address: address.parse().unwrap() }
}

fn server(address: &str, method: ForwardMethod, weight: u32, active: u32, inactive: u32) -> RealServer {
    let told = RealServerTold { method, tunnel: Tunnel::Ipip, weight, upper_threshold: 0, lower_threshold: 0 };
    RealServer { address: address.parse().unwrap(), told, active, inactive, persistent: 0, stats: Stats::default() }
}

/// The services of the recording, cut.
fn recorded() -> MockDirector {
    use ForwardMethod::{Masquerade, Route, Tunnel};
    let ipvs = vec![
        (
            service(endpoint(6, "10.99.0.1:443"), "rr", Flags::PERSISTENT, 360, u32::MAX),
            vec![server("172.16.0.3:443", Tunnel, 1, 2, 1), server("172.16.0.2:443", Route, 1, 2, 1)],
        ),
        (
            service(endpoint(17, "10.99.0.1:5060"), "rr", Flags(5), 30, u32::MAX),
            vec![server("172.16.0.2:5060", Masquerade, 1, 0, 0)],
        ),
        (
            service(endpoint(17, "[fd99::1]:53"), "nq", Flags::HASHED, 0, 128),
            vec![server("[fd16::2]:53", Tunnel, 1, 0, 5)],
        ),
        (service(endpoint(17, "10.99.0.1:53"), "wrr", Flags::ONE_PACKET, 0, u32::MAX), vec![]),
        (service(endpoint(132, "10.99.0.1:9899"), "lc", Flags::HASHED, 0, u32::MAX), vec![]),
        (service(endpoint(6, "10.99.0.1:21"), "sh", Flags(0x19), 600, 0xffff_ff00), vec![]),
        (service(ServiceId::Mark { mark: 7, family: Family::V4 }, "mh", Flags(0x18), 0, u32::MAX), vec![]),
        (
            service(ServiceId::Mark { mark: 9, family: Family::V6 }, "dh", Flags::PERSISTENT, 300, 64),
            vec![server("[fd16::2]:0", Route, 65_535, 0, 0)],
        ),
    ];
    let stats = |conns, inbound_bytes| Stats {
        conns,
        inbound_packets: 65,
        outbound_packets: 8,
        inbound_bytes,
        outbound_bytes: 0x154,
        inbound_bytes_per_s: 0x14,
        ..Stats::default()
    };
    MockDirector { ipvs, totals: vec![stats(29, 0x1a63), stats(1, 1 << 40)], conns_count: 1, ..MockDirector::default() }
}

#[test]
fn services_as_the_kernel_lists_them() {
    let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A630001:01BB rr  persistent 90000 FFFFFFFF
  -> AC100003:01BB      Tunnel  1      2          1         \n  -> AC100002:01BB      Route   1      2          1         \n\
UDP  0A630001:13C4 rr ops  persistent 7500 FFFFFFFF
  -> AC100002:13C4      Masq    1      0          0         \n\
UDP  [fd99:0000:0000:0000:0000:0000:0000:0001]:0035 nq \n  \
-> [fd16:0000:0000:0000:0000:0000:0000:0002]:0035      Tunnel  1      0          5         \n\
UDP  0A630001:0035 wrr ops  \n\
SCTP  0A630001:26AB lc  \n\
TCP  0A630001:0015 sh  persistent 150000 FFFFFF00
FWM  00000007 mh \n\
FWM  00000009 dh persistent 75000 40000000
  -> [fd16:0000:0000:0000:0000:0000:0000:0002]:0000      Route   65535  0          0         \n";
    assert_eq!(Bench::new(recorded()).read("ip_vs"), expected);
}

#[test]
fn totals_as_the_kernel_prints_them() {
    let mut bench = Bench::new(recorded());
    let expected = "   Total Incoming Outgoing         Incoming         Outgoing
   Conns  Packets  Packets            Bytes            Bytes
      1E       82       10      10000001A63              2A8

 Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
       0        0        0               28                0
";
    assert_eq!(bench.read("ip_vs_stats"), expected);
    let expected = "       Total Incoming Outgoing         Incoming         Outgoing
CPU    Conns  Packets  Packets            Bytes            Bytes
  0       1D       41        8             1A63              154
  1        1       41        8      10000000000              154
  ~       1E       82       10      10000001A63              2A8

     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
           0        0        0               28                0
";
    assert_eq!(bench.read("ip_vs_stats_percpu"), expected);
}

#[test]
fn conns_as_the_kernel_lists_them() {
    let line = |kind: text::Conns, conn: &Conn| {
        let mut out = Vec::new();
        kind.put(conn, &mut out);
        String::from_utf8(out).unwrap()
    };
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let [four, six, ..] = &mock::conns()[..] else { unreachable!() };
    let four = Conn { client: address("10.1.2.3:30004"), vip: address("10.99.0.1:80"), expires_s: 871, ..four.clone() };
    let template = Conn { client: address("10.4.5.0:0"), state: "ASSURED".into(), expires_s: 5, ..four.clone() };
    let of_ftp = Conn { vip: address("10.99.0.1:21"), server: address("10.0.0.11:21"), ..template.clone() };
    let mixed = Conn { server: address("[fd16::6]:80"), ..four.clone() };
    let plain = text::Conns::Plain;
    let rows = [
        (plain, &four, "TCP 0A010203 7534 0A630001 0050 0A00000B 1F90 ESTABLISHED     871\n"),
        (plain, &template, "TCP 0A040500 0000 0A630001 0050 0A00000B 1F90 ASSURED           5\n"),
        (plain, &of_ftp, "TCP 0A040500 0000 0A630001 0000 0A00000B 0000 ASSURED           5\n"),
        (
            plain,
            &mixed,
            "TCP 0A010203 7534 0A630001 0050 fd16:0000:0000:0000:0000:0000:0000:0006 0050 ESTABLISHED     871\n",
        ),
        (
            plain,
            six,
            "UDP 2001:0db8:0000:0000:0000:0000:0000:00c1 9C41 2001:0db8:0000:0000:0000:0000:0000:0010 0035 \
             fd00:0000:0000:0000:0000:0000:0000:0011 0035 UDP             288\n",
        ),
        (text::Conns::WithOrigin, &four, "TCP 0A010203 7534 0A630001 0050 0A00000B 1F90 ESTABLISHED LOCAL      871\n"),
    ];
    for (kind, conn, expected) in rows {
        assert_eq!(line(kind, conn), expected);
    }
    let mut bench = Bench::new(recorded());
    let head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n";
    assert_eq!(bench.read("ip_vs_conn").strip_prefix(head).unwrap().lines().count(), 1);
    let head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n";
    assert_eq!(bench.read("ip_vs_conn_sync").strip_prefix(head).unwrap().lines().count(), 1);
}

#[test]
fn conns_stream_through_bounded_memory() {
    // Without optimisation a tenth has to do: the bound is the same.
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let mut bench = Bench::new(MockDirector { conns_count: count, ..MockDirector::default() });
    assert_eq!(bench.read("ip_vs_conn").lines().count() as u64, count + 1);
}

#[test]
fn a_name_may_come_in_pieces_and_what_is_no_name_is_hung_up_on() {
    let mut bench = Bench::new(recorded());
    let mut stream = bench.ask("ip_vs_");
    bench.turn();
    stream.write_all(b"stats\n").unwrap();
    bench.turn();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("   Total"), "{text}");
    for name in ["ip_vs_app\n", "\n", "../../etc/passwd\n", &"x".repeat(100), &"\0".repeat(100)] {
        let mut stream = bench.ask(name);
        bench.turn();
        bench.turn();
        assert!(bench.proc_net.0.all.is_empty(), "{name:?}");
        // Nothing, or a reset, where more was said than was read.
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        assert!(text.is_empty(), "{name:?}");
    }
}

#[test]
fn who_stops_reading_costs_little_and_is_dropped_in_time() {
    let mut bench = Bench::new(MockDirector { conns_count: u64::MAX, ..recorded() });
    let slow = bench.ask("ip_vs_conn\n");
    let silent = bench.ask("ip_vs");
    (0..1_000).for_each(|_| _ = bench.turn());
    let asked = bench.director.asked;
    (0..1_000).for_each(|_| _ = bench.turn());
    assert_eq!(bench.director.asked, asked, "nothing is made that nobody reads");
    assert!(bench.read("ip_vs_stats").ends_with('\n'));
    bench.now_ms = SILENCE_MS_MAX;
    bench.turn();
    assert_eq!(bench.proc_net.0.all.len(), 2, "in time, just");
    bench.now_ms += 1;
    bench.turn();
    assert!(bench.proc_net.0.all.is_empty());
    drop((slow, silent));
}

#[test]
fn a_director_that_is_not_ready_is_asked_again() {
    let mut bench = Bench::new(MockDirector { not_yet: 50, conns_count: 3, ..MockDirector::default() });
    let stream = bench.ask("ip_vs_conn\n");
    bench.turn();
    for turn in 2..=50 {
        assert!(!bench.turn(), "the control thread may sleep");
        assert_eq!(bench.director.asked, turn, "once a turn");
        bench.now_ms += SILENCE_MS_MAX;
    }
    bench.turn();
    bench.turn();
    assert!(bench.proc_net.0.all.is_empty(), "all is said");
    drop(stream);
}

#[test]
fn more_than_the_limit_are_hung_up_on() {
    let mut bench = Bench::new(recorded());
    let streams: Vec<_> = (0..CLIENTS_MAX).map(|_| bench.ask("ip_vs")).collect();
    bench.turn();
    assert_eq!(bench.read("ip_vs_stats"), "");
    drop(streams);
    bench.turn();
    assert!(bench.read("ip_vs_stats").ends_with('\n'));
}
