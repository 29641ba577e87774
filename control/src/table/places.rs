//! Ports, neighbours, and which director this is.

use super::count;
use super::grid::{Grid, wrap};
use crate::show::{Neighbors, Port, Ports, Routes, Version};

/// Before each line of a sentence about a port.
const STEERING_INDENT: &str = "\n  ";

/// The tables of `uvs show ports`: what each is, what it counted, and a line with its device and addresses.
pub fn ports(ports: &Ports, columns: Option<usize>) -> String {
    let mut what = Grid::new([1, 3, 4, 6, 7]);
    what.row(["port", "vlan", "link", "Mbit/s", "mtu", "mac", "rxq", "txq", "driver", "rss"]);
    let mut counts = Grid::new(1..8);
    counts.row([
        "port",
        "rx_packets",
        "tx_packets",
        "rx_missed",
        "rx_errors",
        "rx_chained",
        "rx_no_buffer",
        "tx_errors",
    ]);
    let mut lines = String::new();
    for port in &ports.ports {
        what.row(what_cells(port));
        let counters = [
            port.rx_packets,
            port.tx_packets,
            port.rx_missed,
            port.rx_errors,
            port.rx_chained,
            port.rx_no_buffer,
            port.tx_errors,
        ];
        // Counters are a device's: said once, under the names of all its ports.
        let of_device: Vec<&str> =
            ports.ports.iter().filter(|other| other.device == port.device).map(|p| &*p.name).collect();
        if of_device[0] == port.name {
            counts.row(std::iter::once(of_device.join("+")).chain(counters.map(count)));
        }
        lines += &format!("\n{}: device {}, mtu {}", port.name, port.device, port.device_mtu);
        if !port.steering.is_empty() {
            let width = columns.map_or(usize::MAX, |columns| columns.saturating_sub(STEERING_INDENT.len()));
            wrap(&port.steering, width).iter().for_each(|line| lines.extend([STEERING_INDENT, line]));
        }
        lines.extend(port.sends_by.as_ref().map(|slave| format!("\n  sends by {slave}")));
        if let Some(host) = &port.host {
            let [to_host, from_host, refused] = [host.to_host, host.from_host, host.refused].map(count);
            lines +=
                &format!("\n  host {}: {to_host} to it, {from_host} from it, {refused} it did not take", host.name);
        }
        lines.extend(port.addresses.iter().map(|address| format!("\n  {address}")));
    }
    format!("{}\n{}{lines}\n", what.text_within(columns), counts.text_within(columns))
}

fn what_cells(port: &Port) -> Vec<String> {
    vec![
        port.name.to_string(),
        port.vlan.map_or("-".into(), |id| id.to_string()),
        if port.link { "up" } else { "down" }.into(),
        port.speed_mbps.map_or("-".into(), |mbps| mbps.to_string()),
        port.mtu.to_string(),
        port.mac.to_string(),
        port.rx_queues.to_string(),
        port.tx_queues.to_string(),
        port.driver.to_string(),
        port.rss.as_deref().unwrap_or("-").into(),
    ]
}

/// The table of `uvs show neighbors`.
pub fn neighbors(neighbors: &Neighbors, columns: Option<usize>) -> String {
    let mut grid = Grid::new([5]);
    grid.row(["address", "mac", "port", "state", "origin", "age"]);
    for neighbor in &neighbors.neighbors {
        grid.row([
            neighbor.address.to_string(),
            neighbor.mac.as_deref().unwrap_or("-").into(),
            neighbor.port.to_string(),
            neighbor.state.to_string(),
            neighbor.origin.to_string(),
            neighbor.age_s.map_or("-".into(), |seconds| format!("{seconds}s")),
        ]);
    }
    grid.text_within(columns)
}

/// The table of `uvs show routes`.
pub fn routes(routes: &Routes, columns: Option<usize>) -> String {
    let mut grid = Grid::new([]);
    grid.row(["destination", "via", "port", "origin"]);
    for route in &routes.routes {
        grid.row([
            route.destination.to_string(),
            route.via.map_or("-".into(), |via| via.to_string()),
            route.port.to_string(),
            route.origin.to_string(),
        ]);
    }
    grid.text_within(columns)
}

/// The line of `uvs show version`.
pub fn version(version: &Version) -> String {
    format!("uvs {}, process {}, up for {} s\n", version.version, version.pid, version.uptime_s)
}
