//! What keepalived is told in its test.

use std::fmt::Write;

use super::site::{GATEWAY, HEALTH, HTTP, VIP, server_address};

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
    /// The file. Port 80 has a sorry server, a TCP_CHECK and an HTTP_GET; at 81 a server that fails stays, with weight 0.
    pub fn text(&self) -> String {
        let Conf { priority, weights, with_third } = self;
        let mut text = format!(
            "vrrp_instance site {{\n interface uvs0\n state BACKUP\n virtual_router_id 51\n priority {priority}\n advert_int 1\n\
             virtual_ipaddress {{\n {VIP}/32 dev uvs0\n {GATEWAY}/24 dev uvs0\n }}\n}}\n"
        );
        let tcp = "TCP_CHECK {\n connect_timeout 3\n }\n";
        let http = format!("HTTP_GET {{\n url {{\n path /{HEALTH}\n status_code 200\n }}\n connect_timeout 3\n }}\n");
        let inhibit = format!("inhibit_on_failure\n{tcp}");
        let sorry = format!("sorry_server {} {HTTP}\n", server_address(2));
        text += &virtual_server(80, &sorry, [(weights[0], tcp), (weights[1], &http)]);
        text += &virtual_server(81, "", [(1, &inhibit); 2]);
        if *with_third {
            text += &virtual_server(82, "", [(1, tcp); 2]);
        }
        text
    }
}

fn virtual_server(port: u16, more: &str, servers: [(u32, &str); 2]) -> String {
    let mut text = format!(
        "virtual_server {VIP} {port} {{\n delay_loop 1\n lb_algo wrr\n lb_kind NAT\n protocol TCP\n\
         retry 1\n delay_before_retry 0.2\n{more}"
    );
    for (index, (weight, check)) in servers.into_iter().enumerate() {
        let _ = write!(text, "real_server {} {HTTP} {{\n weight {weight}\n{check}}}\n", server_address(index));
    }
    text + "}\n"
}
