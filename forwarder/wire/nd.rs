//! Neighbour discovery (RFC 4861): solicitation and advertisement with their link-layer address option. It is ARP's
//! part in IPv6, carried in ICMPv6, with hop limit 255 so that no packet from behind a router can pretend.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::icmp::v6;
use super::{Ethernet, Ipv6, Mac, checksum, ethernet, protocol};

/// Flag of an advertisement: the sender is a router.
pub const ROUTER: u32 = 0x8000_0000;
/// Flag of an advertisement: it answers a solicitation.
pub const SOLICITED: u32 = 0x4000_0000;
/// Flag of an advertisement: replace what you know.
pub const OVERRIDE: u32 = 0x2000_0000;

/// Option: the sender's hardware address.
const SOURCE_LINK_LAYER: u8 = 1;
/// Option: the target's hardware address.
const TARGET_LINK_LAYER: u8 = 2;
/// RFC 4861, section 7.1: anything else has passed a router and is not believed.
const HOP_LIMIT: u8 = 255;

/// A neighbour solicitation or advertisement; options follow it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Neighbor {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    flags: U32,
    target: [u8; 16],
}

view!(Neighbor, 24);

impl Neighbor {
    /// [`v6::NEIGHBOR_SOLICITATION`] or [`v6::NEIGHBOR_ADVERTISEMENT`].
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The flags of an advertisement.
    pub fn flags(&self) -> u32 {
        self.flags.get()
    }

    /// The address that is asked for, or spoken of.
    pub fn target(&self) -> Ipv6Addr {
        self.target.into()
    }
}

/// A neighbour message that passed the checks of RFC 4861, sections 7.1.1 and 7.1.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// "Who has `target`?"
    Solicitation {
        /// Who asks; unspecified while it checks whether an address is free (RFC 4862).
        source: Ipv6Addr,
        /// The address it asks for.
        target: Ipv6Addr,
        /// The asker's hardware address.
        source_mac: Option<Mac>,
    },
    /// "`target` is at `target_mac`."
    Advertisement {
        /// The address that is spoken of.
        target: Ipv6Addr,
        /// Its hardware address.
        target_mac: Option<Mac>,
        /// [`ROUTER`], [`SOLICITED`], [`OVERRIDE`].
        flags: u32,
    },
}

/// The neighbour message in the IPv6 packet `l3`. None if it is another message or must not be believed.
pub fn parse(l3: &[u8]) -> Option<Message> {
    let ip = Ipv6::of(l3)?;
    let l3 = l3.get(..ip.total_bytes())?;
    let body = &l3[Ipv6::BYTES..];
    let message = Neighbor::of(body)?;
    let right = ip.next_header() == protocol::ICMPV6
        && ip.hop_limit() == HOP_LIMIT
        && message.code == 0
        && !message.target().is_multicast()
        && checksum::transport_is_right(l3, Ipv6::BYTES, protocol::ICMPV6);
    if !right {
        return None;
    }
    let options = &body[Neighbor::BYTES..];
    let (source, target) = (ip.source(), message.target());
    match message.kind {
        v6::NEIGHBOR_SOLICITATION => {
            let source_mac = link_layer(options, SOURCE_LINK_LAYER)?;
            // Who has no address yet asks a solicited-node group, and has nothing to be remembered by.
            let believed = !source.is_unspecified() || (is_solicited_node(ip.destination()) && source_mac.is_none());
            believed.then_some(Message::Solicitation { source, target, source_mac })
        }
        v6::NEIGHBOR_ADVERTISEMENT => {
            let target_mac = link_layer(options, TARGET_LINK_LAYER)?;
            let believed = !(ip.destination().is_multicast() && message.flags() & SOLICITED != 0);
            believed.then_some(Message::Advertisement { target, target_mac, flags: message.flags() })
        }
        _ => None,
    }
}

/// The address in the option `wanted`, if there is one. None if an option has length 0 or is cut off (section 4.6:
/// discard).
fn link_layer(mut options: &[u8], wanted: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while !options.is_empty() {
        let length = 8 * usize::from(*options.get(1)?);
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if option[0] == wanted && length == 8 {
            found = Some(Mac([option[2], option[3], option[4], option[5], option[6], option[7]]));
        }
        options = &options[length..];
    }
    Some(found)
}

/// The group that the owner of `address` listens to (RFC 4291, section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c].into()
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    address == solicited_node(address)
}

/// The frame that asks the solicited-node group of `target` for its hardware address.
pub fn solicitation(sender: (Mac, Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let to = (Mac::of_ipv6_group(group.octets()), group);
    frame(v6::NEIGHBOR_SOLICITATION, 0, sender, to, target, (SOURCE_LINK_LAYER, sender.0))
}

/// The frame that asks one station again, to see whether it is still there.
pub fn solicitation_to(sender: (Mac, Ipv6Addr), target: (Mac, Ipv6Addr)) -> Vec<u8> {
    frame(v6::NEIGHBOR_SOLICITATION, 0, sender, target, target.1, (SOURCE_LINK_LAYER, sender.0))
}

/// The frame that tells `to` that `owner` is at its hardware address. An asker without an address is told by the
/// all-nodes group, and not as an answer (section 7.2.4).
pub fn advertisement(owner: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr), flags: u32) -> Vec<u8> {
    if to.1.is_unspecified() {
        return announcement(owner, flags & !SOLICITED);
    }
    frame(v6::NEIGHBOR_ADVERTISEMENT, flags, owner, to, owner.1, (TARGET_LINK_LAYER, owner.0))
}

/// The frame that tells everybody, unasked, that `owner` is at its hardware address.
pub fn announcement(owner: (Mac, Ipv6Addr), flags: u32) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to = (Mac::of_ipv6_group(all_nodes.octets()), all_nodes);
    frame(v6::NEIGHBOR_ADVERTISEMENT, flags, owner, to, owner.1, (TARGET_LINK_LAYER, owner.0))
}

fn frame(
    kind: u8,
    flags: u32,
    sender: (Mac, Ipv6Addr),
    to: (Mac, Ipv6Addr),
    target: Ipv6Addr,
    (option, mac): (u8, Mac),
) -> Vec<u8> {
    let message = Neighbor { kind, code: 0, checksum: [0; 2], flags: flags.into(), target: target.octets() };
    let option = [&[option, 1], mac.as_bytes()].concat();
    let payload_bytes = Neighbor::BYTES + option.len();
    let mut ip = Ipv6::new(protocol::ICMPV6, sender.1.octets(), to.1.octets(), payload_bytes);
    ip.set_hop_limit(HOP_LIMIT);
    let header = Ethernet::new(to.0, sender.0, ethernet::IPV6);
    let mut frame = [header.as_bytes(), ip.as_bytes(), message.as_bytes(), &option].concat();
    checksum::fill_transport(&mut frame[Ethernet::BYTES..], Ipv6::BYTES, protocol::ICMPV6);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> ((Mac, Ipv6Addr), (Mac, Ipv6Addr)) {
        let asker = (Mac([2, 0, 0, 0, 0, 1]), "fd16::1".parse().unwrap());
        let owner = (Mac([2, 0, 0, 0, 0, 2]), "fd16::2:3456".parse().unwrap());
        (asker, owner)
    }

    #[test]
    fn solicitation_goes_to_the_group_and_is_read_back() {
        let (asker, owner) = ends();
        let frame = solicitation(asker, owner.1);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x02, 0x34, 0x56]);
        assert_eq!(Ipv6::of(&frame[14..]).unwrap().destination(), "ff02::1:ff02:3456".parse::<Ipv6Addr>().unwrap());
        let expect = Message::Solicitation { source: asker.1, target: owner.1, source_mac: Some(asker.0) };
        assert_eq!(parse(&frame[14..]), Some(expect));
    }

    #[test]
    fn advertisement_is_read_back() {
        let (asker, owner) = ends();
        let flags = SOLICITED | OVERRIDE;
        let frame = advertisement(owner, asker, flags);
        let expect = Message::Advertisement { target: owner.1, target_mac: Some(owner.0), flags };
        assert_eq!(parse(&frame[14..]), Some(expect));
    }

    #[test]
    fn an_asker_without_an_address_is_told_by_the_group() {
        let (asker, owner) = ends();
        let frame = advertisement(owner, (asker.0, Ipv6Addr::UNSPECIFIED), SOLICITED | OVERRIDE);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        let expect = Message::Advertisement { target: owner.1, target_mac: Some(owner.0), flags: OVERRIDE };
        assert_eq!(parse(&frame[14..]), Some(expect));
    }

    #[test]
    fn what_must_not_be_believed_is_not() {
        let (asker, owner) = ends();
        let good = solicitation(asker, owner.1)[14..].to_vec();
        let change = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            edit(&mut bytes);
            if bytes.len() == good.len() {
                checksum::fill_transport(&mut bytes, 40, protocol::ICMPV6);
            }
            parse(&bytes)
        };
        assert!(change(&|_| ()).is_some());
        assert_eq!(change(&|bytes| bytes[7] = 254), None, "hop limit 254");
        assert_eq!(change(&|bytes| bytes[41] = 1), None, "code 1");
        assert_eq!(change(&|bytes| bytes[65] = 0), None, "option of length 0");
        assert_eq!(change(&|bytes| bytes[65] = 2), None, "option is cut off");
        assert_eq!(change(&|bytes| bytes[48] = 0xff), None, "target is a group");
        assert_eq!(change(&|bytes| bytes[8..24].fill(0)), None, "no source, but a hardware address");
        assert_eq!(change(&|bytes| bytes.truncate(60)), None, "shorter than it says");
        let mut wrong = good.clone();
        wrong[42] ^= 1;
        assert_eq!(parse(&wrong), None, "checksum");
    }
}
