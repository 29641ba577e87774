//! SCTP: the state of a conn after each packet, judged by the packet's first chunk that says something.
//!
//! As with TCP the director believes what it sees; the tables are the kernel's behaviour, recorded. Some of it is odd beside
//! RFC 9260 (section 9.2): after a client's SHUTDOWN, S-RECEIVED stays until the server's SHUTDOWN ACK or a time-out.

use super::Seen;

/// An SCTP conn's state. The number is what the conn stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names that /proc prints, and RFC 9260's, say what they are")]
pub enum State {
    None = 0,
    Init1 = 1,
    Init = 2,
    CookieSent = 3,
    CookieReplied = 4,
    CookieWait = 5,
    Cookie = 6,
    CookieEchoed = 7,
    Established = 8,
    ShutdownSent = 9,
    ShutdownReceived = 10,
    ShutdownAckSent = 11,
    Rejected = 12,
    Closed = 13,
}

/// How many states there are.
pub const STATES: usize = 14;

use State as S;

const ALL: [State; STATES] = [
    S::None,
    S::Init1,
    S::Init,
    S::CookieSent,
    S::CookieReplied,
    S::CookieWait,
    S::Cookie,
    S::CookieEchoed,
    S::Established,
    S::ShutdownSent,
    S::ShutdownReceived,
    S::ShutdownAckSent,
    S::Rejected,
    S::Closed,
];

impl State {
    /// The state that a conn stores as `number`; a number that is none is read as [`State::None`].
    #[inline(always)]
    pub const fn of(number: u8) -> State {
        if (number as usize) < STATES { ALL[number as usize] } else { S::None }
    }

    /// Whether the server counts it as active.
    #[inline(always)]
    pub const fn is_active(self) -> bool {
        matches!(self, S::Established)
    }

    /// The name as /proc/net/ip_vs_conn prints it.
    pub const fn name(self) -> &'static str {
        match self {
            S::None => "NONE",
            S::Init1 => "INIT1",
            S::Init => "INIT",
            S::CookieSent => "C-SENT",
            S::CookieReplied => "C-REPLIED",
            S::CookieWait => "C-WAIT",
            S::Cookie => "COOKIE",
            S::CookieEchoed => "C-ECHOED",
            S::Established => "ESTABLISHED",
            S::ShutdownSent => "S-SENT",
            S::ShutdownReceived => "S-RECEIVED",
            S::ShutdownAckSent => "S-ACK-SENT",
            S::Rejected => "REJECTED",
            S::Closed => "CLOSED",
        }
    }
}

/// What a chunk says. Anything else (SACK, HEARTBEAT…) is as DATA: it leaves every state as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "RFC 9260, section 3.2, names the chunks")]
pub enum Event {
    Data = 0,
    Init = 1,
    InitAck = 2,
    CookieEcho = 3,
    CookieAck = 4,
    Shutdown = 5,
    ShutdownAck = 6,
    ShutdownComplete = 7,
    Abort = 8,
    Error = 9,
}

impl Event {
    /// From the chunk type byte (RFC 9260, section 3.2).
    #[inline(always)]
    pub const fn of(chunk_type: u8) -> Event {
        match chunk_type {
            1 => Event::Init,
            2 => Event::InitAck,
            6 => Event::Abort,
            7 => Event::Shutdown,
            8 => Event::ShutdownAck,
            9 => Event::Error,
            10 => Event::CookieEcho,
            11 => Event::CookieAck,
            14 => Event::ShutdownComplete,
            _ => Event::Data,
        }
    }
}

/// The state that a packet without a conn begins with, or `None` if it begins none: only an INIT does, unless `sloppy`
/// (sysctl sloppy_sctp), when anything but an ABORT does.
pub const fn first(event: Event, seen: Seen, sloppy: bool) -> Option<State> {
    match event {
        Event::Init => Some(S::Init1),
        Event::Abort => None,
        _ if sloppy => Some(next(S::None, event, seen)),
        _ => None,
    }
}

/// The state after a packet.
#[inline]
pub const fn next(state: State, event: Event, seen: Seen) -> State {
    let table = match seen {
        Seen::Inbound => &INBOUND,
        Seen::Outbound => &OUTBOUND,
        Seen::InboundOnly => &INBOUND_ONLY,
    };
    table[event as usize][state as usize]
}

type Rows = [[State; STATES]; 10];

// Columns in the order of `State`, by short names. Recorded: every cell that packets can reach. Inferred: in OUTBOUND None (no
// server's packet begins a conn); in INBOUND_ONLY the states that such a flow does not reach, as in INBOUND.

const IN1: State = S::Init1;
const INI: State = S::Init;
const CSE: State = S::CookieSent;
const CRE: State = S::CookieReplied;
const CWA: State = S::CookieWait;
const COO: State = S::Cookie;
const CEC: State = S::CookieEchoed;
const EST: State = S::Established;
const SSE: State = S::ShutdownSent;
const SRE: State = S::ShutdownReceived;
const SAS: State = S::ShutdownAckSent;
const REJ: State = S::Rejected;
const CLO: State = S::Closed;

#[rustfmt::skip]
const INBOUND: Rows = [
    //                      NON  IN1  INI  CSE  CRE  CWA  COO  CEC  EST  SSE  SRE  SAS  REJ  CLO
    /* data              */ [ EST, IN1, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* init              */ [ IN1, INI, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, INI, INI],
    /* init_ack          */ [ CWA, CWA, CWA, CSE, CRE, COO, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* cookie_echo       */ [ CRE, INI, INI, CRE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* cookie_ack        */ [ EST, IN1, INI, CSE, CRE, CWA, COO, EST, EST, SSE, SRE, SAS, REJ, CLO],
    /* shutdown          */ [ SRE, IN1, INI, CSE, CRE, CWA, COO, CEC, SRE, SSE, SRE, SAS, REJ, CLO],
    /* shutdown_ack      */ [ CLO, INI, INI, CSE, CRE, CWA, COO, CEC, EST, CLO, SRE, CLO, REJ, CLO],
    /* shutdown_complete */ [ CLO, CLO, CLO, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, CLO, REJ, CLO],
    /* abort             */ [ CLO, CLO, CLO, CLO, CLO, REJ, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO],
    /* error             */ [ CLO, IN1, INI, CSE, CRE, CWA, COO, CLO, EST, SSE, SRE, SAS, REJ, CLO],
];

#[rustfmt::skip]
const OUTBOUND: Rows = [
    //                      NON  IN1  INI  CSE  CRE  CWA  COO  CEC  EST  SSE  SRE  SAS  REJ  CLO
    /* data              */ [ CLO, IN1, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* init              */ [ CLO, CWA, CWA, CWA, CWA, CWA, CWA, CWA, EST, CWA, CWA, CWA, CWA, CWA],
    /* init_ack          */ [ CLO, CSE, CSE, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* cookie_echo       */ [ CLO, CEC, CEC, CEC, CEC, CEC, CEC, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* cookie_ack        */ [ CLO, EST, EST, EST, EST, EST, EST, EST, EST, SSE, SRE, SAS, REJ, CLO],
    /* shutdown          */ [ CLO, SSE, SSE, SSE, SSE, SSE, SSE, SSE, SSE, SSE, SRE, SAS, REJ, CLO],
    /* shutdown_ack      */ [ CLO, SAS, SAS, SAS, SAS, CWA, COO, CEC, EST, SAS, SAS, SAS, REJ, CLO],
    /* shutdown_complete */ [ CLO, IN1, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* abort             */ [ CLO, REJ, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO],
    /* error             */ [ CLO, CLO, CLO, CLO, CLO, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
];

#[rustfmt::skip]
const INBOUND_ONLY: Rows = [
    //                      NON  IN1  INI  CSE  CRE  CWA  COO  CEC  EST  SSE  SRE  SAS  REJ  CLO
    /* data              */ [ EST, IN1, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* init              */ [ IN1, INI, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, INI, INI],
    /* init_ack          */ [ CEC, CEC, CEC, CSE, CRE, COO, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* cookie_echo       */ [ EST, EST, EST, CRE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
    /* cookie_ack        */ [ EST, IN1, INI, CSE, CRE, CWA, COO, EST, EST, SSE, SRE, SAS, REJ, CLO],
    /* shutdown          */ [ SRE, IN1, INI, CSE, CRE, CWA, COO, CEC, SRE, SSE, SRE, SAS, REJ, CLO],
    /* shutdown_ack      */ [ CLO, INI, INI, CSE, CRE, CWA, COO, CEC, CLO, CLO, SRE, CLO, REJ, CLO],
    /* shutdown_complete */ [ CLO, CLO, CLO, CSE, CRE, CWA, COO, CEC, EST, SSE, CLO, CLO, REJ, CLO],
    /* abort             */ [ CLO, CLO, CLO, CLO, CLO, REJ, CLO, CLO, CLO, CLO, CLO, CLO, CLO, CLO],
    /* error             */ [ CLO, IN1, INI, CSE, CRE, CWA, COO, CEC, EST, SSE, SRE, SAS, REJ, CLO],
];
