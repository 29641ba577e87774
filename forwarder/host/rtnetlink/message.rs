//! The kernel's bytes → what they tell of host interfaces. Whatever is malformed, about other interfaces, or not understood tells
//! nothing; nothing here fails.

use crate::neigh::HostRoute;
use crate::wire::Mac;
use hashbrown::HashMap;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_DUMP_INTR, NLM_F_REPLACE, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHopFlags, RouteType,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a message's header, and where its parts are (netlink(7)).
const HEADER_BYTES: usize = 16;
/// Numbers of the messages about links: these say so much that a library of today does not understand one of tomorrow, and all we
/// want is which link it is about.
const LINK_MESSAGES: [u16; 2] = [16, 17];

/// What one message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What changed.
    pub what: WhatChanged,
    /// The number of the request that it answers; 0: nobody asked.
    pub request: u32,
    /// Part of an answer during which something changed: it must be asked for again.
    pub interrupted: bool,
}

/// What changed, or is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhatChanged {
    /// An address is there, or gone.
    Address {
        /// The port of its interface.
        port: u16,
        /// With the prefix of its subnet.
        own: IpNet,
        /// It is there.
        there: bool,
    },
    /// A route is there, or gone.
    Route {
        /// The route.
        route: HostRoute,
        /// It is there.
        there: bool,
    },
    /// Routes to these destinations with this metric are no longer what they were.
    Replaced {
        /// The destinations.
        to: IpNet,
        /// The metric.
        metric: u32,
    },
    /// A neighbour is known, or no longer.
    Neighbor {
        /// The port of its interface.
        port: u16,
        /// Its address.
        address: IpAddr,
        /// Its MAC, and whether it is configured. None: not known, or not any more.
        known: Option<(Mac, bool)>,
    },
    /// A host interface came, went, or changed.
    Link,
    /// An answer is complete.
    Complete,
    /// A request was refused.
    Refused,
}

/// Everything that the messages in `bytes` tell of the interfaces, which are given with their ports.
pub fn read(mut bytes: &[u8], interfaces: &HashMap<u32, u16>, mut tell: impl FnMut(Told)) {
    while let Some(header) = bytes.first_chunk::<HEADER_BYTES>() {
        let [l0, l1, l2, l3, t0, t1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(message) = bytes.get(..length).filter(|message| message.len() >= HEADER_BYTES) else { return };
        let request = u32::from_ne_bytes([s0, s1, s2, s3]);
        let flags = u16::from_ne_bytes([f0, f1]);
        let interrupted = flags & NLM_F_DUMP_INTR != 0;
        let one = |what| Told { what, request, interrupted };
        if LINK_MESSAGES.contains(&u16::from_ne_bytes([t0, t1])) {
            if link_index(message).is_some_and(|index| interfaces.contains_key(&index)) {
                tell(one(WhatChanged::Link));
            }
        } else if let Ok(parsed) = NetlinkMessage::<Message>::deserialize(message) {
            let replaces = flags & NLM_F_REPLACE != 0;
            understand(parsed.payload, interfaces, replaces, &mut |what| tell(one(what)));
        }
        // Messages start at multiples of four.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn link_index(message: &[u8]) -> Option<u32> {
    // Family 1, padding 1, type 2, index 4.
    message.get(HEADER_BYTES + 4..)?.first_chunk().map(|index| u32::from_ne_bytes(*index))
}

fn understand(
    payload: NetlinkPayload<Message>,
    interfaces: &HashMap<u32, u16>,
    replaces: bool,
    tell: &mut dyn FnMut(WhatChanged),
) {
    match payload {
        NetlinkPayload::Done(_) => tell(WhatChanged::Complete),
        NetlinkPayload::Error(error) if error.code.is_some() => tell(WhatChanged::Refused),
        NetlinkPayload::InnerMessage(message) => match message {
            Message::NewAddress(message) => address(&message, interfaces, true).into_iter().for_each(tell),
            Message::DelAddress(message) => address(&message, interfaces, false).into_iter().for_each(tell),
            Message::NewRoute(message) => {
                let Some((to, metric)) = destination(&message) else { return };
                if replaces {
                    tell(WhatChanged::Replaced { to, metric });
                }
                route(&message, to, metric, interfaces, true).into_iter().for_each(tell);
            }
            Message::DelRoute(message) => {
                let Some((to, metric)) = destination(&message) else { return };
                route(&message, to, metric, interfaces, false).into_iter().for_each(tell);
            }
            Message::NewNeighbour(message) => neighbor(&message, interfaces, true).into_iter().for_each(tell),
            Message::DelNeighbour(message) => neighbor(&message, interfaces, false).into_iter().for_each(tell),
            _ => {}
        },
        _ => {}
    }
}

/// An address that is not yet known to be the host's alone (duplicate address detection) is not there yet.
fn address(message: &AddressMessage, interfaces: &HashMap<u32, u16>, there: bool) -> Option<WhatChanged> {
    let port = *interfaces.get(&message.header.index)?;
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
    // On IPv4 "address" is the other end of a point-to-point link, and "local" is ours.
    let local = find(|attribute| if let AddressAttribute::Local(own) = attribute { Some(*own) } else { None });
    let own = local
        .or_else(|| find(|attribute| if let AddressAttribute::Address(own) = attribute { Some(*own) } else { None }))?;
    let uncertain = AddressFlags::Tentative | AddressFlags::Dadfailed;
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let there = there && !flags.is_some_and(|flags| flags.intersects(uncertain));
    Some(WhatChanged::Address { port, own: IpNet::new(own, message.header.prefix_len).ok()?, there })
}

/// What routes of the main table are told apart by. None: another table's.
fn destination(message: &RouteMessage) -> Option<(IpNet, u32)> {
    let RouteMessage { header, attributes, .. } = message;
    let table = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    if table.unwrap_or(header.table.into()) != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    let everywhere = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let to = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip(address),
        _ => None,
    });
    let metric = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    let to = IpNet::new(to.unwrap_or(everywhere), header.destination_prefix_length).ok()?;
    Some((to.trunc(), metric.unwrap_or(0)))
}

/// A unicast route by a host interface; of several routers the first one that is alive. Link-local and group destinations lead nowhere else.
fn route(
    message: &RouteMessage,
    to: IpNet,
    metric: u32,
    interfaces: &HashMap<u32, u16>,
    there: bool,
) -> Option<WhatChanged> {
    let RouteMessage { header, attributes, .. } = message;
    let dead = header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    let scoped = to.addr().is_multicast() || matches!(to.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
    if header.kind != RouteType::Unicast || header.source_prefix_length != 0 || (dead && there) || scoped {
        return None;
    }
    let (mut index, mut gateway, mut other_family) = (None, None, false);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(router) => gateway = ip(router),
            RouteAttribute::Via(_) => other_family = true,
            RouteAttribute::MultiPath(hops) => {
                let down = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
                let alive =
                    |index: u32, flags: RouteNextHopFlags| interfaces.contains_key(&index) && !flags.intersects(down);
                let hop = hops.iter().find(|hop| alive(hop.interface_index, hop.flags))?;
                index = Some(hop.interface_index);
                gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(router) => ip(router),
                    _ => None,
                });
                other_family |= hop.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Via(_)));
            }
            _ => {}
        }
    }
    let port = *interfaces.get(&index?)?;
    let understood = !other_family && gateway.is_none_or(|router| router.is_ipv4() == to.addr().is_ipv4());
    understood.then_some(WhatChanged::Route { route: HostRoute { to, metric, port, gateway }, there })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn neighbor(message: &NeighbourMessage, interfaces: &HashMap<u32, u16>, there: bool) -> Option<WhatChanged> {
    let port = *interfaces.get(&message.header.ifindex)?;
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac),
        _ => None,
    });
    let mac = mac.filter(|mac| there && !mac.is_group() && *mac != Mac::ZERO);
    let known = match message.header.state {
        NeighbourState::Permanent => mac.map(|mac| (mac, true)),
        NeighbourState::Reachable => mac.map(|mac| (mac, false)),
        _ => None,
    };
    Some(WhatChanged::Neighbor { port, address, known })
}

/// The request for everything of a kind: the body is a family (any) and what the kernel takes for "no filter".
pub(super) fn request(what: Kind, number: u32) -> Vec<u8> {
    use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader};
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = number;
    let message = match what {
        Kind::Addresses => Message::GetAddress(AddressMessage::default()),
        Kind::Routes => Message::GetRoute(RouteMessage::default()),
        Kind::Neighbors => Message::GetNeighbour(NeighbourMessage::default()),
    };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Addresses,
    Routes,
    Neighbors,
}
