//! `[ipvs]`: the kernel's settings under /proc/sys/net/ipv4/vs, by their names and with their defaults. None is accepted
//! and ignored: each name is in one table and works, or is refused with its reason.

use crate::read::Table;
use crate::timeouts::TIMEOUT_S_MAX;
use std::ops::RangeInclusive;

/// `[ipvs]`: those of the kernel's settings that work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipvs {
    /// Of how many first packets of flows one is dropped where `drop_packet` is [`Defense::Always`].
    pub am_droprate: u32,
    /// Pages of 4096 bytes: fewer free ones of a worker's conn table are too few.
    pub amemthresh: u32,
    /// A service that takes flows to addresses elsewhere and has no server for one lets it go where it was going.
    pub cache_bypass: bool,
    /// 0: a SYN never starts a conn anew; bit 0: on one that is over; bit 1: in FIN_WAIT too, where replies are not seen.
    pub conn_reuse_mode: u8,
    /// Conns that are half open are ended before their time.
    pub drop_entry: Defense,
    /// One of so many first packets of flows is dropped.
    pub drop_packet: Defense,
    /// A conn whose server was removed ends at its next packet.
    pub expire_nodest_conn: bool,
    /// A template whose server has weight 0 ends.
    pub expire_quiescent_template: bool,
    /// What came in a tunnel is not scheduled. It never is: the director unpacks no tunnels.
    pub ignore_tunneled: bool,
    /// Seconds after which lblc forgets a destination.
    pub lblc_expiration: u32,
    /// Seconds after which lblcr forgets a destination.
    pub lblcr_expiration: u32,
    /// A NAT server is told of its packets that are of no conn.
    pub nat_icmp_send: bool,
    /// Tunnels copy DF, and packets that do not fit are answered.
    pub pmtu_disc: bool,
    /// Rates of services and servers are kept.
    pub run_estimation: bool,
    /// An ICMP error about a packet of no conn starts one.
    pub schedule_icmp: bool,
    /// The stricter TCP states.
    pub secure_tcp: Defense,
    /// SCTP conns may begin with any packet but an ABORT.
    pub sloppy_sctp: bool,
    /// TCP conns may begin with any segment but a RST.
    pub sloppy_tcp: bool,
    /// Replies are routed as the director's own packets. They go the same way: there is one table of routes.
    pub snat_reroute: bool,
}

/// When a defence against floods is up: the kernel's 0, 1 or 2, and 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defense {
    /// Never.
    #[default]
    Never,
    /// While memory is short. (The kernel shows 1 while it is not, and 2 while it is; either may be written.)
    WhenShort,
    /// Always.
    Always,
}

impl Default for Ipvs {
    fn default() -> Self {
        Ipvs {
            am_droprate: 10,
            amemthresh: 1024,
            cache_bypass: false,
            conn_reuse_mode: 1,
            drop_entry: Defense::Never,
            drop_packet: Defense::Never,
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            ignore_tunneled: false,
            lblc_expiration: 86_400,
            lblcr_expiration: 86_400,
            nat_icmp_send: false,
            pmtu_disc: true,
            run_estimation: true,
            schedule_icmp: false,
            secure_tcp: Defense::Never,
            sloppy_sctp: false,
            sloppy_tcp: false,
            snat_reroute: true,
        }
    }
}

/// What becomes of a setting.
enum Rule {
    /// 0 or 1.
    Switch(fn(&mut Ipvs) -> &mut bool),
    /// Bits, up to a bound.
    Bits(u8, fn(&mut Ipvs) -> &mut u8),
    /// 0 to 3.
    Defense(fn(&mut Ipvs) -> &mut Defense),
    /// A number in these bounds.
    Number(RangeInclusive<u32>, fn(&mut Ipvs) -> &mut u32),
    /// Seconds, 1 to `TIMEOUT_S_MAX`.
    Seconds(fn(&mut Ipvs) -> &mut u32),
    /// Not supported, and why.
    Refused(&'static str),
}

/// Bound of `am_droprate`, and, in pages (16 GB of them), of `amemthresh`.
pub const DEFENSE_NUMBER_MAX: u32 = 4_194_304;

const NO_SYNC: &str = "conns are not synchronised between directors";

/// All of the kernel's settings. A setting that gets built moves from `Refused` to what it takes.
const SETTINGS: &[(&str, Rule)] = &[
    ("am_droprate", Rule::Number(1..=DEFENSE_NUMBER_MAX, |ipvs| &mut ipvs.am_droprate)),
    ("amemthresh", Rule::Number(0..=DEFENSE_NUMBER_MAX, |ipvs| &mut ipvs.amemthresh)),
    ("backup_only", Rule::Refused(NO_SYNC)),
    ("cache_bypass", Rule::Switch(|ipvs| &mut ipvs.cache_bypass)),
    ("conn_reuse_mode", Rule::Bits(3, |ipvs| &mut ipvs.conn_reuse_mode)),
    ("conntrack", Rule::Refused("there is no netfilter conntrack in the director's path")),
    ("drop_entry", Rule::Defense(|ipvs| &mut ipvs.drop_entry)),
    ("drop_packet", Rule::Defense(|ipvs| &mut ipvs.drop_packet)),
    ("expire_nodest_conn", Rule::Switch(|ipvs| &mut ipvs.expire_nodest_conn)),
    ("expire_quiescent_template", Rule::Switch(|ipvs| &mut ipvs.expire_quiescent_template)),
    ("ignore_tunneled", Rule::Switch(|ipvs| &mut ipvs.ignore_tunneled)),
    ("lblc_expiration", Rule::Seconds(|ipvs| &mut ipvs.lblc_expiration)),
    ("lblcr_expiration", Rule::Seconds(|ipvs| &mut ipvs.lblcr_expiration)),
    ("nat_icmp_send", Rule::Switch(|ipvs| &mut ipvs.nat_icmp_send)),
    ("pmtu_disc", Rule::Switch(|ipvs| &mut ipvs.pmtu_disc)),
    ("run_estimation", Rule::Switch(|ipvs| &mut ipvs.run_estimation)),
    ("schedule_icmp", Rule::Switch(|ipvs| &mut ipvs.schedule_icmp)),
    ("secure_tcp", Rule::Defense(|ipvs| &mut ipvs.secure_tcp)),
    ("sloppy_sctp", Rule::Switch(|ipvs| &mut ipvs.sloppy_sctp)),
    ("sloppy_tcp", Rule::Switch(|ipvs| &mut ipvs.sloppy_tcp)),
    ("snat_reroute", Rule::Switch(|ipvs| &mut ipvs.snat_reroute)),
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
            Rule::Bits(max, setting) => {
                if let Some(number) = value.number(0..=*max) {
                    *setting(&mut ipvs) = number;
                }
            }
            Rule::Defense(setting) => {
                *setting(&mut ipvs) = match value.number(0..=3_u8) {
                    Some(1 | 2) => Defense::WhenShort,
                    Some(3) => Defense::Always,
                    _ => Defense::Never,
                };
            }
            Rule::Number(bounds, setting) => {
                if let Some(number) = value.number(bounds.clone()) {
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
