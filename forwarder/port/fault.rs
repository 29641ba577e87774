//! A port that can be told to spoil what it transmits. Tests break one rewrite with it, to see that whoever watches notices;
//! in service it spoils nothing and costs one branch a burst.

use super::{Burst, Frame, Port};
use crate::rewrite::nat;
use crate::wire::{Ethernet, Ipv4, protocol};
use std::str::FromStr;

/// The environment variable by which a test asks a whole director for a fault.
pub const TEST_VARIABLE: &str = "UVS_TEST_BREAK";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// TCP segments over IPv4 to a server's port (below 10000) leave for the next port.
    DestinationPort,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "destination-port" => Ok(Fault::DestinationPort),
            _ => Err(format!("{TEST_VARIABLE}: {text:?} is no fault; must be destination-port")),
        }
    }
}

/// A port and its fault.
pub struct FaultPort<P> {
    device: P,
    fault: Option<Fault>,
}

impl<P> FaultPort<P> {
    /// The device as it is, or with a fault.
    pub fn new(device: P, fault: Option<Fault>) -> Self {
        Self { device, fault }
    }
}

impl<P: Port> Port for FaultPort<P> {
    type Frame = P::Frame;

    #[inline]
    fn rx_burst(&mut self, into: &mut Burst<P::Frame>) {
        self.device.rx_burst(into);
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Burst<P::Frame>) {
        if let Some(fault) = self.fault {
            frames.iter_mut().for_each(|frame| spoil(frame.bytes_mut(), fault));
        }
        self.device.tx_burst(frames);
    }

    fn make(&mut self, bytes: &[u8]) -> Option<P::Frame> {
        self.device.make(bytes)
    }
}

#[cold]
fn spoil(frame: &mut [u8], fault: Fault) {
    let Fault::DestinationPort = fault;
    let Some(l3) = frame.get_mut(Ethernet::BYTES..) else { return };
    let Some(ip) = Ipv4::of(l3).filter(|_| l3[0] >> 4 == 4) else { return };
    let (l4, destination) = (ip.header_bytes(), ip.destination());
    let Some(port) = l3.get(l4 + 2..l4 + 4).map(|port| u16::from_be_bytes([port[0], port[1]])) else { return };
    if l3[9] == protocol::TCP && port < 10_000 {
        nat::translate_destination(l3, l4, protocol::TCP, &destination.octets(), port + 1);
    }
}
