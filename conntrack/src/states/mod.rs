//! What a flow's packets make of its state, and how long each state lives: as the kernel's IPVS does it.
//!
//! The tables are read off recordings of the kernel (`tests/golden/states`), which `tests/golden` replays. Cells that
//! no recording reached are marked in the tables as inferred.
//!
//! A state is a `u8` in the conn: its meaning depends on the conn's protocol. [`tcp::State`] and [`sctp::State`] are its types.

pub mod sctp;
pub mod tcp;
mod timeouts;
pub mod udp;

pub use timeouts::Timeouts;

use crate::conn::{Direction, Method};

/// Which table of a protocol judges a packet: the director may see one side of a flow or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A client's packet of a flow whose replies pass here too (NAT, FullNAT).
    Inbound,
    /// A real server's packet.
    Outbound,
    /// A client's packet of a flow whose replies go another way (DR, TUN).
    InboundOnly,
}

impl Seen {
    /// The side of a packet that goes in `direction` of a conn with `method`.
    #[inline(always)]
    pub const fn of(method: Method, direction: Direction) -> Seen {
        match direction {
            Direction::Outbound => Seen::Outbound,
            // Replies to a flow that goes its own way pass by unseen, but it is not forwarded to a server either (recorded).
            Direction::Inbound if method.sees_replies() || matches!(method, Method::Bypass) => Seen::Inbound,
            Direction::Inbound => Seen::InboundOnly,
        }
    }
}

/// The IP protocol number of TCP.
pub const TCP: u8 = 6;
/// The IP protocol number of UDP.
pub const UDP: u8 = 17;
/// The IP protocol number of SCTP.
pub const SCTP: u8 = 132;

/// Whether a server counts a conn in this state as active. UDP conns never are.
#[inline]
pub const fn is_active(protocol: u8, state: u8) -> bool {
    match protocol {
        TCP => tcp::State::of(state).is_active(),
        SCTP => sctp::State::of(state).is_active(),
        _ => false,
    }
}

/// The state's name as /proc/net/ip_vs_conn prints it.
pub const fn name(protocol: u8, state: u8) -> &'static str {
    match protocol {
        TCP => tcp::State::of(state).name(),
        SCTP => sctp::State::of(state).name(),
        UDP => udp::NAME,
        _ => "NONE",
    }
}

#[cfg(test)]
mod tests;
