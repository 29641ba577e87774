//! What the director shows, in the words of the recordings: conns as `/proc/net/ip_vs_conn` has them, servers with their counters.

use crate::kit::Lab;
use crate::recording::Shown;
use control::{ConnFilter, Cursor, Director, show};
use std::collections::HashMap;
use std::net::SocketAddr;
use uvs::director::Answering;

/// The kernel rounds down what was left at some moment; so do we, at another.
const SECONDS_OFF: u32 = 1;

/// A template that comes to its end and controls conns lives on for so long.
const REARM_S: u32 = 60;

/// Is this, but for a time-out that comes a little earlier or later, the same number of seconds left? Then one of the two may have
/// given a template another minute already: the kernel's timers are late by parts of a second.
pub fn is_as_long(conn: &str, one: u32, other: u32) -> bool {
    let off = one.abs_diff(other);
    // Templates are listed with the client's port 0.
    let is_template = conn.split(' ').nth(1).is_some_and(|client| client.ends_with(":0"));
    off <= SECONDS_OFF || is_template && off.abs_diff(REARM_S) <= SECONDS_OFF && one.min(other) <= SECONDS_OFF
}

/// Every conn and template: what it is, and its seconds left.
pub fn conns(lab: &mut Lab) -> Vec<(String, u32)> {
    let mut conns = Vec::new();
    let mut cursor = Some(Cursor::START);
    while let Some(from) = cursor {
        let chunk = {
            let ports = show::Ports::default;
            Answering { control: &mut lab.control, ports: &ports }.conns(&ConnFilter::default(), from, usize::MAX)
        };
        conns.extend(chunk.conns.iter().map(|conn| (words(conn), conn.expires_s)));
        cursor = chunk.next;
        lab.settle();
    }
    conns.sort();
    conns
}

/// The servers and their weights, in the kernel's order.
pub fn weights(lab: &mut Lab) -> Vec<(SocketAddr, u32)> {
    servers(lab).into_iter().map(|(address, weight, ..)| (address, weight)).collect()
}

/// How the director's conns and servers differ from what the kernel showed after a step.
pub fn faults(lab: &mut Lab, kernel: &Shown) -> Vec<String> {
    let Conns { mut faults, settled } = Conns::compare(lab, kernel);
    let mut expect: Vec<_> = kernel.servers.iter().map(|(address, ..)| crate::ipvsadm::endpoint(address)).collect();
    let mut found: Vec<_> = servers(lab);
    let mut kernel: Vec<_> = kernel
        .servers
        .iter()
        .zip(expect.drain(..))
        .map(|(said, address)| (address.ok(), said.1, said.2, said.3))
        .collect();
    let services = lab.control.book().list().filter(|(_, servers)| !servers.is_empty()).count();
    if services > 1 {
        // The kernel lists services in the order of its hash table.
        found.sort();
        kernel.sort();
    }
    let found: Vec<_> = found
        .into_iter()
        .map(|(address, weight, active, inactive)| (Some(address), weight, active, inactive))
        .collect();
    if settled && kernel != found {
        faults.push(format!("servers\n  expected {kernel:?}\n  found    {found:?}"));
    }
    faults
}

/// How the conns compare.
struct Conns {
    /// Those that only one of both has, and those whose seconds differ.
    faults: Vec<String>,
    /// No conn is so near its end that only one of both may have it, so the servers' counters can be compared.
    settled: bool,
}

impl Conns {
    fn compare(lab: &mut Lab, kernel: &Shown) -> Conns {
        // Of one client there may be several invalid templates, which the kernel lists alike.
        let mut own: HashMap<_, Vec<u32>> = HashMap::new();
        conns(lab).into_iter().for_each(|(conn, left)| own.entry(conn).or_default().push(left));
        // A conn whose time is over is counted until it is taken out, within a second.
        let counted: usize = lab.workers.iter().map(|worker| worker.shard().table.len()).sum();
        let mut compared = Conns { faults: Vec::new(), settled: counted == lab.conns().len() };
        for line in &kernel.conns {
            let Some((conn, left)) = line.rsplit_once(' ') else { continue };
            let left: u32 = left.parse().unwrap_or(0);
            let same = own.get_mut(conn).into_iter().flatten();
            let nearest = same.enumerate().min_by_key(|(_, own_left)| left.abs_diff(**own_left)).map(|(at, _)| at);
            match nearest.and_then(|at| Some(own.get_mut(conn)?.swap_remove(at))) {
                None => compared.only_one(left, || format!("conn missing: {line}")),
                Some(own_left) if is_as_long(conn, left, own_left) => {}
                Some(own_left) => {
                    compared.faults.push(format!("conn {conn}: expected {left} seconds left, found {own_left}"));
                }
            }
        }
        for (conn, left) in own.iter().flat_map(|(conn, all)| all.iter().map(move |left| (conn, *left))) {
            compared.only_one(left, || format!("conn more than expected: {conn} {left}"));
        }
        compared
    }

    fn only_one(&mut self, left: u32, fault: impl FnOnce() -> String) {
        if left < SECONDS_OFF { self.settled = false } else { self.faults.push(fault()) }
    }
}

/// Seconds that the recorder's clock was ahead of the lab's when this step's packets came. No recording has its clock; but conns
/// that a step does not touch tell it, for they have fewer seconds left.
pub fn seconds_late(lab: &mut Lab, kernel: &Shown) -> u64 {
    let kernel: HashMap<_, u32> = kernel
        .conns
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(conn, left)| Some((conn, left.parse().ok()?)))
        .collect();
    let late = |(conn, own_left): &(String, u32)| kernel.get(conn.as_str()).map(|left| own_left.saturating_sub(*left));
    conns(lab).iter().filter_map(late).max().unwrap_or(0).into()
}

/// The servers with their weights, active and inactive conns, in the kernel's order.
pub fn servers(lab: &Lab) -> Vec<(SocketAddr, u32, u32, u32)> {
    let live = &lab.control.shared().live;
    let listed = lab.control.book().list().flat_map(|(_, servers)| servers);
    listed
        .map(|listed| {
            let load = live.load(listed.server.id);
            (listed.address(), listed.server.weight, load.active, load.total - load.active)
        })
        .collect()
}

/// As the recordings write it: `TCP 10.1.2.3:20001 10.99.0.1:80 -> 172.16.0.2:8080 SYN_RECV`.
fn words(conn: &show::Conn) -> String {
    let protocol = format!("{:?}", conn.protocol).to_uppercase();
    let end = |end: SocketAddr| format!("{}:{}", end.ip(), end.port());
    format!("{protocol} {} {} -> {} {}", end(conn.client), end(conn.vip), end(conn.server), conn.state)
}
