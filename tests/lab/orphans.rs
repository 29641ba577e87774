//! expire_nodest_conn: conns and templates of removed servers end by themselves, a moment after the removal. That they are those
//! of the kernel is recorded (`tests/golden/packets/removed`); here: what it costs a turn, and that nothing is counted wrong.

use crate::kit::Lab;
use crate::network::*;
use crate::services::spec_of;
use std::net::SocketAddr;
use uvs::pipeline::Reason;
use uvs::services::ServiceKey;
use uvs::services::book::ServerSpec;
use uvs::wire::tcp;

/// From a removal until all has ended, for so few conns.
const MOMENT_MS: u64 = 20;
const TRASH_MS: u64 = 120_000;
const SERVERS: [&str; 2] = ["10.0.0.11", "10.0.0.12"];

fn lab(workers: usize, ipvs: &str, rest: &str, method: &str) -> Lab {
    let workers: Vec<_> = (0..workers).collect();
    let config = network(&format!("conns_max = 30000\nworkers = {workers:?}")) + &format!("[ipvs]\n{ipvs}\n");
    let config = config + &service("tcp", "198.51.100.10:80", &format!("scheduler = \"rr\"\n{rest}"));
    Lab::new(&(config + &server("10.0.0.11:80", method) + &server("10.0.0.12:80", method)))
}

fn segment(client: u16, port: u16, flags: u8) -> Vec<u8> {
    V4.client_at(&format!("203.0.{}.{}", client >> 8, client & 255)).tcp((port, 80), (5, 9), flags, b"")
}

/// So many clients with a conn each, half of them on each server.
fn fill(lab: &mut Lab, clients: u16) {
    for client in 0..clients {
        lab.send(WAN, &segment(client, 1_000, tcp::SYN));
        lab.send(WAN, &segment(client, 1_000, tcp::ACK));
    }
    assert_eq!(lab.conns().len(), usize::from(clients));
}

fn listed(lab: &Lab, address: &str) -> Option<(ServiceKey, SocketAddr, ServerSpec)> {
    let (service, servers) = lab.control.book().list().next().unwrap();
    let found = servers.iter().find(|listed| listed.server.address == ip(address))?;
    Some((service.key, found.address(), spec_of(found)))
}

fn remove(lab: &mut Lab, address: &str) -> (ServiceKey, SocketAddr, ServerSpec) {
    let (key, address, spec) = listed(lab, address).unwrap();
    lab.control.delete_server(key, address).unwrap();
    (key, address, spec)
}

fn conns_of(lab: &Lab, address: &str) -> usize {
    lab.conns().iter().filter(|conn| conn.real_server().0 == ip(address)).count()
}

#[test]
fn conns_of_a_removed_server_end_by_themselves() {
    for workers in [1, 2, 4] {
        for method in ["nat", "dr", "tun", "fullnat"] {
            let mut lab = lab(workers, "expire_nodest_conn = 1", "", method);
            fill(&mut lab, 400);
            let [gone, stays] = SERVERS;
            let (key, address, spec) = remove(&mut lab, gone);
            lab.settle();
            assert_eq!(conns_of(&lab, gone), 200, "not at once");
            lab.advance(MOMENT_MS);
            assert_eq!((conns_of(&lab, gone), conns_of(&lab, stays)), (0, 200), "{workers} workers, {method}");
            lab.check_live();
            // Its clients start anew; all others go on.
            for client in 0..8 {
                one(&mut lab, WAN, &segment(client, 1_000, tcp::SYN), LAN);
            }
            assert_eq!((conns_of(&lab, gone), conns_of(&lab, stays)), (0, 204));
            assert_eq!(lab.dropped(Reason::ServerGone), 0);
            // Without conns it is remembered for its two minutes, and then its place is another's.
            lab.control.add_server(key, address, spec).unwrap();
            lab.settle();
            let shown = crate::show::services(&mut lab).services[0].servers[0].clone();
            assert_eq!((shown.traffic.conns, shown.active, shown.inactive), (200, 0, 0));
            let free = lab.control.book().free_servers();
            remove(&mut lab, gone);
            lab.advance_in_steps(TRASH_MS + 2_000, 1_000);
            assert_eq!(lab.control.book().free_servers(), free + 1);
        }
    }
}

/// Each setting, what is done, and how many conns of the first server are left.
#[test]
fn what_a_removal_ends() {
    type Act = fn(&mut Lab);
    let remove_first: Act = |lab| _ = remove(lab, SERVERS[0]);
    let back: Act = |lab| {
        let (key, address, spec) = remove(lab, SERVERS[0]);
        lab.control.add_server(key, address, spec).unwrap();
    };
    let both_one_back: Act = |lab| {
        let (key, address, spec) = remove(lab, SERVERS[0]);
        remove(lab, SERVERS[1]);
        lab.control.add_server(key, address, spec).unwrap();
    };
    let service: Act = |lab| {
        let (key, ..) = listed(lab, SERVERS[0]).unwrap();
        lab.control.delete_service(key).unwrap();
    };
    let quiesced: Act = |lab| {
        let (key, address, spec) = listed(lab, SERVERS[0]).unwrap();
        lab.control.edit_server(key, address, ServerSpec { weight: 0, ..spec }).unwrap();
    };
    let rows: [(&str, &str, Act, [usize; 2]); 6] = [
        ("removed, 0", "expire_nodest_conn = 0", remove_first, [20, 20]),
        ("removed", "expire_nodest_conn = 1", remove_first, [0, 20]),
        ("removed and back", "expire_nodest_conn = 1", back, [20, 20]),
        ("both removed, one back", "expire_nodest_conn = 1", both_one_back, [20, 0]),
        ("the service removed", "expire_nodest_conn = 1", service, [0, 0]),
        ("quiesced", "expire_nodest_conn = 1", quiesced, [20, 20]),
    ];
    for (what, ipvs, act, left) in rows {
        let mut lab = lab(2, ipvs, "", "nat");
        fill(&mut lab, 40);
        act(&mut lab);
        lab.advance(MOMENT_MS);
        assert_eq!(SERVERS.map(|server| conns_of(&lab, server)), left, "{what}");
        lab.check_live();
    }
}

/// Many conns, a turn at a time: each ends a few, and forwards what comes.
#[test]
fn a_turn_ends_a_few() {
    const ENDS_PER_TURN: usize = 16;
    let mut lab = lab(1, "expire_nodest_conn = 1", "", "nat");
    fill(&mut lab, 4_000);
    let [gone, stays] = SERVERS;
    remove(&mut lab, gone);
    lab.control.turn(lab.now());
    lab.now_ms += MOMENT_MS;
    lab.control.turn(lab.now());
    let goes_on = (0..4_000).find(|client| {
        let at = ip(&format!("203.0.{}.{}", client >> 8, client & 255));
        lab.conns().iter().any(|conn| conn.client().0 == at && conn.real_server().0 == ip(stays))
    });
    let goes_on = segment(goes_on.unwrap(), 1_000, tcp::ACK);
    let (mut left, mut turns) = (conns_of(&lab, gone), 0);
    while left > 0 {
        lab.cables[WAN].put(&goes_on);
        let now = lab.now();
        assert!(lab.workers[0].turn(now), "there is something to do");
        let now_left = conns_of(&lab, gone);
        assert!(left - now_left <= ENDS_PER_TURN, "{} ended in a turn", left - now_left);
        assert_eq!(lab.cables[LAN].take().len(), 1, "of each turn's frames");
        left = now_left;
        turns += 1;
        assert!(turns <= 2_000 / ENDS_PER_TURN + 4_000 / 256 + 1, "{left} left after {turns} turns");
    }
    assert_eq!(conns_of(&lab, stays), 2_000);
}

/// A removal while the last one's conns are still ending: the next walk begins where that one is.
#[test]
fn removals_in_a_row() {
    let mut lab = lab(1, "expire_nodest_conn = 1", "", "nat");
    fill(&mut lab, 2_000);
    for gone in SERVERS {
        remove(&mut lab, gone);
        lab.control.turn(lab.now());
        lab.now_ms += MOMENT_MS;
        for _ in 0..20 {
            let now = lab.now();
            lab.control.turn(now);
            lab.workers[0].turn(now);
        }
        assert!(!lab.conns().is_empty(), "still at it");
    }
    lab.settle();
    assert_eq!(lab.conns().len(), 0);
}

/// Templates of a removed server go when the conns have gone, those that nobody is sent by as well.
#[test]
fn templates_end_with_the_conns() {
    for workers in [1, 2] {
        let mut lab = lab(workers, "expire_nodest_conn = 1", "persistent = \"10m\"", "nat");
        fill(&mut lab, 300);
        // Some control no conn any more.
        for client in 0..30 {
            lab.send(WAN, &segment(client, 1_000, tcp::RST));
        }
        lab.advance_in_steps(11_000, 1_000);
        assert_eq!((lab.conns().len(), lab.control.shared().templates.len()), (270, 300));
        let (key, address, spec) = remove(&mut lab, SERVERS[0]);
        // Of a million places of templates 4096 are looked at in a turn of control's.
        lab.advance(5 * MOMENT_MS);
        assert_eq!((lab.conns().len(), lab.control.shared().templates.len()), (135, 150), "{workers} workers");
        lab.control.add_server(key, address, spec).unwrap();
        lab.settle();
        let persistent = |lab: &mut Lab| -> Vec<_> {
            crate::show::services(lab).services[0].servers.iter().map(|server| server.persistent).collect()
        };
        assert_eq!(persistent(&mut lab), [0, 150]);
        // A conn of each client that lost its template: rr again.
        for client in 0..300 {
            one(&mut lab, WAN, &segment(client, 1_001, tcp::SYN), LAN);
        }
        assert_eq!(persistent(&mut lab).iter().sum::<u32>(), 300);
    }
}
