//! A port that can be told to misbehave. Tests break one rewrite with it, to see that whoever watches notices, or take all
//! buffers of real devices for a while; in service it does nothing and costs a branch a burst.

use super::{Burst, Frame, Port};
use crate::rewrite::nat;
use crate::wire::{Ethernet, Ipv4, protocol};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The environment variable by which a test asks a whole director for a fault.
pub const TEST_VARIABLE: &str = "UVS_TEST_BREAK";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// TCP segments over IPv4 to a server's port (below 10000) leave for the next port.
    DestinationPort,
    /// A frame that ends with [`DRY_WORD`] makes the port that receives it keep every buffer for itself for a while.
    DryPool,
}

/// See [`Fault::DryPool`].
pub const DRY_WORD: &[u8] = b"test-dry-pool\n";
/// Longer than a TCP sender waits before it sends again.
const DRY_FOR: Duration = Duration::from_secs(1);

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "destination-port" => Ok(Fault::DestinationPort),
            "dry-pool" => Ok(Fault::DryPool),
            _ => Err(format!("{TEST_VARIABLE}: {text:?} is no fault; must be destination-port or dry-pool")),
        }
    }
}

/// A port and its fault.
pub struct FaultPort<P: Port> {
    device: P,
    fault: Option<Fault>,
    /// Buffers that are kept from everybody, and until when.
    kept: Vec<P::Frame>,
    dry_until: Option<Instant>,
}

impl<P: Port> FaultPort<P> {
    /// The device as it is, or with a fault.
    pub fn new(device: P, fault: Option<Fault>) -> Self {
        Self { device, fault, kept: Vec::new(), dry_until: None }
    }

    #[cold]
    fn keep_buffers(&mut self, received: &[P::Frame]) {
        if received.iter().any(|frame| frame.bytes().ends_with(DRY_WORD)) {
            self.dry_until = Some(Instant::now() + DRY_FOR);
        }
        match self.dry_until {
            // What is given back meanwhile is taken, too.
            Some(end) if Instant::now() < end => self.kept.extend(std::iter::from_fn(|| self.device.make(&[]))),
            Some(_) => {
                self.kept.clear();
                self.dry_until = None;
            }
            None => (),
        }
    }
}

impl<P: Port> Port for FaultPort<P> {
    type Frame = P::Frame;

    #[inline]
    fn rx_burst(&mut self, into: &mut Burst<P::Frame>) {
        self.device.rx_burst(into);
        if self.fault == Some(Fault::DryPool) {
            self.keep_buffers(into);
        }
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Burst<P::Frame>) {
        if self.fault == Some(Fault::DestinationPort) {
            frames.iter_mut().for_each(|frame| change_port(frame.bytes_mut()));
        }
        self.device.tx_burst(frames);
    }

    fn make(&mut self, bytes: &[u8]) -> Option<P::Frame> {
        self.device.make(bytes)
    }

    fn keep_alive(&mut self) {
        self.device.keep_alive();
    }

    #[inline]
    fn untag(&self, frame: &mut P::Frame) -> Option<u16> {
        self.device.untag(frame)
    }

    #[inline]
    fn tag(&self, frame: &mut P::Frame, id: u16) -> bool {
        self.device.tag(frame, id)
    }
}

#[cold]
fn change_port(frame: &mut [u8]) {
    let Some(l3) = frame.get_mut(Ethernet::BYTES..) else { return };
    let Some(ip) = Ipv4::of(l3).filter(|_| l3[0] >> 4 == 4) else { return };
    let (l4, destination) = (ip.header_bytes(), ip.destination());
    let Some(port) = l3.get(l4 + 2..l4 + 4).map(|port| u16::from_be_bytes([port[0], port[1]])) else { return };
    if l3[9] == protocol::TCP && port < 10_000 {
        nat::translate_destination(l3, l4, protocol::TCP, &destination.octets(), port + 1);
    }
}
