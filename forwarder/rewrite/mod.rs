//! What the director does to a packet: pure functions on its bytes, without knowledge of conns, ports or services.
//!
//! They all take the same two things: `l3`, the bytes from the IP header's first byte to the end of the IP packet
//! (Ethernet padding cut off), and `l4`, where the transport header begins in them. Addresses are 4 or 16 bytes in
//! network order; ports are numbers. classify has seen to it that lengths agree and that the transport header is
//! there (TCP 20 bytes, UDP and ICMP 8); bytes that did not pass it are left alone or refused, never a panic.
//!
//! ```text
//!   nat       CIP:cport > VIP:vport   ⇄   CIP:cport > RIP:rport      one end changes, addresses and ports
//!   fullnat   CIP:cport > VIP:vport   ⇄   LIP:lport > RIP:rport      both ends change
//!   tun       [ CIP > VIP | data ]    →   [ DIP > RIP | CIP > VIP | data ]
//!   dr        nothing above Ethernet changes but the TTL
//! ```

pub mod fullnat;
pub mod icmp;
pub mod nat;
pub mod reset;
pub mod ttl;
pub mod tun;

mod room;

/// One end of a flow: an address of 4 or 16 bytes in network order, and a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint<'a> {
    /// The address.
    pub address: &'a [u8],
    /// The port, a number.
    pub port: u16,
}

#[cfg(test)]
mod tests;
