//! The kernel interface itself: made at start with the port's MAC and MTU, up, and gone with the process.

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use std::io;
use tappers::{Interface, Tap};

/// What a host interface is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The port's index.
    pub port: u16,
    /// The interface's name.
    pub name: String,
    /// The port's MAC.
    pub mac: [u8; 6],
    /// The port's MTU.
    pub mtu: u16,
}

/// A host interface, and its number in the kernel.
pub struct HostTap {
    /// Its port.
    pub port: u16,
    /// The kernel's number.
    pub index: u32,
    /// Frames to and from the kernel.
    pub tap: Tap,
}

/// Why there is no host interface: one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("host interface {name}: {what}: {source}; {cure}")]
pub struct TapError {
    name: String,
    what: &'static str,
    source: io::Error,
    cure: &'static str,
}

impl HostTap {
    /// Makes the interface.
    pub fn create(said: &HostPort) -> Result<HostTap, TapError> {
        let failed = |what, cure| move |source| TapError { name: said.name.clone(), what, source, cure };
        let right = "it needs /dev/net/tun, CAP_NET_ADMIN, and a name that no interface has";
        let name = Interface::new(&said.name).map_err(failed("its name", right))?;
        let mut tap = Tap::new_named(name).map_err(failed("it cannot be made", right))?;
        tap.set_nonblocking(true).map_err(failed("it cannot be made", right))?;
        let index = name.index().map_err(failed("it has no number", right))?;
        let kernel = "the kernel refused the port's MAC or MTU";
        set_up(index, said).map_err(failed("it cannot be set up", kernel))?;
        Ok(HostTap { port: said.port, index, tap })
    }
}

/// First the MAC, of which the kernel makes the link-local address when the interface comes up.
fn set_up(index: u32, said: &HostPort) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![LinkAttribute::Address(said.mac.to_vec()), LinkAttribute::Mtu(said.mtu.into())];
    change(RouteNetlinkMessage::SetLink(link))?;
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    change(RouteNetlinkMessage::SetLink(link))
}

/// Asks the kernel for a change and waits for its answer, which it gives at once.
fn change(message: RouteNetlinkMessage) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}
