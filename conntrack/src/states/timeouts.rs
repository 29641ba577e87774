//! How many seconds each state lives without a packet. Defaults are the kernel's; every one can be set.

use super::{SCTP, TCP, UDP, sctp, tcp};
use crate::tick::Tick;

/// Time-outs in seconds, by protocol and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// By [`tcp::State`].
    pub tcp: [u32; tcp::STATES],
    /// By [`sctp::State`].
    pub sctp: [u32; sctp::STATES],
    /// UDP.
    pub udp: u32,
    /// Any other protocol (a firewall mark's service may see one).
    pub other: u32,
}

impl Default for Timeouts {
    /// The kernel's.
    fn default() -> Timeouts {
        use tcp::State as T;
        let mut timeouts = Timeouts { tcp: [120; tcp::STATES], sctp: [61; sctp::STATES], udp: 300, other: 60 };
        // FIN_WAIT, TIME_WAIT, SYN_SENT and SYNACK are recorded as 120; NONE and LISTEN hold no conn.
        for (state, seconds) in
            [(T::Established, 900), (T::SynRecv, 60), (T::Close, 10), (T::CloseWait, 60), (T::LastAck, 30)]
        {
            timeouts.tcp[state as usize] = seconds;
        }
        // A second more than round figures, as recorded.
        timeouts.sctp[sctp::State::Established as usize] = 900;
        timeouts.sctp[sctp::State::Init1 as usize] = 4;
        timeouts.sctp[sctp::State::Rejected as usize] = 4;
        timeouts
    }
}

impl Timeouts {
    /// Seconds that a conn in this state lives.
    #[inline]
    pub fn seconds(&self, protocol: u8, state: u8) -> u32 {
        match protocol {
            TCP => self.tcp[tcp::State::of(state) as usize],
            UDP => self.udp,
            SCTP => self.sctp[sctp::State::of(state) as usize],
            _ => self.other,
        }
    }

    /// The same in ticks, for [`crate::Table::set_timeout`].
    #[inline]
    pub fn ticks(&self, protocol: u8, state: u8) -> u32 {
        Tick::of_seconds(self.seconds(protocol, state))
    }

    /// What `ipvsadm --set TCP TCPFIN UDP` does: a value of 0 leaves its time-out as it is.
    pub fn set(&mut self, tcp: u32, tcp_fin: u32, udp: u32) {
        let targets = [(tcp, &mut self.tcp[tcp::State::Established as usize]), (udp, &mut self.udp)];
        for (seconds, target) in targets {
            if seconds != 0 {
                *target = seconds;
            }
        }
        if tcp_fin != 0 {
            self.tcp[tcp::State::FinWait as usize] = tcp_fin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_keeps_what_is_zero() {
        let mut timeouts = Timeouts::default();
        timeouts.set(40, 0, 5);
        let of = |state: tcp::State| timeouts.seconds(TCP, state as u8);
        assert_eq!((of(tcp::State::Established), of(tcp::State::FinWait), timeouts.udp), (40, 120, 5));
        assert_eq!(timeouts.ticks(UDP, 0), 500);
    }
}
