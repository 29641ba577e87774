//! Services and their real servers, as `ipvsadm -Ln` and `ipvsadm -Ln --stats` side by side. A narrow terminal gets sums of both directions.

use super::count;
use super::grid::{Grid, wrap};
use crate::show::{Method, Server, Service, Services, Traffic};

/// Narrowest terminal that shows both directions apart.
const COLUMNS_FOR_BOTH_DIRECTIONS: usize = 104;
/// What a service's own words span: address, forward, weight, active, inactive.
const SPAN: usize = 5;

/// The table of `uvs show services`.
pub fn services(services: &Services, columns: Option<usize>) -> String {
    let wide = columns.is_none_or(|columns| columns >= COLUMNS_FOR_BOTH_DIRECTIONS);
    let titles: &[&str] =
        if wide { &["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"] } else { &["Conns", "Packets", "Bytes"] };
    let mut grid = Grid::new(2..SPAN + titles.len());
    grid.spanning(SPAN, ["Prot LocalAddress:Port Scheduler Flags"]);
    let (active, inactive) = if wide { ("ActiveConn", "InActConn") } else { ("Active", "InAct") };
    let server_titles = ["  -> RemoteAddress:Port", "Forward", "Weight", active, inactive];
    grid.row(server_titles.iter().chain(titles).copied());
    for service in &services.services {
        let mut lines = lines_of(words(service), columns);
        let last = lines.pop().unwrap_or_default();
        lines.into_iter().for_each(|line| grid.spanning(SPAN, [line]));
        grid.spanning(SPAN, std::iter::once(last).chain(traffic(&service.totals, wide)));
        for server in &service.servers {
            grid.row(server_cells(server).into_iter().chain(traffic(&server.traffic, wide)));
        }
    }
    grid.text_within(columns)
}

/// A service's words in as many lines as the terminal makes of them.
fn lines_of(words: String, columns: Option<usize>) -> Vec<String> {
    const INDENT: &str = "     ";
    match columns {
        Some(columns) if words.chars().count() > columns => {
            let lines = wrap(&words, columns.saturating_sub(INDENT.len())).into_iter().enumerate();
            lines.map(|(number, line)| if number == 0 { line } else { format!("{INDENT}{line}") }).collect()
        }
        _ => vec![words],
    }
}

/// Its protocol and address, or its mark.
pub(super) fn name(service: &Service) -> String {
    match (service.fwmark, service.address) {
        (Some(mark), _) => format!("FWM  {mark}{}", if service.fwmark_ipv6 { " IPv6" } else { "" }),
        (None, Some(address)) => format!("{:4} {address}", service.protocol.unwrap_or_default().name()),
        (None, None) => "?".into(),
    }
}

fn words(service: &Service) -> String {
    let mut words = name(service);
    words += &format!(" {}", service.scheduler);
    if !service.flags.is_empty() {
        words += &format!(" ({})", service.flags.join(","));
    }
    if let Some(seconds) = service.persistent_s {
        words += &format!(" persistent {seconds}");
        // Every address for itself is the rule, which ipvsadm does not mention either.
        if let Some(mask) = service.netmask.as_ref().filter(|mask| *mask != "255.255.255.255" && *mask != "128") {
            words += &format!(" mask {mask}");
        }
    }
    if service.one_packet {
        words += " ops";
    }
    words
}

fn server_cells(server: &Server) -> [String; SPAN] {
    let mark = if server.overloaded { " overloaded" } else { "" };
    [
        format!("  -> {}{mark}", server.address),
        server.tunnel.as_deref().unwrap_or(forward(server.method)).into(),
        server.weight.to_string(),
        count(server.active.into()),
        count(server.inactive.into()),
    ]
}

fn traffic(traffic: &Traffic, wide: bool) -> Vec<String> {
    let Traffic { conns, in_packets, out_packets, in_bytes, out_bytes } = *traffic;
    if wide {
        vec![count(conns), count(in_packets), count(out_packets), count(in_bytes), count(out_bytes)]
    } else {
        vec![count(conns), count(in_packets + out_packets), count(in_bytes + out_bytes)]
    }
}

fn forward(method: Method) -> &'static str {
    match method {
        Method::Nat => "Masq",
        Method::Dr => "Route",
        Method::Tun => "Tunnel",
        Method::FullNat => "FullNAT",
        Method::Local => "Local",
        Method::Bypass => "Bypass",
    }
}
