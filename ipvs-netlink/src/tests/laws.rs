//! Laws: whatever comes in, nothing breaks, and what was made is understood again.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::{edit, mock, packets, request};
use crate::attribute::Made;
use crate::message::Message;
use crate::request::Dump;
use crate::*;

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn any_id() -> impl Strategy<Value = ServiceId> {
    prop_oneof![
        (any::<u8>(), any_address()).prop_map(|(protocol, address)| ServiceId::Endpoint { protocol, address }),
        (1..=u32::MAX, any_family()).prop_map(|(mark, family)| ServiceId::Mark { mark, family }),
    ]
}

fn any_told() -> impl Strategy<Value = ServiceTold> {
    let scheduler = proptest::option::of("[a-m]{1,15}");
    let engine = proptest::option::of("[a-z]{1,16}");
    (scheduler, engine, any::<(u32, u32, u32)>(), 1..=128u32).prop_map(|(scheduler, engine, numbers, netmask)| {
        let (flags, mask, timeout_s) = numbers;
        ServiceTold { scheduler, engine, flags: FlagsTold { flags: Flags(flags), mask }, timeout_s, netmask }
    })
}

fn any_server_told() -> impl Strategy<Value = RealServerTold> {
    let tunnel = prop_oneof![
        Just(Tunnel::Ipip),
        any::<bool>().prop_map(|csum| Tunnel::Gre { csum }),
        (1..=u16::MAX, any::<bool>(), any::<bool>()).prop_map(|(port, csum, remcsum)| Tunnel::Gue {
            port,
            csum,
            remcsum
        }),
    ];
    (tunnel, 0..=i32::MAX as u32, any::<(u32, u32)>()).prop_map(|(tunnel, weight, (one, other))| RealServerTold {
        method: ForwardMethod::Tunnel,
        tunnel,
        weight,
        upper_threshold: one.max(other),
        lower_threshold: one.min(other),
    })
}

fn any_daemon() -> impl Strategy<Value = Daemon> {
    let state = prop_oneof![Just(DaemonState::Master), Just(DaemonState::Backup)];
    let group = prop_oneof![Just("224.0.0.81"), Just("ff02::9")].prop_map(|text| text.parse().unwrap());
    (state, "[a-z0-9]{0,15}", any::<(u8, u16)>(), group, 1..=u16::MAX, 1..=u8::MAX).prop_map(
        |(state, interface, (sync_id, message_bytes_max), group, port, ttl)| Daemon {
            state,
            interface,
            sync_id,
            message_bytes_max,
            group,
            port,
            ttl,
        },
    )
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let timeout = || 0..=8_589_934u32;
    prop_oneof![
        (any_id(), any_told()).prop_map(|(id, told)| Edit::AddService(id, told)),
        (any_id(), any_told()).prop_map(|(id, told)| Edit::EditService(id, told)),
        any_id().prop_map(Edit::DeleteService),
        (any_id(), any_address(), any_server_told()).prop_map(|(id, rip, told)| Edit::AddServer(id, rip, told)),
        (any_id(), any_address(), any_server_told()).prop_map(|(id, rip, told)| Edit::EditServer(id, rip, told)),
        (any_id(), any_address()).prop_map(|(id, rip)| Edit::DeleteServer(id, rip)),
        (timeout(), timeout(), timeout()).prop_map(|(tcp, tcp_fin, udp)| Edit::SetTimeouts(Timeouts {
            tcp,
            tcp_fin,
            udp
        })),
        proptest::option::of(any_id()).prop_map(Edit::Zero),
        Just(Edit::Flush),
        any_daemon().prop_map(Edit::StartDaemon),
        Just(Edit::StopDaemon(DaemonState::Backup)),
    ]
}

/// Does this have a scheduler that would be read as none?
fn is_unambiguous(edit: &Edit) -> bool {
    match edit {
        Edit::AddService(_, told) | Edit::EditService(_, told) => told.scheduler.as_deref() != Some("none"),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_is_understood_again(edits in prop::collection::vec(any_edit().prop_filter("none", is_unambiguous), 0..5)) {
        let mut bytes = Vec::new();
        edits.iter().for_each(|edit| edit.put_request(0, &mut bytes));
        prop_assert_eq!(requests(&bytes).collect::<Vec<_>>(), edits);
    }

    #[test]
    fn noise_is_answered_or_not(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        packets(&mut mock(), Rights::Edit, &noise);
        requests(&noise).count();
    }

    /// What begins like a request goes deeper than noise.
    #[test]
    fn broken_requests_break_nothing(
        edits in prop::collection::vec(any_edit(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        dump: bool,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = edits.iter().flat_map(edit).collect();
        if dump {
            bytes[7] |= 3;
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        read_by_all(&bytes);
        let mut whole = bytes.clone();
        whole.resize(bytes.len().next_multiple_of(4), 0);
        // The length is right again, so that the attributes are looked at.
        let length = whole.len() as u32;
        whole[..4].copy_from_slice(&length.to_ne_bytes());
        read_by_all(&whole);
    }

    #[test]
    fn attributes_in_attributes_in_attributes_end(depth in 1..200usize, kind in 0..6u16) {
        let nested = (0..depth).fold(Made::default(), |made, _| Made::default().nest(kind, made));
        for command in 0..20 {
            packets(&mut mock(), Rights::Edit, &request(FAMILY_ID, command, 0, &nested));
        }
    }
}

/// Both ways to read it.
fn read_by_all(bytes: &[u8]) {
    packets(&mut mock(), Rights::Edit, bytes);
    requests(bytes).count();
    if let Some((message, _)) = Message::first(bytes) {
        let _ = message.generic().map(|(command, attributes)| (command, Dump::read(command, attributes)));
    }
}
