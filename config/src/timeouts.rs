//! `[timeouts]`: how long a conn stays in a state without packets. What the file does not say keeps the kernel's value,
//! which the conn table knows.

use std::time::Duration;

use crate::read::{Table, Value};

/// Bound of every time-out: 24 days, in seconds. Milliseconds of it fit 31 bits.
pub const TIMEOUT_S_MAX: u32 = 24 * 24 * 60 * 60;

/// `[timeouts]`, in seconds, 1 to `TIMEOUT_S_MAX`; `None` is the kernel's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// ESTABLISHED: key `tcp`.
    pub tcp: Option<u32>,
    /// FIN_WAIT: key `tcp_fin`, or by its state `tcp_fin_wait`.
    pub tcp_fin: Option<u32>,
    /// UDP: key `udp`.
    pub udp: Option<u32>,
    /// SYN_SENT.
    pub tcp_syn_sent: Option<u32>,
    /// SYN_RECV.
    pub tcp_syn_recv: Option<u32>,
    /// TIME_WAIT.
    pub tcp_time_wait: Option<u32>,
    /// CLOSE.
    pub tcp_close: Option<u32>,
    /// CLOSE_WAIT.
    pub tcp_close_wait: Option<u32>,
    /// LAST_ACK.
    pub tcp_last_ack: Option<u32>,
    /// LISTEN.
    pub tcp_listen: Option<u32>,
    /// SYNACK.
    pub tcp_synack: Option<u32>,
    /// SCTP's states, in the order of [`SCTP_KEYS`].
    pub sctp: [Option<u32>; SCTP_KEYS.len()],
}

/// The keys of SCTP's states: the kernel's states from INIT1 on, in its order.
pub const SCTP_KEYS: [&str; 13] = [
    "sctp_init1",
    "sctp_init",
    "sctp_cookie_sent",
    "sctp_cookie_replied",
    "sctp_cookie_wait",
    "sctp_cookie",
    "sctp_cookie_echoed",
    "sctp_established",
    "sctp_shutdown_sent",
    "sctp_shutdown_received",
    "sctp_shutdown_ack_sent",
    "sctp_rejected",
    "sctp_closed",
];

const TCP_AND_UDP_KEYS: &[&str] = &[
    "tcp",
    "tcp_established",
    "tcp_fin",
    "tcp_fin_wait",
    "udp",
    "tcp_syn_sent",
    "tcp_syn_recv",
    "tcp_time_wait",
    "tcp_close",
    "tcp_close_wait",
    "tcp_last_ack",
    "tcp_listen",
    "tcp_synack",
];
/// Every key of the section.
pub(crate) fn keys() -> Vec<&'static str> {
    TCP_AND_UDP_KEYS.iter().copied().chain(SCTP_KEYS).collect()
}

pub(crate) fn read(root: &Table) -> Timeouts {
    let Some(table) = root.table("timeouts") else { return Timeouts::default() };
    table.check_keys(&keys(), &[]);
    let seconds = |key: &str| table.get(key).and_then(|v| read_seconds(&v));
    // Two keys name one state: the short one of `ipvsadm --set`, and the state's own.
    let either = |short: &str, state: &str| {
        if let Some(value) = table.get(state).filter(|_| table.has(short)) {
            value.fault(format!("found `{state}` beside `{short}`; must be one of them, for they mean the same"));
        }
        seconds(short).or(seconds(state))
    };
    Timeouts {
        tcp: either("tcp", "tcp_established"),
        tcp_fin: either("tcp_fin", "tcp_fin_wait"),
        udp: seconds("udp"),
        tcp_syn_sent: seconds("tcp_syn_sent"),
        tcp_syn_recv: seconds("tcp_syn_recv"),
        tcp_time_wait: seconds("tcp_time_wait"),
        tcp_close: seconds("tcp_close"),
        tcp_close_wait: seconds("tcp_close_wait"),
        tcp_last_ack: seconds("tcp_last_ack"),
        tcp_listen: seconds("tcp_listen"),
        tcp_synack: seconds("tcp_synack"),
        sctp: SCTP_KEYS.map(seconds),
    }
}

/// Reads a duration of whole seconds, such as `15m` or `1h 30m`.
pub(crate) fn read_seconds(value: &Value) -> Option<u32> {
    let right = "a duration from \"1s\" to \"24d\" in whole seconds, such as \"15m\"";
    value.text(right, |text| {
        let duration: Duration = humantime::parse_duration(text).ok()?;
        let seconds = u32::try_from(duration.as_secs()).ok()?;
        (duration.subsec_nanos() == 0 && (1..=TIMEOUT_S_MAX).contains(&seconds)).then_some(seconds)
    })
}
