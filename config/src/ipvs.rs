//! `[ipvs]`: the kernel's settings under /proc/sys/net/ipv4/vs, by their names and with their defaults. None is accepted
//! and ignored: each name is in one table and works, or is refused with its reason.

use crate::read::{NOT_YET, Table};
use crate::timeouts::TIMEOUT_S_MAX;

/// `[ipvs]`: those of the kernel's settings that work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipvs {
    /// 0: a SYN never starts a conn anew; bit 0: on one that is over; bit 1: in FIN_WAIT too, where replies are not seen.
    pub conn_reuse_mode: u8,
    /// A conn whose server was removed ends at its next packet.
    pub expire_nodest_conn: bool,
    /// A template whose server has weight 0 ends.
    pub expire_quiescent_template: bool,
    /// Tunnels copy DF, and packets that do not fit are answered.
    pub pmtu_disc: bool,
    /// TCP conns may begin with any segment but a RST.
    pub sloppy_tcp: bool,
    /// SCTP conns may begin with any packet but an ABORT.
    pub sloppy_sctp: bool,
    /// Seconds after which lblc forgets a destination.
    pub lblc_expiration: u32,
    /// Seconds after which lblcr forgets a destination.
    pub lblcr_expiration: u32,
}

impl Default for Ipvs {
    fn default() -> Self {
        Ipvs {
            conn_reuse_mode: 1,
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            pmtu_disc: true,
            sloppy_tcp: false,
            sloppy_sctp: false,
            lblc_expiration: 86_400,
            lblcr_expiration: 86_400,
        }
    }
}

/// What becomes of a setting.
enum Rule {
    /// 0 or 1.
    Switch(fn(&mut Ipvs) -> &mut bool),
    /// A number up to a bound.
    Number(u8, fn(&mut Ipvs) -> &mut u8),
    /// Seconds, 1 to `TIMEOUT_S_MAX`.
    Seconds(fn(&mut Ipvs) -> &mut u32),
    /// Not supported, and why.
    Refused(&'static str),
}

const NO_SYNC: &str = "conns are not synchronised between directors";

/// All of the kernel's settings. A setting that gets built moves from `Refused` to what it takes.
const SETTINGS: &[(&str, Rule)] = &[
    ("am_droprate", Rule::Refused(NOT_YET)),
    ("amemthresh", Rule::Refused(NOT_YET)),
    ("backup_only", Rule::Refused(NO_SYNC)),
    ("cache_bypass", Rule::Refused(NOT_YET)),
    ("conn_reuse_mode", Rule::Number(3, |ipvs| &mut ipvs.conn_reuse_mode)),
    ("conntrack", Rule::Refused("there is no netfilter conntrack in the director's path")),
    ("drop_entry", Rule::Refused(NOT_YET)),
    ("drop_packet", Rule::Refused(NOT_YET)),
    ("expire_nodest_conn", Rule::Switch(|ipvs| &mut ipvs.expire_nodest_conn)),
    ("expire_quiescent_template", Rule::Switch(|ipvs| &mut ipvs.expire_quiescent_template)),
    ("ignore_tunneled", Rule::Refused(NOT_YET)),
    ("lblc_expiration", Rule::Seconds(|ipvs| &mut ipvs.lblc_expiration)),
    ("lblcr_expiration", Rule::Seconds(|ipvs| &mut ipvs.lblcr_expiration)),
    ("nat_icmp_send", Rule::Refused(NOT_YET)),
    ("pmtu_disc", Rule::Switch(|ipvs| &mut ipvs.pmtu_disc)),
    ("run_estimation", Rule::Refused(NOT_YET)),
    ("schedule_icmp", Rule::Refused(NOT_YET)),
    ("secure_tcp", Rule::Refused(NOT_YET)),
    ("sloppy_sctp", Rule::Switch(|ipvs| &mut ipvs.sloppy_sctp)),
    ("sloppy_tcp", Rule::Switch(|ipvs| &mut ipvs.sloppy_tcp)),
    ("snat_reroute", Rule::Refused(NOT_YET)),
    ("sync_persist_mode", Rule::Refused(NO_SYNC)),
    ("sync_ports", Rule::Refused(NO_SYNC)),
    ("sync_qlen_max", Rule::Refused(NO_SYNC)),
    ("sync_refresh_period", Rule::Refused(NO_SYNC)),
    ("sync_retries", Rule::Refused(NO_SYNC)),
    ("sync_sock_size", Rule::Refused(NO_SYNC)),
    ("sync_threshold", Rule::Refused(NO_SYNC)),
    ("sync_version", Rule::Refused(NO_SYNC)),
];

pub(crate) fn read(root: &Table) -> Ipvs {
    let mut ipvs = Ipvs::default();
    let Some(table) = root.table("ipvs") else { return ipvs };
    table.check_keys(&working(), &refused());
    for (name, rule) in SETTINGS {
        let Some(value) = table.get(name) else { continue };
        match rule {
            Rule::Switch(setting) => {
                let found = value.number(0..=1_u8);
                *setting(&mut ipvs) = found == Some(1);
            }
            Rule::Number(max, setting) => {
                if let Some(number) = value.number(0..=*max) {
                    *setting(&mut ipvs) = number;
                }
            }
            Rule::Seconds(setting) => {
                if let Some(seconds) = value.number(1..=TIMEOUT_S_MAX) {
                    *setting(&mut ipvs) = seconds;
                }
            }
            Rule::Refused(_) => {}
        }
    }
    ipvs
}

/// The names of the settings that work.
pub(crate) fn working() -> Vec<&'static str> {
    SETTINGS.iter().filter(|(_, rule)| !matches!(rule, Rule::Refused(_))).map(|(name, _)| *name).collect()
}

/// The names of the others, each with its reason.
fn refused() -> Vec<(&'static str, &'static str)> {
    let reason = |(name, rule): &(&'static str, Rule)| match rule {
        Rule::Refused(why) => Some((*name, *why)),
        _ => None,
    };
    SETTINGS.iter().filter_map(reason).collect()
}
