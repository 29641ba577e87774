//! UDP has one state to see: a conn lives for the time-out after its last packet, and is never counted as active. Whether the
//! server has answered is remembered, for from then on a persistence template counts as assured.

/// Nothing came back yet.
pub const ASKED: u8 = 0;
/// The server has answered.
pub const ANSWERED: u8 = 1;
/// Its name as /proc/net/ip_vs_conn prints it.
pub const NAME: &str = "UDP";
