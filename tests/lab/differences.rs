//! Laws of applying another configuration: whatever a director ran with before, and whatever tools made of it meanwhile, it ends
//! up as one that was started with the last file, but for the order of real servers, which is the kernel's, and for what no file
//! named, which stays.

use crate::kit::port_mac;
use crate::network::*;
use conntrack::Method;
use proptest::prelude::*;
use sched::{Settings, Thresholds};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use uvs::director::Control;
use uvs::pipeline::Now;
use uvs::services::ServiceKey;
use uvs::services::book::{Listed, ServerSpec, ServiceSpec};

fn parse(text: &str) -> config::Config {
    config::parse(text, "new.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// What a generated file says of one service: scheduler, persistence, servers with weights.
type Said = (usize, bool, BTreeMap<u8, (u32, bool)>);

const SCHEDULERS: [&str; 6] = ["rr", "wrr", "wlc", "sh", "mh", "lblcr"];

/// The services of a file, by number. Servers are in the order of their last byte, or backwards.
fn text_of(services: &BTreeMap<u8, Said>, backwards: bool) -> String {
    let mut text = network("conns_max = 100\nservers_max = 4096");
    for (number, (scheduler, persistent, servers)) in services {
        let persistent = if *persistent { "persistent = \"2m\"" } else { "" };
        let rest = format!("scheduler = \"{}\"\n{persistent}", SCHEDULERS[*scheduler]);
        text += &service("tcp", &format!("198.51.100.{number}:80"), &rest);
        for (byte, (weight, nat)) in in_order(servers, backwards) {
            text += &server(&format!("10.0.0.{byte}:80"), if *nat { "nat" } else { "dr" });
            text += &format!("weight = {weight}\n");
        }
    }
    text
}

fn in_order<K, V>(map: &BTreeMap<K, V>, backwards: bool) -> Vec<(&K, &V)> {
    let mut items: Vec<_> = map.iter().collect();
    if backwards {
        items.reverse();
    }
    items
}

fn any_services() -> impl Strategy<Value = BTreeMap<u8, Said>> {
    let servers = prop::collection::btree_map(11u8..17, (0u32..4, any::<bool>()), 0..6);
    prop::collection::btree_map(10u8..15, (0..SCHEDULERS.len(), any::<bool>(), servers), 0..5)
}

fn control(text: &str) -> Control {
    let macs = [port_mac(0).0, port_mac(1).0];
    Control::new(parse(text), &macs, 1, Now::from_ms(1_000)).unwrap().0
}

/// Everything that was said about the services and their servers, these sorted.
fn said(control: &Control) -> Vec<String> {
    let service = |(service, servers): (&uvs::services::Service, &[uvs::services::book::Listed])| {
        let mut lines: Vec<_> = servers
            .iter()
            .map(|listed| {
                format!(
                    "{} {:?} {} {:?} {}",
                    listed.address(),
                    listed.server.method,
                    listed.server.weight,
                    listed.thresholds,
                    listed.server.next_hop.is_some()
                )
            })
            .collect();
        lines.sort();
        let (key, settings, persistence) = (service.key, service.settings, service.persistence);
        format!("{key:?} {} {settings:?} {persistence:?} {} {lines:?}", service.scheduler, service.one_packet)
    };
    control.book().list().map(service).collect()
}

fn orders(control: &Control) -> HashMap<ServiceKey, Vec<SocketAddr>> {
    control
        .book()
        .list()
        .map(|(service, listed)| (service.key, listed.iter().map(|listed| listed.address()).collect()))
        .collect()
}

/// What a tool does to a director that runs. Any of it may be refused.
#[derive(Debug, Clone)]
enum ToolEdit {
    AddService(u8),
    DeleteService(u8),
    EditService(u8, usize),
    PutServer(u8, u8, u32),
    DeleteServer(u8, u8),
    Policy,
}

fn any_tool_edit() -> impl Strategy<Value = ToolEdit> {
    // Some of these numbers are in no file.
    let (service, server) = (10u8..18, 11u8..20);
    prop_oneof![
        service.clone().prop_map(ToolEdit::AddService),
        service.clone().prop_map(ToolEdit::DeleteService),
        (service.clone(), 0..SCHEDULERS.len())
            .prop_map(|(service, scheduler)| ToolEdit::EditService(service, scheduler)),
        (service.clone(), server.clone(), 0u32..4)
            .prop_map(|(service, server, weight)| ToolEdit::PutServer(service, server, weight)),
        (service, server).prop_map(|(service, server)| ToolEdit::DeleteServer(service, server)),
        Just(ToolEdit::Policy),
    ]
}

fn key(number: u8) -> ServiceKey {
    ServiceKey::Endpoint { protocol: 6, vip: ip(&format!("198.51.100.{number}")), port: 80 }
}

fn address(byte: u8) -> SocketAddr {
    format!("10.0.0.{byte}:80").parse().unwrap()
}

fn edit(control: &mut Control, edit: &ToolEdit) {
    let spec = |scheduler: usize| ServiceSpec {
        scheduler: SCHEDULERS[scheduler].parse().unwrap(),
        settings: Settings::default(),
        persistence: None,
        one_packet: false,
        steer: Default::default(),
    };
    let server = |weight| ServerSpec {
        method: Method::Nat,
        weight,
        thresholds: Thresholds::default(),
        tunnel: Default::default(),
        next_hop: None,
    };
    let _ = match *edit {
        ToolEdit::AddService(number) => control.add_service(key(number), spec(0)),
        ToolEdit::DeleteService(number) => control.delete_service(key(number)),
        ToolEdit::EditService(number, scheduler) => control.edit_service(key(number), spec(scheduler)),
        ToolEdit::PutServer(number, byte, weight) => control
            .edit_server(key(number), address(byte), server(weight))
            .or_else(|_| control.add_server(key(number), address(byte), server(weight))),
        ToolEdit::DeleteServer(number, byte) => control.delete_server(key(number), address(byte)),
        ToolEdit::Policy => {
            control.set_marks(Vec::new());
            Ok(())
        }
    };
}

/// Every server with its service and what was said of it.
fn servers(control: &Control) -> BTreeMap<(ServiceKey, SocketAddr), String> {
    let servers =
        control.book().list().flat_map(|(service, listed)| listed.iter().map(move |listed| (service.key, listed)));
    let said = |(key, listed): (ServiceKey, &Listed)| {
        let text = format!("{:?} {} {:?}", listed.server.method, listed.server.weight, listed.thresholds);
        ((key, listed.address()), text)
    };
    servers.map(said).collect()
}

/// Every service with what was said of it.
fn services(control: &Control) -> BTreeMap<ServiceKey, String> {
    control.book().list().map(|(service, _)| (service.key, format!("{:?}", service.spec()))).collect()
}

/// What the last file names is as it says. What is not its, nor was the last one's, is as it was.
fn check<K: Ord + std::fmt::Debug>(
    what: [BTreeMap<K, String>; 3],
    is_files: impl Fn(&K) -> bool,
) -> Result<(), TestCaseError> {
    let [mut before, new_file, after] = what;
    before.retain(|key, _| !is_files(key));
    // A tool's that the new file names is the file's from now on.
    before.extend(new_file);
    prop_assert_eq!(after, before);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever led there, the services are those of a director that was started with the last file; a server that stayed
    /// kept its place, and new ones came to the head one by one.
    #[test]
    fn a_difference_leads_where_a_start_does(files in prop::collection::vec((any_services(), any::<bool>()), 2..6)) {
        let mut running = control(&text_of(&files[0].0, files[0].1));
        for (services, backwards) in &files[1..] {
            let text = text_of(services, *backwards);
            let before = orders(&running);
            running.apply(parse(&text)).unwrap();
            running.publish();
            let fresh = control(&text);
            prop_assert_eq!(said(&running), said(&fresh));
            for (key, after) in orders(&fresh) {
                // A start adds one after the other too: `after` is the file's order backwards.
                let stayed: Vec<_> = before.get(&key).into_iter().flatten().filter(|address| after.contains(address)).collect();
                let new = after.iter().filter(|address| !stayed.contains(address));
                let expected: Vec<_> = new.chain(stayed.iter().copied()).copied().collect();
                prop_assert_eq!(&orders(&running)[&key], &expected);
            }
        }
    }

    #[test]
    fn whatever_tools_made_a_file_is_obeyed_and_the_rest_stays(
        files in prop::collection::vec((any_services(), prop::collection::vec(any_tool_edit(), 0..12)), 2..6),
    ) {
        let mut running = control(&text_of(&files[0].0, false));
        for pair in files.windows(2) {
            let [(old, edits), (new, _)] = pair else { unreachable!() };
            edits.iter().for_each(|tool| edit(&mut running, tool));
            let (old, new) = (text_of(old, false), text_of(new, false));
            let (old_file, new_file) = (control(&old), control(&new));
            let (services_before, servers_before) = (services(&running), servers(&running));
            running.apply(parse(&new)).unwrap();
            running.publish();
            let mut files = services(&old_file);
            files.extend(services(&new_file));
            check([services_before, services(&new_file), services(&running)], |key| files.contains_key(key))?;
            // With its service, every server is the file's.
            check([servers_before, servers(&new_file), servers(&running)], |(key, _)| files.contains_key(key))?;
            prop_assert_eq!(running.book().marks(), new_file.book().marks());
            // The same file again finds nothing to do.
            let again = running.apply(parse(&new)).unwrap();
            prop_assert!(again.difference.is_empty() && again.set_back.is_empty());
        }
    }
}
