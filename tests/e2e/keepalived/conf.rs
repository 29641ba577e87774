//! What keepalived is told in its test.

use std::fmt::Write;

use super::site::{GATEWAY, GATEWAY6, GROUP, HEALTH, HTTP, MARK, VIP, VIP6, server_address, server_address6};

/// Two checks that nobody answers take longer than a test waits: where a server is out, the next check heard that it is, and no clock ended it.
const CONNECT_S: u32 = 20;

/// `keepalived.conf`, as far as the steps differ.
pub struct Conf {
    /// Of VRRP: the higher one is master.
    pub priority: u8,
    /// Of the first service's real servers.
    pub weights: [u32; 2],
    /// One service more.
    pub with_third: bool,
}

impl Conf {
    /// The file. Port 80 has a sorry server, a TCP_CHECK and an HTTP_GET; at 81 a server that fails stays, with weight 0; the group of
    /// 83 and 84 needs both servers. A mark, and IPv6 by addresses that come and go with the VIP.
    pub fn text(&self) -> String {
        let Conf { priority, weights, with_third } = self;
        let mut text = format!(
            "vrrp_instance site {{\n interface uvs0\n state BACKUP\n virtual_router_id 51\n priority {priority}\n advert_int 1\n\
             virtual_ipaddress {{\n {VIP}/32 dev uvs0\n {GATEWAY}/24 dev uvs0\n }}\n\
             virtual_ipaddress_excluded {{\n {VIP6}/128 dev uvs0\n {GATEWAY6}/64 dev uvs0\n }}\n}}\n"
        );
        let tcp = &format!("TCP_CHECK {{\n connect_timeout {CONNECT_S}\n }}\n");
        let http = format!(
            "HTTP_GET {{\n url {{\n path /{HEALTH}\n status_code 200\n }}\n connect_timeout {CONNECT_S}\n }}\n"
        );
        let inhibit = format!("inhibit_on_failure\n{tcp}");
        let sorry = format!("sorry_server {} {HTTP}\n", server_address(2));
        let of_vip = |port| format!("{VIP} {port}");
        text += &virtual_server(&of_vip(80), &sorry, server_address, [(weights[0], tcp), (weights[1], &http)]);
        text += &virtual_server(&of_vip(81), "", server_address, [(1, &inhibit); 2]);
        let quorum = format!("quorum 2\n{sorry}");
        text += &format!("virtual_server_group pair {{\n {VIP} {}\n {VIP} {}\n}}\n", GROUP[0], GROUP[1]);
        text += &virtual_server("group pair", &quorum, server_address, [(1, tcp), (1, &http)]);
        if *with_third {
            text += &virtual_server(&of_vip(82), "", server_address, [(1, tcp); 2]);
        }
        // Its servers are asked at the port that clients ask.
        let checked = format!("TCP_CHECK {{\n connect_port {HTTP}\n connect_timeout {CONNECT_S}\n }}\n");
        text += &virtual_server(&format!("fwmark {MARK}"), "", server_address, [(1, &checked); 2]);
        text += &virtual_server(&format!("{VIP6} 80"), "", server_address6, [(1, tcp), (1, &http)]);
        text
    }
}

fn virtual_server(name: &str, more: &str, address: fn(usize) -> String, servers: [(u32, &str); 2]) -> String {
    // A mark is of any protocol, and its servers keep the packet's port.
    let (protocol, port) = match name.starts_with("fwmark") {
        true => ("", 0),
        false => ("protocol TCP\n", HTTP),
    };
    let mut text = format!(
        "virtual_server {name} {{\n delay_loop 1\n lb_algo wrr\n lb_kind NAT\n {protocol}\
         retry 1\n delay_before_retry 0.2\n{more}"
    );
    for (index, (weight, check)) in servers.into_iter().enumerate() {
        let _ = write!(text, "real_server {} {port} {{\n weight {weight}\n{check}}}\n", address(index));
    }
    text + "}\n"
}
