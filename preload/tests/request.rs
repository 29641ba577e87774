//! What the library understands of netlink, with its own source: the library itself exports nothing but the calls it stands before.

#[path = "../src/request.rs"]
#[allow(dead_code)] // Each of the two sees only a part used.
mod source;

use proptest::prelude::*;

use crate::message::{ACK, CONTROLLER, DONE, DUMP, ERROR, FAMILY, MULTI, Message, REQUEST, attribute, genl};
use source::{Header, asks_for_ipvs};

/// Names and what they are worth, in the words of libnl (a string with its zero) and of clients that leave it out.
#[test]
fn who_asks_for_ipvs() {
    let named = |name: &[u8]| Message::request(CONTROLLER, 1, 3, &attribute(2, name)).bytes();
    let nested = attribute(2 | 0x8000, b"IPVS\0");
    let second = [attribute(1, &[0, 0]), attribute(2, b"IPVS\0")].concat();
    for (what, datagram, asks) in [
        ("as libnl asks", named(b"IPVS\0"), true),
        ("without the zero", named(b"IPVS"), true),
        ("another family", named(b"nl80211\0"), false),
        ("a longer name", named(b"IPVS2\0"), false),
        ("a shorter name", named(b"IPV\0"), false),
        ("the name is the second attribute", Message::request(CONTROLLER, 1, 3, &second).bytes(), true),
        ("with the nested bit", Message::request(CONTROLLER, 1, 3, &nested).bytes(), true),
        (
            "another command of the controller",
            Message::request(CONTROLLER, 1, 4, &attribute(2, b"IPVS\0")).bytes(),
            false,
        ),
        ("not the controller", Message::request(FAMILY, 1, 3, &attribute(2, b"IPVS\0")).bytes(), false),
        ("all families", Message::request(CONTROLLER, 1, 3, &[]).bytes(), false),
        ("nothing", Vec::new(), false),
    ] {
        assert_eq!(asks_for_ipvs(&datagram), asks, "{what}");
    }
    let whole = named(b"IPVS\0");
    for end in 0..whole.len() - 4 {
        assert!(!asks_for_ipvs(&whole[..end]), "the first {end} bytes");
    }
}

#[test]
fn what_ends_an_answer() {
    let ack = Message { flags: REQUEST | ACK, ..Message::family("IPVS", 7) };
    let plain = Message { flags: REQUEST, ..ack.clone() };
    let dump = Message { flags: REQUEST | DUMP, ..ack.clone() };
    let reply = Message { flags: 0, ..ack.clone() };
    let part = Message { flags: MULTI, ..ack.clone() };
    let error = Message { kind: ERROR, flags: 0, body: vec![0; 20], ..ack.clone() };
    let done = Message { kind: DONE, flags: MULTI, body: vec![0; 4], ..ack.clone() };
    let others = Message { sequence: 6, ..error.clone() };
    for (what, request, datagram, ends) in [
        ("an acknowledgement", &ack, error.bytes(), true),
        ("a reply that an acknowledgement will follow", &ack, reply.bytes(), false),
        ("both in one", &ack, [reply.bytes(), error.bytes()].concat(), true),
        ("a reply without one", &plain, reply.bytes(), true),
        ("a part", &dump, part.bytes(), false),
        ("parts and the end", &dump, [part.bytes(), part.bytes(), done.bytes()].concat(), true),
        ("a dump's error", &dump, error.bytes(), true),
        ("another request's", &ack, others.bytes(), false),
    ] {
        assert_eq!(Header::of(&request.bytes()).unwrap().is_answered_by(&datagram), ends, "{what}");
    }
}

#[test]
fn a_refusal_is_an_error_for_the_request() {
    let request = Message { port: 4711, ..Message::request(FAMILY, 7, 15, &[]) };
    let refused = Message::of(&Header::of(&request.bytes()).unwrap().refused(16));
    assert_eq!((refused.error(), refused.sequence, refused.port), (Some(16), 7, 4711));
    assert_eq!(refused.body[4..], request.bytes()[..16], "the request's header");
}

proptest! {
    /// No bytes make it panic, or look for ever.
    #[test]
    fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in any::<u8>()) {
        // Lengths that are small are the ones that lead on.
        let small: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| if at % 2 == 1 { 0 } else { byte % 40 }).collect();
        for bytes in [bytes, small.clone(), [Message::family("IPVS", 0).bytes(), small].concat()] {
            asks_for_ipvs(&bytes);
            asks_for_ipvs(&Message::request(CONTROLLER, 1, 3, &bytes).bytes());
            if let Some(header) = Header::of(&bytes) {
                header.is_answered_by(&bytes);
                header.is_answered_by(&[&Message { kind: kind.into(), flags: 0, sequence: 0, port: 0, body: genl(1, &[]) }.bytes(), &*bytes].concat());
                prop_assert_eq!(Header::from_halves(header.halves()), header);
            }
        }
    }
}
