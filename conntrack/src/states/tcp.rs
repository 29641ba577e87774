//! TCP: the state of a conn after each packet.
//!
//! The director is no end of the flow, so it looks at flags only and believes them. Two-way flows (NAT, FullNAT):
//!
//! ```text
//!            c:SYN              ack                 c:FIN                    s:FIN
//!   (none) ────────▶ SYN_RECV ───────▶ ESTABLISHED ───────▶ CLOSE_WAIT ────────────▶ TIME_WAIT
//!                        │ FIN              │ s:FIN                     c:FIN           ▲
//!                        ▼                  └──────────────▶ FIN_WAIT ─────────────────┤
//!                    TIME_WAIT ◀───────────────────────────────────────────────────────┘
//!   RST: CLOSE (a client's RST leaves SYN_RECV as it is).   SYN after the end: SYN_RECV; from the server: SYN_SENT.
//! ```

use super::Seen;

/// A TCP conn's state. The number is what the conn stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "RFC 9293 names them; SynAck: secure_tcp waits for the client's answer")]
pub enum State {
    None = 0,
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait = 4,
    TimeWait = 5,
    Close = 6,
    CloseWait = 7,
    LastAck = 8,
    Listen = 9,
    SynAck = 10,
}

/// How many states there are.
pub const STATES: usize = 11;

use State::*;

const ALL: [State; STATES] =
    [None, Established, SynSent, SynRecv, FinWait, TimeWait, Close, CloseWait, LastAck, Listen, SynAck];

impl State {
    /// The state that a conn stores as `number`; a number that is none is read as [`State::None`].
    #[inline(always)]
    pub const fn of(number: u8) -> State {
        if (number as usize) < STATES { ALL[number as usize] } else { None }
    }

    /// Whether the server counts it as active.
    #[inline(always)]
    pub const fn is_active(self) -> bool {
        matches!(self, Established | SynSent | SynRecv | SynAck)
    }

    /// The name as /proc/net/ip_vs_conn prints it.
    pub const fn name(self) -> &'static str {
        match self {
            None => "NONE",
            Established => "ESTABLISHED",
            SynSent => "SYN_SENT",
            SynRecv => "SYN_RECV",
            FinWait => "FIN_WAIT",
            TimeWait => "TIME_WAIT",
            Close => "CLOSE",
            CloseWait => "CLOSE_WAIT",
            LastAck => "LAST_ACK",
            Listen => "LISTEN",
            SynAck => "SYNACK",
        }
    }
}

/// What a segment's flags say. SYN+ACK is a SYN here: the recordings make no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// SYN, with or without ACK.
    Syn = 0,
    /// FIN.
    Fin = 1,
    /// ACK alone.
    Ack = 2,
    /// RST, whatever else is set.
    Rst = 3,
    /// None of them: no sane peer sends it; recorded: the conn is in CLOSE after it.
    Other = 4,
}

impl Event {
    /// From the flag byte of the header (RFC 9293, 3.1): the first of RST, SYN, FIN, ACK that is set.
    #[inline(always)]
    pub const fn of(flags: u8) -> Event {
        const FIN: u8 = 1;
        const SYN: u8 = 2;
        const RST: u8 = 4;
        const ACK: u8 = 16;
        if flags & RST != 0 {
            Event::Rst
        } else if flags & SYN != 0 {
            Event::Syn
        } else if flags & FIN != 0 {
            Event::Fin
        } else if flags & ACK != 0 {
            Event::Ack
        } else {
            Event::Other
        }
    }
}

/// The state that a packet without a conn begins with, or `None` if it begins none: only a SYN does, unless `sloppy`
/// (sysctl sloppy_tcp), when anything but a RST does.
pub const fn first(event: Event, seen: Seen, secure: bool, sloppy: bool) -> Option<State> {
    match event {
        Event::Rst => Option::None,
        Event::Syn => Some(next(None, event, seen, secure)),
        _ if sloppy => Some(next(None, event, seen, secure)),
        _ => Option::None,
    }
}

/// The state after a packet. `secure` is the sysctl secure_tcp: the client's ACK alone does not establish a conn whose
/// replies are seen.
#[inline]
pub const fn next(state: State, event: Event, seen: Seen, secure: bool) -> State {
    let table = match (seen, secure) {
        (Seen::Inbound, false) => &INBOUND,
        (Seen::Outbound, false) => &OUTBOUND,
        (Seen::InboundOnly, false) => &INBOUND_ONLY,
        (Seen::Inbound, true) => &INBOUND_SECURE,
        (Seen::Outbound, true) => &OUTBOUND_SECURE,
        (Seen::InboundOnly, true) => &INBOUND_ONLY_SECURE,
    };
    match event {
        Event::Other => Close,
        _ => table[event as usize][state as usize],
    }
}

type Rows = [[State; STATES]; 4];

// Columns in the order of `State`. Recorded: every cell that packets can reach. Inferred, as no conn gets there: LastAck
// (as a closing state), Listen (as None), SynAck without secure (as SynRecv), None in the outbound tables, and SynSent and
// CloseWait in the inbound-only ones.

#[rustfmt::skip]
const INBOUND: Rows = [
    //         None         Established  SynSent      SynRecv      FinWait   TimeWait  Close    CloseWait  LastAck  Listen       SynAck
    /* syn */ [SynRecv,     Established, Established, SynRecv,     SynRecv,  SynRecv,  SynRecv, SynRecv,   SynRecv, SynRecv,     SynRecv],
    /* fin */ [Close,       CloseWait,   SynSent,     TimeWait,    TimeWait, TimeWait, Close,   CloseWait, LastAck, Close,       TimeWait],
    /* ack */ [Established, Established, SynSent,     Established, FinWait,  TimeWait, Close,   CloseWait, LastAck, Established, Established],
    /* rst */ [Close,       Close,       Close,       SynRecv,     Close,    Close,    Close,   Close,     Close,   Close,       SynRecv],
];

#[rustfmt::skip]
const OUTBOUND: Rows = [
    //         None         Established  SynSent  SynRecv      FinWait  TimeWait  Close    CloseWait  LastAck  Listen       SynAck
    /* syn */ [SynSent,     Established, SynSent, SynRecv,     SynSent, SynSent,  SynSent, SynSent,   SynSent, SynSent,     SynRecv],
    /* fin */ [Close,       FinWait,     SynSent, TimeWait,    FinWait, TimeWait, Close,   TimeWait,  LastAck, Close,       TimeWait],
    /* ack */ [Established, Established, SynSent, Established, FinWait, TimeWait, Close,   CloseWait, LastAck, Established, Established],
    /* rst */ [Close,       Close,       SynSent, Close,       Close,   TimeWait, Close,   Close,     Close,   Close,       Close],
];

#[rustfmt::skip]
const INBOUND_ONLY: Rows = [
    //         None         Established  SynSent      SynRecv      FinWait  TimeWait  Close    CloseWait  LastAck  Listen       SynAck
    /* syn */ [SynRecv,     Established, Established, SynRecv,     SynRecv, SynRecv,  SynRecv, SynRecv,   SynRecv, SynRecv,     SynRecv],
    /* fin */ [Close,       FinWait,     SynSent,     TimeWait,    FinWait, TimeWait, Close,   CloseWait, LastAck, Close,       TimeWait],
    /* ack */ [Established, Established, SynSent,     Established, FinWait, TimeWait, Close,   CloseWait, LastAck, Established, Established],
    /* rst */ [Close,       Close,       Close,       SynRecv,     Close,   Close,    Close,   Close,     Close,   Close,       SynRecv],
];

#[rustfmt::skip]
const INBOUND_SECURE: Rows = [
    //         None         Established  SynSent      SynRecv   FinWait   TimeWait  Close    CloseWait  LastAck  Listen       SynAck
    /* syn */ [SynRecv,     Established, Established, SynRecv,  SynRecv,  SynRecv,  SynRecv, SynRecv,   SynRecv, SynRecv,     SynAck],
    /* fin */ [Close,       CloseWait,   SynSent,     TimeWait, TimeWait, TimeWait, Close,   CloseWait, LastAck, Close,       SynAck],
    /* ack */ [Established, Established, SynSent,     SynRecv,  FinWait,  TimeWait, Close,   CloseWait, LastAck, Established, SynAck],
    /* rst */ [Close,       Close,       Close,       SynRecv,  Close,    Close,    Close,   Close,     Close,   Close,       Close],
];

#[rustfmt::skip]
const OUTBOUND_SECURE: Rows = [
    //         None         Established  SynSent  SynRecv      FinWait  TimeWait  Close    CloseWait  LastAck  Listen       SynAck
    /* syn */ [SynSent,     Established, SynSent, SynAck,      SynSent, SynSent,  SynSent, SynSent,   SynSent, SynSent,     SynAck],
    /* fin */ [Close,       FinWait,     SynSent, TimeWait,    FinWait, TimeWait, Close,   TimeWait,  LastAck, Close,       TimeWait],
    /* ack */ [Established, Established, SynSent, Established, FinWait, TimeWait, Close,   CloseWait, LastAck, Established, Established],
    /* rst */ [Close,       Close,       SynSent, Close,       Close,   TimeWait, Close,   Close,     Close,   Close,       Close],
];

#[rustfmt::skip]
const INBOUND_ONLY_SECURE: Rows = [
    //         None         Established  SynSent      SynRecv      FinWait  TimeWait  Close   CloseWait  LastAck  Listen       SynAck
    /* syn */ [SynAck,      Established, Established, SynAck,      SynAck,  SynAck,   SynAck, SynRecv,   SynRecv, SynAck,      SynAck],
    /* fin */ [Close,       FinWait,     SynSent,     TimeWait,    FinWait, TimeWait, Close,  CloseWait, LastAck, Close,       TimeWait],
    /* ack */ [Established, Established, SynSent,     Established, FinWait, TimeWait, Close,  CloseWait, LastAck, Established, Established],
    /* rst */ [Close,       Close,       Close,       Close,       Close,   Close,    Close,  Close,     Close,   Close,       Close],
];
