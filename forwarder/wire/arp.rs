//! ARP for IPv4 over Ethernet (RFC 826): who has this address, and the answer.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{self, Ethernet, Mac};

/// Operation of a question.
pub const REQUEST: u16 = 1;
/// Operation of an answer.
pub const REPLY: u16 = 2;

/// Hardware type of Ethernet.
const ETHERNET: u16 = 1;

/// An ARP packet.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Arp {
    hardware: U16,
    protocol: U16,
    hardware_bytes: u8,
    protocol_bytes: u8,
    operation: U16,
    sender_mac: Mac,
    sender: [u8; 4],
    target_mac: Mac,
    target: [u8; 4],
}

view!(Arp, 28);

impl Arp {
    /// A packet for Ethernet and IPv4.
    pub fn new(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Arp {
        Arp {
            hardware: ETHERNET.into(),
            protocol: ethernet::IPV4.into(),
            hardware_bytes: 6,
            protocol_bytes: 4,
            operation: operation.into(),
            sender_mac: sender.0,
            sender: sender.1.octets(),
            target_mac: target.0,
            target: target.1.octets(),
        }
    }

    /// Whether it speaks of Ethernet and IPv4; only then do the other fields mean something.
    pub fn is_ethernet_ipv4(&self) -> bool {
        self.hardware.get() == ETHERNET
            && self.protocol.get() == ethernet::IPV4
            && self.hardware_bytes == 6
            && self.protocol_bytes == 4
    }

    /// [`REQUEST`], [`REPLY`], or what nobody answers.
    pub fn operation(&self) -> u16 {
        self.operation.get()
    }

    /// Hardware address of the sender.
    pub fn sender_mac(&self) -> Mac {
        self.sender_mac
    }

    /// Address of the sender; unspecified in a probe (RFC 5227).
    pub fn sender(&self) -> Ipv4Addr {
        self.sender.into()
    }

    /// Hardware address of the target, zero in a request.
    pub fn target_mac(&self) -> Mac {
        self.target_mac
    }

    /// The address that is asked for, or whom the answer is for.
    pub fn target(&self) -> Ipv4Addr {
        self.target.into()
    }
}

/// The frame that asks everybody for the hardware address of `target`. With target == sender it announces (RFC 5227).
pub fn request(sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    frame(Mac::BROADCAST, &Arp::new(REQUEST, sender, (Mac::ZERO, target)))
}

/// The frame that asks one station again, to see whether it is still there.
pub fn request_to(sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    frame(target.0, &Arp::new(REQUEST, sender, (Mac::ZERO, target.1)))
}

/// The frame that answers `to` that `sender` is at its hardware address.
pub fn reply(sender: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    frame(to.0, &Arp::new(REPLY, sender, to))
}

fn frame(destination: Mac, arp: &Arp) -> Vec<u8> {
    [Ethernet::new(destination, arp.sender_mac, ethernet::ARP).as_bytes(), arp.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1));
    const OWNER: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 0, 2]), Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn request_has_the_bytes_of_rfc_826() {
        let expect = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, // Ethernet
            0, 1, 0x08, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
            2, 0, 0, 0, 0, 1, 10, 0, 0, 1, // sender
            0, 0, 0, 0, 0, 0, 10, 0, 0, 2, // target
        ];
        assert_eq!(request(ASKER, OWNER.1), expect);
    }

    #[test]
    fn reply_is_read_back() {
        let frame = reply(OWNER, ASKER);
        assert_eq!(Ethernet::of(&frame).unwrap().destination(), ASKER.0);
        let arp = Arp::of(&frame[14..]).unwrap();
        assert!(arp.is_ethernet_ipv4());
        assert_eq!(arp.operation(), REPLY);
        assert_eq!((arp.sender_mac(), arp.sender()), OWNER);
        assert_eq!((arp.target_mac(), arp.target()), ASKER);
    }

    #[test]
    fn other_hardware_is_not_ours() {
        let mut frame = reply(OWNER, ASKER);
        frame[15] = 6;
        assert!(!Arp::of(&frame[14..]).unwrap().is_ethernet_ipv4());
    }
}
