//! What goes through services and their real servers each second, as `ipvsadm -Ln --rate`.

use super::count;
use super::grid::Grid;
use super::services::name;
use crate::show::{Services, Traffic};

/// The table of `uvs show rates`.
pub fn rates(services: &Services, columns: Option<usize>) -> String {
    let titles = ["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"];
    let mut grid = Grid::new(1..1 + titles.len());
    grid.row(["Prot LocalAddress:Port"]);
    grid.row(["  -> RemoteAddress:Port"].into_iter().chain(titles));
    for service in &services.services {
        grid.row(std::iter::once(name(service)).chain(cells(&service.rates)));
        for server in &service.servers {
            grid.row(std::iter::once(format!("  -> {}", server.address)).chain(cells(&server.rates)));
        }
    }
    grid.text_within(columns)
}

fn cells(rates: &Traffic) -> [String; 5] {
    let Traffic { conns, in_packets, out_packets, in_bytes, out_bytes } = *rates;
    [conns, in_packets, out_packets, in_bytes, out_bytes].map(count)
}
