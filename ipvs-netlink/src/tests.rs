//! Rows: a request, and what must come back.

mod laws;

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::message::put_request;
use crate::mock::Mock;
use crate::request::*;
use crate::*;

/// Netlink's numbers, as a client knows them.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const MULTI: u16 = 2;
const DUMP: u16 = 0x300;
const CAPPED: u16 = 0x100;
const SEQUENCE: u32 = 77;
const PORT: u32 = 4_711;

/// A message of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Answer {
    /// The error that it tells; 0: it is done.
    fn errno(&self) -> Option<i32> {
        (self.kind == ERROR).then(|| i32::from_ne_bytes(self.body[..4].try_into().unwrap()))
    }
}

/// All packets that a datagram is answered with.
fn packets(mock: &mut Mock, rights: Rights, datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut session = Session::default();
    session.take(datagram);
    let mut packets = Vec::new();
    // Every message is twenty bytes at least, or the datagram ends; a list is as long as what is there.
    for _ in 0..2 * (datagram.len() / 16 + 2) * (mock.services.len() + 2) {
        match session.next_packet(mock, rights) {
            Some(packet) => {
                assert!(packet.len() <= PACKET_BYTES_MAX && packet.len() % 4 == 0, "{} bytes", packet.len());
                packets.extend((!packet.is_empty()).then_some(packet));
            }
            None => {
                assert!(session.is_idle());
                return packets;
            }
        }
    }
    panic!("no end of answers to {datagram:02x?}");
}

/// The messages of a packet.
fn messages(packet: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut rest = packet;
    while !rest.is_empty() {
        let number = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
        let half = |at: usize| u16::from_ne_bytes(rest[at..at + 2].try_into().unwrap());
        let length = number(0) as usize;
        assert_eq!((number(8), number(12)), (SEQUENCE, PORT), "the asker's numbers");
        answers.push(Answer { kind: half(4), flags: half(6), body: rest[16..length].to_vec() });
        rest = &rest[length.next_multiple_of(4)..];
    }
    answers
}

/// A request with more flags than an edit's.
fn request(kind: u16, command: u8, more_flags: u16, made: &Made) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_request(kind, SEQUENCE, command, made, &mut bytes);
    as_asked(bytes, more_flags)
}

fn as_asked(mut bytes: Vec<u8>, more_flags: u16) -> Vec<u8> {
    let flags = u16::from_ne_bytes([bytes[6], bytes[7]]) | more_flags;
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&PORT.to_ne_bytes());
    bytes
}

fn edit(edit: &Edit) -> Vec<u8> {
    let mut bytes = Vec::new();
    edit.put_request(SEQUENCE, &mut bytes);
    as_asked(bytes, 0)
}

/// The error a request ends with; none: it is done.
fn errno(mock: &mut Mock, bytes: &[u8]) -> Option<Errno> {
    let packets = packets(mock, Rights::Edit, bytes);
    let last = messages(packets.last().expect("an answer")).pop().unwrap();
    let error = last.errno().expect("an error or an ACK");
    (error != 0).then(|| Errno::from_raw_os_error(-error))
}

fn web() -> ServiceId {
    ServiceId::Endpoint { protocol: 6, address: "10.99.0.1:80".parse().unwrap() }
}

fn told() -> ServiceTold {
    let flags = FlagsTold::all(Flags::default());
    ServiceTold { scheduler: Some("wlc".into()), engine: None, flags, timeout_s: 0, netmask: u32::MAX }
}

fn server_told() -> RealServerTold {
    let (method, tunnel) = (ForwardMethod::Masquerade, Tunnel::Ipip);
    RealServerTold { method, tunnel, weight: 1, upper_threshold: 0, lower_threshold: 0 }
}

fn rip() -> SocketAddr {
    "172.16.0.2:8080".parse().unwrap()
}

/// One service with one server.
fn mock() -> Mock {
    let mut mock = Mock::default();
    mock.edit(&Edit::AddService(web(), told())).unwrap();
    mock.edit(&Edit::AddServer(web(), rip(), server_told())).unwrap();
    mock
}

/// Little-endian machines only: the bytes as they are on the socket.
#[cfg(target_endian = "little")]
#[test]
fn the_first_exchange_byte_by_byte() {
    let asked = as_asked(family::ask("IPVS", SEQUENCE), 0);
    let numbers = [77, 0, 0, 0, 0x67, 0x12, 0, 0];
    let want = [&[0x20, 0, 0, 0, 0x10, 0, 5, 0][..], &numbers, &[3, 1, 0, 0, 9, 0, 2, 0], b"IPVS\0\0\0\0"].concat();
    assert_eq!(&asked[4..], &want[4..]);
    let answers = packets(&mut mock(), Rights::Read, &asked);
    let body = [
        &[1, 2, 0, 0, 9, 0, 2, 0][..],
        b"IPVS\0\0\0\0",
        &[6, 0, 1, 0, 0x2f, 0, 0, 0, 8, 0, 3, 0, 1, 0, 0, 0, 8, 0, 4, 0, 0, 0, 0, 0, 8, 0, 5, 0, 6, 0, 0, 0],
    ]
    .concat();
    let reply = [&[64, 0, 0, 0, 0x10, 0, 0, 0][..], &numbers, &body].concat();
    let acknowledgement = [&[36, 0, 0, 0, 2, 0, 0, 1][..], &numbers, &[0; 4], &asked[..16]].concat();
    assert_eq!(answers, [reply, acknowledgement], "two packets: libnl would drop an ACK behind the reply");

    let answers = packets(&mut mock(), Rights::Read, &request(FAMILY_ID, GET_INFO, 0, &Made::default()));
    assert_eq!(answers[0][16..], [14, 1, 0, 0, 8, 0, 1, 0, 1, 2, 1, 0, 8, 0, 2, 0, 0, 0x10, 0, 0]);
}

#[test]
fn who_asks_for_what_there_is_not_is_told_why() {
    let service = |id: &ServiceId| Made::default().nest(SERVICE, id.put(Made::default()));
    let bad_family = Made::default().nest(SERVICE, Made::default().u16(1, 7));
    let other = ServiceId::Mark { mark: 9, family: Family::V6 };
    let unknown = FAMILY_ID + 1;
    let long = told();
    let rows: Vec<(&str, Vec<u8>, Option<Errno>)> = vec![
        ("another family", as_asked(family::ask("VDSO", SEQUENCE), 0), Some(Errno::NOENT)),
        ("a family's name that is too long", as_asked(family::ask(&"x".repeat(20), SEQUENCE), 0), Some(Errno::RANGE)),
        ("the controller's other commands", request(0x10, 7, 0, &Made::default()), Some(Errno::OPNOTSUPP)),
        ("a type that is nobody's", request(unknown, GET_INFO, 0, &Made::default()), Some(Errno::NOENT)),
        ("no command", request(FAMILY_ID, 0, 0, &Made::default()), Some(Errno::OPNOTSUPP)),
        ("a command that there is not", request(FAMILY_ID, 18, 0, &Made::default()), Some(Errno::OPNOTSUPP)),
        ("a reply", request(FAMILY_ID, SET_INFO, 0, &Made::default()), Some(Errno::OPNOTSUPP)),
        ("a list of what is no list", request(FAMILY_ID, FLUSH, DUMP, &Made::default()), Some(Errno::OPNOTSUPP)),
        ("what is only a list", request(FAMILY_ID, GET_DEST, 0, &service(&web())), Some(Errno::OPNOTSUPP)),
        ("no service", request(FAMILY_ID, NEW_SERVICE, 0, &Made::default()), Some(Errno::INVAL)),
        ("no family", request(FAMILY_ID, NEW_SERVICE, 0, &bad_family), Some(Errno::AFNOSUPPORT)),
        ("half a service", request(FAMILY_ID, NEW_SERVICE, 0, &service(&other)), Some(Errno::INVAL)),
        ("half a service is enough to name it", request(FAMILY_ID, GET_SERVICE, 0, &service(&web())), None),
        ("a missing service", request(FAMILY_ID, GET_SERVICE, 0, &service(&other)), Some(Errno::SRCH)),
        (
            "it, before what is wrong with its server",
            request(FAMILY_ID, NEW_DEST, 0, &service(&other)),
            Some(Errno::SRCH),
        ),
        ("no server", request(FAMILY_ID, NEW_DEST, 0, &service(&web())), Some(Errno::INVAL)),
        ("a service twice", edit(&Edit::AddService(web(), told())), Some(Errno::EXIST)),
        ("a server twice", edit(&Edit::AddServer(web(), rip(), server_told())), Some(Errno::EXIST)),
        ("a server that is not", edit(&Edit::DeleteServer(web(), "1.2.3.4:5".parse().unwrap())), Some(Errno::NOENT)),
        (
            "a scheduler's name that is too long",
            edit(&Edit::AddService(other, ServiceTold { scheduler: Some("x".repeat(16)), ..long })),
            Some(Errno::RANGE),
        ),
        ("no prefix", edit(&Edit::AddService(other, ServiceTold { netmask: 0, ..told() })), Some(Errno::INVAL)),
        (
            "a prefix too long",
            edit(&Edit::AddService(other, ServiceTold { netmask: 129, ..told() })),
            Some(Errno::INVAL),
        ),
        ("a daemon that does not run", edit(&Edit::StopDaemon(DaemonState::Master)), Some(Errno::SRCH)),
        (
            "a timeout that the kernel cannot count",
            edit(&Edit::SetTimeouts(Timeouts { tcp: 8_589_935, ..Timeouts::default() })),
            Some(Errno::INVAL),
        ),
        (
            "a negative timeout",
            edit(&Edit::SetTimeouts(Timeouts { udp: u32::MAX, ..Timeouts::default() })),
            Some(Errno::INVAL),
        ),
    ];
    for (name, bytes, error) in rows {
        let mut mock = mock();
        let before = mock.edits.len();
        assert_eq!(errno(&mut mock, &bytes), error, "{name}");
        assert_eq!(mock.edits.len(), before, "{name}: nothing was done");
    }
}

#[test]
fn a_real_server_is_refused_as_the_kernel_does() {
    let v6: SocketAddr = "[fd16::2]:80".parse().unwrap();
    let base = server_told();
    let tunnel = |tunnel| RealServerTold { method: ForwardMethod::Tunnel, tunnel, ..base };
    let rows = [
        ("a weight", rip(), RealServerTold { weight: 0, ..base }, None),
        ("the greatest", rip(), RealServerTold { weight: 0x7fff_ffff, ..base }, None),
        ("a negative one", rip(), RealServerTold { weight: 0x8000_0000, ..base }, Some(Errno::RANGE)),
        ("thresholds", rip(), RealServerTold { upper_threshold: 5, lower_threshold: 5, ..base }, None),
        ("crossed", rip(), RealServerTold { upper_threshold: 5, lower_threshold: 6, ..base }, Some(Errno::RANGE)),
        ("the other family", v6, base, Some(Errno::INVAL)),
        ("the other family in a tunnel", v6, tunnel(Tunnel::Ipip), None),
        ("GUE", rip(), tunnel(Tunnel::Gue { port: 6080, csum: true, remcsum: false }), None),
        ("GUE to nowhere", rip(), tunnel(Tunnel::Gue { port: 0, csum: true, remcsum: false }), Some(Errno::INVAL)),
    ];
    for (name, address, told, error) in rows {
        let mut mock = mock();
        mock.edit(&Edit::DeleteServer(web(), rip())).unwrap();
        assert_eq!(errno(&mut mock, &edit(&Edit::AddServer(web(), address, told))), error, "{name}");
    }
}

#[test]
fn a_refusal_carries_the_request_and_an_ack_its_header() {
    let bad = edit(&Edit::AddService(web(), told()));
    let answers = packets(&mut mock(), Rights::Edit, &bad);
    let [refusal] = &messages(&answers[0])[..] else { panic!("{answers:?}") };
    assert_eq!((refusal.flags, refusal.errno(), &refusal.body[4..]), (0, Some(-17), &bad[..]));
    let good = edit(&Edit::DeleteService(web()));
    let answers = packets(&mut mock(), Rights::Edit, &good);
    let [acknowledgement] = &messages(&answers[0])[..] else { panic!("{answers:?}") };
    assert_eq!(
        (acknowledgement.flags, acknowledgement.errno(), &acknowledgement.body[4..]),
        (CAPPED, Some(0), &good[..16])
    );
}

#[test]
fn readers_look_and_do_not_touch() {
    let mut mock = mock();
    let looks = [
        request(FAMILY_ID, GET_INFO, 0, &Made::default()),
        request(FAMILY_ID, GET_CONFIG, 0, &Made::default()),
        request(FAMILY_ID, GET_SERVICE, DUMP, &Made::default()),
        as_asked(family::ask("IPVS", SEQUENCE), 0),
    ];
    for look in looks {
        let answers = packets(&mut mock, Rights::Read, &look);
        assert_ne!(messages(&answers[0])[0].kind, ERROR, "{look:?}");
    }
    let before = mock.edits.len();
    for change in [Edit::Flush, Edit::Zero(None), Edit::DeleteService(web()), Edit::SetTimeouts(Timeouts::default())] {
        let answers = packets(&mut mock, Rights::Read, &edit(&change));
        assert_eq!(messages(&answers[0])[0].errno(), Some(-1), "{change:?}");
    }
    assert_eq!(mock.edits.len(), before);
}

#[test]
fn long_lists_come_in_parts() {
    let mut mock = Mock::default();
    for port in 1..=1_000 {
        let address = SocketAddr::new(IpAddr::from([10, 99, 0, 1]), port);
        mock.edit(&Edit::AddService(ServiceId::Endpoint { protocol: 17, address }, told())).unwrap();
    }
    let answers = packets(&mut mock, Rights::Read, &request(FAMILY_ID, GET_SERVICE, DUMP, &Made::default()));
    assert!(answers.len() > 20 && answers.iter().all(|packet| packet.len() < 9 * 1024), "{}", answers.len());
    let mut parts: Vec<_> = answers.iter().flat_map(|packet| messages(packet)).collect();
    assert_eq!(parts.pop(), Some(Answer { kind: DONE, flags: MULTI, body: vec![0; 4] }));
    assert!(parts.iter().all(|part| (part.kind, part.flags) == (FAMILY_ID, MULTI)));
    let ids: Vec<_> = parts
        .iter()
        .map(|part| ServiceId::read(&Attributes::new(&part.body[4..]).nest(SERVICE).unwrap()).unwrap())
        .collect();
    assert_eq!(ids, mock.services());

    let nobody = request(FAMILY_ID, GET_DEST, DUMP, &Made::default());
    let answers = packets(&mut mock, Rights::Read, &nobody);
    assert_eq!(answers.iter().flat_map(|packet| messages(packet)).count(), 1, "servers of no service: an empty list");
}

#[test]
fn what_goes_while_it_is_listed_is_left_out() {
    let mut mock = Mock::default();
    let id = |port| ServiceId::Endpoint { protocol: 17, address: SocketAddr::new([10, 99, 0, 1].into(), port) };
    (1..=100).for_each(|port| mock.edit(&Edit::AddService(id(port), told())).unwrap());
    let mut session = Session::default();
    session.take(&request(FAMILY_ID, GET_SERVICE, DUMP, &Made::default()));
    let mut count = 0;
    while let Some(packet) = session.next_packet(&mut mock, Rights::Read) {
        let parts = messages(&packet);
        count += parts.iter().filter(|part| part.kind == FAMILY_ID).count();
        let _ = mock.edit(&Edit::DeleteService(id(100)));
    }
    assert_eq!(count, 99);
}

#[test]
fn several_requests_of_one_datagram_are_done_in_turn() {
    let mut mock = mock();
    let datagram = [
        edit(&Edit::DeleteService(web())),
        edit(&Edit::DeleteService(web())),
        edit(&Edit::AddService(web(), told())),
        // Cut off: not looked at.
        edit(&Edit::Flush)[..18].to_vec(),
    ]
    .concat();
    let answers = packets(&mut mock, Rights::Edit, &datagram);
    let errors: Vec<_> = answers.iter().map(|packet| messages(packet)[0].errno().unwrap()).collect();
    assert_eq!(errors, [0, -3, 0]);
}

#[test]
fn what_asks_for_nothing_gets_nothing() {
    let mut mock = mock();
    let mut no_request = edit(&Edit::Flush);
    no_request[6] &= !1;
    let noop = request(1, 0, 0, &Made::default());
    let mut unacknowledged = edit(&Edit::Zero(None));
    unacknowledged[6] &= !4;
    for silent in [no_request, noop, unacknowledged, Vec::new(), vec![0; 64], vec![255; 64]] {
        assert!(packets(&mut mock, Rights::Edit, &silent).is_empty());
    }
    assert_eq!(mock.services.len(), 1);
}

#[test]
fn stats_are_told_twice() {
    let stats = Stats { conns: (7 << 32) + 5, inbound_bytes: 1 << 40, outbound_bytes_per_s: 9, ..Stats::default() };
    let (narrow, wide) = (stats.narrow(), stats.wide());
    let narrow = Attributes::new(narrow.bytes());
    let wide = Attributes::new(wide.bytes());
    assert_eq!((narrow.u32(1), narrow.get(1).map(<[u8]>::len)), (Ok(5), Some(4)), "the low 32 bits");
    assert_eq!((narrow.get(4), narrow.u32(10)), (Some(&(1u64 << 40).to_ne_bytes()[..]), Ok(9)));
    assert!((1..=10).all(|kind| wide.get(kind).is_some_and(|value| value.len() == 8)));
    assert_eq!(wide.get(1), Some(&((7u64 << 32) + 5).to_ne_bytes()[..]));
}
