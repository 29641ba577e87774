//! The ways in and out. Frames come by devices and leave by interfaces: a device without VLANs has one, a device with VLANs
//! has one for each tag and perhaps one for frames without. Frames gather per interface and leave in bursts, so that only the
//! bursts of an interface with a tag pay for tags. What a device refuses is dropped and counted, so that a device that does not
//! transmit holds up no other.

use super::WorkerPort;
use super::peers::{HandOver, Handed, Peers};
use super::reassemble::Whole;
use crate::fragments::Cut;
use crate::fragments::cut::Next;
use crate::pipeline::{Fate, Reason, StationMac};
use crate::port::{Burst, Frame, Port, vlan};
use crate::stats::Counts;

struct Wire<P: Port> {
    device: P,
    incoming: Incoming,
}

/// Which interface the frames of a device belong to.
pub enum Incoming {
    /// All of them to this one.
    All(u8),
    /// By the id of their tag; 0 for frames without.
    ByTag(Box<[Option<u8>; vlan::ID_MASK as usize + 1]>),
}

struct Outgoing<F> {
    device: usize,
    tag: Option<u16>,
    mac: StationMac,
    /// The worker that transmits: that of the device.
    sender: usize,
    frames: Burst<F>,
}

/// The devices and interfaces of a worker, and its rings to the others.
pub struct Egress<P: Port> {
    wires: Vec<Wire<P>>,
    /// By interface number.
    outgoing: Vec<Outgoing<P::Frame>>,
    pub peers: Peers<P::Frame>,
}

impl<P: Port> Egress<P> {
    pub fn new(ports: Vec<WorkerPort<P>>, peers: Peers<P::Frame>) -> Self {
        let mut outgoing = Vec::new();
        for (device, port) in ports.iter().enumerate() {
            for &(number, tag) in &port.interfaces {
                let (mac, sender) = (StationMac::new(port.mac), port.sender);
                outgoing.push((number, Outgoing { device, tag, mac, sender, frames: Burst::new() }));
            }
        }
        outgoing.sort_by_key(|(number, _)| *number);
        let in_order = outgoing.iter().enumerate().all(|(at, (number, _))| at == usize::from(*number));
        assert!(in_order, "interfaces are numbered from 0 on, each is of one device");
        let wire = |port: WorkerPort<P>| Wire { incoming: Incoming::of(&port.interfaces), device: port.device };
        Self {
            wires: ports.into_iter().map(wire).collect(),
            outgoing: outgoing.into_iter().map(|(_, outgoing)| outgoing).collect(),
            peers,
        }
    }

    pub fn devices(&self) -> usize {
        self.wires.len()
    }

    #[inline]
    pub fn mac(&self, interface: usize) -> StationMac {
        self.outgoing[interface].mac
    }

    #[inline]
    pub fn receive(&mut self, device: usize, into: &mut Burst<P::Frame>) {
        self.wires[device].device.rx_burst(into);
    }

    #[inline]
    pub fn incoming(&self, device: usize) -> &Incoming {
        &self.wires[device].incoming
    }

    /// Takes the tags off a device's burst and gives each frame's interface. Frames with a tag that no interface has are dropped.
    pub fn untag(&self, device: usize, frames: &mut Burst<P::Frame>, counts: &mut Counts) -> Burst<u8> {
        let Wire { device, incoming } = &self.wires[device];
        let mut interfaces = Burst::new();
        frames.iter().for_each(Frame::prefetch);
        frames.retain(|frame| {
            // A tag that only says a priority has the id 0.
            let interface = incoming.interface(device.untag(frame).unwrap_or(0));
            match interface {
                Some(interface) => interfaces.push(interface),
                None => counts.count(Fate::Dropped(Reason::OtherVlan)),
            }
            interface.is_some()
        });
        interfaces
    }

    /// Queues a frame for an interface; a full burst leaves at once.
    #[inline]
    pub fn send(&mut self, interface: usize, frame: P::Frame, counts: &mut Counts) {
        let outgoing = &mut self.outgoing[interface];
        if outgoing.sender != self.peers.own || outgoing.frames.is_full() {
            return self.make_room_and_send(interface, frame, counts);
        }
        outgoing.frames.push(frame);
    }

    /// The interface's burst is full, or is another worker's to transmit. Apart, so that `send` is a few instructions
    /// wherever a frame is sent.
    #[cold]
    fn make_room_and_send(&mut self, interface: usize, frame: P::Frame, counts: &mut Counts) {
        let outgoing = &mut self.outgoing[interface];
        if outgoing.sender != self.peers.own {
            let sender = outgoing.sender;
            return self.hand(sender, Handed::Send { frame, port: interface as u16 }, counts);
        }
        self.wires[outgoing.device].transmit(outgoing, counts);
        outgoing.frames.push(frame);
    }

    /// Queues the fragments of a packet, which is finished but for that.
    #[cold]
    pub fn send_in_fragments(&mut self, interface: usize, packet: P::Frame, cut: Cut, counts: &mut Counts) {
        let device = self.outgoing[interface].device;
        let fate = match cut.begin(&packet) {
            None => Fate::Dropped(Reason::TooBig),
            Some(mut cutter) => loop {
                match cutter.next(|head| self.wires[device].device.make(head)) {
                    Next::Fragment(frame) => {
                        counts.created += 1;
                        self.send(interface, frame, counts);
                    }
                    Next::Done => break Fate::Consumed,
                    Next::NoBuffer => break Fate::Dropped(Reason::NoBuffer),
                }
            },
        };
        counts.count(fate);
    }

    /// Gives a frame to another worker, sooner or later in this turn.
    #[inline]
    pub fn hand(&mut self, to: usize, handed: Handed<P::Frame>, counts: &mut Counts) {
        account(self.peers.hand(to, handed), counts);
    }

    /// Gives a reassembled packet to another worker.
    #[cold]
    pub fn hand_whole(&mut self, to: usize, packet: Whole<P::Frame>, counts: &mut Counts) {
        account(self.peers.hand_whole(to, packet), counts);
    }

    /// What was given to other workers goes over.
    #[inline]
    pub fn hand_over(&mut self, counts: &mut Counts) {
        account(self.peers.flush(), counts);
    }

    /// A new frame for an interface. None: its device's pool is dry.
    pub fn make(&mut self, interface: usize, bytes: &[u8], counts: &mut Counts) -> Option<P::Frame> {
        let device = self.outgoing.get(interface)?.device;
        let frame = self.wires[device].device.make(bytes)?;
        counts.created += 1;
        Some(frame)
    }

    /// Makes a frame and queues it. One that cannot be made counts as made and dropped.
    pub fn send_made(&mut self, interface: usize, bytes: &[u8], counts: &mut Counts) {
        match self.make(interface, bytes, counts) {
            Some(frame) => self.send(interface, frame, counts),
            None => {
                counts.created += 1;
                counts.count(Fate::Dropped(Reason::NoBuffer));
            }
        }
    }

    /// Lets each device do what it needs even without frames.
    pub fn keep_alive(&mut self) {
        for wire in &mut self.wires {
            wire.device.keep_alive();
        }
    }

    /// Transmits what is queued.
    #[inline]
    pub fn flush(&mut self, counts: &mut Counts) {
        self.hand_over(counts);
        for outgoing in &mut self.outgoing {
            if !outgoing.frames.is_empty() {
                self.wires[outgoing.device].transmit(outgoing, counts);
            }
        }
    }
}

fn account(done: HandOver, counts: &mut Counts) {
    counts.handed_out += done.handed;
    counts.dropped[Reason::HandoffFull as usize] += done.refused;
}

impl<P: Port> Wire<P> {
    fn transmit(&mut self, outgoing: &mut Outgoing<P::Frame>, counts: &mut Counts) {
        if let Some(id) = outgoing.tag {
            self.tag(&mut outgoing.frames, id, counts);
        }
        let queued = outgoing.frames.len();
        self.device.tx_burst(&mut outgoing.frames);
        counts.sent += (queued - outgoing.frames.len()) as u64;
        for _refused in outgoing.frames.drain(..) {
            counts.count(Fate::Dropped(Reason::TxRefused));
        }
    }

    /// Puts the tag on each frame of a burst; those without room for it are dropped.
    fn tag(&self, frames: &mut Burst<P::Frame>, id: u16, counts: &mut Counts) {
        frames.retain(|frame| {
            let tagged = self.device.tag(frame, id);
            if !tagged {
                counts.count(Fate::Dropped(Reason::NoHeadroom));
            }
            tagged
        });
    }
}

impl Incoming {
    fn of(interfaces: &[(u8, Option<u16>)]) -> Self {
        if let [(number, None)] = interfaces {
            return Incoming::All(*number);
        }
        let mut by_tag = Box::new([None; vlan::ID_MASK as usize + 1]);
        for &(number, tag) in interfaces {
            by_tag[usize::from(tag.unwrap_or(0))] = Some(number);
        }
        Incoming::ByTag(by_tag)
    }

    #[inline]
    fn interface(&self, id: u16) -> Option<u8> {
        match self {
            Incoming::All(interface) => Some(*interface),
            Incoming::ByTag(interfaces) => interfaces[usize::from(id & vlan::ID_MASK)],
        }
    }
}
