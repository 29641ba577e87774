//! UDP has one state: a conn lives for the time-out after its last packet, and is never counted as active.

/// The number of the only state.
pub const STATE: u8 = 0;
/// Its name as /proc/net/ip_vs_conn prints it.
pub const NAME: &str = "UDP";
