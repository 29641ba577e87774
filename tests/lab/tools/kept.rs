//! What tools made is there when the director starts again, however it ended.

use super::{SECOND, address, base, control, masq, method, parse, persistent, table, tcp_at, told};
use crate::network::*;
use ipvs_netlink::{
    Edit, Family as Af, Flags, FlagsTold, ForwardMethod, Ipvs, RealServerTold, ServiceId, ServiceTold, Timeouts,
    Tunnel, requests,
};
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;
use uvs::director::Control;

/// A director that keeps what tools made in this folder.
fn kept(text: &str, folder: &TempDir) -> Control {
    let mut control = control(text);
    control.restore(folder.path());
    control
}

#[test]
fn what_tools_made_is_there_after_a_start() {
    let folder = TempDir::new().unwrap();
    let (web, tools) = (tcp_at("198.51.100.10:80"), tcp_at(SECOND));
    let mut control = kept(&base(), &folder);
    let as_the_file_says = table(&control);
    let edits = [
        Edit::AddService(tools, persistent(60, 0xffff_ff00)),
        Edit::AddServer(tools, address("10.0.0.12:80"), masq(1)),
        Edit::AddServer(tools, address("10.0.0.13:80"), method(ForwardMethod::Route)),
        Edit::AddServer(tools, address("10.0.0.14:80"), masq(4)),
        Edit::DeleteServer(tools, address("10.0.0.13:80")),
        Edit::EditServer(tools, address("10.0.0.12:80"), masq(5)),
        Edit::SetTimeouts(Timeouts { tcp: 1_000, tcp_fin: 0, udp: 0 }),
        // The file's: not kept.
        Edit::AddServer(web, address("10.0.0.19:80"), masq(1)),
    ];
    edits.iter().for_each(|edit| control.edit(edit).unwrap());
    let by_tools = table(&control)[1].clone();
    // Killed: nothing is written at the end.
    drop(control);
    let control = kept(&base(), &folder);
    assert_eq!(table(&control), [as_the_file_says[0].clone(), by_tools.clone()]);
    assert_eq!(control.timeouts().tcp, 1_000);
    // Again, from a file that was written anew; and with a file that names less.
    drop(control);
    let mut control = kept(&network("conns_max = 1000"), &folder);
    assert_eq!(table(&control), std::slice::from_ref(&by_tools));
    // What is the file's from a reload on does not come back when the file forgets it.
    let both = base() + &service("tcp", SECOND, "") + &server("10.0.0.12:80", "nat");
    control.apply(parse(&both)).unwrap();
    control.apply(parse(&base())).unwrap();
    drop(control);
    let mut control = kept(&base(), &folder);
    assert_eq!(table(&control), as_the_file_says);
    control.edit(&Edit::AddService(tools, told("rr"))).unwrap();
    control.edit(&Edit::Flush).unwrap();
    drop(control);
    assert_eq!(table(&kept(&base(), &folder)), as_the_file_says);
}

#[test]
fn half_a_request_at_the_end_is_not_read() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ipvs.saved");
    let mut control = kept(&base(), &folder);
    control.edit(&Edit::AddService(tcp_at(SECOND), told("rr"))).unwrap();
    control.edit(&Edit::AddServer(tcp_at(SECOND), address("10.0.0.12:80"), masq(1))).unwrap();
    let whole = fs::read(&file).unwrap();
    assert_eq!(requests(&whole).count(), 2);
    for length in [whole.len() - 1, whole.len() / 2, 3] {
        fs::write(&file, &whole[..length]).unwrap();
        let mut control = kept(&base(), &folder);
        let found = table(&control).len();
        assert_eq!(found, if length > whole.len() / 3 { 2 } else { 1 }, "{length} of {} bytes", whole.len());
        // What is added is behind what was read.
        control.edit(&Edit::AddService(tcp_at("198.51.100.12:80"), told("rr"))).unwrap();
        assert_eq!(table(&kept(&base(), &folder)).len(), found + 1);
    }
    fs::write(&file, vec![0xff; 10_000]).unwrap();
    assert_eq!(table(&kept(&base(), &folder)).len(), 1, "nonsense");
}

/// The file does not grow with the number of changes.
#[test]
fn the_file_is_as_long_as_what_it_makes() {
    let folder = TempDir::new().unwrap();
    let mut control = kept(&base(), &folder);
    control.edit(&Edit::AddService(tcp_at(SECOND), told("rr"))).unwrap();
    control.edit(&Edit::AddServer(tcp_at(SECOND), address("10.0.0.12:80"), masq(1))).unwrap();
    let mut longest = 0;
    for weight in 0..20_000 {
        control.edit(&Edit::EditServer(tcp_at(SECOND), address("10.0.0.12:80"), masq(weight))).unwrap();
        longest = longest.max(fs::metadata(folder.path().join("ipvs.saved")).unwrap().len());
    }
    assert!((1 << 20..3 << 20).contains(&longest), "{longest}");
    assert_eq!(table(&kept(&base(), &folder)), table(&control));
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let id = || {
        prop_oneof![
            (10..14u8).prop_map(|host| tcp_at(&format!("198.51.100.{host}:80"))),
            (1..3u32).prop_map(|mark| ServiceId::Mark { mark, family: Af::V4 }),
        ]
    };
    let rip = || (11..15u8).prop_map(|host| address(&format!("10.0.0.{host}:80")));
    let told = || {
        let scheduler = prop::sample::select(vec!["rr", "wlc", "sh", "mh", "none"]);
        (scheduler, 0..64u32, any::<u32>(), 1..9_999u32, any::<u32>()).prop_map(
            |(scheduler, flags, mask, timeout_s, netmask)| ServiceTold {
                flags: FlagsTold { flags: Flags(flags), mask },
                timeout_s,
                netmask,
                ..told(scheduler)
            },
        )
    };
    let server_told = || {
        let methods = vec![ForwardMethod::Masquerade, ForwardMethod::Tunnel, ForwardMethod::Route];
        let tunnels =
            vec![Tunnel::Ipip, Tunnel::Gre { csum: true }, Tunnel::Gue { port: 7, csum: true, remcsum: false }];
        (prop::sample::select(methods), prop::sample::select(tunnels), 0..9u32, 0..9u32).prop_map(
            |(method, tunnel, weight, upper_threshold)| RealServerTold {
                method,
                tunnel,
                upper_threshold,
                ..masq(weight)
            },
        )
    };
    prop_oneof![
        3 => (id(), told()).prop_map(|(id, told)| Edit::AddService(id, told)),
        1 => (id(), told()).prop_map(|(id, told)| Edit::EditService(id, told)),
        1 => id().prop_map(Edit::DeleteService),
        6 => (id(), rip(), server_told()).prop_map(|(id, rip, told)| Edit::AddServer(id, rip, told)),
        2 => (id(), rip(), server_told()).prop_map(|(id, rip, told)| Edit::EditServer(id, rip, told)),
        2 => (id(), rip()).prop_map(|(id, rip)| Edit::DeleteServer(id, rip)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever tools do, a director that starts again has their services as they were, in the same order.
    #[test]
    fn a_start_makes_again_what_any_edits_made(edits in prop::collection::vec(any_edit(), 0..40)) {
        let folder = TempDir::new().unwrap();
        let mut running = kept(&base(), &folder);
        for edit in &edits {
            let before = table(&running);
            if running.edit(edit).is_err() {
                prop_assert_eq!(table(&running), before, "a refused edit changes nothing");
            }
            running.publish();
        }
        let fresh = kept(&base(), &folder);
        let mut expected = table(&running);
        expected.retain(|(id, ..)| *id != tcp_at("198.51.100.10:80"));
        let mut found = table(&fresh);
        let of_file = found.iter().position(|(id, ..)| *id == tcp_at("198.51.100.10:80")).map(|at| found.remove(at));
        prop_assert_eq!(found, expected);
        prop_assert_eq!(of_file.unwrap(), table(&control(&base()))[0].clone());
    }
}
