//! What is wrong with fragments has its name; and whose an ICMP error about a fragment is.

use super::*;

/// Description, what goes in, whether the packet leaves all the same, drops by reason.
type Row = (&'static str, Vec<Vec<u8>>, bool, Vec<(Reason, u64)>);

/// What is wrong with fragments. In the end nothing waits any more.
#[test]
fn what_is_wrong_has_its_name() {
    for family in FAMILIES {
        let sent = datagram(family.client_sends(), (CPORT, 80), 2_000, 1);
        let good = pieces(&sent, &[800, 800], 1);
        let cut = |from: usize, to: usize, more| {
            let payload = &sent[14 + family.header_bytes..];
            piece(&sent, from, &payload[from..to], more, 1)
        };
        let v4 = family.name == "IPv4";
        let far = |offset, more| piece(&sent, offset, &[0x79; 80], more, 1);
        let rows: Vec<Row> = vec![
            ("twice", [&good[..], &good[..1]].concat(), true, vec![]),
            (
                "contained in what is there",
                vec![good[0].clone(), good[1].clone(), cut(720, 880, true), good[2].clone()],
                true,
                vec![(Reason::FragmentDuplicate, 1)],
            ),
            (
                "overlap behind",
                vec![good[0].clone(), cut(792, 1_600, true), good[2].clone()],
                false,
                vec![(Reason::FragmentOverlap, 2)],
            ),
            (
                "overlap before",
                vec![good[1].clone(), good[2].clone(), cut(0, 808, true)],
                false,
                vec![(Reason::FragmentOverlap, 3)],
            ),
            (
                "no multiple of eight",
                vec![cut(0, 801, true), good[0].clone(), good[1].clone(), good[2].clone()],
                true,
                vec![(Reason::BadFragment, 1)],
            ),
            (
                "empty",
                vec![good[0].clone(), cut(800, 800, true), good[1].clone(), good[2].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "beyond the longest packet",
                vec![good[0].clone(), far(65_520, false), good[1].clone(), good[2].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "two ends",
                vec![good[2].clone(), far(2_400, false), good[0].clone(), good[1].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "more behind the end",
                vec![good[2].clone(), far(2_400, true), good[0].clone(), good[1].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "an end before what is there",
                vec![far(2_400, true), good[2].clone(), good[0].clone(), good[1].clone()],
                false,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            ("the first is missing", good[1..].to_vec(), false, vec![]),
        ];
        for (what, frames, passes, drops) in rows {
            let mut lab = lab(family, "nat", family);
            let left = put_all(&mut lab, WAN, &frames);
            assert_eq!(!left.is_empty(), passes, "{} {what}: {:?}", family.name, shown(&left));
            if passes {
                assert_eq!(joined(&left).len(), sent.len(), "{} {what}", family.name);
            }
            for (reason, count) in drops {
                assert_eq!(lab.dropped(reason), count, "{} {what}", family.name);
            }
            lab.advance(61_000);
            assert_eq!(lab.control.counts(0).held, 0, "{} {what}", family.name);
        }
    }
}

/// Errors about fragments find their conn by the first one; about a later one, nobody can say whose it is.
#[test]
fn errors_about_fragments() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        one(&mut lab, WAN, &family.client_sends().udp(CPORT, 80, b""), LAN);
        let reply = Frame::between(family.vip, family.client).dont_fragment(false).udp(80, CPORT, &[1; 2_000]);
        let parts = pieces(&reply, &[1_200], 5);
        let (kind, code) = if family.name == "IPv4" { (11, 1) } else { (3, 1) };
        let left = one(&mut lab, WAN, &family.client_sends().icmp(kind, code, 0, &parts[0][14..214]), LAN);
        let quoted = &left[14 + family.header_bytes + 8..];
        let source = if family.name == "IPv4" { &quoted[12..16] } else { &quoted[8..24] };
        let rip: Vec<u8> = match ip(family.rip) {
            std::net::IpAddr::V4(rip) => rip.octets().to_vec(),
            std::net::IpAddr::V6(rip) => rip.octets().to_vec(),
        };
        assert_eq!(source, rip, "{}", family.name);
        nothing(&mut lab, WAN, &family.client_sends().icmp(kind, code, 0, &parts[1][14..214]));
        assert_eq!(lab.dropped(Reason::IcmpUnmatched), 1, "{}", family.name);
        // Nor is anything within fragments a fragment, or neighbour discovery (RFC 6980).
        if family.name == "IPv6" {
            let hidden =
                family.client_sends().packet(protocol::FRAGMENT, &[17, 0, 0, 1, 0, 0, 0, 9, 1, 1, 1, 1, 1, 1, 1, 1]);
            put_all(&mut lab, WAN, &pieces(&hidden, &[8], 6));
            let message = family.client_sends().icmp(136, 0, 0, &[0; 16]);
            put_all(&mut lab, WAN, &pieces(&message, &[16], 7));
            assert_eq!(lab.dropped(Reason::BadFragment), 2);
        }
    }
}
